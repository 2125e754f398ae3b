//! Refusals as the Kubernetes API words them: `Status` objects and the field errors inside them.

use std::fmt;

use crate::{Object, Value};

/// Why one field was refused; the `reason` of a cause in a `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The value has the right type but breaks a rule.
    Invalid,
    /// The value is not one of those allowed.
    NotSupported,
    /// A required value is missing.
    Required,
    /// The same value appears twice where it must be unique.
    Duplicate,
    /// The value may not be set here.
    Forbidden,
    /// The value names something that does not exist.
    NotFound,
    /// The value is longer than allowed.
    TooLong,
    /// The list has more items than allowed.
    TooMany,
    /// The value has the wrong type.
    TypeInvalid,
}

impl Cause {
    /// The `reason` string of the API.
    pub fn reason(self) -> &'static str {
        match self {
            Cause::Invalid => "FieldValueInvalid",
            Cause::NotSupported => "FieldValueNotSupported",
            Cause::Required => "FieldValueRequired",
            Cause::Duplicate => "FieldValueDuplicate",
            Cause::Forbidden => "FieldValueForbidden",
            Cause::NotFound => "FieldValueNotFound",
            Cause::TooLong => "FieldValueTooLong",
            Cause::TooMany => "FieldValueTooMany",
            Cause::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// One refused field: where, why, and the sentence that kubectl prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path, such as `spec.template.spec.containers[0].name`.
    pub field: String,
    /// The class of the mistake.
    pub cause: Cause,
    /// The message without the path, such as `Required value: must be set`.
    pub message: String,
}

/// The reason of a `Status`, with the HTTP status code that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 409: a name that is taken.
    AlreadyExists,
    /// 409: a version or precondition that no longer holds.
    Conflict,
    /// 410: a continue token that has been compacted away.
    Expired,
    /// 410: a watch version that is too old.
    Gone,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 422
    Invalid,
    /// 429
    TooManyRequests,
    /// 500
    InternalError,
    /// 503
    ServiceUnavailable,
    /// 504
    Timeout,
}

impl Reason {
    /// The HTTP status code.
    pub fn code(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::Unauthorized => 401,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::MethodNotAllowed => 405,
            Reason::NotAcceptable => 406,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Expired | Reason::Gone => 410,
            Reason::RequestEntityTooLarge => 413,
            Reason::UnsupportedMediaType => 415,
            Reason::Invalid => 422,
            Reason::TooManyRequests => 429,
            Reason::InternalError => 500,
            Reason::ServiceUnavailable => 503,
            Reason::Timeout => 504,
        }
    }
}

/// A refusal: the API's `Status` object with `status: Failure`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// Reason, which also gives the HTTP status code.
    pub reason: Reason,
    /// The sentence that kubectl prints.
    pub message: String,
    /// The `details` object, where the API gives one.
    pub details: Option<Object>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Status {
    /// A refusal without details.
    pub fn new(reason: Reason, message: impl Into<String>) -> Status {
        Status { reason, message: message.into(), details: None }
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.reason.code()
    }

    /// The object as the API serves it.
    pub fn to_value(&self) -> Value {
        let mut object = Object::new();
        object.insert("kind".into(), "Status".into());
        object.insert("apiVersion".into(), "v1".into());
        object.insert("metadata".into(), Value::Object(Object::new()));
        object.insert("status".into(), "Failure".into());
        object.insert("message".into(), self.message.clone().into());
        object.insert("reason".into(), self.reason.to_string().into());
        if let Some(details) = &self.details {
            object.insert("details".into(), Value::Object(details.clone()));
        }
        object.insert("code".into(), self.code().into());
        Value::Object(object)
    }
}

//! Refusals as the Kubernetes API words them: `Status` objects and the field errors inside them.

mod build;
mod field_error;
mod read;

use std::fmt;

use crate::{Object, Value};

pub use build::MAX_ERRORS;
pub use read::NotAStatus;

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
    /// The value is shorter than allowed.
    TooShort,
    /// The list has more items than allowed.
    TooMany,
    /// The list has fewer items than allowed.
    TooFew,
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
            Cause::TooShort => "FieldValueTooShort",
            Cause::TooMany => "FieldValueTooMany",
            Cause::TooFew => "FieldValueTooFew",
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
    /// 500: an operation that the server could not finish in time; worth a retry.
    ServerTimeout,
    /// 504
    Timeout,
    /// Any other code, or an error to which the server gave no reason; holds the HTTP status code.
    Other(u16),
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
            Reason::InternalError | Reason::ServerTimeout => 500,
            Reason::ServiceUnavailable => 503,
            Reason::Timeout => 504,
            Reason::Other(code) => code,
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
        match self {
            Reason::Other(_) => Ok(()),
            reason => fmt::Debug::fmt(reason, f),
        }
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
        if !matches!(self.reason, Reason::Other(_)) {
            object.insert("reason".into(), self.reason.to_string().into());
        }
        if let Some(details) = &self.details {
            object.insert("details".into(), Value::Object(details.clone()));
        }
        object.insert("code".into(), self.code().into());
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(status: Status, expected: Value) {
        let value = status.to_value();
        assert_eq!(value, expected);
        let text = crate::encode::to_vec(&value);
        assert_eq!(text, crate::encode::to_vec(&expected), "field order");
        assert_eq!(Status::from_slice(&text).ok(), Some(status), "reads back");
    }

    #[test]
    fn refusals_have_the_shape_that_the_api_gives_them() {
        check(
            Status::not_found("apps", "daemonsets", "agent"),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "daemonsets.apps \"agent\" not found", "reason": "NotFound",
                "details": {"name": "agent", "group": "apps", "kind": "daemonsets"}, "code": 404}),
        );
        check(
            Status::unclassified("unknown patch type"),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "unknown patch type", "code": 500}),
        );
        check(
            Status::too_large_resource_version(999, 243),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "Timeout: Too large resource version: 999, current: 243", "reason": "Timeout",
                "details": {"causes": [{"reason": "ResourceVersionTooLarge",
                    "message": "Too large resource version"}], "retryAfterSeconds": 1}, "code": 504}),
        );
    }

    #[test]
    fn one_mistake_stands_alone_and_several_in_brackets_each_once() {
        let errors = |fields: &[&str]| -> Vec<FieldError> {
            fields.iter().map(|field| FieldError::required(*field, "")).collect()
        };
        let message = |fields: &[&str]| Status::invalid("apps", "DaemonSet", "x", &errors(fields)).message;
        assert_eq!(message(&["a"]), "DaemonSet.apps \"x\" is invalid: a: Required value");
        assert_eq!(message(&["a", "a"]), "DaemonSet.apps \"x\" is invalid: a: Required value");
        let two = "DaemonSet.apps \"x\" is invalid: [a: Required value, b: Required value]";
        assert_eq!(message(&["a", "b", "a"]), two);
    }

    #[test]
    fn the_code_says_what_an_unknown_reason_does_not() {
        let bytes = br#"{"kind":"Status","message":"m","reason":"Odd","code":418}"#;
        let status = Status::from_slice(bytes).expect("a Status");
        assert_eq!((status.reason, status.code()), (Reason::Other(418), 418));
        assert!(Status::from_slice(br#"{"kind":"Pod"}"#).is_err());
        assert!(Status::from_slice(b"<html>").is_err());
    }
}

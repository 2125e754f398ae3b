//! A refusal as an object.

use everynode_model::{Object, Value};

use super::reason::Reason;

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

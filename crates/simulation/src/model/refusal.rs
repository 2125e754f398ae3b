//! How the model says no.

use bytes::Bytes;
use serde_json::json;

/// A refusal, in the API's form.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    reason: String,
    message: String,
    field: Option<&'static str>,
    pub(crate) retry_after_seconds: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &str, message: impl Into<String>) -> Refusal {
        let (reason, message) = (reason.to_owned(), message.into());
        Refusal { code, reason, message, field: None, retry_after_seconds: None }
    }

    pub(crate) fn not_found(plural: &str, name: &str) -> Refusal {
        Refusal::new(404, "NotFound", format!("{plural} \"{name}\" not found"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Refusal {
        Refusal::new(409, "Conflict", message)
    }

    /// The uid cannot change: a patch was meant for another object of this name.
    pub(crate) fn other_uid() -> Refusal {
        Refusal {
            field: Some("metadata.uid"),
            ..Refusal::new(422, "Invalid", "metadata.uid: field is immutable")
        }
    }

    pub(crate) fn expired(message: impl Into<String>) -> Refusal {
        Refusal::new(410, "Expired", message)
    }

    pub(crate) fn retry_after(mut self, seconds: u32) -> Refusal {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The Status object.
    pub(crate) fn body(&self) -> Bytes {
        let mut details = json!({});
        if let Some(seconds) = self.retry_after_seconds {
            details["retryAfterSeconds"] = seconds.into();
        }
        if let Some(field) = self.field {
            details["causes"] =
                json!([{ "reason": "FieldValueInvalid", "message": self.message, "field": field }]);
        }
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": details, "code": self.code,
        });
        Bytes::from(status.to_string())
    }
}

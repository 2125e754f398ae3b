//! A `Status` that a server sent, read back.

use everynode_model::{Object, Value};

use super::object::Status;
use super::reason::Reason;

/// The bytes are no `Status` object.
#[derive(Debug, thiserror::Error)]
#[error("not a Status object")]
pub struct NotAStatus;

impl Status {
    /// Reads a `Status` object as a server sent it.
    ///
    /// # Errors
    /// The bytes are not JSON, or not a `Status` object.
    pub fn from_slice(bytes: &[u8]) -> Result<Status, NotAStatus> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| NotAStatus)?;
        Status::from_value(value).ok_or(NotAStatus)
    }

    /// Reads a `Status` object, such as the object of an `ERROR` event of a watch.
    pub fn from_value(value: Value) -> Option<Status> {
        let Value::Object(mut object) = value else { return None };
        if object.get("kind").and_then(Value::as_str) != Some("Status") {
            return None;
        }
        let code = object.get("code").and_then(Value::as_u64);
        let code = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
        let name = object.get("reason").and_then(Value::as_str).unwrap_or_default();
        let reason = Reason::from_name(name, code);
        let message = match object.remove("message") {
            Some(Value::String(message)) => message,
            _ => String::new(),
        };
        let details = match object.remove("details") {
            Some(Value::Object(details)) => Some(details),
            _ => None,
        };
        Some(Status { reason, message, details })
    }

    /// How long the server asks the client to wait before it tries again, in seconds.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.details.as_ref()?.get("retryAfterSeconds")?.as_u64()
    }

    /// Whether the details hold a cause with this reason, such as `NamespaceTerminating`.
    pub fn has_cause(&self, reason: &str) -> bool {
        let causes = self.details.as_ref().and_then(|details| details.get("causes"));
        let is_it = |cause: &Object| cause.get("reason").and_then(Value::as_str) == Some(reason);
        causes.and_then(Value::as_array).is_some_and(|all| all.iter().filter_map(Value::as_object).any(is_it))
    }
}

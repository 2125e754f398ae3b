//! What is wrong with a selector.

use crate::status::Status;

/// Why a text or object is no selector, in the words of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

impl From<SelectorError> for Status {
    fn from(error: SelectorError) -> Status {
        Status::bad_request(error.0)
    }
}

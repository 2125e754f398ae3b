//! Label and field selectors.

mod field;
mod label;
mod lex;

pub use field::{FieldSelector, FieldTerm};
pub use label::{LabelSelector, Operator, Requirement};

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

#[cfg(test)]
mod tests;

//! What is wrong with a selector.

/// Why a text or object is no selector, in the words of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

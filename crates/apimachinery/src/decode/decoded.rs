//! What decoding gives.

use everynode_model::Value;

use crate::json::SyntaxError;

/// A decoded object, with what strict decoding would complain about.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object as the API would write it.
    pub value: Value,
    /// Unknown and duplicate fields in the order in which they stand, such as
    /// `unknown field "spec.surprise"`. At most 100.
    pub problems: Vec<String>,
}

/// Why bytes are no object of the type, in the words of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not JSON, such as `unexpected end of JSON input`.
    #[error("{0}")]
    Syntax(String),
    /// A value has the wrong type or form.
    #[error("{0}")]
    Type(String),
}

impl From<SyntaxError> for DecodeError {
    fn from(error: SyntaxError) -> DecodeError {
        DecodeError::Syntax(error.0)
    }
}

/// What can make an object of bytes: a type of the schema, or a definition of a custom resource.
pub trait Decode {
    /// Decodes JSON into the form in which the API writes such an object.
    ///
    /// # Errors
    /// The bytes are not JSON, or a value does not fit its field.
    fn decode(&self, bytes: &[u8]) -> Result<Decoded, DecodeError>;

    /// Whether kind and apiVersion are fields like others, checked after decoding: custom resources.
    fn takes_any_kind(&self) -> bool {
        false
    }
}

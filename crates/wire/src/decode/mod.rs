//! Bytes to values, exactly as the API server's own decoding followed by its encoding would have it.
//!
//! The server decodes JSON into a struct and writes the struct again. What that does to an object is done
//! here in one pass, driven by the schema: unknown fields vanish (and are reported), nulls count as absent,
//! empty values go where the type says so, struct-valued fields are always there, quantities and times are
//! canonical, maps are sorted, and fields stand in the order of the type.

mod body;
mod build;
mod json;
mod typed;
mod untyped;

pub use body::{Body, decode_body};
pub(crate) use json::MAX_DEPTH;

use crate::schema::Type;
use crate::{Value, encode};

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

impl Decode for &'static Type {
    fn decode(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        decode(self, bytes)
    }
}

/// Decodes JSON into the form in which the API writes an object of type `ty`.
///
/// # Errors
/// The bytes are not JSON, or a value does not fit its field.
pub fn decode(ty: &'static Type, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    typed::Decoder::new(bytes).decode(ty)
}

/// Brings a value, such as the result of a patch, into the form in which the API writes it. Unknown fields
/// are dropped in silence.
///
/// # Errors
/// A value does not fit its field.
pub fn normalize(ty: &'static Type, value: &Value) -> Result<Value, DecodeError> {
    decode(ty, &encode::to_vec(value)).map(|decoded| decoded.value)
}

/// Parses any JSON with the API's messages for what is malformed. Field order and digits are kept.
///
/// # Errors
/// The bytes are not JSON.
pub fn parse_json(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut parser = json::Parser::new(bytes);
    let value = parser.value().and_then(|value| parser.end().map(|()| value));
    value.map_err(DecodeError::Syntax)
}

/// Parses any JSON; gives it with the duplicate fields that strict decoding refuses, such as
/// `duplicate field "metadata.name"`.
///
/// # Errors
/// The bytes are not JSON.
pub fn parse_json_strict(bytes: &[u8]) -> Result<(Value, Vec<String>), DecodeError> {
    let mut reader = untyped::Reader::new(bytes);
    let value = reader.value().and_then(|value| reader.end().map(|()| value));
    value.map(|value| (value, reader.problems)).map_err(DecodeError::Syntax)
}

/// The name of a value's JSON type in messages, such as `object` or `number`.
pub fn json_type(value: &Value) -> &'static str {
    json::Token::of(value).name()
}

/// Parses the JSON value that bytes begin with. Gives it, its duplicate fields as [`parse_json_strict`] does, and its
/// length in bytes.
///
/// # Errors
/// The bytes begin with no JSON; with the offset of the mistake.
pub fn parse_json_prefix(bytes: &[u8]) -> Result<(Value, Vec<String>, usize), (usize, DecodeError)> {
    let mut reader = untyped::Reader::new(bytes);
    match reader.value() {
        Ok(value) => {
            let length = reader.position();
            Ok((value, reader.problems, length))
        }
        Err(message) => Err((reader.position(), DecodeError::Syntax(message))),
    }
}

#[cfg(test)]
mod tests;

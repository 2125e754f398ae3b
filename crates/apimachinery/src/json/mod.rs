//! JSON, read with the API server's words for what is malformed. Field order and digits are kept.

mod parser;
mod untyped;

pub(crate) use parser::{MAX_DEPTH, Parser, Token};

use everynode_model::Value;
use untyped::Reader;

/// Why bytes are not JSON, such as `unexpected end of JSON input`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub String);

/// Parses any JSON.
///
/// # Errors
/// The bytes are not JSON.
pub fn parse(bytes: &[u8]) -> Result<Value, SyntaxError> {
    let mut parser = Parser::new(bytes);
    let value = parser.value().and_then(|value| parser.end().map(|()| value));
    value.map_err(SyntaxError)
}

/// Parses any JSON; gives it with the duplicate fields that strict decoding refuses, such as
/// `duplicate field "metadata.name"`.
///
/// # Errors
/// The bytes are not JSON.
pub fn parse_strict(bytes: &[u8]) -> Result<(Value, Vec<String>), SyntaxError> {
    let mut reader = Reader::new(bytes);
    let value = reader.value().and_then(|value| reader.end().map(|()| value));
    value.map(|value| (value, reader.problems)).map_err(SyntaxError)
}

/// The name of a value's JSON type in messages, such as `object` or `number`.
pub fn type_name(value: &Value) -> &'static str {
    Token::of(value).name()
}

/// Parses the JSON value that bytes begin with. Gives it, its duplicate fields as [`parse_strict`] does, and its
/// length in bytes.
///
/// # Errors
/// The bytes begin with no JSON; with the offset of the mistake.
pub fn parse_prefix(bytes: &[u8]) -> Result<(Value, Vec<String>, usize), (usize, SyntaxError)> {
    let mut reader = Reader::new(bytes);
    match reader.value() {
        Ok(value) => {
            let length = reader.position();
            Ok((value, reader.problems, length))
        }
        Err(message) => Err((reader.position(), SyntaxError(message))),
    }
}

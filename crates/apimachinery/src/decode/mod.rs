//! Bytes to values, exactly as the API server's own decoding followed by its encoding would have it.
//!
//! The server decodes JSON into a struct and writes the struct again. What that does to an object is done
//! here in one pass, driven by the schema: unknown fields vanish (and are reported), nulls count as absent,
//! empty values go where the type says so, struct-valued fields are always there, quantities and times are
//! canonical, maps are sorted, and fields stand in the order of the type.

mod body;
mod build;
mod decoded;
mod typed;

pub use body::{Body, decode_body};
pub use decoded::{Decode, DecodeError, Decoded};
pub use typed::{decode, normalize};

#[cfg(test)]
mod tests;

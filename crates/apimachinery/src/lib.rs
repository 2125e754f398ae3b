//! The rules that only an API server knows, and a plan that foresees what it will say: schema, decoding as Go decodes,
//! defaults, validation, patches, selectors, custom resources, tables; and the manifests that it is sent.
//!
//! Everything here is a pure function from bytes or values to bytes or values. Nothing decides what a
//! cluster should do, nothing does I/O, and nothing reads a clock.

pub mod custom;
pub mod decode;
pub mod defaults;
pub mod definition;
pub mod field_selector;
pub mod json;
pub mod kinds;
pub mod managed;
pub mod manifest;
pub mod patch;
pub mod resource;
pub mod rules;
pub mod schema;
pub mod status;
pub mod table;
pub mod validate;

pub use kinds::{resource_for, resource_for_kind, resources};

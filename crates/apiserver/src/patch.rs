//! Patches of requests, in the three forms that the API takes.

use everynode_wire::Value;
use everynode_wire::resource::Resource;
use everynode_wire::status::Status;

use crate::http::query::FieldValidation;

/// A patch as it was sent.
pub struct Patch<'a> {
    bytes: &'a [u8],
}

/// The patched object.
pub struct Patched {
    /// The object, decoded by its schema.
    pub object: Value,
    /// Unknown fields, under `Warn`.
    pub warnings: Vec<String>,
}

impl<'a> Patch<'a> {
    /// Takes the form from the media type.
    pub fn read(_content_type: &str, bytes: &'a [u8]) -> Result<Patch<'a>, Status> {
        Ok(Patch { bytes })
    }

    /// The object with the patch applied.
    pub fn apply(&self, _resource: &Resource, _old: &Value, _v: FieldValidation) -> Result<Patched, Status> {
        Err(Status::internal(format!("no patches yet, {} bytes", self.bytes.len())))
    }
}

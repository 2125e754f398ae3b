//! Checks of the metadata that all kinds share.

use everynode_wire::Value;
use everynode_wire::status::FieldError;
use everynode_wire::validate::meta::NameRule;

use crate::meta;

/// Checks the metadata of a new object.
pub fn validate_metadata_create(
    object: &Value,
    _namespaced: bool,
    _rule: NameRule,
    errors: &mut Vec<FieldError>,
) {
    if meta::text(object, "name").is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    }
}

/// Checks the metadata of a changed object against that of the stored one.
pub fn validate_metadata_update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if meta::text(new, "uid") != meta::text(old, "uid") {
        errors.push(FieldError::invalid("metadata.uid", meta::text(new, "uid"), "field is immutable"));
    }
}

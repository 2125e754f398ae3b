//! Preparation that most kinds share: who may write status, and when the generation rises.

use everynode_model::Value;
use everynode_model::access::Fill;

use crate::defaults::zero;

/// A new object starts with an empty status of that type and generation 1.
pub(crate) fn create(object: &mut Value, status_type: &str) {
    reset_status(object, status_type);
    first_generation(object);
}

/// The status that a new object starts with.
pub(crate) fn reset_status(object: &mut Value, status_type: &str) {
    object.put("status", zero(status_type));
}

/// The generation that a new object starts with.
pub(crate) fn first_generation(object: &mut Value) {
    if let Some(metadata) = object.make("metadata") {
        metadata.put("generation", 1);
    }
}

/// An update leaves the status alone and raises the generation when the spec changed.
pub(crate) fn update(new: &mut Value, old: &Value) {
    keep(new, old, "status");
    raise_generation(new, old, new.get("spec") != old.get("spec"));
}

/// An update of the status leaves the spec alone.
pub(crate) fn status_update(new: &mut Value, old: &Value) {
    keep(new, old, "spec");
}

/// An update of the status leaves spec and labels alone.
pub(crate) fn status_update_keeps_labels(new: &mut Value, old: &Value) {
    keep(new, old, "spec");
    let labels = old.pointer("/metadata/labels").cloned();
    if let Some(metadata) = new.get_mut("metadata") {
        match labels {
            Some(labels) => metadata.put("labels", labels),
            None => drop(metadata.take_out("labels")),
        }
    }
}

/// Sets the generation to that of `old`, plus one when something of meaning changed.
pub(crate) fn raise_generation(new: &mut Value, old: &Value, changed: bool) {
    let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
    if let Some(metadata) = new.make("metadata") {
        metadata.put("generation", generation + i64::from(changed));
    }
}

/// Takes a top-level field over from `old`.
pub(crate) fn keep(new: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => new.put(field, value.clone()),
        None => drop(new.take_out(field)),
    }
}

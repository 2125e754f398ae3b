//! JSON merge patches (RFC 7396).

use everynode_model::Value;

use super::patched::{Patched, Shown, finish};
use crate::decode::Decode;
use crate::json;
use crate::status::Status;

/// Applies a JSON merge patch to an object that `ty` decodes.
///
/// # Errors
/// The patch is malformed, or a value of the result does not fit its field.
pub fn merge_patch(ty: impl Decode, original: &Value, patch: &[u8]) -> Result<Patched, Status> {
    let bad = |why: String| Status::bad_request(format!("error decoding patch: {why}"));
    let (patch, problems) = json::parse_strict(patch).map_err(|error| bad(error.to_string()))?;
    if !patch.is_object() {
        let found = json::type_name(&patch);
        return Err(bad(format!(
            "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    }
    let mut result = original.clone();
    merge(&mut result, patch);
    finish(&ty, &result, problems, Shown::Result(result.clone()))
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(everynode_model::Object::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            // Sorted below.
            fields.swap_remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
    // The API server holds what it merges in sorted maps; data of any kind shows that.
    fields.sort_keys();
}

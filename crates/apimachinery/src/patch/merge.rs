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
    json_patch::merge(&mut result, &patch);
    sort_merged(&mut result, &patch);
    finish(&ty, &result, problems, Shown::Result(result.clone()))
}

/// Sorts the keys of the objects that were merged. The API server holds these in sorted maps, and leaves the others as
/// they are; data of any kind (that of a ControllerRevision) shows the difference.
fn sort_merged(merged: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(patch)) = (merged, patch) else { return };
    for (name, value) in patch {
        if let Some(field) = fields.get_mut(name) {
            sort_merged(field, value);
        }
    }
    fields.sort_keys();
}

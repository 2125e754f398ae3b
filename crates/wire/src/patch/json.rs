//! JSON patches (RFC 6902).

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation,
    TestOperation, patch_unsafe,
};

use super::{Patched, Shown, finish};
use crate::decode::Decode;
use crate::status::Status;
use crate::{Object, Value, decode, encode};

/// Operations in one patch.
const MAX_OPERATIONS: usize = 10_000;

/// Bytes that the copy operations of one patch may add together: a few of them in a row double an object
/// again and again.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// Applies a JSON patch to an object that `ty` decodes.
///
/// # Errors
/// The patch is malformed, an operation cannot be carried out, or a value of the result does not fit its
/// field.
pub fn json_patch(ty: impl Decode, original: &Value, patch: &[u8]) -> Result<Patched, Status> {
    let bad = |why: String| Status::bad_request(format!("error decoding patch: {why}"));
    let (patch, problems) = decode::parse_json_strict(patch).map_err(|error| bad(error.to_string()))?;
    let Value::Array(operations) = patch else {
        let found = decode::json_type(&patch);
        return Err(bad(format!(
            "json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
        )));
    };
    let mut problems: Vec<String> = problems.into_iter().map(|one| format!("json patch {one}")).collect();
    if operations.len() > MAX_OPERATIONS {
        return Err(Status::new(
            crate::status::Reason::RequestEntityTooLarge,
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is \
                 {MAX_OPERATIONS}, got {}",
                operations.len()
            ),
        ));
    }
    for (index, operation) in operations.iter().enumerate() {
        check_shape(index, operation, &mut problems).map_err(bad)?;
    }
    let mut result = original.clone();
    let mut copied_bytes = 0;
    for operation in &operations {
        apply(&mut result, operation, &mut copied_bytes).ok_or_else(Status::unprocessable)?;
    }
    finish(&ty, &result, problems, Shown::Result(result.clone()))
}

/// Checks the fields of an operation, before anything is applied.
fn check_shape(index: usize, operation: &Value, problems: &mut Vec<String>) -> Result<(), String> {
    let Value::Object(fields) = operation else {
        let found = decode::json_type(operation);
        return Err(format!("json: cannot unmarshal {found} into Go value of type handlers.jsonPatchOp"));
    };
    for (name, value) in fields {
        match name.as_str() {
            "op" | "path" | "from" if !value.is_string() && !value.is_null() => {
                let found = decode::json_type(value);
                return Err(format!(
                    "json: cannot unmarshal {found} into Go struct field jsonPatchOp.{name} of type string"
                ));
            }
            "op" | "path" | "from" | "value" => {}
            _ => problems.push(format!("json patch unknown field \"[{index}].{name}\"")),
        }
    }
    Ok(())
}

/// Applies one operation; nothing when it cannot be carried out.
fn apply(target: &mut Value, operation: &Value, copied_bytes: &mut usize) -> Option<()> {
    let fields = operation.as_object()?;
    let path = pointer(fields, "path")?;
    let value = || fields.get("value").cloned().unwrap_or_default();
    let operation = match fields.get("op")?.as_str()? {
        "add" => PatchOperation::Add(AddOperation { path, value: value() }),
        "remove" => PatchOperation::Remove(RemoveOperation { path }),
        "replace" => PatchOperation::Replace(ReplaceOperation { path, value: value() }),
        "test" => PatchOperation::Test(TestOperation { path, value: value() }),
        "move" => PatchOperation::Move(MoveOperation { from: pointer(fields, "from")?, path }),
        "copy" => {
            let from = pointer(fields, "from")?;
            *copied_bytes += encode::to_vec(from.resolve(target).ok()?).len();
            if *copied_bytes > MAX_COPIED_BYTES {
                return None;
            }
            PatchOperation::Copy(CopyOperation { from, path })
        }
        _ => return None,
    };
    patch_unsafe(target, std::slice::from_ref(&operation)).ok()
}

fn pointer(fields: &Object, name: &str) -> Option<PointerBuf> {
    PointerBuf::parse(fields.get(name)?.as_str()?).ok()
}

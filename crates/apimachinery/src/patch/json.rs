//! JSON patches (RFC 6902).

use everynode_model::{Object, Value, encode};
use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation,
    TestOperation, patch_unsafe,
};

use super::patched::{Patched, Shown, finish};
use crate::decode::Decode;
use crate::json;
use crate::status::Status;

/// Operations in one patch.
const MAX_OPERATIONS: usize = 10_000;

/// Bytes that the copy operations of one patch may add together: a few of them in a row double an object
/// again and again.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// Values that the operations of one patch may step over together, moved ones and their neighbours in lists: many moves
/// in a large object take time without end.
const MAX_STEPS: usize = 4_000_000;

/// Applies a JSON patch to an object that `ty` decodes.
///
/// # Errors
/// The patch is malformed, an operation cannot be carried out, or a value of the result does not fit its
/// field.
pub fn json_patch(ty: impl Decode, original: &Value, patch: &[u8]) -> Result<Patched, Status> {
    let bad = |why: String| Status::bad_request(format!("error decoding patch: {why}"));
    let (patch, problems) = json::parse_strict(patch).map_err(|error| bad(error.to_string()))?;
    let Value::Array(operations) = patch else {
        let found = json::type_name(&patch);
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
    let mut budget = Budget { copied_bytes: MAX_COPIED_BYTES, steps: MAX_STEPS };
    for operation in &operations {
        apply(&mut result, operation, &mut budget).ok_or_else(Status::unprocessable)?;
    }
    finish(&ty, &result, problems, Shown::Result(result.clone()))
}

/// Checks the fields of an operation, before anything is applied.
fn check_shape(index: usize, operation: &Value, problems: &mut Vec<String>) -> Result<(), String> {
    let Value::Object(fields) = operation else {
        let found = json::type_name(operation);
        return Err(format!("json: cannot unmarshal {found} into Go value of type handlers.jsonPatchOp"));
    };
    for (name, value) in fields {
        match name.as_str() {
            "op" | "path" | "from" if !value.is_string() && !value.is_null() => {
                let found = json::type_name(value);
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

/// What the operations of one patch have left.
struct Budget {
    copied_bytes: usize,
    steps: usize,
}

impl Budget {
    fn step(&mut self, count: usize) -> Option<()> {
        self.steps = self.steps.checked_sub(count)?;
        Some(())
    }

    /// Takes the elements beside the one at a path, which move when it comes or goes.
    fn step_over(&mut self, target: &Value, path: &Pointer) -> Option<()> {
        let parent = path.parent().and_then(|parent| parent.resolve(target).ok());
        self.step(match parent {
            Some(Value::Array(items)) => items.len(),
            Some(Value::Object(fields)) => fields.len(),
            _ => 0,
        })
    }

    /// Takes all values within one, and sees to it that at the end of a path it nests no deeper than what is read:
    /// a few moves in a row double the depth of an object again and again.
    fn place(&mut self, value: &Value, path: &Pointer) -> Option<()> {
        let room = json::MAX_DEPTH.checked_sub(path.count())?;
        self.fits(value, room)
    }

    fn fits(&mut self, value: &Value, room: usize) -> Option<()> {
        self.step(1)?;
        match value {
            Value::Array(items) => {
                let room = room.checked_sub(1)?;
                items.iter().try_for_each(|item| self.fits(item, room))
            }
            Value::Object(fields) => {
                let room = room.checked_sub(1)?;
                fields.values().try_for_each(|field| self.fits(field, room))
            }
            _ => Some(()),
        }
    }
}

/// Applies one operation; nothing when it cannot be carried out.
fn apply(target: &mut Value, operation: &Value, budget: &mut Budget) -> Option<()> {
    let fields = operation.as_object()?;
    let path = pointer(fields, "path")?;
    let value = || fields.get("value").cloned().unwrap_or_default();
    budget.step_over(target, &path)?;
    let operation = match fields.get("op")?.as_str()? {
        "add" => {
            budget.place(fields.get("value").unwrap_or(&Value::Null), &path)?;
            PatchOperation::Add(AddOperation { path, value: value() })
        }
        "remove" => PatchOperation::Remove(RemoveOperation { path }),
        "replace" => {
            budget.place(fields.get("value").unwrap_or(&Value::Null), &path)?;
            PatchOperation::Replace(ReplaceOperation { path, value: value() })
        }
        "test" => PatchOperation::Test(TestOperation { path, value: value() }),
        "move" => {
            let from = pointer(fields, "from")?;
            budget.step_over(target, &from)?;
            budget.place(from.resolve(target).ok()?, &path)?;
            PatchOperation::Move(MoveOperation { from, path })
        }
        "copy" => {
            let from = pointer(fields, "from")?;
            let copied = from.resolve(target).ok()?;
            budget.place(copied, &path)?;
            budget.copied_bytes = budget.copied_bytes.checked_sub(encode::to_vec(copied).len())?;
            PatchOperation::Copy(CopyOperation { from, path })
        }
        _ => return None,
    };
    patch_unsafe(target, std::slice::from_ref(&operation)).ok()
}

fn pointer(fields: &Object, name: &str) -> Option<PointerBuf> {
    PointerBuf::parse(fields.get(name)?.as_str()?).ok()
}

//! From client-side apply of kubectl to server-side apply, and back.

use everynode_model::{Value, encode};

use super::check;
use super::compare::compare;
use super::fields::fields_of;
use super::set::FieldSet;
use super::view::View;
use crate::patch::three_way::LAST_APPLIED;

/// The manager for which this is done. Who does not want it takes another name.
pub(super) const KUBECTL: &str = "kubectl";

/// Bytes of all annotations of an object.
const MAX_ANNOTATIONS_BYTES: usize = 256 << 10;

fn annotation(object: &Value) -> Option<&str> {
    let text = object.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// The fields that the client applied from its side and that still are as it did; nothing when it has not.
pub(super) fn applied_by_client(view: View<'_>, version: &str, live: &Value) -> Option<FieldSet> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(version)
        || !check::mistakes(view, &last).is_empty()
    {
        return None;
    }
    let found = compare(view, &last, live);
    let changed = found.said().union(&found.removed);
    Some(fields_of(view, &last).difference(&changed))
}

/// Keeps the annotation of client-side apply up to date, where there is one.
pub(super) fn renew(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut bare = config.clone();
    if let Some(annotations) = bare.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.shift_remove(LAST_APPLIED);
    }
    let mut text = encode::canonical(&bare);
    text.push(b'\n');
    let text = String::from_utf8_lossy(&text).into_owned();
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    annotations.insert(LAST_APPLIED.into(), text.into());
    let bytes = |(name, value): (&String, &Value)| name.len() + value.as_str().map_or(0, str::len);
    if annotations.iter().map(bytes).sum::<usize>() > MAX_ANNOTATIONS_BYTES {
        annotations.shift_remove(LAST_APPLIED);
    }
}

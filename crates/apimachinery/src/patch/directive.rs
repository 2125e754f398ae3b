//! What the directives of a strategic merge patch are called, and values in the notation of the API server's
//! language, which its messages show.

use everynode_model::{Object, Value};

use crate::status::Status;

pub const PATCH: &str = "$patch";
pub const RETAIN_KEYS: &str = "$retainKeys";
pub const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
pub const SET_ORDER: &str = "$setElementOrder";

/// The field that a directive such as `$setElementOrder/env` is about, when `key` is such a directive.
pub fn target<'a>(key: &'a str, directive: &str) -> Option<Result<&'a str, Status>> {
    let rest = key.strip_prefix(directive)?;
    let what = if directive == SET_ORDER { "setElementOrder" } else { "primitive" };
    let bad = || Status::bad_request(format!("invalid patch format of {what} list"));
    Some(rest.strip_prefix('/').ok_or_else(bad))
}

/// A map without the elements and fields that are directives, or nothing when it is one itself.
pub fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(PATCH) => None,
        Value::Object(fields) => {
            let kept =
                fields.into_iter().filter_map(|(name, value)| Some((name, without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(items.into_iter().filter_map(without_directives).collect()),
        other => Some(other),
    }
}

/// Drops fields that are null, at any depth.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The refusal of a list element without the field that tells elements apart.
pub fn no_merge_key(element: &Object, key: &str) -> Status {
    let element = go_text(&Value::Object(element.clone()));
    Status::unclassified(format!("map: {element} does not contain declared merge key: {key}"))
}

/// The refusal of a `$patch` that is not known.
pub fn bad_patch_type(directive: &Value, element: &Object) -> Status {
    let (directive, element) = (go_text(directive), go_text(&Value::Object(element.clone())));
    Status::unclassified(format!("unknown patch type: {directive} in map: {element}"))
}

/// A value as the API server's messages show it: `map[a:1 b:[x y]]`.
pub fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            let fields: Vec<String> =
                fields.into_iter().map(|(name, value)| format!("{name}:{}", go_text(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

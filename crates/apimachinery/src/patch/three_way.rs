//! The patch of a client-side apply: from the manifest applied last, to the new one.
//!
//! The patch is a strategic merge patch made of the new manifest itself, plus a deletion for everything that
//! the last one had and the new one has not. Fields that others own are in neither, so they stay.

use everynode_model::{Object, Value, encode};

use crate::schema::{Field, Kind, Type};

/// Annotation in which kubectl, and we, keep the manifest applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Puts the manifest into its own annotation, as kubectl does before it sends it. One that it holds already is left
/// out of the text.
pub fn annotate(manifest: &mut Value) {
    match manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        Some(annotations) => drop(annotations.shift_remove(LAST_APPLIED)),
        None => manifest["metadata"]["annotations"] = Value::Object(Object::new()),
    }
    let mut text = encode::canonical(manifest);
    text.push(b'\n');
    let text = String::from_utf8_lossy(&text).into_owned();
    manifest["metadata"]["annotations"][LAST_APPLIED] = text.into();
}

/// The patch that takes an object on which `last` was applied to `new`. `ty` is the type of the object;
/// without one (a kind that the schema does not know) maps are merged and lists replaced.
pub fn patch(ty: Option<&'static Type>, last: &Value, new: &Value) -> Value {
    match (last, new) {
        (Value::Object(last), Value::Object(new)) => Value::Object(patch_object(ty, last, new)),
        _ => new.clone(),
    }
}

fn patch_object(ty: Option<&'static Type>, last: &Object, new: &Object) -> Object {
    let mut patch = Object::new();
    for (name, value) in new {
        let field = ty.and_then(|ty| ty.field(name));
        let value = match last.get(name) {
            Some(before) => patch_field(field, before, value),
            None => value.clone(),
        };
        patch.insert(name.clone(), value);
    }
    for name in last.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    patch
}

fn patch_field(field: Option<&'static Field>, last: &Value, new: &Value) -> Value {
    match (last, new) {
        (Value::Object(_), Value::Object(_)) => patch(field.and_then(|f| struct_of(&f.kind)), last, new),
        (Value::Array(last), Value::Array(new)) => match field.and_then(merge_key) {
            Some(key) => Value::Array(patch_list(field, key, last, new)),
            None => Value::Array(new.clone()),
        },
        _ => new.clone(),
    }
}

/// Lists with a merge key: items are matched by it, items that are gone get a `$patch: delete`.
fn patch_list(field: Option<&'static Field>, key: &str, last: &[Value], new: &[Value]) -> Vec<Value> {
    let item_type = field.and_then(|f| struct_of(&f.kind));
    let find = |items: &[Value], wanted: &Value| items.iter().find(|item| &item[key] == wanted).cloned();
    let mut items: Vec<Value> = new
        .iter()
        .map(|item| match find(last, &item[key]) {
            Some(before) => patch(item_type, &before, item),
            None => item.clone(),
        })
        .collect();
    for gone in last.iter().filter(|item| find(new, &item[key]).is_none()) {
        let mut delete = Object::new();
        delete.insert("$patch".into(), "delete".into());
        delete.insert(key.into(), gone[key].clone());
        items.push(Value::Object(delete));
    }
    items
}

fn merge_key(field: &'static Field) -> Option<&'static str> {
    field.merge_key.filter(|_| field.patch_merge)
}

fn struct_of(kind: &'static Kind) -> Option<&'static Type> {
    match kind {
        Kind::Struct(id) => Some(id.get()),
        Kind::List(inner) | Kind::Map(inner) | Kind::Pointer(inner) => struct_of(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(last: Value, new: Value, expected: Value) {
        let ty = crate::schema::type_named("core.v1.Pod");
        assert_eq!(patch(ty, &last, &new), expected);
    }

    #[test]
    fn what_the_new_manifest_leaves_out_is_deleted() {
        check(
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"hostNetwork": true}}),
            json!({"metadata": {"labels": {"a": "1"}}, "spec": {}}),
            json!({"metadata": {"labels": {"a": "1", "b": null}}, "spec": {"hostNetwork": null}}),
        );
    }

    #[test]
    fn list_items_are_matched_by_their_merge_key() {
        check(
            json!({"spec": {"containers": [{"name": "a", "image": "i", "tty": true}, {"name": "b"}]}}),
            json!({"spec": {"containers": [{"name": "a", "image": "j"}]}}),
            json!({"spec": {"containers": [
                {"name": "a", "image": "j", "tty": null},
                {"$patch": "delete", "name": "b"},
            ]}}),
        );
    }

    #[test]
    fn lists_without_a_merge_key_are_replaced() {
        check(
            json!({"spec": {"tolerations": [{"key": "a"}, {"key": "b"}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}]}}),
        );
    }
}

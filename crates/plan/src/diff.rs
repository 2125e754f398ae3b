//! What changes from one object to another, field by field.

use serde::Serialize;
use serde_json::Value;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// Where, such as `spec.template.spec.containers[agent].image`.
    pub path: String,
    /// What it was; null when it is new.
    pub before: Value,
    /// What it will be; null when it goes.
    pub after: Value,
}

/// The fields of two values that differ, in the order of the second. Items of lists are matched by their `name` or
/// `key`, if all have one.
pub fn diff(path: &str, before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare(path, before, after, &mut changes);
    changes
}

fn compare(path: &str, before: &Value, after: &Value, changes: &mut Vec<FieldChange>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                compare(&child(path, key), old.get(key).unwrap_or(&Value::Null), value, changes);
            }
            for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                compare(&child(path, key), value, &Value::Null, changes);
            }
        }
        (Value::Array(old), Value::Array(new)) => match identity(old, new) {
            Some(key) => by_identity(path, key, old, new, changes),
            None => changes.push(change(path, before, after)),
        },
        _ => changes.push(change(path, before, after)),
    }
}

fn change(path: &str, before: &Value, after: &Value) -> FieldChange {
    FieldChange { path: path.to_owned(), before: before.clone(), after: after.clone() }
}

/// A field below a path; keys with dots are put in quotes.
fn child(path: &str, key: &str) -> String {
    match key.contains(['.', '/']) {
        true => format!("{path}[{key:?}]"),
        false if path.is_empty() => key.to_owned(),
        false => format!("{path}.{key}"),
    }
}

/// The field by which the items of two lists are told apart.
fn identity(old: &[Value], new: &[Value]) -> Option<&'static str> {
    let is_unique = |items: &[Value], key: &str| {
        let mut names: Vec<&str> = items.iter().filter_map(|item| item[key].as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.len() == items.len()
    };
    ["name", "mountPath", "key"].into_iter().find(|key| is_unique(old, key) && is_unique(new, key))
}

fn by_identity(path: &str, key: &str, old: &[Value], new: &[Value], changes: &mut Vec<FieldChange>) {
    let find = |items: &[Value], item: &Value| items.iter().find(|one| one[key] == item[key]).cloned();
    let below = |item: &Value| format!("{path}[{}]", item[key].as_str().unwrap_or_default());
    let count = changes.len();
    for item in new {
        let before = find(old, item).unwrap_or_default();
        compare(&below(item), &before, item, changes);
    }
    for item in old.iter().filter(|item| find(new, item).is_none()) {
        changes.push(change(&below(item), item, &Value::Null));
    }
    if changes.len() == count {
        // The same items in another order.
        let order = |items: &[Value]| items.iter().map(|item| item[key].clone()).collect::<Value>();
        changes.push(change(&format!("{path} (order)"), &order(old), &order(new)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(before: Value, after: Value, expected: &[&str]) {
        let changes = diff("", &before, &after);
        let told: Vec<String> =
            changes.iter().map(|one| format!("{}: {} -> {}", one.path, one.before, one.after)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn fields_are_compared_and_list_items_matched_by_name() {
        check(
            json!({"a": 1, "b": {"c": [1, 2]}, "gone": true}),
            json!({"a": 2, "b": {"c": [1, 3], "x.y/z": "n"}}),
            &["a: 1 -> 2", "b.c: [1,2] -> [1,3]", "b[\"x.y/z\"]: null -> \"n\"", "gone: true -> null"],
        );
        check(
            json!({"containers": [{"name": "a", "image": "i:1"}, {"name": "b"}]}),
            json!({"containers": [{"name": "a", "image": "i:2"}, {"name": "c"}]}),
            &[
                "containers[a].image: \"i:1\" -> \"i:2\"",
                "containers[c]: null -> {\"name\":\"c\"}",
                "containers[b]: {\"name\":\"b\"} -> null",
            ],
        );
        check(
            json!([{"name": "a"}, {"name": "b"}]),
            json!([{"name": "b"}, {"name": "a"}]),
            &[" (order): [\"a\",\"b\"] -> [\"b\",\"a\"]"],
        );
    }
}

//! Parts of columns and cells that many kinds have.

use crate::rules::Column;
use everynode_model::access::Read;
use everynode_model::{Value, time};

pub(super) const NONE: &str = "<none>";
pub(super) const UNSET: &str = "<unset>";
pub(super) const UNKNOWN: &str = "<unknown>";

/// A column of text.
pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0 }
}

/// A column of another type.
pub(super) const fn typed(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority: 0 }
}

/// A column that is only shown with `-o wide`.
pub(super) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", description, priority: 1 }
}

pub(super) const NAME: Column = crate::rules::NAME;

pub(super) const AGE: Column = text("Age", crate::rules::CREATED);

pub(super) const CONTAINERS: Column = wide("Containers", "Names of each container in the template.");

pub(super) const IMAGES: Column = wide("Images", "Images referenced by each container in the template.");

/// The object's name.
pub(super) fn name(object: &Value) -> Value {
    object.text("metadata.name").into()
}

/// Time since the object's creation.
pub(super) fn age(object: &Value, now: i64) -> Value {
    since(object.text("metadata.creationTimestamp"), now).into()
}

/// Time since a moment in RFC 3339, with seconds or microseconds.
pub(super) fn since(moment: &str, now: i64) -> String {
    unix_seconds(moment).map_or_else(|| UNKNOWN.to_owned(), |then| time::age(then, now))
}

/// A moment in RFC 3339, with seconds or microseconds, in Unix seconds.
pub(super) fn unix_seconds(moment: &str) -> Option<i64> {
    time::parse(moment).ok()
}

/// The text, or another one when it is empty.
pub(super) fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// Names and images of containers.
pub(super) fn containers(template_spec: Option<&Value>) -> (Value, Value) {
    let list = template_spec.map(|spec| spec.items("containers")).unwrap_or_default();
    let join = |field: &str| {
        let texts: Vec<&str> = list.iter().map(|container| container.text(field)).collect();
        Value::from(texts.join(","))
    };
    (join("name"), join("image"))
}

/// A map as `a=b,c=d`.
pub(super) fn labels(map: Option<&Value>) -> Value {
    let Some(Value::Object(map)) = map else { return NONE.into() };
    let mut pairs: Vec<String> =
        map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort_unstable();
    or(&pairs.join(","), NONE).into()
}

/// A label selector as `a=b,c in (d,e),!f`.
pub(super) fn selector_text(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return NONE.to_owned() };
    let mut parts: Vec<(&str, String)> = selector
        .entries("matchLabels")
        .map(|(key, value)| (key, format!("{key}={}", value.as_str().unwrap_or_default())))
        .collect();
    for requirement in selector.items("matchExpressions") {
        let key = requirement.text("key");
        let mut values: Vec<&str> = requirement.items("values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let text = match requirement.text("operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        parts.push((key, text));
    }
    parts.sort_by_key(|(key, _)| *key);
    let texts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    or(&texts.join(","), NONE).to_owned()
}

/// Some of a list and how many more there are.
pub(super) fn some_of(list: &[String], most: usize) -> String {
    let shown = list[..list.len().min(most)].join(",");
    if list.len() > most { format!("{shown} + {} more...", list.len() - most) } else { shown }
}

/// The name, marked when one of the annotations makes the object the default of its kind.
pub(super) fn name_with_default(object: &Value, annotations: &[&str]) -> Value {
    let set = object.at("metadata.annotations").unwrap_or(&Value::Null);
    let is_default = annotations.iter().any(|key| set.get(key).is_some_and(|value| value == "true"));
    let name = object.text("metadata.name");
    if is_default { format!("{name} (default)").into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_and_labels_are_shown_sorted() {
        let check = |selector: Value, expected: &str| {
            assert_eq!(selector_text(Some(&selector)), expected, "{selector}");
        };
        let one = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        check(json!({}), "<none>");
        check(json!({"matchLabels": {"b": "1", "a": "2"}}), "a=2,b=1");
        check(json!({"matchExpressions": [one("x", "In", &["b", "a"])]}), "x in (a,b)");
        check(
            json!({"matchLabels": {"m": "1"}, "matchExpressions": [one("z", "DoesNotExist", &[]), one("c", "Exists", &[])]}),
            "c,m=1,!z",
        );
        assert_eq!(labels(Some(&json!({"b": "1", "a": "2"}))), "a=2,b=1");
        assert_eq!(labels(Some(&json!({}))), NONE);
        assert_eq!(labels(None), NONE);
    }

    #[test]
    fn long_lists_are_cut() {
        let list: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        assert_eq!(some_of(&list, 3), "a,b,c + 1 more...");
        assert_eq!(some_of(&list[..3], 3), "a,b,c");
    }
}

//! Labels and label selectors.

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::{Errors, Path, Report};

/// Checks keys and values of labels.
pub(crate) fn labels(labels: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    let Some(Value::Object(labels)) = labels else { return };
    for (key, value) in labels {
        errors.all_invalid(path, key, names::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        errors.all_invalid(path, value, names::label_value(value));
    }
}

/// Checks a label selector. A selector that has been stored with invalid values may keep them.
pub(crate) fn label_selector(
    selector: Option<&Value>,
    values_may_be_invalid: bool,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let Some(selector) = selector else { return };
    labels(selector.at("matchLabels"), &path.child("matchLabels"), errors);
    let list = path.child("matchExpressions");
    for (index, requirement) in selector.items("matchExpressions").iter().enumerate() {
        expression(requirement, values_may_be_invalid, &list.index(index), errors);
    }
}

fn expression(requirement: &Value, values_may_be_invalid: bool, path: &Path<'_>, errors: &mut Errors) {
    let values = requirement.items("values");
    values_fit_operator(requirement.text("operator"), values.len(), path, errors);
    let key = requirement.text("key");
    errors.all_invalid(&path.child("key"), key, names::qualified_name(key));
    if !values_may_be_invalid {
        label_values(values, &path.child("values"), errors);
    }
}

/// Checks that each of the values could be the value of a label.
pub(crate) fn label_values(values: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
        errors.all_invalid(&path.index(index), value, names::label_value(value));
    }
}

fn values_fit_operator(operator: &str, count: usize, path: &Path<'_>, errors: &mut Errors) {
    match operator {
        "In" | "NotIn" if count == 0 => {
            errors.required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            let message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.forbidden(path.child("values"), message);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => errors.invalid(path.child("operator"), operator, "not a valid selector operator"),
    }
}

/// Whether some requirement of the selector has a value that no label can have.
pub(crate) fn has_invalid_values(selector: Option<&Value>) -> bool {
    let expressions = selector.map(|selector| selector.items("matchExpressions")).unwrap_or_default();
    expressions
        .iter()
        .flat_map(|expression| expression.items("values"))
        .filter_map(Value::as_str)
        .any(|value| !names::label_value(value).is_empty())
}

/// Whether the selector matches the labels. A selector that is missing matches nothing, one that cannot
/// be understood gives none.
pub(crate) fn matches(selector: Option<&Value>, labels: &Value) -> Option<bool> {
    let Some(selector) = selector else { return Some(false) };
    for (key, value) in selector.entries("matchLabels") {
        let value = value.as_str().unwrap_or_default();
        if !names::qualified_name(key).is_empty() || !names::label_value(value).is_empty() {
            return None;
        }
    }
    let mut all = selector.entries("matchLabels").all(|(key, value)| labels.get(key) == Some(value));
    for requirement in selector.items("matchExpressions") {
        all &= requirement_matches(requirement, labels)?;
    }
    Some(all)
}

fn requirement_matches(requirement: &Value, labels: &Value) -> Option<bool> {
    let key = requirement.text("key");
    let values = requirement.items("values");
    let label = labels.get(key);
    let valid = names::qualified_name(key).is_empty()
        && values.iter().filter_map(Value::as_str).all(|value| names::label_value(value).is_empty());
    if !valid {
        return None;
    }
    match (requirement.text("operator"), values.is_empty()) {
        ("In", false) => Some(label.is_some_and(|label| values.contains(label))),
        ("NotIn", false) => Some(label.is_none_or(|label| !values.contains(label))),
        ("Exists", true) => Some(label.is_some()),
        ("DoesNotExist", true) => Some(label.is_none()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_matches_when_all_its_requirements_do() {
        let labels = json!({"app": "a", "tier": "x"});
        let check = |selector: Value, expected: Option<bool>| {
            assert_eq!(matches(Some(&selector), &labels), expected, "{selector}");
        };
        let one = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        assert_eq!(matches(None, &labels), Some(false));
        check(json!({}), Some(true));
        check(json!({"matchLabels": {"app": "a"}}), Some(true));
        check(json!({"matchLabels": {"app": "b"}}), Some(false));
        check(one("app", "In", &["a", "b"]), Some(true));
        check(one("app", "NotIn", &["b"]), Some(true));
        check(one("no", "NotIn", &["b"]), Some(true));
        check(one("app", "Exists", &[]), Some(true));
        check(one("app", "DoesNotExist", &[]), Some(false));
        check(one("app", "Like", &["a"]), None);
        check(one("app", "In", &[]), None);
        check(json!({"matchLabels": {"app": "not a value"}}), None);
    }
}

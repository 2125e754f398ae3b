//! Tolerations, taints, affinities and spread.

use std::collections::{HashMap, HashSet};

use everynode_model::access::Read;
use everynode_model::{Value, names};

use super::{Errors, Path, Report, selector};

/// Effects of a taint.
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks a list of tolerations.
pub(crate) fn tolerations(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for (index, toleration) in list.iter().enumerate() {
        self::toleration(toleration, &path.index(index), errors);
    }
}

fn toleration(toleration: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (key, operator) = (toleration.text("key"), toleration.text("operator"));
    let (value, effect) = (toleration.text("value"), toleration.text("effect"));
    let operator_path = path.child("operator");
    if key.is_empty() {
        if operator != "Exists" {
            let message =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(operator_path, operator, message);
        }
    } else {
        errors.all_invalid(&path.child("key"), key, names::qualified_name(key));
    }
    if toleration.has("tolerationSeconds") && effect != "NoExecute" {
        let message = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.invalid(path.child("effect"), effect, message);
    }
    match operator {
        "Equal" | "" => {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                errors.invalid(operator_path, value, &messages.join(";"));
            }
        }
        "Exists" if value.is_empty() => {}
        "Exists" => {
            errors.invalid(operator_path, value, "value must be empty when `operator` is 'Exists'");
        }
        "Lt" | "Gt" => errors.not_supported(operator_path, operator, &["Equal", "Exists", "Lt", "Gt"]),
        _ => errors.not_supported(operator_path, operator, &["Equal", "Exists"]),
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.not_supported(path.child("effect"), effect, EFFECTS);
    }
}

/// Checks the taints of a node.
pub(crate) fn taints(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let mut known = HashSet::new();
    for (index, taint) in list.iter().enumerate() {
        let path = path.index(index);
        let (key, value) = (taint.text("key"), taint.text("value"));
        errors.all_invalid(&path.child("key"), key, names::qualified_name(key));
        let messages = names::label_value(value);
        if !messages.is_empty() {
            errors.invalid(path.child("value"), value, &messages.join(";"));
        }
        errors.one_of(&path.child("effect"), taint.text("effect"), EFFECTS);
        if !known.insert((key, taint.text("effect"))) && !errors.is_full() {
            let detail = "taints must be unique by key and effect pair";
            errors.push(crate::status::FieldError::duplicate(path, shown_taint(taint), detail));
        }
    }
}

/// A taint as the API's messages show it.
fn shown_taint(taint: &Value) -> Value {
    serde_json::json!({
        "Key": taint.text("key"),
        "Value": taint.text("value"),
        "Effect": taint.text("effect"),
        "TimeAdded": taint.at("timeAdded"),
    })
}

/// Checks `affinity` of a pod.
pub(crate) fn affinity(affinity: &Value, path: &Path<'_>, errors: &mut Errors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    if let Some(node) = affinity.at("nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(selector) = node.at(REQUIRED) {
            node_selector(selector, &path.child(REQUIRED), errors);
        }
        let list = path.child(PREFERRED);
        for (index, term) in node.items(PREFERRED).iter().enumerate() {
            let path = list.index(index);
            weight(term.number("weight"), &path, errors);
            let preference = term.get("preference").unwrap_or(&Value::Null);
            node_selector_term(preference, true, &path.child("preference"), errors);
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(pod) = affinity.at(kind) else { continue };
        let path = path.child(kind);
        let list = path.child(REQUIRED);
        for (index, term) in pod.items(REQUIRED).iter().enumerate() {
            pod_term(term, &list.index(index), errors);
        }
        let list = path.child(PREFERRED);
        for (index, weighted) in pod.items(PREFERRED).iter().enumerate() {
            let path = list.index(index);
            weight(weighted.number("weight"), &path, errors);
            let term = weighted.get("podAffinityTerm").unwrap_or(&Value::Null);
            pod_term(term, &path.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(weight: i64, path: &Path<'_>, errors: &mut Errors) {
    if !(1..=100).contains(&weight) {
        errors.invalid(path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// Checks a node selector: terms of which one must match.
pub(crate) fn node_selector(selector: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("nodeSelectorTerms");
    let terms = selector.items("nodeSelectorTerms");
    if terms.is_empty() {
        errors.required(list, "must have at least one node selector term");
    }
    for (index, term) in terms.iter().enumerate() {
        node_selector_term(term, false, &list.index(index), errors);
    }
}

fn node_selector_term(term: &Value, values_may_be_invalid: bool, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("matchExpressions");
    for (index, requirement) in term.items("matchExpressions").iter().enumerate() {
        node_requirement(requirement, values_may_be_invalid, &list.index(index), errors);
    }
    let list = path.child("matchFields");
    for (index, requirement) in term.items("matchFields").iter().enumerate() {
        field_requirement(requirement, &list.index(index), errors);
    }
}

fn node_requirement(requirement: &Value, values_may_be_invalid: bool, path: &Path<'_>, errors: &mut Errors) {
    let (operator, values) = (requirement.text("operator"), requirement.items("values"));
    let values_path = path.child("values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(values_path, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.forbidden(values_path, message);
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.required(values_path, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => errors.invalid(path.child("operator"), operator, "not a valid selector operator"),
    }
    let key = requirement.text("key");
    errors.all_invalid(&path.child("key"), key, names::qualified_name(key));
    if !values_may_be_invalid {
        selector::label_values(values, &values_path, errors);
    }
}

fn field_requirement(requirement: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (operator, values) = (requirement.text("operator"), requirement.items("values"));
    let values_path = path.child("values");
    match operator {
        "In" | "NotIn" if values.len() == 1 => {}
        "In" | "NotIn" => {
            let message = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.required(values_path, message);
        }
        _ => errors.invalid(path.child("operator"), operator, "not a valid selector operator"),
    }
    let key = requirement.text("key");
    if key != "metadata.name" {
        return errors.invalid(path.child("key"), key, "not a valid field selector key");
    }
    for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
        errors.all_invalid(&values_path.index(index), value, names::dns_subdomain(value));
    }
}

fn pod_term(term: &Value, path: &Path<'_>, errors: &mut Errors) {
    for field in ["labelSelector", "namespaceSelector"] {
        selector::label_selector(term.at(field), false, &path.child(field), errors);
    }
    for namespace in term.items("namespaces").iter().filter_map(Value::as_str) {
        errors.all_invalid(&path.child("namespace"), namespace, names::dns_label(namespace));
    }
    label_keys(term, path, errors);
    let key = term.text("topologyKey");
    let key_path = path.child("topologyKey");
    if key.is_empty() {
        errors.required(key_path, "can not be empty");
    }
    errors.all_invalid(&key_path, key, names::qualified_name(key));
}

fn label_keys(owner: &Value, path: &Path<'_>, errors: &mut Errors) {
    let texts = |field: &str| owner.items(field).iter().filter_map(Value::as_str);
    let mismatch: HashSet<&str> = texts("mismatchLabelKeys").collect();
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = owner.items(field);
        let list = path.child(field);
        if !keys.is_empty() && !owner.has("labelSelector") {
            errors.forbidden(list, "must not be specified when labelSelector is not set");
            continue;
        }
        for (index, key) in keys.iter().filter_map(Value::as_str).enumerate() {
            errors.all_invalid(&list.index(index), key, names::qualified_name(key));
        }
    }
    let list = path.child("matchLabelKeys");
    for (index, key) in texts("matchLabelKeys").enumerate() {
        if mismatch.contains(key) {
            let message = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.invalid(list.index(index), key, message);
        }
    }
}

/// Checks `topologySpreadConstraints` of a pod.
pub(crate) fn spread(list: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let pair =
        |one: &'_ Value| (one.text("topologyKey").to_owned(), one.text("whenUnsatisfiable").to_owned());
    let last: HashMap<(String, String), usize> =
        list.iter().enumerate().map(|(index, one)| (pair(one), index)).collect();
    for (index, constraint) in list.iter().enumerate() {
        let path = path.index(index);
        positive(constraint.number("maxSkew"), &path.child("maxSkew"), errors);
        let (key, action) = (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"));
        if key.is_empty() {
            errors.required(path.child("topologyKey"), "can not be empty");
        }
        let actions = &["DoNotSchedule", "ScheduleAnyway"];
        if !actions.contains(&action) {
            errors.not_supported(path.child("whenUnsatisfiable"), action, actions);
        }
        if last.get(&pair(constraint)).is_some_and(|last| *last > index) {
            errors.duplicate(path.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        if let Some(domains) = constraint.number_opt("minDomains") {
            positive(domains, &path.child("minDomains"), errors);
            if action != "DoNotSchedule" {
                let message =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.invalid(path.child("minDomains"), domains, &message);
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = constraint.text(field);
            if constraint.has(field) && !["Honor", "Ignore"].contains(&policy) {
                errors.not_supported(path.child(field), policy, &["Honor", "Ignore"]);
            }
        }
        label_keys(constraint, &path, errors);
        selector::label_selector(constraint.at("labelSelector"), false, &path.child("labelSelector"), errors);
    }
}

fn positive(number: i64, path: &Path<'_>, errors: &mut Errors) {
    if number <= 0 {
        errors.invalid(path, number, "must be greater than zero");
    }
}

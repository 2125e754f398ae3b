//! `matchLabelKeys` and `mismatchLabelKeys` of a new pod: the API writes what they say into the label selectors beside
//! them, with the values of the pod's own labels.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use serde_json::json;

/// Adds the requirements to spread constraints and terms of affinity.
pub(super) fn merge(pod: &mut Value) {
    let labels = pod.at("metadata.labels").cloned().unwrap_or_default();
    let Some(spec) = pod.get_mut("spec") else { return };
    for constraint in spec.items_mut("topologySpreadConstraints") {
        add(constraint, &[("matchLabelKeys", "In")], &labels);
    }
    for kind in ["affinity.podAffinity", "affinity.podAntiAffinity"] {
        let Some(affinity) = spec.at_mut(kind) else { continue };
        for weighted in affinity.items_mut("preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                add(term, &[("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")], &labels);
            }
        }
        for term in affinity.items_mut("requiredDuringSchedulingIgnoredDuringExecution") {
            add(term, &[("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")], &labels);
        }
    }
}

fn add(owner: &mut Value, fields: &[(&str, &str)], labels: &Value) {
    let mut requirements = Vec::new();
    for (field, operator) in fields {
        for key in owner.items(field).iter().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                requirements.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    let Some(selector) = owner.get_mut("labelSelector").filter(|selector| selector.is_object()) else {
        return;
    };
    if requirements.is_empty() {
        return;
    }
    selector.fill("matchExpressions", Value::Array(Vec::new()));
    if let Some(list) = selector.at_mut("matchExpressions").and_then(Value::as_array_mut) {
        list.append(&mut requirements);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys_become_requirements_with_the_values_of_the_pod() {
        let mut pod = json!({
            "metadata": {"labels": {"hash": "1"}},
            "spec": {
                "topologySpreadConstraints": [
                    {"matchLabelKeys": ["hash", "none"], "labelSelector": {}},
                    {"matchLabelKeys": ["hash"]},
                ],
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"mismatchLabelKeys": ["hash"], "labelSelector": {}},
                ]}},
            },
        });
        merge(&mut pod);
        let requirement = |operator| json!([{"key": "hash", "operator": operator, "values": ["1"]}]);
        let spread = &pod["spec"]["topologySpreadConstraints"];
        assert_eq!(spread[0]["labelSelector"]["matchExpressions"], requirement("In"));
        assert!(!spread[1].has("labelSelector"));
        let terms = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution";
        assert_eq!(pod.items(terms)[0]["labelSelector"]["matchExpressions"], requirement("NotIn"));
    }
}

//! Pod disruption budgets.

use everynode_model::Value;
use everynode_model::access::Read;

use super::print;
use super::row::{ROW, Row, status};
use crate::rules::{Column, Rules};
use crate::validate::{Errors, Path, Report, internal, rolling, selector};

pub(super) const RESOURCES: &[Row] = &[Row {
    group: "policy",
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    short_names: &["pdb"],
    subresources: &[status("PodDisruptionBudget")],
    type_name: "policy.v1.PodDisruptionBudget",
    unconditional_update: false,
    rules: &PodDisruptionBudget,
    ..ROW
}];

#[derive(Debug)]
struct PodDisruptionBudget;

impl Rules for PodDisruptionBudget {
    fn status_type(&self) -> Option<&'static str> {
        Some("policy.v1.PodDisruptionBudgetStatus")
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let path = Path::root("spec");
        let spec = object.get("spec").unwrap_or(&Value::Null);
        if spec.has("minAvailable") && spec.has("maxUnavailable") {
            let shown = internal::form("policy.v1.PodDisruptionBudgetSpec", spec);
            errors.invalid(path, shown, "minAvailable and maxUnavailable cannot be both set");
        }
        for field in ["minAvailable", "maxUnavailable"] {
            if let Some(value) = spec.at(field) {
                rolling::positive_or_percent(value, &path.child(field), errors);
                rolling::at_most_all(value, &path.child(field), errors);
            }
        }
        selector::label_selector(spec.at("selector"), false, &path.child("selector"), errors);
        let policies = &["AlwaysAllow", "IfHealthyBudget"];
        if let Some(policy) = spec.at("unhealthyPodEvictionPolicy").and_then(Value::as_str)
            && !policies.contains(&policy)
        {
            errors.not_supported(path.child("unhealthyPodEvictionPolicy"), policy, policies);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::workload::DISRUPTION_BUDGET
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::workload::disruption_budget(object, now)
    }
}

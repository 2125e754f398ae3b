//! Pod disruption budgets.

use super::{ROW, status, strategy};
use crate::Value;
use crate::resource::{Resource, Rules};

pub(super) const RESOURCES: &[Resource] = &[Resource {
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
    fn prepare_create(&self, object: &mut Value) {
        strategy::create(object, "policy.v1.PodDisruptionBudgetStatus");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::update(new, old);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }
}

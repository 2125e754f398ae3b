//! Pod disruption budgets.

use super::{ROW, status};
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "policy",
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    short_names: &["pdb"],
    subresources: &[status("PodDisruptionBudget")],
    type_name: "policy.v1.PodDisruptionBudget",
    unconditional_update: false,
    ..ROW
}];

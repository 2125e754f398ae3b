//! Priority classes.

use super::ROW;
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    plural: "priorityclasses",
    singular: "priorityclass",
    short_names: &["pc"],
    namespaced: false,
    type_name: "scheduling.v1.PriorityClass",
    ..ROW
}];

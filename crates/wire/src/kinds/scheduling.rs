//! Priority classes.

use super::{ROW, strategy};
use crate::Value;
use crate::access::Fill;
use crate::resource::{Resource, Rules};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    plural: "priorityclasses",
    singular: "priorityclass",
    short_names: &["pc"],
    namespaced: false,
    type_name: "scheduling.v1.PriorityClass",
    rules: &PriorityClass,
    ..ROW
}];

#[derive(Debug)]
struct PriorityClass;

impl Rules for PriorityClass {
    fn default(&self, object: &mut Value) {
        object.fill("preemptionPolicy", "PreemptLowerPriority");
    }

    fn prepare_create(&self, object: &mut Value) {
        strategy::first_generation(object);
    }
}

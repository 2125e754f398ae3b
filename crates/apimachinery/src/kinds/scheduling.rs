//! Priority classes.

use everynode_model::Value;
use everynode_model::access::{Fill, Read};

use super::print;
use super::row::{ROW, Row};
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, meta};

pub(super) const RESOURCES: &[Row] = &[Row {
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

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let (name, value) = (object.text("metadata.name"), object.number("value"));
        if name.starts_with("system-") {
            if SYSTEM_PRIORITIES.iter().all(|(system, _)| *system != name) {
                let message = format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known system priority class"
                );
                errors.forbidden("metadata.name", &message);
            } else if !SYSTEM_PRIORITIES.contains(&(name, value)) {
                let message = format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: value of {name} PriorityClass must be {}",
                    SYSTEM_PRIORITIES
                        .iter()
                        .find(|(system, _)| *system == name)
                        .map_or(0, |(_, value)| *value)
                );
                errors.forbidden("metadata.name", &message);
            }
        } else if value > HIGHEST_USER_VALUE {
            let message = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_VALUE}");
            errors.forbidden("value", &message);
        }
        let policies = &["PreemptLowerPriority", "Never"];
        errors.one_of(&Path::root("preemptionPolicy"), object.text("preemptionPolicy"), policies);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        if new.get("value") != old.get("value") {
            errors.forbidden("value", "may not be changed in an update.");
        }
        meta::immutable_field(new, old, "preemptionPolicy", &Path::root("preemptionPolicy"), errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::PRIORITY_CLASS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::priority_class(object, now)
    }
}

/// The highest priority that users may give.
const HIGHEST_USER_VALUE: i64 = 1_000_000_000;

/// The classes of the system with their priorities.
pub const SYSTEM_PRIORITIES: &[(&str, i64)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

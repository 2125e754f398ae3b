//! Bindings of pods to nodes, and component statuses.

use everynode_model::Value;

use super::print;
use super::row::{ROW, Row};
use crate::rules::{Column, Rules};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "Binding",
        plural: "bindings",
        singular: "binding",
        verbs: &["create"],
        type_name: "core.v1.Binding",
        ..ROW
    },
    Row {
        kind: "ComponentStatus",
        plural: "componentstatuses",
        singular: "componentstatus",
        short_names: &["cs"],
        namespaced: false,
        verbs: &["get", "list"],
        type_name: "core.v1.ComponentStatus",
        deprecation: Some("v1 ComponentStatus is deprecated in v1.19+"),
        rules: &ComponentStatus,
        ..ROW
    },
];

#[derive(Debug)]
struct ComponentStatus;

impl Rules for ComponentStatus {
    fn columns(&self) -> &'static [Column] {
        print::cluster::COMPONENT
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::component(object, now)
    }
}

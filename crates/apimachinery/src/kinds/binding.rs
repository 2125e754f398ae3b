//! Bindings of pods to nodes, and component statuses.

use super::row::{ROW, Row};

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
        ..ROW
    },
];

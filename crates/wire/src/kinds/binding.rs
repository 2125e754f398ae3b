//! Bindings of pods to nodes, and component statuses.

use super::ROW;
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        kind: "Binding",
        plural: "bindings",
        singular: "binding",
        verbs: &["create"],
        type_name: "core.v1.Binding",
        ..ROW
    },
    Resource {
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

//! Runtime classes.

use super::ROW;
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[Resource {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    namespaced: false,
    type_name: "node.v1.RuntimeClass",
    create_on_update: true,
    unconditional_update: false,
    ..ROW
}];

//! Nodes.

use super::{PROXY, ROW, status, subresource};
use crate::resource::Resource;

pub(super) const RESOURCES: &[Resource] = &[Resource {
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short_names: &["no"],
    namespaced: false,
    subresources: &[subresource("proxy", "NodeProxyOptions", PROXY), status("Node")],
    type_name: "core.v1.Node",
    selectable_fields: &["spec.unschedulable"],
    ..ROW
}];

//! Nodes.

use super::{PROXY, ROW, status, strategy, subresource};
use crate::Value;
use crate::access::{Fill, Read};
use crate::resource::{Resource, Rules};

pub(super) const RESOURCES: &[Resource] = &[Resource {
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short_names: &["no"],
    namespaced: false,
    subresources: &[subresource("proxy", "NodeProxyOptions", PROXY), status("Node")],
    type_name: "core.v1.Node",
    selectable_fields: &["spec.unschedulable"],
    rules: &Node,
    ..ROW
}];

#[derive(Debug)]
struct Node;

impl Rules for Node {
    fn default(&self, object: &mut Value) {
        let Some(status) = object.get_mut("status") else { return };
        if let Some(capacity) = status.at("capacity").cloned() {
            status.fill("allocatable", capacity);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        strategy::keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        strategy::status_update(new, old);
    }
}

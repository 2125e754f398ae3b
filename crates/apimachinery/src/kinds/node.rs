//! Nodes.

use super::print;
use super::row::{PROXY, ROW, Row, status};
use crate::resource::Subresource;
use crate::rules::{Column, Rules, strategy};
use crate::validate::{Errors, Path, Report, resource_list, scheduling};
use everynode_model::Value;
use everynode_model::access::{Fill, Read};
use everynode_model::quantity::Quantity;

pub(super) const RESOURCES: &[Row] = &[Row {
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short_names: &["no"],
    namespaced: false,
    subresources: &[Subresource::new("proxy", "NodeProxyOptions", PROXY), status("Node")],
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

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        checks(object, errors);
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        // The API checks a changed node as a new one first, and then again.
        checks(new, errors);
        let path = Path::root("spec");
        let cidrs = old.items("spec.podCIDRs");
        if !cidrs.is_empty() && cidrs != new.items("spec.podCIDRs") {
            let message = "node updates may not change podCIDR except from \"\" to valid";
            errors.forbidden(path.child("podCIDRs"), message);
        }
        let provider = old.text("spec.providerID");
        if !provider.is_empty() && provider != new.text("spec.providerID") {
            let message = "node updates may not change providerID except from \"\" to valid";
            errors.forbidden(path.child("providerID"), message);
        }
        checks(new, errors);
    }

    fn validate_status_update(&self, new: &Value, _old: &Value, errors: &mut Errors) {
        checks(new, errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::node::COLUMNS
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::node::cells(object, now)
    }
}

/// Checks amounts and taints.
fn checks(node: &Value, errors: &mut Errors) {
    for list in ["capacity", "allocatable"] {
        let status = Path::root("status");
        let path = status.child(list);
        for (name, quantity) in node.entries(&format!("status.{list}")) {
            if let Ok(quantity) = Quantity::parse(quantity.as_str().unwrap_or_default()) {
                resource_list::not_negative(&quantity, &path.child(name), errors);
            }
        }
    }
    // The API reports taints under this path, though they stand in the spec.
    scheduling::taints(node.items("spec.taints"), &Path::root("metadata.taints"), errors);
}

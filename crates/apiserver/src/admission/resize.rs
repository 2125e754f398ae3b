//! Resizes of pods: what their namespace, its quotas and their node say of what is asked for.

use std::sync::Arc;

use everynode_admission::{Charge, check_limits, fill_in_limits, forbid};
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::access::Read;
use everynode_model::pod_resources::{self, Side};

use super::StoreView;
use super::quota::{self, Charged};
use crate::state::State;

/// Gives the containers of a resized pod what its namespace has for those that say nothing.
pub fn fill_in(state: &State, pod: &mut Value) {
    fill_in_limits(&StoreView(state), pod);
}

/// Admits a resize, or refuses it. What it takes of quotas counts until the answer is dropped.
///
/// # Errors
/// 403.
pub fn admit(
    state: &State,
    resource: &Resource,
    new: &Value,
    old: &Value,
) -> Result<Option<Arc<Charged>>, Status> {
    if new.get("spec") == old.get("spec") {
        return Ok(None);
    }
    check_limits(&StoreView(state), resource, new)?;
    check_node(state, resource, new)?;
    quota::charge_more(state, resource, new, &Charge::of(old, state.now()))
}

/// The node of a pod runs Linux, and could hold the pod if it had no other.
fn check_node(state: &State, resource: &Resource, pod: &Value) -> Result<(), Status> {
    let name = pod.text("spec.nodeName");
    if name.is_empty() {
        return Ok(());
    }
    let table = state.catalog.table_named("", "v1", "nodes");
    let Some(node) = table.and_then(|table| state.store.get(table, "", name)) else {
        return Err(forbid(resource, pod, &format!("node {name:?} not found")));
    };
    let node = node.value();
    let os = node.entries("metadata.labels").find(|(key, _)| *key == "kubernetes.io/os");
    if let Some((_, os)) = os.filter(|(_, os)| *os != "linux") {
        let why = format!("pod resize is only supported on linux nodes, node {name:?} is {os}");
        return Err(forbid(resource, pod, &why));
    }
    let empty = Value::Null;
    let asked = pod_resources::with_overhead(pod.get("spec").unwrap_or(&empty), Side::Requests);
    let allocatable = pod_resources::list(node.at("status.allocatable"));
    let lacks = ["cpu", "memory"].into_iter().filter_map(|name| {
        let amount = |list: &pod_resources::ResourceList| {
            list.get(name).map_or(0, |one| if name == "cpu" { one.millis() } else { one.value() })
        };
        let (asked, there) = (amount(&asked), amount(&allocatable));
        (asked > there).then(|| format!("{name}, requested: {asked}, allocatable: {there}"))
    });
    let lacks: Vec<String> = lacks.collect();
    match lacks.is_empty() {
        true => Ok(()),
        false => {
            let why = format!("node didn't have enough allocatable resources: {}", lacks.join("; "));
            Err(forbid(resource, pod, &why))
        }
    }
}

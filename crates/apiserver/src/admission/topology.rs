//! Pods carry the zone and region of their node as labels, from the moment they are bound.

use everynode_wire::{Object, Value};

use crate::api::Api;

const COPIED: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

/// Gives a pod the topology labels of the node that it is bound to, over any of its own. A node that does not
/// exist gives none.
pub fn label_pod(api: &Api, pod: &mut Value) {
    let Some(node) = pod.pointer("/spec/nodeName").and_then(Value::as_str).filter(|name| !name.is_empty())
    else {
        return;
    };
    let nodes = api.catalog().shelf_named("", "v1", "nodes");
    let Some(node) = nodes.and_then(|nodes| api.store().get(nodes, "", node)) else { return };
    let copied: Vec<_> = COPIED.iter().filter_map(|key| Some((*key, node.facts.label(key)?))).collect();
    let Some(metadata) =
        pod.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !copied.is_empty())
    else {
        return;
    };
    let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Object::new()));
    if let Some(labels) = labels.as_object_mut() {
        labels.extend(copied.into_iter().map(|(key, value)| (key.to_owned(), value.into())));
    }
}

//! The body of a pod that is to be created (specification 1.C).

use serde_json::{Map, Value, json};

use crate::actions::{DaemonSetRef, NewPod};
use crate::template::{DEFAULT_TOLERATIONS, HOST_NETWORK_TOLERATION, is_host_network};

/// The label that names the revision a pod was made from.
pub const HASH_LABEL: &str = "controller-revision-hash";
/// The label that carries the DaemonSet's template generation.
pub const GENERATION_LABEL: &str = "pod-template-generation";

/// The pod to POST for an action. Fields of the template's spec that this code does not know are kept.
pub fn body(daemonset: &DaemonSetRef, pod: &NewPod) -> Value {
    let template = pod.template.value();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(daemonset, pod, &template["metadata"]),
        "spec": spec(&template["spec"], &pod.node),
    })
}

fn metadata(daemonset: &DaemonSetRef, pod: &NewPod, template: &Value) -> Value {
    let mut labels = template["labels"].as_object().cloned().unwrap_or_default();
    if let Some(generation) = pod.template_generation {
        labels.insert(GENERATION_LABEL.to_owned(), generation.to_string().into());
    }
    labels.insert(HASH_LABEL.to_owned(), Value::from(&*pod.hash));
    let mut metadata = Map::new();
    match &pod.name {
        Some(name) => metadata.insert("name".to_owned(), Value::from(&**name)),
        None => metadata.insert("generateName".to_owned(), generate_name(&daemonset.name).into()),
    };
    metadata.insert("namespace".to_owned(), daemonset.namespace.as_str().into());
    metadata.insert("labels".to_owned(), labels.into());
    for copied in ["annotations", "finalizers"] {
        if let Some(value) = template.get(copied).filter(|value| !value.is_null()) {
            metadata.insert(copied.to_owned(), value.clone());
        }
    }
    metadata.insert("ownerReferences".to_owned(), json!([owner_reference(daemonset)]));
    metadata.into()
}

/// The owner reference by which a DaemonSet controls a pod or a ControllerRevision ([C5](crate::spec#c5),
/// [G5](crate::spec#g5)).
pub fn owner_reference(daemonset: &DaemonSetRef) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "name": daemonset.name,
        "uid": daemonset.uid.to_string(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// `<name>-`, or the bare name where the dash would make it too long for a DNS-1123 subdomain
/// ([C4](crate::spec#c4)).
fn generate_name(name: &str) -> String {
    if name.len() < 253 { format!("{name}-") } else { name.to_owned() }
}

fn spec(template: &Value, node: &str) -> Value {
    let mut spec = template.as_object().cloned().unwrap_or_default();
    pin_to_node(&mut spec, node);
    add_tolerations(&mut spec, is_host_network(template));
    spec.into()
}

/// Replaces the required node affinity by the one node; everything else in affinity stays
/// ([C6](crate::spec#c6)).
fn pin_to_node(spec: &mut Map<String, Value>, node: &str) {
    let required = json!({
        "nodeSelectorTerms": [{
            "matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}],
        }],
    });
    let affinity = object_at(spec, "affinity");
    let node_affinity = object_at(affinity, "nodeAffinity");
    node_affinity.insert("requiredDuringSchedulingIgnoredDuringExecution".to_owned(), required);
}

fn object_at<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let daemonset = parent.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !daemonset.is_object() {
        *daemonset = Value::Object(Map::new());
    }
    match daemonset {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object just above"),
    }
}

/// Appends the default tolerations; an equal one of the user's is replaced in place, without its seconds
/// ([C1](crate::spec#c1)).
fn add_tolerations(spec: &mut Map<String, Value>, host_network: bool) {
    let mut list = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    let host_network = host_network.then_some(HOST_NETWORK_TOLERATION);
    for (key, effect) in DEFAULT_TOLERATIONS.into_iter().chain(host_network) {
        let default = json!({"key": key, "operator": "Exists", "effect": effect.as_str()});
        match list.iter_mut().find(|one| is_same_toleration(one, key, effect.as_str())) {
            Some(equal) => *equal = default,
            None => list.push(default),
        }
    }
    spec.insert("tolerations".to_owned(), list.into());
}

fn is_same_toleration(one: &Value, key: &str, effect: &str) -> bool {
    let text = |field: &str| one[field].as_str().unwrap_or_default();
    text("key") == key && text("effect") == effect && text("operator") == "Exists" && text("value").is_empty()
}

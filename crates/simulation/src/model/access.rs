//! Reading objects.

use everynode_model::Value;

/// The text at a JSON pointer, or nothing.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

pub(crate) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"].get(key)?.as_str()
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The pod has ended.
pub(crate) fn is_terminal(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// The pod neither has ended nor is asked to.
pub(crate) fn is_live(pod: &Value) -> bool {
    !is_deleting(pod) && !is_terminal(pod)
}

fn ready_condition(pod: &Value) -> Option<&Value> {
    pod.pointer("/status/conditions")?.as_array()?.iter().find(|one| one["type"] == "Ready")
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    ready_condition(pod).is_some_and(|ready| ready["status"] == "True")
}

/// The pod has been ready for so long, at this time in seconds since 1970.
pub(crate) fn is_available_at(pod: &Value, min_ready_seconds: i64, now_seconds: i64) -> bool {
    let since = ready_condition(pod)
        .filter(|ready| ready["status"] == "True")
        .and_then(|ready| ready["lastTransitionTime"].as_str())
        .and_then(|text| everynode_model::time::parse(text).ok());
    match min_ready_seconds {
        0 => is_ready(pod),
        seconds => since.is_some_and(|since| since + seconds <= now_seconds),
    }
}

pub(crate) fn is_bound_to(pod: &Value) -> Option<&str> {
    Some(text(pod, "/spec/nodeName")).filter(|node| !node.is_empty())
}

/// The node that a pod is for (specification D1).
pub(crate) fn target_node(pod: &Value) -> Option<&str> {
    let affinity =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    is_bound_to(pod).or_else(|| {
        let fields =
            pod.pointer(affinity)?.as_array()?.iter().filter_map(|term| term["matchFields"].as_array());
        let first =
            fields.flatten().find(|field| field["key"] == "metadata.name" && field["operator"] == "In")?;
        match first["values"].as_array()?.as_slice() {
            [node] => node.as_str(),
            _ => None,
        }
    })
}

/// The uid of the owner with `controller: true`, and its kind.
pub(crate) fn controller_uid(object: &Value) -> Option<(&str, &str)> {
    let owners = object["metadata"].get("ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["uid"].as_str()?))
}

/// Whether a roll-out may put two pods on a node (specification E1).
pub(crate) fn daemonset_allows_surge(daemonset: &Value) -> bool {
    let strategy = &daemonset["spec"]["updateStrategy"];
    let surge = &strategy["rollingUpdate"]["maxSurge"];
    let is_some = surge.as_i64().is_some_and(|surge| surge > 0)
        || surge.as_str().is_some_and(|surge| surge != "0%" && surge != "0");
    strategy["type"] == "RollingUpdate" && is_some
}

//! The Node object of a simulated node, as the kubelet registers it.

use everynode_model::{NOT_READY_TAINT, Node, Object, UNREACHABLE_TAINT, Value};
use serde_json::json;

use crate::config::{Mode, NodeSpec};
use crate::status::Timestamp;

/// The version of Kubernetes whose kubelet is simulated.
const KUBELET_VERSION: &str = "v1.36.2";

/// The address of a node and the range of its pods, from its place in the fleet.
pub(crate) fn addresses(index: usize) -> (String, String) {
    let (high, low) = ((index >> 8) & 255, index & 255);
    (format!("192.168.{high}.{low}"), format!("10.{high}.{low}"))
}

/// Conditions besides Ready, with their healthy and unhealthy reason and message, and the taint that goes with
/// the unhealthy state.
const PRESSURES: [(&str, &str, [&str; 2], [&str; 2]); 3] = [
    (
        "MemoryPressure",
        "node.kubernetes.io/memory-pressure",
        ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
        ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
    ),
    (
        "DiskPressure",
        "node.kubernetes.io/disk-pressure",
        ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
        ["KubeletHasDiskPressure", "kubelet has disk pressure"],
    ),
    (
        "PIDPressure",
        "node.kubernetes.io/pid-pressure",
        ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
        ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
    ),
];

const NETWORK_TAINT: &str = "node.kubernetes.io/network-unavailable";

/// What a Node object says about the health of its node: its Ready condition, or else its taints.
pub(crate) fn mode_of(node: &Node<'_>) -> Mode {
    match node.ready().map(|ready| &*ready.status) {
        Some("True") => Mode::Healthy,
        Some("False") => Mode::NotReady,
        Some(_) => Mode::Silent,
        None if node.has_taint(UNREACHABLE_TAINT) => Mode::Silent,
        None if node.has_taint(NOT_READY_TAINT) => Mode::NotReady,
        None => Mode::Healthy,
    }
}

/// The Node object to create.
pub(crate) fn node_object(spec: &NodeSpec, index: usize, now: Timestamp) -> Value {
    let empty = Value::Null;
    let adopted = spec.adopted.as_ref().unwrap_or(&empty);
    let (os, arch) =
        (label(adopted, "kubernetes.io/os", "linux"), label(adopted, "kubernetes.io/arch", "amd64"));
    let mut labels = object_at(adopted, "/metadata/labels").unwrap_or_else(|| standard_labels(index));
    for (key, value) in [
        ("beta.kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", os),
        ("kubernetes.io/arch", arch),
        ("kubernetes.io/hostname", &spec.name),
        ("kubernetes.io/os", os),
    ] {
        labels.entry(key).or_insert_with(|| value.into());
    }
    let mut annotations = object_at(adopted, "/metadata/annotations").unwrap_or_default();
    annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
    let mut metadata = json!({ "name": spec.name, "labels": labels });
    if !annotations.is_empty() {
        metadata["annotations"] = annotations.into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": node_spec(adopted, index),
        "status": {
            "capacity": resources(adopted, "/status/capacity"),
            "allocatable": resources(adopted, "/status/allocatable"),
            "conditions": conditions(adopted, spec.mode, now),
            "addresses": node_addresses(adopted, &spec.name, index),
            "nodeInfo": node_info(adopted, &spec.name, os, arch),
        },
    })
}

/// The labels of a node of the standard shape: nodes are spread over three zones by their place in the fleet.
pub fn standard_labels(index: usize) -> Object {
    let mut labels = Object::new();
    labels.insert("node.kubernetes.io/instance-type".into(), "simulated-32".into());
    labels.insert("topology.kubernetes.io/region".into(), "simulated".into());
    let zone = ["simulated-a", "simulated-b", "simulated-c"][index % 3];
    labels.insert("topology.kubernetes.io/zone".into(), zone.into());
    labels
}

fn node_spec(adopted: &Value, index: usize) -> Value {
    let (_, pods) = addresses(index);
    let mut spec = object_at(adopted, "/spec").unwrap_or_default();
    spec.shift_remove("configSource");
    spec.shift_remove("externalID");
    spec.entry("podCIDR").or_insert_with(|| format!("{pods}.0/24").into());
    let range = spec["podCIDR"].clone();
    spec.entry("podCIDRs").or_insert_with(|| json!([range]));
    spec.entry("providerID").or_insert_with(|| format!("everynode://simulated/{index}").into());
    spec.into()
}

/// The resources of the object, with the standard amounts for those that it leaves out.
fn resources(adopted: &Value, pointer: &str) -> Value {
    let mut resources = object_at(adopted, pointer)
        .or_else(|| object_at(adopted, "/status/capacity"))
        .or_else(|| object_at(adopted, "/status/allocatable"))
        .unwrap_or_default();
    for (name, amount) in
        [("cpu", "32"), ("memory", "256Gi"), ("ephemeral-storage", "500Gi"), ("pods", "250")]
    {
        resources.entry(name).or_insert_with(|| amount.into());
    }
    resources.into()
}

fn conditions(adopted: &Value, mode: Mode, now: Timestamp) -> Vec<Value> {
    let mut conditions = Vec::new();
    let adopted = adopted.to_string();
    let node: Node<'_> = serde_json::from_str(&adopted).unwrap_or_default();
    let is_true = |kind: &str, taint: &str| match node.status.conditions.get(kind) {
        Some(condition) => condition.is_true(),
        None => node.has_taint(taint),
    };
    if is_true("NetworkUnavailable", NETWORK_TAINT) {
        let text = ["NoRouteCreated", "the network of this node is not set up"];
        conditions.push(condition("NetworkUnavailable", "True", text, now));
    }
    for (kind, taint, healthy, unhealthy) in PRESSURES {
        let bad = is_true(kind, taint);
        let status = if bad { "True" } else { "False" };
        conditions.push(condition(kind, status, if bad { unhealthy } else { healthy }, now));
    }
    let (status, text) = ready(mode);
    conditions.push(condition("Ready", status, text, now));
    conditions
}

/// Status, reason and message of the Ready condition.
pub(crate) fn ready(mode: Mode) -> (&'static str, [&'static str; 2]) {
    match mode {
        Mode::Healthy => ("True", ["KubeletReady", "kubelet is posting ready status"]),
        Mode::NotReady => ("False", ["KubeletNotReady", "the simulated node is not ready"]),
        Mode::Silent => ("Unknown", ["NodeStatusUnknown", "Kubelet stopped posting node status."]),
    }
}

fn condition(kind: &str, status: &str, [reason, message]: [&str; 2], now: Timestamp) -> Value {
    json!({
        "type": kind,
        "status": status,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    })
}

/// The strategic merge patch of a heartbeat. `changed` also sets the time of the transition.
pub(crate) fn heartbeat(mode: Mode, changed: bool, now: Timestamp) -> Vec<u8> {
    let (status, text) = ready(mode);
    let mut ready = condition("Ready", status, text, now);
    if let (false, Some(ready)) = (changed, ready.as_object_mut()) {
        ready.shift_remove("lastTransitionTime");
    }
    let mut conditions: Vec<Value> =
        PRESSURES.iter().map(|(kind, ..)| json!({ "type": kind, "lastHeartbeatTime": now })).collect();
    conditions.push(ready);
    json!({ "status": { "conditions": conditions } }).to_string().into_bytes()
}

fn node_addresses(adopted: &Value, name: &str, index: usize) -> Value {
    match adopted.pointer("/status/addresses") {
        Some(Value::Array(list)) if !list.is_empty() => Value::Array(list.clone()),
        _ => json!([
            { "type": "InternalIP", "address": addresses(index).0 },
            { "type": "Hostname", "address": name },
        ]),
    }
}

fn node_info(adopted: &Value, name: &str, os: &str, arch: &str) -> Value {
    let mut info = object_at(adopted, "/status/nodeInfo").unwrap_or_default();
    for (key, value) in [
        ("machineID", name),
        ("systemUUID", name),
        ("bootID", name),
        ("kernelVersion", "6.12.0-simulated"),
        ("osImage", "everynode (simulated)"),
        ("containerRuntimeVersion", concat!("everynode://", env!("CARGO_PKG_VERSION"))),
        ("kubeletVersion", KUBELET_VERSION),
        ("kubeProxyVersion", ""),
        ("operatingSystem", os),
        ("architecture", arch),
    ] {
        info.entry(key).or_insert_with(|| value.into());
    }
    info.into()
}

fn label<'a>(object: &'a Value, key: &str, default: &'a str) -> &'a str {
    object["metadata"]["labels"].get(key).and_then(Value::as_str).unwrap_or(default)
}

fn object_at(value: &Value, pointer: &str) -> Option<Object> {
    value.pointer(pointer)?.as_object().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn check_condition(node: &Value, kind: &str, status: &str) {
        let text = node.to_string();
        let node: Node<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(node.status.conditions.get(kind).map(|one| &*one.status), Some(status), "{text}");
    }

    #[test]
    fn a_standard_node_has_the_labels_and_resources_of_a_kubelet() {
        let node = node_object(&NodeSpec::new("node-1"), 1, NOW);
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node-1");
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/os"], "linux");
        assert_eq!(
            node["status"]["allocatable"],
            json!({"cpu":"32","memory":"256Gi","ephemeral-storage":"500Gi","pods":"250"})
        );
        check_condition(&node, "Ready", "True");
        assert_eq!(node["spec"]["podCIDR"], "10.0.1.0/24");
    }

    #[test]
    fn an_adopted_node_keeps_labels_taints_and_capacity() {
        let object = json!({
            "kind": "Node",
            "metadata": {"name": "gpu", "uid": "x", "resourceVersion": "7",
                "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64", "accelerator": "k80"}},
            "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]},
            "status": {"capacity": {"cpu": "64", "nvidia.com/gpu": "8"}},
        });
        let node = node_object(&NodeSpec::from_object(object).unwrap(), 0, NOW);
        assert_eq!(node["metadata"]["labels"]["accelerator"], "k80");
        assert_eq!(node["metadata"].get("uid"), None);
        assert_eq!(node["spec"]["taints"][0]["key"], "gpu");
        assert_eq!(node["status"]["allocatable"]["nvidia.com/gpu"], "8");
        assert_eq!(node["status"]["allocatable"]["memory"], "256Gi");
        assert_eq!(node["status"]["nodeInfo"]["architecture"], "arm64");
    }

    fn check_mode(spec_and_status: Value, mode: Mode) {
        let mut object = json!({"kind": "Node", "metadata": {"name": "a"}});
        object["spec"] = spec_and_status["spec"].clone();
        object["status"] = spec_and_status["status"].clone();
        assert_eq!(NodeSpec::from_object(object).unwrap().mode, mode, "{spec_and_status}");
    }

    #[test]
    fn the_health_of_an_adopted_node_comes_from_its_conditions_or_taints() {
        check_mode(json!({}), Mode::Healthy);
        check_mode(json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}), Mode::NotReady);
        check_mode(json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}), Mode::Silent);
        check_mode(json!({"spec": {"taints": [{"key": "node.kubernetes.io/unreachable"}]}}), Mode::Silent);
        check_mode(json!({"spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]}}), Mode::NotReady);
        check_mode(
            json!({
                "spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }),
            Mode::Healthy,
        );
    }

    #[test]
    fn a_taint_of_a_condition_brings_the_condition() {
        let object = json!({"kind": "Node", "metadata": {"name": "a"},
            "spec": {"taints": [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]}});
        let node = node_object(&NodeSpec::from_object(object).unwrap(), 0, NOW);
        check_condition(&node, "NetworkUnavailable", "True");
        check_condition(&node, "DiskPressure", "False");
    }
}

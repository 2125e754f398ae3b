//! Nodes.

use everynode_model::Value;
use everynode_model::access::Read;

use super::cell::{AGE, NAME, NONE, UNKNOWN, age, name, or, text, wide};
use crate::rules::Column;

pub(in crate::kinds) const COLUMNS: &[Column] = &[
    NAME,
    text("Status", "The status of the node"),
    text("Roles", "The roles of the node"),
    AGE,
    text("Version", "Kubelet Version reported by the node."),
    wide(
        "Internal-IP",
        "List of addresses reachable to the node. Queried from cloud provider, if available. More info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).",
    ),
    wide(
        "External-IP",
        "List of addresses reachable to the node. Queried from cloud provider, if available. More info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).",
    ),
    wide(
        "OS-Image",
        "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
    ),
    wide(
        "Kernel-Version",
        "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).",
    ),
    wide(
        "Container-Runtime",
        "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).",
    ),
];

pub(in crate::kinds) fn cells(node: &Value, now: i64) -> Vec<Value> {
    let info = |field: &str| node.text(&format!("status.nodeInfo.{field}"));
    let mut kernel = or(info("kernelVersion"), UNKNOWN).to_owned();
    if !info("architecture").is_empty() {
        kernel = format!("{kernel} ({})", info("architecture"));
    }
    vec![
        name(node),
        status(node).into(),
        roles(node).into(),
        age(node, now),
        info("kubeletVersion").into(),
        address(node, "InternalIP").into(),
        address(node, "ExternalIP").into(),
        or(info("osImage"), UNKNOWN).into(),
        kernel.into(),
        or(info("containerRuntimeVersion"), UNKNOWN).into(),
    ]
}

fn status(node: &Value) -> String {
    let conditions = node.items("status.conditions");
    let ready = conditions.iter().rfind(|condition| condition.text("type") == "Ready");
    let status = match ready.map(|condition| condition.text("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node.flag("spec.unschedulable") { format!("{status},SchedulingDisabled") } else { status.to_owned() }
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = node
        .entries("metadata.labels")
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    or(&roles.join(","), NONE).to_owned()
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let addresses = node.items("status.addresses");
    addresses.iter().find(|address| address.text("type") == kind).map_or(NONE, |found| found.text("address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_shows_its_readiness_its_cordon_and_its_roles() {
        let check = |node: Value, status: &str, roles: &str| {
            let cells = cells(&node, 0);
            assert_eq!((cells[1].as_str(), cells[2].as_str()), (Some(status), Some(roles)), "{node}");
        };
        let ready = |status: &str| json!({"conditions": [{"type": "Ready", "status": status}]});
        check(json!({}), "Unknown", "<none>");
        check(json!({"status": ready("True")}), "Ready", "<none>");
        check(json!({"status": ready("Unknown")}), "NotReady", "<none>");
        check(
            json!({
                "metadata": {"labels": {
                    "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "",
                    "kubernetes.io/role": "edge"
                }},
                "spec": {"unschedulable": true}, "status": ready("True")
            }),
            "Ready,SchedulingDisabled",
            "control-plane,edge,worker",
        );
    }
}

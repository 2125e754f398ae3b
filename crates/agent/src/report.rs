//! The status of a pod as it is written to the API.

use everynode_model::{Value, time};
use serde_json::{Map, json};

use crate::machine::{
    ConditionStatus, ContainerStatus, Exit, PodStatus, RESIZE_IN_PROGRESS, RESIZE_PENDING, StateStatus,
};
use crate::pod_spec::Pod;

/// The kind of runtime that stands before identifiers of containers.
const RUNTIME: &str = "containerd";

/// The strategic merge patch that brings the status of a pod up to date. The uid in it is a precondition.
pub fn patch(pod: &Pod, status: &PodStatus, host_ips: &[String]) -> Value {
    let mut body = Map::new();
    if pod.metadata.generation > 0 {
        body.insert("observedGeneration".to_owned(), pod.metadata.generation.into());
    }
    body.insert("phase".to_owned(), status.phase.name().into());
    for (key, text) in [("reason", &status.reason), ("message", &status.message)] {
        if !text.is_empty() {
            body.insert(key.to_owned(), text.as_str().into());
        }
    }
    let conditions = status.conditions.iter().map(|one| condition(pod, one)).chain(over(pod, status));
    body.insert("conditions".to_owned(), conditions.collect());
    let addresses = |ips: &[String]| Value::Array(ips.iter().map(|ip| json!({ "ip": ip })).collect());
    if let Some(first) = host_ips.first() {
        body.insert("hostIP".to_owned(), first.as_str().into());
        body.insert("hostIPs".to_owned(), addresses(host_ips));
    }
    let is_begun = status.containers.iter().chain(&status.init_containers).any(|one| !one.id.is_empty());
    let ips = if pod.spec.host_network && is_begun { host_ips } else { &status.ips };
    if let Some(first) = ips.first() {
        body.insert("podIP".to_owned(), first.as_str().into());
        body.insert("podIPs".to_owned(), addresses(ips));
    }
    body.insert("startTime".to_owned(), time::format(status.start_seconds).into());
    for (key, containers) in
        [("initContainerStatuses", &status.init_containers), ("containerStatuses", &status.containers)]
    {
        if !containers.is_empty() {
            body.insert(key.to_owned(), Value::Array(containers.iter().map(container).collect()));
        }
    }
    json!({ "metadata": { "uid": pod.metadata.uid }, "status": body })
}

/// Takes conditions away that are shown and hold no more: those that are there only while they hold.
fn over(pod: &Pod, status: &PodStatus) -> impl Iterator<Item = Value> {
    let kinds = [RESIZE_PENDING, RESIZE_IN_PROGRESS].into_iter();
    let holds = |kind: &&str| status.conditions.iter().any(|one| one.kind == *kind);
    let is_shown = |kind: &&str| pod.status.conditions.iter().any(|one| one.kind == **kind);
    kinds
        .filter(move |kind| is_shown(kind) && !holds(kind))
        .map(|kind| json!({ "$patch": "delete", "type": kind }))
}

fn condition(pod: &Pod, condition: &ConditionStatus) -> Value {
    // Null takes away what an earlier status said.
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let mut body = json!({
        "type": condition.kind,
        "status": if condition.is_true { "True" } else { "False" },
        "lastProbeTime": null,
        "lastTransitionTime": time::format(condition.since_seconds),
        "reason": text(condition.reason),
        "message": text(&condition.message),
    });
    if pod.metadata.generation > 0 {
        body["observedGeneration"] = pod.metadata.generation.into();
    }
    body
}

fn container(status: &ContainerStatus) -> Value {
    let state = match &status.state {
        StateStatus::Waiting { reason, message } if message.is_empty() => {
            json!({ "waiting": { "reason": reason } })
        }
        StateStatus::Waiting { reason, message } => {
            json!({ "waiting": { "reason": reason, "message": message } })
        }
        StateStatus::Running { started_nanos } => json!({ "running": { "startedAt": at(*started_nanos) } }),
        StateStatus::Terminated(exit) => json!({ "terminated": terminated(exit, &status.id) }),
    };
    let last = match &status.last_exit {
        Some((exit, id)) => json!({ "terminated": terminated(exit, id) }),
        None => json!({}),
    };
    let mut body = json!({
        "name": status.name,
        "state": state,
        "lastState": last,
        "ready": status.is_ready,
        "restartCount": status.restart_count,
        "image": status.image,
        "imageID": status.image_ref,
        "started": status.is_started,
        "resources": status.resources,
    });
    if !status.allotted.requests.is_empty() {
        body["allocatedResources"] = json!(status.allotted.requests);
    }
    if !status.id.is_empty() {
        body["containerID"] = full_id(&status.id).into();
    }
    body
}

fn terminated(exit: &Exit, id: &str) -> Value {
    let reason = match (exit.reason.as_str(), exit.code) {
        ("", 0) => "Completed",
        ("", _) => "Error",
        (reason, _) => reason,
    };
    let mut body = json!({
        "exitCode": exit.code,
        "reason": reason,
        "startedAt": at(exit.started_nanos),
        "finishedAt": at(exit.finished_nanos),
        "containerID": full_id(id),
    });
    if !exit.message.is_empty() {
        body["message"] = exit.message.as_str().into();
    }
    body
}

fn full_id(id: &str) -> String {
    format!("{RUNTIME}://{id}")
}

fn at(nanos: i64) -> String {
    time::format(nanos.div_euclid(1_000_000_000))
}

//! Pods.

use std::collections::HashMap;

use everynode_model::access::Read;
use everynode_model::{Value, time};
use serde_json::json;

use super::cell::{AGE, NAME, NONE, or, since, text, unix_seconds, wide};
use crate::rules::Column;

pub(in crate::kinds) const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    text("Status", "The aggregate status of the containers in this pod."),
    text(
        "Restarts",
        "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
    ),
    AGE,
    wide(
        "IP",
        "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
    ),
    wide(
        "Node",
        "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible for the lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename",
    ),
    wide(
        "Nominated Node",
        "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away as preemption victims receive their graceful termination periods. This field does not guarantee that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become available sooner. Scheduler may also decide to give the resources on this node to a higher priority pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when the pod is scheduled.",
    ),
    wide(
        "Readiness Gates",
        "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates",
    ),
];

pub(in crate::kinds) fn cells(pod: &Value, now: i64) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match summary.last_restart {
        Some(then) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, time::age(then, now))
        }
        _ => summary.restarts.to_string(),
    };
    let address = pod.items("status.podIPs").first().map(|address| address.text("ip")).unwrap_or_default();
    vec![
        pod.text("metadata.name").into(),
        format!("{}/{}", summary.ready, summary.containers).into(),
        summary.reason.into(),
        restarts.into(),
        since(pod.text("metadata.creationTimestamp"), now).into(),
        or(address, NONE).into(),
        or(pod.text("spec.nodeName"), NONE).into(),
        or(pod.text("status.nominatedNodeName"), NONE).into(),
        readiness_gates(pod).into(),
    ]
}

/// What a row says about a pod that has ended.
pub(in crate::kinds) fn row_conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match pod.text("status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn readiness_gates(pod: &Value) -> String {
    let gates = pod.items("spec.readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let is_met = |gate: &&Value| condition(pod, gate.text("conditionType")) == "True";
    format!("{}/{}", gates.iter().filter(is_met).count(), gates.len())
}

/// The status of a condition, empty when the pod has none of that type.
fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod.items("status.conditions");
    conditions
        .iter()
        .find(|condition| condition.text("type") == kind)
        .map_or("", |found| found.text("status"))
}

/// The state of a pod in few words.
struct Summary {
    reason: String,
    ready: usize,
    containers: usize,
    restarts: i64,
    /// Unix time in seconds of the latest end of a container that was started again.
    last_restart: Option<i64>,
}

impl Summary {
    fn of(pod: &Value) -> Summary {
        let init: HashMap<&str, bool> = pod
            .items("spec.initContainers")
            .iter()
            .map(|container| (container.text("name"), container.text("restartPolicy") == "Always"))
            .collect();
        let sidecars = init.values().filter(|is_sidecar| **is_sidecar).count();
        let phase = pod.text("status.phase");
        let mut summary = Summary {
            reason: or(pod.text("status.reason"), phase).to_owned(),
            ready: 0,
            containers: pod.items("spec.containers").len() + sidecars,
            restarts: 0,
            last_restart: None,
        };
        let gated = |condition: &Value| {
            condition.text("type") == "PodScheduled" && condition.text("reason") == "SchedulingGated"
        };
        if pod.items("status.conditions").iter().any(gated) {
            summary.reason = "SchedulingGated".to_owned();
        }
        let (initializing, sidecar_restarts) = summary.read_init_containers(pod, &init);
        if !initializing || condition(pod, "Initialized") == "True" {
            (summary.restarts, summary.last_restart) = sidecar_restarts;
            summary.read_containers(pod);
        }
        if pod.has("metadata.deletionTimestamp") {
            if pod.text("status.reason") == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Whether the pod is still initializing, and the restarts of its sidecars alone.
    fn read_init_containers(
        &mut self,
        pod: &Value,
        init: &HashMap<&str, bool>,
    ) -> (bool, (i64, Option<i64>)) {
        let mut sidecars = (0, None);
        for (index, status) in pod.items("status.initContainerStatuses").iter().enumerate() {
            let is_sidecar = init.get(status.text("name")).copied().unwrap_or_default();
            let ended = last_end(status);
            self.restarts += status.number("restartCount");
            self.last_restart = self.last_restart.max(ended);
            if is_sidecar {
                sidecars = (sidecars.0 + status.number("restartCount"), sidecars.1.max(ended));
            }
            let terminated = status.at("state.terminated");
            if terminated.is_some_and(|end| end.number("exitCode") == 0) {
                continue;
            }
            if is_sidecar && status.flag("started") {
                self.ready += usize::from(status.flag("ready"));
                continue;
            }
            let waiting = status.text("state.waiting.reason");
            self.reason = match terminated {
                Some(end) => format!("Init:{}", end_reason(end)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                None => format!("Init:{index}/{}", pod.items("spec.initContainers").len()),
            };
            return (true, sidecars);
        }
        (false, sidecars)
    }

    fn read_containers(&mut self, pod: &Value) {
        let mut has_running = false;
        let mut error_reason = String::new();
        for status in pod.items("status.containerStatuses").iter().rev() {
            self.restarts += status.number("restartCount");
            self.last_restart = self.last_restart.max(last_end(status));
            let waiting = status.text("state.waiting.reason");
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if let Some(end) = status.at("state.terminated") {
                self.reason = end_reason(end);
                if end.number("exitCode") != 0 {
                    error_reason.clone_from(&self.reason);
                }
            } else if status.flag("ready") && status.has("state.running") {
                has_running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if has_running && condition(pod, "Ready") == "True" {
                self.reason = "Running".to_owned();
            } else if !error_reason.is_empty() {
                self.reason = error_reason;
            } else if has_running {
                self.reason = "NotReady".to_owned();
            }
        }
    }
}

/// Why a container ended.
fn end_reason(end: &Value) -> String {
    match (end.text("reason"), end.number("signal")) {
        ("", 0) => format!("ExitCode:{}", end.number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// When the container ended before it was started again, in Unix seconds.
fn last_end(status: &Value) -> Option<i64> {
    unix_seconds(status.text("lastState.terminated.finishedAt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks ready, status and restarts of a pod with these parts, an hour after the epoch.
    fn check(parts: Value, expected: [&str; 3]) {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
        for (part, fields) in parts.as_object().expect("parts") {
            let target = pod.as_object_mut().expect("pod").entry(part).or_insert_with(|| json!({}));
            let target = target.as_object_mut().expect("part");
            target.extend(fields.as_object().expect("fields").clone());
        }
        let cells = cells(&pod, 3600);
        assert_eq!(cells[1..4], expected.map(Value::from), "{pod}");
    }

    fn container(state: Value) -> Value {
        json!([{"name": "c", "ready": true, "restartCount": 0, "state": state}])
    }

    #[test]
    fn the_status_says_what_a_pod_is_waiting_for_or_how_it_ended() {
        check(json!({"status": {"phase": "Pending"}}), ["0/1", "Pending", "0"]);
        let running = container(json!({"running": {}}));
        check(json!({"status": {"phase": "Running", "containerStatuses": running}}), ["1/1", "Running", "0"]);
        let waiting = container(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        check(
            json!({"status": {"phase": "Running", "containerStatuses": waiting}}),
            ["0/1", "CrashLoopBackOff", "0"],
        );
        let ended = container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
        check(
            json!({"status": {"phase": "Succeeded", "containerStatuses": ended}}),
            ["0/1", "Completed", "0"],
        );
        let killed = container(json!({"terminated": {"exitCode": 137, "signal": 9}}));
        check(json!({"status": {"phase": "Failed", "containerStatuses": killed}}), ["0/1", "Signal:9", "0"]);
        check(json!({"status": {"phase": "Failed", "reason": "Evicted"}}), ["0/1", "Evicted", "0"]);
        check(
            json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}),
            ["0/1", "Terminating", "0"],
        );
        check(
            json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running", "reason": "NodeLost"}}),
            ["0/1", "Unknown", "0"],
        );
    }

    #[test]
    fn init_containers_are_counted_until_they_are_done() {
        let spec = json!({"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]});
        let init = |state: Value| json!([{"name": "i", "restartCount": 0, "state": state}]);
        let status = |state: Value| json!({"phase": "Pending", "initContainerStatuses": init(state)});
        check(json!({"spec": spec, "status": status(json!({"running": {}}))}), ["0/2", "Init:0/2", "0"]);
        check(
            json!({"spec": spec, "status": status(json!({"waiting": {"reason": "ErrImagePull"}}))}),
            ["0/2", "Init:ErrImagePull", "0"],
        );
        check(
            json!({"spec": spec, "status": status(json!({"terminated": {"exitCode": 1}}))}),
            ["0/2", "Init:ExitCode:1", "0"],
        );
        check(
            json!({"spec": spec, "status": status(json!({"terminated": {"exitCode": 0}}))}),
            ["0/2", "Pending", "0"],
        );
    }

    #[test]
    fn restarts_say_when_the_last_one_was() {
        let status = json!([{
            "name": "c", "ready": true, "restartCount": 3, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "1970-01-01T00:50:00Z"}}
        }]);
        check(
            json!({"status": {"phase": "Running", "containerStatuses": status}}),
            ["1/1", "Running", "3 (10m ago)"],
        );
    }
}

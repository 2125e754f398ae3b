//! Workloads: daemon sets, deployments, replica sets, stateful sets, jobs and their history.

use super::cell::{
    AGE, CONTAINERS, IMAGES, NAME, NONE, UNKNOWN, UNSET, age, containers, labels, name, or, selector_text,
    since, some_of, text, typed, unix_seconds, wide,
};
use everynode_model::access::Read;
use everynode_model::{Value, time};

use crate::rules::Column;

pub(in crate::kinds) const DAEMON_SET: &[Column] = &[
    NAME,
    typed(
        "Desired",
        "integer",
        "The total number of nodes that should be running the daemon pod (including nodes correctly running the daemon pod). More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
    ),
    typed(
        "Current",
        "integer",
        "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod. More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
    ),
    typed(
        "Ready",
        "integer",
        "numberReady is the number of nodes that should be running the daemon pod and have one or more of the daemon pod running with a Ready Condition.",
    ),
    typed("Up-to-date", "integer", "The total number of nodes that are running updated daemon pod"),
    typed(
        "Available",
        "integer",
        "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and available (ready for at least spec.minReadySeconds)",
    ),
    text(
        "Node Selector",
        "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must match a node's labels for the pod to be scheduled on that node. More info: https://kubernetes.io/docs/concepts/configuration/assign-pod-node/",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "A label query over pods that are managed by the daemon set. Must match in order to be controlled. It must match the pod template's labels. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

pub(in crate::kinds) fn daemon_set(object: &Value, now: i64) -> Vec<Value> {
    let count = |field: &str| Value::from(object.number(&format!("status.{field}")));
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![
        name(object),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        labels(object.at("spec.template.spec.nodeSelector")),
        age(object, now),
        names,
        images,
        selector_text(object.at("spec.selector")).into(),
    ]
}

pub(in crate::kinds) const REVISION: &[Column] = &[
    NAME,
    text("Controller", "Controller of the object"),
    text("Revision", "Revision indicates the revision of the state represented by Data."),
    AGE,
];

pub(in crate::kinds) fn revision(object: &Value, now: i64) -> Vec<Value> {
    let owner = object.items("metadata.ownerReferences").iter().find(|owner| owner.flag("controller"));
    let controller = owner.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let group = owner.text("apiVersion").split_once('/').map_or("", |(group, _)| group);
            let kind = owner.text("kind").to_lowercase();
            let dot = if group.is_empty() { "" } else { "." };
            format!("{kind}{dot}{group}/{}", owner.text("name"))
        },
    );
    vec![name(object), controller.into(), object.number("revision").into(), age(object, now)]
}

pub(in crate::kinds) const DEPLOYMENT: &[Column] = &[
    NAME,
    text("Ready", "Number of the pod with ready state"),
    text("Up-to-date", "Number of pods that run the present template."),
    text("Available", "Number of pods that have been ready for long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    wide("Selector", "Labels by which the deployment knows its pods."),
];

pub(in crate::kinds) fn deployment(object: &Value, now: i64) -> Vec<Value> {
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![
        name(object),
        ready_of(object),
        object.number("status.updatedReplicas").into(),
        object.number("status.availableReplicas").into(),
        age(object, now),
        names,
        images,
        selector_text(object.at("spec.selector")).into(),
    ]
}

fn ready_of(object: &Value) -> Value {
    format!("{}/{}", object.number("status.readyReplicas"), object.number("spec.replicas")).into()
}

pub(in crate::kinds) const REPLICA_SET: &[Column] = &[
    NAME,
    typed("Desired", "integer", "Number of pods wanted."),
    typed("Current", "integer", "Number of pods that there are."),
    typed("Ready", "integer", "Number of pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    wide("Selector", "Labels by which the set knows its pods."),
];

pub(in crate::kinds) fn replica_set(object: &Value, now: i64) -> Vec<Value> {
    let mut cells = replicas(object, now);
    cells.push(selector_text(object.at("spec.selector")).into());
    cells
}

pub(in crate::kinds) fn replication_controller(object: &Value, now: i64) -> Vec<Value> {
    let mut cells = replicas(object, now);
    cells.push(labels(object.at("spec.selector")));
    cells
}

fn replicas(object: &Value, now: i64) -> Vec<Value> {
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![
        name(object),
        object.number("spec.replicas").into(),
        object.number("status.replicas").into(),
        object.number("status.readyReplicas").into(),
        age(object, now),
        names,
        images,
    ]
}

pub(in crate::kinds) const STATEFUL_SET: &[Column] =
    &[NAME, text("Ready", "Number of the pod with ready state"), AGE, CONTAINERS, IMAGES];

pub(in crate::kinds) fn stateful_set(object: &Value, now: i64) -> Vec<Value> {
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![name(object), ready_of(object), age(object, now), names, images]
}

pub(in crate::kinds) const POD_TEMPLATE: &[Column] = &[
    NAME,
    text("Containers", "Names of each container in the template."),
    text("Images", "Images referenced by each container in the template."),
    text("Pod Labels", "The labels for the pod template."),
];

pub(in crate::kinds) fn pod_template(object: &Value, _now: i64) -> Vec<Value> {
    let (names, images) = containers(object.at("template.spec"));
    vec![name(object), names, images, labels(object.at("template.metadata.labels"))]
}

pub(in crate::kinds) const JOB: &[Column] = &[
    NAME,
    text("Status", "Status of the job."),
    text("Completions", "Number of pods that succeeded, of those wanted."),
    text("Duration", "Time required to complete the job."),
    AGE,
    CONTAINERS,
    IMAGES,
    wide("Selector", "Labels by which the job knows its pods."),
];

pub(in crate::kinds) fn job(object: &Value, now: i64) -> Vec<Value> {
    let succeeded = object.number("status.succeeded");
    let completions = match (object.number_opt("spec.completions"), object.number("spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallel @ 2..) => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![
        name(object),
        job_status(object).into(),
        completions.into(),
        job_duration(object, now).into(),
        age(object, now),
        names,
        images,
        selector_text(object.at("spec.selector")).into(),
    ]
}

fn job_status(job: &Value) -> &'static str {
    let has = |kind: &str| {
        let conditions = job.items("status.conditions");
        conditions.iter().any(|c| c.text("type") == kind && c.text("status") == "True")
    };
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if job.has("metadata.deletionTimestamp") {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn job_duration(job: &Value, now: i64) -> String {
    let Some(start) = unix_seconds(job.text("status.startTime")) else { return String::new() };
    let end = unix_seconds(job.text("status.completionTime")).unwrap_or(now);
    time::human_duration(end - start)
}

pub(in crate::kinds) const CRON_JOB: &[Column] = &[
    NAME,
    text("Schedule", "When jobs are made, in cron format."),
    text("Timezone", "The time zone of the schedule."),
    typed("Suspend", "boolean", "Whether no further jobs are made."),
    typed("Active", "integer", "Number of jobs that are running."),
    text("Last Schedule", "Time since a job was last made."),
    AGE,
    CONTAINERS,
    IMAGES,
    wide("Selector", "Labels by which the jobs know their pods."),
];

pub(in crate::kinds) fn cron_job(object: &Value, now: i64) -> Vec<Value> {
    let last = match object.text("status.lastScheduleTime") {
        "" => NONE.to_owned(),
        moment => since(moment, now),
    };
    let suspended = match object.at("spec.suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => UNSET,
    };
    let (names, images) = containers(object.at("spec.jobTemplate.spec.template.spec"));
    vec![
        name(object),
        object.text("spec.schedule").into(),
        or(object.text("spec.timeZone"), NONE).into(),
        suspended.into(),
        object.items("status.active").len().into(),
        last.into(),
        age(object, now),
        names,
        images,
        selector_text(object.at("spec.jobTemplate.spec.selector")).into(),
    ]
}

pub(in crate::kinds) const DISRUPTION_BUDGET: &[Column] = &[
    NAME,
    text("Min Available", "The minimum number of pods that must be available."),
    text("Max Unavailable", "The maximum number of pods that may be unavailable."),
    typed("Allowed Disruptions", "integer", "Calculated number of pods that may be disrupted at this time."),
    AGE,
];

pub(in crate::kinds) fn disruption_budget(object: &Value, now: i64) -> Vec<Value> {
    let amount = |field: &str| match object.at(field) {
        Some(Value::String(text)) => text.clone(),
        Some(number) => number.to_string(),
        None => "N/A".to_owned(),
    };
    vec![
        name(object),
        amount("spec.minAvailable").into(),
        amount("spec.maxUnavailable").into(),
        object.number("status.disruptionsAllowed").into(),
        age(object, now),
    ]
}

pub(in crate::kinds) const AUTOSCALER: &[Column] = &[
    NAME,
    text("Reference", "The workload that is scaled."),
    text("Targets", "The amounts that are aimed at."),
    text("MinPods", "The fewest pods."),
    text("MaxPods", "The most pods."),
    text("Replicas", "Number of pods now."),
    AGE,
];

pub(in crate::kinds) fn autoscaler(object: &Value, now: i64) -> Vec<Value> {
    let target = object.at("spec.scaleTargetRef").unwrap_or(&Value::Null);
    let current = object.items("status.currentMetrics");
    let metrics = object.items("spec.metrics").iter().enumerate();
    let targets: Vec<String> = metrics.map(|(at, metric)| metric_target(at, metric, current)).collect();
    let least = object.number_opt("spec.minReplicas").map_or(UNSET.to_owned(), |n| n.to_string());
    vec![
        name(object),
        format!("{}/{}", target.text("kind"), target.text("name")).into(),
        or(&some_of(&targets, 2), NONE).into(),
        least.into(),
        object.number("spec.maxReplicas").into(),
        object.number("status.currentReplicas").into(),
        age(object, now),
    ]
}

/// The aim of one metric, and how far it is. The API takes the present metric at the same place for it.
fn metric_target(index: usize, metric: &Value, current: &[Value]) -> String {
    let current = current.get(index);
    let now = |kind: &str, field: &str| {
        let value = current.and_then(|current| current.at(&format!("{kind}.current.{field}")));
        value.map_or_else(|| UNKNOWN.to_owned(), scalar)
    };
    let (kind, averaged) = match metric.text("type") {
        "Resource" => ("resource", false),
        "ContainerResource" => ("containerResource", false),
        "Pods" => {
            return format!("{}/{}", now("pods", "averageValue"), metric.text("pods.target.averageValue"));
        }
        "Object" => ("object", true),
        "External" => ("external", true),
        _ => return "<unknown type>".to_owned(),
    };
    let source = metric.get(kind).unwrap_or(&Value::Null);
    let average = source.text("target.averageValue");
    if averaged {
        return match average {
            "" => format!("{}/{}", now(kind, "value"), source.text("target.value")),
            average => format!("{}/{average} (avg)", now(kind, "averageValue")),
        };
    }
    let name = source.text("name");
    match (average, source.number_opt("target.averageUtilization")) {
        ("", percent) => {
            let now = now(kind, "averageUtilization");
            let now = if now == UNKNOWN { now } else { format!("{now}%") };
            let aim = percent.map_or_else(|| "<auto>".to_owned(), |percent| format!("{percent}%"));
            format!("{name}: {now}/{aim}")
        }
        (average, _) => format!("{name}: {}/{average}", now(kind, "averageValue")),
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(in crate::kinds) const SCALE: &[Column] = &[
    Column { format: "", ..NAME },
    typed("Desired", "integer", "How many pods are wanted."),
    typed("Available", "integer", "How many pods there are."),
    AGE,
];

pub(in crate::kinds) fn scale(object: &Value, now: i64) -> Vec<Value> {
    vec![
        name(object),
        object.number("spec.replicas").into(),
        object.number("status.replicas").into(),
        age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn jobs_show_how_far_they_are() {
        let check = |spec: Value, status: Value, expected: [&str; 3]| {
            let object = json!({"metadata": {"name": "j"}, "spec": spec, "status": status});
            let cells = job(&object, 600);
            assert_eq!(cells[1..4], expected.map(Value::from), "{object}");
        };
        check(json!({"completions": 3}), json!({"succeeded": 1}), ["Running", "1/3", ""]);
        check(json!({"parallelism": 2}), json!({}), ["Running", "0/1 of 2", ""]);
        let complete = json!([{"type": "Complete", "status": "True"}]);
        check(
            json!({"completions": 1}),
            json!({
                "succeeded": 1, "conditions": complete,
                "startTime": "1970-01-01T00:00:00Z", "completionTime": "1970-01-01T00:00:30Z"
            }),
            ["Complete", "1/1", "30s"],
        );
    }

    #[test]
    fn revisions_name_their_controller_with_its_group() {
        let check = |owners: Value, expected: &str| {
            let object = json!({"metadata": {"name": "r", "ownerReferences": owners}, "revision": 2});
            assert_eq!(revision(&object, 0)[1], expected, "{object}");
        };
        check(json!([]), "<none>");
        let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "a", "controller": true});
        check(json!([owner]), "daemonset.apps/a");
    }
}

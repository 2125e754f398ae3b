//! Pods: those that are kept by themselves, and what the others take.

use everynode_engine::fit::Demand;
use everynode_model::{self as model, Metadata, Text};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{map, owner, seconds, shortened};
use crate::record::{Container, Detail, Ended, Need, Pod, Statement};

/// The scheduler that every cluster has.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// What a pod is to a snapshot.
#[derive(Clone, Debug)]
pub enum PodRead {
    /// A DaemonSet controls it, or nobody does: it is kept by itself.
    Kept(Box<Pod>),
    /// Another one, by what it takes of its node.
    Other {
        /// spec.nodeName.
        node: String,
        /// spec.priority.
        priority: i32,
        /// What it takes.
        need: Need,
        /// spec.schedulerName, empty for the default one.
        scheduler: String,
    },
    /// It is on no node, or has ended.
    Nothing,
}

#[derive(Deserialize)]
struct PodIn<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: SpecIn<'a>,
    #[serde(borrow, default)]
    status: StatusIn<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecIn<'a> {
    #[serde(borrow, default)]
    node_name: Text<'a>,
    #[serde(borrow, default)]
    scheduler_name: Text<'a>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    containers: Vec<ContainerIn>,
    #[serde(default)]
    init_containers: Vec<ContainerIn>,
    #[serde(default)]
    overhead: Value,
    #[serde(default)]
    resources: Value,
}

/// The part of a container that says what it needs.
#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerIn {
    #[serde(default)]
    resources: Value,
    #[serde(default)]
    ports: Value,
    #[serde(default)]
    restart_policy: Value,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct StatusIn<'a> {
    #[serde(borrow)]
    phase: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow, deserialize_with = "null_as_empty")]
    conditions: Vec<ConditionIn<'a>>,
    #[serde(borrow, deserialize_with = "null_as_empty")]
    container_statuses: Vec<ContainerStatusIn<'a>>,
    #[serde(borrow, deserialize_with = "null_as_empty")]
    init_container_statuses: Vec<ContainerStatusIn<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ConditionIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    last_transition_time: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatusIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    restart_count: i64,
    ready: bool,
    started: Option<bool>,
    #[serde(borrow)]
    state: StateIn<'a>,
    #[serde(borrow)]
    last_state: StateIn<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StateIn<'a> {
    #[serde(borrow)]
    waiting: Option<WaitingIn<'a>>,
    #[serde(borrow)]
    running: Option<RunningIn<'a>>,
    #[serde(borrow)]
    terminated: Option<TerminatedIn<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WaitingIn<'a> {
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RunningIn<'a> {
    #[serde(borrow)]
    started_at: Option<Text<'a>>,
}

/// The message of a container that ended is what it wrote, so it is not read.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct TerminatedIn<'a> {
    exit_code: i64,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    finished_at: Option<Text<'a>>,
}

fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Reads a Pod as served.
///
/// # Errors
/// It is none.
pub fn pod(item: &RawValue) -> serde_json::Result<PodRead> {
    let pod: PodIn<'_> = serde_json::from_str(item.get())?;
    let PodIn { metadata, spec, status } = &pod;
    let bound = !spec.node_name.is_empty();
    let Ok(daemon_set) = owner(metadata) else {
        let has_ended = matches!(&*status.phase, "Succeeded" | "Failed");
        return Ok(match bound && !has_ended {
            true => PodRead::Other {
                node: spec.node_name.to_string(),
                priority: spec.priority,
                need: need(spec),
                scheduler: scheduler(spec),
            },
            false => PodRead::Nothing,
        });
    };
    let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
    let is_ready = ready.is_some_and(|ready| ready.status == "True");
    let waiting = status.container_statuses.iter().find_map(|status| status.state.waiting.as_ref());
    let all = || status.container_statuses.iter().chain(&status.init_container_statuses);
    Ok(PodRead::Kept(Box::new(Pod {
        namespace: metadata.namespace.to_string(),
        name: metadata.name.to_string(),
        uid: metadata.uid.to_string(),
        labels: map(&metadata.labels),
        daemon_set,
        node: if bound { Some(spec.node_name.to_string()) } else { target(item)? },
        bound,
        phase: status.phase.to_string(),
        ready: is_ready,
        ready_since: seconds(ready.and_then(|ready| ready.last_transition_time.as_ref())),
        deleting: metadata.is_deleting(),
        delete_by: seconds(metadata.deletion_timestamp.as_ref()),
        grace_seconds: metadata.deletion_grace_period_seconds,
        created: metadata.created_seconds().unwrap_or_default(),
        restarts: all().map(|one| one.restart_count).max().unwrap_or(0),
        waiting: waiting.map(|waiting| waiting.reason.to_string()).unwrap_or_default(),
        priority: spec.priority,
        scheduler: scheduler(spec),
        need: need(spec),
        detail: (!is_ready).then(|| Box::new(detail(status))),
    })))
}

fn detail(status: &StatusIn<'_>) -> Detail {
    let condition = |kind: &str| status.conditions.iter().find(|condition| condition.kind == *kind);
    let since = |condition: &ConditionIn<'_>| seconds(condition.last_transition_time.as_ref());
    let unmet = |kind: &str| {
        condition(kind).filter(|condition| condition.status != "True").map(|condition| Statement {
            reason: condition.reason.to_string(),
            message: shortened(&condition.message),
            since: since(condition),
        })
    };
    let is_done = |one: &&ContainerStatusIn<'_>| {
        one.ready || one.state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0)
    };
    let init = status.init_container_statuses.iter().filter(|one| !is_done(one));
    let main = status.container_statuses.iter().filter(|one| !one.ready);
    Detail {
        reason: status.reason.to_string(),
        message: shortened(&status.message),
        scheduled: condition("PodScheduled").filter(|one| one.status == "True").and_then(since),
        unscheduled: unmet("PodScheduled"),
        not_ready: unmet("Ready"),
        containers: init
            .map(|one| container(one, true))
            .chain(main.map(|one| container(one, false)))
            .collect(),
    }
}

fn container(status: &ContainerStatusIn<'_>, init: bool) -> Container {
    let waiting = status.state.waiting.as_ref();
    let ended = status.state.terminated.as_ref().or(status.last_state.terminated.as_ref());
    Container {
        name: status.name.to_string(),
        init,
        restarts: status.restart_count,
        waiting: waiting.map(|waiting| waiting.reason.to_string()).unwrap_or_default(),
        message: waiting.map(|waiting| shortened(&waiting.message)).unwrap_or_default(),
        running_since: status.state.running.as_ref().and_then(|one| seconds(one.started_at.as_ref())),
        started: status.started.unwrap_or(false),
        ended: ended.map(|ended| Ended {
            exit_code: ended.exit_code,
            reason: ended.reason.to_string(),
            at: seconds(ended.finished_at.as_ref()),
        }),
    }
}

/// The scheduler, empty for the default one.
fn scheduler(spec: &SpecIn<'_>) -> String {
    match &*spec.scheduler_name {
        DEFAULT_SCHEDULER => String::new(),
        other => other.to_owned(),
    }
}

fn need(spec: &SpecIn<'_>) -> Need {
    Need::from(&Demand::of_pod(&json!({
        "hostNetwork": spec.host_network,
        "containers": spec.containers,
        "initContainers": spec.init_containers,
        "overhead": spec.overhead,
        "resources": spec.resources,
    })))
}

/// The node that a pod without one is for.
fn target(item: &RawValue) -> serde_json::Result<Option<String>> {
    let pod: model::Pod<'_> = serde_json::from_str(item.get())?;
    Ok(pod.target_node())
}

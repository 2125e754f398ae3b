//! Pods: those that are kept by themselves, and what the others take.

use everynode_engine::fit::Demand;
use everynode_model::{self as model, Condition, ContainerStatus, PodSpec, PodStatus};
use serde_json::value::RawValue;

use super::{map, owner, shortened};
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

/// Reads a Pod as served.
///
/// # Errors
/// It is none.
pub fn pod(item: &RawValue) -> serde_json::Result<PodRead> {
    let pod: model::Pod<'_> = serde_json::from_str(item.get())?;
    let model::Pod { metadata, spec, status } = &pod;
    let Ok(daemon_set) = owner(metadata) else {
        return Ok(match pod.bound_to().filter(|_| !pod.phase().is_terminal()) {
            Some(node) => PodRead::Other {
                node: node.to_owned(),
                priority: spec.priority,
                need: need(spec),
                scheduler: scheduler(spec),
            },
            None => PodRead::Nothing,
        });
    };
    let containers = [status.init_containers(), status.containers()].concat();
    Ok(PodRead::Kept(Box::new(Pod {
        namespace: (*metadata.namespace).into(),
        name: metadata.name.to_string(),
        uid: metadata.uid.to_string(),
        labels: map(&metadata.labels),
        daemon_set,
        node: pod.target_node().map(|node| (*node).into()),
        bound: pod.bound_to().is_some(),
        phase: (*status.phase).into(),
        ready: pod.is_ready(),
        ready_since: pod.ready().and_then(|ready| ready.since_seconds()),
        deleting: pod.is_terminating(),
        delete_by: metadata.deleted_by_seconds(),
        grace_seconds: metadata.deletion_grace_period_seconds,
        created: metadata.created_seconds().unwrap_or_default(),
        restarts: containers.iter().map(|one| i64::from(one.restart_count)).max().unwrap_or(0),
        waiting: pod.waiting_reason().unwrap_or_default(),
        priority: spec.priority,
        scheduler: scheduler(spec),
        need: need(spec).into(),
        detail: (!pod.is_ready()).then(|| Box::new(detail(status))),
    })))
}

fn detail(status: &PodStatus<'_>) -> Detail {
    let unmet = |condition: Option<&Condition<'_>>| {
        condition.filter(|condition| !condition.is_true()).map(|condition| Statement {
            reason: condition.reason.to_string(),
            message: shortened(&condition.message),
            since: condition.since_seconds(),
        })
    };
    let is_done =
        |one: &&ContainerStatus<'_>| one.ready || one.ended().is_some_and(|ended| ended.exit_code == 0);
    let (init, main) = (status.init_containers(), status.containers());
    let init = init.iter().filter(|one| !is_done(one)).map(|one| container(one, true));
    let main = main.iter().filter(|one| !one.ready).map(|one| container(one, false));
    let (ready, scheduled) = (status.conditions.ready.as_ref(), status.conditions.scheduled.as_ref());
    Detail {
        reason: status.reason.to_string(),
        message: shortened(&status.message),
        scheduled: scheduled.filter(|one| one.is_true()).and_then(Condition::since_seconds),
        unscheduled: unmet(scheduled),
        not_ready: unmet(ready),
        containers: init.chain(main).collect(),
    }
}

fn container(status: &ContainerStatus<'_>, init: bool) -> Container {
    let waiting = status.waiting();
    Container {
        name: status.name.to_string(),
        init,
        restarts: status.restart_count.into(),
        waiting: waiting.map(|waiting| waiting.reason.to_string()).unwrap_or_default(),
        message: waiting.map(|waiting| shortened(&waiting.message)).unwrap_or_default(),
        running_since: status.running_since_seconds(),
        started: status.started.unwrap_or(false),
        ended: status.ended_last().map(|ended| Ended {
            exit_code: ended.exit_code,
            reason: ended.reason.to_string(),
            at: ended.at_seconds(),
            last_words: ended.last_words().map(shortened).unwrap_or_default(),
        }),
    }
}

/// The scheduler, empty for the default one.
fn scheduler(spec: &PodSpec<'_>) -> String {
    match &*spec.scheduler_name {
        DEFAULT_SCHEDULER => String::new(),
        other => other.to_owned(),
    }
}

fn need(spec: &PodSpec<'_>) -> Need {
    Need::from(&Demand::of_pod(&spec.needs()))
}

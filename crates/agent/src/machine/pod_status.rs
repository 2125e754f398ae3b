//! What is shown of a pod, as values.

use std::collections::BTreeMap;

use everynode_model::Phase;

use super::view::Exit;
use crate::pod_spec::{Resources, ShownCondition};

/// What is shown of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStatus {
    /// Phase.
    pub phase: Phase,
    /// Why it is over, where its containers do not say.
    pub reason: String,
    /// A sentence about that.
    pub message: String,
    /// Conditions.
    pub conditions: Vec<ConditionStatus>,
    /// Addresses; none on the node's network, or before there is a sandbox.
    pub ips: Vec<String>,
    /// When the pod was taken, in seconds since 1970.
    pub start_seconds: i64,
    /// Containers that run before the others.
    pub init_containers: Vec<ContainerStatus>,
    /// Containers.
    pub containers: Vec<ContainerStatus>,
}

/// A condition of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionStatus {
    /// What it is about.
    pub kind: &'static str,
    /// Whether it holds.
    pub is_true: bool,
    /// A word for programs about why that is so.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// Since when, in seconds since 1970.
    pub since_seconds: i64,
}

/// What is shown of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Name.
    pub name: String,
    /// The image that the pod names.
    pub image: String,
    /// The image as the runtime names it; empty before there is a container.
    pub image_ref: String,
    /// The runtime's identifier; empty before there is a container.
    pub id: String,
    /// It serves; a container that runs before the others: it is done.
    pub is_ready: bool,
    /// It runs and has come up.
    pub is_started: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// What it has of the machine.
    pub resources: Resources,
    /// What the node allots to it.
    pub allotted: Resources,
    /// What it does.
    pub state: StateStatus,
    /// How the one before it ended, with that one's identifier.
    pub last_exit: Option<(Exit, String)>,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateStatus {
    /// It does not run yet, or not again yet.
    Waiting {
        /// A word for programs.
        reason: String,
        /// A sentence for people.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when, in nanoseconds since 1970.
        started_nanos: i64,
    },
    /// It has ended.
    Terminated(Exit),
}

/// Since when each condition of a pod or a node is what it is, in seconds since 1970.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConditionTimes(BTreeMap<String, (bool, i64)>);

impl ConditionTimes {
    /// As they were last written.
    pub(super) fn shown(shown: &[ShownCondition]) -> ConditionTimes {
        let since = |one: &ShownCondition| {
            let at =
                one.last_transition_time.as_deref().and_then(|text| everynode_model::time::parse(text).ok());
            Some((one.kind.clone(), (one.status == "True", at?)))
        };
        ConditionTimes(shown.iter().filter_map(since).collect())
    }

    /// Since when a condition is that, if it is so now.
    pub(crate) fn since(&mut self, kind: &str, is_true: bool, now_seconds: i64) -> i64 {
        let entry = self.0.entry(kind.to_owned()).or_insert((is_true, now_seconds));
        if entry.0 != is_true {
            *entry = (is_true, now_seconds);
        }
        entry.1
    }
}

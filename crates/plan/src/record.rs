//! What a snapshot holds: the parts of a cluster's objects that decide about DaemonSets.
//!
//! Pods that a DaemonSet controls, and pods that nobody controls, are kept one by one. All others count only by what
//! they take of their node, so they are kept as sums per node and priority.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use everynode_admission::Kind;
use everynode_engine::fit::{Amounts, Demand, HostPort};
use everynode_engine::{ContainerStatuses, NodeFact, PodController, PodFact, RevisionFact, Time, Uid};
use everynode_model::{self as model, Effect, Phase, Trouble, not_ready_since};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use crate::shared::{Labels, Text};
use crate::usage::PodUsage;

/// One object, or one sum.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// A DaemonSet, as served but for what `mask` takes out.
    DaemonSet(Value),
    /// A ControllerRevision of a DaemonSet.
    Revision(Revision),
    /// A Node.
    Node(Node),
    /// A pod that is kept by itself.
    Pod(Box<Pod>),
    /// What the other pods take.
    Taken(Taken),
    /// A ResourceQuota, as formats before the third one have it.
    Quota(Quota),
    /// A PriorityClass, as formats before the third one have it.
    PriorityClass(PriorityClass),
    /// An object that decides about new pods: the parts of it that do.
    Around(Kind, Value),
    /// A RolloutPolicy: what identifies it, its commands, spec and status.
    RolloutPolicy(Value),
    /// What a pod used, where that was sampled.
    Usage(PodUsage),
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Node {
    /// metadata.name.
    pub name: Text,
    /// metadata.labels.
    pub labels: Labels,
    /// What status.nodeInfo says that nodes are told apart by: kernel, image, runtime and version of the kubelet.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub system: Labels,
    /// spec.taints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// spec.unschedulable.
    #[serde(skip_serializing_if = "is_default")]
    pub unschedulable: bool,
    /// status.allocatable.
    pub allocatable: Arc<Value>,
    /// The status of the condition Ready: `True`, `False` or `Unknown`.
    pub ready: Text,
    /// Since when, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<i64>,
    /// Why it is not `True`, in the words of who said so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ready_message: String,
}

impl Node {
    /// Its kubelet answers and is well.
    pub fn is_up(&self) -> bool {
        &*self.ready == "True"
    }

    /// Since when its taints say that it is not ready.
    pub fn not_ready_since(&self) -> Option<Time> {
        let taints = self.taints.iter().map(|one| (one.taint(), one.time_added));
        not_ready_since(taints).map(Time::from_seconds)
    }

    /// Hands to `tell` what the engine is told of it.
    pub fn tell(&self, tell: impl FnOnce(NodeFact<'_>)) {
        let labels: Vec<(&str, &str)> = self.labels.iter().collect();
        let taints: Vec<_> = self.taints.iter().map(Taint::taint).collect();
        let not_ready_since = self.not_ready_since();
        tell(NodeFact { name: &self.name, labels: &labels, taints: &taints, not_ready_since });
    }
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Taint {
    /// key.
    pub key: Text,
    /// value.
    #[serde(skip_serializing_if = "is_empty")]
    pub value: Text,
    /// effect.
    pub effect: Text,
    /// timeAdded, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<i64>,
}

impl Taint {
    /// The taint as placement has it.
    pub fn taint(&self) -> model::Taint<'_> {
        model::Taint { key: &self.key, value: &self.value, effect: Effect::parse(&self.effect) }
    }
}

/// A pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pod {
    /// metadata.namespace.
    pub namespace: Text,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: String,
    /// metadata.labels.
    pub labels: Labels,
    /// The uid of the DaemonSet that controls it; `None`: nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon_set: Option<Text>,
    /// The node that it is on or for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Text>,
    /// spec.nodeName is set.
    #[serde(skip_serializing_if = "is_default")]
    pub bound: bool,
    /// status.phase.
    pub phase: Text,
    /// The Ready condition is True.
    #[serde(skip_serializing_if = "is_default")]
    pub ready: bool,
    /// lastTransitionTime of the Ready condition, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<i64>,
    /// metadata.deletionTimestamp is set.
    #[serde(skip_serializing_if = "is_default")]
    pub deleting: bool,
    /// metadata.deletionTimestamp, in Unix seconds: when its grace period is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_by: Option<i64>,
    /// metadata.deletionGracePeriodSeconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<i64>,
    /// metadata.creationTimestamp, in Unix seconds.
    pub created: i64,
    /// The most restarts of one of its containers.
    #[serde(skip_serializing_if = "is_default")]
    pub restarts: i64,
    /// Why a container waits, such as `CrashLoopBackOff` ([`everynode_model::Pod::waiting_reason`]).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub waiting: String,
    /// spec.priority.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i32,
    /// spec.schedulerName, when it is not the default one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheduler: String,
    /// What it needs of its node.
    #[serde(skip_serializing_if = "is_default")]
    pub need: Arc<Need>,
    /// What its status tells, when it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<Detail>>,
}

impl Pod {
    /// Hands to `tell` what the engine is told of it; nothing when its uid is none.
    pub fn tell(&self, tell: impl FnOnce(PodFact<'_>)) {
        let labels: Vec<(&str, &str)> = self.labels.iter().collect();
        if let Some(fact) = self.fact(&labels) {
            tell(fact);
        }
    }

    /// What the engine is told of it, with the labels borrowed; `None` when its uid is none. Of its version nothing is
    /// kept.
    pub(crate) fn fact<'a>(&'a self, labels: &'a [(&'a str, &'a str)]) -> Option<PodFact<'a>> {
        Some(PodFact {
            namespace: &self.namespace,
            name: &self.name,
            uid: Uid::parse(&self.uid)?,
            resource_version: 0,
            labels,
            controller: PodController::of_daemon_set(self.daemon_set.as_deref()),
            node: self.node.as_deref(),
            bound: self.bound,
            phase: self.phase(),
            ready: self.ready,
            ready_since: self.ready_since.map(Time::from_seconds),
            deleting: self.deleting,
            created: Time::from_seconds(self.created),
            trouble: self.trouble(),
            statuses: ContainerStatuses::default(),
        })
    }

    /// status.phase.
    pub fn phase(&self) -> Phase {
        Phase::parse(&self.phase)
    }

    /// Why one of its containers cannot start, or does not stay up.
    pub fn trouble(&self) -> Option<Trouble> {
        let containers = self.detail.iter().flat_map(|detail| &detail.containers);
        let mut waiting = containers.map(|one| one.waiting.as_str()).chain([self.waiting.as_str()]);
        waiting.find_map(Trouble::parse)
    }
}

/// What the status of a pod tells that is not ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Detail {
    /// status.reason, such as `Evicted`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// status.message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was scheduled, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<i64>,
    /// The condition PodScheduled, when it is not True.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unscheduled: Option<Statement>,
    /// The condition Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<Statement>,
    /// The containers that are not ready; init containers that are not done come first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
}

/// What a condition says that is not met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Statement {
    /// reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// lastTransitionTime, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
}

/// A container that is not ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    pub name: String,
    /// It is an init container.
    #[serde(skip_serializing_if = "is_default")]
    pub init: bool,
    /// restartCount.
    #[serde(skip_serializing_if = "is_default")]
    pub restarts: i64,
    /// state.waiting.reason, such as `CrashLoopBackOff`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub waiting: String,
    /// state.waiting.message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// state.running.startedAt, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_since: Option<i64>,
    /// started: its startup probe has succeeded.
    #[serde(skip_serializing_if = "is_default")]
    pub started: bool,
    /// How it ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ended {
    /// exitCode.
    pub exit_code: i64,
    /// reason, such as `OOMKilled`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// finishedAt, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
    /// The last line of its termination message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_words: String,
}

/// What pods need of their node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Need {
    /// cpu, in thousandths.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_millis: i64,
    /// memory, in bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_bytes: i64,
    /// ephemeral-storage, in bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub ephemeral_bytes: i64,
    /// Other resources, in whole units.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<Box<str>, i64>,
    /// Host ports: number, protocol, address (empty for all).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<(u16, Box<str>, Box<str>)>,
}

/// What the pods that are not kept one by one take of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Taken {
    /// The node.
    pub node: String,
    /// The priority of these pods.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i32,
    /// How many.
    pub pods: i64,
    /// Their needs together.
    #[serde(skip_serializing_if = "is_default")]
    pub need: Need,
    /// The schedulers that put them there, beside the default one.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub schedulers: BTreeSet<String>,
}

/// A ControllerRevision.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Revision {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: String,
    /// metadata.labels.
    pub labels: Labels,
    /// The uid of the DaemonSet that controls it; empty: nobody does.
    pub daemon_set: String,
    /// metadata.deletionTimestamp is set.
    #[serde(skip_serializing_if = "is_default")]
    pub deleting: bool,
    /// revision.
    pub revision: i64,
    /// data, byte for byte but for what `mask` takes out.
    pub data: String,
    /// SHA-256 of data as it was served; empty in snapshots that are older than this.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data_sha256: String,
}

impl Revision {
    /// The revision as the engine is told of it, of this version; `None` when a uid of it is none.
    pub fn fact(&self, resource_version: u64) -> Option<RevisionFact> {
        Some(RevisionFact {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: Uid::parse(&self.uid)?,
            resource_version,
            labels: self.labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            controller: PodController::of_daemon_set(Some(&*self.daemon_set).filter(|uid| !uid.is_empty())),
            deleting: self.deleting,
            revision: self.revision,
            data: self.data.as_bytes().into(),
        })
    }
}

/// A ResourceQuota, as far as it can keep pods from being created.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Quota {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// status.hard.
    pub hard: Value,
    /// status.used.
    pub used: Value,
    /// It counts only some pods: scopes are set.
    #[serde(skip_serializing_if = "is_default")]
    pub scoped: bool,
}

impl Quota {
    /// The object that it is of. Of scopes it is only known whether there are any, so that it counts no pod then.
    pub fn into_object(self) -> Value {
        let scopes = if self.scoped { json!(["Unknown"]) } else { Value::Null };
        json!({
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"hard": self.hard, "scopes": scopes},
            "status": {"hard": self.hard, "used": self.used},
        })
    }
}

/// A PriorityClass.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PriorityClass {
    /// metadata.name.
    pub name: String,
    /// value.
    pub value: i32,
    /// Pods without a class get it.
    #[serde(skip_serializing_if = "is_default")]
    pub global_default: bool,
    /// Pods of it push no others out.
    #[serde(skip_serializing_if = "is_default")]
    pub never_preempts: bool,
}

impl PriorityClass {
    /// The object that it is of.
    pub fn into_object(self) -> Value {
        json!({
            "metadata": {"name": self.name},
            "value": self.value,
            "globalDefault": self.global_default,
            "preemptionPolicy": if self.never_preempts { "Never" } else { "PreemptLowerPriority" },
        })
    }
}

/// A part of the cluster that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "UnseenRecord", into = "UnseenRecord")]
pub struct Unseen {
    /// The kind, by its plural, such as `resourcequotas`.
    pub resource: String,
    /// Those of one namespace were read.
    pub is_elsewhere: bool,
    /// Why, in the server's words.
    pub why: String,
}

/// How a file says it: `what` is a plural, or a plural and [`ELSEWHERE`].
#[derive(Serialize, Deserialize)]
struct UnseenRecord {
    what: String,
    why: String,
}

const ELSEWHERE: &str = " of other namespaces";

impl Unseen {
    /// All objects of a kind.
    pub fn all(resource: &str, why: impl Into<String>) -> Self {
        Unseen { resource: resource.to_owned(), is_elsewhere: false, why: why.into() }
    }

    /// The objects of other namespaces.
    pub fn elsewhere(resource: &str, why: impl Into<String>) -> Self {
        Unseen { is_elsewhere: true, ..Unseen::all(resource, why) }
    }

    /// `pods`, or `pods of other namespaces`.
    pub fn what(&self) -> String {
        format!("{}{}", self.resource, if self.is_elsewhere { ELSEWHERE } else { "" })
    }
}

impl From<UnseenRecord> for Unseen {
    fn from(record: UnseenRecord) -> Self {
        match record.what.strip_suffix(ELSEWHERE) {
            Some(resource) => Unseen::elsewhere(resource, record.why),
            None => Unseen::all(&record.what, record.why),
        }
    }
}

impl From<Unseen> for UnseenRecord {
    fn from(unseen: Unseen) -> Self {
        UnseenRecord { what: unseen.what(), why: unseen.why }
    }
}

fn is_empty(text: &Text) -> bool {
    text.is_empty()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<&Demand> for Need {
    fn from(demand: &Demand) -> Need {
        let Amounts { cpu_millis, memory_bytes, ephemeral_bytes, others } = demand.amounts.clone();
        let ports = demand.ports.iter().map(|one| (one.port, one.protocol.clone(), one.ip.clone())).collect();
        Need { cpu_millis, memory_bytes, ephemeral_bytes, others, ports }
    }
}

impl From<&Need> for Demand {
    fn from(need: &Need) -> Demand {
        let Need { cpu_millis, memory_bytes, ephemeral_bytes, others, ports } = need.clone();
        let port = |(port, protocol, ip)| HostPort { port, protocol, ip };
        Demand {
            amounts: Amounts { cpu_millis, memory_bytes, ephemeral_bytes, others },
            ports: ports.into_iter().map(port).collect(),
        }
    }
}

impl Taken {
    /// Counts a pod in.
    pub fn add(&mut self, pods: i64, need: &Need) {
        let mut sum = Demand::from(&self.need);
        let more = Demand::from(need);
        sum.amounts.add(&more.amounts);
        sum.ports.extend(more.ports);
        self.pods += pods;
        self.need = Need::from(&sum);
    }
}

//! What the engine is told: the state of the cluster as watches and lists show it, and how its own writes ended.
//!
//! Facts about nodes and pods borrow their text, because there are many of them and most change nothing. Facts
//! about DaemonSets and ControllerRevisions own theirs.

use std::sync::Arc;

use everynode_model::json::string_pairs;
pub use everynode_model::{CORDONED_TAINT, ContainerStatuses, NOT_READY_TAINTS, Phase, Trouble};
use everynode_model::{IntOrPercent, LabelSelector};
use serde_json::Value;

use crate::base::{Time, Uid};
use crate::ids::ActionId;
use crate::placement::{NodeView, Taint};
use crate::pod_name::{self, PodNames, pod_name};
use crate::policy::PolicyFact;
use crate::template::Template;

/// One thing that the engine is told.
#[derive(Clone, Debug)]
pub enum Fact<'a> {
    /// A node as it now is.
    Node(NodeFact<'a>),
    /// The node of this name is gone.
    NodeGone(&'a str),
    /// A DaemonSet as it now is.
    DaemonSet(Box<DaemonSetFact>),
    /// The DaemonSet with this uid is gone.
    DaemonSetGone(Uid),
    /// A pod as it now is. Every pod may be told; the engine keeps only those that a DaemonSet controls or could
    /// adopt.
    Pod(PodFact<'a>),
    /// The pod with this uid is gone, as of this resource version (0 when it is not known).
    PodGone {
        /// The pod's uid.
        uid: Uid,
        /// The resource version of its removal.
        resource_version: u64,
    },
    /// A ControllerRevision as it now is, from the watch's ADDED event or a list.
    Revision(Box<RevisionFact>),
    /// The ControllerRevision with this uid is gone.
    RevisionGone(Uid),
    /// All roll-out policies as they now are.
    Policies(Vec<PolicyFact>),
    /// What the pods of a DaemonSet take.
    Samples(Samples<'a>),
    /// A complete list of a kind begins: what it does not name until [`Fact::RelistEnded`] is gone. It is told when
    /// the list is asked for, or with its first object at the latest: what is overdue by then is decided by it.
    RelistBegun(Kind),
    /// The complete list of a kind ended; it shows the state as of this resource version (0 when not known).
    RelistEnded {
        /// The kind that was listed.
        kind: Kind,
        /// The list's own resource version.
        resource_version: u64,
    },
    /// The watch of a kind is known to have come as far as this resource version (a bookmark).
    Progress {
        /// The kind that is watched.
        kind: Kind,
        /// The resource version reached.
        resource_version: u64,
    },
    /// An action ended.
    Finished {
        /// The action, as [`crate::Action::id`] named it.
        id: ActionId,
        /// How it ended.
        outcome: Outcome,
    },
}

/// The kinds of object that the engine is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// core/v1 Node.
    Node,
    /// apps/v1 DaemonSet.
    DaemonSet,
    /// core/v1 Pod.
    Pod,
    /// apps/v1 ControllerRevision.
    Revision,
}

/// A node, reduced to what placement reads.
#[derive(Clone, Copy, Debug)]
pub struct NodeFact<'a> {
    /// metadata.name.
    pub name: &'a str,
    /// metadata.labels, in any order that is the same from one event to the next.
    pub labels: &'a [(&'a str, &'a str)],
    /// spec.taints.
    pub taints: &'a [Taint<'a>],
    /// Since when the node is not ready, by its taints ([`everynode_model::not_ready_since`]).
    pub not_ready_since: Option<Time>,
}

/// A pod, reduced to what the engine reads.
#[derive(Clone, Copy, Debug)]
pub struct PodFact<'a> {
    /// metadata.namespace.
    pub namespace: &'a str,
    /// metadata.name.
    pub name: &'a str,
    /// metadata.uid.
    pub uid: Uid,
    /// metadata.resourceVersion as a number; 0 when it is not one, which switches the order check off
    /// ([H4](crate::spec#h4)).
    pub resource_version: u64,
    /// metadata.labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// The owner reference with `controller: true`.
    pub controller: PodController,
    /// The node that the pod is for: spec.nodeName, else the value of the first matchFields requirement
    /// `metadata.name In [x]` of the required node affinity ([D1](crate::spec#d1)).
    pub node: Option<&'a str>,
    /// spec.nodeName is set.
    pub bound: bool,
    /// status.phase.
    pub phase: Phase,
    /// The Ready condition is True.
    pub ready: bool,
    /// lastTransitionTime of the Ready condition.
    pub ready_since: Option<Time>,
    /// metadata.deletionTimestamp is set.
    pub deleting: bool,
    /// metadata.creationTimestamp.
    pub created: Time,
    /// Why one of its containers cannot start, or does not stay up ([`everynode_model::Pod::trouble`]).
    pub trouble: Option<Trouble>,
    /// How its containers stand, unread: only the analysis of a roll-out asks.
    pub statuses: ContainerStatuses<'a>,
}

/// What the pods of a DaemonSet take, and a figure of their own, as somebody has measured it.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// The DaemonSet.
    pub daemonset: Uid,
    /// Its pods, in any order.
    pub pods: &'a [Sample<'a>],
}

/// What was measured of one pod. What was not, or cannot be, is none.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// metadata.name of the pod.
    pub pod: &'a str,
    /// When it was measured.
    pub at: Time,
    /// What it takes of the CPU, in cores.
    pub cpu_cores: Option<f64>,
    /// What it takes of the memory, in bytes: the working set.
    pub memory_bytes: Option<f64>,
    /// The figure of its own that the policy names: its value, or its growth in a second.
    pub metric: Option<f64>,
}

/// Who controls a pod or a ControllerRevision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodController {
    /// Nobody: an orphan.
    Nobody,
    /// An owner of kind DaemonSet with this uid.
    DaemonSet(Uid),
    /// An owner of another kind, or one whose uid is not a UUID.
    Other,
}

/// A DaemonSet, reduced to what the engine reads. [`DaemonSetFact::from_json`] makes one from the served object.
#[derive(Clone, Debug)]
pub struct DaemonSetFact {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: Uid,
    /// metadata.resourceVersion as a number, else 0.
    pub resource_version: u64,
    /// metadata.generation.
    pub generation: i64,
    /// metadata.creationTimestamp.
    pub created: Option<Time>,
    /// metadata.deletionTimestamp is set.
    pub deleting: bool,
    /// metadata.labels, by which roll-out policies select it.
    pub labels: Vec<(String, String)>,
    /// metadata.annotations; ControllerRevisions get a copy ([J6](crate::spec#j6)).
    pub annotations: Vec<(String, String)>,
    /// The annotation `deprecated.daemonset.template.generation`, when it is an integer
    /// ([K1](crate::spec#k1)).
    pub template_generation: Option<i64>,
    /// How its pods are named, by the annotation [`crate::POD_NAMES`].
    pub pod_names: PodNames,
    /// spec.selector.
    pub selector: LabelSelector,
    /// spec.template.
    pub template: Arc<Template>,
    /// spec.updateStrategy.
    pub strategy: Strategy,
    /// spec.minReadySeconds.
    pub min_ready_seconds: i32,
    /// spec.revisionHistoryLimit.
    pub revision_history_limit: i32,
    /// status, as far as the controller writes it.
    pub status: Status,
}

/// spec.updateStrategy of a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Pods are replaced only after somebody deletes them.
    OnDelete,
    /// Pods are replaced within a budget.
    RollingUpdate {
        /// How many nodes may be without an available pod.
        max_unavailable: IntOrPercent,
        /// How many nodes may run a second, newer pod.
        max_surge: IntOrPercent,
    },
}

/// The part of a DaemonSet's status that the controller writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// observedGeneration.
    pub observed_generation: i64,
    /// currentNumberScheduled.
    pub current_number_scheduled: i32,
    /// numberMisscheduled.
    pub number_misscheduled: i32,
    /// desiredNumberScheduled.
    pub desired_number_scheduled: i32,
    /// numberReady.
    pub number_ready: i32,
    /// updatedNumberScheduled.
    pub updated_number_scheduled: i32,
    /// numberAvailable.
    pub number_available: i32,
    /// numberUnavailable.
    pub number_unavailable: i32,
    /// collisionCount.
    pub collision_count: Option<i32>,
}

/// A ControllerRevision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionFact {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: Uid,
    /// metadata.resourceVersion as a number, else 0.
    pub resource_version: u64,
    /// metadata.labels.
    pub labels: Vec<(String, String)>,
    /// The owner reference with `controller: true`.
    pub controller: PodController,
    /// metadata.deletionTimestamp is set.
    pub deleting: bool,
    /// The `revision` field.
    pub revision: i64,
    /// The `data` field, byte for byte as served.
    pub data: Box<[u8]>,
}

/// How an action ended. The variant must fit the action; another one is treated as a failure.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// CreatePod: the pod exists, now or by an earlier write of the same name.
    PodCreated {
        /// The name that the API server gave it.
        name: String,
        /// Its uid.
        uid: Uid,
        /// Its first resource version.
        resource_version: u64,
    },
    /// AdoptPod, LabelPod: the pod was changed.
    PodPatched {
        /// The pod's new resource version.
        resource_version: u64,
    },
    /// DeletePod, ReleasePod, DeleteRevision, RecordEvent: done.
    Done,
    /// The object is not there, or is another one of the same name (404, or 409 or 422 because of the uid).
    Gone,
    /// CreateRevision, UpdateRevision, AdoptRevision, ReleaseRevision: the revision as it now is.
    Revision(Box<RevisionFact>),
    /// CreateRevision: the name is taken, by this revision ([J7](crate::spec#j7)).
    RevisionExists(Box<RevisionFact>),
    /// WriteStatus: written.
    StatusWritten {
        /// The DaemonSet's new resource version.
        resource_version: u64,
    },
    /// BumpCollisionCount: written.
    CollisionCount {
        /// The new count.
        count: i32,
        /// The DaemonSet's new resource version.
        resource_version: u64,
    },
    /// The write failed.
    Failed {
        /// What kind of failure.
        failure: Failure,
        /// The error's text, for the event.
        message: String,
    },
}

/// Kinds of failure, as far as the engine acts on them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The API server said no, or the write never left: it was not carried out.
    Refused,
    /// CreatePod of a pod with a name: another pod has it, which the DaemonSet does not control or which is being
    /// deleted. A pod of that name that the DaemonSet does control is the outcome PodCreated.
    AlreadyExists,
    /// RewriteTemplate: the object is not the one that the engine knows any more.
    Conflict,
    /// RewriteTemplate: the role of the controller does not have the permission.
    Forbidden,
    /// The namespace is being deleted (status cause NamespaceTerminating; [C9](crate::spec#c9)).
    NamespaceTerminating,
    /// No answer came back: the write may have been carried out.
    Unknown,
}

impl DaemonSetFact {
    /// Reads a served apps/v1 DaemonSet; `None` when it has no name, namespace or proper uid.
    pub fn from_json(object: &Value) -> Option<Self> {
        let (metadata, spec) = (&object["metadata"], &object["spec"]);
        let annotations = string_pairs(&metadata["annotations"]);
        let generation = annotations.iter().find(|(key, _)| key == TEMPLATE_GENERATION);
        Some(DaemonSetFact {
            namespace: metadata["namespace"].as_str()?.to_owned(),
            name: metadata["name"].as_str()?.to_owned(),
            uid: Uid::parse(metadata["uid"].as_str()?)?,
            resource_version: resource_version(metadata),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            created: metadata["creationTimestamp"].as_str().and_then(time),
            deleting: metadata["deletionTimestamp"].is_string(),
            template_generation: generation.and_then(|(_, value)| value.parse().ok()),
            pod_names: PodNames::parse(pod_name::annotation(&annotations)),
            labels: string_pairs(&metadata["labels"]),
            annotations,
            selector: LabelSelector::from_json(&spec["selector"]),
            template: Arc::new(Template::new(spec["template"].clone())),
            strategy: Strategy::from_json(&spec["updateStrategy"]),
            min_ready_seconds: int32(&spec["minReadySeconds"]).unwrap_or_default(),
            revision_history_limit: int32(&spec["revisionHistoryLimit"]).unwrap_or(10),
            status: Status::from_json(&object["status"]),
        })
    }
}

/// The annotation by which apps/v1 carries the template generation ([K1](crate::spec#k1)).
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn time(text: &str) -> Option<Time> {
    everynode_model::time::parse(text).ok().map(Time::from_seconds)
}

fn int32(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|value| i32::try_from(value).ok())
}

fn resource_version(metadata: &Value) -> u64 {
    metadata["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

impl Strategy {
    /// Reads spec.updateStrategy; anything that is not a complete RollingUpdate counts as OnDelete
    /// ([E3](crate::spec#e3)).
    pub fn from_json(strategy: &Value) -> Self {
        let rolling = &strategy["rollingUpdate"];
        if strategy["type"].as_str() != Some("RollingUpdate") {
            return Strategy::OnDelete;
        }
        let value = |key: &str| IntOrPercent::from_json(&rolling[key]);
        match value("maxUnavailable") {
            Some(max_unavailable) => Strategy::RollingUpdate {
                max_unavailable,
                max_surge: value("maxSurge").unwrap_or(IntOrPercent::Int(0)),
            },
            None => Strategy::OnDelete,
        }
    }

    /// Whether a node may run a second pod during a roll-out at all ([E1](crate::spec#e1)).
    pub fn allows_surge(self) -> bool {
        match self {
            Strategy::OnDelete => false,
            Strategy::RollingUpdate { max_surge, .. } => max_surge.scaled(1) > 0,
        }
    }
}

impl Status {
    /// Reads status of a served DaemonSet.
    pub fn from_json(status: &Value) -> Self {
        let number = |key: &str| int32(&status[key]).unwrap_or_default();
        Status {
            observed_generation: status["observedGeneration"].as_i64().unwrap_or_default(),
            current_number_scheduled: number("currentNumberScheduled"),
            number_misscheduled: number("numberMisscheduled"),
            desired_number_scheduled: number("desiredNumberScheduled"),
            number_ready: number("numberReady"),
            updated_number_scheduled: number("updatedNumberScheduled"),
            number_available: number("numberAvailable"),
            number_unavailable: number("numberUnavailable"),
            collision_count: int32(&status["collisionCount"]),
        }
    }
}

impl NodeView for NodeFact<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(one, _)| *one == key).map(|(_, value)| *value)
    }

    fn taints(&self) -> impl Iterator<Item = Taint<'_>> {
        self.taints.iter().copied()
    }
}

impl DaemonSetFact {
    /// The name of its pod on a node, when it derives from that.
    pub fn pod_name(&self, node: &str, hash: &str) -> Option<String> {
        let hash = self.strategy.allows_surge().then_some(hash);
        (self.pod_names == PodNames::Node).then(|| pod_name(&self.name, node, hash))
    }
}

//! What the engine asks for: writes to the API, each with an id by which its outcome is told.

use std::sync::Arc;

use serde_json::Value;

use crate::base::Uid;
use crate::facts::{Kind, Status};
use crate::ids::ActionId;
use crate::policy::PolicyRef;
use crate::template::Template;

/// One write that the engine asks for. Its outcome must be told as [`crate::Fact::Finished`], exactly once.
#[derive(Clone, Debug)]
pub struct Action {
    /// Its name, for the outcome.
    pub id: ActionId,
    /// The DaemonSet on whose behalf it is made.
    pub daemonset: Arc<DaemonSetRef>,
    /// What to do.
    pub work: Work,
}

/// Which DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DaemonSetRef {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: Uid,
}

/// The kinds of write.
#[derive(Clone, Debug)]
pub enum Work {
    /// POST a pod; [`crate::pod_body::body`] gives the body. When it has a name and that is taken, GET the pod of
    /// that name: one that the DaemonSet controls and that is not being deleted was made by an earlier such write.
    /// Outcome: PodCreated or Failed.
    CreatePod(NewPod),
    /// DELETE a pod by name with its uid as precondition and otherwise empty options
    /// ([C10](crate::spec#c10)). Outcome: Done, Gone or Failed.
    DeletePod(PodRef),
    /// As DeletePod, but only the state of the pod that the engine knows: its resource version is a precondition too. A
    /// pod that serves nobody as far as is known can have become ready meanwhile. Outcome: Done, Gone, or Failed, also
    /// when the pod has changed.
    DeletePodAsKnown {
        /// The pod.
        pod: PodRef,
        /// Its resource version.
        resource_version: u64,
    },
    /// PATCH the owner reference in ([G5](crate::spec#g5)), after a live GET of the DaemonSet has shown that
    /// it exists with this uid and is not being deleted ([G4](crate::spec#g4)). Outcome: PodPatched, Gone or
    /// Failed.
    AdoptPod(PodRef),
    /// PATCH the owner reference out ([G6](crate::spec#g6)). Outcome: Done, Gone or Failed.
    ReleasePod(PodRef),
    /// Merge-PATCH the label `controller-revision-hash` ([J8](crate::spec#j8)) of the pod as it is known, with its
    /// resource version as precondition: one that was given to another owner meanwhile keeps its label. Outcome:
    /// PodPatched, Gone or Failed.
    LabelPod {
        /// The pod.
        pod: PodRef,
        /// Its resource version.
        resource_version: u64,
        /// The label's new value.
        hash: Arc<str>,
    },
    /// POST a ControllerRevision. Outcome: Revision; RevisionExists with the revision of that name when the name is
    /// taken; or Failed.
    CreateRevision(NewRevision),
    /// PUT a ControllerRevision with another number or hash label. Outcome: Revision, Gone or Failed.
    UpdateRevision {
        /// The revision.
        revision: RevisionRef,
        /// The new `revision` number, when it changes ([J9](crate::spec#j9)).
        number: Option<i64>,
        /// The new value of the label `controller-revision-hash`, when it changes ([J2](crate::spec#j2)).
        hash: Option<String>,
    },
    /// DELETE a ControllerRevision. Outcome: Done, Gone or Failed.
    DeleteRevision(RevisionRef),
    /// As AdoptPod, for a ControllerRevision ([J1](crate::spec#j1)). Outcome: Revision, Gone or Failed.
    AdoptRevision(RevisionRef),
    /// As ReleasePod, for a ControllerRevision ([J1](crate::spec#j1)). Outcome: Done, Gone or Failed.
    ReleaseRevision(RevisionRef),
    /// PUT the numbers of status, leaving conditions and collisionCount as they are; on any error GET and PUT
    /// once more ([I7](crate::spec#i7), [I8](crate::spec#i8)). Outcome: StatusWritten, Gone or Failed.
    WriteStatus {
        /// The numbers; `collision_count` is not to be written.
        status: Status,
    },
    /// GET the DaemonSet; when its status.collisionCount is `expected`, PUT status with `next`
    /// ([J7](crate::spec#j7)). Outcome: CollisionCount, Gone or Failed.
    BumpCollisionCount {
        /// The count that the engine knows.
        expected: Option<i32>,
        /// The count to write.
        next: i32,
    },
    /// Merge-PATCH the status of a RolloutPolicy, with its uid as precondition. Outcome: Done, Gone or Failed.
    WritePolicyStatus {
        /// The policy.
        policy: PolicyRef,
        /// The merge patch of the status.
        status: Value,
    },
    /// Strategic-merge-PATCH the DaemonSet with the data of an earlier revision, which replaces the template, with its
    /// uid and the resource version that the engine knows as preconditions: an edit made meanwhile wins. Outcome:
    /// Done, Gone or Failed, with Conflict when it has changed and Forbidden when that is not allowed.
    RewriteTemplate {
        /// The data of the revision, as it is.
        data: Arc<[u8]>,
        /// The resource version of the DaemonSet.
        resource_version: u64,
    },
    /// List a kind anew, with a consistent read, and watch on from there: the watch stays behind. The facts
    /// RelistBegun to RelistEnded follow; the engine asks again when they do not. Outcome: none is needed.
    Relist(Kind),
    /// Record an event on the DaemonSet, source component daemonset-controller. Outcome: none is needed.
    RecordEvent(Event),
}

/// A pod to be created.
#[derive(Clone, Debug)]
pub struct NewPod {
    /// The node that it is for.
    pub node: Arc<str>,
    /// Its name; `None` lets the API server make one from the DaemonSet's.
    pub name: Option<Arc<str>>,
    /// The template to make it from.
    pub template: Arc<Template>,
    /// The value of its label `controller-revision-hash`.
    pub hash: Arc<str>,
    /// The value of its label `pod-template-generation`, when it gets one.
    pub template_generation: Option<i64>,
}

/// Which pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodRef {
    /// metadata.name; the namespace is the DaemonSet's.
    pub name: Box<str>,
    /// metadata.uid.
    pub uid: Uid,
}

/// Which ControllerRevision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionRef {
    /// metadata.name; the namespace is the DaemonSet's.
    pub name: String,
    /// metadata.uid.
    pub uid: Uid,
    /// The resource version that the engine knows.
    pub resource_version: u64,
}

/// A ControllerRevision to be created, controlled by the DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRevision {
    /// metadata.name.
    pub name: String,
    /// metadata.labels: the template's and the hash.
    pub labels: Vec<(String, String)>,
    /// metadata.annotations: a copy of the DaemonSet's.
    pub annotations: Vec<(String, String)>,
    /// The `revision` field.
    pub revision: i64,
    /// The `data` field, byte for byte.
    pub data: Arc<[u8]>,
}

/// An event to be recorded on the DaemonSet (specification 1.L).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Type Warning, else Normal.
    pub warning: bool,
    /// The reason, one CamelCase word.
    pub reason: &'static str,
    /// The message.
    pub message: String,
}

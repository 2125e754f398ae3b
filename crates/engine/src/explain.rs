//! Why a daemon is, or is not, on a node: the answer of [`crate::Engine::explain`].

use crate::base::{Time, Uid};
use crate::facts::Phase;
use crate::placement::{Reason, Verdict};

/// What the engine knows about one DaemonSet on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether placement looks at this node at all.
    pub scope: Scope,
    /// What the node gets and keeps.
    pub verdict: Verdict,
    /// The predicate that decided; `None` when there was nothing to decide about.
    pub reason: Option<Reason>,
    /// The pods of the DaemonSet that are for this node, in the order of D8.
    pub pods: Vec<PodState>,
    /// A pod was asked for and has not been seen yet.
    pub creating: bool,
    /// Writes of the DaemonSet that failed are not repeated before this time.
    pub retry_at: Option<Time>,
}

/// Whether placement looks at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Both are known.
    Known,
    /// There is no such node.
    NodeMissing,
    /// The DaemonSet is being deleted: nothing is created or deleted (M3).
    Deleting,
    /// The DaemonSet's selector selects everything: it is left alone (M6).
    SelectsEverything,
    /// The revision for the template is not established yet, so nothing is decided.
    WaitingForRevision,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodState {
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: Uid,
    /// status.phase.
    pub phase: Phase,
    /// spec.nodeName is set.
    pub bound: bool,
    /// The Ready condition is True.
    pub ready: bool,
    /// Ready for minReadySeconds.
    pub available: bool,
    /// Made from the current template (F1).
    pub updated: bool,
    /// metadata.deletionTimestamp is set.
    pub terminating: bool,
    /// The engine has asked for its deletion.
    pub delete_requested: bool,
    /// The pod failed, and its deletion waits until this time (D5).
    pub backoff_until: Option<Time>,
}

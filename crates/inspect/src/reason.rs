//! Why something is as it is: one kind per cause, with the values that decided.

use serde::Serialize;

use crate::events::{self, EventLine};

/// How a node stands with a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// It should run a pod, and one of the current template is available.
    Available,
    /// It should run a pod, and one of an old template is available.
    Old,
    /// It should run a pod, and none that is there is available.
    NotAvailable,
    /// It should run a pod, and there is none.
    Missing,
    /// It should not run a pod, and one is there.
    Misscheduled,
    /// It should not run a pod, and does not.
    NotEligible,
}

impl Class {
    /// All of them, as legends have them.
    pub const ALL: [Class; 6] = [
        Class::Available,
        Class::Old,
        Class::NotAvailable,
        Class::Missing,
        Class::Misscheduled,
        Class::NotEligible,
    ];
}

/// The causes. The text forms are part of the JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Nothing is wrong.
    Available,

    /// spec.nodeName names another node.
    NodeName,
    /// A pair of nodeSelector does not match.
    NodeSelector,
    /// The required node affinity does not match.
    NodeAffinity,
    /// A taint is not tolerated.
    Taint,
    /// There is no such node.
    NodeGone,

    /// The roll-out has not come here: its budget is used up.
    WaitsForBudget,
    /// The roll-out has not come here yet; it can.
    WaitsForTurn,
    /// The roll-out waits until the new pod beside the old one is available.
    WaitsForNewPod,
    /// The roll-out waits until other nodes have a pod at all.
    WaitsForPods,
    /// updateStrategy is OnDelete.
    WaitsForSomebody,
    /// Under a policy: the wave that has the node has not come.
    WaitsForWave,
    /// Under a policy: a wave is complete, and somebody has to promote it.
    WaitsForPromotion,
    /// The policy is paused.
    RolloutPaused,
    /// Under a policy: too many nodes have failed, or somebody aborted.
    RolloutHalted,
    /// Under a policy: nodes go back, or have gone back, to the last good revision.
    RolledBack,
    /// Under a policy: its waves or its budget do not let it go on.
    RolloutStalled,
    /// Several policies select the DaemonSet.
    PolicyConflict,
    /// No controller has looked at the DaemonSet as it is.
    WaitsForController,
    /// The ControllerRevision of the current template cannot be made.
    RevisionRefused,
    /// The DaemonSet is being deleted.
    DaemonSetDeleted,

    /// The node is down, so that nothing is known of the pod.
    NodeDown,
    /// The pod is asked to go.
    Terminating,
    /// The scheduler has not found room.
    Unschedulable,
    /// The scheduler has not looked at it.
    WaitsForScheduler,
    /// Its containers are being made.
    Starting,
    /// An image cannot be had.
    ImagePull,
    /// A container ends again and again.
    Crashing,
    /// A container cannot be made, for another reason.
    Held,
    /// Init containers are at work.
    InitContainers,
    /// A startup probe has not succeeded.
    StartupProbe,
    /// A readiness probe does not succeed.
    ReadinessProbe,
    /// A readiness gate is not met.
    ReadinessGate,
    /// Ready, and not yet for minReadySeconds.
    MinReadySeconds,
    /// The pod has ended.
    Ended,
    /// Not ready, and nothing says why.
    NotReady,
    /// There is no pod.
    NoPod,
}

/// What would change a cause that somebody put in words.
pub(crate) fn mended(message: &str) -> String {
    format!("this is mended: {message}")
}

/// A cause with its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which.
    pub kind: Kind,
    /// A clause that reads the same for all nodes with the same cause.
    pub text: String,
    /// The same without what the node has, for causes that would else be as many as there are nodes.
    #[serde(skip)]
    pub general: Option<String>,
    /// What else is known here, such as the number of restarts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Since when, in Unix seconds.
    #[serde(rename = "sinceSeconds", skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// What would change it, a clause each.
    #[serde(rename = "wouldChange", skip_serializing_if = "Vec::is_empty")]
    pub would_change: Vec<String>,
}

impl Reason {
    /// A cause of which no more is known.
    pub fn new(kind: Kind, text: impl Into<String>) -> Reason {
        Reason {
            kind,
            text: text.into(),
            general: None,
            detail: String::new(),
            since: None,
            would_change: Vec::new(),
        }
    }

    /// ... since a time in Unix seconds.
    #[must_use]
    pub fn since(self, since: Option<i64>) -> Reason {
        Reason { since, ..self }
    }

    /// ... with this known besides.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Reason {
        Reason { detail: detail.into(), ..self }
    }

    /// Where no pod is made, what the controller was told last when it asked for one is what has to change.
    pub(crate) fn name_refusal(&mut self, events: &[EventLine]) {
        if let Some(refusal) = events::refusal(events).filter(|_| self.kind == Kind::NoPod) {
            self.would_change.clear();
            self.would_change.push(mended(refusal));
        }
    }

    /// ... with what somebody said of it, which is what has to be mended.
    #[must_use]
    pub fn said(self, message: &str) -> Reason {
        let reason = self.detail(message);
        if message.is_empty() { reason } else { reason.changed_by(mended(message)) }
    }

    /// ... that this would change.
    #[must_use]
    pub fn changed_by(mut self, what: impl Into<String>) -> Reason {
        self.would_change.push(what.into());
        self
    }
}

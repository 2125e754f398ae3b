//! A sentence that somebody should know.

use serde::Serialize;

/// Something to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// A sentence or two.
    pub message: String,
    /// The nodes concerned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

/// Whether a finding makes a change unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The change would stall, exceed its budget, or leave nodes without their daemon.
    Unsafe,
    /// Worth knowing.
    Note,
}

/// The kinds of finding. The text forms are part of the JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FindingKind {
    /// The roll-out stops before its end: nodes that are down use up the budget.
    DeadNodesUseBudget,
    /// The roll-out stops before its end, for another reason.
    Stalls,
    /// Surging pods want host ports that the old pods hold.
    SurgeHostPorts,
    /// Pods do not fit on their nodes.
    NoRoom,
    /// New pods do not become ready, as was asked for, or as they do not now.
    NewPodsFail,
    /// A quota refuses pods.
    Quota,
    /// Pods, or the revision that they are made from, are refused for what they are.
    Refused,
    /// The namespace is neither in the fleet nor in the manifest.
    NoNamespace,
    /// Pods of another template count as updated, and stay.
    CountsAsUpdated,
    /// Pods are not made, for a reason that the model does not know.
    NotCreated,
    /// No scheduler looks at pods.
    NotScheduled,
    /// No node is eligible.
    NoEligibleNode,
    /// More nodes than the budget allows are without a Ready pod at once.
    ExceedsBudget,
    /// Pods younger than minReadySeconds are replaced all at once.
    YoungPods,
    /// Nodes that are down keep their old pod, or none.
    DeadNodes,
    /// Other pods are pushed out.
    PushesOut,
    /// The roll-out waits for somebody to delete pods.
    OnDelete,
    /// Something outside the model decides too.
    NotModelled,
    /// The DaemonSet is being deleted.
    BeingDeleted,
    /// It was not made by `kubectl apply`, so what a manifest leaves out stays.
    NotApplied,
    /// A server-side apply is refused unless it takes fields from other managers by force.
    Conflicts,
    /// Somebody else owns the DaemonSet.
    ManagedElsewhere,
    /// A part of the cluster could not be seen.
    NotSeen,
    /// Under a policy: too many nodes fail, and it halts.
    Halts,
    /// Under a policy: a wave waits for somebody to promote it.
    WaitsForPromotion,
    /// The policy is paused.
    Paused,
    /// Several policies select the DaemonSet.
    PolicyConflict,
}

pub(crate) fn finding(
    kind: FindingKind,
    severity: Severity,
    message: impl Into<String>,
    nodes: Vec<String>,
) -> Finding {
    Finding { kind, severity, message: message.into(), nodes }
}

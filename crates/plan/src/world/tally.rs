//! What a run counts.

use everynode_engine::policy::{RolloutPhase, Unwell};

/// One replacement: when, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The node, by its place among the model's nodes.
    pub node: u32,
    /// Milliseconds after the change.
    pub at_millis: i64,
    /// The wave: one more than the latest wave that had a finished node by then.
    pub wave: u32,
    /// The wave of the policy that was under way, from 1; 0 without a policy.
    pub policy_wave: usize,
}

/// How far a policy's roll-out had come at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Milliseconds after the change.
    pub at_millis: i64,
    /// How far.
    pub phase: RolloutPhase,
    /// The wave under way, from 1.
    pub wave: usize,
    /// There are no waves: a first roll-out at once, or the way back to what was good before.
    pub is_without_waves: bool,
    /// It leads back to the last good revision.
    pub is_return: bool,
}

/// Why something was not created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What.
    pub of: Refused,
    /// The API server's sentence, or the quota's.
    pub message: String,
}

/// What was refused, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A pod, by a quota.
    ByQuota,
    /// A pod, for what it is.
    Pod,
    /// The revision that pods are made from.
    Revision,
}

/// What a run counts.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Nodes in the order in which their pods were replaced, created or removed.
    pub order: Vec<Touch>,
    /// Nodes that should run a pod and have none available, now.
    pub unavailable: u32,
    /// The most of these at once.
    pub worst: u32,
    /// Nodes that should run a pod and have none that is Ready, now. These are not served.
    pub unserved: u32,
    /// The most of these at once.
    pub worst_unserved: u32,
    /// When that was, in milliseconds after the change.
    pub worst_at_millis: i64,
    /// Which.
    pub worst_nodes: Vec<u32>,
    /// When the last pod became available or went, in milliseconds after the change.
    pub last_progress_millis: i64,
    /// Why the latest creation was refused.
    pub refused: Option<Refusal>,
    /// Changes of pods that were carried out, and steps of a policy.
    pub progress: u64,
    /// What the status of a policy said of it last.
    pub message: String,
    /// Eligible nodes that are not well before a policy's roll-out touches any; none without a policy.
    pub unwell: Option<Vec<(String, Unwell)>>,
    /// How a policy's roll-out went.
    pub steps: Vec<Step>,
}

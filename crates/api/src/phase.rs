use std::fmt;

use serde::{Serialize, Serializer};

/// How far a roll-out under a policy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RolloutPhase {
    /// Nodes are being updated.
    #[default]
    Progressing,
    /// A wave is complete, and its bake time runs.
    Baking,
    /// A wave is complete, and waits for somebody to promote it.
    WaitingForPromotion,
    /// The waves cannot go on: one matches no node, they do not reach all nodes, or the budget is 0.
    Stalled,
    /// Too many nodes have failed, or somebody aborted: nothing is replaced.
    Halted,
    /// As `Halted`, and nodes go back to the last good revision.
    RollingBack,
    /// All nodes have the last good revision again.
    RolledBack,
    /// All nodes have the revision.
    Complete,
}

impl RolloutPhase {
    /// All phases.
    pub const ALL: [RolloutPhase; 8] = [
        RolloutPhase::Progressing,
        RolloutPhase::Baking,
        RolloutPhase::WaitingForPromotion,
        RolloutPhase::Stalled,
        RolloutPhase::Halted,
        RolloutPhase::RollingBack,
        RolloutPhase::RolledBack,
        RolloutPhase::Complete,
    ];

    /// The word for it in the policy's status.
    pub fn name(self) -> &'static str {
        match self {
            RolloutPhase::Progressing => "Progressing",
            RolloutPhase::Baking => "Baking",
            RolloutPhase::WaitingForPromotion => "WaitingForPromotion",
            RolloutPhase::Stalled => "Stalled",
            RolloutPhase::Halted => "Halted",
            RolloutPhase::RollingBack => "RollingBack",
            RolloutPhase::RolledBack => "RolledBack",
            RolloutPhase::Complete => "Complete",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == text)
    }

    /// Nothing more of the new revision comes, paused or not.
    pub fn is_ended(self) -> bool {
        self.is_given_up() || self == RolloutPhase::Complete
    }

    /// The new revision is given up: pods are made from the last good one.
    pub fn is_given_up(self) -> bool {
        self.is_back() || self == RolloutPhase::Halted
    }

    /// Nodes are led to the last good revision.
    pub fn is_back(self) -> bool {
        matches!(self, RolloutPhase::RollingBack | RolloutPhase::RolledBack)
    }
}

/// What the status of a policy says of all that it conducts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyPhase {
    /// Another policy selects one of its DaemonSets too: none acts on it.
    Conflict,
    /// It selects no DaemonSet.
    Idle,
    /// That of the roll-out that matters most.
    Rollout(RolloutPhase),
}

impl PolicyPhase {
    /// The word for it in the status.
    pub fn name(self) -> &'static str {
        match self {
            PolicyPhase::Conflict => "Conflict",
            PolicyPhase::Idle => "Idle",
            PolicyPhase::Rollout(phase) => phase.name(),
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Conflict" => Some(PolicyPhase::Conflict),
            "Idle" => Some(PolicyPhase::Idle),
            text => RolloutPhase::parse(text).map(PolicyPhase::Rollout),
        }
    }
}

impl fmt::Display for RolloutPhase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Serialize for RolloutPhase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

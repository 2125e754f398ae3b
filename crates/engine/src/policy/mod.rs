//! Roll-out policies: what a `RolloutPolicy` (`everynode.dev/v1alpha1`) says, and how the roll-outs of the DaemonSets
//! that it selects are conducted.
//!
//! `spec` reads the object, `survey` looks at a node, `roster` keeps what was seen of all nodes of one DaemonSet and
//! counts it, `look` works in what has happened, `notes` is what was noted of nodes and must survive a leader, `trust` what pods may be made from, `conduct` and `waves` say where the roll-out stands, `act` what is
//! asked for (`rewrite` where another controller makes the pods), and `report` puts that into the policy's status. Without a policy nothing here has a part in anything.

mod act;
mod bind;
mod conduct;
mod look;
mod notes;
mod report;
mod rewrite;
mod roster;
mod spec;
mod survey;
mod trust;
mod waves;

pub use spec::{Domain, Gate, OnFailure, PolicyFact, PolicyRef, PolicySpec, Wave, WaveNodes};

pub(crate) use bind::Policies;
pub(crate) use conduct::Conduct;
pub use conduct::RolloutFigures;
pub use notes::StoredNotes;
pub(crate) use survey::Spot;
pub(crate) use trust::DataDigest;
pub use trust::data_digest;

use crate::base::Time;

/// A node that had been well and failed after it had got the new revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFailure {
    /// One CamelCase word: `NodeNotReady`, `NotReadyInTime`, `PodFailed`, or what the kubelet gives as the reason
    /// for which a container waits.
    pub reason: String,
    /// When it was noticed.
    pub at: Time,
}

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

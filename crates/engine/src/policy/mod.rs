//! Roll-out policies: how the roll-outs of the DaemonSets that a `RolloutPolicy` selects go. What the object
//! says, and how its status is read and written, is in `everynode_api`.
//!
//! `spec` is how the engine is told of one, `survey` looks at a node, `nodes` keeps what was seen of all nodes of one
//! DaemonSet and counts it, `look` works in what has happened, `notes` is what was noted of nodes and must survive a
//! leader, `trust` what pods may be made from, `analysis` whether the
//! revision is worse than the one before (`judge` asks it), `rollout` and `waves` say where the roll-out stands, `act` what is asked
//! for (`rewrite` where another controller makes the pods), and `report` puts that into the policy's status. Without a
//! policy nothing here has a part in anything.

mod act;
mod analysis;
mod bind;
mod digest;
mod judge;
mod look;
mod node_state;
mod nodes;
mod notes;
mod policies;
mod reason;
mod report;
mod rewrite;
mod rollout;
mod sampled;
mod spec;
mod survey;
mod trust;
mod waves;

pub use everynode_api::{Domain, Gate, OnFailure, PolicySpec, RolloutPhase, Wave, WaveNodes};
pub use spec::{PolicyFact, PolicyRef};

pub(crate) use digest::DataDigest;
pub use digest::data_digest;
pub use node_state::Unwell;
pub(crate) use node_state::{Health, NodeState};
pub use notes::StoredNotes;
pub(crate) use policies::Policies;
pub use reason::{Cause, RolloutReason, Way};
pub use rollout::RolloutFigures;
pub(crate) use rollout::RolloutState;
pub use sampled::{Sampled, SampledPod};

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

//! The decisions of everynode: a pure state machine from facts to actions.
//!
//! The engine has no clock and does no I/O. Its driver tells it facts (what watches show, how writes ended), asks it
//! what to do, and asks when it wants to be asked again:
//!
//! ```text
//! engine.observe(fact, now);          // as often as there are facts
//! for action in engine.decide(now) {  // carry out, tell the outcome as Fact::Finished
//! }
//! engine.next_deadline();             // call decide again by then, even without a new fact
//! ```
//!
//! Statements such as "D3" in the documentation of this crate name statements of the specification of the built-in
//! controller of Kubernetes 1.36.

mod actions;
mod base;
mod cells;
mod claim;
mod engine;
mod explain;
mod facts;
mod finished;
mod history;
mod intern;
mod labels;
mod manage;
mod namespaces;
mod nodes;
mod observe;
pub mod placement;
pub mod pod_body;
mod pods;
pub mod revision;
mod rollout;
mod slot;
mod status;
mod template;
mod timers;

pub use actions::{Action, ActionId, DaemonSetRef, Event, NewPod, NewRevision, PodRef, RevisionRef, Work};
pub use base::{Time, Uid};
pub use engine::{Engine, Footprint, Limits};
pub use explain::{Explanation, PodState, Scope};
pub use facts::{
    DaemonSetFact, Fact, Failure, IntOrPercent, Kind, NodeFact, Outcome, Phase, PodController, PodFact,
    PodSelector, RevisionFact, Status, Strategy,
};
pub use template::{Template, pod_placement};

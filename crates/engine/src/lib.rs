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
//! # Shape
//!
//! A DaemonSet on a node is an *assignment*. A fact changes rows (`nodes`, `pods`, `daemonset`) and marks assignments;
//! `decide` looks at marked assignments only (`view`, `evaluate`), keeps what they count as by differences, and takes
//! work from queues that are in the order of node names (`manage`, `rollout`). Nothing scans all nodes because of one
//! event. What is known of the world stands in `tables`, the state of each DaemonSet above it in `daemonset`; `sync`
//! says in which order one DaemonSet is worked on.
//!
//! # Where it differs from the built-in controller
//!
//! - Order: where the built-in one iterates a map, nodes are taken by name, and orphans go to the first DaemonSet by
//!   name.
//! - [H1](crate::spec#h1) to [H3](crate::spec#h3): writes are waited for by uid and per assignment, not by counters
//!   per DaemonSet. A roll-out goes on while writes are under way, as these count against its budget; it
//!   stops while creations or deletions fail or queue. Time alone ends no wait: when a write does not become
//!   visible, a fresh list decides (`lists`).
//! - [A17](crate::spec#a17) to [A19](crate::spec#a19): status follows a node's removal or new taint at once.
//! - [C8](crate::spec#c8): batches go on growing up to the limit while there is work, instead of starting
//!   again every 250 pods.
//! - [F12](crate::spec#f12): pods that surge outside the budget ([F10](crate::spec#f10)) use it up for the
//!   others.
//! - [C8](crate::spec#c8), [C13](crate::spec#c13): a node whose creation failed waits behind the others, by
//!   itself (`refused`): it holds up neither their pods nor their roll-out.
//! - [A3](crate::spec#a3): retries wait a minute at most. [D7](crate::spec#d7): a failed pod is selected only
//!   when it is deleted.
//!
//! Statements such as "D3" are those of the [specification](spec) of the built-in controller of Kubernetes 1.36.

mod actions;
mod assignment;
mod base;
mod churn;
mod claim;
mod clock;
mod config;
mod coverage;
mod daemonset;
mod daemonsets;
mod engine;
mod evaluate;
mod explain;
mod facts;
mod figures;
mod finished;
pub mod fit;
mod history;
mod ids;
mod intern;
mod invariants;
mod labels;
mod listing;
mod lists;
mod manage;
mod mark;
mod namespaces;
mod nodes;
mod observe;
mod pending;
pub mod placement;
pub mod pod_body;
mod pod_name;
mod pods;
pub mod policy;
pub mod read;
mod refused;
pub mod revision;
mod rollout;
mod service;
mod status;
mod sync;
mod tables;
mod template;
mod timers;
mod view;

pub use actions::{Action, DaemonSetRef, Event, NewPod, NewRevision, PodRef, RevisionRef, Work};
pub use base::{Time, Uid};
pub use config::{EngineConfig, Limits, Scope};
pub use coverage::{Coverage, Service, UNSERVED_SECONDS, Unserved};
pub use engine::{Engine, Footprint};
pub use everynode_model::{IntOrPercent, LabelSelector, spec};
pub use explain::{Explanation, PodState, Standing, Waiting};
pub use facts::{
    CORDONED_TAINT, ContainerStatuses, DaemonSetFact, Fact, Failure, Kind, NOT_READY_TAINTS, NodeFact,
    Outcome, Phase, PodController, PodFact, RevisionFact, Sample, Samples, Status, Strategy, Trouble,
};
pub use figures::{Figures, Rollout, RolloutNode};
pub use ids::ActionId;
pub use invariants::Violations;
pub use pod_name::{POD_NAMES, PodNames, pod_name};
pub use rollout::Budget;
pub use tables::StaleSkips;
pub use template::{Template, pod_placement};
pub use view::available_at;

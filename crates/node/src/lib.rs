//! Node agents: simulated nodes that behave as kubelets do.
//!
//! [`Fleet::run`] drives any number of them in one task: one watch of Nodes and one of Pods for all, a heap of
//! timers instead of a task per node, and a bounded number of requests under way. They join any cluster, the
//! embedded one or a real one.
//!
//! What decides is without clock and I/O: `pod` is the life of one pod, `core` the fleet. [`faults`] lists the
//! annotations that make nodes and pods misbehave.

mod config;
mod core;
mod events;
mod facts;
pub mod faults;
mod fleet;
mod identity;
mod load;
mod node;
mod pod;
mod status;
pub mod usage;

pub use config::{FleetConfig, Mode, NodeSpec};
pub use fleet::Fleet;
pub use identity::standard_labels;

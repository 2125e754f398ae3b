//! What a small cluster needs beside the controller, and up, which composes it.
//!
//! [`loops`] runs what Kubernetes' scheduler and controller manager do for daemons and their nodes: the binder,
//! the node lifecycle, garbage collection, namespaces, pods of nodes that vanished or are out of service, disruption
//! budgets. Each is a core without clock and I/O; one task reads the API for all of them.

mod binder;
mod core;
mod disruption;
mod facts;
mod gc;
mod host;
mod kinds;
mod lifecycle;
mod namespaces;
mod pod_gc;
pub mod up;

pub use host::{LoopsConfig, loops};

use everynode_model::Labels;

/// Labels, kept.
fn strings(labels: &Labels<'_>) -> Vec<(Box<str>, Box<str>)> {
    labels.iter().map(|(key, value)| (key.into(), value.into())).collect()
}

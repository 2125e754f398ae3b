//! What a small cluster needs beside the controller, and up, which composes it.
//!
//! [`loops`] runs what Kubernetes' scheduler and controller manager do for daemons and their nodes: the binder,
//! the node lifecycle, garbage collection, namespaces, pods of vanished nodes, disruption budgets. Each is a
//! core without clock and I/O; one task reads the API for all of them.

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

use serde_json::value::RawValue;

/// Labels, or another map of strings, in the order of the object.
fn strings(raw: Option<&RawValue>) -> Vec<(Box<str>, Box<str>)> {
    match facts::value(raw) {
        serde_json::Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().unwrap_or_default().into()))
            .collect(),
        _ => Vec::new(),
    }
}

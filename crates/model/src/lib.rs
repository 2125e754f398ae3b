//! The words of Kubernetes that all of everynode speaks, as lean types that are read once.
//!
//! A watch of 100,000 pods brings mostly fields that nobody here reads. The types of objects skip them, borrow from
//! the bytes of the watch, and copy a text only where it holds an escape. Readers that need other parts of a kind put
//! their own struct together from [`Metadata`], [`Condition`] and the other common ones.
//!
//! Statements such as "D3" in the documentation of all crates are those of the [specification](spec) of the built-in
//! controller of Kubernetes 1.36.

pub mod access;
mod condition;
mod container;
mod controller_revision;
pub mod duration;
pub mod encode;
mod int_or_percent;
pub mod json;
mod metadata;
pub mod names;
mod node;
pub mod node_agent;
mod node_placement;
mod phase;
mod pod;
pub mod pod_resources;
pub mod quantity;
mod quote;
pub mod resource_metrics;
mod selector;
#[doc = include_str!("../spec/daemonset.md")]
pub mod spec {}
mod taint;
mod text;
pub mod time;
mod usage;
mod watch;

pub use condition::{Condition, Conditions, PodConditions};
pub use container::{
    ContainerState, ContainerStatus, Running, Terminated, Trouble, Waiting, is_being_started,
};
pub use controller_revision::ControllerRevision;
pub use int_or_percent::IntOrPercent;
pub use metadata::{AnyObject, Metadata, Owner};
pub use node::{Address, Node, NodeSpec, NodeStatus};
pub use node_placement::NodePlacement;
pub use phase::Phase;
pub use pod::{ContainerHistory, ContainerStatuses, Pod, PodSpec, PodStatus};
pub use quote::go_quote;
pub use selector::{LabelSelector, Operator, Requirement, SelectorError};
pub use taint::{
    CORDONED_TAINT, Effect, NOT_READY_TAINT, NOT_READY_TAINTS, Taint, TimedTaint, Toleration,
    UNREACHABLE_TAINT, not_ready_since,
};
pub use text::{Labels, Text};
pub use usage::{ContainerMetrics, ContainerUsage, NodeSample, PodMetrics, Usage};
pub use watch::{EventKind, WatchEvent, event};

/// A JSON value with its field order kept, the form in which the API server changes objects.
pub type Value = serde_json::Value;

/// A JSON object with its field order kept.
pub type Object = serde_json::Map<String, Value>;

#[cfg(test)]
mod tests;

//! What the loops read of objects: borrowed from the watch's bytes. What only some loop reads, and only once,
//! stays raw JSON.

use everynode_model::{self as model, Condition, Metadata, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A Pod.
#[derive(Debug, Deserialize)]
pub(crate) struct Pod<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub spec: PodSpec<'a>,
    #[serde(borrow, default)]
    pub status: PodStatus<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodSpec<'a> {
    #[serde(borrow)]
    pub node_name: Text<'a>,
    #[serde(borrow)]
    pub scheduler_name: Text<'a>,
    pub priority: i32,
    pub host_network: bool,
    #[serde(borrow)]
    pub node_selector: Option<&'a RawValue>,
    #[serde(borrow)]
    pub affinity: Option<&'a RawValue>,
    #[serde(borrow)]
    pub tolerations: Option<&'a RawValue>,
    #[serde(borrow)]
    pub containers: Option<&'a RawValue>,
    #[serde(borrow)]
    pub init_containers: Option<&'a RawValue>,
    #[serde(borrow)]
    pub overhead: Option<&'a RawValue>,
    #[serde(borrow)]
    pub resources: Option<&'a RawValue>,
    pub scheduling_gates: Vec<serde::de::IgnoredAny>,
    pub resource_claims: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodStatus<'a> {
    #[serde(borrow)]
    pub phase: Text<'a>,
    #[serde(borrow)]
    pub conditions: Vec<Condition<'a>>,
}

/// A Lease.
#[derive(Debug, Deserialize)]
pub(crate) struct Lease<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub spec: LeaseSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct LeaseSpec<'a> {
    #[serde(borrow)]
    pub renew_time: Option<Text<'a>>,
}

/// A PodDisruptionBudget.
#[derive(Debug, Deserialize)]
pub(crate) struct Budget<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(default)]
    pub spec: serde_json::Value,
    #[serde(default)]
    pub status: serde_json::Value,
}

impl Pod<'_> {
    /// The pod has run for good: it uses nothing any more.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    pub(crate) fn is_ready(&self) -> bool {
        model::condition_status(&self.status.conditions, "Ready") == Some("True")
    }
}

/// A raw part of an object as a value; null where it is absent.
pub(crate) fn value(raw: Option<&RawValue>) -> serde_json::Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

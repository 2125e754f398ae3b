//! What the loops read of objects: borrowed from the watch's bytes. What only some loop reads, and only once,
//! stays raw JSON.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

type Text<'a> = Cow<'a, str>;

/// The metadata that every object has.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub namespace: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
    #[serde(borrow)]
    pub resource_version: Text<'a>,
    pub generation: i64,
    #[serde(borrow)]
    pub deletion_timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    pub labels: Option<&'a RawValue>,
    #[serde(borrow)]
    pub owner_references: Vec<OwnerReference<'a>>,
    #[serde(borrow)]
    pub finalizers: Vec<Text<'a>>,
}

/// One owner of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OwnerReference<'a> {
    #[serde(borrow)]
    pub api_version: Text<'a>,
    #[serde(borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
    pub block_owner_deletion: bool,
}

/// Any object, by its metadata.
#[derive(Debug, Deserialize)]
pub(crate) struct Object<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
}

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
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodStatus<'a> {
    #[serde(borrow)]
    pub phase: Text<'a>,
    #[serde(borrow)]
    pub conditions: Vec<Condition<'a>>,
}

/// A condition of a Pod or Node.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub status: Text<'a>,
    #[serde(borrow)]
    pub message: Text<'a>,
    #[serde(borrow)]
    pub last_heartbeat_time: Option<Text<'a>>,
}

/// A Node.
#[derive(Debug, Deserialize)]
pub(crate) struct Node<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub spec: NodeSpec<'a>,
    #[serde(borrow, default)]
    pub status: NodeStatus<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSpec<'a> {
    #[serde(borrow)]
    pub taints: Vec<Taint<'a>>,
    pub unschedulable: bool,
}

/// A taint of a Node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Taint<'a> {
    #[serde(borrow)]
    pub key: Text<'a>,
    #[serde(borrow)]
    pub value: Text<'a>,
    #[serde(borrow)]
    pub effect: Text<'a>,
    #[serde(borrow)]
    pub time_added: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus<'a> {
    #[serde(borrow)]
    pub allocatable: Option<&'a RawValue>,
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

/// A condition's status in a list, if it is there.
pub(crate) fn condition<'a>(conditions: &'a [Condition<'_>], kind: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.status.as_ref())
}

impl Pod<'_> {
    /// The pod has run for good: it uses nothing any more.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    pub(crate) fn is_ready(&self) -> bool {
        condition(&self.status.conditions, "Ready") == Some("True")
    }
}

/// A raw part of an object as a value; null where it is absent.
pub(crate) fn value(raw: Option<&RawValue>) -> serde_json::Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

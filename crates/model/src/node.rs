//! Nodes.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::null_as_default;
use crate::{Condition, Metadata, Text};

/// A Node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    /// What was decided about it.
    #[serde(borrow)]
    pub spec: NodeSpec<'a>,
    /// What its kubelet reports.
    #[serde(borrow)]
    pub status: NodeStatus<'a>,
}

/// What was decided about a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec<'a> {
    /// Taints.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub taints: Vec<Taint<'a>>,
    /// Whether the node is cordoned.
    pub unschedulable: bool,
}

/// What a node's kubelet reports.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus<'a> {
    /// What pods can use, by the names of the resources, unread.
    #[serde(borrow)]
    pub allocatable: Option<&'a RawValue>,
    /// Conditions.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub conditions: Vec<Condition<'a>>,
    /// Where it can be reached.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub addresses: Vec<Address<'a>>,
}

/// An address of a node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Address<'a> {
    /// Type, such as `InternalIP`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// The address.
    #[serde(borrow)]
    pub address: Text<'a>,
}

/// A taint: it keeps pods away that do not tolerate it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Taint<'a> {
    /// Key.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// Value, may be empty.
    #[serde(borrow)]
    pub value: Text<'a>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[serde(borrow)]
    pub effect: Text<'a>,
    /// When a taint that evicts pods was added.
    #[serde(borrow)]
    pub time_added: Option<Text<'a>>,
}

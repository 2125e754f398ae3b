//! Nodes.

use serde::Deserialize;

use super::{Metadata, Text, null_as_default};

/// A Node: what placement asks of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: NodeSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    taints: Vec<Taint<'a>>,
    unschedulable: bool,
}

/// A taint: it keeps pods away that do not tolerate it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
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
}

impl<'a> Node<'a> {
    /// Taints.
    pub fn taints(&self) -> &[Taint<'a>] {
        &self.spec.taints
    }

    /// Whether the node is cordoned.
    pub fn is_unschedulable(&self) -> bool {
        self.spec.unschedulable
    }
}

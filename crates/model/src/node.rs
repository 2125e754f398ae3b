//! Nodes.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::null_as_default;
use crate::{Condition, Conditions, Metadata, Text, TimedTaint};

/// A Node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    /// What was decided about it.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub spec: NodeSpec<'a>,
    /// What its kubelet reports.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub status: NodeStatus<'a>,
}

/// What was decided about a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec<'a> {
    /// Taints.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub taints: Vec<TimedTaint<'a>>,
    /// Whether the node is cordoned.
    pub unschedulable: bool,
}

/// What a node's kubelet reports.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus<'a> {
    /// What pods can use, by the names of the resources, unread.
    #[serde(borrow)]
    pub allocatable: Option<&'a RawValue>,
    /// Conditions.
    #[serde(borrow)]
    pub conditions: Conditions<'a>,
    /// Where it can be reached.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub addresses: Vec<Address<'a>>,
    /// What it is made of, unread.
    #[serde(borrow)]
    pub node_info: Option<&'a RawValue>,
    #[serde(deserialize_with = "null_as_default")]
    daemon_endpoints: DaemonEndpoints,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DaemonEndpoints {
    #[serde(deserialize_with = "null_as_default")]
    kubelet_endpoint: DaemonEndpoint,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DaemonEndpoint {
    #[serde(rename = "Port")]
    port: u16,
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

impl<'a> Node<'a> {
    /// The Ready condition: whether its kubelet is well. Of one that has never spoken there is none.
    pub fn ready(&self) -> Option<&Condition<'a>> {
        self.status.conditions.ready()
    }

    /// The port on which its kubelet listens. A simulated node has none.
    pub fn kubelet_port(&self) -> Option<u16> {
        Some(self.status.daemon_endpoints.kubelet_endpoint.port).filter(|port| *port > 0)
    }

    /// Its address within the cluster.
    pub fn internal_ip(&self) -> Option<&str> {
        self.status
            .addresses
            .iter()
            .find(|address| address.kind == *"InternalIP")
            .map(|address| &*address.address)
    }

    /// It has a taint of this key.
    pub fn has_taint(&self, key: &str) -> bool {
        self.spec.taints.iter().any(|taint| taint.key == *key)
    }

    /// Its kubelet answers and is well.
    pub fn is_ready(&self) -> bool {
        self.ready().is_some_and(Condition::is_true)
    }
}

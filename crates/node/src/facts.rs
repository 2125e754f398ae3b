//! What an agent reads of Pods and Nodes: borrowed from the watch's bytes, then kept in a few words.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::faults::{PREFIX, StringMap};

type Text<'a> = Cow<'a, str>;

/// A Pod as an agent sees it.
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
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub namespace: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
    pub generation: i64,
    #[serde(borrow)]
    pub deletion_timestamp: Option<Text<'a>>,
    pub deletion_grace_period_seconds: Option<u64>,
    /// Left unread unless something in them is for the agents.
    #[serde(borrow)]
    pub annotations: Option<&'a RawValue>,
}

impl Metadata<'_> {
    /// The annotations for the agents: the text by which a change is noticed, or nothing.
    pub(crate) fn fault_text(&self) -> &str {
        match self.annotations {
            Some(raw) if raw.get().contains(PREFIX) => raw.get(),
            _ => "",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodSpec<'a> {
    #[serde(borrow)]
    pub node_name: Text<'a>,
    #[serde(borrow)]
    pub restart_policy: Text<'a>,
    pub host_network: bool,
    #[serde(borrow)]
    pub containers: Vec<ContainerSpec<'a>>,
    #[serde(borrow)]
    pub init_containers: Vec<ContainerSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerSpec<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub image: Text<'a>,
    #[serde(borrow)]
    pub restart_policy: Text<'a>,
    pub readiness_probe: Option<Probe>,
    pub lifecycle: Option<Lifecycle>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Probe {
    pub initial_delay_seconds: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Lifecycle {
    pub pre_stop: Option<Handler>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Handler {
    pub sleep: Option<Sleep>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sleep {
    pub seconds: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodStatus<'a> {
    #[serde(borrow)]
    pub phase: Text<'a>,
    #[serde(borrow)]
    pub start_time: Option<Text<'a>>,
    #[serde(borrow, rename = "podIP")]
    pub pod_ip: Text<'a>,
    #[serde(borrow)]
    pub conditions: Vec<Condition<'a>>,
    #[serde(borrow)]
    pub container_statuses: Vec<ContainerStatus<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub status: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerStatus<'a> {
    pub restart_count: u32,
    #[serde(borrow)]
    pub state: ContainerState<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerState<'a> {
    #[serde(borrow)]
    pub running: Option<RunningState<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RunningState<'a> {
    #[serde(borrow)]
    pub started_at: Option<Text<'a>>,
}

/// A Node as its own agent sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct Node<'a> {
    #[serde(borrow)]
    pub metadata: NodeMetadata<'a>,
    #[serde(borrow, default)]
    pub status: NodeStatus<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeMetadata<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
    #[serde(borrow)]
    pub labels: StringMap<'a>,
    #[serde(borrow)]
    pub annotations: StringMap<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus<'a> {
    #[serde(borrow)]
    pub conditions: Vec<Condition<'a>>,
    #[serde(borrow)]
    pub addresses: Vec<Address<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Address<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub address: Text<'a>,
}

/// The status of one condition in a list, if it is there.
pub(crate) fn condition<'a>(conditions: &'a [Condition<'_>], kind: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.status.as_ref())
}

/// The pods of one node, as a list gives them.
#[derive(Debug, Deserialize)]
pub(crate) struct PodList<'a> {
    #[serde(borrow, default)]
    pub items: Vec<&'a RawValue>,
}

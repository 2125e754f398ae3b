//! What an agent reads of Pods: borrowed from the watch's bytes, then kept in a few words.

use everynode_model::{Condition, Labels, Metadata, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::faults::PREFIX;

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

/// The annotations for the agents: the text by which a change is noticed, or nothing.
pub(crate) fn fault_text<'a>(metadata: &Metadata<'a>) -> &'a str {
    match metadata.annotations {
        Some(raw) if raw.get().contains(PREFIX) => raw.get(),
        _ => "",
    }
}

/// The annotations of such a text, or a sentence about why they cannot be read.
pub(crate) fn annotations(fault_text: &str) -> Result<Labels<'_>, String> {
    match fault_text {
        "" => Ok(Labels::default()),
        text => serde_json::from_str(text).map_err(|error| format!("annotations cannot be read: {error}")),
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

/// The pods of one node, as a list gives them.
#[derive(Debug, Deserialize)]
pub(crate) struct PodList<'a> {
    #[serde(borrow, default)]
    pub items: Vec<&'a RawValue>,
}

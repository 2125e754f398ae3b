//! What only an agent reads of Pods: borrowed from the watch's bytes, then kept in a few words.

use everynode_model::{Labels, Metadata, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::faults::PREFIX;

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

/// The containers of a list that was left unread. One that is not of the right form is taken as absent: the API server
/// has validated it.
pub(crate) fn containers(raw: Option<&RawValue>) -> Vec<ContainerSpec<'_>> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// A container as an agent runs it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerSpec<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub image: Text<'a>,
    #[serde(borrow)]
    pub restart_policy: Text<'a>,
    #[serde(borrow)]
    pub resources: Option<&'a RawValue>,
    pub readiness_probe: Option<Probe>,
    pub lifecycle: Option<Lifecycle>,
}

/// What a container asks for, as the API shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Resources<'a> {
    #[serde(borrow)]
    pub requests: Option<&'a RawValue>,
}

impl<'a> Resources<'a> {
    /// Cpu and memory.
    pub fn requests(&self) -> Requests<'a> {
        self.requests.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }
}

impl<'a> ContainerSpec<'a> {
    /// What it asks for.
    pub fn resources(&self) -> Resources<'a> {
        self.resources.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Requests<'a> {
    #[serde(borrow)]
    pub cpu: Text<'a>,
    #[serde(borrow)]
    pub memory: Text<'a>,
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

/// The pods of one node, as a list gives them.
#[derive(Debug, Deserialize)]
pub(crate) struct PodList<'a> {
    #[serde(borrow, default)]
    pub items: Vec<&'a RawValue>,
}

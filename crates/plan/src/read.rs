//! From the objects that the API serves to records.

mod pod;

use everynode_engine::policy::data_digest;
use everynode_model::json::raw_value;
use everynode_model::{self as model, Metadata};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mask::Mask;
use crate::policy::recorded;
use crate::record::{Labels, Node, Revision, Taint, Text};
use crate::surroundings;

pub use pod::{DEFAULT_SCHEDULER, PodRead, pod};

/// Messages are cut to so many characters.
const MESSAGE_LIMIT: usize = 300;

/// A message as far as it is kept.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_LIMIT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn map(labels: &model::Labels<'_>) -> Labels {
    labels.iter().collect()
}

/// The uid of the DaemonSet that controls an object; `Err` when something else does.
fn owner(metadata: &Metadata<'_>) -> Result<Option<Text>, ()> {
    match metadata.controller() {
        None => Ok(None),
        Some(owner) if owner.kind == "DaemonSet" => Ok(Some((*owner.uid).into())),
        Some(_) => Err(()),
    }
}

/// Reads a Node as served.
///
/// # Errors
/// It is none.
pub fn node(item: &RawValue) -> serde_json::Result<Node> {
    let node: model::Node<'_> = serde_json::from_str(item.get())?;
    let ready = node.ready();
    let taint = |taint: &model::TimedTaint<'_>| Taint {
        key: (*taint.key).into(),
        value: (*taint.value).into(),
        effect: (*taint.effect).into(),
        time_added: taint.added_seconds(),
    };
    Ok(Node {
        name: (*node.metadata.name).into(),
        labels: map(&node.metadata.labels),
        system: node.status.node_info.map(system).unwrap_or_default(),
        taints: node.spec.taints.iter().map(taint).collect(),
        unschedulable: node.spec.unschedulable,
        allocatable: node.status.allocatable.map(raw_value).unwrap_or_default().into(),
        ready: ready.map_or("Unknown", |ready| &*ready.status).into(),
        ready_since: ready.and_then(|ready| ready.since_seconds()),
        ready_message: ready
            .filter(|ready| !ready.is_true())
            .map(|ready| shortened(&ready.message))
            .unwrap_or_default(),
    })
}

/// The fields of `status.nodeInfo` that are kept.
const SYSTEM: [&str; 4] = ["kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion"];

fn system(info: &RawValue) -> Labels {
    let info = raw_value(info);
    let field = |name: &&str| Some(((*name).to_owned(), shortened(info.get(*name)?.as_str()?)));
    SYSTEM.iter().filter_map(field).collect()
}

/// Reads a ControllerRevision as served; `None` when something else than a DaemonSet controls it.
///
/// # Errors
/// It is none.
pub fn revision(item: &RawValue, mask: &Mask) -> serde_json::Result<Option<Revision>> {
    let model::ControllerRevision { metadata, data, revision } = serde_json::from_str(item.get())?;
    let Ok(daemon_set) = owner(&metadata) else { return Ok(None) };
    let daemon_set = daemon_set.unwrap_or_default().to_string();
    let served = data.map_or("", RawValue::get);
    Ok(Some(Revision {
        namespace: metadata.namespace.to_string(),
        name: metadata.name.to_string(),
        uid: metadata.uid.to_string(),
        labels: map(&metadata.labels),
        daemon_set,
        deleting: metadata.is_deleting(),
        revision,
        data: mask.revision_data(served),
        data_sha256: data_digest(served.as_bytes()),
    }))
}

/// Reads a RolloutPolicy as served.
///
/// # Errors
/// It is none.
pub fn policy(item: &RawValue) -> serde_json::Result<Value> {
    Ok(recorded(&serde_json::from_str(item.get())?))
}

/// Reads an object that decides about new pods, as served.
///
/// # Errors
/// It is none.
pub(crate) fn around(item: &RawValue) -> serde_json::Result<Value> {
    Ok(surroundings::recorded(&serde_json::from_str(item.get())?))
}

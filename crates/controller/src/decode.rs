//! From the bytes of a watched object to a fact: borrowed text, and no field that the engine does not read.

use everynode_engine::placement::{Effect, Taint};
use everynode_engine::{
    DaemonSetFact, Fact, Kind, NodeFact, Phase, PodController, PodFact, RevisionFact, Time, Trouble, Uid,
};
use everynode_model::{self as model, AnyObject, Metadata, time};

/// An object that cannot be told to the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is not the JSON that the API promises.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It lacks what every served object has.
    #[error("it has no proper {0}")]
    Lacks(&'static str),
}

/// Reads an object as it now is and hands the fact to `tell`.
///
/// # Errors
/// [`Unreadable`] when there is no such fact in the bytes; `tell` was not called.
pub(crate) fn applied(kind: Kind, object: &[u8], tell: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    match kind {
        Kind::Node => node(&model::NodePlacement::read(object)?, tell),
        Kind::Pod => pod(&serde_json::from_slice(object)?, tell),
        Kind::DaemonSet => {
            let value: serde_json::Value = serde_json::from_slice(object)?;
            let fact = DaemonSetFact::from_json(&value).ok_or(Unreadable::Lacks("name, namespace or uid"))?;
            tell(Fact::DaemonSet(Box::new(fact)));
            Ok(())
        }
        Kind::Revision => {
            tell(Fact::Revision(Box::new(revision(object)?)));
            Ok(())
        }
    }
}

/// Reads the last state of an object that is gone and hands the fact to `tell`.
///
/// # Errors
/// As [`applied`].
pub(crate) fn gone(kind: Kind, object: &[u8], tell: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    let object: AnyObject<'_> = serde_json::from_slice(object)?;
    let metadata = &object.metadata;
    match kind {
        Kind::Node if metadata.name.is_empty() => return Err(Unreadable::Lacks("name")),
        Kind::Node => tell(Fact::NodeGone(&metadata.name)),
        Kind::DaemonSet => tell(Fact::DaemonSetGone(uid(metadata)?)),
        Kind::Revision => tell(Fact::RevisionGone(uid(metadata)?)),
        Kind::Pod => tell(Fact::PodGone {
            uid: uid(metadata)?,
            resource_version: metadata.version().unwrap_or_default(),
        }),
    }
    Ok(())
}

/// The `namespace/name` of an object, for messages; as much of it as can be read.
pub(crate) fn name_of(object: &[u8]) -> String {
    match serde_json::from_slice::<AnyObject<'_>>(object) {
        Ok(object) if object.metadata.namespace.is_empty() => object.metadata.name.to_string(),
        Ok(object) => format!("{}/{}", &*object.metadata.namespace, &*object.metadata.name),
        Err(_) => String::new(),
    }
}

/// What the answer to a write tells about the object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// metadata.name.
    pub(crate) name: String,
    /// metadata.uid.
    pub(crate) uid: Uid,
    /// metadata.resourceVersion as a number, else 0.
    pub(crate) resource_version: u64,
    /// metadata.deletionTimestamp is set.
    pub(crate) deleting: bool,
}

/// Reads the identity and version of a served object.
///
/// # Errors
/// [`Unreadable`] when there is no object with a proper uid in the bytes.
pub(crate) fn written(object: &[u8]) -> Result<Written, Unreadable> {
    let AnyObject { metadata } = &serde_json::from_slice(object)?;
    Ok(Written {
        name: metadata.name.to_string(),
        uid: uid(metadata)?,
        resource_version: metadata.version().unwrap_or_default(),
        deleting: metadata.is_deleting(),
    })
}

/// Reads a served ControllerRevision.
///
/// # Errors
/// [`Unreadable`] when there is none in the bytes.
pub(crate) fn revision(object: &[u8]) -> Result<RevisionFact, Unreadable> {
    let model::ControllerRevision { metadata, data, revision } = &serde_json::from_slice(object)?;
    let labels = metadata.labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(RevisionFact {
        namespace: metadata.namespace.to_string(),
        name: metadata.name.to_string(),
        uid: uid(metadata)?,
        resource_version: metadata.version().unwrap_or_default(),
        labels: labels.collect(),
        controller: controller(metadata),
        deleting: metadata.is_deleting(),
        revision: *revision,
        data: data.map(|data| data.get().as_bytes().into()).unwrap_or_default(),
    })
}

fn node(object: &model::NodePlacement<'_>, tell: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    if object.name.is_empty() {
        return Err(Unreadable::Lacks("name"));
    }
    let labels: Vec<(&str, &str)> = object.labels.iter().collect();
    let taints: Vec<Taint<'_>> = object
        .taints
        .iter()
        .map(|one| Taint { key: &one.key, value: &one.value, effect: Effect::parse(&one.effect) })
        .collect();
    tell(Fact::Node(NodeFact {
        name: &object.name,
        labels: &labels,
        taints: &taints,
        not_ready_since: not_ready_since(&object.taints),
    }));
    Ok(())
}

/// Taints that say that a node's kubelet is not ready or not heard of, when they evict pods.
const NOT_READY_TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Since when a node is not ready. The node lifecycle puts the time on the taint, so that status, which kubelets write
/// all the time, need not be read.
fn not_ready_since(taints: &[model::Taint<'_>]) -> Option<Time> {
    let evicting =
        taints.iter().filter(|one| one.effect == "NoExecute" && NOT_READY_TAINTS.contains(&&*one.key));
    evicting.filter_map(|one| time::parse(one.time_added.as_deref()?).ok()).min().map(Time::from_seconds)
}

fn pod(object: &model::Pod<'_>, tell: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    let metadata = &object.metadata;
    if metadata.name.is_empty() || metadata.namespace.is_empty() {
        return Err(Unreadable::Lacks("name or namespace"));
    }
    let bound_to = Some(object.node_name()).filter(|node| !node.is_empty());
    let pinned_to = if bound_to.is_some() { None } else { object.target_node() };
    let labels: Vec<(&str, &str)> = metadata.labels.iter().collect();
    let ready = object.ready();
    tell(Fact::Pod(PodFact {
        namespace: &metadata.namespace,
        name: &metadata.name,
        uid: uid(metadata)?,
        resource_version: metadata.version().unwrap_or_default(),
        labels: &labels,
        controller: controller(metadata),
        node: bound_to.or(pinned_to.as_deref()),
        bound: bound_to.is_some(),
        phase: Phase::parse(object.phase()),
        ready: ready.is_true,
        ready_since: ready
            .last_transition_time
            .as_deref()
            .and_then(|text| time::parse(text).ok())
            .map(Time::from_seconds),
        deleting: metadata.is_deleting(),
        created: metadata.created_seconds().map(Time::from_seconds).unwrap_or_default(),
        trouble: object.waiting_reason().and_then(Trouble::parse),
    }));
    Ok(())
}

fn uid(metadata: &Metadata<'_>) -> Result<Uid, Unreadable> {
    Uid::parse(&metadata.uid).ok_or(Unreadable::Lacks("uid"))
}

/// The owner with `controller: true`. The group of its apiVersion is not looked at (specification
/// [A15](everynode_engine::spec#a15)).
fn controller(metadata: &Metadata<'_>) -> PodController {
    match metadata.controller() {
        None => PodController::Nobody,
        Some(owner) if owner.kind == "DaemonSet" => {
            Uid::parse(&owner.uid).map_or(PodController::Other, PodController::DaemonSet)
        }
        Some(_) => PodController::Other,
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

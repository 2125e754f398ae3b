//! From the objects of Kubernetes to facts: all who tell the engine what an API shows do it by these.

use everynode_model::{ControllerRevision, Metadata, NodePlacement, Pod, not_ready_since};

use crate::base::{Time, Uid};
use crate::facts::{NodeFact, PodController, PodFact, RevisionFact};
use crate::placement::Taint;

/// An object lacks what every served object has, such as a uid, so that it cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has no proper {0}")]
pub struct Lacks(pub &'static str);

/// Hands the fact about a node to `tell`.
///
/// # Errors
/// [`Lacks`]; `tell` was not called.
pub fn node(node: &NodePlacement<'_>, tell: impl FnOnce(NodeFact<'_>)) -> Result<(), Lacks> {
    if node.name.is_empty() {
        return Err(Lacks("name"));
    }
    let labels: Vec<(&str, &str)> = node.labels.iter().collect();
    let taints: Vec<Taint<'_>> = node.taints.iter().map(|one| one.taint()).collect();
    let since = not_ready_since(node.taints.iter().map(|one| (one.taint(), one.added_seconds())));
    tell(NodeFact {
        name: &node.name,
        labels: &labels,
        taints: &taints,
        not_ready_since: since.map(Time::from_seconds),
    });
    Ok(())
}

/// Hands the fact about a pod to `tell`.
///
/// # Errors
/// [`Lacks`]; `tell` was not called.
pub fn pod(pod: &Pod<'_>, tell: impl FnOnce(PodFact<'_>)) -> Result<(), Lacks> {
    let metadata = &pod.metadata;
    if metadata.name.is_empty() || metadata.namespace.is_empty() {
        return Err(Lacks("name or namespace"));
    }
    let target = pod.target_node();
    let labels: Vec<(&str, &str)> = metadata.labels.iter().collect();
    tell(PodFact {
        namespace: &metadata.namespace,
        name: &metadata.name,
        uid: uid(metadata)?,
        resource_version: metadata.version().unwrap_or_default(),
        labels: &labels,
        controller: PodController::of(metadata),
        node: target.as_deref(),
        bound: pod.bound_to().is_some(),
        phase: pod.phase(),
        ready: pod.is_ready(),
        ready_since: pod.ready().and_then(|ready| ready.since_seconds()).map(Time::from_seconds),
        deleting: pod.is_terminating(),
        created: metadata.created_seconds().map(Time::from_seconds).unwrap_or_default(),
        trouble: pod.trouble(),
        statuses: pod.status.statuses(),
    });
    Ok(())
}

/// The fact about a ControllerRevision.
///
/// # Errors
/// [`Lacks`].
pub fn revision(revision: &ControllerRevision<'_>) -> Result<RevisionFact, Lacks> {
    let ControllerRevision { metadata, data, revision } = revision;
    let labels = metadata.labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(RevisionFact {
        namespace: metadata.namespace.to_string(),
        name: metadata.name.to_string(),
        uid: uid(metadata)?,
        resource_version: metadata.version().unwrap_or_default(),
        labels: labels.collect(),
        controller: PodController::of(metadata),
        deleting: metadata.is_deleting(),
        revision: *revision,
        data: data.map(|data| data.get().as_bytes().into()).unwrap_or_default(),
    })
}

/// The uid of an object.
///
/// # Errors
/// [`Lacks`].
pub fn uid(metadata: &Metadata<'_>) -> Result<Uid, Lacks> {
    Uid::parse(&metadata.uid).ok_or(Lacks("uid"))
}

impl PodController {
    /// The owner with `controller: true`. The group of its apiVersion is not looked at ([A15](crate::spec#a15)).
    pub fn of(metadata: &Metadata<'_>) -> PodController {
        match metadata.controller() {
            Some(owner) if owner.kind == "DaemonSet" => PodController::of_daemon_set(Some(&owner.uid)),
            Some(_) => PodController::Other,
            None => PodController::Nobody,
        }
    }

    /// The DaemonSet of this uid, or nobody.
    pub fn of_daemon_set(uid: Option<&str>) -> PodController {
        match uid {
            Some(uid) => Uid::parse(uid).map_or(PodController::Other, PodController::DaemonSet),
            None => PodController::Nobody,
        }
    }
}

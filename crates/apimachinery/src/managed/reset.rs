//! Which fields a write does not reach, so that nobody comes to have them by it.

use super::element::PathElement;
use super::set::{FieldSet, Node};
use crate::resource::Resource;

/// The fields that a way of writing leaves as they are.
#[derive(Debug, Clone)]
pub enum Reset {
    /// These, with what is in them.
    These(FieldSet),
    /// All but those below one of the paths; an empty name stands for any step.
    AllBut(&'static [&'static [&'static str]]),
}

const RESIZED: &[&[&str]] = &[
    &["spec", "containers", "", "resources"],
    &["spec", "containers", "", "resizePolicy"],
    &["spec", "initContainers", "", "resources"],
    &["spec", "initContainers", "", "resizePolicy"],
];

impl Reset {
    /// No field: all are reached.
    pub const NOTHING: Reset = Reset::These(FieldSet::new());

    /// What writes of a resource, or of a subresource of it, do not reach.
    pub fn of(resource: &Resource, subresource: &str) -> Reset {
        match (&*resource.group, &*resource.kind, subresource) {
            ("", "Pod", "resize") => return Reset::AllBut(RESIZED),
            ("", "Pod", "ephemeralcontainers") => return Reset::AllBut(&[&["spec", "ephemeralContainers"]]),
            _ => {}
        }
        Reset::These(FieldSet::of_names(paths(resource, subresource)))
    }

    /// The set without these fields.
    pub fn filter(&self, set: &FieldSet) -> FieldSet {
        match self {
            Reset::These(fields) if fields.is_empty() || set.is_empty() => set.clone(),
            Reset::These(fields) => set.difference_below(fields),
            Reset::AllBut(paths) => below(set, paths),
        }
    }
}

fn paths(resource: &Resource, subresource: &str) -> &'static [&'static [&'static str]] {
    let has_status = resource.subresource("status").is_some();
    let is_custom = resource.custom.is_some();
    match (&*resource.group, &*resource.kind, subresource) {
        ("certificates.k8s.io", "CertificateSigningRequest", "") => &[&["spec"], &["status"]],
        ("certificates.k8s.io", "CertificateSigningRequest", "status") => {
            &[&["spec"], &["status", "conditions"]]
        }
        ("certificates.k8s.io", "CertificateSigningRequest", _) => &[&["spec"], &["status", "certificate"]],
        ("apps", "Deployment", "status") => &[&["spec"], &["metadata", "labels"]],
        ("", "Pod", "status") => {
            &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]
        }
        (
            "storage.k8s.io"
            | "apiextensions.k8s.io"
            | "apiregistration.k8s.io"
            | "admissionregistration.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "resource.k8s.io",
            _,
            "status",
        ) => &[&["metadata"], &["spec"]],
        ("networking.k8s.io", "ServiceCIDR", "status") => &[&["metadata"], &["spec"]],
        (_, _, "status") if is_custom => &[&["metadata"], &["spec"]],
        (_, _, "status") => &[&["spec"]],
        // A namespace's finalizers, and what is written as the object itself.
        _ if has_status => &[&["status"]],
        _ => &[],
    }
}

fn below(set: &FieldSet, paths: &[&[&str]]) -> FieldSet {
    if paths.iter().any(|path| path.is_empty()) {
        return set.clone();
    }
    let nodes = set.nodes().iter().filter_map(|node| {
        let fits = |path: &&&[&str]| path[0].is_empty() || node.element == PathElement::field(path[0]);
        let inner: Vec<&[&str]> = paths.iter().filter(fits).map(|path| &path[1..]).collect();
        if inner.is_empty() {
            return None;
        }
        Node::of(node.element.clone(), node.is_member, below(&node.children, &inner))
    });
    FieldSet::of(nodes.collect())
}

//! What the kind RolloutPolicy is called, and where it is.

use crate::ROOT;

/// `kind` of its objects.
pub const KIND: &str = "RolloutPolicy";
/// Its name in URLs.
pub const PLURAL: &str = "rolloutpolicies";
/// The resource with its group, as definitions and errors name it.
pub const RESOURCE: &str = "rolloutpolicies.everynode.dev";
/// The CustomResourceDefinition, as it is installed with this version: YAML.
pub const DEFINITION: &str = include_str!("../rollout-policy-crd.yaml");

/// The path of the policies of a namespace, or of all.
pub fn collection(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{ROOT}/namespaces/{namespace}/{PLURAL}"),
        None => format!("{ROOT}/{PLURAL}"),
    }
}

/// The path of a policy.
pub fn path(namespace: &str, name: &str) -> String {
    format!("{}/{name}", collection(Some(namespace)))
}

/// The path of a policy's status.
pub fn status_path(namespace: &str, name: &str) -> String {
    format!("{}/status", path(namespace, name))
}

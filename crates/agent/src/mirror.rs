//! Mirrors: the objects by which the API shows the static pods of a node.

use everynode_client::Error;
use everynode_model::Value;
use serde_json::json;

use crate::context::Context;
use crate::pod_spec::Pod;

/// On a mirror: which static pod it shows, by its uid.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// On a static pod and its mirror: its uid, which changes with its file.
const HASH: &str = "kubernetes.io/config.hash";
/// On both: where it comes from.
const SOURCE: &str = "kubernetes.io/config.source";

impl Pod {
    /// The uid of the static pod that this object shows, where it is a mirror.
    pub fn mirrors(&self) -> Option<&str> {
        self.metadata.annotations.get(MIRROR).map(String::as_str)
    }

    /// Whether it comes from a file of its node.
    pub fn is_static(&self) -> bool {
        self.file.is_some()
    }
}

/// Says in a pod's object that it comes from a file.
pub fn mark(object: &mut Value) {
    let uid = object["metadata"]["uid"].clone();
    object["metadata"]["annotations"][HASH] = uid;
    object["metadata"]["annotations"][SOURCE] = "file".into();
}

/// Makes the mirror of a static pod, which belongs to the node.
///
/// # Errors
/// When the API does not answer, or refuses.
pub async fn create(context: &Context, object: &Value) -> Result<(), Error> {
    let node = context.api.get(&format!("/api/v1/nodes/{}", context.node.name)).await?;
    let node: Value = serde_json::from_slice(&node).unwrap_or_default();
    let mut mirror = object.clone();
    let uid = mirror["metadata"]["uid"].take();
    mirror["kind"] = "Pod".into();
    mirror["apiVersion"] = "v1".into();
    mirror["metadata"]["annotations"][MIRROR] = uid;
    mirror["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1",
        "kind": "Node",
        "name": context.node.name,
        "uid": node["metadata"]["uid"],
        "controller": true,
    }]);
    let namespace = mirror["metadata"]["namespace"].as_str().unwrap_or_default();
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    context.api.post(&path, mirror.to_string()).await.map(drop)
}

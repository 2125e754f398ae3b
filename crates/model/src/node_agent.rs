//! What agents of nodes send to the API, real ones and simulated ones alike.

use serde_json::json;

use crate::Value;

/// The namespace of the leases of nodes.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The collection of the leases of nodes.
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// The lease of a node. It belongs to the Node of this uid, where that is known, and goes with it. `renewed` is when it
/// was renewed, with microseconds (RFC 3339).
pub fn lease(node: &str, uid: Option<&str>, seconds: i64, renewed: &str) -> Value {
    let owner = |uid| json!([{ "apiVersion": "v1", "kind": "Node", "name": node, "uid": uid }]);
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": node, "namespace": LEASE_NAMESPACE },
        "spec": { "holderIdentity": node, "leaseDurationSeconds": seconds, "renewTime": renewed },
    });
    if let Some(uid) = uid {
        lease["metadata"]["ownerReferences"] = owner(uid);
    }
    lease
}

/// The options that delete a pod at once, if it is the one of this uid: its agent has ended it.
pub fn deletion(uid: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": { "uid": uid },
    })
}

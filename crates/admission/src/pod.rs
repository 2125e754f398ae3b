//! New pods.

use std::sync::Arc;

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::access::Fill;
use everynode_model::{NOT_READY_TAINTS, Object, Value};

use crate::view::View;
use crate::{check_new, limit_range, namespace_is_open, priority, runtime_class, service_account};

/// How long a pod stays on a node that is not ready or unreachable, unless it says otherwise, in seconds.
const TOLERATION_SECONDS: i64 = 300;

/// Labels of its node that a pod carries.
const TOPOLOGY: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

/// The resource of pods.
///
/// # Errors
/// There is none, which no test lets pass.
pub fn pod_resource() -> Result<&'static Arc<Resource>, Status> {
    everynode_apimachinery::resource_for("", "v1", "pods")
        .ok_or_else(|| Status::internal("pods are not served"))
}

/// Makes of a pod that was decoded and has its defaults the one that is stored, or refuses it. `issue` gives it what
/// only the server can give out: a name where it has none, a uid, the time. The volume of its token ends in `suffix`.
///
/// What a pod gets comes first, in the order of Kubernetes' plugins; then the pod is checked as such, and last against
/// the limits of its namespace. Quotas are charged after that ([`crate::Quotas`]).
///
/// # Errors
/// The refusal of the API: 403, 404 or 422.
pub fn create_pod(
    view: &dyn View,
    pod: &mut Value,
    suffix: &str,
    issue: impl FnOnce(&mut Value),
) -> Result<(), Status> {
    let resource = pod_resource()?;
    namespace_is_open(view, resource, pod)?;
    limit_range::fill_in(view, pod);
    if view.checks_service_accounts() {
        service_account::admit(view, resource, pod, suffix)?;
    }
    priority::admit(view, resource, pod)?;
    default_tolerations(pod);
    runtime_class::admit(view, resource, pod)?;
    label_with_topology(view, pod);
    issue(pod);
    resource.rules.prepare_create(pod);
    check_new(resource, pod)?;
    limit_range::check(view, resource, pod)
}

/// Gives a pod the topology labels of the node that it is bound to, over any of its own. A node that does not
/// exist gives none.
pub fn label_with_topology(view: &dyn View, pod: &mut Value) {
    let Some(node) = pod.pointer("/spec/nodeName").and_then(Value::as_str).filter(|name| !name.is_empty())
    else {
        return;
    };
    let labels: Vec<(&str, String)> =
        TOPOLOGY.into_iter().filter_map(|key| Some((key, view.node_label(node, key)?))).collect();
    if labels.is_empty() {
        return;
    }
    if let Some(present) = pod.get_mut("metadata").and_then(|metadata| metadata.make("labels")) {
        labels.into_iter().for_each(|(key, value)| present.put(key, value));
    }
}

/// Lets a pod stay for a while on a node that has trouble.
fn default_tolerations(pod: &mut Value) {
    let Some(tolerations) = list_in_spec(pod, "tolerations") else { return };
    let present = tolerations.clone();
    for key in NOT_READY_TAINTS {
        if !present.iter().any(|toleration| tolerates(toleration, key)) {
            let mut toleration = Object::new();
            toleration.insert("key".into(), key.into());
            toleration.insert("operator".into(), "Exists".into());
            toleration.insert("effect".into(), "NoExecute".into());
            toleration.insert("tolerationSeconds".into(), TOLERATION_SECONDS.into());
            tolerations.push(Value::Object(toleration));
        }
    }
}

/// Whether a toleration is about the `NoExecute` taint of that key.
fn tolerates(toleration: &Value, key: &str) -> bool {
    let text = |field: &str| toleration.get(field).and_then(Value::as_str).unwrap_or("");
    (text("key") == key || text("key").is_empty()) && matches!(text("effect"), "NoExecute" | "")
}

/// A list of the spec, made when it is missing.
pub(crate) fn list_in_spec<'a>(pod: &'a mut Value, field: &str) -> Option<&'a mut Vec<Value>> {
    let spec = pod.get_mut("spec")?;
    spec.fill(field, Value::Array(Vec::new()));
    spec.get_mut(field)?.as_array_mut()
}

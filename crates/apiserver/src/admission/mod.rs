//! What is decided about an object before it is stored, beyond its own rules.

pub mod ledger;
pub mod quota;
pub mod resize;
mod service;
mod view;

use everynode_admission::{check_new, create_pod, default_class, forbid, namespace_is_open};
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::{NOT_READY_TAINT, Object, Value};

pub use view::StoreView;

use crate::meta;
use crate::state::State;

/// Namespaces that every cluster has and that cannot be deleted.
pub const IMMORTAL_NAMESPACES: &[&str] = &["default", "kube-system", "kube-public"];

/// Completes and checks a new object, or refuses it. `issue` gives it what only the server can give out: a name where
/// it has none, a uid, the time.
pub fn create(
    state: &State,
    resource: &Resource,
    object: &mut Value,
    issue: impl FnOnce(&mut Value),
) -> Result<(), Status> {
    if resource.is_ending {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(forbid(resource, object, why));
    }
    let view = StoreView(state);
    if is_pod(resource) {
        return create_pod(&view, object, &meta::random_suffix(), issue);
    }
    if resource.namespaced {
        namespace_is_open(&view, resource, object)?;
    }
    match (&*resource.group, &*resource.kind) {
        ("", "Node") => taint_new_node(object),
        ("scheduling.k8s.io", "PriorityClass") => one_default_class(&view, resource, object)?,
        _ => {}
    }
    issue(object);
    resource.rules.prepare_create(object);
    if (&*resource.group, &*resource.kind) == ("", "Service") {
        service::allocate(state, object)?;
    }
    check_new(resource, object)
}

/// Whether it is the resource of pods.
pub fn is_pod(resource: &Resource) -> bool {
    (&*resource.group, &*resource.kind) == ("", "Pod")
}

/// Completes an update of a main resource with what the server gave out before.
pub fn update(state: &State, resource: &Resource, new: &mut Value, old: &Value) -> Result<(), Status> {
    if (&*resource.group, &*resource.kind) == ("", "Service") {
        service::keep(new, old);
        service::allocate(state, new)?;
    }
    Ok(())
}

/// Admits a deletion, or refuses it.
pub fn delete(resource: &Resource, name: &str) -> Result<(), Status> {
    if resource.group.is_empty() && resource.kind == "Namespace" && IMMORTAL_NAMESPACES.contains(&name) {
        let why = "this namespace may not be deleted";
        return Err(Status::forbidden(&resource.group, &resource.plural, name, why));
    }
    Ok(())
}

/// A new node takes no pods until something says that it is ready.
fn taint_new_node(node: &mut Value) {
    let Some(top) = node.as_object_mut() else { return };
    let spec = top.entry("spec").or_insert_with(|| Value::Object(Object::new()));
    let Some(spec) = spec.as_object_mut() else { return };
    let taints = spec.entry("taints").or_insert_with(|| Value::Array(Vec::new()));
    if taints.is_null() {
        *taints = Value::Array(Vec::new());
    }
    let Some(taints) = taints.as_array_mut() else { return };
    let is_ours = |taint: &Value| {
        taint.get("key").and_then(Value::as_str) == Some(NOT_READY_TAINT)
            && taint.get("effect").and_then(Value::as_str) == Some("NoSchedule")
    };
    if !taints.iter().any(is_ours) {
        let mut taint = Object::new();
        taint.insert("key".into(), NOT_READY_TAINT.into());
        taint.insert("effect".into(), "NoSchedule".into());
        taints.push(Value::Object(taint));
    }
}

/// Only one priority class may be the default.
fn one_default_class(view: &StoreView<'_>, resource: &Resource, class: &Value) -> Result<(), Status> {
    if class.get("globalDefault").and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    let Some(other) = default_class(view) else { return Ok(()) };
    let why = format!(
        "PriorityClass {} is already marked as default. Only one default can exist",
        meta::text(&other, "name")
    );
    Err(forbid(resource, class, &why))
}

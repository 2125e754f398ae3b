//! What is decided about an object before it is stored, beyond its own rules.

mod pod;
mod runtime_class;
mod service;
mod service_account;
mod topology;

use everynode_wire::Object;
use everynode_wire::Value;
use everynode_wire::resource::Resource;
use everynode_wire::status::Status;

pub use topology::label_pod;

use crate::api::Api;
use crate::meta;

/// Namespaces that every cluster has and that cannot be deleted.
pub const IMMORTAL_NAMESPACES: &[&str] = &["default", "kube-system", "kube-public"];

const NOT_READY_TAINT: &str = "node.kubernetes.io/not-ready";

/// Admits a new object, or refuses it. The name may not have been generated yet.
pub fn create(api: &Api, resource: &Resource, object: &mut Value) -> Result<(), Status> {
    if resource.is_ending {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(forbid(resource, object, why));
    }
    if resource.namespaced {
        namespace_exists(api, resource, object)?;
    }
    match (&*resource.group, &*resource.kind) {
        ("", "Pod") => {
            if api.config().service_account_admission {
                service_account::admit(api, resource, object)?;
            }
            pod::priority(api, resource, object)?;
            pod::default_tolerations(object);
            runtime_class::admit(api, resource, object)?;
            topology::label_pod(api, object);
        }
        ("", "Node") => taint_new_node(object),
        ("scheduling.k8s.io", "PriorityClass") => one_default_class(api, resource, object)?,
        _ => {}
    }
    Ok(())
}

/// Gives a new object what only the server can give out.
pub fn allocate(api: &Api, resource: &Resource, object: &mut Value) -> Result<(), Status> {
    if (&*resource.group, &*resource.kind) == ("", "Service") {
        service::allocate(api, object)?;
    }
    Ok(())
}

/// Completes an update of a main resource with what the server gave out before.
pub fn update(api: &Api, resource: &Resource, new: &mut Value, old: &Value) -> Result<(), Status> {
    if (&*resource.group, &*resource.kind) == ("", "Service") {
        service::keep(new, old);
        service::allocate(api, new)?;
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

/// 403 about an object that may have no name yet.
fn forbid(resource: &Resource, object: &Value, why: &str) -> Status {
    Status::forbidden(&resource.group, &resource.plural, meta::shown_name(object), why)
}

/// A stored object, decoded.
fn look_up(api: &Api, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
    let shelf = api.catalog().shelf_named(group, "v1", plural)?;
    let stored = api.store().get(shelf, namespace, name)?;
    serde_json::from_slice(stored.bytes()).ok()
}

/// New objects go only into namespaces that exist and are not being deleted.
fn namespace_exists(api: &Api, resource: &Resource, object: &Value) -> Result<(), Status> {
    let namespace = meta::text(object, "namespace");
    let shelf = api.catalog().shelf_named("", "v1", "namespaces");
    let found = shelf.and_then(|shelf| api.store().get(shelf, "", namespace));
    let Some(found) = found else { return Err(Status::not_found("", "namespaces", namespace)) };
    let terminating = found.facts.fields.first().is_some_and(|phase| &**phase == "Terminating");
    if terminating {
        let name = meta::shown_name(object);
        return Err(Status::namespace_terminating(&resource.group, &resource.plural, name, namespace));
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
fn one_default_class(api: &Api, resource: &Resource, class: &Value) -> Result<(), Status> {
    if class.get("globalDefault").and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    let Some(other) = pod::default_class(api) else { return Ok(()) };
    let why = format!(
        "PriorityClass {} is already marked as default. Only one default can exist",
        meta::text(&other, "name")
    );
    Err(forbid(resource, class, &why))
}

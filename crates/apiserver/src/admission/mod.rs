//! What is decided about an object before it is stored, beyond its own rules.

use everynode_wire::Value;
use everynode_wire::resource::Resource;
use everynode_wire::status::Status;

use crate::api::Api;
use crate::meta;

/// Namespaces that every cluster has and that cannot be deleted.
pub const IMMORTAL_NAMESPACES: &[&str] = &["default", "kube-system", "kube-public"];

/// Admits a new object, or refuses it.
pub fn create(api: &Api, resource: &'static Resource, object: &mut Value) -> Result<(), Status> {
    if resource.namespaced {
        namespace_exists(api, resource, object)?;
    }
    Ok(())
}

/// Gives a new object what only the server can give out.
pub fn allocate(_api: &Api, _resource: &'static Resource, _object: &mut Value) -> Result<(), Status> {
    Ok(())
}

/// Admits a deletion, or refuses it.
pub fn delete(resource: &Resource, name: &str) -> Result<(), Status> {
    if resource.kind == "Namespace" && IMMORTAL_NAMESPACES.contains(&name) {
        let why = "this namespace may not be deleted";
        return Err(Status::forbidden(resource.group, resource.plural, name, why));
    }
    Ok(())
}

/// New objects go only into namespaces that exist and are not being deleted.
fn namespace_exists(api: &Api, resource: &Resource, object: &Value) -> Result<(), Status> {
    let namespace = meta::text(object, "namespace");
    let shelf = api.catalog().shelf_named("", "v1", "namespaces");
    let found = shelf.and_then(|shelf| api.store().get(shelf, "", namespace));
    let Some(found) = found else { return Err(Status::not_found("", "namespaces", namespace)) };
    let terminating = found.facts.fields.first().is_some_and(|phase| &**phase == "Terminating");
    if terminating {
        let name = meta::text(object, "name");
        return Err(Status::namespace_terminating(resource.group, resource.plural, name, namespace));
    }
    Ok(())
}

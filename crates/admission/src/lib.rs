//! What the API server makes of a new pod: defaults, admission and validation, as one function of the pod and of the
//! objects that it depends on.
//!
//! [`create_pod`] is called by the embedded server with its store as the [`View`], and by a plan with what it knows of a
//! fleet, so that a plan foresees what the server does. What changes with every pod, how much of a quota is used, is
//! apart from it: [`Quotas`]. Nothing here does I/O or reads a clock.

mod limit_range;
mod pod;
mod priority;
mod quota;
mod runtime_class;
mod service_account;
mod static_pod;
mod view;

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::{FieldError, Status};
use everynode_apimachinery::validate::meta::validate_metadata_create;
use everynode_model::Value;
use everynode_model::access::Read;

pub use limit_range::{check as check_limits, fill_in as fill_in_limits};
pub use pod::{create_pod, label_with_topology, pod_resource};
pub use priority::default_class;
pub use quota::{Charge, Quotas};
pub use static_pod::static_pod;
pub use view::{Kind, View};

/// What is done with an object once it is decoded: it is converted, and gets its defaults.
///
/// # Errors
/// 400 when it cannot be converted.
pub fn convert_and_default(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    resource
        .rules
        .convert(object)
        .map_err(|why| Status::cannot_be_handled(&resource.kind, &resource.version, &resource.kind, &why))?;
    resource.rules.default(object);
    Ok(())
}

/// What is wrong with a new object that is complete: with its metadata, and by the rules of its kind.
pub fn errors_of_new(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_metadata_create(object, resource.namespaced, resource.name_rule, &mut errors);
    resource.validate_finalizer_names(object, &mut errors);
    resource.rules.validate_create(object, &mut errors);
    errors
}

/// Refuses a new object with which something is wrong.
///
/// # Errors
/// 422 with everything that is.
pub fn check_new(resource: &Resource, object: &Value) -> Result<(), Status> {
    let errors = errors_of_new(resource, object);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&resource.group, &resource.kind, object.text("metadata.name"), &errors))
}

/// New objects go only into namespaces that exist and are not being deleted.
///
/// # Errors
/// 404 or 403.
pub fn namespace_is_open(view: &dyn View, resource: &Resource, object: &Value) -> Result<(), Status> {
    let name = object.text("metadata.namespace");
    let Some(namespace) = view.get(Kind::Namespace, "", name) else {
        return Err(Status::not_found("", "namespaces", name));
    };
    if namespace.text("status.phase") == "Terminating" {
        let shown = shown_name(object);
        return Err(Status::namespace_terminating(&resource.group, &resource.plural, shown, name));
    }
    Ok(())
}

/// 403 about an object that may have no name yet.
pub fn forbid(resource: &Resource, object: &Value, why: &str) -> Status {
    Status::forbidden(&resource.group, &resource.plural, shown_name(object), why)
}

/// The longest generated name, in bytes; longer bases are cut.
const GENERATED_NAME_BYTES: usize = 63;

/// The name that the server makes of a base and a suffix of its own.
pub fn generated_name(base: &str, suffix: &str) -> String {
    let mut end = base.len().min(GENERATED_NAME_BYTES.saturating_sub(suffix.len()));
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &base[..end])
}

/// The name, or the base of a name that is not generated yet: how refusals call an object.
pub fn shown_name(object: &Value) -> &str {
    match object.text("metadata.name") {
        "" => object.text("metadata.generateName"),
        name => name,
    }
}

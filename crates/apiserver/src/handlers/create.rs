//! Creating objects.

use std::sync::Arc;

use everynode_wire::resource::Resource;
use everynode_wire::status::Status;
use everynode_wire::{Value, time};
use http::Response;

use super::Call;
use crate::admission;
use crate::api::Api;
use crate::http::body::Body;
use crate::http::query::WriteOptions;
use crate::meta;
use crate::store::{Action, Expect, Stored, Write, WriteError};
use everynode_wire::validate::meta::{validate_finalizer_names, validate_metadata_create};

/// Names that are tried for one `generateName`.
const NAME_ATTEMPTS: usize = 8;

/// An object that was created, or would have been.
pub enum Created {
    /// It is stored.
    Stored(Arc<Stored>),
    /// It was a dry run.
    Dry(Value),
}

/// POST of a collection.
pub async fn create(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let mut object = call.read_object(bytes, options.field_validation)?;
    ensure_namespace(&mut object, &call.resource, &call.namespace)?;
    let (api, resource) = (call.api, call.resource.clone());
    match create_object(api, &resource, object, options.dry_run, &mut call.warnings).await? {
        Created::Stored(stored) => Ok(call.answer_stored(201, &stored)),
        Created::Dry(object) => Ok(call.answer_value(201, object)),
    }
}

/// The object gets the namespace of the path, and may name no other one. Objects of the cluster have none, whatever
/// they name.
pub fn ensure_namespace(object: &mut Value, resource: &Resource, namespace: &str) -> Result<(), Status> {
    if !resource.namespaced {
        meta::set(object, "namespace", Value::Null);
        return Ok(());
    }
    let given = meta::text(object, "namespace");
    if !given.is_empty() && given != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(message));
    }
    meta::set(object, "namespace", namespace);
    Ok(())
}

/// Admits, completes, checks and stores an object that has its defaults and its namespace.
pub async fn create_object(
    api: &Api,
    resource: &Resource,
    mut object: Value,
    dry_run: bool,
    warnings: &mut Vec<String>,
) -> Result<Created, Status> {
    if meta::has(&object, "resourceVersion") {
        return Err(Status::unclassified("resourceVersion should not be set on objects to be created"));
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"] {
        meta::set(&mut object, field, Value::Null);
    }
    let base = meta::text(&object, "generateName").to_owned();
    let generated = meta::text(&object, "name").is_empty() && !base.is_empty();
    admission::create(api, resource, &mut object)?;
    if generated {
        meta::set(&mut object, "name", meta::generated_name(&base));
    }
    meta::set(&mut object, "uid", meta::random_uid());
    meta::set(&mut object, "creationTimestamp", time::format(api.now()));
    resource.rules.prepare_create(&mut object);
    admission::allocate(api, resource, &mut object)?;
    check(resource, &object)?;
    warnings.extend(resource.rules.warnings(&object, None));
    for attempt in 1.. {
        match store(api, resource, &mut object, dry_run).await {
            Err(WriteError::Exists) if generated && attempt < NAME_ATTEMPTS => {
                meta::set(&mut object, "name", meta::generated_name(&base));
            }
            Err(error) => {
                return Err(api.write_error(resource, meta::text(&object, "name"), error));
            }
            Ok(created) => return Ok(created),
        }
    }
    Err(Status::internal("no name was tried"))
}

fn check(resource: &Resource, object: &Value) -> Result<(), Status> {
    let mut errors = Vec::new();
    validate_metadata_create(object, resource.namespaced, resource.name_rule, &mut errors);
    validate_finalizer_names(resource, object, &mut errors);
    resource.rules.validate_create(object, &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&resource.group, &resource.kind, meta::text(object, "name"), &errors))
}

async fn store(
    api: &Api,
    resource: &Resource,
    object: &mut Value,
    dry_run: bool,
) -> Result<Created, WriteError> {
    let shelf = api.catalog().shelf(resource).ok_or(WriteError::Missing)?;
    let (namespace, name) = (meta::text(object, "namespace"), meta::text(object, "name"));
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    let draft = api.draft(resource, object).ok_or(WriteError::Missing)?;
    if dry_run {
        if api.store().get(shelf, &namespace, &name).is_some() {
            return Err(WriteError::Exists);
        }
        meta::set(object, "resourceVersion", Value::Null);
        return Ok(Created::Dry(object.clone()));
    }
    let write = Write { shelf, namespace, name, expect: Expect::Absent, action: Action::Put(draft) };
    api.store().write(write).await.map(Created::Stored)
}

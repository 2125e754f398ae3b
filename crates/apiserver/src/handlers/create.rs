//! Creating objects.

use std::sync::Arc;

use everynode_model::time;
use everynode_wire::Value;
use everynode_wire::resource::Resource;
use everynode_wire::status::Status;
use http::Response;

use super::Call;
use crate::admission;
use crate::admission::quota::{self, Charged};
use crate::api::Api;
use crate::http::body::Body;
use crate::http::query::WriteOptions;
use crate::meta;
use crate::store::{Action, Expect, Store, Stored, Write, WriteError};

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
    let now = time::format(api.now());
    admission::create(api, resource, &mut object, |object| {
        if generated {
            meta::set(object, "name", meta::generated_name(&base));
        }
        meta::set(object, "uid", meta::random_uid());
        meta::set(object, "creationTimestamp", now);
    })?;
    let charged = match admission::is_pod(resource) {
        true => quota::charge(api, resource, &object)?,
        false => None,
    };
    warnings.extend(resource.rules.warnings(&object, None));
    for attempt in 1.. {
        match store(api, resource, &mut object, dry_run, charged.as_ref()).await {
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

async fn store(
    api: &Api,
    resource: &Resource,
    object: &mut Value,
    dry_run: bool,
    charged: Option<&Arc<Charged>>,
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
    match charged {
        None => api.store().write(write).await.map(Created::Stored),
        Some(charged) => store_charged(api.store().clone(), write, charged.clone()).await,
    }
}

/// Stores a pod that quotas count. It is waited for though nobody may ask any more: it may be stored all the same, and
/// counts until that is known.
async fn store_charged(store: Store, write: Write, charged: Arc<Charged>) -> Result<Created, WriteError> {
    let stored = tokio::spawn(async move {
        let stored = store.write(write).await;
        drop(charged);
        stored
    });
    stored.await.map_err(|_| WriteError::Closed)?.map(Created::Stored)
}

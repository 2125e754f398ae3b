//! POST of a collection.

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use http::Response;

use super::Call;
use crate::authz::node;
use crate::certificates;
use crate::http::body::Body;
use crate::http::query::WriteOptions;
use crate::meta;
use crate::objects::create::{self, Created, Managed};
use crate::objects::managers::{self, Writer};

/// An object names another namespace than its path.
pub const OTHER_NAMESPACE: &str =
    "the namespace of the provided object does not match the namespace sent on the request";

/// POST of a collection.
pub async fn create(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let mut object = call.read_object(bytes, options.field_validation)?;
    managers::note_cleared(&mut object, bytes);
    ensure_namespace(&mut object, &call.resource, &call.namespace)?;
    let manager = call.manager().to_owned();
    let writer = Writer { manager: &manager, subresource: "" };
    admitted(call, object, Managed::By(writer), options.dry_run).await
}

/// Creates an object that has its namespace, if its client may create it, and answers with it.
pub async fn admitted(
    call: &mut Call<'_>,
    mut object: Value,
    managed: Managed<'_>,
    dry_run: bool,
) -> Result<Response<Body>, Status> {
    node::check_created(&call.user, &call.resource, &object)?;
    certificates::prepare(&call.user, &call.resource, &mut object)?;
    store(call, object, managed, dry_run).await
}

/// Creates an object that has its namespace, and answers with it.
pub async fn store(
    call: &mut Call<'_>,
    object: Value,
    managed: Managed<'_>,
    dry_run: bool,
) -> Result<Response<Body>, Status> {
    let resource = call.resource.clone();
    match create::create(call.state, &resource, object, managed, dry_run, &mut call.warnings).await? {
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
        return Err(Status::bad_request(OTHER_NAMESPACE));
    }
    meta::set(object, "namespace", namespace);
    Ok(())
}

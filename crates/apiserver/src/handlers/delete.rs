//! DELETE of an object or of a collection.

use everynode_apimachinery::decode;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::schema;
use everynode_apimachinery::status::{FieldError, Status};
use everynode_model::{Object, Value};
use http::Response;

use super::Call;
use crate::audit::Subject;
use crate::decode::body_as_json;
use crate::http::body::{self, Body};
use crate::http::query::{self, Query};
use crate::meta;
use crate::objects::delete::{self, DeleteOptions, Propagation};
use crate::view::{self, ListMeta};

/// DELETE of one object.
pub async fn delete(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = read_options(call, bytes)?;
    call.find()?;
    let deleted = delete::delete(call.state, &call.resource, &call.namespace, &call.name, &options).await?;
    if shows_deleted(&call.resource) || !deleted.gone {
        return Ok(call.answer_value(200, deleted.object));
    }
    let response = body::json(200, &success(&call.resource, &deleted.object));
    Ok(call.noted(response, || Subject::of_value(&deleted.object)))
}

/// DELETE of a collection.
pub async fn delete_collection(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = read_options(call, bytes)?;
    let selection = call.selection()?;
    let namespace = (!call.namespace.is_empty()).then_some(call.namespace.as_str());
    let mut listing = call.state.store.list(call.table, namespace);
    listing.items.retain(|(_, stored)| selection.matches(stored));
    for (key, _) in &listing.items {
        match delete::delete(call.state, &call.resource, &key.0, &key.1, &options).await {
            Ok(_) => {}
            Err(status) if status.code() == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let meta = ListMeta { revision: listing.revision, continue_token: None, remaining: None };
    let items = listing.items.iter().map(|(_, stored)| &**stored);
    Ok(call.answer(200, view::list(&call.resource, items, &meta, call.shape())))
}

/// Whether a deletion answers with the object, where most kinds answer with a Status.
fn shows_deleted(resource: &Resource) -> bool {
    matches!(
        (&*resource.group, &*resource.plural),
        (
            "",
            "namespaces"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "pods"
                | "podtemplates"
                | "resourcequotas"
                | "services"
                | "serviceaccounts"
        ) | ("storage.k8s.io", "csidrivers" | "csinodes" | "storageclasses" | "volumeattachments")
    )
}

fn success(resource: &Resource, object: &Value) -> Value {
    let mut details = Object::new();
    details.insert("name".into(), meta::text(object, "name").into());
    if !resource.group.is_empty() {
        details.insert("group".into(), (*resource.group).into());
    }
    details.insert("kind".into(), (*resource.plural).into());
    details.insert("uid".into(), meta::text(object, "uid").into());
    let mut status = Object::new();
    status.insert("kind".into(), "Status".into());
    status.insert("apiVersion".into(), "v1".into());
    status.insert("metadata".into(), Value::Object(Object::new()));
    status.insert("status".into(), "Success".into());
    status.insert("details".into(), Value::Object(details));
    Value::Object(status)
}

/// Reads the options from the body, or from the parameters when there is none.
fn read_options(call: &mut Call<'_>, bytes: &[u8]) -> Result<DeleteOptions, Status> {
    let value = if bytes.is_empty() { options_of_query(&call.query)? } else { options_of_body(call, bytes)? };
    let options = options_of(&value)?;
    if options.propagation.is_none() {
        call.warnings.extend(call.resource.rules.orphan_warning().map(str::to_owned));
    }
    Ok(options)
}

/// DeleteOptions come with the group and version of whoever sends them, so these are not looked at.
fn options_of_body(call: &Call<'_>, bytes: &[u8]) -> Result<Value, Status> {
    let ty = schema::type_named("meta.v1.DeleteOptions")
        .ok_or_else(|| Status::internal("no schema for DeleteOptions"))?;
    let json = body_as_json(&call.content_type, Some(ty), bytes)?;
    let decoded = decode::decode(ty, &json);
    decoded.map(|decoded| decoded.value).map_err(|error| {
        Status::cannot_be_handled(
            "DeleteOptions",
            &call.resource.version,
            "DeleteOptions",
            &error.to_string(),
        )
    })
}

fn options_of_query(query: &Query) -> Result<Value, Status> {
    let mut options = Object::new();
    if let Some(seconds) = query.integer("gracePeriodSeconds")? {
        options.insert("gracePeriodSeconds".into(), seconds.into());
    }
    for key in ["propagationPolicy"] {
        if let Some(text) = query.get(key) {
            options.insert(key.into(), text.into());
        }
    }
    if query.get("orphanDependents").is_some() {
        options.insert("orphanDependents".into(), query.truth("orphanDependents").into());
    }
    let dry_run = query.all("dryRun");
    if !dry_run.is_empty() {
        options.insert("dryRun".into(), dry_run.into_iter().map(Value::from).collect());
    }
    Ok(Value::Object(options))
}

/// Checks options and makes them of use.
pub fn options_of(value: &Value) -> Result<DeleteOptions, Status> {
    let mut errors = Vec::new();
    let policy = value.get("propagationPolicy").and_then(Value::as_str);
    let orphan = value.get("orphanDependents").and_then(Value::as_bool);
    if policy.is_some() && orphan.is_some() {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        let shown = policy.unwrap_or_default();
        errors.push(FieldError::invalid("propagationPolicy", shown, why));
    }
    let propagation = match (policy, orphan) {
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (None, None) => None,
        (Some(other), _) => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported("propagationPolicy", other, &supported));
            None
        }
    };
    let dry: Vec<&str> = value
        .get("dryRun")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let dry_run = query::dry_run(&dry, &mut errors);
    query::refuse("DeleteOptions", &errors)?;
    let precondition = |field: &str| {
        value.get("preconditions").and_then(|p| p.get(field)).and_then(Value::as_str).map(str::to_owned)
    };
    Ok(DeleteOptions {
        grace_seconds: value.get("gracePeriodSeconds").and_then(Value::as_i64),
        propagation,
        uid: precondition("uid"),
        resource_version: precondition("resourceVersion"),
        dry_run,
    })
}

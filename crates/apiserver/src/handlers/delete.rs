//! Deletion: preconditions, grace, finalizers.

use everynode_model::time;
use everynode_wire::resource::Resource;
use everynode_wire::schema;
use everynode_wire::status::{FieldError, Status};
use everynode_wire::{Object, Value, decode};
use http::Response;

use super::Call;
use crate::api::Api;
use crate::audit::Subject;
use crate::http::body::Body;
use crate::http::query::{self, Query};
use crate::selection::Selection;
use crate::store::{Action, Expect, ShelfId, Stored, Write, WriteError};
use crate::view::{self, ListMeta};
use crate::{admission, meta};

/// How often a deletion is tried anew when the object changes under it.
const ATTEMPTS: usize = 64;

/// What happens to the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// The garbage collector deletes them afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay.
    Orphan,
}

/// The options of a deletion.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// How long a pod gets to end, in seconds.
    pub grace_seconds: Option<i64>,
    /// What happens to dependents.
    pub propagation: Option<Propagation>,
    /// The UID that the object must have.
    pub uid: Option<String>,
    /// The version that the object must have.
    pub resource_version: Option<String>,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
}

/// What came of a deletion.
pub struct Deleted {
    /// The object in its last state.
    pub object: Value,
    /// Whether it is gone; else it waits for its grace or its finalizers.
    pub gone: bool,
}

/// DELETE of one object.
pub async fn delete(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = read_options(call, bytes)?;
    call.find()?;
    let deleted = delete_object(call.api, &call.resource, &call.namespace, &call.name, &options).await?;
    if shows_deleted(&call.resource) || !deleted.gone {
        return Ok(call.answer_value(200, deleted.object));
    }
    let mut response = crate::http::body::json(200, &success(&call.resource, &deleted.object));
    call.api.note(&mut response, || Subject::of_value(&deleted.object));
    Ok(response)
}

/// DELETE of a collection.
pub async fn delete_collection(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = read_options(call, bytes)?;
    let selection = Selection::parse(call)?;
    let namespace = (!call.namespace.is_empty()).then_some(call.namespace.as_str());
    let mut listing = call.api.store().list(call.shelf, namespace);
    listing.items.retain(|(_, stored)| selection.matches(stored));
    for (key, _) in &listing.items {
        match delete_object(call.api, &call.resource, &key.0, &key.1, &options).await {
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
    options_of(&value)
}

/// DeleteOptions come with the group and version of whoever sends them, so these are not looked at.
fn options_of_body(call: &Call<'_>, bytes: &[u8]) -> Result<Value, Status> {
    let ty = schema::type_named("meta.v1.DeleteOptions")
        .ok_or_else(|| Status::internal("no schema for DeleteOptions"))?;
    let json = call.body_as_json(Some(ty), bytes)?;
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

/// Deletes an object, or marks it as being deleted.
pub async fn delete_object(
    api: &Api,
    resource: &Resource,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let missing = || Status::not_found(&resource.group, &resource.plural, name);
    let shelf = api.catalog().shelf(resource).ok_or_else(missing)?;
    admission::delete(resource, name)?;
    for _ in 0..ATTEMPTS {
        let stored = api.store().get(shelf, namespace, name).ok_or_else(missing)?;
        let old = view::decode(resource, stored.bytes());
        preconditions(resource, name, options, &old)?;
        let step = decide(resource, old, options, api.now());
        match take(api, resource, shelf, &stored, step, options.dry_run).await {
            Ok(deleted) => return Ok(deleted),
            Err(WriteError::Changed) => {}
            Err(error) => return Err(api.write_error(resource, name, error)),
        }
    }
    Err(Status::modified(&resource.group, &resource.plural, name))
}

fn preconditions(
    resource: &Resource,
    name: &str,
    options: &DeleteOptions,
    object: &Value,
) -> Result<(), Status> {
    let (uid, version) = (meta::text(object, "uid"), meta::text(object, "resourceVersion"));
    let why = match options {
        DeleteOptions { uid: Some(wanted), .. } if wanted != uid => format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might \
             have been deleted and then recreated"
        ),
        DeleteOptions { resource_version: Some(wanted), .. } if wanted != version => format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({version}). The object might have been modified"
        ),
        _ => return Ok(()),
    };
    Err(Status::conflict(&resource.group, &resource.kind, name, &why))
}

/// What a deletion does to an object now.
enum Step {
    /// Nothing: it is being deleted already.
    Leave(Value),
    /// Marks it; the rest is up to its kubelet, its finalizers or the namespace controller.
    Mark(Value),
    /// Removes it.
    Remove(Value),
}

fn decide(resource: &Resource, mut object: Value, options: &DeleteOptions, now: i64) -> Step {
    let finalizers_changed = set_finalizers(&mut object, options.propagation);
    if !meta::has(&object, "deletionTimestamp") {
        resource.rules.prepare_delete(&mut object);
    }
    let held = !meta::finalizers(&object).is_empty();
    match (&*resource.group, &*resource.kind) {
        ("", "Namespace") => decide_namespace(object, finalizers_changed, now),
        ("", "Pod") => decide_pod(object, options, finalizers_changed, held, now),
        _ if held => {
            let marked = mark(&mut object, 0, now);
            if marked || finalizers_changed { Step::Mark(object) } else { Step::Leave(object) }
        }
        _ => Step::Remove(object),
    }
}

fn decide_pod(
    mut pod: Value,
    options: &DeleteOptions,
    finalizers_changed: bool,
    held: bool,
    now: i64,
) -> Step {
    if meta::has(&pod, "deletionTimestamp") {
        let present = meta::number(&pod, "deletionGracePeriodSeconds");
        let shorter = match (options.grace_seconds, present) {
            (Some(wanted), Some(present)) if wanted < present => wanted.max(0),
            // A deletion without grace that only finalizers held back.
            (_, Some(0)) if !held => return Step::Remove(pod),
            _ => return if finalizers_changed { Step::Mark(pod) } else { Step::Leave(pod) },
        };
        let then = time::parse(meta::text(&pod, "deletionTimestamp")).unwrap_or(now);
        let end = then - present.unwrap_or(0) + shorter;
        meta::set(&mut pod, "deletionTimestamp", time::format(end));
        meta::set(&mut pod, "deletionGracePeriodSeconds", shorter);
        return if shorter == 0 && !held { Step::Remove(pod) } else { Step::Mark(pod) };
    }
    let grace = pod_grace_seconds(&pod, options.grace_seconds);
    mark(&mut pod, grace, now);
    if grace == 0 && !held { Step::Remove(pod) } else { Step::Mark(pod) }
}

/// How long a pod gets: what was asked for, else what it asks for itself; nothing when no kubelet runs it.
fn pod_grace_seconds(pod: &Value, asked: Option<i64>) -> i64 {
    let own = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    let bound = pod.pointer("/spec/nodeName").and_then(Value::as_str).is_some_and(|node| !node.is_empty());
    let phase = pod.pointer("/status/phase").and_then(Value::as_str);
    let ended = matches!(phase, Some("Failed" | "Succeeded"));
    match asked.or(own).unwrap_or(0) {
        _ if !bound || ended => 0,
        negative if negative < 0 => 1,
        seconds => seconds,
    }
}

fn decide_namespace(mut namespace: Value, finalizers_changed: bool, now: i64) -> Step {
    let held_by_spec =
        namespace.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|held| !held.is_empty());
    if meta::has(&namespace, "deletionTimestamp") {
        let held = held_by_spec || !meta::finalizers(&namespace).is_empty();
        return match (held, finalizers_changed) {
            (false, _) => Step::Remove(namespace),
            (true, true) => Step::Mark(namespace),
            (true, false) => Step::Leave(namespace),
        };
    }
    meta::set(&mut namespace, "deletionTimestamp", time::format(now));
    if let Some(status) = namespace.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("phase".into(), "Terminating".into());
    }
    Step::Mark(namespace)
}

/// Marks an object as being deleted; says whether it was not so before.
fn mark(object: &mut Value, grace_seconds: i64, now: i64) -> bool {
    let fresh = !meta::has(object, "deletionTimestamp");
    if fresh {
        meta::set(
            object,
            "deletionTimestamp",
            time::format(now.saturating_add(grace_seconds).min(time::LAST_SECOND)),
        );
        let generation = meta::number(object, "generation").unwrap_or(0);
        if generation > 0 {
            meta::set(object, "generation", generation + 1);
        }
        meta::set(object, "deletionGracePeriodSeconds", grace_seconds);
    }
    fresh
}

/// Sets the garbage collector's finalizers as the policy asks; says whether they changed.
fn set_finalizers(object: &mut Value, propagation: Option<Propagation>) -> bool {
    let Some(propagation) = propagation else { return false };
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(meta::FOREGROUND),
        Propagation::Orphan => Some(meta::ORPHAN),
    };
    let before: Vec<String> = meta::finalizers(object).into_iter().map(str::to_owned).collect();
    let mut after: Vec<String> =
        before.iter().filter(|name| *name != meta::ORPHAN && *name != meta::FOREGROUND).cloned().collect();
    after.extend(wanted.map(str::to_owned));
    let changed = before != after;
    if changed {
        meta::set(object, "finalizers", after.into_iter().map(Value::from).collect::<Value>());
    }
    changed
}

async fn take(
    api: &Api,
    resource: &Resource,
    shelf: ShelfId,
    stored: &Stored,
    step: Step,
    dry_run: bool,
) -> Result<Deleted, WriteError> {
    let (mut object, gone) = match step {
        Step::Leave(object) => return Ok(Deleted { object, gone: false }),
        Step::Mark(object) => (object, false),
        Step::Remove(object) => (object, true),
    };
    if dry_run {
        return Ok(Deleted { object, gone });
    }
    let draft = api.draft(resource, &mut object).ok_or(WriteError::Missing)?;
    let write = Write {
        shelf,
        namespace: stored.facts.namespace.to_string(),
        name: stored.facts.name.to_string(),
        expect: Expect::Revision(stored.revision),
        action: if gone { Action::Remove(Some(draft)) } else { Action::Put(draft) },
    };
    let written = api.store().write(write).await?;
    if !gone {
        object = view::decode(resource, written.bytes());
    }
    Ok(Deleted { object, gone })
}

//! Changing objects: read, change, check, compare and swap.

use std::borrow::Cow;
use std::sync::Arc;

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::{FieldError, Status};
use everynode_apimachinery::validate::meta::{validate_metadata_create, validate_metadata_update};
use everynode_model::Value;
use everynode_model::names::NameRule;

use super::managers::{self, Writer};
use super::{draft, refusal};
use crate::state::State;
use crate::store::{Action, Expect, Stored, TableId, Write, WriteError};
use crate::{admission, meta, view};

/// How often a change is tried anew when the object changes under it.
const ATTEMPTS: usize = 64;

/// Which part of an object a request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// The status.
    Status,
    /// The finalizers of a namespace's spec.
    Finalize,
    /// The conditions of a request for a certificate.
    Approval,
    /// How much cpu and memory the containers of a pod ask for and may use.
    Resize,
    /// The ephemeral containers of a pod.
    EphemeralContainers,
    /// Anything; for the server's own changes, which are not checked again.
    Anything,
}

/// What came of a change.
pub enum Changed {
    /// The object is stored in its new state, or was so before.
    Stored(Arc<Stored>),
    /// The object is not stored: a dry run, or the change let a deleted object go.
    Shown(Value),
}

/// A change of one object.
pub struct Change<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// Where its objects lie.
    pub table: TableId,
    /// Namespace or empty.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// What may change.
    pub part: Part,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
    /// Whether the client named the version that it changes, so that a newer one must not be changed.
    pub pinned: bool,
    /// Who comes to manage the fields that change.
    pub writer: Option<Writer<'a>>,
}

/// The object as a change leaves it.
pub struct Made {
    /// The object. It may say who manages its fields, as a client that sent it whole does.
    pub object: Value,
    /// Who manages its fields, where that is known already.
    pub managed: Option<String>,
}

impl From<Value> for Made {
    fn from(object: Value) -> Made {
        Made { object, managed: None }
    }
}

impl Part {
    /// The subresource by which the part is written, or nothing.
    pub fn subresource(self) -> &'static str {
        match self {
            Part::Main | Part::Anything => "",
            Part::Status => "status",
            Part::Finalize => "finalize",
            Part::Approval => "approval",
            Part::Resize => "resize",
            Part::EphemeralContainers => "ephemeralcontainers",
        }
    }
}

impl<'a> Change<'a> {
    /// A change of an object by the server itself, of whatever it likes. Nobody comes to manage what it changes.
    pub fn of(resource: &'a Resource, table: TableId, namespace: &'a str, name: &'a str) -> Change<'a> {
        let (part, dry_run, pinned) = (Part::Anything, false, false);
        Change { resource, table, namespace, name, part, dry_run, pinned, writer: None }
    }
}

/// Reads an object, changes it, checks the result and stores it, again when somebody else was faster.
pub async fn apply(
    state: &State,
    how: &Change<'_>,
    change: &mut (dyn FnMut(&Value) -> Result<Value, Status> + Send),
    warnings: &mut Vec<String>,
) -> Result<Changed, Status> {
    apply_managed(state, how, &mut |old, _| change(old).map(Made::from), warnings).await
}

/// The same for a change that is told who manages the fields, and may say it.
pub async fn apply_managed(
    state: &State,
    how: &Change<'_>,
    change: &mut (dyn FnMut(&Value, &str) -> Result<Made, Status> + Send),
    warnings: &mut Vec<String>,
) -> Result<Changed, Status> {
    let resource = how.resource;
    for _ in 0..ATTEMPTS {
        let found = state.store.get(how.table, how.namespace, how.name);
        let stored = found.ok_or_else(|| Status::not_found(&resource.group, &resource.plural, how.name))?;
        let old = view::decode_lean(resource, &stored);
        let Made { object: mut new, managed } = change(&old, stored.managed_fields())?;
        let sent = managers::take(&mut new);
        let managed = match (managed, how.writer) {
            (Some(managed), _) => Cow::Owned(managed),
            (None, None) => Cow::Borrowed(stored.managed_fields()),
            (None, Some(writer)) => {
                let known = Some(stored.managed_fields());
                managers::updated(state, resource, writer, (&old, &new), known, sent.as_ref())
            }
        };
        check_version(resource, how, &mut new, &stored)?;
        warnings.clear();
        match how.part {
            Part::Main => admission::update(state, resource, &mut new, &old)?,
            Part::Resize => admission::resize::fill_in(state, &mut new),
            _ => {}
        }
        let mut errors = Vec::new();
        if how.part == Part::Main {
            // Reported each time the API looks at metadata.
            managers::check(sent.as_ref(), &mut errors);
            errors = std::iter::repeat_n(errors, 4).flatten().collect();
        }
        complete(resource, how.part, (&mut new, &old), errors, warnings)?;
        // What a resize takes of quotas counts until it is written, or is not.
        let _charged = match how.part {
            Part::Resize => admission::resize::admit(state, resource, &new, &old)?,
            _ => None,
        };
        let managed = kept_times(managed, &stored, &new, &old);
        let draft = draft(&state.catalog, resource, &mut new, &managed)
            .ok_or_else(|| Status::internal("not an object"))?;
        if how.dry_run {
            managers::put(&mut new, &managed);
            return Ok(Changed::Shown(new));
        }
        if draft.same_as(&stored) {
            return Ok(Changed::Stored(stored));
        }
        let gone = lets_go(resource, &new, &old);
        let action = if gone { Action::Remove(None) } else { Action::Put(draft) };
        match write(state, how, stored.revision, action).await {
            Ok(_) if gone => {
                managers::put(&mut new, &managed);
                return Ok(Changed::Shown(new));
            }
            Ok(stored) => return Ok(Changed::Stored(stored)),
            Err(WriteError::Changed) if !how.pinned => {}
            Err(error) => return Err(refusal(resource, how.name, error)),
        }
    }
    Err(Status::modified(&resource.group, &resource.plural, how.name))
}

/// A write by which nothing changes but when somebody took a field changes nothing.
fn kept_times<'m>(managed: Cow<'m, str>, stored: &'m Stored, new: &Value, old: &Value) -> Cow<'m, str> {
    let known = stored.managed_fields();
    let is_kept = *managed != *known && new == old && managers::same_but_times(&managed, known);
    if is_kept { Cow::Borrowed(known) } else { managed }
}

async fn write(
    state: &State,
    how: &Change<'_>,
    revision: u64,
    action: Action,
) -> Result<Arc<Stored>, WriteError> {
    let write = Write {
        table: how.table,
        namespace: how.namespace.to_owned(),
        name: how.name.to_owned(),
        expect: Expect::Revision(revision),
        action,
    };
    state.store.write(write).await
}

/// Refuses a version that is not the present one, and a missing one where the resource demands it.
fn check_version(
    resource: &Resource,
    how: &Change<'_>,
    new: &mut Value,
    stored: &Stored,
) -> Result<(), Status> {
    let present = stored.revision.to_string();
    let given = meta::text(new, "resourceVersion");
    if !given.is_empty() && given != present {
        return Err(Status::modified(&resource.group, &resource.plural, how.name));
    }
    if given.is_empty() && !resource.unconditional_update && how.part != Part::Anything {
        let error = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
        return Err(Status::invalid(&resource.group, &resource.kind, how.name, &[error]));
    }
    meta::set(new, "resourceVersion", present);
    Ok(())
}

/// Takes over what a client may not change, and checks the rest.
fn complete(
    resource: &Resource,
    part: Part,
    (new, old): (&mut Value, &Value),
    mut errors: Vec<FieldError>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    if part == Part::Anything {
        return Ok(());
    }
    meta::take_over(new, old, "generation");
    meta::set(new, "selfLink", Value::Null);
    match part {
        Part::Status => resource.rules.prepare_status_update(new, old),
        Part::Finalize => keep_all_but_finalizers(new, old),
        Part::Approval => keep_all_but_conditions(new, old),
        Part::Resize => resource.rules.prepare_resize(new, old),
        Part::EphemeralContainers => resource.rules.prepare_ephemeral_containers(new, old),
        Part::Main | Part::Anything => resource.rules.prepare_update(new, old),
    }
    if meta::text(new, "uid").is_empty() {
        meta::take_over(new, old, "uid");
    }
    meta::take_over(new, old, "creationTimestamp");
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if meta::has(old, field) || !meta::has(new, field) {
            meta::take_over(new, old, field);
        }
    }
    // The API checks metadata by itself, then against the old object, then once more with the kind, and
    // reports a mistake each time. Names are not checked by the kind's rule again: they cannot change.
    validate_metadata_create(new, resource.namespaced, NameRule::PathSegment, &mut errors);
    let mut changed = Vec::new();
    validate_metadata_update(new, old, &mut changed);
    errors.extend(changed.iter().cloned());
    errors.append(&mut changed);
    resource.validate_finalizer_names(new, &mut errors);
    match part {
        Part::Status => resource.rules.validate_status_update(new, old, &mut errors),
        Part::Resize => resource.rules.validate_resize(new, old, &mut errors),
        Part::EphemeralContainers => resource.rules.validate_ephemeral_containers(new, old, &mut errors),
        _ => resource.rules.validate_update(new, old, &mut errors),
    }
    if !errors.is_empty() {
        return Err(Status::invalid(&resource.group, &resource.kind, meta::text(old, "name"), &errors));
    }
    if part == Part::Main {
        warnings.extend(resource.rules.warnings(new, Some(old)));
    }
    Ok(())
}

fn keep_all_but_finalizers(new: &mut Value, old: &Value) {
    let finalizers = new.pointer("/spec/finalizers").cloned();
    *new = old.clone();
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    match finalizers {
        Some(finalizers) => spec.insert("finalizers".into(), finalizers),
        None => spec.shift_remove("finalizers"),
    };
}

fn keep_all_but_conditions(new: &mut Value, old: &Value) {
    let conditions = new.pointer("/status/conditions").cloned();
    *new = old.clone();
    let Some(status) = new.get_mut("status").and_then(Value::as_object_mut) else { return };
    match conditions {
        Some(conditions) => status.insert("conditions".into(), conditions),
        None => status.shift_remove("conditions"),
    };
}

/// Whether nothing holds a deleted object any more.
fn lets_go(resource: &Resource, new: &Value, old: &Value) -> bool {
    let waiting = meta::number(old, "deletionGracePeriodSeconds").is_some_and(|seconds| seconds > 0);
    let held_by_spec = resource.group.is_empty()
        && resource.kind == "Namespace"
        && new.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|held| !held.is_empty());
    meta::has(old, "deletionTimestamp") && !waiting && !held_by_spec && meta::finalizers(new).is_empty()
}

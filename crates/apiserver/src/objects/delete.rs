//! Deleting objects: preconditions, grace, finalizers.

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::{Phase, Value, time};

use super::{draft, managers, refusal};
use crate::state::State;
use crate::store::{Action, Expect, Stored, TableId, Write, WriteError};
use crate::{admission, meta, view};

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

/// Deletes an object, or marks it as being deleted.
pub async fn delete(
    state: &State,
    resource: &Resource,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let missing = || Status::not_found(&resource.group, &resource.plural, name);
    let table = state.catalog.table(resource).ok_or_else(missing)?;
    admission::delete(resource, name)?;
    for _ in 0..ATTEMPTS {
        let stored = state.store.get(table, namespace, name).ok_or_else(missing)?;
        let old = view::decode_lean(resource, &stored);
        preconditions(resource, name, options, &old)?;
        let step = decide(resource, old, options, state.now());
        match take(state, resource, table, &stored, step, options.dry_run).await {
            Ok(deleted) => return Ok(deleted),
            Err(WriteError::Changed) => {}
            Err(error) => return Err(refusal(resource, name, error)),
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
    let finalizers_changed = match options.propagation.or_else(|| default_propagation(resource, &object)) {
        Some(propagation) => set_finalizers(&mut object, propagation),
        None => false,
    };
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
    match asked.or(own).unwrap_or(0) {
        _ if !bound || Phase::of(pod).is_terminal() => 0,
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

/// What is done where nobody says so: what an earlier deletion asked for, else what the kind does.
fn default_propagation(resource: &Resource, object: &Value) -> Option<Propagation> {
    let is_asked =
        meta::finalizers(object).iter().any(|name| [meta::ORPHAN, meta::FOREGROUND].contains(name));
    (resource.rules.orphans_by_default() && !is_asked).then_some(Propagation::Orphan)
}

/// Sets the garbage collector's finalizers as the policy asks; says whether they changed.
fn set_finalizers(object: &mut Value, propagation: Propagation) -> bool {
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
    state: &State,
    resource: &Resource,
    table: TableId,
    stored: &Stored,
    step: Step,
    dry_run: bool,
) -> Result<Deleted, WriteError> {
    let (mut object, gone) = match step {
        Step::Leave(object) => (object, None),
        Step::Mark(object) => (object, Some(false)),
        Step::Remove(object) => (object, Some(true)),
    };
    let managed = stored.managed_fields();
    let Some(gone) = gone.filter(|_| !dry_run) else {
        managers::put(&mut object, managed);
        return Ok(Deleted { object, gone: gone == Some(true) });
    };
    let draft = draft(&state.catalog, resource, &mut object, managed).ok_or(WriteError::Missing)?;
    let write = Write {
        table,
        namespace: stored.facts.namespace.to_string(),
        name: stored.facts.name.to_string(),
        expect: Expect::Revision(stored.revision),
        action: if gone { Action::Remove(Some(draft)) } else { Action::Put(draft) },
    };
    let written = state.store.write(write).await?;
    if gone {
        managers::put(&mut object, managed);
    } else {
        object = view::decode(resource, written.bytes());
    }
    Ok(Deleted { object, gone })
}

//! What somebody applied before and does not any more goes, unless somebody else has it.

use everynode_model::Value;

use super::entries::{Entry, ManagedFields};
use super::fields::{fields_of, with_named};
use super::merge::remove;
use super::set::FieldSet;
use super::update::{Versions, view_of};

/// The object without what only the manager had. `last` is its entry before, and `managed` those of all now; the object
/// is in `version`.
pub(super) fn prune(
    versions: &dyn Versions,
    merged: Value,
    managed: &ManagedFields,
    last: &Entry,
    version: &str,
) -> Value {
    let seen = |object: &Value, from: &str, to: &str| {
        if from == to { Some(object.clone()) } else { versions.convert(object, to) }
    };
    // Its version is gone, and with it what could be said about its fields.
    let Some(merged) =
        seen(&merged, version, &last.version).filter(|_| versions.view(&last.version).is_some())
    else {
        return merged;
    };
    let view = view_of(versions, &last.version);
    let last_fields = with_named(view, last.set());
    let mut pruned = remove(view, &merged, &last_fields);
    let mut at = last.version.clone();
    for (version, fields) in by_version(managed, &last.version) {
        let whole = seen(&merged, &last.version, &version);
        let part = seen(&pruned, &at, &version);
        let (Some(whole), Some(part), Some(view)) = (whole, part, versions.view(&version)) else { continue };
        let has = with_named(view, &fields_of(view, &whole));
        let stays = with_named(view, &fields_of(view, &part)).union(&with_named(view, &fields));
        pruned = remove(view, &whole, &has.difference(&stays));
        at = version;
    }
    // What is left out and was not the manager's comes back.
    let Some(pruned) = seen(&pruned, &at, &last.version) else { return merged };
    let left = with_named(view, &fields_of(view, &pruned));
    let had = with_named(view, &fields_of(view, &merged));
    let pruned = remove(view, &merged, &had.difference(&left).intersection(&last_fields));
    seen(&pruned, &last.version, version).unwrap_or(pruned)
}

/// The fields that anybody has, by version; that version first.
fn by_version(managed: &ManagedFields, first: &str) -> Vec<(Box<str>, FieldSet)> {
    let mut sets: Vec<(Box<str>, FieldSet)> = Vec::new();
    for entry in managed.entries() {
        match sets.iter_mut().find(|(version, _)| *version == entry.version) {
            Some((_, set)) => *set = set.union(entry.set()),
            None => sets.push((entry.version.clone(), entry.set().clone())),
        }
    }
    sets.sort_by_key(|(version, _)| &**version != first);
    sets
}

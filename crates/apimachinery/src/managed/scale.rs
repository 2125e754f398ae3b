//! Managers of an object seen through its scale, where the only field is `spec.replicas`.

use super::element::PathElement;
use super::entries::{Entry, ManagedFields};
use super::set::FieldSet;

/// The version of scales.
const SCALE: &str = "autoscaling/v1";

fn path_of(names: &[&str]) -> Vec<PathElement> {
    names.iter().map(|name| PathElement::field(name)).collect()
}

fn set_of(names: &[&str]) -> FieldSet {
    FieldSet::of_names(&[names])
}

/// The managers of an object's replicas as managers of its scale. `replicas` says where a version keeps the replicas.
pub fn in_scale(managed: &ManagedFields, replicas: &dyn Fn(&str) -> Option<Vec<String>>) -> ManagedFields {
    let mut seen = ManagedFields::default();
    for entry in managed.entries() {
        let Some(path) = replicas(&entry.version) else { continue };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if entry.set().has(&path_of(&path)) {
            let fields = set_of(&["spec", "replicas"]);
            seen.insert(Entry::of(entry.manager.clone(), SCALE, entry.time, fields));
        }
    }
    seen
}

/// The managers of an object after its scale was written. `scaled` are those of the scale, and `version` is the one of
/// the object in which a new one has the replicas.
pub fn from_scale(
    managed: &ManagedFields,
    scaled: &ManagedFields,
    version: &str,
    replicas: &dyn Fn(&str) -> Option<Vec<String>>,
) -> ManagedFields {
    let mut out = ManagedFields::default();
    let mut new: Vec<&Entry> = scaled.entries().iter().collect();
    for entry in managed.entries() {
        let Some(path) = replicas(&entry.version) else { continue };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let mut entry = entry.clone();
        if entry.set().has(&path_of(&path)) {
            match new.iter().position(|one| one.manager == entry.manager) {
                Some(at) => drop(new.swap_remove(at)),
                None => {
                    let left = entry.set().difference(&set_of(&path));
                    entry.put(left);
                }
            }
        }
        if !entry.set().is_empty() {
            out.insert(entry);
        }
    }
    let has_replicas = |entry: &&Entry| entry.set().has(&path_of(&["spec", "replicas"]));
    for entry in new.into_iter().filter(has_replicas) {
        let path = replicas(version).unwrap_or_default();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        // Upstream looks for the time among the managers that were there before.
        let time = managed.get(&entry.manager).and_then(|before| before.time);
        out.insert(Entry::of(entry.manager.clone(), version, time, set_of(&path)));
    }
    out
}

//! Whose fields are whose after a write.

use everynode_model::{Object, Value};

use super::check;
use super::compare::{self, Comparison};
use super::conflict::Conflicts;
use super::entries::{Entry, ManagedFields, Manager, Operation};
use super::fields::{fields_of, reconciled};
use super::last_applied;
use super::merge::merge;
use super::prune::prune;
use super::reset::Reset;
use super::set::FieldSet;
use super::view::{Free, View};
use crate::decode;
use crate::schema::Type;

/// How many managers that update are told apart; the oldest ones become one.
const MAX_UPDATERS: usize = 10;
/// The manager that these become.
const ANCIENT: &str = "ancient-changes";
/// The manager of what was there before anybody applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The versions in which an object can be seen.
pub trait Versions {
    /// The schema of a version; nothing when it is not served.
    fn view(&self, version: &str) -> Option<View<'_>>;
    /// The object in another version; nothing when that is not served.
    fn convert(&self, object: &Value, to: &str) -> Option<Value>;
    /// An object in the version of the write before it is there, as it is shown.
    fn nothing(&self) -> Value;
}

/// The one version of what is served in no other.
#[derive(Debug, Clone, Copy)]
pub struct OneVersion {
    /// Such as `autoscaling/v1`.
    pub version: &'static str,
    /// The type of the objects.
    pub ty: &'static Type,
}

impl Versions for OneVersion {
    fn view(&self, version: &str) -> Option<View<'_>> {
        (version == self.version).then_some(View::Type(self.ty))
    }

    fn convert(&self, object: &Value, to: &str) -> Option<Value> {
        (to == self.version).then(|| object.clone())
    }

    fn nothing(&self) -> Value {
        decode::normalize(self.ty, &Value::Object(Object::new())).unwrap_or_default()
    }
}

/// A write, as far as fields and managers are concerned.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The versions of the object.
    pub versions: &'a dyn Versions,
    /// The version in which it is written, such as `apps/v1`.
    pub version: &'a str,
    /// The name of who writes.
    pub manager: &'a str,
    /// The subresource by which it writes, or empty.
    pub subresource: &'a str,
    /// Which fields such a write does not reach.
    pub reset: &'a Reset,
    /// Unix time in seconds.
    pub now: i64,
}

/// What came of applying a configuration.
#[derive(Debug)]
pub struct Applied {
    /// The object with the configuration, not decoded and without defaults.
    pub object: Value,
    /// Who has what.
    pub managed: ManagedFields,
}

/// Why a configuration was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It does not fit the schema.
    #[error("{0}")]
    Schema(String),
    /// Others have fields that it says differently.
    #[error(transparent)]
    Conflicts(#[from] Conflicts),
}

/// Fields that nobody has: they say which object it is, or are the server's.
fn never_managed() -> &'static FieldSet {
    static SET: std::sync::OnceLock<FieldSet> = std::sync::OnceLock::new();
    SET.get_or_init(|| {
        let own = ["name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName"];
        let server = ["generation", "managedFields", "resourceVersion"];
        let mut set = FieldSet::of_names(&[&["apiVersion"], &["kind"], &["metadata"]]);
        for field in own.iter().chain(&server) {
            set = set.union(&FieldSet::of_names(&[&["metadata", field]]));
        }
        set
    })
}

/// The view of a version, which is free where it is not known.
pub(super) fn view_of<'v>(versions: &'v dyn Versions, version: &str) -> View<'v> {
    versions.view(version).unwrap_or(View::Free(Free::Deduced))
}

impl Context<'_> {
    fn view(&self) -> View<'_> {
        view_of(self.versions, self.version)
    }

    /// Who has what after a write of any form but apply. `live` is the object before; an empty one when it is new.
    pub fn update(&self, live: &Value, new: &Value, managed: ManagedFields, is_new: bool) -> ManagedFields {
        // Who took itself out of it stays out until somebody applies.
        if managed.is_empty() && !is_new {
            return managed;
        }
        self.track(live, new, managed)
    }

    fn track(&self, live: &Value, new: &Value, mut managed: ManagedFields) -> ManagedFields {
        // A definition cannot convert to a version that it has not, and then nobody manages anything.
        let is_gone = |entry: &Entry| self.versions.view(&entry.version).is_none();
        if self.view().may_change() && managed.entries().iter().any(is_gone) {
            return ManagedFields::default();
        }
        self.reconcile(&mut managed);
        let found = compare::compare(self.view(), live, new).filtered(|set| self.reset.filter(set));
        if found.is_empty() {
            return managed;
        }
        let own = Manager::updating(self.manager, self.subresource, self.version);
        // What it has already it loses and gets again: only what is gone is gone.
        let before = managed.take(&own);
        self.take_from_others((live, new), &found, &mut managed, None);
        let said = found.said().difference(never_managed());
        let mut entry = before.unwrap_or_else(|| Entry::of(own, self.version, None, FieldSet::new()));
        entry.lose(&found.removed);
        if !said.is_empty() {
            entry.gain(said);
            entry.time = Some(self.now);
        }
        if !entry.is_empty() {
            managed.insert(entry);
        }
        cap(&mut managed);
        managed
    }

    /// Applies a configuration.
    ///
    /// # Errors
    /// It does not fit the schema, or says fields of others differently and does not insist.
    pub fn apply(
        &self,
        live: &Value,
        config: &Value,
        managed: ManagedFields,
        force: bool,
    ) -> Result<Applied, ApplyError> {
        if self.manager != last_applied::KUBECTL {
            return self.apply_once(live, config, managed, force);
        }
        let mut applied = match self.apply_once(live, config, managed.clone(), force) {
            Err(ApplyError::Conflicts(conflicts)) => {
                // What the client has by applying from its side is no conflict.
                let allowed = last_applied::applied_by_client(self.view(), self.version, live);
                if let Some(left) = conflicts.without(&allowed.unwrap_or_default()) {
                    return Err(left.into());
                }
                self.apply_once(live, config, managed, true)?
            }
            other => other?,
        };
        last_applied::renew(&mut applied.object, config);
        Ok(applied)
    }

    fn apply_once(
        &self,
        live: &Value,
        config: &Value,
        mut managed: ManagedFields,
        force: bool,
    ) -> Result<Applied, ApplyError> {
        let mistakes = check::mistakes(self.view(), config);
        if !mistakes.is_empty() {
            return Err(ApplyError::Schema(mistakes));
        }
        if managed.is_empty() {
            let before = Context { manager: BEFORE_FIRST_APPLY, ..*self };
            managed = before.track(&self.versions.nothing(), live, managed);
        }
        self.reconcile(&mut managed);
        let own = Manager::applying(self.manager, self.subresource);
        let last = managed.take(&own);
        let merged = merge(self.view(), live, config);
        let set = self.reset.filter(&fields_of(self.view(), config));
        let time = last.as_ref().and_then(|entry| entry.time);
        managed.insert(Entry::of(own.clone(), self.version, time, set));
        let object = match &last {
            Some(last) if !last.set().is_empty() => {
                prune(self.versions, merged, &managed, last, self.version)
            }
            _ => merged,
        };
        let found = compare::compare(self.view(), live, &object).filtered(|set| self.reset.filter(set));
        let states = (live, &object);
        if !force && let Some(conflicts) = self.conflicts(states, &found, &managed, &own) {
            return Err(conflicts.into());
        }
        self.take_from_others(states, &found, &mut managed, Some(&own));
        if let Some(mut entry) = managed.take(&own) {
            entry.lose(never_managed());
            if !compare::is_same(live, &object) {
                entry.time = Some(self.now);
            }
            if !entry.is_empty() {
                managed.insert(entry);
            }
        }
        Ok(Applied { object, managed })
    }

    /// Fields that were many and are one by now are had as one. Managers in versions that are gone go.
    fn reconcile(&self, managed: &mut ManagedFields) {
        let has_others = managed.entries().iter().any(|entry| &*entry.version != self.version);
        if !self.view().may_change() && !has_others {
            return;
        }
        managed.entries_mut().retain_mut(|entry| {
            let Some(view) = self.versions.view(&entry.version) else { return false };
            if view.may_change()
                && let Some(set) = reconciled(view, entry.set())
            {
                entry.put(set);
            }
            true
        });
    }

    /// The differences of a write in the version of an entry.
    fn found_in<'f>(
        &self,
        entry: &Entry,
        (live, new): (&Value, &Value),
        found: &'f Comparison,
        others: &'f mut Vec<(Box<str>, Comparison)>,
    ) -> &'f Comparison {
        if &*entry.version == self.version {
            return found;
        }
        let at = others.iter().position(|(version, _)| *version == entry.version).unwrap_or_else(|| {
            let in_version = |object| self.versions.convert(object, &entry.version).unwrap_or_default();
            let view = view_of(self.versions, &entry.version);
            let there = compare::compare(view, &in_version(live), &in_version(new));
            others.push((entry.version.clone(), there.filtered(|set| self.reset.filter(set))));
            others.len() - 1
        });
        &others[at].1
    }

    fn conflicts(
        &self,
        states: (&Value, &Value),
        found: &Comparison,
        managed: &ManagedFields,
        own: &Manager,
    ) -> Option<Conflicts> {
        let (mut held, mut others) = (Vec::new(), Vec::new());
        for entry in managed.entries().iter().filter(|entry| entry.manager != *own) {
            let said = self.found_in(entry, states, found, &mut others).said();
            if entry.meets(&said) {
                held.push((entry, entry.set().intersection(&said)));
            }
        }
        Conflicts::of(held)
    }

    /// Takes what was written, and what is gone, from everybody but the one who applies.
    fn take_from_others(
        &self,
        states: (&Value, &Value),
        found: &Comparison,
        managed: &mut ManagedFields,
        own: Option<&Manager>,
    ) {
        let mut others = Vec::new();
        let gone = found.said().union(&found.removed);
        managed.entries_mut().retain_mut(|entry| {
            if Some(&entry.manager) == own {
                return true;
            }
            if &*entry.version == self.version {
                entry.lose(&gone);
            } else {
                let found = self.found_in(entry, states, found, &mut others);
                entry.lose(&found.said().union(&found.removed));
            }
            !entry.is_empty()
        });
    }
}

/// Joins the oldest entries of updates, version by version, until there are few enough.
fn cap(managed: &mut ManagedFields) {
    let is_update = |entry: &&Entry| entry.manager.operation == Operation::Update;
    let count = managed.entries().iter().filter(is_update).count();
    if count <= MAX_UPDATERS {
        return;
    }
    let mut oldest: Vec<(i64, Manager)> = managed
        .entries()
        .iter()
        .filter(is_update)
        .map(|entry| (entry.time.unwrap_or(0), entry.manager.clone()))
        .collect();
    oldest.sort();
    let mut first_of: Vec<(Box<str>, Manager)> = Vec::new();
    let mut left = count;
    for (_, manager) in oldest {
        if left <= MAX_UPDATERS {
            return;
        }
        let Some(entry) = managed.get(&manager) else { continue };
        let version = entry.version.clone();
        let bucket = Manager::updating(ANCIENT, "", &version);
        let Some((_, first)) = first_of.iter().find(|(one, _)| *one == version) else {
            first_of.push((version, manager));
            continue;
        };
        if managed.get(&bucket).is_none()
            && let Some(first) = managed.take(first)
        {
            managed.insert(Entry::of(bucket.clone(), &version, first.time, first.set().clone()));
        }
        let Some(entry) = managed.take(&manager) else { continue };
        if let Some(joined) = managed.get_mut(&bucket) {
            let all = joined.set().union(entry.set());
            joined.put(all);
            joined.time = entry.time;
        }
        left -= 1;
    }
}

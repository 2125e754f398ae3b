//! What custom resource definitions make of the server: names are accepted, resources appear, and go with their
//! objects when the definition is deleted.
//!
//! One task looks at the definitions that changed, whenever one does, and brings their status and what is served into
//! line with them. It remembers nothing that it could not find again, so it starts over after a restart.

mod names;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use everynode_apimachinery::definition;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::{Value, time};
use tokio::sync::watch;

use crate::catalog::{Entry, plain_facts, table_spec};
use crate::meta;
use crate::objects::change::{self, Change, Changed};
use crate::objects::delete::{self, DeleteOptions, Propagation};
use crate::objects::managers::{SERVER, Writer};
use crate::state::State;
use crate::store::{Stored, TableId};
use names::{Names, Taken};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";

/// How soon the objects of a deleted definition are looked at again, when some of them are still there.
const CLEANUP_INTERVAL: Duration = Duration::from_millis(200);

/// Follows the definitions.
pub struct Definitions {
    state: Arc<State>,
    resource: Arc<Resource>,
    table: TableId,
    /// What is known of each definition, by its name.
    known: BTreeMap<String, Known>,
}

/// What is known of a definition at a revision of it.
#[derive(Debug)]
struct Known {
    revision: u64,
    /// When it was made, as the API writes times.
    since: String,
    group: String,
    /// The names that it has been given.
    names: Names,
    has_all_names: bool,
    is_ending: bool,
    source: Source,
    made: Made,
}

/// What resources are made of: as long as it stays the same they do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Source {
    uid: String,
    generation: i64,
    names: Value,
    is_established: bool,
    is_ending: bool,
}

impl Source {
    fn of(definition: &Value) -> Source {
        Source {
            uid: meta::text(definition, "uid").to_owned(),
            generation: definition
                .pointer("/metadata/generation")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            names: definition.pointer("/status/acceptedNames").cloned().unwrap_or_default(),
            is_established: names::is_true(definition, "Established"),
            is_ending: meta::has(definition, "deletionTimestamp"),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Made {
    entries: Vec<Entry>,
    table: Option<TableId>,
}

impl Definitions {
    /// Prepares to follow; none when definitions are not served.
    pub fn new(state: Arc<State>) -> Option<Definitions> {
        let registry = state.catalog.registry();
        let entry = registry.find(GROUP, "v1", PLURAL)?;
        let (resource, table) = (entry.resource.clone(), entry.table?);
        Some(Definitions { state, resource, table, known: BTreeMap::new() })
    }

    /// Follows until the server stops.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            // The watch begins before the look, so that nothing falls in between.
            let store = self.state.store.clone();
            let watched = store.watch(self.table, store.revision());
            let pending = self.settle().await;
            let Ok(mut watcher) = watched else { continue };
            let again = async {
                match pending {
                    true => tokio::time::sleep(CLEANUP_INTERVAL).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = watcher.ready() => {}
                () = again => {}
                _ = stop.wait_for(|stopped| *stopped) => return,
            }
        }
    }

    /// Brings everything into line; says whether something is left to be done later.
    pub async fn settle(&mut self) -> bool {
        let (changed, mut is_new) = self.look();
        let mut pending = false;
        for name in self.to_accept(&changed) {
            match self.accept(&name).await {
                Ok(makes) => is_new |= makes,
                Err(error) => {
                    pending = true;
                    if let Some(known) = self.known.get_mut(&name) {
                        // So that it is looked at again.
                        known.revision = 0;
                    }
                    let error = error.message;
                    tracing::warn!(definition = name, error, "the status of a definition was not written");
                }
            }
        }
        if is_new {
            self.serve();
        }
        let ending = self.known.iter().filter(|(_, known)| known.is_ending);
        for name in ending.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            match self.end(&name).await {
                Ok(waits) => pending |= waits,
                Err(error) if error.code() == 404 => {}
                Err(error) => {
                    pending = true;
                    tracing::warn!(definition = name, error = error.message, "a definition was not deleted");
                }
            }
        }
        pending
    }

    /// Reads the definitions that changed. Gives them, and those that are gone, with their groups; and whether other
    /// resources come of it.
    fn look(&mut self) -> (Vec<(String, String)>, bool) {
        let listed = self.state.store.list(self.table, None).items;
        let names: HashSet<&str> = listed.iter().map(|(key, _)| &*key.1).collect();
        let gone: Vec<String> =
            self.known.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
        let (mut changed, mut is_new) = (Vec::new(), false);
        for name in gone {
            if let Some(known) = self.known.remove(&name) {
                is_new |= !known.made.entries.is_empty();
                changed.push((known.group, name));
            }
        }
        for (key, stored) in &listed {
            if self.known.get(&*key.1).is_none_or(|known| known.revision != stored.revision) {
                is_new |= self.learn(&key.1, stored);
                changed.push((self.known[&*key.1].group.clone(), key.1.to_string()));
            }
        }
        (changed, is_new)
    }

    /// Reads a definition; says whether other resources come of it.
    fn learn(&mut self, name: &str, stored: &Stored) -> bool {
        let definition = stored.value();
        let source = Source::of(&definition);
        let before = self.known.remove(name);
        let had_some = before.as_ref().is_some_and(|known| !known.made.entries.is_empty());
        let kept = before.filter(|known| known.source == source);
        let is_kept = kept.is_some();
        let made = kept.map_or_else(|| self.make(&definition), |known| known.made);
        let is_new = !is_kept && (had_some || !made.entries.is_empty());
        let known = Known {
            revision: stored.revision,
            since: meta::text(&definition, "creationTimestamp").to_owned(),
            group: text(&definition, "/spec/group").to_owned(),
            names: Names::of(&definition),
            has_all_names: names::is_true(&definition, "NamesAccepted"),
            is_ending: source.is_ending,
            source,
            made,
        };
        self.known.insert(name.to_owned(), known);
        is_new
    }

    /// The definitions whose names are to be looked at: those that changed, and those of their groups that lack
    /// names; the eldest first.
    fn to_accept(&self, changed: &[(String, String)]) -> Vec<String> {
        let groups: HashSet<&str> = changed.iter().map(|(group, _)| group.as_str()).collect();
        let names: HashSet<&str> = changed.iter().map(|(_, name)| name.as_str()).collect();
        let is_due = |name: &str, known: &Known| {
            names.contains(name) || !known.has_all_names && groups.contains(known.group.as_str())
        };
        let due = self.known.iter().filter(|(name, known)| is_due(name, known));
        let mut due: Vec<(&str, &str)> = due.map(|(name, known)| (&*known.since, &**name)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    fn get(&self, name: &str) -> Option<(Value, Arc<Stored>)> {
        let stored = self.state.store.get(self.table, "", name)?;
        Some((stored.value(), stored))
    }

    /// Accepts the names of a definition, or says why not. Gives whether other resources come of it.
    async fn accept(&mut self, name: &str) -> Result<bool, Status> {
        let Some((definition, _)) = self.get(name) else { return Ok(false) };
        let group = text(&definition, "/spec/group");
        let registry = self.state.catalog.registry();
        let built_in: Vec<Names> = registry
            .resources()
            .filter(|resource| resource.group == group && resource.custom.is_none())
            .map(|kind| Names::new([&kind.plural, &kind.singular], [&kind.kind, &kind.list_kind]))
            .collect();
        let others = self.known.iter().filter(|(other, known)| *other != name && known.group == group);
        let taken = Taken(others.map(|(_, known)| &known.names).chain(&built_in).collect());
        let now = time::format(self.state.now());
        let status = names::status_of(&definition, &taken, &now);
        if definition.get("status") == Some(&status) {
            return Ok(false);
        }
        let mut with_status = |old: &Value| {
            let mut new = old.clone();
            new["status"] = names::status_of(old, &taken, &now);
            Ok(new)
        };
        match self.change(name, &mut with_status).await? {
            Changed::Stored(stored) => Ok(self.learn(name, &stored)),
            Changed::Shown(_) => Ok(false),
        }
    }

    async fn change(
        &self,
        name: &str,
        change: &mut (dyn FnMut(&Value) -> Result<Value, Status> + Send),
    ) -> Result<Changed, Status> {
        let writer = Some(Writer { manager: SERVER, subresource: "status" });
        let how = Change { writer, ..Change::of(&self.resource, self.table, "", name) };
        change::apply(&self.state, &how, change, &mut Vec::new()).await
    }

    /// Serves what the established definitions define.
    fn serve(&self) {
        let entries = self.known.values().flat_map(|known| known.made.entries.iter().cloned());
        self.state.catalog.serve(entries.collect());
    }

    /// What a definition makes; nothing before it is established.
    fn make(&self, definition: &Value) -> Made {
        if !names::is_true(definition, "Established") {
            return Made::default();
        }
        let name = meta::text(definition, "name");
        let (group, plural) =
            (text(definition, "/spec/group"), text(definition, "/status/acceptedNames/plural"));
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).ok().map(|object| plain_facts(&object));
        let table = match self.state.store.add_table(table_spec(group, plural), &read) {
            Ok(table) => table,
            Err(error) => {
                tracing::error!(definition = name, %error, "objects of a custom resource cannot be read");
                return Made::default();
            }
        };
        match definition::resources(definition) {
            Ok(resources) => {
                let entry = |resource| Entry { resource: Arc::new(resource), table: Some(table) };
                Made { entries: resources.into_iter().map(entry).collect(), table: Some(table) }
            }
            Err(error) => {
                tracing::error!(definition = name, error, "a custom resource cannot be served");
                Made { entries: Vec::new(), table: Some(table) }
            }
        }
    }

    /// Deletes the objects of a deleted definition, then lets it go; says whether objects are still there.
    async fn end(&mut self, name: &str) -> Result<bool, Status> {
        let Some((definition, _)) = self.get(name) else { return Ok(false) };
        if !meta::has(&definition, "deletionTimestamp") || !meta::finalizers(&definition).contains(&CLEANUP) {
            return Ok(false);
        }
        let made = self.known.get(name).map(|known| known.made.clone()).unwrap_or_default();
        if let Some(table) = made.table {
            self.delete_objects(&made.entries, table).await?;
            if self.state.store.count(table) > 0 {
                return Ok(true);
            }
            // Nobody may write any more once the table is found empty.
            if !self.state.store.retire_table(table).await {
                return Ok(true);
            }
            if let Some(known) = self.known.get_mut(name) {
                known.made = Made::default();
            }
        }
        self.change(name, &mut |old| {
            let mut new = old.clone();
            let left: Vec<Value> = meta::finalizers(old)
                .into_iter()
                .filter(|finalizer| *finalizer != CLEANUP)
                .map(Value::from)
                .collect();
            meta::set(&mut new, "finalizers", left);
            Ok(new)
        })
        .await?;
        self.serve();
        Ok(false)
    }

    async fn delete_objects(&self, entries: &[Entry], table: TableId) -> Result<(), Status> {
        let Some(entry) = entries.first() else { return Ok(()) };
        let options =
            DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        for (key, stored) in self.state.store.list(table, None).items {
            if stored.facts.namespace() != &*key.0 {
                continue;
            }
            match delete::delete(&self.state, &entry.resource, &key.0, &key.1, &options).await {
                Err(status) if status.code() != 404 => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The finalizer that holds a definition until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

//! What custom resource definitions make of the server: names are accepted, resources appear, and go with their
//! objects when the definition is deleted.
//!
//! One task looks at all definitions whenever one of them changes, and brings their status and what is served into
//! line with them. It remembers nothing that it could not find again, so it starts over after a restart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use everynode_apimachinery::definition;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::{Object, Value};
use everynode_model::{go_quote, time};
use serde_json::json;
use tokio::sync::watch;

use crate::catalog::{Entry, plain_facts, table_spec};
use crate::meta;
use crate::objects::change::{self, Change};
use crate::objects::delete::{self, DeleteOptions, Propagation};
use crate::objects::managers::{SERVER, Writer};
use crate::state::State;
use crate::store::{Key, Stored, TableId};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";

/// How soon the objects of a deleted definition are looked at again, when some of them are still there.
const CLEANUP_INTERVAL: Duration = Duration::from_millis(200);

/// Follows the definitions.
pub struct Definitions {
    state: Arc<State>,
    resource: Arc<Resource>,
    table: TableId,
    /// What was made of each definition, by its name, at a revision of it.
    made: HashMap<String, (u64, Made)>,
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
        Some(Definitions { state, resource, table, made: HashMap::new() })
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

    /// Brings everything into line; says whether objects of a deleted definition are still there.
    pub async fn settle(&mut self) -> bool {
        for name in self.names() {
            if let Err(error) = self.accept(&name).await {
                tracing::warn!(
                    definition = name,
                    error = error.message,
                    "the status of a definition was not written"
                );
            }
        }
        self.serve();
        let mut pending = false;
        for name in self.names() {
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

    fn list(&self) -> Vec<(Key, Arc<Stored>)> {
        self.state.store.list(self.table, None).items
    }

    /// The names of all definitions, the eldest first.
    fn names(&self) -> Vec<String> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (key, stored) in self.list() {
            let definition = stored.value();
            found.push((meta::text(&definition, "creationTimestamp").to_owned(), key.1.to_string()));
        }
        found.sort();
        found.into_iter().map(|(_, name)| name).collect()
    }

    fn get(&self, name: &str) -> Option<(Value, Arc<Stored>)> {
        let stored = self.state.store.get(self.table, "", name)?;
        Some((stored.value(), stored))
    }

    /// Accepts the names of a definition, or says why not.
    async fn accept(&self, name: &str) -> Result<(), Status> {
        let Some((definition, _)) = self.get(name) else { return Ok(()) };
        let taken = self.taken(&definition);
        let now = time::format(self.state.now());
        let status = status_of(&definition, &taken, &now);
        if definition.get("status") == Some(&status) {
            return Ok(());
        }
        self.change(name, &mut |old| {
            let mut new = old.clone();
            new["status"] = status_of(old, &taken, &now);
            Ok(new)
        })
        .await
    }

    async fn change(
        &self,
        name: &str,
        change: &mut (dyn FnMut(&Value) -> Result<Value, Status> + Send),
    ) -> Result<(), Status> {
        let writer = Some(Writer { manager: SERVER, subresource: "status" });
        let how = Change { writer, ..Change::of(&self.resource, self.table, "", name) };
        change::apply(&self.state, &how, change, &mut Vec::new()).await.map(|_| ())
    }

    /// The names that others have in the group of a definition.
    fn taken(&self, definition: &Value) -> Taken {
        let (name, group) = (meta::text(definition, "name"), text(definition, "/spec/group"));
        let mut taken = Taken::default();
        let registry = self.state.catalog.registry();
        for resource in registry.resources().filter(|r| r.group == group && r.custom.is_none()) {
            taken.resources.extend([resource.plural.to_string(), resource.singular.to_string()]);
            taken.kinds.extend([resource.kind.to_string(), resource.list_kind.to_string()]);
        }
        for (key, stored) in self.list() {
            let other = stored.value();
            if *key.1 == *name || text(&other, "/spec/group") != group {
                continue;
            }
            let names = other.pointer("/status/acceptedNames").cloned().unwrap_or_default();
            taken.add(&names);
        }
        taken
    }

    /// Serves what the established definitions define.
    fn serve(&mut self) {
        let mut made = HashMap::new();
        for (key, stored) in self.list() {
            let known = self.made.remove(&*key.1).filter(|(revision, _)| *revision == stored.revision);
            let now = known.unwrap_or_else(|| (stored.revision, self.make(&stored.value())));
            made.insert(key.1.to_string(), now);
        }
        self.made = made;
        let mut entries: Vec<Entry> = self.made.values().flat_map(|(_, made)| made.entries.clone()).collect();
        entries.sort_by(|a, b| a.resource.plural.cmp(&b.resource.plural));
        let registry = self.state.catalog.registry();
        let served: Vec<&Arc<Resource>> = registry.resources().filter(|r| r.custom.is_some()).collect();
        let is_same = served.len() == entries.len()
            && entries.iter().all(|entry| served.iter().any(|one| Arc::ptr_eq(one, &entry.resource)));
        if !is_same {
            self.state.catalog.serve(entries);
        }
    }

    /// What a definition makes; nothing before it is established.
    fn make(&self, definition: &Value) -> Made {
        if !is_true(definition, "Established") {
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
        if let Some((_, made)) = self.made.get(name)
            && let Some(table) = made.table
        {
            let entries = made.entries.clone();
            self.delete_objects(&entries, table).await?;
            if self.state.store.count(table) > 0 {
                return Ok(true);
            }
            // Nobody may write any more once the table is found empty.
            if !self.state.store.retire_table(table).await {
                return Ok(true);
            }
            self.made.remove(name);
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

fn conditions(definition: &Value) -> Vec<Value> {
    definition.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn is_true(definition: &Value, kind: &str) -> bool {
    conditions(definition).iter().any(|one| one["type"] == kind && one["status"] == "True")
}

/// Names that are in use.
#[derive(Debug, Default)]
struct Taken {
    /// Plural, singular and short names.
    resources: Vec<String>,
    kinds: Vec<String>,
}

impl Taken {
    fn add(&mut self, names: &Value) {
        let short = names.get("shortNames").and_then(Value::as_array).into_iter().flatten();
        let named = |field: &str| names.get(field).into_iter();
        let resources = named("plural").chain(named("singular")).chain(short);
        self.resources.extend(resources.filter_map(Value::as_str).map(str::to_owned));
        let kinds = named("kind").chain(named("listKind"));
        self.kinds.extend(kinds.filter_map(Value::as_str).map(str::to_owned));
    }
}

/// The names of a definition that can be accepted, and the first conflict: its reason and its name.
fn accepted(definition: &Value, taken: &Taken) -> (Value, Option<(&'static str, String)>) {
    let wanted = definition.pointer("/spec/names").cloned().unwrap_or_default();
    let mut names = definition.pointer("/status/acceptedNames").cloned().unwrap_or_default();
    let mut conflict = None;
    // The last conflict is the one that is told.
    let mut refuse = |reason: &'static str, name: &str| conflict = Some((reason, name.to_owned()));
    for (field, reason) in [
        ("plural", "PluralConflict"),
        ("singular", "SingularConflict"),
        ("kind", "KindConflict"),
        ("listKind", "ListKindConflict"),
    ] {
        let name = wanted.get(field).and_then(Value::as_str).unwrap_or_default();
        let used = if field.to_lowercase().ends_with("kind") { &taken.kinds } else { &taken.resources };
        if used.iter().any(|one| one == name) {
            refuse(reason, name);
        } else {
            names[field] = name.into();
        }
    }
    let short = wanted.get("shortNames").and_then(Value::as_array).cloned().unwrap_or_default();
    let used = |name: &Value| taken.resources.iter().any(|one| name == one.as_str());
    match short.iter().find(|name| used(name)) {
        Some(name) => refuse("ShortNamesConflict", name.as_str().unwrap_or_default()),
        None => set_list(&mut names, "shortNames", short),
    }
    let categories = wanted.get("categories").and_then(Value::as_array).cloned().unwrap_or_default();
    set_list(&mut names, "categories", categories);
    (names, conflict)
}

fn set_list(names: &mut Value, field: &str, list: Vec<Value>) {
    let Value::Object(names) = names else { return };
    if list.is_empty() {
        names.shift_remove(field);
    } else {
        names.insert(field.into(), list.into());
    }
}

/// The status that a definition should have, its fields in the API's order.
fn status_of(definition: &Value, taken: &Taken, now: &str) -> Value {
    let (mut names, conflict) = accepted(definition, taken);
    order_names(&mut names);
    let mut conditions = conditions(definition);
    let is_established = is_true(definition, "Established");
    match &conflict {
        None => {
            set(&mut conditions, now, ["NamesAccepted", "True", "NoConflicts", "no conflicts found"]);
            if !is_established {
                let message = "the initial names have been accepted";
                set(&mut conditions, now, ["Established", "True", "InitialNamesAccepted", message]);
            }
        }
        Some((reason, name)) => {
            let message = format!("{} is already in use", go_quote(name));
            set(&mut conditions, now, ["NamesAccepted", "False", reason, &message]);
            if !is_established {
                let message = "not all names are accepted";
                set(&mut conditions, now, ["Established", "False", "NotAccepted", message]);
            }
        }
    }
    if meta::has(definition, "deletionTimestamp") {
        let message = "CustomResource deletion is in progress";
        set(&mut conditions, now, ["Terminating", "True", "InstanceDeletionInProgress", message]);
    }
    let mut status = definition.get("status").and_then(Value::as_object).cloned().unwrap_or_default();
    status.insert("conditions".into(), conditions.into());
    status.insert("acceptedNames".into(), names);
    Value::Object(status)
}

fn order_names(names: &mut Value) {
    let order = ["plural", "singular", "shortNames", "kind", "listKind", "categories"];
    let Value::Object(fields) = names else { return };
    let sorted: Object =
        order.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone()))).collect();
    *fields = sorted;
}

fn set(conditions: &mut Vec<Value>, now: &str, [kind, status, reason, message]: [&str; 4]) {
    let new = json!({
        "type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message,
    });
    match conditions.iter_mut().find(|one| one["type"] == kind) {
        None => conditions.push(new),
        Some(old) => {
            let since = if old["status"] == status { old["lastTransitionTime"].clone() } else { now.into() };
            *old = new;
            old["lastTransitionTime"] = since;
        }
    }
}

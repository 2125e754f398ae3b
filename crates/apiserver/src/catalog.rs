//! Which resources are served, where they lie in the store, and what selectors read of their objects.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use everynode_apimachinery::kinds::METRICS;
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::resources;
use everynode_model::Value;

use crate::store::{Facts, TableId, TableSpec};

/// The resources that are served now. Built-in ones are always there; those of definitions come and go.
#[derive(Debug)]
pub struct Catalog {
    built_in: Vec<Entry>,
    registry: RwLock<Arc<Registry>>,
}

/// A resource and where its objects lie.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The resource.
    pub resource: Arc<Resource>,
    /// Its table; none for resources that keep nothing.
    pub table: Option<TableId>,
}

/// What was served at one moment.
#[derive(Debug)]
pub struct Registry {
    /// Sorted by group, version and plural.
    entries: Vec<Entry>,
    /// Changes with what is served.
    generation: u64,
}

impl Catalog {
    /// Gives every built-in resource that keeps objects a table. A resource that is a view on another one shares
    /// its table. What nodes and pods use is served where somebody knows it.
    pub fn new(serves_usage: bool) -> Catalog {
        let mut tables = HashMap::new();
        for (id, resource) in stored().enumerate() {
            tables.insert((&*resource.group, &*resource.plural), TableId(id as u32));
        }
        let entry = |resource: &Arc<Resource>| {
            let own = (&*resource.group, &*resource.plural);
            let place = resource.stored_as.as_ref().map_or(own, |form| (form.group(), form.plural()));
            Entry { resource: resource.clone(), table: tables.get(&place).copied() }
        };
        let served = resources().iter().filter(|resource| serves_usage || resource.group != METRICS);
        let built_in: Vec<Entry> = served.map(entry).collect();
        let registry = Arc::new(Registry { entries: built_in.clone(), generation: 0 });
        Catalog { built_in, registry: RwLock::new(registry) }
    }

    /// The tables of built-in resources, in the order of their ids.
    pub fn table_specs(&self) -> Vec<TableSpec> {
        stored().map(|resource| table_spec(&resource.group, &resource.plural)).collect()
    }

    /// What selectors read of an encoded object of a built-in resource.
    pub fn read_facts(&self, table: TableId, bytes: &[u8]) -> Option<Facts> {
        let object: Value = serde_json::from_slice(bytes).ok()?;
        Some(facts_of(stored().nth(table.0 as usize)?, &object))
    }

    /// What is served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves these custom resources, and no others, from now on.
    pub fn serve(&self, custom: Vec<Entry>) {
        let mut entries = self.built_in.clone();
        entries.extend(custom);
        entries.sort_by(|a, b| {
            let (a, b) = (&a.resource, &b.resource);
            (&a.group, &a.version, &a.plural).cmp(&(&b.group, &b.version, &b.plural))
        });
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        *registry = Arc::new(Registry { entries, generation: registry.generation + 1 });
    }

    /// The table of a resource that is served now; none for resources that keep nothing.
    pub fn table(&self, resource: &Resource) -> Option<TableId> {
        self.registry().find(&resource.group, &resource.version, &resource.plural)?.table
    }

    /// The table of a resource by name.
    pub fn table_named(&self, group: &str, version: &str, plural: &str) -> Option<TableId> {
        self.registry().find(group, version, plural)?.table
    }
}

impl Registry {
    /// The resources, sorted by group, version and plural.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.entries.iter().map(|entry| &entry.resource)
    }

    /// The resource with that plural name.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Entry> {
        let key = |entry: &Entry| {
            let Resource { group: g, version: v, plural: p, .. } = &*entry.resource;
            (&**g, &**v, &**p).cmp(&(group, version, plural))
        };
        self.entries.binary_search_by(key).ok().map(|at| &self.entries[at])
    }

    /// The resource in whose form the objects of a resource are stored.
    pub fn stored_form<'a>(&'a self, resource: &'a Resource) -> &'a Resource {
        match &resource.stored_as {
            Some(form) if resource.custom.is_none() => self
                .find(form.group(), form.version(), form.plural())
                .map_or(resource, |entry| &entry.resource),
            _ => resource,
        }
    }

    /// Every table with one of the resources whose objects lie there.
    pub fn tables(&self) -> impl Iterator<Item = (TableId, &Resource)> {
        let mut seen = Vec::new();
        let own = |entry: &&Entry| entry.resource.custom.is_some() || entry.resource.stored_as.is_none();
        self.entries.iter().filter(own).filter_map(move |entry| {
            let table = entry.table.filter(|table| !seen.contains(table))?;
            seen.push(table);
            Some((table, &*entry.resource))
        })
    }

    /// Differs between two registries of one catalog that serve different things.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The built-in resources that have a table of their own.
fn stored() -> impl Iterator<Item = &'static Arc<Resource>> {
    resources().iter().filter(|r| r.stored_as.is_none() && r.verbs.contains(&"watch"))
}

/// Where the objects of a resource lie.
pub fn table_spec(group: &str, plural: &str) -> TableSpec {
    TableSpec { prefix: format!("/{group}/{plural}") }
}

/// What selectors read of an object in its stored form.
pub fn facts_of(resource: &Resource, object: &Value) -> Facts {
    // Fields of custom resources are read when somebody asks: they change with the definition.
    let fields = resource.selectable_fields.iter().filter(|_| resource.custom.is_none());
    let fields = fields.map(|field| field_text(object, field).into()).collect();
    Facts { fields, ..plain_facts(object) }
}

/// What selectors read of any object.
pub fn plain_facts(object: &Value) -> Facts {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let labels =
        labels.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into())));
    let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or("").into();
    Facts {
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        labels: labels.collect(),
        fields: Box::default(),
    }
}

/// The text of a selectable field; absent truth values read `false`, everything else that is absent is empty.
fn field_text(object: &Value, field: &str) -> String {
    if field == "source" && object.pointer("/source").is_some() {
        let component = text_at(object, "source.component");
        return if component.is_empty() { text_at(object, "reportingComponent") } else { component };
    }
    let text = text_at(object, field);
    if text.is_empty() && matches!(field, "spec.unschedulable" | "spec.hostNetwork") {
        return "false".into();
    }
    text
}

/// The text of a field, empty when it is absent or no scalar.
pub fn text_at(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |value, name| value.get(name));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(truth)) => truth.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

//! Which resource lies where in the store, and what selectors read of its objects.

use std::collections::HashMap;

use everynode_wire::resource::Resource;
use everynode_wire::{Value, resource_for, resources};

use crate::store::{Facts, ShelfId, ShelfSpec};

/// The stored resources, and the shelf of each served one.
#[derive(Debug)]
pub struct Catalog {
    stored: Vec<&'static Resource>,
    shelves: HashMap<(&'static str, &'static str, &'static str), ShelfId>,
}

impl Catalog {
    /// Gives every resource that keeps objects a shelf. A resource that is a view on another one shares its
    /// shelf.
    pub fn new() -> Catalog {
        let mut stored: Vec<&'static Resource> = Vec::new();
        let mut shelves = HashMap::new();
        for resource in resources().iter().filter(|r| r.stored_as.is_none() && r.verbs.contains(&"watch")) {
            let id = ShelfId(stored.len() as u16);
            shelves.insert((resource.group, resource.version, resource.plural), id);
            stored.push(resource);
        }
        for resource in resources() {
            let Some(view) = resource.stored_as else { continue };
            if let Some(&id) = shelves.get(&(view.group, view.version, view.plural)) {
                shelves.insert((resource.group, resource.version, resource.plural), id);
            }
        }
        Catalog { stored, shelves }
    }

    /// The shelves, in the order of their ids.
    pub fn shelf_specs(&self) -> Vec<ShelfSpec> {
        self.stored
            .iter()
            .map(|resource| ShelfSpec {
                prefix: format!("/{}/{}", resource.group, resource.plural),
                fields: resource.selectable_fields,
            })
            .collect()
    }

    /// The shelf of a resource; none for resources that keep nothing.
    pub fn shelf(&self, resource: &Resource) -> Option<ShelfId> {
        self.shelves.get(&(resource.group, resource.version, resource.plural)).copied()
    }

    /// All shelves with the resources that are stored on them.
    pub fn shelves(&self) -> impl Iterator<Item = (ShelfId, &'static Resource)> {
        self.stored.iter().enumerate().map(|(id, resource)| (ShelfId(id as u16), *resource))
    }

    /// The shelf of a resource of the table by name.
    pub fn shelf_named(&self, group: &str, version: &str, plural: &str) -> Option<ShelfId> {
        resource_for(group, version, plural).and_then(|resource| self.shelf(resource))
    }

    /// The resource in whose form the objects of a shelf are stored.
    pub fn stored_resource(&self, shelf: ShelfId) -> &'static Resource {
        self.stored[usize::from(shelf.0)]
    }

    /// What selectors read of an encoded object.
    pub fn read_facts(&self, shelf: ShelfId, bytes: &[u8]) -> Option<Facts> {
        let object: Value = serde_json::from_slice(bytes).ok()?;
        Some(facts_of(self.stored_resource(shelf), &object))
    }
}

/// What selectors read of an object in its stored form.
pub fn facts_of(resource: &Resource, object: &Value) -> Facts {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let labels =
        labels.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into())));
    let fields = resource.selectable_fields.iter().map(|field| field_text(object, field).into());
    let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or("").into();
    Facts {
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        labels: labels.collect(),
        fields: fields.collect(),
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

fn text_at(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |value, name| value.get(name));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(truth)) => truth.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

//! Tables and partial objects: what `kubectl get` and metadata-only clients ask for.

use std::borrow::Borrow;

use everynode_model::access::Read;
use everynode_model::{Object, Value, encode};

use crate::resource::Resource;

/// How much of its object a row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata: what the API does when nothing is asked for.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`; none when the value is not known.
    pub fn parse(text: &str) -> Option<IncludeObject> {
        match text {
            "" | "Metadata" => Some(IncludeObject::Metadata),
            "None" => Some(IncludeObject::None),
            "Object" => Some(IncludeObject::Object),
            _ => None,
        }
    }
}

/// A table of one object, as a `get` or a watch event shows it. A watch sends the column definitions
/// only once. `now` is Unix time in seconds.
pub fn of_object(
    resource: &Resource,
    object: &Value,
    include: IncludeObject,
    with_columns: bool,
    now: i64,
) -> Value {
    let mut metadata = Object::new();
    if let Some(version) = object.at("metadata.resourceVersion") {
        metadata.insert("resourceVersion".into(), version.clone());
    }
    table(resource, Value::Object(metadata), [object].into_iter(), include, with_columns, now)
}

/// A table of a list, encoded row by row: a large one is never there as a whole but in its bytes. `metadata` is that of
/// the list (resourceVersion, continue, remainingItemCount).
pub fn of_list<V: Borrow<Value>>(
    resource: &Resource,
    metadata: Value,
    objects: impl Iterator<Item = V>,
    include: IncludeObject,
    now: i64,
) -> Vec<u8> {
    let mut table = head("Table", metadata);
    table.insert("columnDefinitions".into(), resource.rules.column_definitions().into());
    encoded(table, "rows", objects.map(|object| row(resource, object.borrow(), include, now)))
}

/// The fields of an object, and behind them a list, each element of which is made and written in its turn.
fn encoded(fields: Object, list: &str, elements: impl Iterator<Item = Value>) -> Vec<u8> {
    let mut out = encode::to_vec(&Value::Object(fields));
    out.pop();
    out.extend_from_slice(format!(",\"{list}\":[").as_bytes());
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&encode::to_vec(&element));
    }
    out.extend_from_slice(b"]}");
    out
}

fn table<'a>(
    resource: &Resource,
    metadata: Value,
    objects: impl Iterator<Item = &'a Value>,
    include: IncludeObject,
    with_columns: bool,
    now: i64,
) -> Value {
    let columns = if with_columns { resource.rules.column_definitions().into() } else { Value::Null };
    let mut table = head("Table", metadata);
    table.insert("columnDefinitions".into(), columns);
    let rows = objects.map(|object| row(resource, object, include, now));
    table.insert("rows".into(), rows.collect());
    Value::Object(table)
}

fn head(kind: &str, metadata: Value) -> Object {
    let mut object = Object::new();
    object.insert("kind".into(), kind.into());
    object.insert("apiVersion".into(), "meta.k8s.io/v1".into());
    object.insert("metadata".into(), metadata);
    object
}

fn row(resource: &Resource, object: &Value, include: IncludeObject, now: i64) -> Value {
    let mut row = Object::new();
    row.insert("cells".into(), Value::Array(resource.rules.cells(object, now)));
    if let Some(conditions) = resource.rules.row_conditions(object) {
        row.insert("conditions".into(), conditions);
    }
    let shown = match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial(resource, object),
        IncludeObject::Object => object.clone(),
    };
    row.insert("object".into(), shown);
    Value::Object(row)
}

/// The `PartialObjectMetadata` of an object.
pub fn partial(resource: &Resource, object: &Value) -> Value {
    let mut metadata = object.get("metadata").cloned().unwrap_or_default();
    resource.rules.unversion_metadata(&mut metadata);
    Value::Object(head("PartialObjectMetadata", metadata))
}

/// The `PartialObjectMetadataList` of a list, encoded as [`of_list`] is. `metadata` is that of the list.
pub fn partial_list<V: Borrow<Value>>(
    resource: &Resource,
    metadata: Value,
    objects: impl Iterator<Item = V>,
) -> Vec<u8> {
    let list = head("PartialObjectMetadataList", metadata);
    encoded(list, "items", objects.map(|object| partial(resource, object.borrow())))
}

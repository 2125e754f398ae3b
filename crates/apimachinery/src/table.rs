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

/// The versions in which tables and partial objects are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetaVersion {
    /// `meta.k8s.io/v1`.
    #[default]
    V1,
    /// `meta.k8s.io/v1beta1`, of clients from before Kubernetes 1.15; its fields are the same.
    V1Beta1,
}

impl MetaVersion {
    /// Reads the parameter `v` of a media type; none when it is not served.
    pub fn parse(text: &str) -> Option<MetaVersion> {
        match text {
            "v1" => Some(MetaVersion::V1),
            "v1beta1" => Some(MetaVersion::V1Beta1),
            _ => None,
        }
    }

    /// As `apiVersion` says it.
    pub fn api_version(self) -> &'static str {
        match self {
            MetaVersion::V1 => "meta.k8s.io/v1",
            MetaVersion::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// How a table is asked for.
#[derive(Debug, Clone, Copy)]
pub struct TableOptions {
    /// What its rows carry.
    pub include: IncludeObject,
    /// Its version, and that of the metadata in its rows.
    pub version: MetaVersion,
    /// Unix time in seconds, for ages.
    pub now: i64,
}

/// A table of one object, as a `get` or a watch event shows it. A watch sends the column definitions
/// only once.
pub fn of_object(resource: &Resource, object: &Value, options: TableOptions, with_columns: bool) -> Value {
    let mut metadata = Object::new();
    if let Some(version) = object.at("metadata.resourceVersion") {
        metadata.insert("resourceVersion".into(), version.clone());
    }
    let columns = if with_columns { resource.rules.column_definitions().into() } else { Value::Null };
    let mut table = head("Table", options.version, Value::Object(metadata));
    table.insert("columnDefinitions".into(), columns);
    table.insert("rows".into(), vec![row(resource, object, options)].into());
    Value::Object(table)
}

/// A table of a list, encoded row by row: a large one is never there as a whole but in its bytes. `metadata` is that of
/// the list (resourceVersion, continue, remainingItemCount).
pub fn of_list<V: Borrow<Value>>(
    resource: &Resource,
    metadata: Value,
    objects: impl Iterator<Item = V>,
    options: TableOptions,
) -> Vec<u8> {
    let mut table = head("Table", options.version, metadata);
    table.insert("columnDefinitions".into(), resource.rules.column_definitions().into());
    encoded(table, "rows", objects.map(|object| row(resource, object.borrow(), options)))
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

fn head(kind: &str, version: MetaVersion, metadata: Value) -> Object {
    let mut object = Object::new();
    object.insert("kind".into(), kind.into());
    object.insert("apiVersion".into(), version.api_version().into());
    object.insert("metadata".into(), metadata);
    object
}

fn row(resource: &Resource, object: &Value, options: TableOptions) -> Value {
    let mut row = Object::new();
    row.insert("cells".into(), Value::Array(resource.rules.cells(object, options.now)));
    if let Some(conditions) = resource.rules.row_conditions(object) {
        row.insert("conditions".into(), conditions);
    }
    let shown = match options.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial(resource, object, options.version),
        IncludeObject::Object => object.clone(),
    };
    row.insert("object".into(), shown);
    Value::Object(row)
}

/// The `PartialObjectMetadata` of an object.
pub fn partial(resource: &Resource, object: &Value, version: MetaVersion) -> Value {
    let mut metadata = object.get("metadata").cloned().unwrap_or_default();
    resource.rules.unversion_metadata(&mut metadata);
    Value::Object(head("PartialObjectMetadata", version, metadata))
}

/// The `PartialObjectMetadataList` of a list, encoded as [`of_list`] is. `metadata` is that of the list.
pub fn partial_list<V: Borrow<Value>>(
    resource: &Resource,
    metadata: Value,
    objects: impl Iterator<Item = V>,
    version: MetaVersion,
) -> Vec<u8> {
    let list = head("PartialObjectMetadataList", version, metadata);
    encoded(list, "items", objects.map(|object| partial(resource, object.borrow(), version)))
}

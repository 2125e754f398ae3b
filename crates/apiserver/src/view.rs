//! Objects and lists in the form in which they are answered.

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::table::{self, TableOptions};
use everynode_model::{Object, Value, encode};

use crate::http::accept::View;
use crate::store::Stored;

/// How a request wants its objects.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Object, table or metadata.
    pub view: View,
    /// How tables are shown, and the version of partial objects.
    pub table: TableOptions,
}

/// The object as a resource shows it: its own form, which for a view on another resource is converted.
pub fn decode(resource: &Resource, bytes: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    match &resource.stored_as {
        Some(form) => form.shown_form(value),
        None => value,
    }
}

/// The stored object as a resource shows it, but for who manages its fields.
pub fn decode_lean(resource: &Resource, stored: &Stored) -> Value {
    match &resource.stored_as {
        Some(form) => form.shown_form(stored.value()),
        None => stored.value(),
    }
}

/// One object, encoded.
pub fn object(resource: &Resource, stored: &Stored, shape: Shape) -> Vec<u8> {
    if shape.view == View::Object && resource.stored_as.is_none() {
        return with_line_feed(stored.bytes().to_vec());
    }
    value(resource, decode(resource, stored.bytes()), shape)
}

/// One object that may never have been stored, encoded.
pub fn value(resource: &Resource, object: Value, shape: Shape) -> Vec<u8> {
    let shown = shown(resource, object, shape, true);
    with_line_feed(encode::to_vec(&shown))
}

/// An object in the form that is asked for. A watch sends the columns of its tables only once.
pub fn shown(resource: &Resource, object: Value, shape: Shape, with_columns: bool) -> Value {
    match shape.view {
        View::Object => object,
        View::Metadata => table::partial(resource, &object, shape.table.version),
        View::Table => table::of_object(resource, &object, shape.table, with_columns),
    }
}

/// The metadata of a list.
pub struct ListMeta {
    /// The version of the list.
    pub revision: u64,
    /// The token of the next page.
    pub continue_token: Option<String>,
    /// How many objects come after this page, where that is known.
    pub remaining: Option<usize>,
}

impl ListMeta {
    fn to_value(&self) -> Value {
        let mut metadata = Object::new();
        metadata.insert("resourceVersion".into(), self.revision.to_string().into());
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".into(), token.clone().into());
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount".into(), remaining.into());
        }
        Value::Object(metadata)
    }
}

/// A list, encoded. Objects that are shown as they are stored are copied, not decoded.
pub fn list<'a>(
    resource: &Resource,
    items: impl ExactSizeIterator<Item = &'a Stored>,
    meta: &ListMeta,
    shape: Shape,
) -> Vec<u8> {
    let metadata = meta.to_value();
    if shape.view == View::Object {
        return with_line_feed(plain_list(resource, items, &metadata));
    }
    let decoded = items.map(|stored| decode(resource, stored.bytes()));
    with_line_feed(match shape.view {
        View::Table => table::of_list(resource, metadata, decoded, shape.table),
        _ => table::partial_list(resource, metadata, decoded, shape.table.version),
    })
}

/// A list of items that are not stored, without kind and apiVersion of their own, encoded.
pub fn unstored_list(resource: &Resource, items: Vec<Value>, shape: Shape) -> Vec<u8> {
    let metadata = Value::Object(Object::new());
    with_line_feed(match shape.view {
        View::Table => table::of_list(resource, metadata, items.iter(), shape.table),
        View::Metadata => table::partial_list(resource, metadata, items.iter(), shape.table.version),
        View::Object => {
            let mut list = Object::new();
            list.insert("kind".into(), (*resource.list_kind).into());
            list.insert("apiVersion".into(), resource.api_version().into());
            list.insert("metadata".into(), metadata);
            list.insert("items".into(), items.into());
            encode::to_vec(&Value::Object(list))
        }
    })
}

fn plain_list<'a>(
    resource: &Resource,
    items: impl ExactSizeIterator<Item = &'a Stored>,
    metadata: &Value,
) -> Vec<u8> {
    let api_version = resource.api_version();
    let mut out = Vec::with_capacity(256 + items.len() * 1_024);
    out.extend_from_slice(
        format!("{{\"kind\":\"{}\",\"apiVersion\":\"{api_version}\",\"metadata\":", resource.list_kind)
            .as_bytes(),
    );
    out.extend_from_slice(&encode::to_vec(metadata));
    out.extend_from_slice(b",\"items\":[");
    let head = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{api_version}\",", &resource.kind);
    for (index, stored) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let converted =
            resource.stored_as.as_ref().map(|_| encode::to_vec(&decode(resource, stored.bytes())));
        let bytes = converted.as_deref().unwrap_or(stored.bytes());
        // Items of a list do not repeat kind and apiVersion, unless they are custom resources.
        let repeated = if resource.custom.is_some() { None } else { bytes.strip_prefix(head.as_bytes()) };
        match repeated {
            Some(rest) => {
                out.push(b'{');
                out.extend_from_slice(rest);
            }
            None => out.extend_from_slice(bytes),
        }
    }
    out.extend_from_slice(b"]}");
    out
}

fn with_line_feed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.push(b'\n');
    bytes
}

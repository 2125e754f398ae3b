//! What can be done to an object of any kind: functions of the state, which know nothing of requests.

pub mod change;
pub mod create;
pub mod delete;
pub mod managers;

use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::status::Status;
use everynode_model::{Value, encode};

use crate::catalog::{Catalog, facts_of};
use crate::meta;
use crate::store::{Draft, REVISION_PLACEHOLDER, WriteError};

/// Stands in an object where the text about who manages its fields goes. All other values beside it are texts, lists,
/// maps or numbers.
const MANAGED_PLACEHOLDER: &[u8] = b"\"managedFields\":true";

/// Encodes an object for the store, its fields in their order, with who manages them. The object keeps the order, and
/// gets the stored form when its resource is a view on another one.
pub fn draft(catalog: &Catalog, resource: &Resource, object: &mut Value, managed: &str) -> Option<Draft> {
    let registry = catalog.registry();
    let stored_resource = registry.stored_form(resource);
    let converted = resource.stored_as.as_ref().map(|form| form.to_stored(object.clone()));
    let mut stored = converted.unwrap_or_else(|| std::mem::take(object));
    let before = meta::text(&stored, "resourceVersion").to_owned();
    meta::set(&mut stored, "resourceVersion", REVISION_PLACEHOLDER);
    let shown = if managed.is_empty() { Value::Null } else { Value::Bool(true) };
    meta::set(&mut stored, managers::FIELD, shown);
    if let Some(model) = stored_resource.model() {
        model.order(&mut stored);
    }
    let facts = facts_of(stored_resource, &stored);
    // The encoder escapes the brackets of the placeholder; the draft only looks for the field.
    let draft = Draft::new(with_managed(encode::to_vec(&stored), managed), facts);
    meta::set(&mut stored, managers::FIELD, Value::Null);
    if resource.stored_as.is_none() {
        // Setting an empty version would move the field: the order is kept by writing in place.
        if let Some(version) = stored.pointer_mut("/metadata/resourceVersion") {
            *version = before.into();
        }
        *object = stored;
    }
    draft
}

/// Puts the text about who manages the fields in its place.
fn with_managed(bytes: Vec<u8>, managed: &str) -> Vec<u8> {
    let found = memchr::memmem::find(&bytes, MANAGED_PLACEHOLDER).filter(|_| !managed.is_empty());
    let Some(at) = found else { return bytes };
    let value = at + MANAGED_PLACEHOLDER.len() - "true".len();
    let mut out = Vec::with_capacity(bytes.len() + managed.len());
    out.extend_from_slice(&bytes[..value]);
    out.extend_from_slice(managed.as_bytes());
    out.extend_from_slice(&bytes[at + MANAGED_PLACEHOLDER.len()..]);
    out
}

/// The refusal for a write that did not happen.
pub fn refusal(resource: &Resource, name: &str, error: WriteError) -> Status {
    let (group, plural) = (&resource.group, &resource.plural);
    match error {
        WriteError::Exists => Status::already_exists(group, plural, name),
        WriteError::Changed => Status::modified(group, plural, name),
        WriteError::Missing => Status::not_found(group, plural, name),
        WriteError::ReadOnly(why) => {
            Status::internal(format!("the store takes no more writes, reads go on: {why}"))
        }
        WriteError::Closed => Status::unavailable("the server is shutting down"),
    }
}

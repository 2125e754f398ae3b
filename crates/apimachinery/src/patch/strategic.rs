//! Strategic merge patches: a merge that knows from the schema which lists are merged, and by which key.

use std::collections::HashSet;

use everynode_model::{Object, Value};

use super::directive::{
    DELETE_FROM_LIST, PATCH, RETAIN_KEYS, SET_ORDER, bad_patch_type, no_merge_key, target,
    without_directives, without_nulls,
};
use super::order::{Identity, normalize};
use super::patched::{Patched, Shown, finish};
use crate::json;
use crate::schema::{Field, Kind, Type};
use crate::status::Status;

/// Applies a strategic merge patch to an object of type `ty`.
///
/// # Errors
/// The patch is malformed, a directive is wrong, or a value of the result does not fit its field.
pub fn strategic_merge(ty: &'static Type, original: &Value, patch: &[u8]) -> Result<Patched, Status> {
    let (patch, problems) =
        json::parse_strict(patch).map_err(|error| Status::bad_request(error.to_string()))?;
    let patch = match patch {
        Value::Object(fields) => fields,
        Value::Null => Object::new(),
        other => {
            let found = json::type_name(&other);
            let message =
                format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
            return Err(Status::bad_request(message));
        }
    };
    let shown = Shown::Patch(Value::Object(patch.clone()));
    let original = original.as_object().cloned().unwrap_or_default();
    let merged = merge_map(original, patch, Shape::Struct(ty))?;
    finish(&ty, &Value::Object(merged), problems, shown)
}

/// What the schema says of a value.
#[derive(Clone, Copy)]
enum Shape {
    Struct(&'static Type),
    /// A map or list; the kind of its elements.
    Elements(&'static Kind),
    Unknown,
}

impl Shape {
    fn of(kind: &'static Kind) -> Shape {
        match kind.pointee() {
            Kind::Struct(id) => Shape::Struct(id.get()),
            Kind::Map(element) | Kind::List(element) => Shape::Elements(element),
            _ => Shape::Unknown,
        }
    }

    /// The field of this name, and the shape of its value.
    fn field(self, name: &str) -> (Option<&'static Field>, Shape) {
        match self {
            Shape::Struct(ty) => match ty.field(name) {
                Some(field) => (Some(field), Shape::of(&field.kind)),
                None => (None, Shape::Unknown),
            },
            Shape::Elements(element) => (None, Shape::of(element)),
            Shape::Unknown => (None, Shape::Unknown),
        }
    }

    /// The shape of the elements of a list.
    fn element(self) -> Shape {
        match self {
            Shape::Elements(element) => Shape::of(element),
            _ => Shape::Unknown,
        }
    }
}

fn merge_map(mut original: Object, mut patch: Object, shape: Shape) -> Result<Object, Status> {
    match patch.get(PATCH) {
        None => {}
        Some(directive) if directive == "replace" => {
            patch.shift_remove(PATCH);
            return Ok(patch);
        }
        Some(directive) if directive == "delete" => return Ok(Object::new()),
        Some(directive) => return Err(bad_patch_type(directive, &patch)),
    }
    // All at once: one after the other takes the square of the time.
    let is_removed = |name: &str| patch.get(name).is_some_and(Value::is_null);
    original.retain(|name, _| !is_removed(name));
    retain_keys(&mut original, &mut patch)?;
    set_element_orders(&mut original, &mut patch, shape)?;
    for (key, value) in patch {
        match target(&key, DELETE_FROM_LIST) {
            Some(field) => delete_from_list(&mut original, field?, &value),
            None => merge_field(&mut original, key, value, shape)?,
        }
    }
    Ok(original)
}

/// Merges one field of a patch into a map.
fn merge_field(original: &mut Object, key: String, value: Value, shape: Shape) -> Result<(), Status> {
    if value.is_null() {
        original.shift_remove(&key);
        return Ok(());
    }
    let (field, inner) = shape.field(&key);
    let merged = match (original.get_mut(&key).map(Value::take), value) {
        (Some(Value::Object(_)), Value::Object(value)) if field.is_some_and(|field| field.patch_replace) => {
            Some(Value::Object(value))
        }
        (Some(Value::Object(present)), Value::Object(value)) => {
            Some(Value::Object(merge_map(present, value, inner)?))
        }
        (Some(Value::Array(present)), Value::Array(value)) => Some(Value::Array(match field {
            Some(field) if field.patch_merge => merge_list(present, value, field, inner.element())?,
            _ => value,
        })),
        (_, value) => without_directives(without_nulls(value)),
    };
    match merged {
        Some(merged) => original.insert(key, merged),
        None => original.shift_remove(&key),
    };
    Ok(())
}

fn delete_from_list(original: &mut Object, field: &str, unwanted: &Value) {
    if let (Some(Value::Array(present)), Value::Array(unwanted)) = (original.get_mut(field), unwanted) {
        let unwanted: HashSet<&Value> = unwanted.iter().collect();
        present.retain(|element| !unwanted.contains(element));
    }
}

/// `$retainKeys`: all other fields of the original go.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Status> {
    let bad = || Status::bad_request("invalid patch format of retainKeys");
    let Some(keys) = patch.shift_remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(bad()) };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let is_kept = |name: &str| keys.contains(name);
    let is_directive = |name: &str| name.starts_with(DELETE_FROM_LIST) || name.starts_with(SET_ORDER);
    let is_covered =
        |(name, value): (&String, &Value)| value.is_null() || is_directive(name) || is_kept(name);
    if !patch.iter().all(is_covered) {
        return Err(bad());
    }
    original.retain(|name, _| is_kept(name));
    Ok(())
}

/// `$setElementOrder/FIELD`: merges the lists that have one, and brings their elements into that order.
fn set_element_orders(original: &mut Object, patch: &mut Object, shape: Shape) -> Result<(), Status> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let order = patch.shift_remove(&directive).unwrap_or_default();
        let Some(name) = target(&directive, SET_ORDER).transpose()? else { continue };
        let Value::Array(order) = order else {
            return Err(Status::unclassified("expected a []interface {}, but received another value"));
        };
        let value = patch.shift_remove(name);
        if let Some(list) = set_order(original.get(name), value, &order, name, shape)? {
            original.insert(name.into(), Value::Array(list));
        }
    }
    Ok(())
}

/// The list of a field in the order that the patch asks for; nothing when neither side has the field.
fn set_order(
    original: Option<&Value>,
    patch: Option<Value>,
    order: &[Value],
    name: &str,
    shape: Shape,
) -> Result<Option<Vec<Value>>, Status> {
    let list = |value: Value| match value {
        Value::Array(items) => Ok(items),
        _ => Err(Status::unclassified("expected a []interface {}, but received another value")),
    };
    let (field, inner) = shape.field(name);
    let identity = Identity { merge_key: field.and_then(|field| field.merge_key) };
    let original = original.cloned().map(list).transpose()?;
    let patch = patch.map(list).transpose()?;
    if let Some(patch) = &patch {
        check_order(patch, order, identity)?;
    }
    let server_order = original.clone().unwrap_or_default();
    let merged = match (original, patch, field) {
        (None, None, _) => return Ok(None),
        (Some(original), None, _) => original,
        (None, Some(patch), _) => patch.into_iter().filter_map(without_directives).collect(),
        (Some(original), Some(patch), Some(field)) if field.patch_merge => {
            merge_list(original, patch, field, inner.element())?
        }
        (Some(_), Some(patch), _) => patch,
    };
    normalize(merged, order, &server_order, identity).map(Some)
}

/// The patch's elements must stand in the order that it asks for.
fn check_order(patch: &[Value], order: &[Value], identity: Identity<'_>) -> Result<(), Status> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let plain: Vec<&Value> = patch.iter().filter(|element| element.get(PATCH).is_none()).collect();
    let mut wanted = plain.iter().peekable();
    for place in order {
        if wanted.peek().is_some_and(|element| identity.same(element, place)) {
            wanted.next();
        }
    }
    if wanted.peek().is_none() {
        return Ok(());
    }
    let (patch, order) = (Value::from(patch), Value::from(order));
    let (patch, order) = (super::directive::go_text(&patch), super::directive::go_text(&order));
    Err(Status::unclassified(format!(
        "The order in patch list:\n{patch}\n doesn't match {SET_ORDER} list:\n{order}\n"
    )))
}

fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    field: &'static Field,
    element: Shape,
) -> Result<Vec<Value>, Status> {
    let Some(first) = original.first().or(patch.first()) else { return Ok(original) };
    if first.is_array() {
        return Err(Status::unprocessable());
    }
    let is_map = first.is_object();
    if original.iter().chain(&patch).any(|one| one.is_object() != is_map || one.is_array()) {
        let lists = Value::from(vec![Value::from(original), Value::from(patch)]);
        let lists = super::directive::go_text(&lists);
        return Err(Status::unclassified(format!("list element types are not identical: {lists}")));
    }
    if !is_map {
        return merge_scalars(original, patch);
    }
    let Some(key) = field.merge_key else {
        let name = field.name;
        return Err(Status::unclassified(format!("cannot merge lists without merge key for {name}")));
    };
    let identity = Identity { merge_key: Some(key) };
    let (server, patch) = apply_element_directives(original, patch, key)?;
    let mut merged = server.clone();
    let mut places = identity.places(&server);
    for value in &patch {
        let Value::Object(fields) = value else { continue };
        if !fields.contains_key(key) {
            return Err(no_merge_key(fields, key));
        }
        match places.of(value) {
            Some(index) => {
                let present = merged[index].take().as_object().cloned().unwrap_or_default();
                merged[index] = Value::Object(merge_map(present, fields.clone(), element)?);
            }
            None => {
                places.add(value, merged.len());
                merged.push(value.clone());
            }
        }
    }
    normalize(merged, &patch, &server, identity)
}

fn merge_scalars(original: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, Status> {
    let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
    let mut known = HashSet::new();
    for element in original.iter().chain(&patch) {
        if known.insert(element) {
            merged.push(element.clone());
        }
    }
    normalize(merged, &patch, &original, Identity { merge_key: None })
}

/// Carries out `$patch: delete` and `$patch: replace` of elements. Gives the list to merge into and what is
/// left of the patch.
fn apply_element_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Status> {
    let mut plain = Vec::new();
    let mut replaces = false;
    let mut deleted = HashSet::new();
    for element in patch {
        let Value::Object(fields) = &element else { continue };
        match fields.get(PATCH) {
            None => plain.push(element),
            Some(directive) if directive == "delete" => {
                let unwanted = fields.get(key).ok_or_else(|| no_merge_key(fields, key))?;
                deleted.insert(unwanted.clone());
            }
            Some(directive) if directive == "replace" => replaces = true,
            Some(directive) if directive == "merge" => {
                return Err(Status::unclassified("merging lists cannot yet be specified in the patch"));
            }
            Some(directive) => return Err(bad_patch_type(directive, fields)),
        }
    }
    original.retain(|one| one.get(key).is_none_or(|value| !deleted.contains(value)));
    Ok(if replaces { (plain, Vec::new()) } else { (original, plain) })
}

//! What absent and empty values become when an object is written.

use everynode_model::{Object, Value};

use crate::schema::{Field, Kind, Omit, Type};

/// The value that the API writes for a field that nobody set.
pub fn zero(kind: &Kind) -> Value {
    match kind {
        Kind::String => "".into(),
        Kind::Bool => false.into(),
        Kind::Int32 | Kind::Int64 | Kind::Float64 | Kind::IntOrString => 0.into(),
        Kind::Quantity => "0".into(),
        Kind::Duration => "0s".into(),
        Kind::Struct(id) => Value::Object(object(id.get(), Object::new(), Vec::new())),
        Kind::Bytes | Kind::Time | Kind::MicroTime | Kind::Any | Kind::StructOrAny(_) => Value::Null,
        Kind::List(_) | Kind::Map(_) | Kind::Pointer(_) => Value::Null,
    }
}

/// Puts the fields of a struct into its order, with those added that are always written and those left out
/// that are empty. `values` holds one value per field, null where it is not set; `object` holds what comes
/// in front (kind and apiVersion).
pub fn object(ty: &Type, mut object: Object, values: Vec<Value>) -> Object {
    let mut values = values.into_iter();
    for field in &ty.fields {
        if let Some(value) = written(field, values.next().unwrap_or_default()) {
            object.insert(field.name.into(), value);
        }
    }
    object
}

/// What is written for a field, if anything.
fn written(field: &Field, value: Value) -> Option<Value> {
    match field.omit {
        Omit::Zero if value.is_null() => None,
        Omit::Zero => Some(value),
        Omit::Empty if is_struct(&field.kind) => {
            Some(if value.is_null() { zero(&field.kind) } else { value })
        }
        Omit::Empty if value.is_null() || is_empty(&field.kind, &value) => None,
        Omit::Empty => Some(value),
        Omit::Never if value.is_null() => Some(zero(&field.kind)),
        // Storage does not tell an empty list from an absent one.
        Omit::Never if is_list_or_map(&field.kind) && is_empty(&field.kind, &value) => Some(Value::Null),
        Omit::Never => Some(value),
    }
}

/// Structs, and the kinds that are structs inside the API server, are never left out for being empty.
fn is_struct(kind: &Kind) -> bool {
    use Kind::{Any, Duration, IntOrString, MicroTime, Quantity, Struct, StructOrAny, Time};
    matches!(kind, Struct(_) | StructOrAny(_) | Quantity | IntOrString | Time | MicroTime | Duration | Any)
}

fn is_list_or_map(kind: &Kind) -> bool {
    matches!(kind, Kind::List(_) | Kind::Map(_))
}

fn is_empty(kind: &Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Pointer(_), _) => false,
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Bool(set)) => !set,
        (_, Value::Number(number)) => number.as_f64() == Some(0.0),
        (_, Value::Array(items)) => items.is_empty(),
        (_, Value::Object(fields)) => fields.is_empty(),
        (_, Value::Null) => true,
    }
}

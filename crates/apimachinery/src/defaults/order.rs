//! The order of fields in the API's output.

use everynode_model::{Object, Value};

use crate::schema::{Kind, Omit, Type, type_named};

/// Puts the fields of `value` into the order of the schema and sorts its maps, as the API writes them.
/// Fields that defaults or preparation added stand at the end until this runs.
pub fn order(ty: &Type, value: &mut Value) {
    let Some(object) = value.as_object_mut() else { return };
    let rank = |name: &str| match (ty.is_object, name) {
        (true, "kind") => 0,
        (true, "apiVersion") => 1,
        _ => ty.fields.iter().position(|field| field.name == name).map_or(usize::MAX, |at| at + 2),
    };
    if !object.keys().is_sorted_by_key(|name| rank(name)) {
        sort_by(object, |name| rank(name));
    }
    for field in &ty.fields {
        if let Some(inner) = object.get_mut(field.name) {
            order_kind(&field.kind, inner);
        }
    }
}

fn order_kind(kind: &Kind, value: &mut Value) {
    match kind.pointee() {
        Kind::Struct(id) | Kind::StructOrAny(id) => order(id.get(), value),
        Kind::List(inner) => {
            for item in value.as_array_mut().into_iter().flatten() {
                order_kind(inner, item);
            }
        }
        Kind::Map(inner) => {
            let Some(object) = value.as_object_mut() else { return };
            if !object.keys().is_sorted() {
                object.sort_keys();
            }
            for item in object.values_mut() {
                order_kind(inner, item);
            }
        }
        _ => {}
    }
}

fn sort_by(object: &mut Object, rank: impl Fn(&str) -> usize) {
    let mut fields: Vec<_> = std::mem::take(object).into_iter().collect();
    fields.sort_by_key(|(name, _)| rank(name));
    *object = fields.into_iter().collect();
}

/// What the API writes for a type with nothing in it, such as an empty status.
pub(crate) fn zero(type_name: &str) -> Value {
    type_named(type_name).map_or(Value::Null, zero_of)
}

fn zero_of(ty: &Type) -> Value {
    let fields = ty.fields.iter().filter_map(|field| {
        let value = match (&field.kind, field.omit) {
            (_, Omit::Zero) => return None,
            (Kind::Struct(id), _) => zero_of(id.get()),
            (Kind::Time | Kind::MicroTime, _) => Value::Null,
            (_, Omit::Empty) => return None,
            (Kind::String | Kind::Quantity | Kind::Duration, _) => "".into(),
            (Kind::Int32 | Kind::Int64 | Kind::Float64 | Kind::IntOrString, _) => 0.into(),
            (Kind::Bool, _) => false.into(),
            (_, Omit::Never) => Value::Null,
        };
        Some((field.name.to_owned(), value))
    });
    Value::Object(fields.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_stand_in_the_order_of_the_schema_and_maps_are_sorted() {
        let ty = type_named("apps.v1.DaemonSet").expect("DaemonSet");
        let mut value = json!({
            "spec": {"template": {"metadata": {"labels": {"b": "1", "a": "2"}}}, "selector": {}},
            "metadata": {"labels": {}, "name": "x"}, "apiVersion": "apps/v1", "kind": "DaemonSet"
        });
        order(ty, &mut value);
        assert_eq!(
            value.to_string(),
            concat!(
                r#"{"kind":"DaemonSet","apiVersion":"apps/v1","metadata":{"name":"x","labels":{}},"#,
                r#""spec":{"selector":{},"template":{"metadata":{"labels":{"a":"2","b":"1"}}}}}"#
            )
        );
    }
}

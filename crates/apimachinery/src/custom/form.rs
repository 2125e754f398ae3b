//! The form in which the API writes custom resources.

use everynode_model::Value;

/// Brings numbers into the form in which the API writes them; none when the value is nested too deeply.
pub fn normalize(value: &mut Value, depth: usize) -> Option<()> {
    let inner = depth.checked_sub(1)?;
    match value {
        Value::Number(number) if number.as_i64().is_none() => {
            let float = number.as_f64()?;
            if float.fract() == 0.0 && float.abs() < 1e15 {
                *value = (float as i64).into();
            }
        }
        Value::Array(items) => {
            for item in items {
                normalize(item, inner)?;
            }
        }
        Value::Object(fields) => {
            for item in fields.values_mut() {
                normalize(item, inner)?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Puts kind, apiVersion and metadata in front and sorts the rest. The store finds the version of an object
/// because nothing stands before its metadata.
pub fn order(object: &mut Value) {
    let Value::Object(fields) = object else { return };
    let rank =
        |name: &str| ["kind", "apiVersion", "metadata"].iter().position(|one| *one == name).unwrap_or(3);
    for (name, value) in fields.iter_mut() {
        if name == "metadata" {
            if let Some(ty) = crate::schema::type_named("meta.v1.ObjectMeta") {
                crate::defaults::order(ty, value);
            }
        } else {
            sort(value);
        }
    }
    let mut sorted: Vec<_> = std::mem::take(fields).into_iter().collect();
    sorted.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
    *fields = sorted.into_iter().collect();
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(sort);
            if !fields.keys().is_sorted() {
                fields.sort_keys();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

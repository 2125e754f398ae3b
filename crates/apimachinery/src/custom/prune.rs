//! Taking out what the schema does not name, and filling in what it gives a default for.

use everynode_model::{Object, Value, encode};

use super::path::enter;
use super::schema::{Additional, ROOT_FIELDS, Schema};
use crate::decode::{DecodeError, decode};
use crate::schema::type_named;

/// What pruning found.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Paths of the fields that were taken out.
    pub unknown: Vec<String>,
    /// The first metadata of an embedded object that cannot be read.
    pub mistake: Option<String>,
}

/// Takes out the fields of an object of the API that its schema does not name.
pub fn prune(schema: &Schema, object: &mut Value) -> Pruned {
    let mut walk = Walk { path: String::new(), pruned: Pruned::default() };
    walk.fields(schema, object, true);
    walk.pruned
}

/// The same for any value of a schema.
pub fn prune_value(schema: &Schema, value: &mut Value) -> Pruned {
    let mut walk = Walk { path: String::new(), pruned: Pruned::default() };
    walk.value(schema, value);
    walk.pruned
}

struct Walk {
    path: String,
    pruned: Pruned,
}

impl Walk {
    fn within(&mut self, step: &str, visit: impl FnOnce(&mut Walk)) {
        let length = enter(&mut self.path, step);
        visit(self);
        self.path.truncate(length);
    }

    fn value(&mut self, schema: &Schema, value: &mut Value) {
        match value {
            Value::Array(items) => {
                let Some(of) = &schema.items else { return };
                for (at, item) in items.iter_mut().enumerate() {
                    self.within(&format!("[{at}]"), |walk| walk.value(of, item));
                }
            }
            Value::Object(_) => self.fields(schema, value, schema.embedded),
            _ => {}
        }
    }

    fn fields(&mut self, schema: &Schema, value: &mut Value, is_root: bool) {
        let Value::Object(object) = value else { return };
        let keeps = schema.preserve_unknown || matches!(schema.additional, Additional::Any(true));
        let is_kept =
            |name: &str| keeps || schema.field(name).is_some() || is_root && ROOT_FIELDS.contains(&name);
        let unknown: Vec<String> = object.keys().filter(|name| !is_kept(name)).cloned().collect();
        for name in unknown {
            object.shift_remove(&name);
            self.within(&name, |walk| walk.pruned.unknown.push(walk.path.clone()));
        }
        for (name, inner) in object.iter_mut() {
            let is_metadata = is_root && name == "metadata";
            if is_metadata && !self.path.is_empty() {
                self.within(name, |walk| walk.metadata(inner));
            } else if let Some(of) = schema.field(name).filter(|_| !is_metadata) {
                self.within(name, |walk| walk.value(of, inner));
            }
        }
    }

    /// The metadata of an embedded object is read as that of any object.
    fn metadata(&mut self, value: &mut Value) {
        match metadata(value) {
            Ok((read, unknown)) => {
                let unknown = unknown.iter().map(|field| format!("{}.{field}", self.path));
                self.pruned.unknown.extend(unknown);
                *value = read;
            }
            Err(error) => {
                let shown = encode::to_text(value);
                let text = format!("{}: Invalid value: {shown}: {error}", self.path);
                self.pruned.mistake.get_or_insert(text);
            }
        }
    }
}

/// Reads metadata as the API does; gives it in its normal form with the names of unknown fields.
pub fn metadata(value: &Value) -> Result<(Value, Vec<String>), DecodeError> {
    let Some(ty) = type_named("meta.v1.ObjectMeta") else { return Ok((value.clone(), Vec::new())) };
    let decoded = decode(ty, &encode::to_vec(value))?;
    let named = decoded.problems.iter().filter_map(|problem| problem.strip_prefix("unknown field \""));
    let unknown = named.map(|field| field.trim_end_matches('"').to_owned()).collect();
    Ok((decoded.value, unknown))
}

/// Fills in defaults, and takes out nulls that stand for nothing.
pub fn fill(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(object) => fill_fields(schema, object),
        Value::Array(items) => {
            let Some(of) = &schema.items else { return };
            for item in items {
                if item.is_null()
                    && !of.nullable
                    && let Some(default) = &of.default
                {
                    *item = default.clone();
                }
                fill(of, item);
            }
        }
        _ => {}
    }
}

fn fill_fields(schema: &Schema, object: &mut Object) {
    object.retain(|name, value| {
        let stays = |of: &Schema| !value.is_null() || of.nullable || of.default.is_some();
        schema.field(name).is_none_or(stays)
    });
    for (name, of) in &schema.properties {
        let Some(default) = &of.default else { continue };
        if object.get(name).is_none_or(|value| value.is_null() && !of.nullable) {
            object.insert(name.clone(), default.clone());
        }
    }
    for (name, value) in object.iter_mut() {
        let Some(of) = schema.field(name) else { continue };
        if value.is_null()
            && !of.nullable
            && let Some(default) = &of.default
        {
            *value = default.clone();
        }
        fill(of, value);
    }
}

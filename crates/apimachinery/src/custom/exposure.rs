//! What rules see of a schema, and how large its values may be.

use std::sync::LazyLock;

use everynode_cel::{Field, Identity, Kind, Meaning, Type};
use everynode_model::Value;

use super::schema::{Additional, Limits, ROOT_FIELDS, Schema};

/// The greatest request, in bytes.
pub const MAX_REQUEST_BYTES: u64 = 3 << 20;

/// The greatest text in a request, which stands between quotes.
const MAX_TEXT: u64 = MAX_REQUEST_BYTES - 2;

/// The fields that every object has, as far as rules see them.
static ROOT: LazyLock<Schema> = LazyLock::new(|| {
    let of = |kind: &str| Schema { kind: kind.into(), ..Schema::default() };
    let text = || of("string");
    let metadata = [("name", text()), ("generateName", text())].map(|(name, ty)| (name.to_owned(), ty));
    let metadata = Schema { properties: metadata.into(), ..of("object") };
    let fields = [("apiVersion", text()), ("kind", text()), ("metadata", metadata)];
    Schema { properties: fields.map(|(name, ty)| (name.to_owned(), ty)).into(), ..of("object") }
});

impl Type for Schema {
    fn kind(&self) -> Kind {
        if self.int_or_string {
            return Kind::Unknown;
        }
        match (self.kind.as_str(), self.format.as_str()) {
            ("boolean", _) => Kind::Bool,
            ("integer", _) => Kind::Int,
            ("number", _) => Kind::Double,
            ("string", "date" | "date-time") => Kind::Text(Meaning::Moment),
            ("string", "duration") => Kind::Text(Meaning::Duration),
            ("string", "byte") => Kind::Text(Meaning::Bytes),
            ("string", _) => Kind::Text(Meaning::Plain),
            ("array", _) => Kind::List,
            ("object", _) if self.additional_schema().is_some() => Kind::Map,
            ("object", _) => Kind::Object,
            _ => Kind::Unknown,
        }
    }

    fn field(&self, name: &str) -> Field<'_> {
        let common = || ROOT.properties.get(name);
        let found = match self.is_root || self.embedded {
            true if ROOT_FIELDS.contains(&name) => common(),
            _ => self.field(name),
        };
        match found {
            Some(schema) if is_exposed(schema) => Field::Typed(schema),
            _ => Field::Undefined,
        }
    }

    fn element(&self) -> Option<&dyn Type> {
        let schema = self.items.as_deref().or_else(|| self.additional_schema())?;
        Some(schema)
    }

    fn max_size(&self) -> u64 {
        let Limits { max_length, max_items, max_properties, .. } = &self.limits;
        let limit = |limit: &Option<usize>| limit.map(|limit| limit as u64);
        // A character has up to four bytes.
        let characters = limit(max_length).map(|length| length.saturating_mul(4));
        let room = MAX_REQUEST_BYTES - 2;
        match Type::kind(self) {
            Kind::Unknown => characters.unwrap_or(MAX_TEXT),
            Kind::Text(Meaning::Plain) => characters.or_else(|| longest_value(self)).unwrap_or(MAX_TEXT),
            Kind::Text(Meaning::Bytes) => limit(max_length).unwrap_or(MAX_TEXT),
            Kind::Text(Meaning::Moment) if self.format == "date" => 12,
            Kind::Text(Meaning::Moment | Meaning::Duration) => 32,
            Kind::List => {
                limit(max_items).unwrap_or_else(|| room / (self.items.as_deref().map_or(0, min_size) + 1))
            }
            Kind::Map => limit(max_properties)
                .unwrap_or_else(|| room / (self.additional_schema().map_or(0, min_size) + 6)),
            Kind::Bool | Kind::Int | Kind::Double | Kind::Object => 0,
        }
    }

    fn identity(&self) -> Identity<'_> {
        match self.list_type.as_str() {
            "set" => Identity::Value,
            "map" => Identity::Keys(&self.list_map_keys),
            _ => Identity::Place,
        }
    }
}

/// Whether rules see values of a schema: those of which the type is known.
pub fn is_exposed(schema: &Schema) -> bool {
    match schema.kind.as_str() {
        _ if schema.int_or_string => true,
        "array" => schema.items.as_deref().is_some_and(is_exposed),
        "object" => match &schema.additional {
            Additional::Of(of) => is_exposed(of),
            _ => true,
        },
        kind => !kind.is_empty(),
    }
}

fn longest_value(schema: &Schema) -> Option<u64> {
    let texts = schema.limits.values.iter().filter_map(Value::as_str);
    (!schema.limits.values.is_empty()).then(|| texts.map(str::len).max().unwrap_or_default() as u64)
}

/// The bytes that a value has at least.
pub fn min_size(schema: &Schema) -> u64 {
    match Type::kind(schema) {
        Kind::Unknown | Kind::Int | Kind::Double => 1,
        Kind::Bool => 4,
        Kind::Text(Meaning::Plain | Meaning::Bytes) | Kind::List | Kind::Map => 2,
        Kind::Text(Meaning::Duration) => 3,
        Kind::Text(Meaning::Moment) if schema.format == "date" => 12,
        Kind::Text(Meaning::Moment) => 21,
        Kind::Object => schema.min_object_size,
    }
}

/// The bytes of an object with the fields that it must have, and for which there is no default.
pub fn min_object_size(schema: &Schema) -> u64 {
    let field = |name: &String| {
        let field = schema.properties.get(name).filter(|field| field.default.is_none() && is_exposed(field));
        field.map_or(0, |field| name.len() as u64 + min_size(field) + 4)
    };
    2 + schema.limits.required.iter().map(field).sum::<u64>()
}

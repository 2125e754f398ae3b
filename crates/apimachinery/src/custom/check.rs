//! Values against their schema, in the words of the API server.

use base64::Engine as _;
use everynode_model::access::Read;
use everynode_model::{Value, encode, names, time};

use super::path::enter;
use super::schema::{Additional, Schema};
use crate::status::FieldError;

/// Mistakes that are reported of one object.
const MAX_ERRORS: usize = 1_000;

/// Checks a value. What is as it was in `old` is not checked again: a rule that came later does not stand in the
/// way of other changes. The place is the path of the value, and the part of it that sentences leave out.
pub fn check(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    (path, hidden): (&str, &str),
    errors: &mut Vec<FieldError>,
) {
    let mut checker = Checker { path: path.to_owned(), hidden: hidden.len(), errors };
    checker.value(schema, value, old);
}

struct Checker<'a> {
    path: String,
    hidden: usize,
    errors: &'a mut Vec<FieldError>,
}

/// The name of a value's type in sentences.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
    }
}

fn is_integer(value: &Value) -> bool {
    value.as_i64().is_some() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

impl Checker<'_> {
    fn within(&mut self, step: &str, visit: impl FnOnce(&mut Self)) {
        let length = enter(&mut self.path, step);
        visit(self);
        self.path.truncate(length);
    }

    /// The path as sentences have it.
    fn name(&self) -> &str {
        self.path.get(self.hidden..).unwrap_or_default()
    }

    fn push(&mut self, error: FieldError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn invalid(&mut self, value: impl Into<Value>, rule: &str) {
        let detail = format!("{} in body {rule}", self.name());
        self.push(FieldError::invalid(self.path.as_str(), value, &detail));
    }

    /// A sentence about a value that has no field of its own.
    fn about(&mut self, detail: &str) {
        self.push(FieldError::invalid("<nil>", "", detail));
    }

    fn value(&mut self, schema: &Schema, value: &Value, old: Option<&Value>) {
        if value.is_null() && schema.nullable || old == Some(value) {
            return;
        }
        self.kind(schema, value);
        self.combinations(schema, value);
        match value {
            Value::String(text) => self.text(schema, text),
            Value::Number(_) => self.number(schema, value),
            Value::Array(items) => self.list(schema, items, old),
            Value::Object(fields) => self.object(schema, fields, old),
            Value::Null | Value::Bool(_) => {}
        }
        let values = &schema.limits.values;
        if !values.is_empty() && !values.iter().any(|one| same(one, value)) {
            let supported: Vec<String> = values.iter().map(plain).collect();
            self.push(FieldError::not_supported(self.path.as_str(), value.clone(), &supported));
        }
    }

    fn kind(&mut self, schema: &Schema, value: &Value) {
        let found = kind_of(value);
        let refuse = |this: &mut Self, wanted: &str, found: &str| {
            let detail = format!("{} in body must be of type {wanted}: \"{found}\"", this.name());
            this.push(FieldError::type_invalid(this.path.as_str(), found, &detail));
        };
        if schema.int_or_string {
            if !matches!(found, "integer" | "string") {
                refuse(self, "integer,string", found);
            }
            return;
        }
        let fits = match schema.kind.as_str() {
            "" => true,
            "number" => matches!(found, "integer" | "number"),
            wanted => wanted == found,
        };
        let has_format = !schema.format.is_empty() && is_known_format(&schema.kind, &schema.format);
        match value {
            _ if fits && !matches!(value, Value::Number(_) | Value::String(_)) => {}
            Value::String(text) if fits => {
                if has_format && !fits_format(&schema.format, text) {
                    let detail =
                        format!("{} in body must be of type {}: \"{text}\"", self.name(), schema.format);
                    self.push(FieldError::type_invalid(self.path.as_str(), text.as_str(), &detail));
                }
            }
            _ if fits => {}
            Value::Number(_) if has_format => refuse(self, &schema.format, "float64"),
            _ if has_format && !value.is_string() && !value.is_array() => refuse(self, &schema.format, ""),
            _ => refuse(self, &schema.kind, found),
        }
    }

    fn combinations(&mut self, schema: &Schema, value: &Value) {
        let quoted = everynode_model::go_quote(self.name());
        for one in &schema.all_of {
            let mut found = self.errors_of(one, value);
            self.errors.append(&mut found);
        }
        if !schema.any_of.is_empty() {
            let (valid, best) = self.alternatives(&schema.any_of, value);
            if valid == 0 {
                self.about(&format!("{quoted} must validate at least one schema (anyOf)"));
                self.errors.extend(best);
            }
        }
        if !schema.one_of.is_empty() {
            let (valid, best) = self.alternatives(&schema.one_of, value);
            if valid != 1 {
                let found = match valid {
                    0 => "Found none valid".to_owned(),
                    many => format!("Found {many} valid alternatives"),
                };
                self.about(&format!("{quoted} must validate one and only one schema (oneOf). {found}"));
                self.errors.extend(best);
            }
        }
        if let Some(not) = &schema.not
            && self.errors_of(not, value).is_empty()
        {
            self.about(&format!("{quoted} must not validate the schema (not)"));
        }
    }

    /// How many of the schemas hold, and the mistakes of the one that comes closest when none does.
    fn alternatives(&self, schemas: &[Schema], value: &Value) -> (usize, Vec<FieldError>) {
        let found: Vec<_> = schemas.iter().map(|one| self.errors_of(one, value)).collect();
        let valid = found.iter().filter(|errors| errors.is_empty()).count();
        let best = if valid == 0 { found.into_iter().min_by_key(Vec::len) } else { None };
        (valid, best.unwrap_or_default())
    }

    fn errors_of(&self, schema: &Schema, value: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut inner = Checker { path: self.path.clone(), hidden: self.hidden, errors: &mut errors };
        inner.value(schema, value, None);
        errors
    }

    fn text(&mut self, schema: &Schema, text: &str) {
        let limits = &schema.limits;
        let length = text.chars().count();
        // The API stops at the first mistake of a text.
        if let Some(most) = limits.max_length.filter(|most| length > *most) {
            self.push(FieldError::too_long(self.path.as_str(), most));
        } else if let Some(least) = limits.min_length.filter(|least| length < *least) {
            self.invalid(text, &format!("should be at least {least} chars long"));
        } else if let Some((pattern, _)) = limits.pattern.as_ref().filter(|(_, regex)| !regex.is_match(text))
        {
            self.invalid(text, &format!("should match '{pattern}'"));
        }
    }

    fn number(&mut self, schema: &Schema, value: &Value) {
        let number = value.as_f64().unwrap_or_default();
        let limits = &schema.limits;
        let range = match (schema.kind.as_str(), schema.format.as_str()) {
            ("integer", "int32") => Some("int32"),
            ("integer", "int64") => Some("int64"),
            _ => None,
        };
        if let Some(format) = range {
            let fits = match format {
                "int32" => (-2_147_483_648.0..=2_147_483_647.0).contains(&number),
                _ => value.as_i64().is_some(),
            };
            if !fits || number.fract() != 0.0 {
                let name = self.name();
                self.about(&format!("Checked value must be of type integer with format {format} in {name}"));
            }
        }
        if let Some(factor) = limits.multiple_of.as_ref().and_then(Value::as_f64) {
            let times = number / factor;
            if factor > 0.0 && (times - times.round()).abs() > 1e-9 {
                self.invalid(value.clone(), &format!("should be a multiple of {factor}"));
            }
        }
        if let Some(most) = &limits.maximum {
            let most_number = most.as_f64().unwrap_or(f64::MAX);
            if limits.exclusive_maximum && number >= most_number {
                self.invalid(value.clone(), &format!("should be less than {most}"));
            } else if number > most_number {
                self.invalid(value.clone(), &format!("should be less than or equal to {most}"));
            }
        }
        if let Some(least) = &limits.minimum {
            let least_number = least.as_f64().unwrap_or(f64::MIN);
            if limits.exclusive_minimum && number <= least_number {
                self.invalid(value.clone(), &format!("should be greater than {least}"));
            } else if number < least_number {
                self.invalid(value.clone(), &format!("should be greater than or equal to {least}"));
            }
        }
    }

    fn list(&mut self, schema: &Schema, items: &[Value], old: Option<&Value>) {
        if let Some(of) = &schema.items {
            for (at, item) in items.iter().enumerate() {
                let before = old.and_then(|old| counterpart(schema, item, old));
                self.within(&format!("[{at}]"), |this| this.value(of, item, before));
            }
        }
        let limits = &schema.limits;
        if let Some(least) = limits.min_items.filter(|least| items.len() < *least) {
            self.invalid(items.len(), &format!("should have at least {least} items"));
        }
        if let Some(most) = limits.max_items.filter(|most| items.len() > *most) {
            self.push(FieldError::too_many(self.path.as_str(), items.len(), most));
        }
    }

    fn object(&mut self, schema: &Schema, fields: &everynode_model::Object, old: Option<&Value>) {
        let limits = &schema.limits;
        if let Some(least) = limits.min_properties.filter(|least| fields.len() < *least) {
            self.invalid(fields.len(), &format!("should have at least {least} properties"));
        }
        if let Some(most) = limits.max_properties.filter(|most| fields.len() > *most) {
            self.push(FieldError::too_many(self.path.as_str(), fields.len(), most));
        }
        for name in limits.required.iter().filter(|name| !fields.contains_key(*name)) {
            self.within(name, |this| this.push(FieldError::required(this.path.as_str(), "")));
        }
        for (name, value) in fields {
            if let Some(of) = schema.field(name) {
                let before = old.and_then(|old| old.get(name));
                self.within(name, |this| this.value(of, value, before));
            }
        }
    }
}

/// Whether two values are the same; numbers by what they are, not by how they are written.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| encode::to_text(value), str::to_owned)
}

/// Formats of texts that the API knows.
const FORMATS: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Whether the API knows a format of values of a kind; dashes in it do not matter.
pub fn is_known_format(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => FORMATS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Formats that are checked; others are words for people.
fn fits_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => time::parse(&text.to_uppercase()).is_ok(),
        "date" => text.len() == 10 && time::parse(&format!("{text}T00:00:00Z")).is_ok(),
        "duration" => everynode_model::duration::parse(text).is_some(),
        "byte" => is_base64(text),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, bits)| {
            let most = match address.parse::<std::net::IpAddr>() {
                Ok(address) if address.is_ipv4() => 32,
                Ok(_) => 128,
                Err(_) => return false,
            };
            bits.parse::<u8>().is_ok_and(|bits| bits <= most)
        }),
        "uuid" => is_uuid(text),
        _ => true,
    }
}

fn is_base64(text: &str) -> bool {
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_uuid(text: &str) -> bool {
    let plain: Vec<char> = text.chars().filter(|c| *c != '-').collect();
    plain.len() == 32 && plain.iter().all(char::is_ascii_hexdigit)
}

/// Checks that the elements of sets and map lists are told apart, and that embedded objects say what they are.
pub fn check_lists(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &mut String,
    errors: &mut Vec<FieldError>,
) {
    if old == Some(value) {
        return;
    }
    let length = path.len();
    match value {
        Value::Array(items) => {
            told_apart(schema, items, path, errors);
            let Some(of) = &schema.items else { return };
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                let before = old.and_then(|old| counterpart(schema, item, old));
                check_lists(of, item, before, path, errors);
                path.truncate(length);
            }
        }
        Value::Object(fields) => {
            if schema.embedded {
                embedded(value, path, errors);
            }
            for (name, inner) in fields {
                let Some(of) = schema.field(name) else { continue };
                match &schema.additional {
                    Additional::Of(_) => path.push_str(&format!("[{name}]")),
                    _ if length == 0 => path.push_str(name),
                    _ => path.push_str(&format!(".{name}")),
                }
                let before = old.and_then(|old| old.get(name));
                check_lists(of, inner, before, path, errors);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// The element of the list as it was that stands for the same thing; only the elements of `map` lists are told apart.
pub fn counterpart<'a>(schema: &Schema, item: &Value, old: &'a Value) -> Option<&'a Value> {
    if schema.list_type != "map" {
        return None;
    }
    let keys = &schema.list_map_keys;
    old.as_array()?.iter().find(|one| keys.iter().all(|key| one.get(key) == item.get(key)))
}

fn told_apart(schema: &Schema, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let key = |item: &Value| match schema.list_type.as_str() {
        "set" => Some(item.clone()),
        "map" => {
            let fields = item.as_object()?;
            let entry = |key: &String| Some((key.clone(), fields.get(key)?.clone()));
            Some(Value::Object(schema.list_map_keys.iter().filter_map(entry).collect()))
        }
        _ => None,
    };
    let mut seen = std::collections::HashSet::new();
    let mut reported = std::collections::HashSet::new();
    if schema.list_type == "map"
        && let Some((at, item)) =
            items.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null())
    {
        let why = "must be an object for an array of list-type map";
        return errors.push(FieldError::invalid(format!("{path}[{at}]"), item.clone(), why));
    }
    for (at, item) in items.iter().enumerate() {
        let Some(key) = key(item) else { continue };
        let text = encode::canonical(&key);
        if !seen.insert(text.clone()) && reported.insert(text) && errors.len() < MAX_ERRORS {
            errors.push(FieldError::duplicate(format!("{path}[{at}]"), key, ""));
        }
    }
}

fn embedded(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for field in ["apiVersion", "kind"] {
        let (text, path) = (value.text(field), format!("{path}.{field}"));
        match field {
            _ if text.is_empty() => errors.push(FieldError::required(path, "")),
            "apiVersion" if text.matches('/').count() > 1 => {
                let why = format!("unexpected GroupVersion string: {text}");
                errors.push(FieldError::invalid(path, text, &why));
            }
            "apiVersion" => {}
            _ => {
                for message in names::dns_1035_label(&text.to_lowercase()) {
                    let why = format!("may have mixed case, but should otherwise match: {message}");
                    errors.push(FieldError::invalid(path.as_str(), text, &why));
                }
            }
        }
    }
}

//! Decoding driven by the schema.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_model::quantity::Quantity;
use everynode_model::time;
use everynode_model::{Object, Value};

use super::build;
use super::decoded::{Decode, DecodeError, Decoded};
use crate::json::{Parser, Token};
use crate::schema::{Kind, Type};

impl Decode for &'static Type {
    fn decode(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        decode(self, bytes)
    }
}

/// Decodes JSON into the form in which the API writes an object of type `ty`.
///
/// # Errors
/// The bytes are not JSON, or a value does not fit its field.
pub fn decode(ty: &'static Type, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    Decoder::new(bytes).decode(ty)
}

/// Brings a value, such as the result of a patch, into the form in which the API writes it. Unknown fields
/// are dropped in silence.
///
/// # Errors
/// A value does not fit its field.
pub fn normalize(ty: &'static Type, value: &Value) -> Result<Value, DecodeError> {
    decode(ty, &everynode_model::encode::to_vec(value)).map(|decoded| decoded.value)
}

/// Problems of strict decoding that are reported.
const MAX_PROBLEMS: usize = 100;

/// One step of the path to a value.
enum Step {
    Field { ty: &'static Type, name: &'static str },
    Key(String),
    Index(usize),
}

/// The decoder: the cursor, the path to it, and what was found wrong so far. A value of the wrong type does
/// not end the decoding, because malformed JSON further on takes precedence, as with the API server.
pub struct Decoder<'a> {
    parser: Parser<'a>,
    path: Vec<Step>,
    /// The first mistake that ends decoding: a value whose own reader refused it.
    fatal: Option<String>,
    /// The first mistake of type.
    mistake: Option<String>,
    problems: Vec<String>,
}

type Parsed<T> = Result<T, String>;

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        let parser = Parser::new(bytes);
        Decoder { parser, path: Vec::new(), fatal: None, mistake: None, problems: Vec::new() }
    }

    pub fn decode(mut self, ty: &'static Type) -> Result<Decoded, DecodeError> {
        let value = self.top_level(ty).map_err(DecodeError::Syntax)?;
        match self.fatal.or(self.mistake) {
            Some(message) => Err(DecodeError::Type(message)),
            None => Ok(Decoded { value, problems: self.problems }),
        }
    }

    fn top_level(&mut self, ty: &'static Type) -> Parsed<Value> {
        let value = match self.parser.token()? {
            Token::Object => self.object(ty)?,
            Token::Null => {
                self.parser.literal()?;
                Value::Object(build::object(ty, Object::new(), Vec::new()))
            }
            token => {
                self.wrong_type(token.name(), &format!("{}.{}", package(ty), ty.short_name()));
                self.parser.skip()?;
                Value::Null
            }
        };
        self.parser.end()?;
        Ok(value)
    }

    /// Decodes a value. Null stands for what is absent or, after a mistake, useless.
    fn value(&mut self, kind: &Kind) -> Parsed<Value> {
        let token = self.parser.token()?;
        if token == Token::Null {
            self.parser.literal()?;
            return Ok(Value::Null);
        }
        match kind {
            Kind::Pointer(inner) => {
                let value = self.value(inner)?;
                Ok(if value.is_null() { build::zero(inner) } else { value })
            }
            Kind::Struct(id) if token == Token::Object => self.object(id.get()),
            Kind::List(element) if token == Token::Array => self.list(element),
            Kind::Map(element) if token == Token::Object => self.map(element),
            Kind::String if token == Token::String => Ok(self.parser.string()?.into_owned().into()),
            Kind::Bool if token == Token::Bool => Ok((self.parser.literal()? == b't').into()),
            Kind::Int32 | Kind::Int64 if token == Token::Number => {
                let text = self.parser.number()?;
                Ok(self.integer(text, *kind == Kind::Int32))
            }
            Kind::Float64 if token == Token::Number => {
                let text = self.parser.number()?;
                Ok(serde_json::from_str(text).unwrap_or_default())
            }
            Kind::Bytes if token == Token::String => {
                let text = self.parser.string()?;
                Ok(self.bytes(&text))
            }
            Kind::StructOrAny(id) if token == Token::Object => self.object(id.get()),
            Kind::Any | Kind::StructOrAny(_) => self.parser.value(),
            Kind::Quantity => self.quantity(),
            Kind::IntOrString => self.int_or_string(token),
            Kind::Time | Kind::MicroTime | Kind::Duration => self.timed(kind, token),
            _ => {
                self.wrong_type(token.name(), &type_name(kind));
                self.parser.skip()?;
                Ok(Value::Null)
            }
        }
    }

    fn object(&mut self, ty: &'static Type) -> Parsed<Value> {
        let mut values = vec![Value::Null; ty.fields.len()];
        // One bit per field; no type has more than 64.
        let mut seen = 0u64;
        let mut front = [None, None];
        let mut next = 0;
        let mut key = self.parser.first_key()?;
        while let Some(name) = key {
            if let Some(index) = find_field(ty, &name, next) {
                next = index + 1;
                let field = &ty.fields[index];
                let bit = 1u64 << (index % 64);
                if seen & bit != 0 {
                    self.problem("duplicate", &name);
                }
                seen |= bit;
                self.path.push(Step::Field { ty, name: field.name });
                values[index] = self.value(&field.kind)?;
                self.path.pop();
            } else if let (true, "kind" | "apiVersion") = (ty.is_object, &*name) {
                self.front_field(ty, &name, &mut front)?;
            } else {
                self.problem("unknown", &name);
                self.parser.skip()?;
            }
            key = self.parser.next_key()?;
        }
        let mut object = Object::new();
        for (name, value) in ["kind", "apiVersion"].into_iter().zip(front) {
            if let Some(text @ Value::String(_)) = value.filter(|value| value != "") {
                object.insert(name.into(), text);
            }
        }
        Ok(Value::Object(build::object(ty, object, values)))
    }

    /// `kind` and `apiVersion` of an object.
    fn front_field(&mut self, ty: &'static Type, name: &str, front: &mut [Option<Value>; 2]) -> Parsed<()> {
        let (slot, name) = if name == "kind" { (0, "kind") } else { (1, "apiVersion") };
        if front[slot].is_some() {
            self.problem("duplicate", name);
        }
        self.path.push(Step::Field { ty, name });
        front[slot] = Some(self.value(&Kind::String)?);
        self.path.pop();
        Ok(())
    }

    fn list(&mut self, element: &Kind) -> Parsed<Value> {
        let mut items = Vec::new();
        let mut more = self.parser.first_element()?;
        while more {
            self.path.push(Step::Index(items.len()));
            let item = self.value(element)?;
            self.path.pop();
            items.push(if item.is_null() { build::zero(element) } else { item });
            more = self.parser.next_element()?;
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, element: &Kind) -> Parsed<Value> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        let mut sorted = true;
        let mut key = self.parser.first_key()?;
        while let Some(name) = key {
            let item = match element {
                Kind::String => self.map_value(element)?,
                _ => {
                    self.path.push(Step::Key(name.to_string()));
                    let item = self.map_value(element)?;
                    self.path.pop();
                    item
                }
            };
            sorted &= entries.last().is_none_or(|(last, _)| last.as_str() < &*name);
            entries.push((name.into_owned(), item));
            key = self.parser.next_key()?;
        }
        if !sorted {
            self.sort(&mut entries);
        }
        Ok(Value::Object(entries.into_iter().collect()))
    }

    fn map_value(&mut self, element: &Kind) -> Parsed<Value> {
        let item = self.value(element)?;
        Ok(match (item, element) {
            (Value::Null, Kind::Bytes) => "".into(),
            (Value::Null, _) => build::zero(element),
            (item, _) => item,
        })
    }

    /// Sorts the entries of a map by key; of entries with the same key the last one stays.
    fn sort(&mut self, entries: &mut Vec<(String, Value)>) {
        let mut seen = std::collections::HashSet::new();
        let twice: Vec<String> = entries
            .iter()
            .filter(|(key, _)| !seen.insert(key.as_str()))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &twice {
            self.problem("duplicate", key);
        }
        entries.reverse();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|(a, _), (b, _)| a == b);
    }

    fn integer(&mut self, text: &str, is_32: bool) -> Value {
        match text.parse::<i64>() {
            Ok(number) if !is_32 || i32::try_from(number).is_ok() => number.into(),
            _ => {
                let name = if is_32 { "int32" } else { "int64" };
                self.wrong_type(&format!("number {text}"), name);
                Value::Null
            }
        }
    }

    fn bytes(&mut self, text: &str) -> Value {
        let text: Cow<'_, str> =
            if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], "").into() } else { text.into() };
        match STANDARD.decode(text.as_bytes()) {
            Ok(bytes) => STANDARD.encode(bytes).into(),
            Err(error) => {
                self.mistake.get_or_insert(base64_message(&error, text.len()));
                Value::Null
            }
        }
    }

    fn quantity(&mut self) -> Parsed<Value> {
        let raw = self.parser.skip()?;
        let text = String::from_utf8_lossy(raw);
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&text);
        match Quantity::parse(text.trim()) {
            Ok(quantity) => Ok(quantity.to_string().into()),
            Err(error) => {
                self.fatal.get_or_insert(error.to_string());
                Ok(Value::Null)
            }
        }
    }

    fn int_or_string(&mut self, token: Token) -> Parsed<Value> {
        match token {
            Token::String => Ok(self.parser.string()?.into_owned().into()),
            Token::Number => {
                let text = self.parser.number()?;
                let number = text.parse::<i32>().ok();
                if number.is_none() {
                    self.fatal_type(&format!("number {text}"), "int32");
                }
                Ok(number.map_or(Value::Null, Value::from))
            }
            other => {
                self.fatal_type(other.name(), "int32");
                self.parser.skip()?;
                Ok(Value::Null)
            }
        }
    }

    fn timed(&mut self, kind: &Kind, token: Token) -> Parsed<Value> {
        if token != Token::String {
            self.fatal_type(token.name(), "string");
            self.parser.skip()?;
            return Ok(Value::Null);
        }
        let text = self.parser.string()?;
        let result = match kind {
            Kind::Duration => return Ok(text.into_owned().into()),
            Kind::Time => time::parse(&text).map(|seconds| (seconds, time::format(seconds))),
            _ => time::parse_micros(&text)
                .map(|micros| (micros.div_euclid(1_000_000), time::format_micros(micros))),
        };
        match result {
            Ok((seconds, _)) if time::is_zero(seconds) => Ok(Value::Null),
            Ok((_, text)) => Ok(text.into()),
            Err(error) => {
                self.fatal.get_or_insert(error.to_string());
                Ok(Value::Null)
            }
        }
    }

    fn wrong_type(&mut self, found: &str, wanted: &str) {
        if self.mistake.is_none() {
            self.mistake = Some(self.type_message(found, wanted));
        }
    }

    fn fatal_type(&mut self, found: &str, wanted: &str) {
        if self.fatal.is_none() {
            self.fatal = Some(self.type_message(found, wanted));
        }
    }

    fn type_message(&self, found: &str, wanted: &str) -> String {
        let mut fields = String::new();
        let mut owner = None;
        for step in &self.path {
            if let Step::Field { ty, name } = step {
                owner = Some(ty.short_name());
                fields.push('.');
                if let Some(inner) = embedded(ty.name, name) {
                    fields.push_str(inner);
                    fields.push('.');
                }
                fields.push_str(name);
            }
        }
        match owner {
            Some(owner) => {
                format!(
                    "json: cannot unmarshal {found} into Go struct field {owner}{fields} of type {wanted}"
                )
            }
            None => format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
        }
    }

    /// Notes what strict decoding refuses, with its path, each path once.
    fn problem(&mut self, what: &str, name: &str) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let mut path = String::new();
        for step in &self.path {
            let dot = if path.is_empty() { "" } else { "." };
            let written = match step {
                Step::Field { name, .. } => write!(path, "{dot}{name}"),
                Step::Key(key) => write!(path, "{dot}{key}"),
                Step::Index(index) => write!(path, "[{index}]"),
            };
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        let dot = if path.is_empty() { "" } else { "." };
        let problem = format!("{what} field {}", everynode_model::go_quote(&format!("{path}{dot}{name}")));
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// The index of a field. Objects mostly come in the order of their type, so the search begins at `next`.
fn find_field(ty: &Type, name: &str, next: usize) -> Option<usize> {
    let after = ty.fields[next..].iter().position(|field| field.name == name).map(|index| index + next);
    after.or_else(|| ty.fields[..next].iter().position(|field| field.name == name))
}

/// The last part of the API's package name of a type: its version.
fn package(ty: &Type) -> &'static str {
    ty.name.split('.').nth(1).unwrap_or_default()
}

/// The name of a kind in messages.
fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::String => "string".into(),
        Kind::Bool => "bool".into(),
        Kind::Int32 => "int32".into(),
        Kind::Int64 => "int64".into(),
        Kind::Float64 => "float64".into(),
        Kind::Bytes => "[]uint8".into(),
        Kind::Quantity => "resource.Quantity".into(),
        Kind::IntOrString => "intstr.IntOrString".into(),
        Kind::Time => "v1.Time".into(),
        Kind::MicroTime => "v1.MicroTime".into(),
        Kind::Duration => "v1.Duration".into(),
        Kind::Any => "runtime.RawExtension".into(),
        Kind::Struct(id) | Kind::StructOrAny(id) => {
            format!("{}.{}", package(id.get()), id.get().short_name())
        }
        Kind::List(element) => format!("[]{}", type_name(element)),
        Kind::Map(element) => format!("map[string]{}", type_name(element)),
        Kind::Pointer(inner) => type_name(inner),
    }
}

fn base64_message(error: &base64::DecodeError, length: usize) -> String {
    let offset = match error {
        base64::DecodeError::InvalidByte(offset, _) => *offset,
        // The API points at the last group of four.
        _ => length.saturating_sub(1) / 4 * 4,
    };
    format!("illegal base64 data at input byte {offset}")
}

/// The struct without a name of its own that holds the field in the source of the API, which its messages name.
fn embedded(ty: &str, field: &str) -> Option<&'static str> {
    match (ty, field) {
        ("core.v1.Volume", "name") | ("core.v1.EphemeralContainer", "targetContainerName") => None,
        ("core.v1.Volume", _) => Some("VolumeSource"),
        ("core.v1.EphemeralContainer", _) => Some("EphemeralContainerCommon"),
        ("core.v1.Probe", "exec" | "httpGet" | "tcpSocket" | "grpc") => Some("ProbeHandler"),
        (
            "core.v1.ConfigMapEnvSource"
            | "core.v1.ConfigMapKeySelector"
            | "core.v1.ConfigMapProjection"
            | "core.v1.ConfigMapVolumeSource"
            | "core.v1.SecretEnvSource"
            | "core.v1.SecretKeySelector"
            | "core.v1.SecretProjection",
            "name",
        ) => Some("LocalObjectReference"),
        _ => None,
    }
}

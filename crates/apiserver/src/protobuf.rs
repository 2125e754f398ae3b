//! Request bodies in protobuf. kubectl sends some in this form only (`create`, `drain`), so they are read
//! and turned into the JSON that everything else works on. Answers are never in protobuf.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_apimachinery::schema::{Field, Kind, Type};
use everynode_model::time;
use everynode_model::{Object, Value, encode};

/// What stands in front of every body.
const MAGIC: &[u8] = b"k8s\0";

/// How deep messages may lie in each other.
const DEPTH: usize = 64;

const NUMBERS: &str = include_str!("../schema/protobuf.numbers");

/// What a field number stands for.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// The field with that name.
    Named(&'static str),
    /// A message whose fields belong to the outer object.
    Inline(&'static str),
}

static MEANINGS: LazyLock<HashMap<&'static str, HashMap<u64, Meaning>>> = LazyLock::new(|| {
    let lines = NUMBERS.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            let fields = words.filter_map(|word| {
                let (name, number) = word.split_once('=')?;
                let meaning = match name.strip_prefix('&') {
                    Some(inner) => Meaning::Inline(inner),
                    None => Meaning::Named(name),
                };
                Some((number.parse().ok()?, meaning))
            });
            Some((name, fields.collect()))
        })
        .collect()
});

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the protobuf body cannot be read: {0}")]
pub struct ProtobufError(&'static str);

type Result<T> = std::result::Result<T, ProtobufError>;

/// Turns a body into JSON. `ty` is the type that the request expects; kind and apiVersion are those of the
/// body.
pub fn to_json(ty: &'static Type, bytes: &[u8]) -> Result<Vec<u8>> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or(ProtobufError("it does not begin with k8s"))?;
    let (mut kind, mut api_version, mut raw) = (String::new(), String::new(), &[][..]);
    for (number, part) in parts(envelope)? {
        match (number, part) {
            (1, Part::Bytes(meta)) => {
                for (number, part) in parts(meta)? {
                    match (number, part) {
                        (1, Part::Bytes(text)) => api_version = utf8(text)?,
                        (2, Part::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Part::Bytes(inner)) => raw = inner,
            _ => {}
        }
    }
    let mut object = Object::new();
    object.insert("kind".into(), kind.into());
    object.insert("apiVersion".into(), api_version.into());
    message(ty, ty.name, raw, &mut object, DEPTH)?;
    Ok(encode::to_vec(&Value::Object(object)))
}

/// The value of a field on the wire.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Splits a message into its fields.
fn parts(mut bytes: &[u8]) -> Result<Vec<(u64, Part<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let part = match tag & 7 {
            0 => Part::Number(varint(&mut bytes)?),
            1 => Part::Number(fixed::<8>(&mut bytes)?),
            2 => {
                let len = usize::try_from(varint(&mut bytes)?)
                    .map_err(|_| ProtobufError("a length is too large"))?;
                let (inner, rest) = bytes.split_at_checked(len).ok_or(ProtobufError("it ends too early"))?;
                bytes = rest;
                Part::Bytes(inner)
            }
            5 => Part::Number(fixed::<4>(&mut bytes)?),
            _ => return Err(ProtobufError("a wire type is unknown")),
        };
        found.push((tag >> 3, part));
    }
    Ok(found)
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(ProtobufError("it ends too early"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(ProtobufError("a number is too long"))
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Result<u64> {
    let (digits, rest) = bytes.split_at_checked(N).ok_or(ProtobufError("it ends too early"))?;
    *bytes = rest;
    Ok(digits.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn utf8(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError("a text is not UTF-8"))
}

/// Reads the fields of a message into an object. `numbers` names the message, which for inline ones differs
/// from the type that has the fields.
fn message(ty: &Type, numbers: &str, bytes: &[u8], out: &mut Object, depth: usize) -> Result<()> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError("it is too deep"))?;
    let Some(meanings) = MEANINGS.get(numbers) else { return Ok(()) };
    for (number, part) in parts(bytes)? {
        match (meanings.get(&number), part) {
            (Some(Meaning::Inline(inner)), Part::Bytes(bytes)) => message(ty, inner, bytes, out, depth)?,
            (Some(Meaning::Named(name)), part) => {
                if let Some(field) = ty.field(name) {
                    read_field(field, part, out, depth)?;
                }
            }
            // Fields of newer versions are unknown, as they are in JSON.
            _ => {}
        }
    }
    Ok(())
}

fn read_field(field: &Field, part: Part<'_>, out: &mut Object, depth: usize) -> Result<()> {
    match field.kind.pointee() {
        Kind::List(inner) => {
            let list = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
            let Some(list) = list.as_array_mut() else { return Ok(()) };
            match (inner.pointee(), part) {
                // Numbers may come packed.
                (Kind::Int32 | Kind::Int64, Part::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        list.push(value(inner, Part::Number(varint(&mut packed)?), depth)?);
                    }
                }
                _ => list.push(value(inner, part, depth)?),
            }
        }
        Kind::Map(inner) => {
            let Part::Bytes(entry) = part else { return Err(ProtobufError("a map entry is a number")) };
            let (mut key, mut found) = (String::new(), None);
            for (number, part) in parts(entry)? {
                match (number, part) {
                    (1, Part::Bytes(text)) => key = utf8(text)?,
                    (2, part) => found = Some(value(inner, part, depth)?),
                    _ => {}
                }
            }
            let map = out.entry(field.name).or_insert_with(|| Value::Object(Object::new()));
            if let Some(map) = map.as_object_mut() {
                let found = match found {
                    Some(found) => found,
                    None => value(inner, Part::Bytes(&[]), depth)?,
                };
                map.insert(key, found);
            }
        }
        kind => {
            let read = value(kind, part, depth)?;
            out.insert(field.name.to_owned(), read);
        }
    }
    Ok(())
}

fn value(kind: &Kind, part: Part<'_>, depth: usize) -> Result<Value> {
    Ok(match (kind.pointee(), part) {
        (Kind::Bool, Part::Number(number)) => (number != 0).into(),
        (Kind::Int32 | Kind::Int64, Part::Number(number)) => number.cast_signed().into(),
        (Kind::Float64, Part::Number(bits)) => f64::from_bits(bits).into(),
        (Kind::String, Part::Bytes(text)) => utf8(text)?.into(),
        (Kind::Bytes, Part::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Kind::Quantity, Part::Bytes(inner)) => text_of(inner, 1)?.into(),
        (Kind::IntOrString, Part::Bytes(inner)) => int_or_string(inner)?,
        (Kind::Time, Part::Bytes(inner)) => moment(inner, false)?,
        (Kind::MicroTime, Part::Bytes(inner)) => moment(inner, true)?,
        (Kind::Duration, Part::Bytes(inner)) => format!("{}ns", number_of(inner, 1)?.cast_signed()).into(),
        (Kind::Any, Part::Bytes(inner)) => serde_json::from_str(&text_of(inner, 1)?).unwrap_or_default(),
        (Kind::StructOrAny(id), Part::Bytes(inner)) => {
            let mut found = Value::Null;
            for (_, part) in parts(inner)? {
                match part {
                    Part::Number(number) if found.is_null() => found = (number != 0).into(),
                    Part::Bytes(inner) => {
                        let mut object = Object::new();
                        message(id.get(), id.get().name, inner, &mut object, depth)?;
                        found = Value::Object(object);
                    }
                    _ => {}
                }
            }
            found
        }
        // A list in a map is a message of its own, whose first field has the elements.
        (Kind::List(inner), Part::Bytes(bytes)) => {
            let elements = parts(bytes)?.into_iter().filter(|(number, _)| *number == 1);
            elements.map(|(_, part)| value(inner, part, depth)).collect::<Result<Vec<_>>>()?.into()
        }
        (Kind::Struct(id), Part::Bytes(inner)) => {
            let mut object = Object::new();
            message(id.get(), id.get().name, inner, &mut object, depth)?;
            Value::Object(object)
        }
        _ => return Err(ProtobufError("a field has another type")),
    })
}

fn text_of(bytes: &[u8], wanted: u64) -> Result<String> {
    let found = parts(bytes)?.into_iter().find_map(|(number, part)| match part {
        Part::Bytes(text) if number == wanted => Some(text),
        _ => None,
    });
    found.map_or_else(|| Ok(String::new()), utf8)
}

fn number_of(bytes: &[u8], wanted: u64) -> Result<u64> {
    let found = parts(bytes)?.into_iter().find_map(|(number, part)| match part {
        Part::Number(value) if number == wanted => Some(value),
        _ => None,
    });
    Ok(found.unwrap_or(0))
}

fn int_or_string(bytes: &[u8]) -> Result<Value> {
    if number_of(bytes, 1)? == 0 {
        return Ok(number_of(bytes, 2)?.cast_signed().into());
    }
    Ok(text_of(bytes, 3)?.into())
}

/// A time; the zero time is an empty message and null in JSON.
fn moment(bytes: &[u8], micro: bool) -> Result<Value> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let seconds = number_of(bytes, 1)?.cast_signed();
    let nanos = number_of(bytes, 2)?.cast_signed();
    Ok(if micro {
        time::format_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)).into()
    } else {
        time::format(seconds).into()
    })
}

#[cfg(test)]
mod tests {
    use everynode_apimachinery::schema::{type_named, types};

    use super::*;

    fn len(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(inner.len()).unwrap()];
        out.extend_from_slice(inner);
        out
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [len(1, api_version.as_bytes()), len(2, kind.as_bytes())].concat();
        [MAGIC, &len(1, &meta), &len(2, raw)].concat()
    }

    #[test]
    fn a_body_becomes_the_json_that_it_means() {
        let labels = len(11, &[len(1, b"a"), len(2, b"b")].concat());
        let metadata = len(1, &[len(1, b"config"), labels].concat());
        let data = len(2, &[len(1, b"key"), len(2, b"value")].concat());
        let immutable = vec![4 << 3, 1];
        let body = envelope("v1", "ConfigMap", &[metadata, data, immutable].concat());
        let json = to_json(type_named("core.v1.ConfigMap").unwrap(), &body).unwrap();
        let expected = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"config","labels":{"a":"b"}},"data":{"key":"value"},"immutable":true}"#;
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn fields_of_inline_messages_stand_in_the_outer_object() {
        let source = len(2, &len(1, &len(1, b"/host")));
        let spec = len(2, &len(1, &[len(1, b"v"), source].concat()));
        let json = to_json(type_named("core.v1.Pod").unwrap(), &envelope("v1", "Pod", &spec)).unwrap();
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value.pointer("/spec/volumes/0/hostPath/path"), Some(&"/host".into()));
    }

    #[test]
    fn the_lists_of_a_map_are_read() {
        let extra = len(4, &[len(1, b"key"), len(2, &[len(1, b"a"), len(1, b"b")].concat())].concat());
        let status = len(3, &len(2, &extra));
        let ty = type_named("authentication.v1.TokenReview").unwrap();
        let json = to_json(ty, &envelope("authentication.k8s.io/v1", "TokenReview", &status)).unwrap();
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value.pointer("/status/user/extra"), Some(&serde_json::json!({"key": ["a", "b"]})));
    }

    #[test]
    fn broken_bodies_are_refused_and_never_read_beyond_their_end() {
        let ty = type_named("core.v1.Pod").unwrap();
        let good = envelope("v1", "Pod", &len(1, &len(1, b"name")));
        for end in 0..good.len() {
            let _ = to_json(ty, &good[..end]);
        }
        assert!(to_json(ty, b"{}").is_err());
        assert!(to_json(ty, b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn changed_bodies_are_read_or_refused() {
        let container = len(2, &[len(1, b"c"), len(2, b"i")].concat());
        let labels = len(11, &[len(1, b"a"), len(2, b"b")].concat());
        let created = len(8, &[8, 0x80, 0x9c, 0xd4, 0xb2, 6]);
        let metadata = len(1, &[len(1, b"name"), labels, created].concat());
        let good = envelope("v1", "Pod", &[metadata, len(2, &container)].concat());
        for seed in 1..=20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut body = good.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(MAGIC.len()..body.len());
                match random.u32(0..4) {
                    0 => body.insert(at, random.u8(..)),
                    1 => drop(body.remove(at)),
                    2 => body.extend_from_within(at..(at + random.usize(0..30)).min(body.len())),
                    _ => body[at] = random.u8(..),
                }
            }
            for name in ["core.v1.Pod", "apps.v1.DaemonSet", "meta.v1.DeleteOptions"] {
                let Some(Ok(json)) = type_named(name).map(|ty| to_json(ty, &body)) else { continue };
                let is_json = serde_json::from_slice::<Value>(&json).is_ok();
                assert!(is_json, "seed {seed}: {}", String::from_utf8_lossy(&json));
                assert!(json.len() < 100 * body.len() + 10_000, "seed {seed}: {} bytes", json.len());
            }
        }
    }

    #[test]
    fn every_type_of_the_schema_has_its_numbers() {
        for ty in types() {
            let known = MEANINGS.get(ty.name).unwrap_or_else(|| panic!("{} has no numbers", ty.name));
            for meaning in known.values() {
                match meaning {
                    Meaning::Named(name) => assert!(ty.field(name).is_some(), "{}.{name}", ty.name),
                    Meaning::Inline(inner) => assert!(MEANINGS.contains_key(inner), "{inner}"),
                }
            }
        }
    }
}

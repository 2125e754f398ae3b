//! Values of expressions: those of the object are borrowed and know their type.

use std::borrow::Cow;
use std::rc::Rc;

use everynode_model::{duration, time};
use serde_json::{Map, Value};

use crate::budget::{Budget, Failure};
use crate::types::{Field, Kind, Meaning, Type};

/// A value. Moments and durations are in nanoseconds.
#[derive(Debug, Clone)]
pub enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Rc<Vec<Val<'a>>>),
    Map(Rc<Vec<(Val<'a>, Val<'a>)>>),
    Items(&'a [Value], Option<&'a dyn Type>),
    Fields(&'a Map<String, Value>, Option<&'a dyn Type>),
    Duration(i64),
    Moment(i128),
    /// The name of a type.
    Type(&'static str),
}

/// What an expression came to.
pub type Evaluated<'a> = Result<Val<'a>, Failure>;

/// A mistake that is no matter of steps.
pub fn fail<'a>(why: impl Into<String>) -> Evaluated<'a> {
    Err(Failure::Error(why.into()))
}

/// The mistake of what takes no values of these types.
pub fn no_overload<'a>() -> Evaluated<'a> {
    fail("no such overload")
}

impl<'a> Val<'a> {
    /// A value of the object.
    pub fn of(value: &'a Value, ty: Option<&'a dyn Type>) -> Val<'a> {
        let kind = ty.map_or(Kind::Unknown, |ty| ty.kind());
        match value {
            Value::Null => Val::Null,
            Value::Bool(truth) => Val::Bool(*truth),
            Value::Number(number) => match number.as_i64() {
                Some(int) if kind != Kind::Double => Val::Int(int),
                _ => Val::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => {
                let meant = match kind {
                    Kind::Text(Meaning::Moment) => moment(text).map(Val::Moment),
                    Kind::Text(Meaning::Duration) => duration::parse(text).map(Val::Duration),
                    _ => None,
                };
                meant.unwrap_or(Val::Text(text.into()))
            }
            Value::Array(items) => Val::Items(items, ty.and_then(|ty| ty.element())),
            Value::Object(fields) => Val::Fields(fields, ty),
        }
    }

    /// The field of an object or the entry of a map with that name.
    pub fn field(&self, name: &str) -> Option<Val<'a>> {
        match self {
            Val::Fields(fields, ty) => {
                let value = fields.get(name)?;
                Some(Val::of(value, ty.map(|ty| ty.field(name)).and_then(Field::as_type)))
            }
            Val::Map(entries) => {
                let is = |key: &Val<'_>| matches!(key, Val::Text(text) if text == name);
                entries.iter().find(|(key, _)| is(key)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// How many elements, entries or characters there are.
    pub fn size(&self) -> Option<usize> {
        Some(match self {
            Val::Text(text) => text.chars().count(),
            Val::List(items) => items.len(),
            Val::Map(entries) => entries.len(),
            Val::Items(items, _) => items.len(),
            Val::Fields(fields, _) => fields.len(),
            _ => return None,
        })
    }

    /// The elements of a list, or the keys of a map.
    pub fn elements(&self) -> Option<Vec<Val<'a>>> {
        Some(match self {
            Val::List(items) => items.to_vec(),
            Val::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            Val::Items(items, ty) => items.iter().map(|item| Val::of(item, *ty)).collect(),
            Val::Fields(fields, _) => fields.keys().map(|key| Val::Text(key.as_str().into())).collect(),
            _ => return None,
        })
    }

    /// The name of its type in sentences.
    pub fn type_name(&self) -> &'static str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Double(_) => "double",
            Val::Text(_) => "string",
            Val::List(_) | Val::Items(..) => "list",
            Val::Map(_) | Val::Fields(..) => "map",
            Val::Duration(_) => "google.protobuf.Duration",
            Val::Moment(_) => "google.protobuf.Timestamp",
            Val::Type(_) => "type",
        }
    }

    /// Whether two values are the same; every comparison takes steps.
    pub fn same(&self, other: &Val<'a>, budget: &mut Budget) -> Result<bool, Failure> {
        budget.take(1)?;
        Ok(match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Int(a), Val::Int(b)) => a == b,
            (Val::Double(a), Val::Double(b)) => a == b,
            (Val::Int(a), Val::Double(b)) | (Val::Double(b), Val::Int(a)) => *a as f64 == *b,
            (Val::Text(a), Val::Text(b)) => {
                budget.take(a.len().min(b.len()) as u64 / 10)?;
                a == b
            }
            (Val::Duration(a), Val::Duration(b)) => a == b,
            (Val::Moment(a), Val::Moment(b)) => a == b,
            (Val::Type(a), Val::Type(b)) => a == b,
            (a, b) => match (a.type_name(), b.type_name()) {
                ("list", "list") => a.same_elements(b, budget)?,
                ("map", "map") => a.same_entries(b, budget)?,
                _ => false,
            },
        })
    }

    fn same_elements(&self, other: &Val<'a>, budget: &mut Budget) -> Result<bool, Failure> {
        let (Some(mine), Some(theirs)) = (self.elements(), other.elements()) else { return Ok(false) };
        if mine.len() != theirs.len() {
            return Ok(false);
        }
        for (one, another) in mine.iter().zip(&theirs) {
            if !one.same(another, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn same_entries(&self, other: &Val<'a>, budget: &mut Budget) -> Result<bool, Failure> {
        let (Some(keys), Some(others)) = (self.elements(), other.elements()) else { return Ok(false) };
        if keys.len() != others.len() {
            return Ok(false);
        }
        for key in &keys {
            let (Some(mine), Some(theirs)) = (self.entry(key), other.entry(key)) else { return Ok(false) };
            if !mine.same(&theirs, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The entry of a map with that key.
    pub fn entry(&self, key: &Val<'a>) -> Option<Val<'a>> {
        match (self, key) {
            (_, Val::Text(name)) => self.field(name),
            (Val::Map(entries), Val::Int(wanted)) => {
                let is = |key: &Val<'_>| matches!(key, Val::Int(int) if int == wanted);
                entries.iter().find(|(key, _)| is(key)).map(|(_, value)| value.clone())
            }
            (Val::Map(entries), Val::Bool(wanted)) => {
                let is = |key: &Val<'_>| matches!(key, Val::Bool(truth) if truth == wanted);
                entries.iter().find(|(key, _)| is(key)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }
}

/// Nanoseconds since 1970 of a time in RFC 3339.
pub fn moment(text: &str) -> Option<i128> {
    let seconds = time::parse(text).ok()?;
    let fraction = text.split_once('.').map_or("", |(_, behind)| behind);
    let digits: String = fraction.chars().take_while(char::is_ascii_digit).take(9).collect();
    let nanos: i128 = if digits.is_empty() { 0 } else { format!("{digits:0<9}").parse().ok()? };
    Some(i128::from(seconds) * 1_000_000_000 + nanos)
}

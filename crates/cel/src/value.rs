//! Values of expressions: those of the object are borrowed and know their type.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use base64::Engine as _;
use everynode_model::{duration, time};
use serde_json::{Map, Value};

use crate::ast::Literal;
use crate::budget::{Budget, Failure};
use crate::named::Named;
use crate::types::{Field, Identity, Kind, Meaning, Type};

/// A value. Moments and durations are in nanoseconds.
#[derive(Debug, Clone)]
pub enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Rc<[u8]>),
    List(Rc<Vec<Val<'a>>>),
    Map(Rc<Vec<(Val<'a>, Val<'a>)>>),
    Items(&'a [Value], Option<&'a dyn Type>),
    Fields(&'a Map<String, Value>, Option<&'a dyn Type>),
    Duration(i64),
    Moment(i128),
    /// The name of a type.
    Type(&'static str),
    Optional(Option<Rc<Val<'a>>>),
    /// A value of a library.
    Named(Rc<Named>),
}

/// What an expression came to.
pub type Evaluated<'a> = Result<Val<'a>, Failure>;

/// A mistake that is no matter of cost.
pub fn fail<'a>(why: impl Into<String>) -> Evaluated<'a> {
    Err(Failure::Error(why.into()))
}

/// The mistake of what takes no values of these types.
pub fn no_overload<'a>() -> Evaluated<'a> {
    Err(Failure::Overload)
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
            Value::String(text) => meant(text, kind).unwrap_or(Val::Text(text.into())),
            // Of a list its own type is kept, which tells how its elements are told apart.
            Value::Array(items) => Val::Items(items, ty),
            Value::Object(fields) => Val::Fields(fields, ty),
        }
    }

    /// A value of a library.
    pub fn named(value: impl Into<Named>) -> Val<'a> {
        Val::Named(Rc::new(value.into()))
    }

    /// An optional that has a value.
    pub fn some(value: Val<'a>) -> Val<'a> {
        Val::Optional(Some(Rc::new(value)))
    }

    /// A text.
    pub fn text(text: impl Into<String>) -> Val<'a> {
        Val::Text(Cow::Owned(text.into()))
    }

    /// A list.
    pub fn list(items: Vec<Val<'a>>) -> Val<'a> {
        Val::List(Rc::new(items))
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

    /// How many elements, entries, characters or bytes there are.
    pub fn size(&self) -> Option<usize> {
        Some(match self {
            Val::Text(text) => text.chars().count(),
            Val::Bytes(bytes) => bytes.len(),
            Val::List(items) => items.len(),
            Val::Map(entries) => entries.len(),
            Val::Items(items, _) => items.len(),
            Val::Fields(fields, _) => fields.len(),
            _ => return None,
        })
    }

    /// The size that costs are counted by.
    pub fn cost_size(&self) -> u64 {
        match self {
            Val::Optional(Some(inner)) => inner.cost_size(),
            Val::Named(named) => named.cost_size(),
            // What has a length in bytes that is far from that in characters costs what it takes to look at it.
            other => other.size().map_or(1, |size| size as u64),
        }
    }

    /// The elements of a list, or the keys of a map.
    pub fn elements(&self) -> Option<Vec<Val<'a>>> {
        Some(match self {
            Val::List(items) => items.to_vec(),
            Val::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            Val::Items(items, ty) => {
                let of = ty.and_then(|ty| ty.element());
                items.iter().map(|item| Val::of(item, of)).collect()
            }
            Val::Fields(fields, _) => fields.keys().map(|key| Val::Text(key.as_str().into())).collect(),
            _ => return None,
        })
    }

    /// The element of a list at a place.
    pub fn element(&self, place: usize) -> Option<Val<'a>> {
        match self {
            Val::List(items) => items.get(place).cloned(),
            Val::Items(items, ty) => {
                items.get(place).map(|item| Val::of(item, ty.and_then(|ty| ty.element())))
            }
            _ => None,
        }
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self, Val::List(_) | Val::Items(..))
    }

    /// Whether it is a map or an object.
    pub fn is_map(&self) -> bool {
        matches!(self, Val::Map(_) | Val::Fields(..))
    }

    /// The name of its type in sentences.
    pub fn type_name(&self) -> &'static str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Uint(_) => "uint",
            Val::Double(_) => "double",
            Val::Text(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::List(_) | Val::Items(..) => "list",
            Val::Map(_) | Val::Fields(..) => "map",
            Val::Duration(_) => "google.protobuf.Duration",
            Val::Moment(_) => "google.protobuf.Timestamp",
            Val::Type(_) => "type",
            Val::Optional(_) => "optional_type",
            Val::Named(named) => named.type_name(),
        }
    }

    /// Whether it is nothing: zero, empty, null, or an optional without a value.
    pub fn is_zero(&self) -> bool {
        match self {
            Val::Null | Val::Optional(None) => true,
            Val::Bool(truth) => !truth,
            Val::Int(int) => *int == 0,
            Val::Uint(int) => *int == 0,
            Val::Double(double) => *double == 0.0,
            Val::Duration(nanos) => *nanos == 0,
            other => other.size() == Some(0),
        }
    }

    /// Whether two values are the same; every comparison takes steps.
    pub fn same(&self, other: &Val<'a>, budget: &mut Budget) -> Result<bool, Failure> {
        budget.steps(1)?;
        Ok(match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Text(a), Val::Text(b)) => {
                budget.steps(a.len().min(b.len()) as u64 / 10)?;
                a == b
            }
            (Val::Bytes(a), Val::Bytes(b)) => a == b,
            (Val::Duration(a), Val::Duration(b)) => a == b,
            (Val::Moment(a), Val::Moment(b)) => a == b,
            (Val::Type(a), Val::Type(b)) => a == b,
            (Val::Named(a), Val::Named(b)) => a == b,
            (Val::Optional(Some(a)), Val::Optional(Some(b))) => a.same(b, budget)?,
            (Val::Optional(a), Val::Optional(b)) => a.is_none() && b.is_none(),
            (a, b) if a.is_list() && b.is_list() => a.same_elements(b, budget)?,
            (a, b) if a.is_map() && b.is_map() => a.same_entries(b, budget)?,
            (a, b) => compare(a, b).is_some_and(Ordering::is_eq),
        })
    }

    fn identity(&self) -> Identity<'a> {
        match self {
            Val::Items(_, Some(ty)) => ty.identity(),
            _ => Identity::Place,
        }
    }

    fn same_elements(&self, other: &Val<'a>, budget: &mut Budget) -> Result<bool, Failure> {
        let (Some(mine), Some(theirs)) = (self.elements(), other.elements()) else { return Ok(false) };
        if mine.len() != theirs.len() {
            return Ok(false);
        }
        if self.identity() == Identity::Place {
            for (one, another) in mine.iter().zip(&theirs) {
                if !one.same(another, budget)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        for one in &mine {
            if !is_among(one, &theirs, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The elements of two lists: those of the second that stand for the same thing take the place of their like.
    pub fn joined(&self, other: &Val<'a>, budget: &mut Budget) -> Evaluated<'a> {
        let mut items = self.elements().unwrap_or_default();
        let more = other.elements().unwrap_or_default();
        budget.steps((items.len() + more.len()) as u64)?;
        let identity = self.identity();
        for item in more {
            let mut known = None;
            if identity != Identity::Place {
                for (at, one) in items.iter().enumerate() {
                    if stand_for_the_same(identity, one, &item, budget)? {
                        known = Some(at);
                        break;
                    }
                }
            }
            match known {
                Some(at) => items[at] = item,
                None => items.push(item),
            }
        }
        Ok(Val::list(items))
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
            (Val::Map(entries), key) => {
                let is = |known: &Val<'_>| match (known, key) {
                    (Val::Bool(a), Val::Bool(b)) => a == b,
                    (a, b) => compare(a, b).is_some_and(Ordering::is_eq),
                };
                entries.iter().find(|(key, _)| is(key)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }
}

impl Literal {
    /// The value.
    pub fn value(&self) -> Val<'_> {
        match self {
            Literal::Null => Val::Null,
            Literal::Bool(truth) => Val::Bool(*truth),
            Literal::Int(int) => Val::Int(*int),
            Literal::Uint(int) => Val::Uint(*int),
            Literal::Double(double) => Val::Double(*double),
            Literal::Text(text) => Val::Text(text.as_str().into()),
            Literal::Bytes(bytes) => Val::Bytes(bytes.as_slice().into()),
        }
    }
}

/// The order of two values; none for those that have none.
pub fn compare(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
        (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
        (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
        (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
        (Val::Moment(a), Val::Moment(b)) => Some(a.cmp(b)),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Double(a), b) => a.partial_cmp(&(whole(b)? as f64)),
        (a, Val::Double(b)) => (whole(a)? as f64).partial_cmp(b),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn whole(value: &Val<'_>) -> Option<i128> {
    match value {
        Val::Int(int) => Some((*int).into()),
        Val::Uint(int) => Some((*int).into()),
        _ => None,
    }
}

/// Whether a value is one of these.
pub fn is_among<'a>(value: &Val<'a>, all: &[Val<'a>], budget: &mut Budget) -> Result<bool, Failure> {
    for one in all {
        if value.same(one, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn stand_for_the_same<'a>(
    identity: Identity<'a>,
    one: &Val<'a>,
    other: &Val<'a>,
    budget: &mut Budget,
) -> Result<bool, Failure> {
    let Identity::Keys(keys) = identity else { return one.same(other, budget) };
    for key in keys {
        let same = match (one.field(key), other.field(key)) {
            (Some(one), Some(other)) => one.same(&other, budget)?,
            (one, other) => one.is_none() && other.is_none(),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a text means, where it means something else than itself and is written well.
fn meant<'a>(text: &str, kind: Kind) -> Option<Val<'a>> {
    match kind {
        Kind::Text(Meaning::Moment) if text.len() == 10 => {
            moment(&format!("{text}T00:00:00Z")).map(Val::Moment)
        }
        Kind::Text(Meaning::Moment) => moment(text).map(Val::Moment),
        Kind::Text(Meaning::Duration) => duration::parse(text).map(Val::Duration),
        Kind::Text(Meaning::Bytes) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
            Some(Val::Bytes(bytes.into()))
        }
        _ => None,
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

//! What is known of a value before it is there.

use std::fmt::{self, Debug};
use std::rc::Rc;

/// The type of a value, as whoever has rules about it describes it.
pub trait Type: Debug {
    /// What kind of value it is.
    fn kind(&self) -> Kind;

    /// What is known of the field with that name, or of the entry of a map with that key.
    fn field(&self, name: &str) -> Field<'_>;

    /// What is known of the elements of a list, or of the values of a map.
    fn element(&self) -> Option<&dyn Type>;

    /// The greatest length of a text, list or map, as far as its type says; 0 for what has none.
    fn max_size(&self) -> u64;

    /// How the elements of a list are told apart.
    fn identity(&self) -> Identity<'_> {
        Identity::Place
    }
}

/// How the elements of a list are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity<'a> {
    /// By their place.
    Place,
    /// By what they are: their order does not matter.
    Value,
    /// By these fields: their order does not matter.
    Keys(&'a [String]),
}

/// A kind of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing is said of it.
    Unknown,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// A text, and what it means.
    Text(Meaning),
    /// A list.
    List,
    /// A map.
    Map,
    /// An object with fields.
    Object,
}

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Itself.
    Plain,
    /// A moment in RFC 3339, or a date.
    Moment,
    /// A duration, such as `1h30m`.
    Duration,
    /// Bytes in base64.
    Bytes,
}

/// What is known of a field.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    /// Its type.
    Typed(&'a dyn Type),
    /// Nothing: it may be there.
    Untyped,
    /// That there is none.
    Undefined,
}

impl<'a> Field<'a> {
    /// Its type, where that is known.
    pub fn as_type(self) -> Option<&'a dyn Type> {
        match self {
            Field::Typed(ty) => Some(ty),
            Field::Untyped | Field::Undefined => None,
        }
    }
}

/// What is known of a part of an expression.
#[derive(Clone)]
pub enum Ty<'a> {
    /// A mistake, which was told already.
    Mistake,
    /// Anything: it is looked at when it is there.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Moment,
    /// A type.
    Type(Rc<Ty<'a>>),
    List(Rc<Ty<'a>>),
    Map(Rc<Ty<'a>>, Rc<Ty<'a>>),
    /// An object with fields.
    Object(&'a dyn Type),
    Optional(Rc<Ty<'a>>),
    /// A type of a library, by its name.
    Named(&'static str),
    /// One that is not known yet, by its number.
    Free(usize),
}

impl<'a> Ty<'a> {
    /// The type of what somebody described.
    pub fn of(ty: &'a dyn Type) -> Ty<'a> {
        let element = || Rc::new(ty.element().map_or(Ty::Dyn, Ty::of));
        match ty.kind() {
            Kind::Unknown => Ty::Dyn,
            Kind::Bool => Ty::Bool,
            Kind::Int => Ty::Int,
            Kind::Double => Ty::Double,
            Kind::Text(Meaning::Plain) => Ty::Text,
            Kind::Text(Meaning::Moment) => Ty::Moment,
            Kind::Text(Meaning::Duration) => Ty::Duration,
            Kind::Text(Meaning::Bytes) => Ty::Bytes,
            Kind::List => Ty::List(element()),
            Kind::Map => Ty::Map(Rc::new(Ty::Text), element()),
            Kind::Object => Ty::Object(ty),
        }
    }

    /// Whether nothing is known of it, or a mistake was told.
    pub fn is_open(&self) -> bool {
        matches!(self, Ty::Dyn | Ty::Mistake)
    }

    /// The types from which it is made.
    pub fn parameters(&self) -> Vec<&Ty<'a>> {
        match self {
            Ty::Type(one) | Ty::List(one) | Ty::Optional(one) => vec![one],
            Ty::Map(key, value) => vec![key, value],
            _ => Vec::new(),
        }
    }

    /// Whether two types are the same.
    pub fn same(&self, other: &Ty<'a>) -> bool {
        match (self, other) {
            (Ty::Object(a), Ty::Object(b)) => std::ptr::addr_eq(*a, *b),
            (Ty::Named(a), Ty::Named(b)) => a == b,
            (Ty::Free(a), Ty::Free(b)) => a == b,
            _ => {
                let (mine, theirs) = (self.parameters(), other.parameters());
                std::mem::discriminant(self) == std::mem::discriminant(other)
                    && mine.len() == theirs.len()
                    && mine.iter().zip(theirs).all(|(mine, theirs)| mine.same(theirs))
            }
        }
    }

    /// Whether each value has the same, fixed size.
    pub fn is_scalar(&self) -> bool {
        match self {
            Ty::Bool | Ty::Int | Ty::Uint | Ty::Double | Ty::Duration | Ty::Moment => true,
            Ty::Optional(inner) => inner.is_scalar(),
            _ => false,
        }
    }
}

impl fmt::Display for Ty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Mistake => f.write_str("!error!"),
            Ty::Dyn => f.write_str("dyn"),
            Ty::Null => f.write_str("null"),
            Ty::Bool => f.write_str("bool"),
            Ty::Int => f.write_str("int"),
            Ty::Uint => f.write_str("uint"),
            Ty::Double => f.write_str("double"),
            Ty::Text => f.write_str("string"),
            Ty::Bytes => f.write_str("bytes"),
            Ty::Duration => f.write_str("duration"),
            Ty::Moment => f.write_str("timestamp"),
            Ty::Type(inner) => write!(f, "type({inner})"),
            Ty::List(inner) => write!(f, "list({inner})"),
            Ty::Map(key, value) => write!(f, "map({key}, {value})"),
            Ty::Object(_) => f.write_str("object"),
            Ty::Optional(inner) => write!(f, "optional_type({inner})"),
            Ty::Named(name) => f.write_str(name),
            Ty::Free(number) => write!(f, "_var{number}"),
        }
    }
}

impl Debug for Ty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

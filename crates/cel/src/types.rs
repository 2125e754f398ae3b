//! What is known of a value before it is there.

use std::fmt::Debug;

/// The type of a value, as whoever has rules about it describes it.
pub trait Type: Debug {
    /// What kind of value it is.
    fn kind(&self) -> Kind;

    /// What is known of the field with that name, or of the entry of a map with that key.
    fn field(&self, name: &str) -> Field<'_>;

    /// What is known of the elements of a list, or of the values of a map.
    fn element(&self) -> Option<&dyn Type>;
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
    /// A map, or an object with fields.
    Map,
}

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Itself.
    Plain,
    /// A moment in RFC 3339.
    Moment,
    /// A duration, such as `1h30m`.
    Duration,
    /// Something that expressions have no type for.
    Other,
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

impl Kind {
    /// The word of JSON schemas.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Unknown => "",
            Kind::Bool => "boolean",
            Kind::Int => "integer",
            Kind::Double => "number",
            Kind::Text(_) => "string",
            Kind::List => "array",
            Kind::Map => "object",
        }
    }

    /// The name of the type of its values, where each of them is of that type.
    pub(crate) fn type_name(self) -> Option<&'static str> {
        match self {
            Kind::Bool => Some("bool"),
            Kind::Int => Some("int"),
            Kind::Double => Some("double"),
            Kind::Text(Meaning::Plain) => Some("string"),
            Kind::List => Some("list"),
            Kind::Unknown | Kind::Text(_) | Kind::Map => None,
        }
    }
}

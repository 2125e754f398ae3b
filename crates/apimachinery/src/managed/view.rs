//! What server-side apply sees in a value: whether it is one thing or many, and what tells these apart.

use everynode_model::Value;

use super::element::{PathElement, Scalar};
use crate::custom::schema::{Additional, ROOT_FIELDS, Schema};
use crate::resource::Model;
use crate::schema::{Field, Kind, ListType, Type, type_named};

/// The schema of a value.
#[derive(Debug, Clone, Copy)]
pub enum View<'s> {
    /// Of a named type.
    Type(&'static Type),
    /// Of a field of one.
    Field(&'static Field, Free),
    /// Of an element of a list or map in one.
    Kind(&'static Kind, Free),
    /// Of a custom resource. The flag says whether unknown fields are kept here or further out.
    Custom(&'s Schema, bool),
    /// A text.
    Text,
    /// Anything.
    Free(Free),
}

/// How a value is seen of which no schema says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// As a whole.
    Whole,
    /// Field by field; lists as a whole.
    Deduced,
}

/// What a value is made of, after looking at it where the schema leaves that open.
#[derive(Debug, Clone, Copy)]
pub struct Form<'s> {
    /// Differs between two values of one schema only where the schema leaves the form open and they differ in it.
    pub(super) choice: Choice,
    /// The form.
    pub(super) shape: Shape<'s>,
}

/// Which form of several a value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// There is but one, or the value has none: null.
    Any,
    Scalar,
    List,
    Map,
}

/// The parts of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'s> {
    Scalar(ScalarKind),
    List(List<'s>),
    Map(Map<'s>),
}

/// What a scalar may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarKind {
    Number,
    Text,
    Truth,
    Any,
}

/// A list.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'s> {
    pub relation: Relation<'s>,
    pub item: View<'s>,
}

/// How the elements of a list are told apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum Relation<'s> {
    /// They are not.
    Atomic,
    /// By themselves.
    Set,
    /// By keys of a type of the schema.
    Keys(&'static [&'static str]),
    /// By keys of a custom resource.
    CustomKeys(&'s [String]),
}

/// A map, or an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map<'s> {
    pub is_atomic: bool,
    of: Fields<'s>,
}

#[derive(Debug, Clone, Copy)]
enum Fields<'s> {
    Type(&'static Type),
    Each(View<'s>),
    Custom(&'s Schema, bool),
}

/// A field of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child<'s> {
    pub view: View<'s>,
    /// Whether the schema names it, instead of taking any name.
    pub is_named: bool,
}

impl<'s> View<'s> {
    /// Of the objects of a resource.
    pub fn of(model: &'s Model) -> View<'s> {
        match model {
            Model::Typed(ty) => View::Type(ty),
            Model::Custom(custom) => View::Custom(custom.schema(), custom.schema().preserve_unknown),
        }
    }

    /// Whether the schema may change while there are objects.
    pub(super) fn may_change(self) -> bool {
        matches!(self, View::Custom(..))
    }

    /// Whether nothing is known but what values show.
    pub(super) fn is_free(self) -> bool {
        matches!(self, View::Free(_))
    }

    /// The form of a value, which may be absent.
    pub(super) fn form(self, value: Option<&Value>) -> Form<'s> {
        let only = |shape| Form { choice: Choice::Any, shape };
        match self {
            View::Type(ty) => only(struct_shape(ty, None)),
            View::Field(field, free) => kind_form(&field.kind, Some(field), free, value),
            View::Kind(kind, free) => kind_form(kind, None, free, value),
            View::Text => only(Shape::Scalar(ScalarKind::Text)),
            View::Free(free) => free_form(free, value),
            View::Custom(schema, keeps) => custom_form(schema, keeps, value),
        }
    }
}

fn struct_shape<'s>(ty: &'static Type, field: Option<&'static Field>) -> Shape<'s> {
    let is_atomic = match field.map_or(ListType::Unset, |field| field.list_type) {
        ListType::Unset => ty.is_atomic,
        said => said == ListType::Atomic,
    };
    Shape::Map(Map { is_atomic, of: Fields::Type(ty) })
}

fn kind_form<'s>(
    kind: &'static Kind,
    field: Option<&'static Field>,
    free: Free,
    value: Option<&Value>,
) -> Form<'s> {
    let list_type = field.map_or(ListType::Unset, |field| field.list_type);
    let scalar = |kind| Shape::Scalar(kind);
    let shape = match kind.pointee() {
        Kind::String | Kind::Bytes | Kind::Duration => scalar(ScalarKind::Text),
        Kind::Bool => scalar(ScalarKind::Truth),
        Kind::Int32 | Kind::Int64 | Kind::Float64 => scalar(ScalarKind::Number),
        Kind::Quantity | Kind::IntOrString | Kind::Time | Kind::MicroTime => scalar(ScalarKind::Any),
        Kind::Any => return free_form(free, value),
        Kind::StructOrAny(_) => return free_form(Free::Deduced, value),
        Kind::Struct(id) => struct_shape(id.get(), field),
        Kind::Map(inner) => {
            let of = Fields::Each(View::Kind(inner, free));
            Shape::Map(Map { is_atomic: list_type == ListType::Atomic, of })
        }
        Kind::List(inner) => {
            let relation = match (list_type, field) {
                (ListType::Set, _) => Relation::Set,
                (ListType::Map, Some(field)) => Relation::Keys(&field.list_map_keys),
                _ => Relation::Atomic,
            };
            Shape::List(List { relation, item: View::Kind(inner, free) })
        }
        // `pointee` has no pointers.
        Kind::Pointer(_) => return free_form(free, value),
    };
    Form { choice: Choice::Any, shape }
}

fn free_form<'s>(free: Free, value: Option<&Value>) -> Form<'s> {
    let map = Map { is_atomic: free == Free::Whole, of: Fields::Each(View::Free(free)) };
    let list = List { relation: Relation::Atomic, item: View::Free(Free::Whole) };
    chosen(map, list, value)
}

/// The form of a value whose schema leaves it open. Of null it is a map.
fn chosen<'s>(map: Map<'s>, list: List<'s>, value: Option<&Value>) -> Form<'s> {
    let (choice, shape) = match value {
        None | Some(Value::Null) => (Choice::Any, Shape::Map(map)),
        Some(Value::Object(_)) => (Choice::Map, Shape::Map(map)),
        Some(Value::Array(_)) => (Choice::List, Shape::List(list)),
        Some(_) => (Choice::Scalar, Shape::Scalar(ScalarKind::Any)),
    };
    Form { choice, shape }
}

fn custom_form<'s>(schema: &'s Schema, keeps: bool, value: Option<&Value>) -> Form<'s> {
    let map = Map { is_atomic: schema.is_atomic_map, of: Fields::Custom(schema, keeps) };
    let item = match &schema.items {
        Some(items) => View::Custom(items, keeps || items.preserve_unknown),
        None => View::Free(Free::Whole),
    };
    let relation = match schema.list_type.as_str() {
        "set" => Relation::Set,
        "map" => Relation::CustomKeys(&schema.list_map_keys),
        _ => Relation::Atomic,
    };
    let list = List { relation, item };
    let shape = match schema.kind.as_str() {
        "object" => Shape::Map(map),
        "array" => Shape::List(list),
        "integer" | "number" => Shape::Scalar(ScalarKind::Number),
        "boolean" => Shape::Scalar(ScalarKind::Truth),
        "string" if matches!(schema.format.as_str(), "" | "byte") => Shape::Scalar(ScalarKind::Text),
        "string" => Shape::Scalar(ScalarKind::Any),
        _ => return chosen(map, list, value),
    };
    Form { choice: Choice::Any, shape }
}

impl<'s> Map<'s> {
    /// The schema of a field; nothing where there is no such field.
    pub(super) fn child(self, name: &str) -> Option<Child<'s>> {
        let named = |view| Some(Child { view, is_named: true });
        match self.of {
            Fields::Each(view) => Some(Child { view, is_named: false }),
            Fields::Type(ty) => match ty.field(name) {
                Some(field) => named(View::Field(field, free_in(ty))),
                None if ty.is_object && matches!(name, "apiVersion" | "kind") => named(View::Text),
                None => None,
            },
            Fields::Custom(schema, keeps) => custom_child(schema, keeps, name),
        }
    }
}

/// How values of any form are seen in a type: as a whole, but for those in the schema of a definition.
fn free_in(ty: &Type) -> Free {
    if ty.name.starts_with("apiextensions.") { Free::Deduced } else { Free::Whole }
}

fn custom_child<'s>(schema: &'s Schema, keeps: bool, name: &str) -> Option<Child<'s>> {
    let has_front = schema.is_root || schema.embedded;
    if has_front && ROOT_FIELDS.contains(&name) {
        let metadata = type_named("meta.v1.ObjectMeta").map(View::Type).filter(|_| name == "metadata");
        return Some(Child { view: metadata.unwrap_or(View::Text), is_named: true });
    }
    let of = |schema: &'s Schema| View::Custom(schema, keeps || schema.preserve_unknown);
    if let Some(field) = schema.properties.get(name) {
        return Some(Child { view: of(field), is_named: true });
    }
    let deduced = View::Free(Free::Deduced);
    let view = match &schema.additional {
        Additional::Of(schema) => of(schema),
        Additional::Any(true) => deduced,
        Additional::Unset if keeps || schema.properties.is_empty() && !has_front => deduced,
        Additional::Any(false) | Additional::Unset => return None,
    };
    Some(Child { view, is_named: false })
}

/// Why an element of a list cannot be told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoKey(pub String);

impl List<'_> {
    /// What tells an element from others.
    pub(super) fn element(&self, item: &Value) -> Result<PathElement, NoKey> {
        let refuse = |why: &str| Err(NoKey(why.into()));
        match self.relation {
            Relation::Atomic => refuse("invalid indexing of non-associative list"),
            Relation::Set => match item {
                Value::Object(_) => refuse("associative list without keys has an element that's a map type"),
                Value::Array(_) => refuse("not supported: associative list with lists as elements"),
                Value::Null => refuse("associative list without keys has an element that's an explicit null"),
                scalar => Scalar::of(scalar)
                    .map(PathElement::Value)
                    .ok_or_else(|| NoKey("no number that can be told from others".into())),
            },
            Relation::Keys(keys) => self.keyed(item, keys),
            Relation::CustomKeys(keys) => self.keyed(item, keys),
        }
    }

    fn keyed(&self, item: &Value, names: &[impl AsRef<str>]) -> Result<PathElement, NoKey> {
        let refuse = |why: &str| Err(NoKey(why.into()));
        let fields = match item {
            Value::Object(fields) => fields,
            Value::Null => return refuse("associative list with keys may not have a null element"),
            _ => return refuse("associative list with keys may not have non-map elements"),
        };
        let mut keys = Vec::with_capacity(names.len());
        for name in names.iter().map(AsRef::as_ref) {
            let found = fields.get(name).and_then(Scalar::of);
            let value =
                found.or_else(|| if fields.contains_key(name) { None } else { self.key_default(name) });
            if let Some(value) = value {
                keys.push((Box::from(name), value));
            }
        }
        if keys.is_empty() {
            let quoted: Vec<String> =
                names.iter().map(|name| everynode_model::go_quote(name.as_ref())).collect();
            return Err(NoKey(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have \
                 default values for any key fields)",
                quoted.join(" ")
            )));
        }
        keys.sort();
        Ok(PathElement::Key(keys.into()))
    }

    /// What a key is where an element does not say.
    fn key_default(&self, name: &str) -> Option<Scalar> {
        let Shape::Map(map) = self.item.form(None).shape else { return None };
        match map.of {
            Fields::Type(ty) => ty.field(name).and_then(typed_default),
            Fields::Custom(schema, _) => schema.properties.get(name)?.default.as_ref().and_then(Scalar::of),
            Fields::Each(_) => None,
        }
    }
}

/// A key that is always written is empty where nobody says it.
fn typed_default(field: &'static Field) -> Option<Scalar> {
    use crate::schema::Omit;
    match (field.key_default, &field.kind) {
        (Some(text), _) => Some(Scalar::Text(text.into())),
        (None, _) if field.omit != Omit::Never => None,
        (None, Kind::String) => Some(Scalar::Text("".into())),
        (None, Kind::Int32 | Kind::Int64) => Some(Scalar::Int(0)),
        (None, _) => None,
    }
}

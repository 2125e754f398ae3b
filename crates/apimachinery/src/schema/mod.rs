//! What the API's types look like: their fields in the order in which the API server writes them, and
//! how patches merge them. Read once from the `.schema` files beside the sources.

mod parse;

use std::collections::HashMap;
use std::sync::OnceLock;

/// One named type, such as `core.v1.PodSpec`.
#[derive(Debug)]
pub struct Type {
    /// Name with group and version, such as `core.v1.PodSpec`.
    pub name: &'static str,
    /// Whether values carry `kind` and `apiVersion` in front of their fields.
    pub is_object: bool,
    /// Whether server-side apply sees a value as a whole, not its fields one by one.
    pub is_atomic: bool,
    /// Fields in the order of the API's output.
    pub fields: Vec<Field>,
}

/// One field of a type.
#[derive(Debug)]
pub struct Field {
    /// Name in JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// When it is left out.
    pub omit: Omit,
    /// Whether the API documents it as required.
    pub required: bool,
    /// How a strategic merge patch treats the field: merged with the present value instead of replacing it.
    pub patch_merge: bool,
    /// Whether a strategic merge patch replaces the present struct instead of merging with it.
    pub patch_replace: bool,
    /// Whether a strategic merge patch may name the keys to retain.
    pub patch_retain_keys: bool,
    /// The field that tells the elements of a merged list apart.
    pub merge_key: Option<&'static str>,
    /// How server-side apply sees a list or map.
    pub list_type: ListType,
    /// The fields that tell the elements of a `map` list apart.
    pub list_map_keys: Vec<&'static str>,
    /// What the field is, as a key of a `map` list, where an element does not say.
    pub key_default: Option<&'static str>,
}

/// When a field is left out of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omit {
    /// Always written, even when empty.
    Never,
    /// Left out when it is false, 0, empty, or absent. A struct is never empty in this sense.
    Empty,
    /// Left out when it has the zero value of its type, structs and times included.
    Zero,
}

/// How server-side apply sees a list or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// Nothing is said.
    Unset,
    /// Replaced as a whole.
    Atomic,
    /// A set of scalars.
    Set,
    /// Elements told apart by keys.
    Map,
    /// Fields owned one by one.
    Granular,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// True or false.
    Bool,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A floating-point number.
    Float64,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A resource quantity such as `100m`.
    Quantity,
    /// A number or a text such as `10%`.
    IntOrString,
    /// RFC 3339 with seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// A duration such as `1m0s`.
    Duration,
    /// Any JSON, kept as it came.
    Any,
    /// A value of a named type.
    Struct(TypeId),
    /// An object of a named type, or any other JSON, kept as it came.
    StructOrAny(TypeId),
    /// A list.
    List(Box<Kind>),
    /// A map with text keys, written sorted.
    Map(Box<Kind>),
    /// A value that may be absent, which is not the same as zero.
    Pointer(Box<Kind>),
}

impl Kind {
    /// The kind behind a pointer, or the kind itself.
    pub fn pointee(&self) -> &Kind {
        match self {
            Kind::Pointer(inner) => inner.pointee(),
            other => other,
        }
    }

    /// The type of a struct or of a pointer to one.
    pub fn as_struct(&self) -> Option<&'static Type> {
        match self.pointee() {
            Kind::Struct(id) | Kind::StructOrAny(id) => Some(id.get()),
            _ => None,
        }
    }

    /// The kind of the elements of a list or map.
    pub fn element(&self) -> Option<&Kind> {
        match self.pointee() {
            Kind::List(inner) | Kind::Map(inner) => Some(inner),
            _ => None,
        }
    }
}

/// A reference to a named type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeId(usize);

impl TypeId {
    /// The type that it refers to.
    pub fn get(self) -> &'static Type {
        &schema().types[self.0]
    }
}

impl Type {
    /// The field with this JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The name without group and version, such as `PodSpec`.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

/// All types, by name.
struct Schema {
    types: Vec<Type>,
    by_name: HashMap<&'static str, usize>,
}

const SOURCES: &[&str] = &[
    include_str!("../../schema/admissionregistration.v1.schema"),
    include_str!("../../schema/apiextensions.v1.schema"),
    include_str!("../../schema/apiregistration.v1.schema"),
    include_str!("../../schema/apps.v1.schema"),
    include_str!("../../schema/authentication.v1.schema"),
    include_str!("../../schema/authorization.v1.schema"),
    include_str!("../../schema/autoscaling.v1.schema"),
    include_str!("../../schema/autoscaling.v2.schema"),
    include_str!("../../schema/batch.v1.schema"),
    include_str!("../../schema/certificates.v1.schema"),
    include_str!("../../schema/coordination.v1.schema"),
    include_str!("../../schema/core.v1.schema"),
    include_str!("../../schema/discovery.v1.schema"),
    include_str!("../../schema/events.v1.schema"),
    include_str!("../../schema/flowcontrol.v1.schema"),
    include_str!("../../schema/meta.v1.schema"),
    include_str!("../../schema/metrics.v1beta1.schema"),
    include_str!("../../schema/networking.v1.schema"),
    include_str!("../../schema/node.v1.schema"),
    include_str!("../../schema/policy.v1.schema"),
    include_str!("../../schema/rbac.v1.schema"),
    include_str!("../../schema/resource.v1.schema"),
    include_str!("../../schema/scheduling.v1.schema"),
    include_str!("../../schema/storage.v1.schema"),
];

fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| match parse::parse(SOURCES) {
        Ok(types) => {
            let by_name = types.iter().enumerate().map(|(index, ty)| (ty.name, index)).collect();
            Schema { types, by_name }
        }
        // The sources are compiled in and a test parses them, so this says which edit broke them.
        Err(error) => panic!("built-in schema: {error}"),
    })
}

/// The type with this name, such as `apps.v1.DaemonSet`.
pub fn type_named(name: &str) -> Option<&'static Type> {
    let schema = schema();
    schema.by_name.get(name).map(|&index| &schema.types[index])
}

/// All types, in the order of the schema files.
pub fn types() -> impl Iterator<Item = &'static Type> {
    schema().types.iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_schema_is_found_by_its_name() {
        assert!(types().count() > 300);
        for ty in types() {
            assert_eq!(type_named(ty.name).map(|found| found.name), Some(ty.name));
            assert!(ty.fields.len() <= 64, "{}: the decoder counts seen fields in 64 bits", ty.name);
        }
        assert!(type_named("core.v1.Nothing").is_none());
    }

    #[test]
    fn a_field_knows_its_kind_and_how_patches_merge_it() {
        let spec = type_named("core.v1.PodSpec").expect("PodSpec is in the schema");
        let containers = spec.field("containers").expect("containers");
        assert!(containers.patch_merge);
        assert_eq!(containers.merge_key, Some("name"));
        assert_eq!(containers.list_type, ListType::Map);
        assert_eq!(
            containers.kind.element().and_then(Kind::as_struct).map(|ty| ty.short_name()),
            Some("Container")
        );
        let volumes = spec.field("volumes").expect("volumes");
        assert!(volumes.patch_merge && volumes.patch_retain_keys);
        let set = type_named("apps.v1.DaemonSet").expect("DaemonSet is in the schema");
        assert!(set.is_object && !spec.is_object);
    }
}

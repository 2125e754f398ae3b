//! The resource table: every kind that the API serves, and the rules that make it that kind.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use sha2::{Digest, Sha256};

use crate::custom::Custom;
use crate::decode::{self, Decode, DecodeError, Decoded};
use crate::kinds::strategy;
use crate::schema::{self, Type};
use crate::status::FieldError;
use crate::validate::meta::NameRule;
use crate::{Object, Value};

/// One kind as discovery shows it and as the generic handlers need it: a built-in one, made from its row, or
/// one version of a custom resource, made from its definition.
#[derive(Debug, Clone)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: Text,
    /// Version, such as `v1`.
    pub version: Text,
    /// Kind, such as `DaemonSet`.
    pub kind: Text,
    /// Kind of lists, such as `DaemonSetList`.
    pub list_kind: Text,
    /// Plural name in paths, such as `daemonsets`.
    pub plural: Text,
    /// Singular name, such as `daemonset`.
    pub singular: Text,
    /// Short names, such as `ds`.
    pub short_names: Vec<Text>,
    /// Categories, such as `all`.
    pub categories: Vec<Text>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs of the main resource, in the API's order.
    pub verbs: &'static [&'static str],
    /// Subresources, such as `status`.
    pub subresources: Cow<'static, [Subresource]>,
    /// Name of the type in the schema, such as `apps.v1.DaemonSet`; empty for custom resources.
    pub type_name: &'static str,
    /// Fields besides `metadata.name` and `metadata.namespace` that a field selector may name.
    pub selectable_fields: Vec<Text>,
    /// What a name of this kind may look like.
    pub name_rule: NameRule,
    /// How objects of this resource are kept where that is not as they are.
    pub stored_as: Option<Arc<dyn StoredAs>>,
    /// Whether an update may create the object (PUT on a name that does not exist).
    pub create_on_update: bool,
    /// Whether a PUT without a resourceVersion is accepted.
    pub unconditional_update: bool,
    /// Defaults, validation, preparation and columns.
    pub rules: RulesRef,
    /// What is said to everybody who asks for it, where it should not be used any more.
    pub deprecation: Option<String>,
    /// Whether its definition is being deleted, so that nothing new may be created.
    pub is_ending: bool,
    /// What is only known of custom resources.
    pub custom: Option<Arc<Custom>>,
}

/// A text of the resource table: part of the program, or of a definition.
pub type Text = Cow<'static, str>;

/// A row of the table of built-in kinds. The fields mean what they mean in [`Resource`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
    pub subresources: &'static [Subresource],
    pub type_name: &'static str,
    pub selectable_fields: &'static [&'static str],
    pub name_rule: NameRule,
    pub stored_as: Option<fn() -> Arc<dyn StoredAs>>,
    pub create_on_update: bool,
    pub unconditional_update: bool,
    pub rules: &'static dyn Rules,
}

impl From<&Row> for Resource {
    fn from(row: &Row) -> Resource {
        let texts = |texts: &'static [&'static str]| texts.iter().map(|text| Cow::Borrowed(*text)).collect();
        Resource {
            group: row.group.into(),
            version: row.version.into(),
            kind: row.kind.into(),
            list_kind: format!("{}List", row.kind).into(),
            plural: row.plural.into(),
            singular: row.singular.into(),
            short_names: texts(row.short_names),
            categories: texts(row.categories),
            namespaced: row.namespaced,
            verbs: row.verbs,
            subresources: Cow::Borrowed(row.subresources),
            type_name: row.type_name,
            selectable_fields: texts(row.selectable_fields),
            name_rule: row.name_rule,
            stored_as: row.stored_as.map(|made| made()),
            create_on_update: row.create_on_update,
            unconditional_update: row.unconditional_update,
            rules: RulesRef::BuiltIn(row.rules),
            deprecation: None,
            is_ending: false,
            custom: None,
        }
    }
}

/// What discovery shows of a kind that is going.
const ENDING_VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "watch"];

/// The rules of a kind: part of the program, or of a definition.
#[derive(Debug, Clone)]
pub enum RulesRef {
    /// Of a built-in kind.
    BuiltIn(&'static dyn Rules),
    /// Of a custom resource.
    Custom(Arc<dyn Rules>),
}

impl std::ops::Deref for RulesRef {
    type Target = dyn Rules;

    fn deref(&self) -> &(dyn Rules + 'static) {
        match self {
            RulesRef::BuiltIn(rules) => *rules,
            RulesRef::Custom(rules) => &**rules,
        }
    }
}

/// How bytes become an object of a resource.
#[derive(Debug, Clone)]
pub enum Model {
    /// By a type of the schema.
    Typed(&'static Type),
    /// By a definition.
    Custom(Arc<Custom>),
}

impl Model {
    /// The type of the schema; none for custom resources.
    pub fn as_type(&self) -> Option<&'static Type> {
        match self {
            Model::Typed(ty) => Some(ty),
            Model::Custom(_) => None,
        }
    }

    /// Puts the fields of an object into the order in which the API writes them.
    pub fn order(&self, object: &mut Value) {
        match self {
            Model::Typed(ty) => crate::defaults::order(ty, object),
            Model::Custom(_) => crate::custom::order(object),
        }
    }
}

impl Decode for Model {
    fn decode(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        match self {
            Model::Typed(ty) => decode::decode(ty, bytes),
            Model::Custom(custom) => custom.decode(bytes),
        }
    }

    fn takes_any_kind(&self) -> bool {
        matches!(self, Model::Custom(_))
    }
}

impl Resource {
    /// How bytes become an object; none for a resource whose type is not in the schema, which no test lets pass.
    pub fn model(&self) -> Option<Model> {
        match &self.custom {
            Some(custom) => Some(Model::Custom(custom.clone())),
            None => schema::type_named(self.type_name).map(Model::Typed),
        }
    }

    /// The hash by which clients notice that the stored version changed; none for resources that
    /// store nothing.
    pub fn storage_version_hash(&self) -> Option<String> {
        if !self.verbs.contains(&"watch") {
            return None;
        }
        let own = (self.group.as_ref(), self.version.as_ref());
        let (group, version) =
            self.stored_as.as_ref().map_or(own, |stored| (stored.group(), stored.version()));
        Some(storage_version_hash(group, version, &self.kind))
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone().into_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The verbs that discovery shows: those that an object needs to go, when its kind is going.
    pub fn listed_verbs(&self) -> &'static [&'static str] {
        if self.is_ending { ENDING_VERBS } else { self.verbs }
    }

    /// The kind that a subresource takes and gives.
    pub fn kind_of<'a>(&'a self, subresource: &Subresource) -> &'a str {
        if subresource.kind.is_empty() { &self.kind } else { subresource.kind }
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
}

/// The `storageVersionHash` of discovery: the first eight bytes of the SHA-256 of
/// `group/version/kind`, in base64.
pub fn storage_version_hash(group: &str, version: &str, kind: &str) -> String {
    let digest = Sha256::digest(format!("{group}/{version}/{kind}"));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

/// How objects are kept in another form than the one that is shown: as those of another resource, of which this
/// one is a view, or in another version.
///
/// Rules (defaults, preparation, validation) see the form of the resource that was asked for; the
/// conversions run after them on writes and before everything else on reads. A watch, a list and
/// preconditions work on the stored objects.
pub trait StoredAs: Send + Sync + std::fmt::Debug {
    /// Group of the stored resource.
    fn group(&self) -> &str;
    /// Version of the stored resource.
    fn version(&self) -> &str;
    /// Plural of the stored resource.
    fn plural(&self) -> &str;
    /// Turns an object of this resource into the stored form.
    fn to_stored(&self, object: Value) -> Value;
    /// Turns a stored object into the form of this resource.
    fn shown_form(&self, object: Value) -> Value;
}

/// A subresource as discovery shows it.
#[derive(Debug, Clone, Copy)]
pub struct Subresource {
    /// Name behind the slash, such as `status`.
    pub name: &'static str,
    /// Kind that it takes and gives, such as `Eviction`; empty where that is the resource's own.
    pub kind: &'static str,
    /// Group of that kind where it differs from the resource's, else empty.
    pub group: &'static str,
    /// Version of that kind where it differs, else empty.
    pub version: &'static str,
    /// Verbs in the API's order.
    pub verbs: &'static [&'static str],
}

/// What makes a kind that kind. Objects reach these functions decoded by the schema
/// (unknown fields gone, types right, quantities canonical); the metadata that is common to all kinds
/// (names, labels, annotations, owner references, finalizers) is handled by the generic code.
pub trait Rules: Send + Sync + std::fmt::Debug {
    /// Says why the object cannot be converted, where decoding by the schema is not enough. The
    /// sentence follows `DaemonSet in version "v1" cannot be handled as a DaemonSet: ` in a 400.
    fn convert(&self, _object: &Value) -> Result<(), String> {
        Ok(())
    }

    /// Fills in what the client left out. Runs after decoding on create, update and patch.
    fn default(&self, _object: &mut Value) {}

    /// The type of the status, for kinds where clients write the spec and controllers the status, and a change
    /// of the spec raises `metadata.generation`. The preparations below do that, unless a kind has its own.
    fn status_type(&self) -> Option<&'static str> {
        None
    }

    /// Clears or sets what a client may not choose on create (status, `metadata.generation`).
    fn prepare_create(&self, object: &mut Value) {
        if let Some(status_type) = self.status_type() {
            strategy::create(object, status_type);
        }
    }

    /// Takes over from `old` what an update of the main resource may not change (status) and raises
    /// `metadata.generation` when the spec changed. Expects that `metadata.generation` of `new` has
    /// been set to that of `old`.
    fn prepare_update(&self, new: &mut Value, old: &Value) {
        if self.status_type().is_some() {
            strategy::update(new, old);
        }
    }

    /// Takes over from `old` what an update of the status subresource may not change (spec).
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        if self.status_type().is_some() {
            strategy::status_update(new, old);
        }
    }

    /// Adds what a deletion has to wait for. Runs when the object is first deleted.
    fn prepare_delete(&self, _object: &mut Value) {}

    /// Checks a new object.
    fn validate_create(&self, _object: &Value, _errors: &mut Vec<FieldError>) {}

    /// Checks a changed object against the one it replaces: as a new object, unless a kind has its own
    /// checks, which include those of `validate_create` where the API repeats them.
    fn validate_update(&self, new: &Value, _old: &Value, errors: &mut Vec<FieldError>) {
        self.validate_create(new, errors);
    }

    /// Checks an update of the status subresource.
    fn validate_status_update(&self, _new: &Value, _old: &Value, _errors: &mut Vec<FieldError>) {}

    /// Sentences for the `Warning` header. `old` is absent on create.
    fn warnings(&self, _new: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// The columns of `kubectl get`.
    fn columns(&self) -> &'static [Column] {
        NAME_AND_CREATED
    }

    /// The columns as a table shows them.
    fn column_definitions(&self) -> Vec<Value> {
        self.columns().iter().map(Column::definition).collect()
    }

    /// The cells of one row, one per column. `now` is Unix time in seconds, for ages.
    fn cells(&self, object: &Value, _now: i64) -> Vec<Value> {
        default_cells(object)
    }

    /// Takes out of metadata what is only there in the versioned form of the object, as tables and
    /// partial objects are made from the other one.
    fn unversion_metadata(&self, _metadata: &mut Value) {}

    /// What a row says about an object that has come to its end.
    fn row_conditions(&self, _object: &Value) -> Option<Value> {
        None
    }
}

/// One column of `kubectl get`.
#[derive(Debug)]
pub struct Column {
    /// Heading, such as `Node Selector`.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, ...
    pub kind: &'static str,
    /// OpenAPI format, `name` for the name column, else empty.
    pub format: &'static str,
    /// What it means, in one sentence.
    pub description: &'static str,
    /// 0 always shown, 1 only with `-o wide`.
    pub priority: i64,
}

impl Column {
    /// The column as a table shows it.
    pub fn definition(&self) -> Value {
        column_definition(self.name, self.kind, self.format, self.description, self.priority)
    }
}

/// A column as a table shows it.
pub(crate) fn column_definition(
    name: &str,
    kind: &str,
    format: &str,
    description: &str,
    priority: i64,
) -> Value {
    let mut object = Object::new();
    object.insert("name".into(), name.into());
    object.insert("type".into(), kind.into());
    object.insert("format".into(), format.into());
    object.insert("description".into(), description.into());
    object.insert("priority".into(), priority.into());
    Value::Object(object)
}

/// The column of the object's name.
pub const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    priority: 0,
};

/// What the API says about the time of creation.
pub const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// Columns of kinds that have none of their own.
pub const NAME_AND_CREATED: &[Column] =
    &[NAME, Column { name: "Created At", kind: "date", format: "", description: CREATED, priority: 0 }];

fn default_cells(object: &Value) -> Vec<Value> {
    let field = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    vec![field("/metadata/name"), field("/metadata/creationTimestamp")]
}

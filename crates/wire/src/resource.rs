//! The resource table: every kind that the API serves, and the rules that make it that kind.

use base64::Engine as _;
use sha2::{Digest, Sha256};

use crate::Value;
use crate::kinds::strategy;
use crate::status::FieldError;
use crate::validate::meta::NameRule;

/// One kind as discovery shows it and as the generic handlers need it.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version, such as `v1`.
    pub version: &'static str,
    /// Kind, such as `DaemonSet`.
    pub kind: &'static str,
    /// Plural name in paths, such as `daemonsets`.
    pub plural: &'static str,
    /// Singular name, such as `daemonset`.
    pub singular: &'static str,
    /// Short names, such as `ds`.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs of the main resource, in the API's order.
    pub verbs: &'static [&'static str],
    /// Subresources, such as `status`.
    pub subresources: &'static [Subresource],
    /// Name of the type in the schema, such as `apps.v1.DaemonSet`.
    pub type_name: &'static str,
    /// Fields besides `metadata.name` and `metadata.namespace` that a field selector may name.
    pub selectable_fields: &'static [&'static str],
    /// What a name of this kind may look like.
    pub name_rule: NameRule,
    /// Set where the objects of this resource are kept as those of another group and version.
    pub stored_as: Option<&'static StoredAs>,
    /// Whether an update may create the object (PUT on a name that does not exist).
    pub create_on_update: bool,
    /// Whether a PUT without a resourceVersion is accepted.
    pub unconditional_update: bool,
    /// Defaults, validation, preparation and columns.
    pub rules: &'static dyn Rules,
}

impl Resource {
    /// The hash by which clients notice that the stored version changed; none for resources that
    /// store nothing.
    pub fn storage_version_hash(&self) -> Option<String> {
        if !self.verbs.contains(&"watch") {
            return None;
        }
        let (group, version) = self.stored_as.map_or((self.group, self.version), |s| (s.group, s.version));
        Some(storage_version_hash(group, version, self.kind))
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
}

/// The `storageVersionHash` of discovery: the first eight bytes of the SHA-256 of
/// `group/version/kind`, in base64.
pub fn storage_version_hash(group: &str, version: &str, kind: &str) -> String {
    let digest = Sha256::digest(format!("{group}/{version}/{kind}"));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

/// How two resources share their objects: one is stored, the other is a view on it.
///
/// Rules (defaults, preparation, validation) see the form of the resource that was asked for; the
/// conversions run after them on writes and before everything else on reads. A watch, a list and
/// preconditions work on the stored objects.
#[derive(Debug)]
pub struct StoredAs {
    /// Group of the stored resource.
    pub group: &'static str,
    /// Version of the stored resource.
    pub version: &'static str,
    /// Plural of the stored resource.
    pub plural: &'static str,
    /// Turns an object of this resource into the stored form.
    pub to_stored: fn(Value) -> Value,
    /// Turns a stored object into the form of this resource.
    pub from_stored: fn(Value) -> Value,
}

/// A subresource as discovery shows it.
#[derive(Debug)]
pub struct Subresource {
    /// Name behind the slash, such as `status`.
    pub name: &'static str,
    /// Kind that it takes and gives, such as `Eviction`.
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
pub trait Rules: Sync + std::fmt::Debug {
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
    pub priority: i32,
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

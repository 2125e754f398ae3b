//! The resource table: every kind that the API serves, and the rules that make it that kind.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use everynode_model::Value;
use sha2::{Digest, Sha256};

use crate::custom::{self, Custom};
use crate::decode::{self, Decode, DecodeError, Decoded};
use crate::rules::Rules;
use crate::schema::{self, Type};
use crate::validate::{Errors, meta};
use everynode_model::names::NameRule;

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

/// Every verb of a resource that is stored.
pub(crate) const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Verbs of subresources that show the object itself.
pub(crate) const READ_WRITE: &[&str] = &["get", "patch", "update"];

/// Kinds that the API checks as it checks those of definitions.
const FREE_FINALIZERS: &[&str] = &[
    "CustomResourceDefinition",
    "Event",
    "Lease",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// Kinds whose hash says that the API stores them in an older version.
const HASHED_AS_BETA: &[&str] =
    &["CustomResourceDefinition", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"];

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
            Model::Custom(_) => custom::order(object),
        }
    }
}

impl Decode for Model {
    fn decode(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        match self {
            Model::Typed(ty) => decode::decode(ty, bytes),
            Model::Custom(kind) => kind.decode(bytes),
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
            Some(kind) => Some(Model::Custom(kind.clone())),
            None => schema::type_named(self.type_name).map(Model::Typed),
        }
    }

    /// The hash by which clients notice that the stored version changed; none for resources that
    /// store nothing.
    pub fn storage_version_hash(&self) -> Option<String> {
        if !self.verbs.contains(&"watch") {
            return None;
        }
        let is_older = self.custom.is_none() && HASHED_AS_BETA.contains(&&*self.kind);
        let own = (self.group.as_ref(), if is_older { "v1beta1" } else { self.version.as_ref() });
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

    /// Checks that the finalizers of an object are qualified or standard ones, where the API checks that. Those of kinds
    /// that definitions make need not be.
    pub fn validate_finalizer_names(&self, object: &Value, errors: &mut Errors) {
        if self.custom.is_none() && !FREE_FINALIZERS.contains(&&*self.kind) {
            meta::finalizer_names(object, errors);
        }
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

impl Subresource {
    /// The scale of an object, which is a kind of its own.
    pub(crate) const SCALE: Subresource =
        Subresource { name: "scale", kind: "Scale", group: "autoscaling", version: "v1", verbs: READ_WRITE };
    /// The status of a custom resource.
    pub(crate) const STATUS: Subresource = Subresource::new("status", "", READ_WRITE);

    /// A subresource of another kind of the core group, or of the object's own.
    pub(crate) const fn new(
        name: &'static str,
        kind: &'static str,
        verbs: &'static [&'static str],
    ) -> Subresource {
        Subresource { name, kind, group: "", version: "", verbs }
    }
}

//! What every object says of itself.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::null_as_default;
use crate::{Labels, Text, time};

/// An object of any kind.
#[derive(Debug, Deserialize)]
pub struct AnyObject<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
}

/// What every object says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Namespace, empty for objects of the cluster.
    #[serde(borrow)]
    pub namespace: Text<'a>,
    /// Identity across deletion and creation under the same name.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Version, as text; see [`Metadata::version`].
    #[serde(borrow)]
    pub resource_version: Text<'a>,
    /// How often the spec has changed.
    pub generation: i64,
    /// Labels.
    #[serde(borrow)]
    pub labels: Labels<'a>,
    /// Annotations, unread: they can be large, and few readers want them. Read them as [`Labels`].
    #[serde(borrow)]
    pub annotations: Option<&'a RawValue>,
    /// When the object was made.
    #[serde(borrow)]
    pub creation_timestamp: Option<Text<'a>>,
    /// When the object was asked to go; it goes when its finalizers and its grace period have ended.
    #[serde(borrow)]
    pub deletion_timestamp: Option<Text<'a>>,
    /// The time that it has for that, in seconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Who has to agree before the object goes.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub finalizers: Vec<Text<'a>>,
    /// The objects that it depends on.
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub owner_references: Vec<Owner<'a>>,
}

/// An object that another one depends on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Owner<'a> {
    /// Group and version.
    #[serde(borrow)]
    pub api_version: Text<'a>,
    /// Kind.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// Name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Identity.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Whether it is the one owner that manages the object.
    pub controller: Option<bool>,
    /// Whether a foreground deletion of the owner waits for the object.
    pub block_owner_deletion: Option<bool>,
}

impl Metadata<'_> {
    /// The version as a number; none for a server whose versions are not numbers.
    pub fn version(&self) -> Option<u64> {
        self.resource_version.parse().ok()
    }

    /// The owner that manages the object.
    pub fn controller(&self) -> Option<&Owner<'_>> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether the object was asked to go.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// When the time ends that the object was given to go, in Unix seconds, if it was asked to.
    pub fn deleted_by_seconds(&self) -> Option<i64> {
        time::seconds(self.deletion_timestamp.as_ref())
    }

    /// When the object was made, in Unix seconds.
    pub fn created_seconds(&self) -> Option<i64> {
        time::seconds(self.creation_timestamp.as_ref())
    }
}

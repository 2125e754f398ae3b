//! Watched objects reduced to what their readers need, borrowed from the bytes of the watch.
//!
//! A watch of 100,000 pods brings mostly fields that nobody here reads. These structs skip them, and copy a
//! text only where it holds an escape. Readers that need other parts of a kind put their own struct together
//! from [`Metadata`], [`Condition`] and the other common ones.

mod condition;
mod daemon_set;
mod node;
mod node_placement;
mod pod;
mod text;

pub use condition::{Condition, condition_status};
pub use daemon_set::{ControllerRevision, DaemonSet, DaemonSetSpec, Placement};
pub use node::{Address, Node, NodeSpec, NodeStatus, Taint};
pub use node_placement::NodePlacement;
pub use pod::{Pod, Ready};
pub use text::{Labels, Text};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::time;

/// One line of a watch: what happened, and the object as it is now (as it was, for a deletion).
#[derive(Debug, Deserialize)]
pub struct WatchEvent<T> {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The object. That of a bookmark has only a version; an error's is a `Status`, read it with
    /// [`crate::status::Status::from_value`].
    pub object: T,
}

/// What a line of a watch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventKind {
    /// The object is new, or new to this watch.
    Added,
    /// The object has changed.
    Modified,
    /// The object is gone.
    Deleted,
    /// All changes up to this version have been sent.
    Bookmark,
    /// The watch has failed.
    Error,
}

/// Reads one line of a watch of objects of type `T`, such as [`Pod`].
///
/// # Errors
/// The line is not such an event.
pub fn event<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<WatchEvent<T>, serde_json::Error> {
    serde_json::from_slice(line)
}

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

    /// When the object was made, in Unix seconds.
    pub fn created_seconds(&self) -> Option<i64> {
        self.creation_timestamp.as_deref().and_then(|text| time::parse(text).ok())
    }
}

/// Reads null as an absent value.
fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;

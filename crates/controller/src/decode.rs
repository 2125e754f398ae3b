//! From the bytes of a watched object to a fact: borrowed text, and no field that the engine does not read.

use everynode_engine::read::{self, Lacks, uid};
use everynode_engine::{DaemonSetFact, Fact, Kind, RevisionFact, Uid};
use everynode_model::{AnyObject, NodePlacement};

/// An object that no fact can be made of.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not the JSON that the API promises.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It lacks what every served object has.
    #[error(transparent)]
    Lacks(#[from] Lacks),
}

/// Reads an object as it now is and hands the fact to `observe`.
///
/// # Errors
/// [`Unreadable`] when there is no such fact in the bytes; `observe` was not called.
pub fn applied(kind: Kind, object: &[u8], observe: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    match kind {
        Kind::Node => Ok(read::node(&NodePlacement::read(object)?, |fact| observe(Fact::Node(fact)))?),
        Kind::Pod => Ok(read::pod(&serde_json::from_slice(object)?, |fact| observe(Fact::Pod(fact)))?),
        Kind::DaemonSet => {
            let value: serde_json::Value = serde_json::from_slice(object)?;
            let fact = DaemonSetFact::from_json(&value).ok_or(Lacks("name, namespace or uid"))?;
            observe(Fact::DaemonSet(Box::new(fact)));
            Ok(())
        }
        Kind::Revision => {
            observe(Fact::Revision(Box::new(revision(object)?)));
            Ok(())
        }
    }
}

/// Reads the last state of an object that is gone and hands the fact to `observe`.
///
/// # Errors
/// As [`applied`].
pub(crate) fn gone(kind: Kind, object: &[u8], observe: impl FnOnce(Fact<'_>)) -> Result<(), Unreadable> {
    let object: AnyObject<'_> = serde_json::from_slice(object)?;
    let metadata = &object.metadata;
    match kind {
        Kind::Node if metadata.name.is_empty() => return Err(Lacks("name").into()),
        Kind::Node => observe(Fact::NodeGone(&metadata.name)),
        Kind::DaemonSet => observe(Fact::DaemonSetGone(uid(metadata)?)),
        Kind::Revision => observe(Fact::RevisionGone(uid(metadata)?)),
        Kind::Pod => observe(Fact::PodGone {
            uid: uid(metadata)?,
            resource_version: metadata.version().unwrap_or_default(),
        }),
    }
    Ok(())
}

/// The `namespace/name` of an object, for messages; as much of it as can be read.
pub(crate) fn name_of(object: &[u8]) -> String {
    match serde_json::from_slice::<AnyObject<'_>>(object) {
        Ok(object) if object.metadata.namespace.is_empty() => object.metadata.name.to_string(),
        Ok(object) => format!("{}/{}", &*object.metadata.namespace, &*object.metadata.name),
        Err(_) => String::new(),
    }
}

/// What the answer to a write tells about the object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// metadata.name.
    pub(crate) name: String,
    /// metadata.uid.
    pub(crate) uid: Uid,
    /// metadata.resourceVersion as a number, else 0.
    pub(crate) resource_version: u64,
    /// metadata.deletionTimestamp is set.
    pub(crate) deleting: bool,
}

/// Reads the identity and version of a served object.
///
/// # Errors
/// [`Unreadable`] when there is no object with a proper uid in the bytes.
pub(crate) fn written(object: &[u8]) -> Result<Written, Unreadable> {
    let AnyObject { metadata } = &serde_json::from_slice(object)?;
    Ok(Written {
        name: metadata.name.to_string(),
        uid: uid(metadata)?,
        resource_version: metadata.version().unwrap_or_default(),
        deleting: metadata.is_deleting(),
    })
}

/// Reads a served ControllerRevision.
///
/// # Errors
/// [`Unreadable`] when there is none in the bytes.
pub(crate) fn revision(object: &[u8]) -> Result<RevisionFact, Unreadable> {
    Ok(read::revision(&serde_json::from_slice(object)?)?)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

//! Revisions of DaemonSets.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Metadata;

/// A ControllerRevision.
#[derive(Debug, Deserialize)]
pub struct ControllerRevision<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    /// The template that it keeps, byte for byte.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    /// Its number.
    #[serde(default)]
    pub revision: i64,
}

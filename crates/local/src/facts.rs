//! What only the loops read: borrowed from the watch's bytes.

use everynode_model::{Metadata, Text};
use serde::Deserialize;

/// A Lease.
#[derive(Debug, Deserialize)]
pub(crate) struct Lease<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub spec: LeaseSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct LeaseSpec<'a> {
    #[serde(borrow)]
    pub renew_time: Option<Text<'a>>,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Deserialize)]
pub(crate) struct Claim<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub spec: ClaimSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ClaimSpec<'a> {
    /// The volume that it is bound to; empty when it is not.
    #[serde(borrow)]
    pub volume_name: Text<'a>,
}

/// A PodDisruptionBudget.
#[derive(Debug, Deserialize)]
pub(crate) struct Budget<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(default)]
    pub spec: serde_json::Value,
    #[serde(default)]
    pub status: serde_json::Value,
}

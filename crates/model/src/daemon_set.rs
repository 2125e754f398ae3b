//! DaemonSets and their revisions.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::text::null_as_default;
use crate::{Labels, Metadata, Text};

/// A DaemonSet.
#[derive(Debug, Deserialize)]
pub struct DaemonSet<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    /// What is wanted.
    #[serde(borrow)]
    pub spec: DaemonSetSpec<'a>,
    /// What is, as written by the controller before.
    #[serde(default, deserialize_with = "null_as_default")]
    pub status: Value,
}

/// What a DaemonSet wants.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonSetSpec<'a> {
    /// The pods that belong to it, a `LabelSelector`.
    #[serde(default)]
    pub selector: Value,
    /// The pod template, byte for byte.
    #[serde(borrow)]
    pub template: &'a RawValue,
    /// How pods are replaced.
    #[serde(default)]
    pub update_strategy: Value,
    /// How long a pod must be ready before it counts as available, in seconds.
    #[serde(default)]
    pub min_ready_seconds: i32,
    /// How many old revisions are kept.
    #[serde(default)]
    pub revision_history_limit: Option<i32>,
}

/// The parts of a pod template that decide on which nodes its pods go.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Placement<'a> {
    /// The one node that pods may go to, if it is set.
    #[serde(borrow)]
    pub node_name: Text<'a>,
    /// Labels that a node must have.
    #[serde(borrow)]
    pub node_selector: Labels<'a>,
    /// Node affinity and others; only the required node affinity counts.
    pub affinity: Value,
    /// Taints that are tolerated.
    #[serde(deserialize_with = "null_as_default")]
    pub tolerations: Vec<Value>,
    /// Whether pods use the node's network.
    pub host_network: bool,
}

#[derive(Deserialize)]
struct Template<'a> {
    #[serde(borrow, default)]
    spec: Placement<'a>,
}

impl<'a> DaemonSetSpec<'a> {
    /// Reads from the template what decides on placement.
    ///
    /// # Errors
    /// The template is not a pod template.
    pub fn placement(&self) -> Result<Placement<'a>, serde_json::Error> {
        serde_json::from_str::<Template<'a>>(self.template.get()).map(|template| template.spec)
    }
}

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

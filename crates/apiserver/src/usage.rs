//! Who knows what nodes and pods use. The server asks when somebody asks it, and keeps nothing.

use std::fmt;
use std::sync::Arc;

use everynode_apimachinery::status::Status;
use everynode_model::NodeSample;
use futures::future::BoxFuture;

use crate::store::Stored;

/// A node, and pods on it.
#[derive(Debug, Clone)]
pub struct AskedNode {
    /// The node.
    pub node: Arc<Stored>,
    /// Pods that are bound to it: all, where the usage of the node is wanted.
    pub pods: Vec<Arc<Stored>>,
}

/// Why nothing is known of what a node and its pods use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The node does not answer.
    #[error("node {node} does not tell what it uses: {why}")]
    NoAnswer {
        /// The node.
        node: String,
        /// Why, as a clause.
        why: String,
    },
    /// Nothing has been measured over a whole window yet.
    #[error("node {node} was not measured for long enough yet")]
    TooEarly {
        /// The node.
        node: String,
    },
}

impl From<UsageError> for Status {
    fn from(error: UsageError) -> Status {
        Status::unavailable(error.to_string())
    }
}

/// Knows what nodes and pods use. With one the server serves `metrics.k8s.io`.
pub trait UsageSource: fmt::Debug + Send + Sync {
    /// What nodes and their pods used, in the order in which they are asked for. `now_seconds` is Unix time.
    fn samples(
        &self,
        asked: Vec<AskedNode>,
        now_seconds: i64,
    ) -> BoxFuture<'_, Vec<Result<NodeSample, UsageError>>>;
}

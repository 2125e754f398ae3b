//! What the nodes of `up` and their pods use: of simulated ones what their annotations ask for.

use everynode_apiserver::store::Stored;
use everynode_apiserver::{AskedNode, UsageError, UsageSource};
use everynode_model::{Node, NodeSample, Pod};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;

/// Knows all nodes of the cluster.
#[derive(Debug)]
pub struct FleetUsage;

impl UsageSource for FleetUsage {
    fn samples(
        &self,
        asked: Vec<AskedNode>,
        now_seconds: i64,
    ) -> BoxFuture<'_, Vec<Result<NodeSample, UsageError>>> {
        let answered = asked.iter().map(|asked| simulated(asked, now_seconds)).collect();
        futures::future::ready(answered).boxed()
    }
}

fn simulated(asked: &AskedNode, now_seconds: i64) -> Result<NodeSample, UsageError> {
    let silent =
        |why: &str| UsageError::NoAnswer { node: asked.node.facts.name.to_string(), why: why.to_owned() };
    let node: Node<'_> = read(&asked.node).ok_or_else(|| silent("its object cannot be read"))?;
    // A pod that cannot be read keeps its place, and has no figures.
    let pods: Vec<Pod<'_>> = asked.pods.iter().map(|pod| read(pod).unwrap_or_default()).collect();
    everynode_node::usage::sample(&node, &pods, now_seconds)
        .ok_or_else(|| silent("its agent does not answer"))
}

fn read<'a, T: Deserialize<'a>>(stored: &'a Stored) -> Option<T> {
    serde_json::from_slice(stored.bytes()).ok()
}

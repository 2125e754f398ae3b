//! What the nodes of `up` and their pods use: of simulated ones what their annotations ask for, of those with a kubelet
//! what that measures.

mod real;

use everynode_apiserver::store::Stored;
use everynode_apiserver::{AskedNode, UsageError, UsageSource};
use everynode_client::Client;
use everynode_model::{Node, NodeSample, Pod};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use serde::Deserialize;

use real::Kubelets;

/// Knows all nodes of the cluster.
#[derive(Debug, Default)]
pub struct FleetUsage {
    kubelets: Kubelets,
}

impl FleetUsage {
    /// Reaches kubelets through the API from now on, by this client.
    pub fn connect(&self, client: Client) {
        self.kubelets.connect(client);
    }

    async fn sample(&self, asked: &AskedNode, now_seconds: i64) -> Result<NodeSample, UsageError> {
        let name = &*asked.node.facts.name;
        let silent = |why: &str| UsageError::NoAnswer { node: name.to_owned(), why: why.to_owned() };
        let node: Node<'_> = read(&asked.node).ok_or_else(|| silent("its object cannot be read"))?;
        if node.kubelet_port().is_some() {
            let pods = asked.pods.iter().map(|pod| (&*pod.facts.namespace, &*pod.facts.name));
            return self.kubelets.sample(name, pods).await;
        }
        // A pod that cannot be read keeps its place, and has no figures.
        let pods: Vec<Pod<'_>> = asked.pods.iter().map(|pod| read(pod).unwrap_or_default()).collect();
        everynode_node::usage::sample(&node, &pods, now_seconds)
            .ok_or_else(|| silent("its agent does not answer"))
    }
}

impl UsageSource for FleetUsage {
    fn samples(
        &self,
        asked: Vec<AskedNode>,
        now_seconds: i64,
    ) -> BoxFuture<'_, Vec<Result<NodeSample, UsageError>>> {
        let answers =
            async move { join_all(asked.iter().map(|asked| self.sample(asked, now_seconds))).await };
        answers.boxed()
    }
}

fn read<'a, T: Deserialize<'a>>(stored: &'a Stored) -> Option<T> {
    serde_json::from_slice(stored.bytes()).ok()
}

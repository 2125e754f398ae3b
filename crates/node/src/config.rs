//! What a fleet is made of, and how it behaves.

use std::time::Duration;

use everynode_model::Value;

/// How a fleet of simulated nodes behaves.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// Time from a pod's binding to its running, drawn evenly between the two.
    pub pod_start: (Duration, Duration),
    /// Requests under way at one time.
    pub concurrency: usize,
    /// How often each node renews its lease.
    pub lease_interval: Duration,
    /// How long a lease holds without renewal; written into the Lease.
    pub lease_duration: Duration,
    /// How often each node posts its status when nothing changed.
    pub status_interval: Duration,
    /// Events per second about ordinary happenings (Pulled, Created, Started, Killing), for the whole fleet;
    /// more are left out. Events about failures have a ten times larger allowance.
    pub events_per_second: f64,
    /// Fixes jitter and start delays, for tests.
    pub seed: Option<u64>,
}

impl FleetConfig {
    /// The usual behaviour for these nodes.
    pub fn new(nodes: Vec<NodeSpec>) -> FleetConfig {
        FleetConfig {
            nodes,
            pod_start: (Duration::ZERO, Duration::ZERO),
            concurrency: 64,
            lease_interval: Duration::from_secs(10),
            lease_duration: Duration::from_secs(40),
            status_interval: Duration::from_secs(300),
            events_per_second: 5.0,
            seed: None,
        }
    }
}

/// One simulated node.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// The name of the Node object.
    pub name: String,
    /// The Node object whose labels, annotations, taints, capacity and conditions the node takes over.
    pub adopted: Option<Value>,
    /// What the agent of this node does.
    pub mode: Mode,
}

/// What the agent of a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything a kubelet does.
    Healthy,
    /// It lives and renews its lease, reports Ready False, and starts no pods.
    NotReady,
    /// It registers its Node, with Ready Unknown, and does nothing ever after.
    Silent,
}

impl NodeSpec {
    /// A healthy node of the standard shape: linux, amd64, 32 cpu, 256Gi, 500Gi of disk, 250 pods.
    pub fn new(name: impl Into<String>) -> NodeSpec {
        NodeSpec { name: name.into(), adopted: None, mode: Mode::Healthy }
    }

    /// `count` nodes of the standard shape, `PREFIX1` and up.
    pub fn numbered(prefix: &str, count: usize) -> Vec<NodeSpec> {
        (1..=count).map(|number| NodeSpec::new(format!("{prefix}{number}"))).collect()
    }

    /// The node that this Node object describes, as `kubectl get nodes -o yaml` prints it. A node that is not
    /// Ready in the object stays as it is: see [`Mode`].
    ///
    /// # Errors
    /// A sentence that says what is wrong with the object.
    pub fn from_object(object: Value) -> Result<NodeSpec, String> {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or("");
        if kind != "Node" {
            return Err(format!("kind is {kind:?}, and a fleet is made of Nodes"));
        }
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
        if name.is_empty() {
            return Err("metadata.name: a Node needs a name".into());
        }
        let text = object.to_string();
        let node = serde_json::from_str(&text).map_err(|error| format!("it cannot be read: {error}"))?;
        let (name, mode) = (name.to_owned(), crate::identity::mode_of(&node));
        Ok(NodeSpec { name, mode, adopted: Some(object) })
    }
}

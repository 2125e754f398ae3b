//! What the outside and the first process of a node say to each other.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the first process of a node says on standard output once it is in its namespaces.
pub const READY: &str = "ready";

/// What the first process of a node is told: one line of JSON on its standard input. When that ends, the node ends.
#[derive(Clone, Serialize, Deserialize)]
pub struct NodeSetup {
    /// The node's name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The range of its pods' addresses.
    pub pod_cidr: String,
    /// The length of the network's prefix.
    pub prefix_bits: u8,
    /// The way to everything else.
    pub gateway: Ipv4Addr,
    /// Its files on the machine's disk: images, containers, volumes, logs.
    pub folder: PathBuf,
    /// The cgroup below which its pods are.
    pub cgroup: String,
    /// By which the API is reached.
    pub api: Ipv4Addr,
    /// By which its agent is known.
    pub kubeconfig: String,
    /// Where images come from.
    pub registry: SocketAddr,
}

impl std::fmt::Debug for NodeSetup {
    /// Without the kubeconfig, which holds a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeSetup").field("name", &self.name).field("address", &self.address).finish()
    }
}

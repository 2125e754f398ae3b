//! What everything that an agent does for its pods has at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use everynode_model::quantity::Quantity;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::allotments::Allotments;
use crate::bound::BoundPods;
use crate::events::Events;
use crate::eviction::Pressure;
use crate::fields::Surroundings;
use crate::image_gc::ImageKeeper;
use crate::layout::Layout;
use crate::machine::{Now, PodView};
use crate::objects::TokenCache;
use crate::readings::Meter;
use crate::recalled::Recalled;
use crate::runtime::{Cgroups, Lister, Names};

/// What is known of the node.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its addresses, the first of each family.
    pub ips: Vec<String>,
    /// What it gives to pods, by resource.
    pub allocatable: BTreeMap<String, Quantity>,
    /// The port of its kubelet endpoint; 0: it has none.
    pub kubelet_port: u16,
    /// Its memory in bytes.
    pub memory_bytes: i64,
    /// The cgroup below which all that it runs is; empty: the root.
    pub cgroup_root: String,
}

/// What everything that an agent does for its pods has at hand.
#[derive(Debug)]
pub struct Context {
    /// The node.
    pub node: NodeFacts,
    /// The Kubernetes API.
    pub api: everynode_client::Client,
    /// What is read of it for pods, and was read before.
    pub recalled: Recalled,
    /// The container runtime.
    pub runtime: everynode_cri::Client,
    /// What that can do.
    pub abilities: everynode_cri::Runtime,
    /// What that has.
    pub lister: Arc<Lister>,
    /// Where things are on the node.
    pub layout: Layout,
    /// Where names are looked up.
    pub names: Names,
    /// What says what the machine has left.
    pub meter: Meter,
    /// The images of the runtime.
    pub images: ImageKeeper,
    /// What the node is short of.
    pub pressures: watch::Receiver<BTreeSet<Pressure>>,
    /// The tokens of pods.
    pub tokens: TokenCache,
    /// What the pods hold of the node.
    pub allotments: Allotments,
    /// The cgroups of pods.
    pub cgroups: Cgroups,
    /// The pods of the node.
    pub bound: BoundPods,
    /// What people are told.
    pub events: Events,
    /// When the agent was started.
    pub started: Instant,
}

impl Context {
    /// Now.
    pub fn now(&self) -> Now {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wall_nanos = self.api.clock().unix_millis().saturating_mul(1_000_000);
        Now { millis, wall_nanos }
    }

    /// The moment of a number of milliseconds of [`Now`].
    pub fn instant(&self, millis: u64) -> Instant {
        // A year is as good as for ever, and never overflows.
        self.started + std::time::Duration::from_millis(millis.min(self.now().millis + 31_536_000_000))
    }

    /// The node and the addresses of a pod.
    pub fn around(&self, pod_ips: &[String]) -> Surroundings {
        let (host_ips, allocatable) = (self.node.ips.clone(), self.node.allocatable.clone());
        let pod_ips = if pod_ips.is_empty() { host_ips.clone() } else { pod_ips.to_owned() };
        Surroundings { host_ips, pod_ips, allocatable }
    }

    /// The address by which a pod is reached from its node.
    pub fn address(&self, view: &PodView) -> String {
        let own = view.sandbox().and_then(|sandbox| sandbox.ips.first());
        own.or(self.node.ips.first()).cloned().unwrap_or_else(|| "127.0.0.1".to_owned())
    }
}

//! For how long the nodes of a DaemonSet were served, and what took the rest.
//!
//! *Assumed:* every assignment is evaluated when something about it changes, in the order of time.
//!
//! A node is in one state at a time, or in none while it is not eligible. Of each state only two numbers are kept, so that
//! an event costs the same however large the fleet is: how many nodes are in it, and the sum of the times at which nodes
//! left it less those at which they came. Time counts from the first look at a node: what an engine has not seen, as
//! between two leaders, is nobody's.

use crate::base::Time;

/// What an eligible node is to a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A pod is ready.
    Served,
    /// A roll-out took the pod, and the next one comes up.
    Rollout,
    /// The node is not ready.
    NodeDown,
    /// Containers end or cannot be started, or the pod was ready and is not any more.
    Crashing,
    /// An image cannot be pulled.
    ImagePull,
    /// The pod is not bound to the node.
    Unschedulable,
    /// The pod comes up.
    Starting,
    /// No pod is created for now: by a policy, after refusals, or by the brake.
    Held,
    /// There is no pod.
    Missing,
}

impl Service {
    /// All, in the order in which they are shown.
    pub const ALL: [Service; 9] = [
        Service::Served,
        Service::Rollout,
        Service::NodeDown,
        Service::Crashing,
        Service::ImagePull,
        Service::Unschedulable,
        Service::Starting,
        Service::Held,
        Service::Missing,
    ];

    /// As metrics and JSON have it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Served => "served",
            Service::Rollout => "rollout",
            Service::NodeDown => "nodeDown",
            Service::Crashing => "crashing",
            Service::ImagePull => "imagePull",
            Service::Unschedulable => "unschedulable",
            Service::Starting => "starting",
            Service::Held => "held",
            Service::Missing => "missing",
        }
    }
}

/// Upper bounds of the buckets of [`Unserved`], in seconds.
pub const UNSERVED_SECONDS: [u32; 9] = [1, 2, 5, 10, 20, 30, 60, 120, 300];

/// How long nodes were without a ready pod that a roll-out took theirs from, of those that have one again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unserved {
    /// Nodes by [`UNSERVED_SECONDS`], and those that took longer.
    pub nodes: [u64; UNSERVED_SECONDS.len() + 1],
    /// The sum, in milliseconds.
    pub millis: u64,
}

/// The account of one DaemonSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    nodes: [u32; Service::ALL.len()],
    /// Times of leaving less times of coming, in milliseconds.
    offset_millis: [i128; Service::ALL.len()],
    unserved: Unserved,
}

impl Coverage {
    /// How many nodes are in a state.
    pub fn nodes(&self, state: Service) -> u32 {
        self.nodes[state as usize]
    }

    /// The time that nodes have spent in a state until now, each for itself, in milliseconds.
    pub fn node_millis(&self, state: Service, now: Time) -> u64 {
        let since = i128::from(self.nodes(state)) * i128::from(now.0);
        // A clock that was set back has nobody leave before they came.
        u64::try_from((since + self.offset_millis[state as usize]).max(0)).unwrap_or(u64::MAX)
    }

    /// How long roll-outs left nodes without a ready pod.
    pub fn unserved(&self) -> &Unserved {
        &self.unserved
    }

    /// A node comes into a state.
    pub(crate) fn enters(&mut self, state: Service, now: Time) {
        self.nodes[state as usize] += 1;
        self.offset_millis[state as usize] -= i128::from(now.0);
    }

    /// A node leaves a state.
    pub(crate) fn leaves(&mut self, state: Service, now: Time) {
        self.nodes[state as usize] -= 1;
        self.offset_millis[state as usize] += i128::from(now.0);
    }

    /// A node from which a roll-out took the ready pod has one again.
    pub(crate) fn is_served_again(&mut self, lost: Lost, now: Time) {
        let millis = u64::try_from(now.millis_since(lost.at)).unwrap_or(0);
        let fits = |bound: &u32| millis <= u64::from(*bound) * 1000;
        let bucket = UNSERVED_SECONDS.iter().position(fits).unwrap_or(UNSERVED_SECONDS.len());
        self.unserved.nodes[bucket] += 1;
        self.unserved.millis += millis;
    }
}

/// Since when a node that was served is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub at: Time,
    /// A roll-out took the pod.
    pub to_rollout: bool,
}

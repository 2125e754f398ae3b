//! Whether a pod fits on a node, as Kubernetes' scheduler sees it: resources, host ports and the number of pods.
//!
//! The DaemonSet controller itself does not ask this ([B9](crate::spec#b9)); the scheduler does, and so does
//! a plan.

mod demand;

pub use demand::{Amounts, Demand, HostPort, holds_the_node};

use std::fmt;

use everynode_model::{Value, quantity};

use crate::placement::{Effect, NodeView, Placement, Taint, untolerated};

/// What a node offers, and what its pods take of it.
#[derive(Clone, Debug, Default)]
pub struct Room {
    allocatable: Amounts,
    pod_limit: i64,
    used: Amounts,
    pod_count: i64,
    ports: Vec<HostPort>,
}

/// Why a pod cannot be on a node, and whether the removal of other pods could change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// One or more reasons.
    pub reasons: Vec<MisfitReason>,
    /// The node would be large enough without its other pods.
    pub by_other_pods: bool,
}

/// One reason for which a pod cannot be on a node; its text is the scheduler's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MisfitReason {
    /// Another pod has one of its host ports.
    NoFreePorts,
    /// The node runs as many pods as it may.
    TooManyPods,
    /// There is too little left of a resource.
    Insufficient(String),
    /// The node is cordoned.
    Unschedulable,
    /// It does not tolerate a taint.
    UntoleratedTaint,
    /// It asks for other nodes by name or label.
    NodeAffinity,
    /// It claims devices that nobody allocates.
    Claims,
}

impl fmt::Display for MisfitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MisfitReason::NoFreePorts => "node(s) didn't have free ports for the requested pod ports",
            MisfitReason::TooManyPods => "Too many pods",
            MisfitReason::Insufficient(resource) => return write!(f, "Insufficient {resource}"),
            MisfitReason::Unschedulable => "node(s) were unschedulable",
            MisfitReason::UntoleratedTaint => "node(s) had untolerated taint(s)",
            MisfitReason::Claims => "cannot allocate all claims",
            MisfitReason::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
        })
    }
}

impl Misfit {
    /// All reasons, as the scheduler words them.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.reasons.iter().map(MisfitReason::to_string)
    }
}

impl Room {
    /// Takes over status.allocatable of a Node.
    pub fn set_allocatable(&mut self, allocatable: &Value) {
        self.allocatable = Amounts::read(allocatable);
        self.pod_limit = quantity::read(&allocatable["pods"]).map_or(0, |quantity| quantity.value());
    }

    /// A pod comes.
    pub fn add(&mut self, demand: &Demand) {
        self.used.add(&demand.amounts);
        self.pod_count += 1;
        self.ports.extend(demand.ports.iter().cloned());
    }

    /// A pod that was added goes.
    pub fn remove(&mut self, demand: &Demand) {
        self.used.subtract(&demand.amounts);
        self.pod_count -= 1;
        for port in &demand.ports {
            if let Some(place) = self.ports.iter().position(|taken| taken == port) {
                self.ports.swap_remove(place);
            }
        }
    }

    /// Corrects the number of pods, where one demand was added for several of them.
    pub fn add_pods(&mut self, count: i64) {
        self.pod_count += count;
    }

    /// Why one more pod does not fit, asked in the order of the scheduler; nothing if it does.
    pub fn misfit(&self, demand: &Demand) -> Option<Misfit> {
        if demand.ports.iter().any(|port| self.ports.iter().any(|taken| taken.clashes(port))) {
            return Some(Misfit { reasons: vec![MisfitReason::NoFreePorts], by_other_pods: true });
        }
        let (have, used, need) = (&self.allocatable, &self.used, &demand.amounts);
        let mut reasons = Vec::new();
        let mut by_other_pods = true;
        if self.pod_count + 1 > self.pod_limit {
            reasons.push(MisfitReason::TooManyPods);
        }
        let mut compare = |name: &str, have: i64, used: i64, need: i64| {
            if need > 0 && need > have - used {
                reasons.push(MisfitReason::Insufficient(name.to_owned()));
                by_other_pods &= need <= have;
            }
        };
        compare("cpu", have.cpu_millis, used.cpu_millis, need.cpu_millis);
        compare("memory", have.memory_bytes, used.memory_bytes, need.memory_bytes);
        compare("ephemeral-storage", have.ephemeral_bytes, used.ephemeral_bytes, need.ephemeral_bytes);
        for (name, amount) in &need.others {
            let of = |amounts: &Amounts| amounts.others.get(name).copied().unwrap_or(0);
            compare(name, of(have), of(used), *amount);
        }
        (!reasons.is_empty()).then_some(Misfit { reasons, by_other_pods })
    }

    /// How much of cpu and memory would stay free with the pod here, in thousandths: more is better.
    pub fn score(&self, demand: &Demand) -> i64 {
        let free = |have: i64, used: i64, need: i64| {
            if have <= 0 { 0 } else { (i128::from(have - used - need) * 1000 / i128::from(have)) as i64 }
        };
        let (have, used, need) = (&self.allocatable, &self.used, &demand.amounts);
        free(have.cpu_millis, used.cpu_millis, need.cpu_millis)
            + free(have.memory_bytes, used.memory_bytes, need.memory_bytes)
    }
}

const UNSCHEDULABLE: Taint<'static> =
    Taint { key: crate::facts::CORDONED_TAINT, value: "", effect: Effect::NoSchedule };

/// Why a pod cannot be on a node for what it says about nodes, asked in the order of the scheduler; nothing if it can.
/// Whether there is room for it is asked after that, of its [`Room`].
pub fn exclusion(node: &impl NodeView, is_unschedulable: bool, placement: &Placement) -> Option<Misfit> {
    let tolerates = |taint: &Taint<'_>| placement.tolerations.iter().any(|one| one.tolerates(taint));
    let reason = if is_unschedulable && !tolerates(&UNSCHEDULABLE) {
        MisfitReason::Unschedulable
    } else if untolerated(node.taints(), &placement.tolerations).is_some() {
        MisfitReason::UntoleratedTaint
    } else if !placement.matches_name_and_labels(node) {
        MisfitReason::NodeAffinity
    } else {
        return None;
    };
    Some(Misfit { reasons: vec![reason], by_other_pods: false })
}

//! Nodes and pods as the binder keeps them.

use everynode_engine::placement::{Effect, NodeView, Placement, Taint, untolerated};
use everynode_wire::lean::Node;

use super::demand::{Amounts, Demand, HostPort};
use crate::facts;

/// A node: what it offers and what is taken.
#[derive(Debug, Default)]
pub(crate) struct NodeRow {
    pub name: Box<str>,
    /// False once its Node is gone while pods are still on it.
    pub present: bool,
    labels: Vec<(Box<str>, Box<str>)>,
    taints: Vec<(Box<str>, Box<str>, Effect)>,
    unschedulable: bool,
    allocatable: Amounts,
    allocatable_text: Box<str>,
    pod_limit: i64,
    used: Amounts,
    pod_count: i64,
    ports: Vec<HostPort>,
    /// Pods that want only this node and do not fit now.
    pub waiting: Vec<u64>,
}

impl NodeView for NodeRow {
    fn name(&self) -> &str {
        &self.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| **name == *key).map(|(_, value)| &**value)
    }

    fn taints(&self) -> impl Iterator<Item = Taint<'_>> {
        self.taints.iter().map(|(key, value, effect)| Taint { key, value, effect: *effect })
    }
}

/// Why a pod cannot be on a node: sentences as the scheduler words them, and whether the removal of other pods
/// could change it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub reasons: Vec<String>,
    pub by_other_pods: bool,
}

fn misfit(reason: &str) -> Option<Misfit> {
    Some(Misfit { reasons: vec![reason.to_owned()], by_other_pods: false })
}

const UNSCHEDULABLE: Taint<'static> =
    Taint { key: "node.kubernetes.io/unschedulable", value: "", effect: Effect::NoSchedule };

impl NodeRow {
    pub(crate) fn new(name: &str) -> NodeRow {
        NodeRow { name: name.into(), ..NodeRow::default() }
    }

    /// Takes a Node; true when something changed that decides about pods.
    pub(crate) fn observe(&mut self, node: &Node<'_>) -> bool {
        let labels = crate::strings(&node.metadata.labels);
        let taints: Vec<_> = node
            .spec
            .taints
            .iter()
            .map(|taint| ((*taint.key).into(), (*taint.value).into(), Effect::parse(&taint.effect)))
            .collect();
        let allocatable = node.status.allocatable.map(|raw| raw.get()).unwrap_or_default();
        let changed = !self.present
            || labels != self.labels
            || taints != self.taints
            || node.spec.unschedulable != self.unschedulable
            || *allocatable != *self.allocatable_text;
        self.present = true;
        self.labels = labels;
        self.taints = taints;
        self.unschedulable = node.spec.unschedulable;
        if *allocatable != *self.allocatable_text {
            let value = facts::value(node.status.allocatable);
            self.allocatable = Amounts::read(&value);
            self.pod_limit = super::demand::quantity(&value["pods"]).map_or(0, |quantity| quantity.value());
            self.allocatable_text = allocatable.into();
        }
        changed
    }

    pub(crate) fn add(&mut self, demand: &Demand) {
        self.used.add(&demand.amounts);
        self.pod_count += 1;
        self.ports.extend(demand.ports.iter().cloned());
    }

    pub(crate) fn remove(&mut self, demand: &Demand) {
        self.used.subtract(&demand.amounts);
        self.pod_count -= 1;
        for port in &demand.ports {
            if let Some(place) = self.ports.iter().position(|taken| taken == port) {
                self.ports.swap_remove(place);
            }
        }
    }

    /// Why the pod cannot be here, asked in the order of the scheduler; nothing if it can.
    pub(crate) fn misfit(&self, placement: &Placement, demand: &Demand) -> Option<Misfit> {
        let tolerates = |taint: &Taint<'_>| placement.tolerations.iter().any(|one| one.tolerates(taint));
        if self.unschedulable && !tolerates(&UNSCHEDULABLE) {
            return misfit("node(s) were unschedulable");
        }
        if untolerated(self.taints(), &placement.tolerations).is_some() {
            return misfit("node(s) had untolerated taint(s)");
        }
        if !placement.matches_name_and_labels(self) {
            return misfit("node(s) didn't match Pod's node affinity/selector");
        }
        if demand.ports.iter().any(|port| self.ports.iter().any(|taken| taken.clashes(port))) {
            let reasons = vec!["node(s) didn't have free ports for the requested pod ports".to_owned()];
            return Some(Misfit { reasons, by_other_pods: true });
        }
        self.lack(demand)
    }

    fn lack(&self, demand: &Demand) -> Option<Misfit> {
        let (have, used, need) = (&self.allocatable, &self.used, &demand.amounts);
        let mut reasons = Vec::new();
        let mut by_other_pods = true;
        if self.pod_count + 1 > self.pod_limit {
            reasons.push("Too many pods".to_owned());
        }
        let mut compare = |name: &str, have: i64, used: i64, need: i64| {
            if need > 0 && need > have - used {
                reasons.push(format!("Insufficient {name}"));
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
    pub(crate) fn score(&self, demand: &Demand) -> i64 {
        let free = |have: i64, used: i64, need: i64| {
            if have <= 0 { 0 } else { (i128::from(have - used - need) * 1000 / i128::from(have)) as i64 }
        };
        let (have, used, need) = (&self.allocatable, &self.used, &demand.amounts);
        free(have.cpu_millis, used.cpu_millis, need.cpu_millis)
            + free(have.memory_bytes, used.memory_bytes, need.memory_bytes)
    }
}

/// A pod that is waiting for a node, or uses one.
#[derive(Debug)]
pub(crate) struct PodRow {
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    pub priority: i32,
    pub demand: Demand,
    pub state: PodState,
    pub failures: u32,
    /// The message of the last Unschedulable condition that was written or is shown.
    pub told: Option<Box<str>>,
}

/// Where a pod stands.
#[derive(Debug)]
pub(crate) enum PodState {
    /// Not to be placed: gated, or deleted before it was.
    Idle,
    /// In the queue, or waiting for a change.
    Pending(Box<Wish>),
    /// The binding to this node is under way.
    Binding(usize, Box<Wish>),
    /// On this node.
    Bound(usize),
}

/// What a pending pod wants.
#[derive(Debug)]
pub(crate) struct Wish {
    pub placement: Placement,
    pub generation: i64,
}

impl Wish {
    /// The one node that the pod can be on, when its affinity names it.
    pub(crate) fn pinned(&self) -> Option<&str> {
        let [term] = self.placement.required_terms.as_deref()? else { return None };
        let field = term.match_fields.iter().find(|field| field.key == "metadata.name")?;
        match (field.operator, field.values.as_slice()) {
            (everynode_engine::placement::Operator::In, [name]) => Some(name),
            _ => None,
        }
    }
}

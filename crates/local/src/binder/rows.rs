//! Nodes and pods as the binder keeps them.

use everynode_engine::fit::{Demand, Misfit, MisfitReason, Room, exclusion};
use everynode_engine::placement::{Effect, NodeView, Operator, Placement, Taint};
use everynode_model::Node;
use everynode_model::json::raw_value;

/// A node: what it offers and what is taken.
#[derive(Debug, Default)]
pub(crate) struct NodeRow {
    pub name: Box<str>,
    /// False once its Node is gone while pods are still on it.
    pub present: bool,
    labels: Vec<(Box<str>, Box<str>)>,
    taints: Vec<(Box<str>, Box<str>, Effect)>,
    unschedulable: bool,
    allocatable_text: Box<str>,
    pub room: Room,
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
            .map(|one| one.taint())
            .map(|taint| (taint.key.into(), taint.value.into(), taint.effect))
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
            self.room.set_allocatable(&node.status.allocatable.map(raw_value).unwrap_or_default());
            self.allocatable_text = allocatable.into();
        }
        changed
    }

    /// Why the pod cannot be here, asked in the order of the scheduler; nothing if it can.
    pub(crate) fn misfit(&self, wish: &Wish, demand: &Demand) -> Option<Misfit> {
        // Nobody offers devices here, so no claim is ever allocated.
        let claims = || Misfit { reasons: vec![MisfitReason::Claims], by_other_pods: false };
        exclusion(self, self.unschedulable, &wish.placement)
            .or_else(|| self.room.misfit(demand))
            .or_else(|| wish.has_claims.then(claims))
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
    /// It asks for devices by spec.resourceClaims.
    pub has_claims: bool,
    /// Claims to volumes, by name, that have to be bound first.
    pub volume_claims: Vec<Box<str>>,
    pub generation: i64,
}

impl Wish {
    /// The one node that the pod can be on, when its affinity names it.
    pub(crate) fn pinned(&self) -> Option<&str> {
        let [term] = self.placement.required_terms.as_deref()? else { return None };
        let field = term.match_fields.iter().find(|field| field.key == "metadata.name")?;
        match (field.operator, field.values.as_slice()) {
            (Operator::In, [name]) => Some(name),
            _ => None,
        }
    }
}

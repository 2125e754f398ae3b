//! What a picture of a fleet shows of a DaemonSet on a node.

use everynode_engine::Service;

use everynode_plan::record::Text;

use crate::look::{Answer, Set};
use crate::reason::{Class, Kind};

/// A DaemonSet on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The node.
    pub node: Text,
    /// How the node stands.
    pub class: Class,
    /// Why.
    pub kind: Kind,
    /// The most restarts of a container of the pod.
    pub restarts: i64,
    /// The value of controller-revision-hash that the pod has; `None` without a pod.
    pub revision: Option<Text>,
    /// The first wave of the policy that has the node, from 1.
    pub wave: Option<usize>,
    /// The policy counts it as failed with the new revision.
    pub has_failed: bool,
    /// It counts against the budget of the roll-out.
    pub uses_budget: bool,
    /// Served, or the cause why not; `None` where it should not run.
    pub service: Option<Service>,
}

impl Set<'_> {
    /// What is shown of a node. Of several pods, of the one that is to stay.
    pub fn cell(&self, answer: &Answer) -> Cell {
        let conducted = self.conducted.as_ref().and_then(|conducted| conducted.nodes.get(&answer.node));
        Cell {
            node: answer.node.clone(),
            class: answer.class,
            kind: answer.reason.kind,
            restarts: answer.restarts,
            revision: answer.revision.clone(),
            wave: conducted.and_then(|node| node.wave),
            has_failed: conducted.is_some_and(|node| node.failure.is_some()),
            uses_budget: answer.uses_budget,
            service: answer.service,
        }
    }
}

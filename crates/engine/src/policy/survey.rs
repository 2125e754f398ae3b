//! The nodes of one DaemonSet as a roll-out under a policy sees them.

use std::sync::Arc;

use everynode_api::PolicySpec;
use sha2::{Digest as _, Sha256};

use crate::base::{Time, Uid};
use crate::daemonset::DaemonSetState;
use crate::facts::{CORDONED_TAINT, NOT_READY_TAINTS, Phase};
use crate::ids::NodeId;
use crate::mark;
use crate::placement::NodeView as _;
use crate::pods::{NEVER, PodRow};
use crate::tables::Tables;
use crate::view::{Member, members};

use super::node_state::{Daemon, Health, NodeState, Turn};

impl Tables {
    /// All eligible nodes of a DaemonSet, in the order in which a roll-out to the revision of this hash takes them.
    pub(crate) fn survey(
        &self,
        daemonset: &DaemonSetState,
        spec: &PolicySpec,
        goal: &str,
        now: Time,
    ) -> Vec<NodeState> {
        let nodes = daemonset.assignments.keys();
        let mut states: Vec<NodeState> =
            nodes.filter_map(|&node| self.node_state(daemonset, spec, goal, node, now)).collect();
        states.sort_by(|a, b| a.turn.cmp(&b.turn));
        states
    }

    /// A node, if it is eligible.
    pub(crate) fn node_state(
        &self,
        daemonset: &DaemonSetState,
        spec: &PolicySpec,
        goal: &str,
        node: NodeId,
        now: Time,
    ) -> Option<NodeState> {
        let assignment =
            daemonset.assignments.get(&node).filter(|assignment| assignment.marks & mark::DESIRED != 0)?;
        let view = self.nodes.view(node);
        let members = members(daemonset, self, node, now);
        let (mut new, mut old, mut is_busy) = (None, None, daemonset.creating.contains_key(&node));
        let mut due = self.braked_until(daemonset, node, now);
        let is_held = due.is_some() || daemonset.may_get_another(&self.nodes, node);
        let is_unsettled = assignment.marks & mark::DELETE != 0 || is_held || members.adopting;
        let is_current = daemonset.current.as_ref().is_some_and(|current| *current.hash == *goal);
        for member in &members.claimed {
            let Some(row) = self.pods.get(member.id).filter(|_| !member.leaving) else {
                is_busy = true;
                continue;
            };
            // F1: the template's generation stands for the current revision.
            let has_goal = if is_current { member.updated } else { self.labels.hash(row.labels) == goal };
            let place = if has_goal { &mut new } else { &mut old };
            let (daemon, changes_at) = daemon(member, row, spec.ready_within_seconds, now);
            due = due.into_iter().chain(changes_at).min();
            // Of several the one that serves counts: the others are manage's to delete.
            if place.is_none_or(|other: Daemon| !other.available) {
                *place = Some(daemon);
            }
        }
        let text = |key: &str| view.label(key).unwrap_or_default().into();
        let selector = |(index, wave): (usize, &super::Wave)| match &wave.nodes {
            super::WaveNodes::Selector(selector) if selector.selects(|key| view.label(key)) => {
                1 << index.min(63)
            }
            _ => 0_u64,
        };
        let order = spec.order.iter().map(|key| text(key)).collect();
        let shuffle = match spec.analysis {
            Some(_) => shuffle(daemonset.key.uid, goal, self.nodes.name(node)),
            None => 0,
        };
        Some(NodeState {
            node,
            turn: Arc::new(Turn { order, shuffle, name: self.nodes.name(node).clone() }),
            health: self.health(node),
            new,
            old,
            lacks_ready_pod: !members.claimed.is_empty()
                && !members.claimed.iter().any(|member| member.ready),
            is_busy,
            is_unsettled,
            domain: spec.domain.as_ref().map_or_else(Box::default, |domain| text(&domain.label)),
            selected: spec.waves.iter().enumerate().map(selector).fold(0, |all, one| all | one),
            due,
        })
    }

    pub(crate) fn health(&self, node: NodeId) -> Health {
        let view = self.nodes.view(node);
        let has = |keys: &[&str]| view.taints().any(|taint| keys.contains(&taint.key));
        match self.nodes.not_ready_since(node) {
            Some(since) => Health::NotReady(Some(since)),
            None if has(&NOT_READY_TAINTS) => Health::NotReady(None),
            None if has(&[CORDONED_TAINT]) => Health::Cordoned,
            None => Health::Well,
        }
    }
}

/// What chance there is in the order of nodes: known in advance to whoever plans, and the same to every leader.
fn shuffle(daemonset: Uid, revision: &str, node: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(daemonset.0.to_le_bytes());
    hash.update((revision.len() as u64).to_le_bytes());
    hash.update(revision.as_bytes());
    hash.update(node.as_bytes());
    let bytes = hash.finalize();
    bytes[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A pod, and when it will be available or late if it is not yet.
fn daemon(member: &Member, row: &PodRow, ready_within_seconds: i64, now: Time) -> (Daemon, Option<Time>) {
    let changed = if row.ready_since == NEVER { row.created } else { row.ready_since };
    let late_at = Some(changed.plus_millis(ready_within_seconds * 1000)).filter(|_| !row.ready);
    let daemon = Daemon {
        id: member.id,
        ready: member.ready,
        available: member.available,
        created: row.created,
        changed,
        is_late: late_at.is_some_and(|at| at <= now),
        failed: row.phase == Phase::Failed,
        trouble: row.trouble,
    };
    (daemon, member.available_at.or(late_at.filter(|at| *at > now)))
}

//! The nodes of one DaemonSet as a conducted roll-out sees them.

use std::sync::Arc;

use everynode_api::PolicySpec;

use super::spot::Daemon;
use super::spot::Health;
use super::spot::Spot;
use super::spot::Turn;
use crate::base::Time;
use crate::cells::availability;
use crate::facts::{CORDONED_TAINT, NOT_READY_TAINTS, Phase};
use crate::ids::{NodeId, PodId};
use crate::mark;
use crate::placement::NodeView as _;
use crate::pods::{NEVER, Place, PodRow};
use crate::slot::Slot;
use crate::tables::Tables;

impl Tables {
    /// All eligible nodes of a DaemonSet, in the order in which a roll-out to the revision of this hash takes them.
    pub(crate) fn survey(&self, slot: &Slot, spec: &PolicySpec, goal: &str, now: Time) -> Vec<Spot> {
        let nodes = slot.cells.keys();
        let mut spots: Vec<Spot> = nodes.filter_map(|&node| self.spot(slot, spec, goal, node, now)).collect();
        spots.sort_by(|a, b| a.turn.cmp(&b.turn));
        spots
    }

    /// A node, if it is eligible.
    pub(crate) fn spot(
        &self,
        slot: &Slot,
        spec: &PolicySpec,
        goal: &str,
        node: NodeId,
        now: Time,
    ) -> Option<Spot> {
        let cell = slot.cells.get(&node).filter(|cell| cell.marks & mark::DESIRED != 0)?;
        let view = self.nodes.view(node);
        let min_ready_seconds = slot.spec.as_ref().map_or(0, |spec| spec.fact.min_ready_seconds);
        let (mut new, mut old, mut is_busy) = (None, None, slot.creating.contains_key(&node));
        let mut due = self.braked_until(slot, node, now);
        let mut is_unsettled = cell.marks & mark::DELETE != 0 || due.is_some();
        let is_current = slot.current.as_ref().is_some_and(|current| *current.hash == *goal);
        let mut next = cell.first;
        while let Some(row) = self.pods.get(next) {
            let id = next;
            next = row.next;
            if matches!(row.place, Place::Adopting(_)) {
                is_unsettled = true;
                continue;
            }
            if row.is_leaving() {
                is_busy |= !row.is_ignored();
                continue;
            }
            // F1: the template's generation stands for the current revision.
            let has_goal = match is_current {
                true => slot.is_updated(&self.labels, row.labels),
                false => self.labels.hash(row.labels) == goal,
            };
            let place = if has_goal { &mut new } else { &mut old };
            let (daemon, changes_at) = daemon(id, row, min_ready_seconds, spec.ready_within_seconds, now);
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
        Some(Spot {
            node,
            turn: Arc::new(Turn { order, name: self.nodes.name(node).clone() }),
            health: self.health(node),
            new,
            old,
            is_busy,
            is_unsettled,
            domain: spec.domain.as_ref().map_or_else(Box::default, |domain| text(&domain.label)),
            selected: spec.waves.iter().enumerate().map(selector).fold(0, |all, one| all | one),
            due,
        })
    }

    fn health(&self, node: NodeId) -> Health {
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

/// A pod, and when it will be available or late if it is not yet.
fn daemon(
    id: PodId,
    row: &PodRow,
    min_ready_seconds: i32,
    ready_within_seconds: i64,
    now: Time,
) -> (Daemon, Option<Time>) {
    let (available, available_at) = availability(row, min_ready_seconds, now);
    let changed = if row.ready_since == NEVER { row.created } else { row.ready_since };
    let late_at = Some(changed.plus_millis(ready_within_seconds * 1000)).filter(|_| !row.ready);
    let daemon = Daemon {
        id,
        ready: row.ready,
        available,
        created: row.created,
        changed,
        is_late: late_at.is_some_and(|at| at <= now),
        failed: row.phase == Phase::Failed,
        trouble: row.trouble,
    };
    (daemon, available_at.or(late_at.filter(|at| *at > now)))
}

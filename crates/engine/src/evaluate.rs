//! Keeping the marks of cells, and the wakes that they need.

use crate::base::Time;
use crate::cell::Creating;
use crate::cells;
use crate::ids::{NodeId, PodId};
use crate::mark;
use crate::slot::Slot;
use crate::tables::Tables;
use crate::timers::Wake;

impl Tables {
    /// Looks at every cell that something happened to.
    pub(crate) fn evaluate_dirty(&mut self, slot: &mut Slot, now: Time) {
        let mut dirty = std::mem::take(&mut slot.dirty);
        for node in dirty.drain(..) {
            if slot.cells.get(&node).is_some_and(|cell| cell.dirty) {
                self.evaluate(slot, node, now);
            }
        }
        slot.dirty = dirty;
    }

    /// Looks at a cell and keeps its marks, and the wakes that it needs.
    pub(crate) fn evaluate(&mut self, slot: &mut Slot, node: NodeId, now: Time) {
        let forget_millis = 2 * self.limits.failed_pod_last_millis;
        if let Some(cell) = slot.cells.get_mut(&node) {
            cell.dirty = false;
        }
        if slot.failed.get(&node).is_some_and(|entry| now.millis_since(entry.updated) > forget_millis) {
            slot.failed.remove(&node);
        }
        if matches!(slot.creating.get(&node), Some(Creating::Taken { until }) if *until <= now) {
            slot.creating.remove(&node);
        }
        if slot.creating.get(&node).is_some_and(|creating| creating.stale_at().is_some()) {
            self.skips.pods += 1;
        }
        let view = self.view(slot, node, now);
        let strategy = slot.spec.as_ref().map(|spec| spec.fact.strategy);
        let mut marks = strategy.filter(|_| node != NodeId::NONE).map_or(0, |strategy| view.marks(strategy));
        if let Some(conduct) = &mut slot.conduct {
            conduct.roster.touch(node);
            marks &= if conduct.holds(node) { !mark::CREATES } else { u32::MAX };
        }
        if marks & mark::CREATES != 0
            && (slot.may_get_another(&self.nodes, node) || self.has_pod_of_that_name(slot, node))
        {
            marks &= !mark::CREATES;
        }
        let (marks, refused) = self.refused_marks(slot, node, marks, now);
        let (marks, braked) = self.braked_marks(slot, node, marks, &view, now);
        slot.set_marks(&self.nodes, node, marks);
        let forget = slot.failed.get(&node).map(|entry| entry.updated.plus_millis(forget_millis + 1));
        let taken = match slot.creating.get(&node) {
            Some(Creating::Taken { until }) => Some(*until),
            _ => None,
        };
        let wake = view.wake().into_iter().chain(forget).chain(taken).chain(refused).chain(braked).min();
        let Some(cell) = slot.cells.get_mut(&node) else { return };
        if let Some(at) = wake.filter(|at| *at < cell.wake) {
            cell.wake = at;
            self.timers.set(at, Wake::Cell(slot.id, node));
        }
        let is_unused = marks == 0 && cell.first == PodId::NONE;
        let is_awaited = slot.creating.contains_key(&node) || slot.unanswered.contains_key(&node);
        let has_failed = slot.failed.contains_key(&node) || slot.refused.contains_key(&node);
        if is_unused && !is_awaited && !has_failed {
            slot.cells.remove(&node);
            slot.churn.remove(&node);
            self.nodes.release(node);
        }
    }

    /// The pod that is to be created would have the name of one that is still there: terminating, or not released yet.
    fn has_pod_of_that_name(&self, slot: &Slot, node: NodeId) -> bool {
        let mut next = slot.cells.get(&node).map_or(PodId::NONE, |cell| cell.first);
        if next == PodId::NONE && slot.unselected.is_empty() {
            return false;
        }
        let Some(name) = slot.pod_name(&self.nodes, node) else { return false };
        while let Some(row) = self.pods.get(next) {
            if *row.name == *name {
                return true;
            }
            next = row.next;
        }
        slot.unselected.iter().filter_map(|id| self.pods.get(*id)).any(|row| *row.name == *name)
    }

    /// The cell as it is now.
    pub(crate) fn view(&self, slot: &mut Slot, node: NodeId, now: Time) -> cells::View {
        cells::view(slot, self, node, now)
    }
}

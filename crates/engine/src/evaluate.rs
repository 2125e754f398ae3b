//! Keeping the marks of assignments, and the wakes that they need.

use crate::assignment::Creating;
use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::ids::{NodeId, PodId};
use crate::mark;
use crate::policy::RolloutState;
use crate::tables::Tables;
use crate::timers::Wake;
use crate::view;

impl Tables {
    /// Looks at every assignment that something happened to.
    pub(crate) fn evaluate_dirty(
        &mut self,
        daemonset: &mut DaemonSetState,
        mut rollout: Option<&mut RolloutState>,
        now: Time,
    ) {
        while let Some(node) = daemonset.dirty.pop() {
            if daemonset.assignments.get(&node).is_some_and(|assignment| assignment.dirty) {
                self.evaluate(daemonset, rollout.as_deref_mut(), node, now);
            }
        }
    }

    /// Looks at an assignment and keeps its marks, and the wakes that it needs. A roll-out that a policy conducts looks
    /// at the node too, and may hold its pod back.
    pub(crate) fn evaluate(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: Option<&mut RolloutState>,
        node: NodeId,
        now: Time,
    ) {
        let forget_millis = 2 * self.limits.failed_pod_last_millis;
        if let Some(assignment) = daemonset.assignments.get_mut(&node) {
            assignment.dirty = false;
        }
        if daemonset.failed.get(&node).is_some_and(|entry| now.millis_since(entry.updated) > forget_millis) {
            daemonset.failed.remove(&node);
        }
        if matches!(daemonset.creating.get(&node), Some(Creating::Taken { until }) if *until <= now) {
            daemonset.creating.remove(&node);
        }
        if daemonset.creating.get(&node).is_some_and(|creating| creating.stale_at().is_some()) {
            self.skips.pods += 1;
        }
        let view = self.view(daemonset, node, now);
        let strategy = daemonset.spec.as_ref().map(|spec| spec.fact.strategy);
        let mut marks = strategy.filter(|_| node != NodeId::NONE).map_or(0, |strategy| view.marks(strategy));
        let wants_pod = marks & mark::CREATE != 0;
        if let Some(rollout) = rollout {
            rollout.nodes.touch(node);
            marks &= if rollout.holds(node) { !mark::CREATES } else { u32::MAX };
        }
        if marks & mark::CREATES != 0
            && (daemonset.may_get_another(&self.nodes, node) || self.has_pod_of_that_name(daemonset, node))
        {
            marks &= !mark::CREATES;
        }
        let (marks, refused) = self.refused_marks(daemonset, node, marks, now);
        let (marks, braked) = self.braked_marks(daemonset, node, marks, &view, now);
        daemonset.set_marks(&self.nodes, node, marks);
        self.note_service(daemonset, node, &view, wants_pod && marks & mark::CREATE == 0, now);
        let forget = daemonset.failed.get(&node).map(|entry| entry.updated.plus_millis(forget_millis + 1));
        let taken = match daemonset.creating.get(&node) {
            Some(Creating::Taken { until }) => Some(*until),
            _ => None,
        };
        let wake = view.wake().into_iter().chain(forget).chain(taken).chain(refused).chain(braked).min();
        let Some(assignment) = daemonset.assignments.get_mut(&node) else { return };
        if let Some(at) = wake.filter(|at| *at < assignment.wake) {
            assignment.wake = at;
            self.timers.set(at, Wake::Assignment(daemonset.id, node));
        }
        let is_unused = marks == 0 && assignment.first == PodId::NONE;
        let is_awaited = daemonset.creating.contains_key(&node) || daemonset.unanswered.contains_key(&node);
        let has_failed = daemonset.failed.contains_key(&node) || daemonset.refused.contains_key(&node);
        if is_unused && !is_awaited && !has_failed {
            daemonset.assignments.remove(&node);
            daemonset.churn.remove(&node);
            self.nodes.release(node);
        }
    }

    /// The pod that is to be created would have the name of one that is still there: terminating, or not released yet.
    fn has_pod_of_that_name(&self, daemonset: &DaemonSetState, node: NodeId) -> bool {
        let mut next = daemonset.assignments.get(&node).map_or(PodId::NONE, |assignment| assignment.first);
        if next == PodId::NONE && daemonset.unselected.is_empty() {
            return false;
        }
        let Some(name) = daemonset.pod_name(&self.nodes, node) else { return false };
        while let Some(row) = self.pods.get(next) {
            if *row.name == *name {
                return true;
            }
            next = row.next;
        }
        daemonset.unselected.iter().filter_map(|id| self.pods.get(*id)).any(|row| *row.name == *name)
    }

    /// The assignment as it is now.
    pub(crate) fn view(&self, daemonset: &mut DaemonSetState, node: NodeId, now: Time) -> view::View {
        view::view(daemonset, self, node, now)
    }
}

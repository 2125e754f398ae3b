//! What must be true of the engine's own state, checked where a mistake would do harm. A violation stops tests; in
//! production it is counted, the driver says so, and what would have done harm is left out.

use crate::daemonset::DaemonSetState;
use crate::ids::{NodeId, PodId};
use crate::mark;
use crate::pods::Place;
use crate::tables::Tables;
use crate::view::{Members, members};
use crate::{Budget, Time};

/// Faults of the engine itself that have come to light. The count only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// How many.
    pub count: u64,
    /// The invariant that the last one violates.
    pub last: Option<&'static str>,
}

impl Violations {
    /// Whether `condition` holds, which `invariant` says it must; a violation is noted, and stops a debug build.
    #[track_caller]
    pub(crate) fn expect(&mut self, condition: bool, invariant: &'static str) -> bool {
        debug_assert!(condition, "violated: {invariant}");
        if !condition {
            self.count += 1;
            self.last = Some(invariant);
        }
        condition
    }

    /// What must be there, as `invariant` says; that it is not is a violation.
    #[track_caller]
    pub(crate) fn found<T>(&mut self, value: Option<T>, invariant: &'static str) -> Option<T> {
        self.expect(value.is_some(), invariant);
        value
    }

    /// Takes one from a number of writes in flight.
    #[track_caller]
    pub(crate) fn settle(&mut self, in_flight: &mut usize) {
        self.expect(*in_flight > 0, "a write that ends was in flight");
        *in_flight = in_flight.saturating_sub(1);
    }
}

impl Tables {
    /// A pod may be asked to go: it is the DaemonSet's own, and was not asked to before.
    pub(crate) fn is_deletable(&mut self, daemonset: &DaemonSetState, id: PodId) -> bool {
        let row = self.pods.get(id);
        let is_own = row.is_some_and(|row| row.place == Place::Member(daemonset.id));
        let is_staying = row.is_some_and(|row| !row.is_leaving());
        self.violations.expect(is_own, "a pod that is deleted is controlled by the DaemonSet")
            && self.violations.expect(is_staying, "a pod is deleted once")
    }

    /// A pod may be asked for on a node: no other is there or on its way but the old one under surge.
    pub(crate) fn is_creatable(&mut self, daemonset: &DaemonSetState, node: NodeId, now: Time) -> bool {
        let Members { claimed, adopting } = members(daemonset, self, node, now);
        let staying = claimed.iter().filter(|pod| !pod.leaving && !pod.phase.is_terminal());
        let allowed =
            usize::from(daemonset.spec.as_ref().is_some_and(|spec| spec.fact.strategy.allows_surge()));
        let has_room = staying.count() <= allowed && !adopting;
        let is_first = !daemonset.is_creating(&self.nodes, node);
        self.violations.expect(has_room, "no second pod is created on a node, except one beside an old one")
            && self.violations.expect(is_first, "a pod is created once")
    }

    /// The roll-out without a policy has taken no more nodes at once than its budget: `before` were unavailable
    /// before the last was taken.
    pub(crate) fn check_budget(&mut self, daemonset: &DaemonSetState, before: i32) {
        if let Some(Budget::Unavailable(max)) = Budget::of(daemonset) {
            let is_within = daemonset.count(mark::UNAVAILABLE) <= before.max(max);
            self.violations.expect(is_within, "a roll-out takes no more nodes than maxUnavailable");
        }
    }
}

/// Counters and queues are what the assignments say.
#[cfg(debug_assertions)]
pub(crate) fn check_counts(daemonset: &DaemonSetState, tables: &Tables) {
    // Of large fleets only now and then: at each decision it would take minutes.
    const NODES_LIMIT: usize = 1_000;
    if daemonset.assignments.len() > NODES_LIMIT && !tables.pods_seen.is_multiple_of(64) {
        return;
    }
    for bit in 0..mark::COUNTED {
        let marked =
            daemonset.assignments.values().filter(|assignment| assignment.marks >> bit & 1 == 1).count();
        assert_eq!(
            daemonset.counts[bit as usize] as usize, marked,
            "the counter of mark {bit} of {}",
            daemonset.key.name
        );
    }
    for (index, queue) in daemonset.queues.iter().enumerate() {
        let bit = mark::COUNTED + index as u32;
        let marked = daemonset.assignments.iter().filter(|(_, assignment)| assignment.marks >> bit & 1 == 1);
        let mut named: Vec<_> = marked.map(|(&node, _)| (tables.nodes.name(node).clone(), node)).collect();
        named.sort();
        let queued = queue.iter().map(|(name, &node)| (name.clone(), node));
        assert_eq!(queued.collect::<Vec<_>>(), named, "the queue of mark {bit} of {}", daemonset.key.name);
    }
    let pods = |first: PodId| {
        let mut next = first;
        std::iter::from_fn(move || {
            let row = tables.pods.get(next)?;
            next = row.next;
            Some(row)
        })
    };
    for (&node, assignment) in &daemonset.assignments {
        let is_here = |place| matches!(place, Place::Member(id) | Place::Adopting(id) if id == daemonset.id);
        assert!(
            pods(assignment.first).all(|row| row.node == node && is_here(row.place)),
            "the pods of a cell"
        );
    }
}

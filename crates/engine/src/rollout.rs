//! Rolling updates without a policy: specification 1.E and 1.F, from counters and queues.
//!
//! *Assumed:* every assignment is evaluated, and its marks are in the counters and queues.
//!
//! *Without surge* (`Budget::Unavailable`): an old pod that is not available goes at once; one that is goes while fewer
//! than maxUnavailable nodes lack an available pod. `UNAVAILABLE` never rises above the budget by a step of ours.
//!
//! *With surge* (`Budget::Surge`): a new pod comes beside an available old one while fewer than maxSurge nodes have
//! both; the old one goes when the new one is available. No node gets a third.

use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::facts::Strategy;
use crate::ids::NodeId;
use crate::mark;
use crate::tables::Tables;

/// What a roll-out may spend ([E2](crate::spec#e2) to [E6](crate::spec#e6)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Old pods go before new ones come; so many nodes may be without an available pod.
    Unavailable(i32),
    /// New pods come before old ones go; so many nodes may have both.
    Surge(i32),
}

impl Budget {
    /// The budget of a DaemonSet as it stands; `None` when it does not roll.
    pub(crate) fn of(daemonset: &DaemonSetState) -> Option<Self> {
        Budget::for_nodes(daemonset.spec.as_ref()?.fact.strategy, daemonset.count(mark::DESIRED))
    }

    /// How many nodes may use it.
    pub fn nodes(self) -> i32 {
        match self {
            Budget::Unavailable(nodes) | Budget::Surge(nodes) => nodes,
        }
    }

    /// How many nodes of a DaemonSet use it.
    pub(crate) fn used_by(self, daemonset: &DaemonSetState) -> i32 {
        match self {
            Budget::Unavailable(_) => daemonset.count(mark::UNAVAILABLE),
            Budget::Surge(_) => daemonset.count(mark::SURGING),
        }
    }

    /// The budget that a strategy gives for so many nodes; `None` when it does not roll.
    pub fn for_nodes(strategy: Strategy, desired: i32) -> Option<Self> {
        let Strategy::RollingUpdate { max_unavailable, max_surge } = strategy else { return None };
        let (unavailable, surge) = (max_unavailable.scaled(desired), max_surge.scaled(desired));
        Some(match (unavailable, surge) {
            (0, 0) if desired > 0 => Budget::Unavailable(1),
            (_, 0) => Budget::Unavailable(unavailable),
            _ => Budget::Surge(surge),
        })
    }
}

/// The next node on which a pod comes beside an old one.
pub(crate) fn next_create(daemonset: &DaemonSetState) -> Option<NodeId> {
    let Budget::Surge(max_surge) = Budget::of(daemonset)? else { return None };
    if daemonset.count(mark::MISSING_OLD) > 0 {
        return None;
    }
    let within = daemonset.count(mark::SURGING) < max_surge;
    let at_once = daemonset.next_to_create(mark::SURGE_NOW);
    at_once.or_else(|| daemonset.next_to_create(mark::SURGE_CANDIDATE).filter(|_| within))
}

impl Tables {
    /// The roll-out goes on only when manage has nothing left to ask for and no creation or deletion fails
    /// ([F0](crate::spec#f0)). Writes that are under way do not hold it up, as they count against its budget.
    pub(crate) fn may_roll(&mut self, daemonset: &mut DaemonSetState, now: Time) -> bool {
        let creates_wait = self.must_wait(daemonset, |daemonset| &daemonset.retries.creates, now);
        let deletes_wait = self.must_wait(daemonset, |daemonset| &daemonset.retries.deletes, now);
        let is_managed = daemonset.queue(mark::CREATE).is_empty() && daemonset.queue(mark::DELETE).is_empty();
        is_managed && !creates_wait && !deletes_wait
    }

    /// Deletes old pods, by node name.
    pub(crate) fn roll_deletes(&mut self, daemonset: &mut DaemonSetState, now: Time) {
        match Budget::of(daemonset) {
            None => {}
            Some(Budget::Unavailable(max)) => {
                self.delete_old(daemonset, mark::REPLACE, i32::MAX, now);
                let left = max.saturating_sub(daemonset.count(mark::UNAVAILABLE));
                self.delete_old(daemonset, mark::CANDIDATE, left, now);
            }
            // F10: the built-in controller gives the whole update up.
            Some(Budget::Surge(_)) if daemonset.count(mark::MISSING_OLD) > 0 => {}
            Some(Budget::Surge(_)) => {
                let left = daemonset.count(mark::ROLL_AVAILABLE) - daemonset.count(mark::DESIRED);
                self.delete_old(daemonset, mark::SURGE_DELETE, i32::MAX, now);
                self.delete_old(daemonset, mark::SUNSET, left, now);
            }
        }
    }

    /// Deletes the old pods of the first assignments of a queue.
    fn delete_old(&mut self, daemonset: &mut DaemonSetState, queue: u32, limit: i32, now: Time) {
        let mut left = limit;
        while left > 0 {
            let Some(node) = daemonset.first(queue) else { return };
            if !self.may_delete(daemonset, now) {
                return;
            }
            let pod = self.view(daemonset, node, now).old_pod();
            let is_old = "a node in line for the roll-out has an old pod";
            let Some(pod) = self.violations.found(pod, is_old) else { return };
            let before = daemonset.count(mark::UNAVAILABLE);
            self.delete(daemonset, pod);
            self.evaluate(daemonset, None, node, now);
            self.check_budget(daemonset, before);
            left -= 1;
        }
    }
}

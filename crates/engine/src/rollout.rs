//! Rolling updates: specification 1.E and 1.F, from counters and queues.

use crate::base::Time;
use crate::facts::Strategy;
use crate::mark;
use crate::slot::Slot;
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
    pub(crate) fn of(slot: &Slot) -> Option<Self> {
        Budget::for_nodes(slot.spec.as_ref()?.fact.strategy, slot.count(mark::DESIRED))
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

impl Tables {
    /// The roll-out goes on only when manage has nothing left to ask for and no creation or deletion fails
    /// ([F0](crate::spec#f0)). Writes that are under way do not hold it up, as they count against its budget.
    pub(crate) fn may_roll(&mut self, slot: &mut Slot, now: Time) -> bool {
        let creates_wait = self.must_wait(slot, |slot| &slot.retries.creates, now);
        let deletes_wait = self.must_wait(slot, |slot| &slot.retries.deletes, now);
        let is_managed = slot.queue(mark::CREATE).is_empty() && slot.queue(mark::DELETE).is_empty();
        is_managed && !creates_wait && !deletes_wait
    }

    /// Deletes old pods, by node name.
    pub(crate) fn roll_deletes(&mut self, slot: &mut Slot, now: Time) {
        match Budget::of(slot) {
            None => {}
            Some(Budget::Unavailable(max)) => {
                self.delete_old(slot, mark::REPLACE, i32::MAX, now);
                let left = max.saturating_sub(slot.count(mark::UNAVAILABLE));
                self.delete_old(slot, mark::CANDIDATE, left, now);
            }
            // F10: the built-in controller gives the whole update up.
            Some(Budget::Surge(_)) if slot.count(mark::MISSING_OLD) > 0 => {}
            Some(Budget::Surge(_)) => {
                let left = slot.count(mark::ROLL_AVAILABLE) - slot.count(mark::DESIRED);
                self.delete_old(slot, mark::SURGE_DELETE, i32::MAX, now);
                self.delete_old(slot, mark::SUNSET, left, now);
            }
        }
    }

    /// Deletes the old pods of the first cells of a queue.
    fn delete_old(&mut self, slot: &mut Slot, queue: u32, limit: i32, now: Time) {
        let mut left = limit;
        while left > 0 {
            let Some(node) = slot.first(queue) else { return };
            if !self.may_delete(slot, now) {
                return;
            }
            let Some(pod) = self.view(slot, node, now).old_pod() else { return };
            let before = slot.count(mark::UNAVAILABLE);
            self.delete(slot, pod);
            self.evaluate(slot, node, now);
            self.check_budget(slot, before);
            left -= 1;
        }
    }
}

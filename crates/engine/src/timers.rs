//! When something is to be looked at again without a fact.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::Time;
use crate::engine::Engine;
use crate::lists::Wait;
use crate::nodes::NodeId;
use crate::slot::{Creating, Slot, SlotId};

/// What to look at. A wake that comes too early, or for a number that has since been used again, does no harm: what
/// it leads to is computed from the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// A cell: a pod becomes available, a backoff ends.
    Cell(SlotId, NodeId),
    /// A DaemonSet: a retry is due, or a status write.
    Slot(SlotId),
    /// The status of a policy is to be written.
    Policies,
    /// A write: its effect should have become visible by now.
    Stale(Wait),
}

/// Wakes by time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Time, Wake)>>,
}

/// A time that is over, whatever the time is.
const AT_ONCE: Time = Time(0);

impl Timers {
    /// Wakes at a time.
    pub fn set(&mut self, at: Time, wake: Wake) {
        self.heap.push(Reverse((at, wake)));
    }

    /// The next wake that is due.
    pub fn pop_due(&mut self, now: Time) -> Option<Wake> {
        match self.heap.peek() {
            Some(Reverse((at, _))) if *at <= now => self.heap.pop().map(|Reverse((_, wake))| wake),
            _ => None,
        }
    }

    fn clock_was_set(&mut self, by_millis: i64) {
        let wakes = std::mem::take(&mut self.heap).into_iter();
        let moved = wakes.map(|Reverse((at, wake))| match wake {
            // What a cell waits for may be a time that others have written: it is looked at again.
            Wake::Cell(..) => Reverse((AT_ONCE, wake)),
            _ => Reverse((at.plus_millis(by_millis), wake)),
        });
        self.heap = moved.collect();
    }

    /// The time of the next wake.
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

/// Waits after failures: the first delay, doubled with each further one, up to a last ([A3](crate::spec#a3)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retry {
    failures: u32,
    not_before: Option<Time>,
}

/// A pause that was doubled so many times, up to a last one.
pub(crate) fn doubled(first_millis: i64, times: u32, last_millis: i64) -> i64 {
    first_millis.saturating_mul(1_i64 << times.min(40)).min(last_millis)
}

impl Retry {
    /// One more failure.
    pub fn fail(&mut self, now: Time, first_millis: i64, last_millis: i64) {
        let pause_millis = doubled(first_millis, self.failures, last_millis);
        self.failures += 1;
        self.hold(now.plus_millis(pause_millis));
    }

    /// Waits until a time.
    pub fn hold(&mut self, until: Time) {
        self.not_before = self.not_before.max(Some(until));
    }

    /// It went well: the next failure is a first one.
    pub fn succeed(&mut self) {
        *self = Retry::default();
    }

    /// The clock was set by so much.
    pub fn clock_was_set(&mut self, by_millis: i64) {
        self.not_before = self.not_before.map(|at| at.plus_millis(by_millis));
    }

    /// How many failures there were in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The time until which to wait, when that is not over.
    pub fn blocked(&self, now: Time) -> Option<Time> {
        self.not_before.filter(|at| *at > now)
    }
}

impl Engine {
    /// The clock that `now` comes from was set, forward or back, by so much: what is waited for comes after as long
    /// as it would have without that. Times that others have written, such as those of pods, stay as they are.
    pub fn clock_was_set(&mut self, by_millis: i64) {
        self.timers.clock_was_set(by_millis);
        for listing in &mut self.lists {
            listing.clock_was_set(by_millis);
        }
        self.policies.clock_was_set(by_millis);
        for slot in self.slots.iter_mut() {
            slot.clock_was_set(by_millis);
        }
        for (_, namespace) in self.namespaces.iter_mut() {
            namespace.revisions.values_mut().for_each(|row| row.claims.clock_was_set(by_millis));
        }
        // When a node of a roll-out is late hangs on its pod's times.
        self.activate_conducted();
    }
}

impl Slot {
    fn clock_was_set(&mut self, by_millis: i64) {
        let shift = |time: &mut Time| {
            // The ends of time stand for never and always.
            if !matches!(time.0, i64::MIN | i64::MAX) {
                *time = time.plus_millis(by_millis);
            }
        };
        shift(&mut self.wake);
        shift(&mut self.status_not_before);
        self.claim_at.iter_mut().for_each(shift);
        if let Some(conduct) = &mut self.conduct {
            conduct.clock_was_set(by_millis);
        }
        for cell in self.cells.values_mut().filter(|cell| cell.wake != Time(i64::MAX)) {
            cell.wake = AT_ONCE;
        }
        self.failed.values_mut().for_each(|backoff| shift(&mut backoff.updated));
        self.refused.values_mut().for_each(|refusal| shift(&mut refusal.until));
        self.churn.values_mut().for_each(|churn| shift(&mut churn.last));
        for creating in self.creating.values_mut() {
            match creating {
                Creating::InFlight => {}
                Creating::Unseen { stale_at: at, .. }
                | Creating::Unknown { stale_at: at, .. }
                | Creating::Taken { until: at } => shift(at),
            }
        }
        let retries = &mut self.retries;
        [
            &mut retries.creates,
            &mut retries.deletes,
            &mut retries.patches,
            &mut retries.history,
            &mut retries.status,
        ]
        .into_iter()
        .filter_map(|retry| retry.not_before.as_mut())
        .for_each(shift);
    }
}

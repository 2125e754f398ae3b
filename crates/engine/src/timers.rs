//! When something is to be looked at again without a fact.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::Time;
use crate::lists::Wait;
use crate::nodes::NodeId;
use crate::slot::SlotId;

/// What to look at. A wake that comes too early, or for a number that has since been used again, does no harm: what
/// it leads to is computed from the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// A cell: a pod becomes available, a backoff ends.
    Cell(SlotId, NodeId),
    /// A DaemonSet: a retry is due, or a status write.
    Slot(SlotId),
    /// A write: its effect should have become visible by now.
    Stale(Wait),
}

/// Wakes by time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Time, Wake)>>,
}

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

    /// The time of the next wake.
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

/// Waits after failures: the first delay, doubled with each further one, up to a last (A3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retry {
    failures: u32,
    not_before: Option<Time>,
}

impl Retry {
    /// One more failure.
    pub fn fail(&mut self, now: Time, first_millis: i64, last_millis: i64) {
        let doubled = first_millis.saturating_mul(1_i64 << self.failures.min(40));
        self.failures += 1;
        self.hold(now.plus_millis(doubled.min(last_millis)));
    }

    /// Waits until a time.
    pub fn hold(&mut self, until: Time) {
        self.not_before = self.not_before.max(Some(until));
    }

    /// It went well: the next failure is a first one.
    pub fn succeed(&mut self) {
        *self = Retry::default();
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

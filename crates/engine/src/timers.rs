//! When something is to be looked at again without a fact.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::{Time, Uid};
use crate::facts::Kind;
use crate::ids::{DaemonSetId, NamespaceId, NodeId};

/// A write whose effect is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    /// A pod that was created, or may have been.
    Creation(DaemonSetId, NodeId),
    /// A creation that was not answered, and whose name another one has had since.
    Unanswered(DaemonSetId, NodeId),
    /// A pod that was deleted.
    Delete(DaemonSetId, Uid),
    /// A pod that was released.
    Release(DaemonSetId, Uid),
    /// A revision that was deleted, or was found to be gone.
    Revision(DaemonSetId, NamespaceId, Uid),
    /// A DaemonSet that a write found to be gone.
    DaemonSet(DaemonSetId, Uid),
}

impl Wait {
    /// The kind whose list decides.
    pub fn kind(self) -> Kind {
        match self {
            Wait::Creation(..) | Wait::Unanswered(..) | Wait::Delete(..) | Wait::Release(..) => Kind::Pod,
            Wait::Revision(..) => Kind::Revision,
            Wait::DaemonSet(..) => Kind::DaemonSet,
        }
    }

    /// The DaemonSet that made the write.
    pub fn daemonset(self) -> DaemonSetId {
        match self {
            Wait::Creation(daemonset, _)
            | Wait::Unanswered(daemonset, _)
            | Wait::Delete(daemonset, _)
            | Wait::Release(daemonset, _)
            | Wait::Revision(daemonset, ..)
            | Wait::DaemonSet(daemonset, _) => daemonset,
        }
    }
}

/// What to look at. A wake that comes too early, or for a number that has since been used again, does no harm: what
/// it leads to is computed from the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// An assignment: a pod becomes available, a backoff ends.
    Assignment(DaemonSetId, NodeId),
    /// A DaemonSet: a retry is due, or a status write.
    DaemonSet(DaemonSetId),
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
pub(crate) const AT_ONCE: Time = Time(0);

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

    pub fn clock_was_set(&mut self, by_millis: i64) {
        let wakes = std::mem::take(&mut self.heap).into_iter();
        let moved = wakes.map(|Reverse((at, wake))| match wake {
            // What an assignment waits for may be a time that others have written: it is looked at again.
            Wake::Assignment(..) => Reverse((AT_ONCE, wake)),
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
    pub not_before: Option<Time>,
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

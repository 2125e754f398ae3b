//! What is kept of one DaemonSet on one node.

use std::sync::Arc;

use crate::base::{Time, Uid};
use crate::config::Limits;
use crate::coverage::Service;
use crate::ids::PodId;
use crate::timers::doubled;

/// One DaemonSet on one node.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    /// The first pod of the list that hangs together by [`crate::pods::PodRow::next`].
    pub first: PodId,
    /// Bits of [`crate::mark`].
    pub marks: u32,
    /// The earliest wake that is set for the assignment.
    pub wake: Time,
    /// It is in the list of assignments to evaluate.
    pub dirty: bool,
    /// What the node was at the last look.
    pub service: Option<Service>,
    /// A roll-out took the pod, or takes it, and no other one is ready yet.
    pub is_rolled: bool,
}

impl Default for Assignment {
    fn default() -> Self {
        Assignment {
            first: PodId::NONE,
            marks: 0,
            wake: Time(i64::MAX),
            dirty: false,
            service: None,
            is_rolled: false,
        }
    }
}

/// A pod that was asked for and has not been seen ([H3](crate::spec#h3)). Nothing is decided for its assignment
/// until it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Creating {
    /// The write is in flight.
    InFlight,
    /// The pod exists, and the watch has not shown it.
    Unseen {
        /// Its uid.
        uid: Uid,
        /// When it should have been seen: from then on a list decides.
        stale_at: Time,
    },
    /// No answer came back: the pod may exist.
    Unknown {
        /// When it should have been seen: from then on a list decides.
        stale_at: Time,
        /// The name that the pod would have, if it is given one: a second pod of this name would be refused.
        name: Option<Arc<str>>,
        /// An earlier write of the same name was not answered either.
        is_repeated: bool,
    },
    /// The name for the pod is another pod's.
    Taken {
        /// When to try again.
        until: Time,
    },
}

impl Creating {
    /// When the pod should have been seen, if the write has ended.
    pub fn stale_at(&self) -> Option<Time> {
        match self {
            Creating::InFlight | Creating::Taken { .. } => None,
            Creating::Unseen { stale_at, .. } | Creating::Unknown { stale_at, .. } => Some(*stale_at),
        }
    }
}

/// A creation that was not answered before another one of the same name was carried out: when that name is free
/// again, it may still be carried out too. Until a list decides, no pod of another name is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub name: Arc<str>,
    /// When it should have been seen: from then on a list decides.
    pub stale_at: Time,
}

/// Failed pods of one node ([D6](crate::spec#d6)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailedBackoff {
    /// status.observedGeneration at the time: another one is another key.
    pub generation: i64,
    pub delay_millis: i64,
    pub updated: Time,
}

/// A node for which a creation has failed since one went well, or since the DaemonSet changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Failed creations in a row.
    pub failures: u32,
    /// When to try again.
    pub until: Time,
}

impl Refusal {
    /// When it is not worth knowing any more: the node was not tried again, for whatever reason.
    pub fn forget_at(&self, limits: &Limits) -> Time {
        self.until.plus_millis(2 * limits.retry_last_millis)
    }
}

/// So many pods are created on a node one after the other, none of which became ready, before the next one waits.
pub(crate) const FREE_CREATIONS: u32 = 5;

/// The creations on a node since a pod that came of one was ready. Other pods that are ready say nothing: whoever may
/// label pods can take one away and give it back as often as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Churn {
    pub creations: u32,
    pub last: Time,
    /// The pod that came of the last creation that is known to have been carried out.
    pub made: Option<Uid>,
}

impl Churn {
    /// When the next pod may be created: after the first ones at once, then after pauses that double.
    pub fn until(&self, limits: &Limits) -> Time {
        match self.creations.checked_sub(FREE_CREATIONS + 1) {
            None => self.last,
            Some(doublings) => {
                self.last.plus_millis(doubled(limits.churn_first_millis, doublings, limits.churn_last_millis))
            }
        }
    }

    /// It has been quiet for so long that it is not worth knowing any more.
    pub fn is_over(&self, limits: &Limits, now: Time) -> bool {
        now.millis_since(self.last) >= 2 * limits.churn_last_millis
    }
}

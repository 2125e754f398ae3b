//! Nodes whose pods are refused: they wait behind the others, each for itself.

use crate::base::Time;
use crate::engine::{Engine, Limits};
use crate::nodes::NodeId;
use crate::slot::{Slot, mark};
use crate::timers::doubled;

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

/// Spreads the attempts after failures over the nodes in line.
const STRIDE: usize = 2_654_435_761;

impl Engine {
    /// Puts a node whose creation failed behind the others; whether that was its first failure. The more nodes
    /// there are of the kind, the longer each waits, so that together they cost no more than a few writes a second.
    pub(crate) fn refuse(&self, slot: &mut Slot, node: NodeId, now: Time) -> bool {
        let limits = &self.limits;
        let failures = slot.refused.get(&node).map_or(0, |known| known.failures) + 1;
        let doubled = doubled(limits.retry_first_millis, failures - 1, limits.retry_last_millis);
        let others = slot.refused.len() + usize::from(failures == 1);
        let spaced =
            limits.refused_spacing_millis.saturating_mul(i64::try_from(others - 1).unwrap_or(i64::MAX));
        let delay_millis = doubled.max(spaced);
        if slot.cells.contains_key(&node) {
            slot.refused.insert(node, Refusal { failures, until: now.plus_millis(delay_millis) });
        }
        failures == 1
    }

    /// Takes the marks for creations from a node that waits, and tells when to look at it again.
    pub(crate) fn refused_marks(
        &self,
        slot: &mut Slot,
        node: NodeId,
        marks: u32,
        now: Time,
    ) -> (u32, Option<Time>) {
        let Some(refusal) = slot.refused.get(&node) else { return (marks, None) };
        let forget_at = refusal.forget_at(&self.limits);
        if forget_at <= now {
            slot.refused.remove(&node);
            return (marks, None);
        }
        match refusal.until > now {
            true => (marks & !mark::CREATES, Some(refusal.until)),
            false => (marks, Some(forget_at)),
        }
    }
}

impl Slot {
    /// The next node of a queue for creations: those that were not refused go first, by name. After a failure the
    /// next attempt is made elsewhere in the line, as chance would have it in the built-in controller: a row of nodes
    /// that refuse does not hold up all that come after it. Nodes that were refused follow by the time for which
    /// they waited.
    pub fn next_to_create(&self, queue: u32) -> Option<NodeId> {
        let failures = self.retries.creates.failures();
        if self.refused.is_empty() && failures == 0 {
            return self.first(queue);
        }
        let nodes = || self.queue(queue).values().copied();
        let mut fresh = nodes().filter(|node| !self.refused.contains_key(node));
        let in_line = match failures {
            0 => fresh.next(),
            failures => {
                let fresh: Vec<NodeId> = fresh.collect();
                let index = usize::try_from(failures).unwrap_or_default().wrapping_mul(STRIDE);
                index.checked_rem(fresh.len()).and_then(|index| fresh.get(index).copied())
            }
        };
        // The first of equals is the first by name.
        in_line.or_else(|| nodes().min_by_key(|node| self.refused.get(node).map(|refusal| refusal.until)))
    }
}

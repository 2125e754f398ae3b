//! Nodes whose pods are refused: they wait behind the others, each for itself.

use crate::assignment::Refusal;
use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::ids::NodeId;
use crate::mark;
use crate::tables::Tables;
use crate::timers::doubled;

impl Tables {
    /// Puts a node whose creation failed behind the others; whether that was its first failure. The more nodes
    /// there are of the kind, the longer each waits, so that together they cost no more than a few writes a second.
    pub(crate) fn refuse(&self, daemonset: &mut DaemonSetState, node: NodeId, now: Time) -> bool {
        let limits = &self.limits;
        let failures = daemonset.refused.get(&node).map_or(0, |known| known.failures) + 1;
        let doubled = doubled(limits.retry_first_millis, failures - 1, limits.retry_last_millis);
        let others = daemonset.refused.len() + usize::from(failures == 1);
        let spaced =
            limits.refused_spacing_millis.saturating_mul(i64::try_from(others - 1).unwrap_or(i64::MAX));
        let delay_millis = doubled.max(spaced);
        if daemonset.assignments.contains_key(&node) {
            daemonset.refused.insert(node, Refusal { failures, until: now.plus_millis(delay_millis) });
        }
        failures == 1
    }

    /// Takes the marks for creations from a node that waits, and tells when to look at it again.
    pub(crate) fn refused_marks(
        &self,
        daemonset: &mut DaemonSetState,
        node: NodeId,
        marks: u32,
        now: Time,
    ) -> (u32, Option<Time>) {
        let Some(refusal) = daemonset.refused.get(&node) else { return (marks, None) };
        let forget_at = refusal.forget_at(&self.limits);
        if forget_at <= now {
            daemonset.refused.remove(&node);
            return (marks, None);
        }
        match refusal.until > now {
            true => (marks & !mark::CREATES, Some(refusal.until)),
            false => (marks, Some(forget_at)),
        }
    }
}

//! Nodes whose pods do not stay: a brake on creations that nothing gets around, whoever takes the pods away.

use crate::assignment::{Churn, FREE_CREATIONS};
use crate::base::{Time, Uid};
use crate::daemonset::DaemonSetState;
use crate::ids::NodeId;
use crate::mark;
use crate::tables::Tables;
use crate::view::View;

impl Tables {
    /// One more pod was created on a node, or may have been. One that was refused was not: that has pauses of its own.
    pub(crate) fn note_creation(&mut self, daemonset: &mut DaemonSetState, node: NodeId, now: Time) {
        if !daemonset.assignments.contains_key(&node) {
            return;
        }
        let churn = daemonset.churn.entry(node).or_insert(Churn { creations: 0, last: now, made: None });
        (churn.creations, churn.last) = (churn.creations.saturating_add(1), now);
        if churn.creations == FREE_CREATIONS + 1 {
            let name = self.nodes.name(node).clone();
            let message = format!(
                "{} pods were created on node {name} one after the other and none became ready: the next ones wait",
                FREE_CREATIONS + 1
            );
            self.record(daemonset, true, "DaemonPodsDoNotStay", message);
        }
    }

    /// A creation on a node was carried out.
    pub(crate) fn note_made(daemonset: &mut DaemonSetState, node: NodeId, pod: Uid) {
        if let Some(churn) = daemonset.churn.get_mut(&node) {
            churn.made = Some(pod);
        }
    }

    /// When the next pod may be created on a node, if that is not now.
    pub(crate) fn braked_until(&self, daemonset: &DaemonSetState, node: NodeId, now: Time) -> Option<Time> {
        let churn = daemonset.churn.get(&node)?;
        Some(churn.until(&self.limits)).filter(|until| *until > now)
    }

    /// Takes the marks for creations from a node whose pods do not stay, and tells when to look at it again.
    pub(crate) fn braked_marks(
        &self,
        daemonset: &mut DaemonSetState,
        node: NodeId,
        marks: u32,
        view: &View,
        now: Time,
    ) -> (u32, Option<Time>) {
        let serves = |made: Uid| {
            let mut ready = view.pods.iter().filter(|pod| pod.ready);
            ready.any(|pod| self.pods.get(pod.id).is_some_and(|row| row.uid == made))
        };
        let is_past = |churn: &Churn| churn.made.is_some_and(serves) || churn.is_over(&self.limits, now);
        if daemonset.churn.get(&node).is_some_and(is_past) {
            daemonset.churn.remove(&node);
        }
        match self.braked_until(daemonset, node, now).filter(|_| marks & mark::CREATES != 0) {
            Some(until) => (marks & !mark::CREATES, Some(until)),
            None => (marks, None),
        }
    }
}

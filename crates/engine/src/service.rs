//! What a node is to a DaemonSet: served, or the cause why not.

use crate::base::Time;
use crate::coverage::{Lost, Service};
use crate::daemonset::DaemonSetState;
use crate::facts::Trouble;
use crate::ids::NodeId;
use crate::policy::Health;
use crate::tables::Tables;
use crate::view::View;

impl DaemonSetState {
    /// A node that was in one state is in another.
    fn change_service(&mut self, node: NodeId, before: Option<Service>, state: Option<Service>, now: Time) {
        let Some(assignment) = self.assignments.get_mut(&node) else { return };
        assignment.service = state;
        let to_rollout = assignment.is_rolled;
        before.inspect(|before| self.coverage.leaves(*before, now));
        state.inspect(|state| self.coverage.enters(*state, now));
        match (before, state) {
            (_, None) => drop(self.lost.remove(&node)),
            (_, Some(Service::Served)) => {
                if let Some(lost) = self.lost.remove(&node).filter(|lost| lost.to_rollout) {
                    self.coverage.is_served_again(lost, now);
                }
            }
            (Some(Service::Served), Some(_)) => {
                self.lost.insert(node, Lost { at: now, to_rollout });
            }
            _ => {}
        }
    }
}

impl Tables {
    /// Notes what a node is to a DaemonSet. `is_held`: it lacks a pod, and none is created for now.
    pub(crate) fn note_service(
        &self,
        daemonset: &mut DaemonSetState,
        node: NodeId,
        view: &View,
        is_held: bool,
        now: Time,
    ) {
        let Some(assignment) = daemonset.assignments.get_mut(&node) else { return };
        let goes = view.pods.iter().any(|pod| pod.leaving && !pod.updated);
        let is_served = view.pods.iter().any(|pod| pod.ready && !pod.leaving);
        assignment.is_rolled = goes || assignment.is_rolled && !is_served;
        let before = assignment.service;
        let state = self.service(daemonset, node, view, is_held);
        if before != state {
            daemonset.change_service(node, before, state, now);
        }
    }

    fn service(
        &self,
        daemonset: &DaemonSetState,
        node: NodeId,
        view: &View,
        is_held: bool,
    ) -> Option<Service> {
        let verdict = view.verdict.filter(|_| !daemonset.rests())?;
        let is_down = || matches!(self.health(node), Health::NotReady(_));
        // The taints of a node that is down keep new pods away; one that has its daemon is to be served all the same.
        let has_daemon = || verdict.should_continue && !view.pods.is_empty() && is_down();
        if !verdict.should_run && !has_daemon() {
            return None;
        }
        if view.pods.iter().any(|pod| pod.ready) {
            return Some(Service::Served);
        }
        if is_down() {
            return Some(Service::NodeDown);
        }
        let assignment = daemonset.assignments.get(&node)?;
        let staying = view.pods.iter().find(|pod| !pod.leaving);
        let row = staying.and_then(|pod| self.pods.get(pod.id));
        // The pod was there when the node was last served: it has lost its readiness.
        let lost = daemonset.lost.get(&node).map(|lost| lost.at);
        let has_lost_it = || match assignment.service {
            Some(Service::Served) => true,
            _ => row.zip(lost).is_some_and(|(row, lost)| row.created < lost),
        };
        Some(match (staying, row.and_then(|row| row.trouble)) {
            (_, Some(trouble)) => of_trouble(trouble),
            (Some(pod), None) if pod.phase.is_terminal() => Service::Crashing,
            (Some(pod), None) if !pod.bound => Service::Unschedulable,
            _ if assignment.is_rolled => Service::Rollout,
            (Some(_), None) if has_lost_it() => Service::Crashing,
            (Some(_), None) => Service::Starting,
            (None, None) if view.creating => Service::Starting,
            (None, None) if is_held => Service::Held,
            (None, None) => Service::Missing,
        })
    }
}

fn of_trouble(trouble: Trouble) -> Service {
    match trouble {
        Trouble::ImagePullBackOff
        | Trouble::ErrImagePull
        | Trouble::InvalidImageName
        | Trouble::ErrImageNeverPull => Service::ImagePull,
        Trouble::CrashLoopBackOff
        | Trouble::CreateContainerConfigError
        | Trouble::CreateContainerError
        | Trouble::RunContainerError => Service::Crashing,
    }
}

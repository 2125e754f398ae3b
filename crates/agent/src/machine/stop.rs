//! What is to be done for a pod that is to stop.

use super::clock::Now;
use super::end::{End, FailCause};
use super::state::PodMachine;
use super::step::{Next, Step, StopCause, StopContainer};
use super::view::{ContainerView, PodView};
use crate::pod_spec::Container;

impl PodMachine {
    pub(super) fn next_of_stop(&mut self, view: &PodView, now: Now) -> Next {
        let stopping = self.step_of_stop(view, now);
        if stopping.is_none() && self.last_status.is_none() {
            self.last_status = Some(self.status_of(view, now));
        }
        match stopping.or_else(|| self.step_of_end(view)) {
            Some(step) => Next::after(self.stopping.waits_until(now), || step),
            None if self.is_deleted => Next::Gone,
            None => Next::Wait(None),
        }
    }

    fn is_evicted(&self) -> bool {
        let end = self.stop.as_ref().map(|stop| &stop.end);
        matches!(end, Some(End::Failed { cause: FailCause::Evicted, .. }))
    }

    /// First the containers all at once, then the sidecars from the last to the first, then the sandbox.
    fn step_of_stop(&self, view: &PodView, now: Now) -> Option<Step> {
        let deadline_millis = self.stop.as_ref().map_or(now.millis, |stop| stop.deadline_millis);
        let stop = |one: &ContainerView| StopContainer::new(one, StopCause::PodStops, deadline_millis);
        let is_sidecar =
            |one: &ContainerView| self.pod.spec.container(&one.name).is_some_and(Container::is_sidecar);
        let others: Vec<StopContainer> = view.running().filter(|one| !is_sidecar(one)).map(stop).collect();
        if !others.is_empty() {
            return Some(Step::StopContainers(others));
        }
        for sidecar in self.pod.spec.init_containers.iter().rev() {
            let running: Vec<StopContainer> =
                view.running().filter(|one| one.name == sidecar.name).map(stop).collect();
            if !running.is_empty() {
                return Some(Step::StopContainers(running));
            }
        }
        let sandbox = view.sandboxes().iter().find(|sandbox| sandbox.is_ready)?;
        Some(Step::StopSandbox { id: sandbox.id.clone() })
    }

    /// What the pod had goes; what is left in the runtime only with the pod, unless the node needs the room.
    fn step_of_end(&self, view: &PodView) -> Option<Step> {
        if self.is_prepared {
            return Some(Step::CleanUp);
        }
        let sandbox = view.sandboxes().first().filter(|_| self.is_deleted || self.is_evicted())?;
        Some(Step::RemoveSandbox { id: sandbox.id.clone() })
    }
}

//! What is to be done for a pod that is to stop.

use super::run::{or_wait, stop_of};
use super::step::{Next, Step, StopCause, StopContainer};
use super::view::{ContainerView, PodView};
use super::{Now, PodMachine};
use crate::pod_spec::ShownStatus;

/// How a pod stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) end: End,
    /// When its containers are killed, in milliseconds.
    pub(super) deadline_millis: u64,
}

/// Why a pod stops, which says what is shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Its containers are done, or it is deleted: how they ended says how the pod did.
    Containers,
    /// It has failed, whatever its containers say.
    Failed { reason: String, message: String },
    /// It was shown to be over before the agent was started: that stays.
    Shown,
}

impl End {
    /// A pod that was over stays so.
    pub(super) fn shown(status: &ShownStatus) -> Option<End> {
        matches!(&*status.phase, "Failed" | "Succeeded").then_some(End::Shown)
    }
}

impl Stop {
    pub(super) fn new(end: End, deadline_millis: u64) -> Stop {
        Stop { end, deadline_millis }
    }
}

impl PodMachine {
    /// The pod is to stop within this time; if it stops already, for the same reason and not later than it would.
    pub(super) fn stop_within(&mut self, end: End, grace_millis: u64, now: Now) {
        let deadline_millis = now.millis.saturating_add(grace_millis);
        match &mut self.stop {
            None => self.stop = Some(Stop::new(end, deadline_millis)),
            Some(stop) => stop.deadline_millis = stop.deadline_millis.min(deadline_millis),
        }
    }

    pub(super) fn next_of_stop(&mut self, view: &PodView, now: Now) -> Next {
        let stopping = self.step_of_stop(view, now);
        if stopping.is_none() && self.last_status.is_none() {
            self.last_status = Some(self.status_of(view, now));
        }
        match stopping.or_else(|| self.step_of_end(view)) {
            Some(step) => or_wait(self.stopping.waits_until(now), || step),
            None if self.is_deleted => Next::Gone,
            None => Next::Wait(None),
        }
    }

    /// First the containers all at once, then the sidecars from the last to the first, then the sandbox.
    fn step_of_stop(&self, view: &PodView, now: Now) -> Option<Step> {
        let deadline_millis = self.stop.as_ref().map_or(now.millis, |stop| stop.deadline_millis);
        let stop = |one: &ContainerView| stop_of(one, StopCause::PodStops, deadline_millis);
        let is_sidecar = |one: &ContainerView| {
            self.pod.spec.container(&one.name).is_some_and(crate::pod_spec::Container::is_sidecar)
        };
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

    /// What the pod had goes; what is left in the runtime, and with it the logs, only with the pod.
    fn step_of_end(&self, view: &PodView) -> Option<Step> {
        if self.is_prepared {
            return Some(Step::CleanUp);
        }
        let sandbox = view.sandboxes().first().filter(|_| self.is_deleted)?;
        Some(Step::RemoveSandbox { id: sandbox.id.clone() })
    }
}

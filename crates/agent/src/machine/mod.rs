//! The life of one pod on its node, without clock and I/O.
//!
//! A [`PodMachine`] is told what the API shows of the pod and what the runtime has of it ([`PodView`]), and says the
//! next [`Step`]. It decides from what is there: what was done before the agent was started again is seen, and goes on.
//!
//! Assumptions: the runtime refuses a second container of one name and attempt; a list of the runtime shows whatever was
//! answered before the list was asked for; one step of a pod is under way at a time.
//!
//! Invariants: a container is made only when none of its name runs; in a sandbox that is ready; and, but for sidecars,
//! after the ones that go before it. Nothing is made once the pod is to stop. A pod is gone only when nothing of it is
//! left in the runtime.

mod clock;
mod end;
mod memory;
mod pod_status;
mod probe;
mod probes;
mod resize;
mod run;
mod state;
mod status;
mod step;
mod stop;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use clock::Now;
pub(crate) use memory::probe_of;
pub(crate) use pod_status::ConditionTimes;
pub use pod_status::{ConditionStatus, ContainerStatus, PodStatus, StateStatus};
pub use probe::{ProbeAnswer, ProbeKind};
pub use probes::DueProbe;
pub use resize::{Pending, RESIZE_IN_PROGRESS, RESIZE_PENDING};
pub use state::PodMachine;
pub use step::{FailureReason, Next, ResizeContainer, Step, StepOutcome, StopCause, StopContainer};
pub use view::{ContainerState, ContainerView, Exit, PodView, SandboxView};

use crate::pod_spec::{Pod, bounded_seconds};
use end::{End, FailCause, Stop};
use memory::{Hook, Retry};

impl PodMachine {
    /// Takes a pod as the API shows it. `is_prepared` where its folders and volumes are there from before.
    pub fn new(pod: Arc<Pod>, is_prepared: bool, now: Now) -> PodMachine {
        let shown_start = pod.status.start_time.as_deref();
        let accepted_seconds = shown_start.and_then(|text| everynode_model::time::parse(text).ok());
        let conditions = ConditionTimes::shown(&pod.status.conditions);
        let mut machine = PodMachine {
            asked: pod.clone(),
            pod: resize::as_shown(&pod),
            pending: None,
            accepted_seconds: accepted_seconds.unwrap_or(now.wall_seconds()),
            stop: End::shown(&pod.status).map(|end| Stop::new(end, now.millis)),
            is_deleted: false,
            is_prepared,
            preparing: Retry::default(),
            sandboxing: Retry::default(),
            resizing: Retry::default(),
            stopping: Retry::default(),
            containers: BTreeMap::new(),
            conditions,
            last_status: None,
        };
        machine.observe_pod(pod, now);
        machine
    }

    /// The pod as the API last showed it, but for resources that are not allotted to it.
    pub fn pod(&self) -> &Arc<Pod> {
        &self.pod
    }

    /// Takes the pod as the API shows it now.
    pub fn observe_pod(&mut self, pod: Arc<Pod>, now: Now) {
        self.pod = resize::as_before(&pod, &self.pod);
        self.asked = pod;
        if self.pod.metadata.deletion_timestamp.is_some() {
            let seconds = self.pod.metadata.deletion_grace_period_seconds;
            let grace = seconds.map_or_else(|| self.pod.spec.grace_seconds(), bounded_seconds);
            self.is_deleted = true;
            self.stop_within(End::Containers, u64::from(grace) * 1_000, now);
        }
    }

    /// The pod is gone from the API without having ended here: it ends by its own grace period.
    pub fn observe_pod_gone(&mut self, now: Now) {
        self.is_deleted = true;
        self.stop_within(End::Containers, u64::from(self.pod.spec.grace_seconds()) * 1_000, now);
    }

    /// The node has to be rid of the pod, for this sentence. Returns whether that is why it ends.
    pub fn evict(&mut self, message: &str, grace_millis: u64, now: Now) -> bool {
        let ends_already = self.stop.is_some();
        let end = End::Failed { cause: FailCause::Evicted, message: message.to_owned() };
        self.stop_within(end, grace_millis, now);
        !ends_already
    }

    /// What is to be done next. The step that it names is under way from then on; `next` is not called again before
    /// [`finish`](Self::finish), or before the step was dropped because it [may be](Self::drops).
    pub fn next(&mut self, view: &PodView, now: Now) -> Next {
        self.see(view, now);
        self.end_by_itself(view, now);
        match self.stop.is_some() {
            true => self.next_of_stop(view, now),
            false => self.next_of_run(view, now),
        }
    }

    /// Whether a step that is under way is to be dropped, because the pod is to stop, or to stop sooner.
    pub fn drops(&self, step: &Step) -> bool {
        let Some(stop) = &self.stop else { return false };
        match step {
            Step::Prepare | Step::EnsureImage { .. } | Step::PostStart { .. } => true,
            Step::StopContainers(containers) => {
                containers.iter().any(|one| one.deadline_millis > stop.deadline_millis)
            }
            _ => false,
        }
    }

    /// Takes how a step went.
    pub fn finish(&mut self, step: &Step, outcome: StepOutcome, now: Now) {
        match step {
            Step::Prepare => {
                self.is_prepared = outcome == StepOutcome::Done;
                note(&mut self.preparing, outcome, now);
            }
            Step::RunSandbox { .. } => note(&mut self.sandboxing, outcome, now),
            Step::EnsureImage { container } => {
                let memory = self.containers.entry(container.clone()).or_default();
                match outcome {
                    StepOutcome::Image { image_ref } => {
                        memory.image_ref = Some(image_ref);
                        memory.making.forget_image();
                    }
                    other => note(&mut memory.making, other, now),
                }
            }
            Step::CreateContainer { container, attempt, resources, .. } => {
                let memory = self.containers.entry(container.clone()).or_default();
                memory.image_ref = None;
                memory.made_with = (outcome == StepOutcome::Done).then(|| resources.clone());
                if outcome == StepOutcome::Done && *attempt > 0 {
                    memory.count_restart(now);
                }
                note(&mut memory.making, outcome, now);
            }
            Step::StartContainer { container, id } => self.started(container, id, outcome, now),
            Step::PostStart { container, id } => self.hook_done(container, id, &outcome),
            Step::Resize(containers) => {
                if outcome == StepOutcome::Done {
                    containers.iter().for_each(|one| self.resized(one));
                }
                note(&mut self.resizing, outcome, now);
            }
            Step::StopContainers(_)
            | Step::StopSandbox { .. }
            | Step::RemoveContainer { .. }
            | Step::RemoveSandbox { .. } => note(&mut self.stopping, outcome, now),
            Step::CleanUp => {
                self.is_prepared = outcome != StepOutcome::Done;
                note(&mut self.stopping, outcome, now);
            }
        }
    }

    /// Whatever came of the start, the container may run: then the hook is owed.
    fn started(&mut self, container: &str, id: &str, outcome: StepOutcome, now: Now) {
        let has_hook =
            self.pod.spec.container(container).is_some_and(|spec| spec.lifecycle.post_start.is_some());
        let memory = self.containers.entry(container.to_owned()).or_default();
        memory.turn_to(id);
        if has_hook {
            memory.hook = Hook::Owed;
        }
        note(&mut memory.making, outcome, now);
    }

    fn resized(&mut self, one: &ResizeContainer) {
        let memory = self.containers.entry(one.container.clone()).or_default();
        memory.turn_to(&one.id);
        memory.given = Some(one.to.clone());
    }

    fn hook_done(&mut self, container: &str, id: &str, outcome: &StepOutcome) {
        let memory = self.containers.entry(container.to_owned()).or_default();
        memory.turn_to(id);
        memory.hook = Hook::Done;
        if *outcome != StepOutcome::Done {
            memory.kill = Some(StopCause::PostStartFailed);
        }
    }
}

fn note(retry: &mut Retry, outcome: StepOutcome, now: Now) {
    match outcome {
        StepOutcome::Done | StepOutcome::Image { .. } => retry.succeeded(),
        StepOutcome::Failed { reason, message } => retry.failed(reason, message, now),
    }
}

#[cfg(test)]
mod tests;

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

mod memory;
mod probe;
mod run;
mod status;
mod step;
mod stop;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use probe::{ProbeAnswer, ProbeKind};
pub use status::{ConditionStatus, ContainerStatus, PodStatus, StateStatus};
pub use step::{FailureReason, Next, Step, StepOutcome, StopCause, StopContainer};
pub use view::{ContainerState, ContainerView, Exit, PodView, SandboxView};

use crate::pod_spec::{Container, Pod, RestartPolicy, ShownContainer};
use memory::{ContainerMemory, Hook, Retry, probe_of};
use stop::{End, Stop};

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that only goes forward.
    pub millis: u64,
    /// Nanoseconds since 1970 of the clock of the wall, which may be set.
    pub wall_nanos: i64,
}

impl Now {
    /// How long ago that was by the clock of the wall; 0 where it is yet to come.
    fn millis_since(self, nanos: i64) -> u64 {
        u64::try_from(self.wall_nanos.saturating_sub(nanos) / 1_000_000).unwrap_or(0)
    }

    /// Seconds since 1970.
    pub fn wall_seconds(self) -> i64 {
        self.wall_nanos.div_euclid(1_000_000_000)
    }
}

/// A probe to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueProbe {
    /// The container's name.
    pub container: String,
    /// The runtime's identifier.
    pub id: String,
    /// What it is for.
    pub kind: ProbeKind,
}

/// The life of one pod.
#[derive(Debug, Clone)]
pub struct PodMachine {
    pod: Arc<Pod>,
    accepted_seconds: i64,
    /// Whether the pod runs, or how it ends.
    stop: Option<Stop>,
    /// Nothing of it is to be left.
    is_deleted: bool,
    is_prepared: bool,
    preparing: Retry,
    sandboxing: Retry,
    stopping: Retry,
    containers: BTreeMap<String, ContainerMemory>,
    conditions: status::Conditions,
    /// What is shown once the containers have ended: what is left of them is then taken away.
    last_status: Option<PodStatus>,
}

impl PodMachine {
    /// Takes a pod as the API shows it. `is_prepared` where its folders and volumes are there from before.
    pub fn new(pod: Arc<Pod>, is_prepared: bool, now: Now) -> PodMachine {
        let shown_start = pod.status.start_time.as_deref();
        let accepted_seconds = shown_start.and_then(|text| everynode_model::time::parse(text).ok());
        let conditions = status::Conditions::shown(&pod.status.conditions);
        let mut machine = PodMachine {
            pod: pod.clone(),
            accepted_seconds: accepted_seconds.unwrap_or(now.wall_seconds()),
            stop: End::shown(&pod.status).map(|end| Stop::new(end, now.millis)),
            is_deleted: false,
            is_prepared,
            preparing: Retry::default(),
            sandboxing: Retry::default(),
            stopping: Retry::default(),
            containers: BTreeMap::new(),
            conditions,
            last_status: None,
        };
        machine.observe_pod(pod, now);
        machine
    }

    /// The pod as the API last showed it.
    pub fn pod(&self) -> &Arc<Pod> {
        &self.pod
    }

    /// Takes the pod as the API shows it now.
    pub fn observe_pod(&mut self, pod: Arc<Pod>, now: Now) {
        self.pod = pod;
        if self.pod.metadata.deletion_timestamp.is_some() {
            let seconds = self.pod.metadata.deletion_grace_period_seconds;
            let grace =
                seconds.map_or_else(|| self.pod.spec.grace_seconds(), crate::pod_spec::bounded_seconds);
            self.is_deleted = true;
            self.stop_within(End::Containers, u64::from(grace) * 1_000, now);
        }
    }

    /// The pod is gone from the API without having ended here: it ends by its own grace period.
    pub fn observe_pod_gone(&mut self, now: Now) {
        self.is_deleted = true;
        self.stop_within(End::Containers, u64::from(self.pod.spec.grace_seconds()) * 1_000, now);
    }

    /// The node has to be rid of the pod, for this reason and with this sentence.
    pub fn evict(&mut self, reason: &str, message: &str, grace_millis: u64, now: Now) {
        let end = End::Failed { reason: reason.to_owned(), message: message.to_owned() };
        self.stop_within(end, grace_millis, now);
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
            Step::CreateContainer { container, attempt, .. } => {
                let memory = self.containers.entry(container.clone()).or_default();
                memory.image_ref = None;
                if outcome == StepOutcome::Done && *attempt > 0 {
                    memory.count_restart(now);
                }
                note(&mut memory.making, outcome, now);
            }
            Step::StartContainer { container, id } => self.started(container, id, outcome, now),
            Step::PostStart { container, id } => self.hook_done(container, id, &outcome),
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

    fn hook_done(&mut self, container: &str, id: &str, outcome: &StepOutcome) {
        let memory = self.containers.entry(container.to_owned()).or_default();
        memory.turn_to(id);
        memory.hook = Hook::Done;
        if *outcome != StepOutcome::Done {
            memory.kill = Some(StopCause::PostStartFailed);
        }
    }

    /// The probes that are due. They are under way from then on.
    pub fn due_probes(&mut self, view: &PodView, now: Now) -> Vec<DueProbe> {
        let pod = self.pod.clone();
        let mut due = Vec::new();
        for spec in containers_of(&pod) {
            for kind in ProbeKind::ALL {
                let Some(id) = self.asks(spec, kind, view) else { continue };
                let memory = self.containers.entry(spec.name.clone()).or_default();
                if memory.probe_due(kind).is_some_and(|at| at <= now.millis) {
                    memory.ask(kind);
                    due.push(DueProbe { container: spec.name.clone(), id, kind });
                }
            }
        }
        due
    }

    /// When the next probe is due.
    pub fn next_probe_millis(&self, view: &PodView) -> Option<u64> {
        let asked = containers_of(&self.pod).flat_map(|spec| ProbeKind::ALL.map(|kind| (spec, kind)));
        let asked = asked.filter(|(spec, kind)| self.asks(spec, *kind, view).is_some());
        asked.filter_map(|(spec, kind)| self.containers.get(&spec.name)?.probe_due(kind)).min()
    }

    /// Takes what a probe came to. Returns whether what holds has changed.
    pub fn answer(&mut self, probe: &DueProbe, answer: ProbeAnswer, now: Now) -> bool {
        let Some(spec) = self.pod.spec.container(&probe.container) else { return false };
        let Some(asked) = probe_of(spec, probe.kind) else { return false };
        let Some(memory) = self.containers.get_mut(&probe.container) else { return false };
        let Some(state) = memory.probe_mut(&probe.id, probe.kind) else { return false };
        let changed = state.answer(asked, answer, now.millis);
        let is_unwell = state.verdict() == Some(false);
        if changed && is_unwell && probe.kind != ProbeKind::Readiness {
            memory.kill = Some(StopCause::Probe(probe.kind));
        }
        changed
    }

    /// The container that a probe is to be asked of now.
    fn asks(&self, spec: &Container, kind: ProbeKind, view: &PodView) -> Option<String> {
        let seen = view.current(&spec.name).filter(|seen| seen.is_running())?;
        let memory = self.containers.get(&spec.name)?;
        let has_come_up = memory.verdict(spec, ProbeKind::Startup) == Some(true);
        let is_wanted = match kind {
            ProbeKind::Startup => !has_come_up && self.stop.is_none(),
            ProbeKind::Liveness => has_come_up && self.stop.is_none(),
            ProbeKind::Readiness => has_come_up,
        };
        // One that is to be killed for what a probe said is not asked again.
        let is_judged = kind != ProbeKind::Readiness && memory.verdict(spec, kind) == Some(false);
        let asks = is_wanted && !is_judged && memory.hook == Hook::Done && memory.kill.is_none();
        asks.then(|| seen.id.clone())
    }

    /// Takes in what the runtime has.
    fn see(&mut self, view: &PodView, now: Now) {
        let pod = self.pod.clone();
        for spec in containers_of(&pod) {
            if let Some(seen) = view.current(&spec.name) {
                let memory = self.containers.entry(spec.name.clone()).or_default();
                memory.see(spec, shown(&pod, &spec.name), seen, now);
            }
        }
    }

    /// Whether a container is to run again after it has ended so.
    fn runs_again(&self, spec: &Container, exit: &Exit) -> bool {
        if spec.is_sidecar() {
            return true;
        }
        match (self.pod.spec.restart_policy, self.is_init(spec)) {
            (RestartPolicy::Always, false) => true,
            (RestartPolicy::Never, _) => false,
            (RestartPolicy::OnFailure, _) | (RestartPolicy::Always, true) => exit.code != 0,
        }
    }

    fn is_init(&self, spec: &Container) -> bool {
        self.pod.spec.init_containers.iter().any(|one| one.name == spec.name)
    }

    /// The container runs, and has come up.
    fn has_started(&self, spec: &Container, view: &PodView) -> bool {
        let Some(memory) = self.containers.get(&spec.name) else { return false };
        view.current(&spec.name).is_some_and(ContainerView::is_running)
            && memory.hook == Hook::Done
            && memory.verdict(spec, ProbeKind::Startup) == Some(true)
    }

    /// The container serves.
    fn is_ready(&self, spec: &Container, view: &PodView) -> bool {
        let Some(memory) = self.containers.get(&spec.name) else { return false };
        self.has_started(spec, view) && memory.verdict(spec, ProbeKind::Readiness) == Some(true)
    }
}

/// The containers of a pod in the order in which they are started.
fn containers_of(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.init_containers.iter().chain(&pod.spec.containers)
}

/// What was last written of a container.
fn shown<'a>(pod: &'a Pod, name: &str) -> Option<&'a ShownContainer> {
    let status = &pod.status;
    status.init_container_statuses.iter().chain(&status.container_statuses).find(|one| one.name == name)
}

fn note(retry: &mut Retry, outcome: StepOutcome, now: Now) {
    match outcome {
        StepOutcome::Done | StepOutcome::Image { .. } => retry.succeeded(),
        StepOutcome::Failed { reason, message } => retry.failed(reason, message, now),
    }
}

#[cfg(test)]
mod tests;

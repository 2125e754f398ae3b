//! What is shown of a pod, from what is known of it.

use everynode_model::{Phase, duration};

use super::clock::Now;
use super::end::{End, FailCause};
use super::memory::{ContainerMemory, Hook};
use super::pod_status::{ConditionStatus, ContainerStatus, PodStatus, StateStatus};
use super::state::{PodMachine, shown};
use super::step::FailureReason;
use super::view::{ContainerState, ContainerView, PodView};
use crate::pod_spec::{Container, RestartPolicy};

impl PodMachine {
    /// What is shown of the pod now; nothing where what was shown before stays.
    pub fn status(&mut self, view: &PodView, now: Now) -> Option<PodStatus> {
        if self.stop.as_ref().is_some_and(|stop| stop.end == End::Shown) {
            return None;
        }
        if self.last_status.is_none() {
            self.see(view, now);
        }
        Some(match &self.last_status {
            Some(last) => last.clone(),
            None => self.status_of(view, now),
        })
    }

    /// When what is shown changes although nothing happens.
    pub fn next_status_millis(&self, now: Now) -> Option<u64> {
        let pauses = self.containers.values().filter_map(|memory| memory.making.pause_shown_millis());
        pauses.filter(|at| *at > now.millis).min()
    }

    pub(super) fn status_of(&mut self, view: &PodView, now: Now) -> PodStatus {
        let pod = self.pod.clone();
        let spec = &pod.spec;
        let init_containers: Vec<ContainerStatus> =
            spec.init_containers.iter().map(|one| self.container_status(one, true, view, now)).collect();
        let containers: Vec<ContainerStatus> =
            spec.containers.iter().map(|one| self.container_status(one, false, view, now)).collect();
        let (reason, message) = match self.stop.as_ref().map(|stop| &stop.end) {
            Some(End::Failed { cause, message }) => (cause.name().to_owned(), message.clone()),
            _ => Default::default(),
        };
        let phase = self.phase(&init_containers, &containers, view);
        let mut conditions = self.conditions_of(phase, &init_containers, &containers, view, now);
        conditions.extend(self.disruption(now));
        conditions.extend(self.resize_conditions(view, now));
        PodStatus {
            phase,
            reason,
            message,
            conditions,
            ips: view.sandboxes().first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default(),
            start_seconds: self.accepted_seconds,
            init_containers,
            containers,
        }
    }

    fn container_status(&self, spec: &Container, is_init: bool, view: &PodView, now: Now) -> ContainerStatus {
        let newest = view.of(&spec.name).next();
        let state = self.state_of(spec, newest, view, now);
        // A container that is shown to wait has ended before, and that is how.
        let waits = matches!(state, StateStatus::Waiting { .. });
        let ended = |one: &ContainerView| Some((one.exit()?.clone(), one.id.clone()));
        let last_exit = view.of(&spec.name).skip(usize::from(!waits)).find_map(ended);
        let is_done = matches!(&state, StateStatus::Terminated(exit) if exit.code == 0);
        let is_started = self.has_started(spec, view);
        ContainerStatus {
            name: spec.name.clone(),
            image: spec.image.clone(),
            image_ref: newest.map(|one| one.image_ref.clone()).unwrap_or_default(),
            id: newest.map(|one| one.id.clone()).unwrap_or_default(),
            is_ready: if is_init && !spec.is_sidecar() { is_done } else { self.is_ready(spec, view) },
            is_started,
            restart_count: newest.map_or_else(|| self.shown_restarts(spec), |one| one.attempt),
            resources: self.resources_of(spec, newest),
            allotted: spec.resources.clone(),
            state,
            last_exit,
        }
    }

    fn shown_restarts(&self, spec: &Container) -> u32 {
        shown(&self.pod, &spec.name).map_or(0, |shown| shown.restart_count)
    }

    fn state_of(
        &self,
        spec: &Container,
        newest: Option<&ContainerView>,
        view: &PodView,
        now: Now,
    ) -> StateStatus {
        let memory = self.containers.get(&spec.name);
        let not_yet = || StateStatus::Waiting {
            reason: self.why_not_yet(spec, view).to_owned(),
            message: String::new(),
        };
        match newest.map(|one| &one.state) {
            Some(ContainerState::Running { .. })
                if memory.is_some_and(|memory| memory.hook == Hook::Owed) =>
            {
                not_yet()
            }
            Some(ContainerState::Running { started_nanos }) => {
                StateStatus::Running { started_nanos: *started_nanos }
            }
            Some(ContainerState::Exited(exit)) if self.stop.is_some() || !self.runs_again(spec, exit) => {
                StateStatus::Terminated(exit.clone())
            }
            Some(ContainerState::Exited(exit)) => self
                .waiting(spec, memory, now)
                .or_else(|| crash_loop(spec, memory, self, now))
                .unwrap_or_else(|| StateStatus::Terminated(exit.clone())),
            Some(ContainerState::Created | ContainerState::Unknown) | None => {
                self.waiting(spec, memory, now).unwrap_or_else(not_yet)
            }
        }
    }

    /// What keeps a container from being made.
    fn waiting(&self, spec: &Container, memory: Option<&ContainerMemory>, now: Now) -> Option<StateStatus> {
        if let Some(refused) = self.pod.refused() {
            let reason = FailureReason::CreateContainerConfigError.name().to_owned();
            return Some(StateStatus::Waiting { reason, message: refused.to_string() });
        }
        let making = &memory?.making;
        let (reason, message) = making.problem.as_ref()?;
        let (reason, message) = match reason {
            FailureReason::ErrImagePull if making.is_paused(now) => (
                "ImagePullBackOff",
                format!("Back-off pulling image {:?}: ErrImagePull: {message}", spec.image),
            ),
            reason => (reason.name(), message.clone()),
        };
        Some(StateStatus::Waiting { reason: reason.to_owned(), message })
    }

    /// The word for a container whose turn has not come.
    fn why_not_yet(&self, spec: &Container, view: &PodView) -> &'static str {
        let init = &self.pod.spec.init_containers;
        let is_init = init.iter().any(|one| one.name == spec.name);
        let has_init = init.iter().any(|one| !self.is_initialized(one, view));
        if has_init && !is_init || is_init && init.first().is_some_and(|first| first.name != spec.name) {
            "PodInitializing"
        } else {
            "ContainerCreating"
        }
    }

    /// What runs before the others has done its part.
    fn is_initialized(&self, spec: &Container, view: &PodView) -> bool {
        match spec.is_sidecar() {
            true => self.has_started(spec, view),
            false => {
                let apps_were_made =
                    self.pod.spec.containers.iter().any(|one| view.current(&one.name).is_some());
                let newest = view.of(&spec.name).next().and_then(ContainerView::exit);
                apps_were_made || newest.is_some_and(|exit| exit.code == 0)
            }
        }
    }

    fn phase(&self, init: &[ContainerStatus], containers: &[ContainerStatus], view: &PodView) -> Phase {
        if matches!(self.stop.as_ref().map(|stop| &stop.end), Some(End::Failed { .. })) {
            return Phase::Failed;
        }
        let policy = self.pod.spec.restart_policy;
        let failed =
            |one: &ContainerStatus| matches!(&one.state, StateStatus::Terminated(exit) if exit.code != 0);
        let ended = |one: &ContainerStatus| matches!(one.state, StateStatus::Terminated(_));
        let is_sidecar =
            |one: &ContainerStatus| self.pod.spec.container(&one.name).is_some_and(Container::is_sidecar);
        if policy == RestartPolicy::Never && init.iter().any(|one| !is_sidecar(one) && failed(one)) {
            return Phase::Failed;
        }
        let is_uninitialized =
            self.pod.spec.init_containers.iter().any(|one| !self.is_initialized(one, view));
        let never_ran = |one: &ContainerStatus| {
            matches!(one.state, StateStatus::Waiting { .. }) && one.last_exit.is_none()
        };
        let has_ended = containers.iter().all(ended);
        if !has_ended && (is_uninitialized && self.stop.is_none() || containers.iter().any(never_ran)) {
            return Phase::Pending;
        }
        match has_ended && (policy != RestartPolicy::Always || self.stop.is_some()) {
            true if containers.iter().any(failed) => Phase::Failed,
            true => Phase::Succeeded,
            false => Phase::Running,
        }
    }

    fn conditions_of(
        &mut self,
        phase: Phase,
        init: &[ContainerStatus],
        containers: &[ContainerStatus],
        view: &PodView,
        now: Now,
    ) -> Vec<ConditionStatus> {
        let spec = &self.pod.spec;
        let uninitialized: Vec<&str> = {
            let left = spec.init_containers.iter().filter(|one| !self.is_initialized(one, view));
            left.map(|one| &*one.name).collect()
        };
        let sidecars = init.iter().zip(&spec.init_containers).filter(|(_, spec)| spec.is_sidecar());
        let asked = sidecars.map(|(status, _)| status).chain(containers);
        let unready: Vec<&str> = asked.filter(|one| !one.is_ready).map(|one| &*one.name).collect();
        let over = match phase {
            Phase::Succeeded => Some(("PodCompleted", String::new())),
            Phase::Failed => Some(("PodFailed", String::new())),
            _ => None,
        };
        let not_ready = over.clone().or_else(|| {
            let message = format!("containers with unready status: [{}]", unready.join(" "));
            (!unready.is_empty()).then_some(("ContainersNotReady", message))
        });
        let not_initialized = (!uninitialized.is_empty() && phase == Phase::Pending).then(|| {
            let message = format!("containers with incomplete status: [{}]", uninitialized.join(" "));
            ("ContainersNotInitialized", message)
        });
        let gates = not_ready.clone().or_else(|| self.closed_gate());
        let no_sandbox = view.sandbox().is_none().then(|| ("", String::new()));
        [
            ("PodReadyToStartContainers", no_sandbox),
            ("Initialized", not_initialized),
            ("Ready", gates),
            ("ContainersReady", not_ready),
        ]
        .map(|(kind, problem)| {
            let since_seconds = self.conditions.since(kind, problem.is_none(), now.wall_seconds());
            let (is_true, (reason, message)) = (problem.is_none(), problem.unwrap_or_default());
            ConditionStatus { kind, is_true, reason, message, since_seconds }
        })
        .into()
    }

    /// That the node, and not the pod itself, is why it ended.
    fn disruption(&mut self, now: Now) -> Option<ConditionStatus> {
        let message = match self.stop.as_ref().map(|stop| &stop.end) {
            Some(End::Failed { cause: FailCause::Evicted, message }) => message.clone(),
            _ => return None,
        };
        let (kind, reason) = ("DisruptionTarget", "TerminationByKubelet");
        let since_seconds = self.conditions.since(kind, true, now.wall_seconds());
        Some(ConditionStatus { kind, is_true: true, reason, message, since_seconds })
    }

    /// A condition that others set and without which the pod is not ready.
    fn closed_gate(&self) -> Option<(&'static str, String)> {
        let holds = |kind: &str| {
            self.pod.status.conditions.iter().any(|shown| shown.kind == kind && shown.status == "True")
        };
        let closed = self.pod.spec.readiness_gates.iter().find(|gate| !holds(&gate.condition_type))?;
        let message = format!("the status of pod readiness gate {:?} is not \"True\"", closed.condition_type);
        Some(("ReadinessGatesNotReady", message))
    }
}

fn crash_loop(
    spec: &Container,
    memory: Option<&ContainerMemory>,
    machine: &PodMachine,
    now: Now,
) -> Option<StateStatus> {
    let memory = memory?;
    memory.crash_waits_until(now)?;
    let pod = &machine.pod.metadata;
    let message = format!(
        "back-off {} restarting failed container={} pod={}_{}({})",
        duration::format_seconds(memory.crash_pause_millis() / 1_000),
        spec.name,
        pod.name,
        pod.namespace,
        pod.uid
    );
    Some(StateStatus::Waiting { reason: "CrashLoopBackOff".to_owned(), message })
}

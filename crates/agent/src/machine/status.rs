//! What is shown of a pod.

use std::collections::BTreeMap;

use super::memory::{ContainerMemory, Hook};
use super::stop::End;
use super::view::{ContainerState, ContainerView, Exit, PodView};
use super::{FailureReason, Now, PodMachine};
use crate::pod_spec::{Container, RestartPolicy, ShownCondition};

/// What is shown of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub phase: &'static str,
    /// Why it is over, where its containers do not say.
    pub reason: String,
    /// A sentence about that.
    pub message: String,
    /// Conditions.
    pub conditions: Vec<ConditionStatus>,
    /// Addresses; none on the node's network, or before there is a sandbox.
    pub ips: Vec<String>,
    /// When the pod was taken, in seconds since 1970.
    pub start_seconds: i64,
    /// Containers that run before the others.
    pub init_containers: Vec<ContainerStatus>,
    /// Containers.
    pub containers: Vec<ContainerStatus>,
}

/// A condition of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionStatus {
    /// What it is about.
    pub kind: &'static str,
    /// Whether it holds.
    pub is_true: bool,
    /// A word for programs about why it does not.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// Since when, in seconds since 1970.
    pub since_seconds: i64,
}

/// What is shown of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Name.
    pub name: String,
    /// The image that the pod names.
    pub image: String,
    /// The image as the runtime names it; empty before there is a container.
    pub image_ref: String,
    /// The runtime's identifier; empty before there is a container.
    pub id: String,
    /// It serves; a container that runs before the others: it is done.
    pub is_ready: bool,
    /// It runs and has come up.
    pub is_started: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// What it does.
    pub state: StateStatus,
    /// How the one before it ended, with that one's identifier.
    pub last_exit: Option<(Exit, String)>,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateStatus {
    /// It does not run yet, or not again yet.
    Waiting {
        /// A word for programs.
        reason: String,
        /// A sentence for people.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when, in nanoseconds since 1970.
        started_nanos: i64,
    },
    /// It has ended.
    Terminated(Exit),
}

/// Since when each condition is what it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions(BTreeMap<String, (bool, i64)>);

impl Conditions {
    /// As they were last written.
    pub(super) fn shown(shown: &[ShownCondition]) -> Conditions {
        let since = |one: &ShownCondition| {
            let at =
                one.last_transition_time.as_deref().and_then(|text| everynode_model::time::parse(text).ok());
            Some((one.kind.clone(), (one.status == "True", at?)))
        };
        Conditions(shown.iter().filter_map(since).collect())
    }

    fn since(&mut self, kind: &str, is_true: bool, now_seconds: i64) -> i64 {
        let entry = self.0.entry(kind.to_owned()).or_insert((is_true, now_seconds));
        if entry.0 != is_true {
            *entry = (is_true, now_seconds);
        }
        entry.1
    }
}

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
        let spec = &self.pod.spec;
        let init_containers: Vec<ContainerStatus> =
            spec.init_containers.iter().map(|one| self.container_status(one, true, view, now)).collect();
        let containers: Vec<ContainerStatus> =
            spec.containers.iter().map(|one| self.container_status(one, false, view, now)).collect();
        let (reason, message) = match self.stop.as_ref().map(|stop| &stop.end) {
            Some(End::Failed { reason, message }) => (reason.clone(), message.clone()),
            _ => Default::default(),
        };
        let phase = self.phase(&init_containers, &containers, view);
        let conditions = self.conditions_of(phase, &init_containers, &containers, view, now);
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
            state,
            last_exit,
        }
    }

    fn shown_restarts(&self, spec: &Container) -> u32 {
        super::shown(&self.pod, &spec.name).map_or(0, |shown| shown.restart_count)
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

    fn phase(
        &self,
        init: &[ContainerStatus],
        containers: &[ContainerStatus],
        view: &PodView,
    ) -> &'static str {
        if matches!(self.stop.as_ref().map(|stop| &stop.end), Some(End::Failed { .. })) {
            return "Failed";
        }
        let policy = self.pod.spec.restart_policy;
        let failed =
            |one: &ContainerStatus| matches!(&one.state, StateStatus::Terminated(exit) if exit.code != 0);
        let ended = |one: &ContainerStatus| matches!(one.state, StateStatus::Terminated(_));
        let is_sidecar =
            |one: &ContainerStatus| self.pod.spec.container(&one.name).is_some_and(Container::is_sidecar);
        if policy == RestartPolicy::Never && init.iter().any(|one| !is_sidecar(one) && failed(one)) {
            return "Failed";
        }
        let is_uninitialized =
            self.pod.spec.init_containers.iter().any(|one| !self.is_initialized(one, view));
        let never_ran = |one: &ContainerStatus| {
            matches!(one.state, StateStatus::Waiting { .. }) && one.last_exit.is_none()
        };
        let has_ended = containers.iter().all(ended);
        if !has_ended && (is_uninitialized && self.stop.is_none() || containers.iter().any(never_ran)) {
            return "Pending";
        }
        match has_ended && (policy != RestartPolicy::Always || self.stop.is_some()) {
            true if containers.iter().any(failed) => "Failed",
            true => "Succeeded",
            false => "Running",
        }
    }

    fn conditions_of(
        &mut self,
        phase: &str,
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
            "Succeeded" => Some(("PodCompleted", String::new())),
            "Failed" => Some(("PodFailed", String::new())),
            _ => None,
        };
        let not_ready = over.clone().or_else(|| {
            let message = format!("containers with unready status: [{}]", unready.join(" "));
            (!unready.is_empty()).then_some(("ContainersNotReady", message))
        });
        let not_initialized = (!uninitialized.is_empty() && phase == "Pending").then(|| {
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
        everynode_model::duration::format_seconds(memory.crash_pause_millis() / 1_000),
        spec.name,
        pod.name,
        pod.namespace,
        pod.uid
    );
    Some(StateStatus::Waiting { reason: "CrashLoopBackOff".to_owned(), message })
}

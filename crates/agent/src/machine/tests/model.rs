//! A runtime of one pod in memory, and an agent that carries out what the machine says.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::*;
use crate::pod_spec::{Resources, ShownContainer};

/// What a container does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// It ends so long after its start, with this code.
    pub exits: Option<(u64, i32)>,
    /// Its probes succeed so long after its start.
    pub well_after: u64,
    /// From then on they fail.
    pub unwell_after: Option<u64>,
    /// It ends so long after it is told to.
    pub ends_after: u64,
    /// Its image can be pulled from then on.
    pub pullable_after: u64,
}

/// What goes wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done, and the agent is told so.
    Refused,
    /// It is done, and the agent is told that it is not.
    AnswerLost,
    /// It is not done, and the agent ends.
    AgentEndsBefore,
    /// It is done, and the agent ends.
    AgentEndsAfter,
}

pub(crate) struct World {
    pub now: Now,
    pub machine: PodMachine,
    pod: Arc<Pod>,
    behaviours: BTreeMap<String, Behaviour>,
    sandboxes: Vec<SandboxView>,
    containers: Vec<ContainerView>,
    /// When a container that was told to end does.
    ends: BTreeMap<String, u64>,
    next_id: u32,
    is_prepared: bool,
    pub is_gone: bool,
    /// The containers that were started, by name.
    pub starts: Vec<String>,
    /// What the containers have, by identifier.
    given: BTreeMap<String, Resources>,
    /// Whether the node has room for what pods ask for beside what they have.
    pub has_room: bool,
    /// What goes wrong with each step in turn.
    pub faults: Vec<Option<Fault>>,
    last: Option<PodStatus>,
    /// Containers that were told to end, and until when they are waited for.
    stopping: Option<(Step, u64)>,
}

impl World {
    pub(crate) fn new(pod: Arc<Pod>, behaviours: &[(&str, Behaviour)]) -> World {
        let now = Now { millis: 0, wall_nanos: 1_700_000_000_000_000_000 };
        World {
            now,
            machine: PodMachine::new(pod.clone(), false, now),
            pod,
            behaviours: behaviours.iter().map(|(name, one)| ((*name).to_owned(), *one)).collect(),
            sandboxes: Vec::new(),
            containers: Vec::new(),
            ends: BTreeMap::new(),
            next_id: 0,
            is_prepared: false,
            is_gone: false,
            starts: Vec::new(),
            given: BTreeMap::new(),
            has_room: true,
            faults: Vec::new(),
            last: None,
            stopping: None,
        }
    }

    pub(crate) fn view(&self) -> PodView {
        PodView::new(self.sandboxes.clone(), self.containers.clone())
    }

    pub(crate) fn status(&mut self) -> Option<PodStatus> {
        let view = self.view();
        self.machine.status(&view, self.now)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sandboxes.is_empty() && self.containers.is_empty() && !self.is_prepared
    }

    /// What a container that runs has of cpu.
    pub(crate) fn cpu(&self, name: &str) -> Option<String> {
        let view = self.view();
        let running = view.current(name).filter(|one| one.is_running())?;
        Some(self.given.get(&running.id)?.requests.get("cpu")?.to_string())
    }

    /// Somebody asks for other resources for all containers that have some.
    pub(crate) fn resize(&mut self, cpu: &str) {
        let mut pod = (*self.pod).clone();
        let containers = pod.spec.init_containers.iter_mut().chain(&mut pod.spec.containers);
        for cpu_of in containers.filter_map(|one| one.resources.requests.get_mut("cpu")) {
            *cpu_of = everynode_model::quantity::Quantity::parse(cpu).unwrap();
        }
        self.pod = Arc::new(pod);
        self.machine.observe_pod(self.pod.clone(), self.now);
    }

    fn behaviour(&self, name: &str) -> Behaviour {
        self.behaviours.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn delete(&mut self, grace_seconds: i64) {
        let mut pod = (*self.pod).clone();
        pod.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".to_owned());
        pod.metadata.deletion_grace_period_seconds = Some(grace_seconds);
        self.pod = Arc::new(pod);
        self.machine.observe_pod(self.pod.clone(), self.now);
    }

    /// The agent ends and is started again: it knows what the API shows and what the runtime has.
    pub(crate) fn restart_agent(&mut self) {
        let mut pod = (*self.pod).clone();
        if let Some(last) = &self.last {
            let shown = |one: &ContainerStatus| ShownContainer {
                name: one.name.clone(),
                container_id: if one.id.is_empty() { String::new() } else { format!("model://{}", one.id) },
                ready: one.is_ready,
                started: Some(one.is_started),
                restart_count: one.restart_count,
                resources: Some(one.resources.clone()),
                ..ShownContainer::default()
            };
            pod.status.phase = last.phase.name().to_owned();
            pod.status.container_statuses = last.containers.iter().map(shown).collect();
            pod.status.init_container_statuses = last.init_containers.iter().map(shown).collect();
        }
        self.pod = Arc::new(pod);
        self.machine = PodMachine::new(self.pod.clone(), self.is_prepared, self.now);
        self.stopping = None;
    }

    /// The node was started anew: nothing runs any more.
    pub(crate) fn lose_sandbox(&mut self) {
        for sandbox in &mut self.sandboxes {
            sandbox.is_ready = false;
        }
        for id in self.ids_of_running() {
            self.end(&id, 255);
        }
    }

    pub(crate) fn ids_of_running(&self) -> Vec<String> {
        self.containers.iter().filter(|one| one.is_running()).map(|one| one.id.clone()).collect()
    }

    pub(crate) fn end(&mut self, id: &str, code: i32) {
        let finished_nanos = self.now.wall_nanos;
        if let Some(one) = self.containers.iter_mut().find(|one| one.id == id)
            && let ContainerState::Running { started_nanos } = one.state
        {
            one.state =
                ContainerState::Exited(Exit { code, started_nanos, finished_nanos, ..Exit::default() });
        }
    }

    /// Lets time pass, and everybody do what is due.
    pub(crate) fn run_until(&mut self, millis: u64) {
        loop {
            self.pass();
            let next = self.work();
            let at = [next, self.next_event()]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(u64::MAX)
                .max(self.now.millis + 1);
            if at > millis {
                self.advance(millis);
                self.pass();
                self.work();
                return;
            }
            self.advance(at);
        }
    }

    fn advance(&mut self, millis: u64) {
        let passed = millis.saturating_sub(self.now.millis);
        self.now.millis = self.now.millis.max(millis);
        self.now.wall_nanos += i64::try_from(passed).unwrap() * 1_000_000;
    }

    /// Containers that end by themselves, or because they were told to.
    fn pass(&mut self) {
        for one in self.containers.clone() {
            let ContainerState::Running { started_nanos } = one.state else { continue };
            let age = self.now.millis_since(started_nanos);
            if let Some((after, code)) = self.behaviour(&one.name).exits
                && age >= after
            {
                self.end(&one.id, code);
            }
            if self.ends.get(&one.id).is_some_and(|at| *at <= self.now.millis) {
                self.end(&one.id, 0);
            }
        }
    }

    fn next_event(&self) -> Option<u64> {
        let running = self.containers.iter().filter(|one| one.is_running());
        let ends = running.clone().filter_map(|one| self.ends.get(&one.id).copied());
        let exits = running.filter_map(|one| {
            let ContainerState::Running { started_nanos } = one.state else { return None };
            let (after, _) = self.behaviour(&one.name).exits?;
            Some(self.now.millis + after.saturating_sub(self.now.millis_since(started_nanos)))
        });
        ends.chain(exits).min()
    }

    /// Does all that the machine says now. Returns when it is to be asked again.
    fn work(&mut self) -> Option<u64> {
        for _ in 0..1_000 {
            if let Some(until) = self.wait_for_ends() {
                return Some(until);
            }
            let view = self.view();
            if self.machine.asks_for_resize().is_some() {
                let no_room = Pending { is_infeasible: false, message: "full".to_owned() };
                self.machine.allot(if self.has_room { Ok(()) } else { Err(no_room) });
            }
            match self.machine.next(&view, self.now) {
                Next::Do(step) => self.carry_out(&step),
                Next::Gone => {
                    self.is_gone = true;
                    self.last = self.status();
                    return None;
                }
                Next::Wait(at) => {
                    if self.probe() {
                        continue;
                    }
                    self.last = self.status().or(self.last.take());
                    let view = self.view();
                    let probes = self.machine.next_probe_millis(&view);
                    let told = self.machine.next_status_millis(self.now);
                    return [at, probes, told].into_iter().flatten().min();
                }
            }
        }
        panic!("no end of steps: {:?}", self.machine);
    }

    fn probe(&mut self) -> bool {
        let view = self.view();
        let due = self.machine.due_probes(&view, self.now);
        for probe in &due {
            let answer = match self.is_well(&probe.id) {
                true => ProbeAnswer::Success,
                false => ProbeAnswer::Failure,
            };
            self.machine.answer(probe, answer, self.now);
        }
        !due.is_empty()
    }

    fn is_well(&self, id: &str) -> bool {
        let Some(one) = self.containers.iter().find(|one| one.id == id) else { return false };
        let ContainerState::Running { started_nanos } = one.state else { return false };
        let (age, behaviour) = (self.now.millis_since(started_nanos), self.behaviour(&one.name));
        age >= behaviour.well_after && behaviour.unwell_after.is_none_or(|at| age < at)
    }

    fn carry_out(&mut self, step: &Step) {
        let fault = self.faults.pop().flatten();
        if matches!(fault, Some(Fault::AgentEndsBefore)) {
            return self.restart_agent();
        }
        let lost =
            StepOutcome::Failed { reason: FailureReason::RunContainerError, message: "lost".to_owned() };
        let outcome = match fault {
            Some(Fault::Refused) => lost.clone(),
            _ => self.done(step),
        };
        match fault {
            Some(Fault::AgentEndsAfter) => self.restart_agent(),
            _ if self.stopping.is_some() => {}
            Some(Fault::AnswerLost) => self.machine.finish(step, lost, self.now),
            _ => self.machine.finish(step, outcome, self.now),
        }
    }

    fn done(&mut self, step: &Step) -> StepOutcome {
        match step {
            Step::Prepare => self.is_prepared = true,
            Step::CleanUp => {
                assert!(self.ids_of_running().is_empty(), "the volumes of what runs are taken away");
                self.is_prepared = false;
            }
            Step::RunSandbox { attempt } => self.run_sandbox(*attempt),
            Step::EnsureImage { container } => return self.pull(container),
            Step::CreateContainer { container, attempt, sandbox_id, resources, .. } => {
                return self.create(container, *attempt, sandbox_id, resources);
            }
            Step::Resize(containers) => {
                for one in containers {
                    self.given.insert(one.id.clone(), one.to.clone());
                }
            }
            Step::StartContainer { id, .. } => return self.start(id),
            Step::PostStart { .. } => {}
            Step::StopContainers(containers) => {
                let until = self.tell(containers);
                self.stopping = Some((step.clone(), until));
            }
            Step::StopSandbox { id } => {
                let inside: Vec<String> = self
                    .containers
                    .iter()
                    .filter(|one| one.sandbox_id == *id)
                    .map(|one| one.id.clone())
                    .collect();
                inside.iter().for_each(|id| self.end(id, 137));
                self.sandboxes.iter_mut().filter(|one| one.id == *id).for_each(|one| one.is_ready = false);
            }
            Step::RemoveContainer { id } => self.containers.retain(|one| one.id != *id),
            Step::RemoveSandbox { id } => {
                self.sandboxes.retain(|one| one.id != *id);
                self.containers.retain(|one| one.sandbox_id != *id);
            }
        }
        StepOutcome::Done
    }

    fn new_id(&mut self) -> String {
        self.next_id += 1;
        format!("id{}", self.next_id)
    }

    fn run_sandbox(&mut self, attempt: u32) {
        assert!(self.is_prepared && self.ids_of_running().is_empty(), "a second sandbox beside what runs");
        let (id, created_nanos) = (self.new_id(), self.now.wall_nanos);
        self.sandboxes.push(SandboxView { id, attempt, is_ready: true, created_nanos, ips: Vec::new() });
    }

    fn pull(&self, container: &str) -> StepOutcome {
        match self.now.millis >= self.behaviour(container).pullable_after {
            true => StepOutcome::Image { image_ref: "image".to_owned() },
            false => {
                StepOutcome::Failed { reason: FailureReason::ErrImagePull, message: "not found".to_owned() }
            }
        }
    }

    fn create(&mut self, name: &str, attempt: u32, sandbox_id: &str, resources: &Resources) -> StepOutcome {
        let failed = |message: &str| StepOutcome::Failed {
            reason: FailureReason::CreateContainerError,
            message: message.to_owned(),
        };
        if self.containers.iter().any(|one| one.name == name && one.attempt == attempt) {
            return failed("the name is reserved");
        }
        if !self.sandboxes.iter().any(|one| one.id == sandbox_id && one.is_ready) {
            return failed("the sandbox is not ready");
        }
        let image = self.pod.spec.container(name).map(|one| one.image.clone()).unwrap_or_default();
        let container = ContainerView {
            id: self.new_id(),
            name: name.to_owned(),
            attempt,
            sandbox_id: sandbox_id.to_owned(),
            image,
            image_ref: "image".to_owned(),
            created_nanos: self.now.wall_nanos,
            state: ContainerState::Created,
        };
        self.given.insert(container.id.clone(), resources.clone());
        self.containers.push(container);
        StepOutcome::Done
    }

    fn start(&mut self, id: &str) -> StepOutcome {
        let Some(one) = self.containers.iter().find(|one| one.id == id).cloned() else {
            return StepOutcome::Failed {
                reason: FailureReason::RunContainerError,
                message: "not found".to_owned(),
            };
        };
        assert_eq!(one.state, ContainerState::Created, "a container is started twice");
        let twin = self.containers.iter().any(|other| other.name == one.name && other.is_running());
        assert!(!twin, "two containers {} run", one.name);
        self.starts.push(one.name);
        let started_nanos = self.now.wall_nanos;
        for one in self.containers.iter_mut().filter(|one| one.id == id) {
            one.state = ContainerState::Running { started_nanos };
        }
        StepOutcome::Done
    }

    /// Tells containers to end. Returns when the last of them has ended, or is killed.
    fn tell(&mut self, containers: &[StopContainer]) -> u64 {
        let mut last = self.now.millis;
        for one in containers {
            let ends = self.now.millis + self.behaviour(&one.container).ends_after;
            let ends = *self.ends.entry(one.id.clone()).or_insert(ends);
            last = last.max(ends.min(one.deadline_millis));
        }
        last
    }

    /// Goes on with containers that were told to end. Returns until when they are waited for.
    fn wait_for_ends(&mut self) -> Option<u64> {
        let (step, until) = self.stopping.take()?;
        if self.machine.drops(&step) {
            return None;
        }
        if until > self.now.millis {
            self.stopping = Some((step, until));
            return Some(until);
        }
        if let Step::StopContainers(containers) = &step {
            containers.iter().for_each(|one| self.end(&one.id, 137));
        }
        self.machine.finish(&step, StepOutcome::Done, self.now);
        None
    }
}

//! The life of one pod on a simulated node: a state machine without clock and I/O.
//!
//! It is told what the API shows ([`PodMachine::observe`]) and that time has passed ([`PodMachine::wake`]), and
//! answers with [`Effects`]. What the status should say at any moment is in [`PodMachine::status`].

mod spec;

use std::time::Duration;

use everynode_client::Backoff;
use everynode_model::{Phase, Pod, duration};

use crate::faults::PodFaults;
use crate::status::{ContainerView, StatusView, Timestamp};
pub(crate) use spec::{Container, EphemeralContainer, PodFacts, RestartPolicy, is_unpullable};

/// The present: for durations, and for time stamps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Since the agents started, never going back.
    pub millis: u64,
    /// The wall clock, whole seconds.
    pub wall: Timestamp,
    /// The wall clock's milliseconds above these.
    pub wall_millis: u16,
}

impl Now {
    fn after(self, delay: Duration) -> u64 {
        self.millis.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What the caller is to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Write the status.
    pub report: bool,
    /// Then remove the pod from the API.
    pub delete: bool,
    /// The node has gone NotReady because of this pod.
    pub node_down: bool,
    /// Something worth an event.
    pub note: Option<Note>,
}

/// What pods have events about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    Started,
    PullFailed,
    PullBackOff,
    CrashBackOff,
    Killing,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct PodMachine {
    pub facts: PodFacts,
    faults: PodFaults,
    stage: Stage,
    /// When [`wake`](Self::wake) is to be called, in milliseconds of [`Now`].
    wake_at: Option<u64>,
    restart_count: u32,
    /// Restarts since one that was so long ago that the next one need not wait.
    recent_restarts: u32,
    /// The last exit, while the containers run or wait again.
    last_exit: Option<Exit>,
    /// When the node took the pod.
    accepted: Timestamp,
    /// When the containers were last started.
    started: Option<Timestamp>,
    /// When Ready last changed.
    ready_changed: Timestamp,
    grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Images are pulled, init containers run.
    Starting,
    PullFailed {
        attempts: u32,
    },
    Running {
        ready: bool,
        plan: Plan,
    },
    CrashBackOff,
    /// Over, with this exit code.
    Finished(Exit),
    /// Over because others said so; their status stays.
    Settled {
        has_failed: bool,
    },
    /// Deleted, and the containers are still running.
    Terminating {
        was_running: bool,
        ready: bool,
    },
    /// Nothing is left to do but to remove it from the API.
    Terminated {
        exit: Option<Exit>,
    },
}

/// How a run will go on, in milliseconds of [`Now`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Plan {
    ready_at: Option<u64>,
    exit_at: Option<u64>,
    crash_at: Option<u64>,
    random_end_at: Option<u64>,
    node_down_at: Option<u64>,
}

/// How the containers ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub code: u8,
    pub oom_killed: bool,
    pub started: Timestamp,
    pub finished: Timestamp,
}

/// Why a container ended that should have run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Error,
    OomKilled,
}

/// The exit code of what is killed.
const OOM_KILLED: u8 = 137;
/// A container that ran for longer than this is restarted as if it had never ended.
const BACKOFF_FORGOTTEN_SECONDS: i64 = 600;

/// Crash and pull back-off: 10 s doubling to 300 s.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));

impl PodMachine {
    /// Takes a pod that the API shows on this node, new or from before a restart of the agents.
    pub(crate) fn admit(
        pod: &Pod<'_>,
        faults: PodFaults,
        start_delay: Duration,
        now: Now,
    ) -> (PodMachine, Effects) {
        let start_time = pod.status.start_time.as_deref().and_then(Timestamp::parse);
        let restart_count = pod.status.containers().iter().map(|c| c.restart_count).max().unwrap_or(0);
        let mut machine = PodMachine {
            facts: PodFacts::read(pod),
            faults,
            stage: Stage::Starting,
            wake_at: None,
            restart_count,
            recent_restarts: restart_count,
            last_exit: None,
            accepted: start_time.unwrap_or(now.wall),
            started: started_at(pod),
            ready_changed: now.wall,
            grace: Duration::ZERO,
        };
        machine.facts.take_ephemeral_containers(pod, now.wall);
        let mut effects = Effects::default();
        match pod.phase() {
            Phase::Running => machine.resume(pod.is_ready(), now, &mut effects),
            Phase::Succeeded | Phase::Failed => {}
            Phase::Pending | Phase::Unknown => {
                machine.wake_at = Some(now.after(machine.faults.start_delay.unwrap_or(start_delay)))
            }
        }
        effects.merge(machine.observe(pod, now));
        effects.merge(machine.wake(now));
        (machine, effects)
    }

    /// Goes on with a pod that ran before the agents were restarted: what runs keeps running.
    fn resume(&mut self, ready: bool, now: Now, effects: &mut Effects) {
        let plan = match ready {
            true => Plan { ready_at: None, ..self.plan(now) },
            false => self.plan(now),
        };
        self.stage = Stage::Running { ready, plan };
        self.started.get_or_insert(now.wall);
        self.follow_plan(now, effects);
    }

    /// Takes the pod as the API now shows it.
    pub(crate) fn observe(&mut self, pod: &Pod<'_>, now: Now) -> Effects {
        let mut effects = Effects::default();
        let (has_failed, is_over) = (pod.phase() == Phase::Failed, pod.phase().is_terminal());
        match self.stage {
            // A status that was under way has replaced theirs. A pod that was over does not rise again.
            Stage::Settled { has_failed } if !is_over => self.exit(u8::from(has_failed), now, &mut effects),
            Stage::Finished(_) | Stage::Settled { .. } | Stage::Terminated { .. } => {}
            _ if is_over => {
                self.stage = Stage::Settled { has_failed };
                self.wake_at = None;
            }
            _ => {}
        }
        if pod.is_terminating() {
            let grace_seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            let grace = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
            self.terminate(grace, now, &mut effects);
        }
        if self.facts.generation != pod.metadata.generation {
            self.facts.generation = pod.metadata.generation;
            self.facts.take_ephemeral_containers(pod, now.wall);
            if self.facts.take_containers(pod) {
                self.replace(now, &mut effects);
            }
            // The status says which generation it is about.
            effects.report |= matches!(self.stage, Stage::Running { .. });
        }
        effects
    }

    /// The containers go on with other images.
    fn replace(&mut self, now: Now, effects: &mut Effects) {
        match self.stage {
            Stage::Running { .. } => {
                self.last_exit = Some(self.exit_now(0, now));
                self.restart_count += 1;
            }
            Stage::CrashBackOff => self.restart_count += 1,
            Stage::PullFailed { .. } => {}
            _ => return,
        }
        self.ready_changed = now.wall;
        self.pull_and_start(now, effects);
    }

    fn pull_and_start(&mut self, now: Now, effects: &mut Effects) {
        match self.facts.cannot_be_pulled() {
            Some(_) => self.pull_failed(1, now, effects),
            None => self.start(now, effects),
        }
    }

    /// The containers are ready, whatever the API shows.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Running { ready: true, .. })
    }

    /// The faults were changed while the pod lives: they count from now on.
    pub(crate) fn set_faults(&mut self, faults: PodFaults, now: Now) -> Effects {
        let mut effects = Effects::default();
        self.faults = faults;
        if let Stage::Running { ready, .. } = self.stage {
            let mut plan = self.plan(now);
            if ready && !self.faults.never_ready {
                plan.ready_at = None;
            }
            if ready && self.faults.never_ready {
                self.ready_changed = now.wall;
            }
            let ready = ready && !self.faults.never_ready;
            self.stage = Stage::Running { ready, plan };
            effects.report = true;
            self.follow_plan(now, &mut effects);
        }
        effects
    }

    /// When [`wake`](Self::wake) is to be called.
    pub(crate) fn wake_at(&self) -> Option<u64> {
        self.wake_at
    }

    /// Does what is due. Calling it early or twice does no harm.
    pub(crate) fn wake(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        if self.wake_at.is_none_or(|at| at > now.millis) {
            return effects;
        }
        self.wake_at = None;
        match self.stage {
            Stage::Starting => self.pull_and_start(now, &mut effects),
            Stage::PullFailed { attempts } => self.pull_failed(attempts + 1, now, &mut effects),
            Stage::Running { .. } => self.follow_plan(now, &mut effects),
            Stage::CrashBackOff => {
                self.restart_count += 1;
                self.recent_restarts += 1;
                self.start(now, &mut effects);
            }
            Stage::Terminating { was_running, .. } => self.end(was_running, now, &mut effects),
            Stage::Finished(_) | Stage::Settled { .. } | Stage::Terminated { .. } => {}
        }
        effects
    }

    /// The first failure says what is wrong, the second that it will go on; after that nothing changes.
    fn pull_failed(&mut self, attempts: u32, now: Now, effects: &mut Effects) {
        self.stage = Stage::PullFailed { attempts };
        effects.report = true;
        effects.note = Some(if attempts == 1 { Note::PullFailed } else { Note::PullBackOff });
        self.wake_at = (attempts == 1).then(|| now.after(BACKOFF.after(attempts)));
    }

    fn start(&mut self, now: Now, effects: &mut Effects) {
        self.started = Some(now.wall);
        if self.restart_count == 0 {
            effects.note = Some(Note::Started);
        }
        let plan = self.plan(now);
        self.stage = Stage::Running { ready: false, plan };
        self.ready_changed = now.wall;
        effects.report = true;
        self.follow_plan(now, effects);
    }

    fn plan(&self, now: Now) -> Plan {
        let faults = &self.faults;
        let probe = if faults.honour_probes { self.facts.probe_delay } else { Duration::ZERO };
        Plan {
            ready_at: (!faults.never_ready).then(|| now.after(faults.ready_after.unwrap_or(probe))),
            exit_at: faults.exit_code.map(|_| now.after(faults.exit_after)),
            crash_at: faults.crash_after.map(|after| now.after(after)),
            random_end_at: faults
                .restarts
                .map(|restarts| now.after(self.facts.next_end(restarts, self.restart_count))),
            node_down_at: faults.node_not_ready_after.map(|after| now.after(after)),
        }
    }

    /// Carries out what of the plan is due, and sets the next wake-up.
    fn follow_plan(&mut self, now: Now, effects: &mut Effects) {
        let Stage::Running { mut ready, mut plan } = self.stage else { return };
        let due = |at: &mut Option<u64>| at.take_if(|at| *at <= now.millis).is_some();
        effects.node_down |= due(&mut plan.node_down_at);
        if due(&mut plan.exit_at) {
            return self.exit(self.faults.exit_code.unwrap_or(0), now, effects);
        }
        if due(&mut plan.crash_at) {
            return self.crash(Cause::Error, now, effects);
        }
        if due(&mut plan.random_end_at) {
            let is_oom = self.faults.restarts.is_some_and(|restarts| restarts.oom_killed);
            return self.crash(if is_oom { Cause::OomKilled } else { Cause::Error }, now, effects);
        }
        if due(&mut plan.ready_at) && !ready {
            ready = true;
            self.ready_changed = now.wall;
            effects.report = true;
        }
        self.stage = Stage::Running { ready, plan };
        let moments = [plan.ready_at, plan.exit_at, plan.crash_at, plan.random_end_at, plan.node_down_at];
        self.wake_at = moments.into_iter().flatten().min();
    }

    fn exit(&mut self, code: u8, now: Now, effects: &mut Effects) {
        self.finish(self.exit_now(code, now), now, effects);
    }

    fn finish(&mut self, exit: Exit, now: Now, effects: &mut Effects) {
        self.stage = Stage::Finished(exit);
        self.ready_changed = now.wall;
        self.wake_at = None;
        effects.report = true;
    }

    fn exit_now(&self, code: u8, now: Now) -> Exit {
        let started = self.started.unwrap_or(now.wall);
        Exit { code, oom_killed: false, started, finished: now.wall }
    }

    /// The first crash is restarted at once, as is one after a long time; the following ones after the back-off.
    fn crash(&mut self, cause: Cause, now: Now, effects: &mut Effects) {
        let exit = match cause {
            Cause::Error => self.exit_now(1, now),
            Cause::OomKilled => Exit { oom_killed: true, ..self.exit_now(OOM_KILLED, now) },
        };
        if self.facts.restarts == RestartPolicy::Never {
            return self.finish(exit, now, effects);
        }
        self.last_exit = Some(exit);
        self.ready_changed = now.wall;
        effects.report = true;
        if exit.finished.0 - exit.started.0 > BACKOFF_FORGOTTEN_SECONDS {
            self.recent_restarts = 0;
        }
        if self.recent_restarts == 0 {
            self.restart_count += 1;
            self.recent_restarts = 1;
            if self.faults.crash_after.is_none_or(|after| !after.is_zero()) {
                return self.start(now, effects);
            }
        }
        self.stage = Stage::CrashBackOff;
        effects.note = Some(Note::CrashBackOff);
        self.wake_at = Some(now.after(BACKOFF.after(self.recent_restarts)));
    }

    fn terminate(&mut self, grace: Duration, now: Now, effects: &mut Effects) {
        let was_running = match self.stage {
            Stage::Settled { .. } | Stage::Finished(_) => {
                self.stage = Stage::Terminated { exit: None };
                self.wake_at = None;
                effects.delete = true;
                return;
            }
            Stage::Terminated { .. } => return,
            Stage::Terminating { was_running, .. } if grace < self.grace => was_running,
            Stage::Terminating { .. } => return,
            Stage::Running { .. } => {
                effects.note = Some(Note::Killing);
                true
            }
            Stage::Starting | Stage::PullFailed { .. } | Stage::CrashBackOff => false,
        };
        let ready =
            matches!(self.stage, Stage::Running { ready: true, .. } | Stage::Terminating { ready: true, .. });
        let prestop = if self.faults.honour_prestop { self.facts.prestop } else { Duration::ZERO };
        let delay = self.faults.termination_delay.unwrap_or(prestop).min(grace);
        self.grace = grace;
        self.stage = Stage::Terminating { was_running, ready };
        match delay.is_zero() || !was_running {
            true => self.end(was_running, now, effects),
            false => self.wake_at = Some(now.after(delay)),
        }
    }

    fn end(&mut self, was_running: bool, now: Now, effects: &mut Effects) {
        let exit = was_running.then(|| self.exit_now(0, now));
        self.stage = Stage::Terminated { exit };
        self.wake_at = None;
        self.ready_changed = now.wall;
        effects.report = exit.is_some();
        effects.delete = true;
    }

    /// What the status is to say; nothing where others' status stays.
    pub(crate) fn status(&self) -> Option<StatusView<'_>> {
        let waiting = |reason: &'static str, message: String| ContainerView::Waiting { reason, message };
        let (phase, ready, view) = match self.stage {
            Stage::Settled { .. } | Stage::Terminated { exit: None } => return None,
            Stage::Starting => ("Pending", false, waiting("ContainerCreating", String::new())),
            Stage::PullFailed { attempts } => {
                let image = self.facts.cannot_be_pulled().unwrap_or_default();
                let phase = if self.last_exit.is_some() { "Running" } else { "Pending" };
                (phase, false, pull_failure(attempts, image))
            }
            Stage::Running { ready, .. } | Stage::Terminating { was_running: true, ready } => {
                ("Running", ready, ContainerView::Running)
            }
            Stage::Terminating { was_running: false, .. } => {
                ("Pending", false, waiting("ContainerCreating", String::new()))
            }
            Stage::CrashBackOff => {
                let pause = BACKOFF.after(self.recent_restarts);
                let message = format!(
                    "back-off {} restarting failed container",
                    duration::format_seconds(pause.as_secs())
                );
                ("Running", false, waiting("CrashLoopBackOff", message))
            }
            Stage::Finished(exit) | Stage::Terminated { exit: Some(exit) } => {
                (if exit.code == 0 { "Succeeded" } else { "Failed" }, false, ContainerView::Terminated(exit))
            }
        };
        Some(StatusView {
            facts: &self.facts,
            phase,
            ready,
            containers: view,
            restart_count: self.restart_count,
            last_exit: self.last_exit,
            accepted: self.accepted,
            started: self.started,
            ready_changed: self.ready_changed,
        })
    }
}

impl Effects {
    pub(crate) fn merge(&mut self, other: Effects) {
        self.report |= other.report;
        self.delete |= other.delete;
        self.node_down |= other.node_down;
        self.note = other.note.or(self.note);
    }
}

fn started_at(pod: &Pod<'_>) -> Option<Timestamp> {
    let containers = pod.status.containers();
    let running = containers.iter().filter_map(|one| one.state.as_ref()?.running.as_ref());
    running.filter_map(|running| Timestamp::parse(running.started_at.as_deref()?)).max()
}

fn pull_failure(attempts: u32, image: &str) -> ContainerView {
    match attempts {
        1 => ContainerView::Waiting {
            reason: "ErrImagePull",
            message: format!("failed to resolve reference {image:?}: not found"),
        },
        _ => ContainerView::Waiting {
            reason: "ImagePullBackOff",
            message: format!(
                "Back-off pulling image {image:?}: ErrImagePull: failed to resolve reference {image:?}: not found"
            ),
        },
    }
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;

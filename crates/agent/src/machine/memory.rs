//! What a machine remembers of one container beside what the runtime has: it is lost with the agent, and nothing that
//! must not happen twice rests on it.

use std::time::Duration;

use everynode_client::Backoff;

use super::clock::Now;
use super::probe::{ProbeKind, ProbeState, millis};
use super::step::{FailureReason, StopCause};
use super::view::{ContainerState, ContainerView};
use crate::pod_spec::{Container, Probe, Resources, ShownContainer};

/// Pauses between two pulls of an image, as the kubelet makes them.
const PULL_PAUSES: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
/// Pauses after anything else that failed.
const RETRY_PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
/// The first pause before a container is started again, and the longest.
const CRASH_PAUSE_MILLIS: (u64, u64) = (10_000, 300_000);
/// A container that ran for so long begins with the first pause again.
const CRASH_FORGOTTEN_MILLIS: u64 = 600_000;

/// How often something failed in a row, and when it is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Retry {
    failures: u32,
    failed_millis: u64,
    not_before_millis: u64,
    /// What went wrong the last time.
    pub(super) problem: Option<(FailureReason, String)>,
}

impl Retry {
    /// It failed.
    pub(super) fn failed(&mut self, reason: FailureReason, message: String, now: Now) {
        self.failures = self.failures.saturating_add(1);
        let pauses = if reason == FailureReason::ErrImagePull { PULL_PAUSES } else { RETRY_PAUSES };
        let pause = u64::try_from(pauses.after(self.failures).as_millis()).unwrap_or(u64::MAX);
        self.failed_millis = now.millis;
        self.not_before_millis = now.millis.saturating_add(pause);
        self.problem = Some((reason, message));
    }

    /// The image is there: what was wrong with it is no more.
    pub(super) fn forget_image(&mut self) {
        if self.problem.as_ref().is_some_and(|(reason, _)| reason.is_about_image()) {
            self.succeeded();
        }
    }

    /// It went well.
    pub(super) fn succeeded(&mut self) {
        *self = Retry::default();
    }

    /// When it may be tried again, if that is not now.
    pub(super) fn waits_until(&self, now: Now) -> Option<u64> {
        (self.not_before_millis > now.millis).then_some(self.not_before_millis)
    }

    /// When people are told of the pause instead of the failure.
    pub(super) fn pause_shown_millis(&self) -> Option<u64> {
        self.problem.is_some().then(|| self.failed_millis.saturating_add(1_000))
    }

    /// It failed a while ago: people are told of the pause instead of the failure.
    pub(super) fn is_paused(&self, now: Now) -> bool {
        self.pause_shown_millis().is_some_and(|at| now.millis >= at)
    }
}

/// What is done after a container has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// It is yet to be done.
    Owed,
    /// It is done, or there is none.
    Done,
}

/// Pauses before a container that ends again and again is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct CrashPause {
    pause_millis: u64,
    counted_millis: u64,
}

impl CrashPause {
    fn is_forgotten(self, at_millis: u64) -> bool {
        self.pause_millis == 0 || at_millis.saturating_sub(self.counted_millis) > CRASH_FORGOTTEN_MILLIS
    }
}

/// What a machine remembers of one container of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerMemory {
    /// The container that the following is about, by the runtime's identifier.
    id: String,
    pub(super) hook: Hook,
    /// It is to be ended.
    pub(super) kill: Option<StopCause>,
    probes: [Option<ProbeState>; 3],
    /// When its end was seen.
    ended_millis: Option<u64>,
    /// The resources that it was given, where that is known.
    pub(super) given: Option<Resources>,
    /// Those with which the one was made that is seen next.
    pub(super) made_with: Option<Resources>,
    /// The image for the next one.
    pub(super) image_ref: Option<String>,
    /// Making it.
    pub(super) making: Retry,
    crashes: CrashPause,
}

impl Default for ContainerMemory {
    fn default() -> ContainerMemory {
        ContainerMemory {
            id: String::new(),
            hook: Hook::Done,
            kill: None,
            probes: [None, None, None],
            ended_millis: None,
            given: None,
            made_with: None,
            image_ref: None,
            making: Retry::default(),
            crashes: CrashPause::default(),
        }
    }
}

impl ContainerMemory {
    /// From now on this is about the container of this identifier.
    pub(super) fn turn_to(&mut self, id: &str) {
        if self.id != id {
            id.clone_into(&mut self.id);
            self.hook = Hook::Done;
            self.kill = None;
            self.probes = [None, None, None];
            self.ended_millis = None;
            self.given = self.made_with.take();
        }
    }

    /// Takes in what the runtime shows of the container.
    pub(super) fn see(
        &mut self,
        spec: &Container,
        shown: Option<&ShownContainer>,
        seen: &ContainerView,
        now: Now,
    ) {
        self.turn_to(&seen.id);
        if self.given.is_none() {
            self.given =
                shown.filter(|shown| is_about(shown, &seen.id)).and_then(|shown| shown.resources.clone());
        }
        match &seen.state {
            ContainerState::Running { started_nanos } => {
                self.making.succeeded();
                let age_millis = now.millis_since(*started_nanos);
                for kind in ProbeKind::ALL {
                    let state = &mut self.probes[kind as usize];
                    if let (Some(probe), None) = (probe_of(spec, kind), &state) {
                        let delay = millis(probe.initial_delay_seconds).saturating_sub(age_millis);
                        *state = Some(first_state(kind, now.millis.saturating_add(delay), shown, &seen.id));
                    }
                }
            }
            ContainerState::Exited(_) => {
                self.ended_millis.get_or_insert(now.millis);
                self.kill = None;
            }
            ContainerState::Created | ContainerState::Unknown => {}
        }
    }

    /// When the container may be started again after its end, if that is not now.
    pub(super) fn crash_waits_until(&self, now: Now) -> Option<u64> {
        let ended = self.ended_millis?;
        let at = match self.crashes.is_forgotten(ended) {
            true => ended,
            false => ended.saturating_add(self.crashes.pause_millis),
        };
        (at > now.millis).then_some(at)
    }

    /// The pause that the container waits for, in milliseconds.
    pub(super) fn crash_pause_millis(&self) -> u64 {
        self.crashes.pause_millis
    }

    /// The container is made again after its end: the next pause is twice as long.
    pub(super) fn count_restart(&mut self, now: Now) {
        let ended = self.ended_millis.unwrap_or(now.millis);
        let (first, longest) = CRASH_PAUSE_MILLIS;
        let pause_millis = match self.crashes.is_forgotten(ended) {
            true => first,
            false => self.crashes.pause_millis.saturating_mul(2).min(longest),
        };
        self.crashes = CrashPause { pause_millis, counted_millis: now.millis };
    }

    /// What a probe of the container says: well, not well, or not known yet. Without a probe it is well.
    pub(super) fn verdict(&self, spec: &Container, kind: ProbeKind) -> Option<bool> {
        match (probe_of(spec, kind), &self.probes[kind as usize]) {
            (None, _) => Some(true),
            (Some(_), Some(state)) => state.verdict(),
            (Some(_), None) => None,
        }
    }

    /// When a probe is due, if it is to be asked at all.
    pub(super) fn probe_due(&self, kind: ProbeKind) -> Option<u64> {
        self.probes[kind as usize].as_ref()?.due()
    }

    /// A probe is asked from now on. Returns whether it comes before its period says.
    pub(super) fn ask(&mut self, kind: ProbeKind, now_millis: u64) -> bool {
        self.probes[kind as usize].as_mut().is_some_and(|state| state.ask(now_millis))
    }

    /// The probe of this container, if it is still about it.
    pub(super) fn probe_mut(&mut self, id: &str, kind: ProbeKind) -> Option<&mut ProbeState> {
        self.probes[kind as usize].as_mut().filter(|_| self.id == id)
    }
}

fn first_state(kind: ProbeKind, due_millis: u64, shown: Option<&ShownContainer>, id: &str) -> ProbeState {
    let state = ProbeState::new(kind, due_millis);
    match (kind, shown.filter(|shown| is_about(shown, id))) {
        (ProbeKind::Readiness, Some(shown)) => state.carried_over(shown.ready),
        (ProbeKind::Startup, Some(shown)) if shown.started == Some(true) => state.carried_over(true),
        _ => state,
    }
}

/// What was shown is of the container of this identifier.
fn is_about(shown: &ShownContainer, id: &str) -> bool {
    shown.container_id.rsplit_once("://").is_some_and(|(_, of)| of == id)
}

/// The probe of a container for a purpose.
pub(crate) fn probe_of(spec: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => spec.startup_probe.as_ref(),
        ProbeKind::Liveness => spec.liveness_probe.as_ref(),
        ProbeKind::Readiness => spec.readiness_probe.as_ref(),
    }
}

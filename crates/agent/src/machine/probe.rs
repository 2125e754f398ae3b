//! How a container is asked whether it is well: when, and what the answers come to.

use crate::pod_spec::Probe;

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Whether the container has come up; the others wait for it.
    Startup,
    /// Whether it is to be killed.
    Liveness,
    /// Whether it serves.
    Readiness,
}

impl ProbeKind {
    /// All.
    pub const ALL: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];

    /// As events write it.
    pub fn name(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }
}

/// What one asking came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// Well.
    Success,
    /// Not well.
    Failure,
    /// It could not be asked; that says nothing about the container.
    Unknown,
}

/// After the first asking that a container did not pass it is asked again so soon, and then after twice that each time.
const FIRST_EARLY_PAUSE_MILLIS: u64 = 50;

/// The state of one probe of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProbeState {
    /// What holds now.
    verdict: Option<bool>,
    /// The last answer, and how many of it there were in a row.
    run: (bool, u32),
    /// When the next one is due by the probe's period.
    due_millis: u64,
    /// Askings before that, of a container that has not been well since its start.
    early: Option<Early>,
    /// One is under way.
    is_asked: bool,
}

/// Askings between those of the period, so that who waits for a container that comes up does not wait for the period.
/// They can find a container well, and never unwell: it is not killed sooner for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Early {
    pause_millis: u64,
    /// Nothing before the first asking of the period, and once the pause is as long as that.
    due_millis: Option<u64>,
}

impl Early {
    fn plan(&mut self, period_millis: u64, now_millis: u64) {
        let at = now_millis.saturating_add(self.pause_millis);
        self.due_millis = (self.pause_millis < period_millis).then_some(at);
        self.pause_millis = self.pause_millis.saturating_mul(2);
    }
}

impl ProbeState {
    /// Before the first answer: a container serves not yet, and is not to be killed yet.
    pub(super) fn new(kind: ProbeKind, first_millis: u64) -> ProbeState {
        let verdict = match kind {
            ProbeKind::Startup => None,
            ProbeKind::Liveness => Some(true),
            ProbeKind::Readiness => Some(false),
        };
        let early = Early { pause_millis: FIRST_EARLY_PAUSE_MILLIS, due_millis: None };
        let early = (kind != ProbeKind::Liveness).then_some(early);
        ProbeState { verdict, run: (false, 0), due_millis: first_millis, early, is_asked: false }
    }

    /// For a container that ran before the agent was started: what was shown of it holds until an answer comes.
    pub(super) fn carried_over(mut self, verdict: bool) -> ProbeState {
        self.verdict = Some(verdict);
        self.early = self.early.filter(|_| !verdict);
        self
    }

    /// What holds: well, not well, or not known yet.
    pub(super) fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// When the next asking is due, if none is under way.
    pub(super) fn due(&self) -> Option<u64> {
        let early = self.early.and_then(|early| early.due_millis);
        (!self.is_asked).then_some(self.due_millis.min(early.unwrap_or(u64::MAX)))
    }

    /// One is under way from now on. Returns whether it comes before the period says.
    pub(super) fn ask(&mut self, now_millis: u64) -> bool {
        self.is_asked = true;
        now_millis < self.due_millis
    }

    /// Takes an answer. Returns whether what holds has changed.
    pub(super) fn answer(
        &mut self,
        probe: &Probe,
        answer: ProbeAnswer,
        is_early: bool,
        now_millis: u64,
    ) -> bool {
        self.is_asked = false;
        let period_millis = millis(probe.period_seconds.max(1));
        let is_well = answer == ProbeAnswer::Success;
        match &mut self.early {
            Some(_) if is_well => self.early = None,
            Some(early) => early.plan(period_millis, now_millis),
            None => {}
        }
        if is_early && !is_well {
            return false;
        }
        self.due_millis = now_millis.saturating_add(period_millis);
        if answer == ProbeAnswer::Unknown {
            return false;
        }
        let count = if self.run.0 == is_well { self.run.1.saturating_add(1) } else { 1 };
        self.run = (is_well, count);
        let threshold = if is_well { probe.success_threshold } else { probe.failure_threshold };
        let is_enough = i64::from(count) >= threshold.max(1);
        let changes = is_enough && self.verdict != Some(is_well);
        if changes {
            self.verdict = Some(is_well);
        }
        changes
    }
}

/// Seconds from outside as milliseconds.
pub(super) fn millis(seconds: i64) -> u64 {
    u64::from(crate::pod_spec::bounded_seconds(seconds)) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: ProbeKind, success_threshold: i64, failure_threshold: i64, answers: &str, verdicts: &str) {
        let probe = Probe { success_threshold, failure_threshold, period_seconds: 5, ..Probe::default() };
        let mut state = ProbeState::new(kind, 0);
        let mut seen = String::new();
        for (index, answer) in answers.chars().enumerate() {
            let now_millis = 10_000 * index as u64;
            assert!(!state.ask(now_millis));
            assert_eq!(state.due(), None);
            state.answer(&probe, read(answer), false, now_millis);
            assert!(state.due().unwrap() <= now_millis + 5_000);
            seen.push(match state.verdict() {
                Some(true) => '+',
                Some(false) => '-',
                None => '?',
            });
        }
        assert_eq!(seen, verdicts, "{kind:?} {answers}");
    }

    fn read(answer: char) -> ProbeAnswer {
        match answer {
            '+' => ProbeAnswer::Success,
            '-' => ProbeAnswer::Failure,
            _ => ProbeAnswer::Unknown,
        }
    }

    #[test]
    fn so_many_answers_in_a_row_change_what_holds() {
        check(ProbeKind::Readiness, 1, 3, "-+--+---+", "-++++++-+");
        check(ProbeKind::Readiness, 2, 1, "+++-++", "-++--+");
        check(ProbeKind::Liveness, 1, 2, "?-?-+", "+++-+");
        check(ProbeKind::Startup, 1, 3, "--?+", "???+");
        check(ProbeKind::Startup, 1, 3, "---", "??-");
    }

    /// When a probe that begins at 1,000 ms is asked, given what it comes to each time, and what holds in the end.
    fn check_times(kind: ProbeKind, period_seconds: i64, answers: &str, times: &str, verdict: Option<bool>) {
        let probe = Probe { period_seconds, failure_threshold: 3, success_threshold: 2, ..Probe::default() };
        let mut state = ProbeState::new(kind, 1_000);
        let mut asked = Vec::new();
        for answer in answers.chars() {
            let at = state.due().unwrap();
            let is_early = state.ask(at);
            asked.push(format!("{}{at}", if is_early { "~" } else { "" }));
            state.answer(&probe, read(answer), is_early, at);
        }
        assert_eq!((asked.join(" ").as_str(), state.verdict()), (times, verdict), "{kind:?} {answers}");
    }

    #[test]
    fn a_container_that_comes_up_is_asked_between_and_not_judged_for_that() {
        let (readiness, startup) = (ProbeKind::Readiness, ProbeKind::Startup);
        let between = "1000 ~1050 ~1150 ~1350 ~1750 2000 3000";
        check_times(startup, 1, "-------", between, Some(false));
        check_times(startup, 1, "------+", between, None);
        check_times(startup, 1, "--?----", between, Some(false));
        // The first success is one, and from then on the period holds.
        check_times(readiness, 10, "--+++", "1000 ~1050 ~1150 11150 21150", Some(true));
        check_times(readiness, 10, "--+--", "1000 ~1050 ~1150 11150 21150", Some(false));
        check_times(ProbeKind::Liveness, 1, "---", "1000 2000 3000", Some(false));
    }

    #[test]
    fn a_container_that_was_ready_before_the_agent_began_is_asked_by_its_period() {
        let probe = Probe::default();
        for (verdict, next) in [(true, 10_000), (false, 50)] {
            let mut state = ProbeState::new(ProbeKind::Readiness, 0).carried_over(verdict);
            let is_early = state.ask(0);
            state.answer(&probe, ProbeAnswer::Failure, is_early, 0);
            assert_eq!(state.due(), Some(next), "{verdict}");
        }
    }
}

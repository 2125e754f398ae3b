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

/// The state of one probe of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProbeState {
    /// What holds now.
    verdict: Option<bool>,
    /// The last answer, and how many of it there were in a row.
    run: (bool, u32),
    /// When the next one is due.
    due_millis: u64,
    /// One is under way.
    is_asked: bool,
}

impl ProbeState {
    /// Before the first answer: a container serves not yet, and is not to be killed yet.
    pub(super) fn new(kind: ProbeKind, first_millis: u64) -> ProbeState {
        let verdict = match kind {
            ProbeKind::Startup => None,
            ProbeKind::Liveness => Some(true),
            ProbeKind::Readiness => Some(false),
        };
        ProbeState { verdict, run: (false, 0), due_millis: first_millis, is_asked: false }
    }

    /// For a container that ran before the agent was started: what was shown of it holds until an answer comes.
    pub(super) fn carried_over(mut self, verdict: bool) -> ProbeState {
        self.verdict = Some(verdict);
        self
    }

    /// What holds: well, not well, or not known yet.
    pub(super) fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// When the next asking is due, if none is under way.
    pub(super) fn due(&self) -> Option<u64> {
        (!self.is_asked).then_some(self.due_millis)
    }

    /// One is under way from now on.
    pub(super) fn ask(&mut self) {
        self.is_asked = true;
    }

    /// Takes an answer. Returns whether what holds has changed.
    pub(super) fn answer(&mut self, probe: &Probe, answer: ProbeAnswer, now_millis: u64) -> bool {
        self.is_asked = false;
        self.due_millis = now_millis.saturating_add(millis(probe.period_seconds.max(1)));
        let is_well = match answer {
            ProbeAnswer::Success => true,
            ProbeAnswer::Failure => false,
            ProbeAnswer::Unknown => return false,
        };
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
        let mut state = ProbeState::new(kind, 1_000);
        let mut seen = String::new();
        for (index, answer) in answers.chars().enumerate() {
            state.ask();
            assert_eq!(state.due(), None);
            let now_millis = 10_000 * index as u64;
            let answer = match answer {
                '+' => ProbeAnswer::Success,
                '-' => ProbeAnswer::Failure,
                _ => ProbeAnswer::Unknown,
            };
            state.answer(&probe, answer, now_millis);
            assert_eq!(state.due(), Some(now_millis + 5_000));
            seen.push(match state.verdict() {
                Some(true) => '+',
                Some(false) => '-',
                None => '?',
            });
        }
        assert_eq!(seen, verdicts, "{kind:?} {answers}");
    }

    #[test]
    fn so_many_answers_in_a_row_change_what_holds() {
        check(ProbeKind::Readiness, 1, 3, "-+--+---+", "-++++++-+");
        check(ProbeKind::Readiness, 2, 1, "+++-++", "-++--+");
        check(ProbeKind::Liveness, 1, 2, "?-?-+", "+++-+");
        check(ProbeKind::Startup, 1, 3, "--?+", "???+");
        check(ProbeKind::Startup, 1, 3, "---", "??-");
    }
}

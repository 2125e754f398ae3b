//! Lists of one kind that are asked for, and what waits for them.

use std::collections::BTreeMap;

use crate::base::Time;
use crate::config::Limits;
use crate::timers::Wait;

/// What is overdue, and the lists of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// How many lists have begun.
    pub begun: u64,
    /// The last of them has not ended.
    pub is_running: bool,
    /// What is overdue, with the number of lists that had begun by then: only a later one can decide.
    pub overdue: BTreeMap<Wait, u64>,
    /// When a list was asked for last.
    pub asked_at: Option<Time>,
    /// The pause after that.
    pub pause_millis: i64,
}

impl Listing {
    /// A list begins.
    pub fn begin(&mut self) {
        self.begun += 1;
        self.is_running = true;
    }

    /// The time of the last request is told by a clock that was set.
    pub fn clock_was_set(&mut self, by_millis: i64) {
        self.asked_at = self.asked_at.map(|asked| asked.plus_millis(by_millis));
    }

    /// A list is arriving. What it names comes in no order of versions, so that until it is complete no version says
    /// that everything before it was seen.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// When to ask for a list next; `None` when there is no need to, or one is under way.
    pub fn ask_at(&self) -> Option<Time> {
        let next = self.asked_at.map_or(Time(i64::MIN), |asked| asked.plus_millis(self.pause_millis));
        (!self.overdue.is_empty() && !self.is_running).then_some(next)
    }

    /// A list is asked for. The pauses grow from one request to the next, until none was needed for long.
    pub fn ask(&mut self, limits: &Limits, now: Time) {
        let quiet_millis = 2 * limits.relist_last_millis;
        let is_first = self.asked_at.is_none_or(|asked| now.millis_since(asked) >= quiet_millis);
        self.pause_millis = match is_first {
            true => limits.relist_first_millis,
            false => (self.pause_millis * 2).min(limits.relist_last_millis),
        };
        self.asked_at = Some(now);
    }
}

//! The clock of the server, which a test can set forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use everynode_apiserver::WallClock;

/// That of the machine, and so much ahead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    machine: WallClock,
    ahead_seconds: Arc<AtomicI64>,
}

impl Clock {
    pub(crate) fn unix_seconds(&self) -> i64 {
        self.machine.unix_seconds().saturating_add(self.ahead_seconds.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.ahead_seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

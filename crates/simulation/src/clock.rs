//! The clocks of a simulated world.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use everynode_client::{Clock, Uptime};
use tokio::time::Instant;

/// Where the time of day begins: 2026-01-01T00:00:00Z.
const EPOCH_MILLIS: i64 = 1_767_225_600_000;
/// The age of the machine when the world begins.
const BOOTED: Duration = Duration::from_secs(1_000);

/// Virtual time. The uptime follows the runtime's paused clock; the time of day may be stepped.
#[derive(Debug)]
pub struct SimClock {
    begin: Instant,
    step_millis: AtomicI64,
}

impl SimClock {
    /// A clock that begins now. It must be made within the runtime whose time it tells.
    pub fn new() -> SimClock {
        SimClock { begin: Instant::now(), step_millis: AtomicI64::new(0) }
    }

    /// Sets the time of day forward, or back.
    pub fn step(&self, millis: i64) {
        self.step_millis.fetch_add(millis, Ordering::Relaxed);
    }

    /// Milliseconds since the world began, which no step changes.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for SimClock {
    fn default() -> SimClock {
        SimClock::new()
    }
}

impl Clock for SimClock {
    fn uptime(&self) -> Uptime {
        Uptime::new(BOOTED + self.begin.elapsed())
    }

    fn unix_millis(&self) -> i64 {
        let millis = i64::try_from(self.millis()).unwrap_or(i64::MAX / 4);
        EPOCH_MILLIS + millis + self.step_millis.load(Ordering::Relaxed)
    }
}

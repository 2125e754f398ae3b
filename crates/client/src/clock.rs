//! The clocks of the world: everything in this workspace that talks to an API reads them through its [`Client`].
//!
//! Waiting is tokio's, whose time tests can own. These are the two clocks that tokio does not have.
//!
//! [`Client`]: crate::Client

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Time since the machine was started, by a clock that no one sets and that goes on while the machine sleeps.
    fn uptime(&self) -> Uptime;

    /// The time of day, in milliseconds since 1970. It may jump.
    fn unix_millis(&self) -> i64;
}

/// A point of [`Clock::uptime`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

impl Uptime {
    /// That long after the start.
    pub fn new(since_start: Duration) -> Uptime {
        Uptime(since_start)
    }

    /// The time that much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Uptime {
        Uptime(self.0.saturating_add(duration))
    }

    /// The time from `earlier` to this; zero when it is not earlier.
    pub fn since(self, earlier: Uptime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Nanoseconds since the start.
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn uptime(&self) -> Uptime {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let clock = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(clock);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Uptime(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default()))
    }

    fn unix_millis(&self) -> i64 {
        // A clock before 1970 counts as 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

//! Time, as it comes from outside.

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that only goes forward.
    pub millis: u64,
    /// Nanoseconds since 1970 of the clock of the wall, which may be set.
    pub wall_nanos: i64,
}

impl Now {
    /// How long ago that was by the clock of the wall; 0 where it is yet to come.
    pub(super) fn millis_since(self, nanos: i64) -> u64 {
        u64::try_from(self.wall_nanos.saturating_sub(nanos) / 1_000_000).unwrap_or(0)
    }

    /// Seconds since 1970.
    pub fn wall_seconds(self) -> i64 {
        self.wall_nanos.div_euclid(1_000_000_000)
    }
}

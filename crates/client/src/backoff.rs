//! Pauses that grow with the failures in a row.

use std::time::Duration;

/// How long to wait before another attempt: after the first failure `first`, after each further one twice as long, and
/// never longer than `last`. Who tries counts the failures, and begins anew after a success.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    last: Duration,
}

impl Backoff {
    /// Pauses from `first` to `last`.
    pub const fn new(first: Duration, last: Duration) -> Backoff {
        Backoff { first, last }
    }

    /// The pause after this many failures in a row.
    pub fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1))).min(self.last)
    }

    /// The same with jitter, between half and the whole of it: those who failed together do not come again together.
    pub fn jittered(self, failures: u32, random: &mut fastrand::Rng) -> Duration {
        self.after(failures).mul_f64(0.5 + random.f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));

    #[test]
    fn pauses_double_up_to_the_last() {
        for (failures, millis) in
            [(0, 100), (1, 100), (2, 200), (3, 400), (9, 25_600), (10, 30_000), (u32::MAX, 30_000)]
        {
            assert_eq!(BACKOFF.after(failures), Duration::from_millis(millis), "{failures}");
        }
        let endless = Backoff::new(Duration::from_secs(1), Duration::MAX);
        assert_eq!(endless.after(u32::MAX), Duration::from_secs(u64::from(u32::MAX)));
    }

    #[test]
    fn jitter_takes_up_to_half_of_a_pause() {
        let mut random = fastrand::Rng::new();
        for failures in 0..100 {
            let (pause, whole) = (BACKOFF.jittered(failures, &mut random), BACKOFF.after(failures));
            assert!(pause >= whole / 2 && pause <= whole, "{failures}: {pause:?}");
        }
    }
}

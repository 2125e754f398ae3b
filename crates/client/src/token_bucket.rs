//! A token bucket: so many things per second, and some at once after a pause.

use std::time::Duration;

/// Lets `per_second` things pass per second, and `burst` at once after a pause. Times are milliseconds since a point
/// that the caller chooses.
#[derive(Debug)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    /// Negative when some already wait for tokens to come.
    tokens: f64,
    at_millis: u64,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(per_second: f64, burst: f64) -> TokenBucket {
        TokenBucket { per_second, burst, tokens: burst, at_millis: 0 }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now_millis: u64) -> bool {
        self.fill(now_millis);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    /// Takes a token that may still have to come, and says how long to wait for it. Those who ask later wait longer.
    pub fn reserve(&mut self, now_millis: u64) -> Duration {
        self.fill(now_millis);
        self.tokens -= 1.0;
        Duration::try_from_secs_f64(-self.tokens / self.per_second).unwrap_or_default()
    }

    fn fill(&mut self, now_millis: u64) {
        let passed_seconds = now_millis.saturating_sub(self.at_millis) as f64 / 1000.0;
        self.tokens = (self.tokens + passed_seconds * self.per_second).min(self.burst);
        self.at_millis = now_millis;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: u64 = 60_000;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let mut bucket = TokenBucket::new(10.0, 3.0);
        let mut waits =
            |count, now| -> Vec<u128> { (0..count).map(|_| bucket.reserve(now).as_millis()).collect() };
        assert_eq!(waits(5, 0), [0, 0, 0, 100, 200]);
        assert_eq!(
            waits(4, LATER),
            [0, 0, 0, 100],
            "a long pause fills the bucket to the burst and no further"
        );
    }

    #[test]
    fn what_cannot_wait_passes_or_not() {
        let mut bucket = TokenBucket::new(2.0, 10.0);
        let mut passed = |now| (0..20).filter(|_| bucket.take(now)).count();
        assert_eq!(passed(0), 10);
        assert_eq!(passed(1000), 2);
        assert_eq!(passed(LATER), 10);
        assert_eq!(passed(0), 0, "a clock that goes back brings nothing");
        assert!(!TokenBucket::new(0.0, 0.0).take(LATER));
    }
}

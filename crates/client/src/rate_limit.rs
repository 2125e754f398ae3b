//! A token bucket for requests.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Lets `qps` requests pass per second, and `burst` at once after a pause.
#[derive(Debug)]
pub(crate) struct RateLimit {
    qps: f64,
    burst: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Negative when requests are already waiting for tokens to come.
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    pub(crate) fn new(qps: f64, burst: u32) -> RateLimit {
        let burst = f64::from(burst.max(1));
        RateLimit {
            qps: qps.max(0.001),
            burst,
            bucket: Mutex::new(Bucket { tokens: burst, at: Instant::now() }),
        }
    }

    /// Waits until this request may be sent. Requests are let through in the order in which they asked.
    pub(crate) async fn wait(&self) {
        let delay = self.reserve(Instant::now());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Takes one token and says how long to wait for it.
    fn reserve(&self, now: Instant) -> Duration {
        let mut bucket = match self.bucket.lock() {
            Ok(bucket) => bucket,
            Err(poisoned) => poisoned.into_inner(),
        };
        let refill = now.saturating_duration_since(bucket.at).as_secs_f64() * self.qps;
        bucket.tokens = (bucket.tokens + refill).min(self.burst) - 1.0;
        bucket.at = now;
        Duration::from_secs_f64((-bucket.tokens / self.qps).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let limit = RateLimit::new(10.0, 3);
        let start = Instant::now();
        let waits: Vec<u128> = (0..5).map(|_| limit.reserve(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        let later = start + Duration::from_secs(60);
        let waits: Vec<u128> = (0..4).map(|_| limit.reserve(later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100], "a long pause fills the bucket to the burst and no further");
    }
}

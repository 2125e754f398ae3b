//! A limit on requests.

use std::sync::Mutex;

use tokio::time::Instant;

use crate::TokenBucket;

/// Lets `qps` requests pass per second, and `burst` at once after a pause.
#[derive(Debug)]
pub(crate) struct RateLimit {
    begun: Instant,
    bucket: Mutex<TokenBucket>,
}

impl RateLimit {
    pub(crate) fn new(qps: f64, burst: u32) -> RateLimit {
        let bucket = TokenBucket::new(qps.max(0.001), f64::from(burst.max(1)));
        RateLimit { begun: Instant::now(), bucket: Mutex::new(bucket) }
    }

    /// Waits until this request may be sent. Requests are let through in the order in which they asked.
    pub(crate) async fn wait(&self) {
        let now_millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let delay = match self.bucket.lock() {
            Ok(mut bucket) => bucket.reserve(now_millis),
            Err(poisoned) => poisoned.into_inner().reserve(now_millis),
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

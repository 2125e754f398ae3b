//! Waiting for a condition.
#![allow(clippy::panic, reason = "a test may panic anywhere, its helpers too")]

use std::time::Duration;

use tokio::time::Instant;

/// The pause between two looks at a condition.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Waits until `condition` gives a value.
///
/// # Panics
/// With what it said last, when the limit is over.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(last) if Instant::now() >= deadline => panic!("{what}: not within {limit:?}; last: {last}"),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

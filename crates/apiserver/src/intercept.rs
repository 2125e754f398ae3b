//! Somebody who sees requests first and answers last: for tests that want a server to fail in a way that they choose.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use http::Response;

use crate::http::attributes::Attributes;
use crate::http::body::Body;

/// Sees requests before they are looked at, and answers before they are sent.
pub trait Interceptor: fmt::Debug + Send + Sync {
    /// What is answered in the server's place, if anything; it may take its time.
    fn before<'a>(&'a self, asked: &'a Attributes) -> BoxFuture<'a, Option<Response<Body>>>;

    /// What is sent of an answer.
    fn after(&self, asked: &Attributes, answer: Response<Body>) -> Response<Body>;
}

/// The clock by which a server stamps objects, and by which tokens and events get old.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl WallClock {
    /// A clock that tells seconds since 1970.
    pub fn new(unix_seconds: impl Fn() -> i64 + Send + Sync + 'static) -> WallClock {
        WallClock(Arc::new(unix_seconds))
    }

    /// Seconds since 1970.
    pub fn unix_seconds(&self) -> i64 {
        (self.0)()
    }
}

impl Default for WallClock {
    /// That of the machine.
    fn default() -> WallClock {
        WallClock::new(unix_seconds)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// Seconds since 1970, by the clock of the machine.
pub fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

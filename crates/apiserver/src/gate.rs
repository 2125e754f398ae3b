//! What keeps many requests, or large ones, from taking everything: room for bodies, places, and an end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use everynode_apimachinery::status::{Reason, Status};
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::http::body::Body;
use crate::panics::contained_request;

/// How long a client that was turned away for load should wait, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// How long a client may take over a body, from its first byte to its last.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of bodies that are in memory at the same time; others get 429.
const BODY_BYTES: usize = 256 << 20;

/// The limits that all requests share.
#[derive(Debug)]
pub struct Gate {
    /// The largest body.
    body_limit_bytes: usize,
    /// How long a request may take.
    timeout: Duration,
    /// Places of requests: of others, and of this process itself.
    in_flight: [Arc<Semaphore>; 2],
    /// Bytes that bodies may have in memory together.
    body_bytes: Arc<Semaphore>,
    /// Places of requests that keep a processor busy.
    heavy: Arc<Semaphore>,
}

/// A body, and the room that it takes among those of all requests.
pub struct Received {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Received {
    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Gate {
    /// As wide as the settings and the machine have it.
    pub fn new(config: &Config) -> Gate {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Gate {
            body_limit_bytes: config.body_limit_bytes,
            timeout: config.request_timeout,
            in_flight: [(); 2].map(|()| Arc::new(Semaphore::new(config.requests_in_flight))),
            body_bytes: Arc::new(Semaphore::new(BODY_BYTES)),
            heavy: Arc::new(Semaphore::new((processors / 2).max(1))),
        }
    }

    /// Reads a body.
    pub async fn receive(&self, body: Incoming) -> Result<Received, Status> {
        if body.is_end_stream() {
            return Ok(Received { bytes: Bytes::new(), _room: None });
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, self.receive_all(body)).await;
        read.unwrap_or_else(|_| {
            let message = format!("the body was not there within {BODY_TIMEOUT:?}");
            Err(Status::new(Reason::Timeout, message))
        })
    }

    async fn receive_all(&self, mut body: Incoming) -> Result<Received, Status> {
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Status::bad_request(format!("the body cannot be read: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.body_limit_bytes {
                return Err(Status::too_large(self.body_limit_bytes));
            }
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = self.body_bytes.clone().try_acquire_many_owned(length).map_err(|_| busy())?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes: bytes.freeze(), _room: room })
    }

    /// A place among the requests that are served; those of this process itself have their own.
    pub fn place(&self, own: bool) -> Result<OwnedSemaphorePermit, Status> {
        self.in_flight[usize::from(own)].clone().try_acquire_owned().map_err(|_| busy())
    }

    /// Does the work of a request, which has to come to an end in time.
    pub async fn work(
        &self,
        is_heavy: bool,
        work: impl Future<Output = Result<Response<Body>, Status>> + Send + 'static,
    ) -> Result<Response<Body>, Status> {
        let limited = tokio::time::timeout(self.timeout, async {
            if is_heavy { self.apart(work).await } else { work.await }
        });
        limited.await.unwrap_or_else(|_| {
            let message = format!("request did not complete within {:?}", self.timeout);
            Err(Status::new(Reason::Timeout, message))
        })
    }

    /// Does work that keeps a processor busy on a thread of its own, so that no other request waits behind it.
    async fn apart(
        &self,
        work: impl Future<Output = Result<Response<Body>, Status>> + Send + 'static,
    ) -> Result<Response<Body>, Status> {
        let place = self.heavy.clone().acquire_owned().await;
        let runtime = Handle::current();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            runtime.block_on(contained_request(work))
        });
        done.await.unwrap_or_else(|error| Err(Status::internal(error)))
    }
}

fn busy() -> Status {
    Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER_SECONDS)
}

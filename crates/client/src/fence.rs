//! Writes that may go only while a term lasts.
//!
//! A leader that was stopped for longer than its lease, and goes on, must not write: somebody else leads by now. A
//! check before a request is not enough, because the process may be stopped between the check and the sending. So
//! the [`Fence`] is asked where bytes go to the socket, under TLS and HTTP: what was prepared in an earlier term
//! stays in this process, and its connections break.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use tower::Service;

use crate::clock::{Clock, Uptime};

/// Whether the writes of one term may go. Clones share the state. Once shut it stays shut: another term has another
/// fence.
#[derive(Clone)]
pub struct Fence {
    clock: Arc<dyn Clock>,
    /// Nanoseconds of [`Uptime`]; [`SHUT`] for ever after.
    open_until: Arc<AtomicU64>,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").field("left", &self.left()).finish_non_exhaustive()
    }
}

const SHUT: u64 = 0;

impl Fence {
    /// A fence that is open until then, by this clock.
    pub fn open_until(deadline: Uptime, clock: Arc<dyn Clock>) -> Fence {
        Fence { clock, open_until: Arc::new(AtomicU64::new(deadline.nanos().max(1))) }
    }

    /// The term lasts until then, and no less than it did. False when the fence had been shut, or its time was over:
    /// the term is lost.
    pub fn extend(&self, deadline: Uptime) -> bool {
        let (deadline, now) = (deadline.nanos(), self.clock.uptime().nanos());
        let longer = self.open_until.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |known| {
            (known > now).then_some(known.max(deadline))
        });
        longer.is_ok()
    }

    /// Ends the term.
    pub fn shut(&self) {
        self.open_until.store(SHUT, Ordering::SeqCst);
    }

    /// Whether a write may go now.
    pub fn is_open(&self) -> bool {
        self.open_until.load(Ordering::SeqCst) > self.clock.uptime().nanos()
    }

    /// How much is left of the term.
    pub fn left(&self) -> Duration {
        let left = self.open_until.load(Ordering::SeqCst).saturating_sub(self.clock.uptime().nanos());
        Duration::from_nanos(left)
    }
}

/// Opens connections on which nothing is sent once the fence is shut.
#[derive(Clone, Debug)]
pub(crate) struct FencedConnector {
    pub(crate) inner: HttpConnector,
    pub(crate) fence: Option<Fence>,
}

type TcpConnection = <HttpConnector as Service<http::Uri>>::Response;

impl Service<http::Uri> for FencedConnector {
    type Response = FencedConnection;
    type Error = <HttpConnector as Service<http::Uri>>::Error;
    type Future = BoxFuture<'static, Result<FencedConnection, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, server: http::Uri) -> Self::Future {
        let fence = self.fence.clone();
        self.inner.call(server).map_ok(|inner| FencedConnection { inner, fence }).boxed()
    }
}

/// A connection that carries nothing to the server once the fence is shut.
#[derive(Debug)]
pub(crate) struct FencedConnection {
    inner: TcpConnection,
    fence: Option<Fence>,
}

impl FencedConnection {
    fn check(&self) -> io::Result<()> {
        match &self.fence {
            Some(fence) if !fence.is_open() => Err(io::Error::other(LOST)),
            _ => Ok(()),
        }
    }
}

/// Said of a write that was not sent.
pub(crate) const LOST: &str = "this process does not lead any more";

impl Connection for FencedConnection {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl Read for FencedConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl Write for FencedConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn now() -> Uptime {
        SystemClock.uptime()
    }

    fn open_until(deadline: Uptime) -> Fence {
        Fence::open_until(deadline, Arc::new(SystemClock))
    }

    #[test]
    fn a_term_can_be_extended_while_it_lasts_and_not_after() {
        let minute = Duration::from_secs(60);
        let fence = open_until(now().plus(minute));
        assert!(fence.is_open() && fence.extend(now().plus(minute * 2)));
        assert!(fence.left() > minute);
        assert!(fence.extend(now()) && fence.left() > minute, "an earlier end shortens nothing");
        fence.clone().shut();
        assert!(!fence.is_open() && !fence.extend(now().plus(minute)) && fence.left().is_zero());

        let over = open_until(now());
        assert!(!over.is_open() && !over.extend(now().plus(minute)), "what is over stays over");
    }

    #[tokio::test]
    async fn what_was_prepared_before_the_fence_was_shut_does_not_reach_the_server() {
        use tokio::io::AsyncReadExt;

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let fence = open_until(now().plus(Duration::from_secs(60)));
        let mut connector = FencedConnector { inner: HttpConnector::new(), fence: Some(fence.clone()) };
        let mut connection = connector.call(server.parse().unwrap()).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        let mut write = async |bytes: &[u8]| {
            std::future::poll_fn(|context| Pin::new(&mut connection).poll_write(context, bytes)).await
        };
        assert_eq!(write(b"early").await.unwrap(), 5);
        fence.shut();
        assert!(write(b"late").await.unwrap_err().to_string().contains(LOST));
        drop(connection);
        let mut arrived = Vec::new();
        accepted.read_to_end(&mut arrived).await.unwrap();
        assert_eq!(arrived, b"early");
    }
}

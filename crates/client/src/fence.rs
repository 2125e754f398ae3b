//! Writes that may go only while a term lasts.
//!
//! A leader that was stopped for longer than its lease, and goes on, must not write: somebody else leads by now. A
//! check before a request is not enough, because the process may be stopped between the check and the sending. So
//! the [`Fence`] is asked where bytes go to the socket, under TLS and HTTP: what was prepared in an earlier term
//! stays in this process, and its connections break.

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

/// Time since the machine was started, by a clock that no one sets and that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

impl Uptime {
    /// The time now.
    pub fn now() -> Uptime {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let clock = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(clock);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Uptime(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default()))
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
}

/// Whether the writes of one term may go. Clones share the state. Once shut it stays shut: another term has another
/// fence.
#[derive(Clone, Debug)]
pub struct Fence {
    /// Nanoseconds of [`Uptime`]; [`SHUT`] for ever after.
    open_until: Arc<AtomicU64>,
}

const SHUT: u64 = 0;

impl Fence {
    /// A fence that is open until then.
    pub fn open_until(deadline: Uptime) -> Fence {
        Fence { open_until: Arc::new(AtomicU64::new(nanos(deadline).max(1))) }
    }

    /// The term lasts until then, and no less than it did. False when the fence had been shut, or its time was over:
    /// the term is lost.
    pub fn extend(&self, deadline: Uptime) -> bool {
        let deadline = nanos(deadline);
        let longer = self.open_until.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |known| {
            (known > nanos(Uptime::now())).then_some(known.max(deadline))
        });
        longer.is_ok()
    }

    /// Ends the term.
    pub fn shut(&self) {
        self.open_until.store(SHUT, Ordering::SeqCst);
    }

    /// Whether a write may go now.
    pub fn is_open(&self) -> bool {
        self.open_until.load(Ordering::SeqCst) > nanos(Uptime::now())
    }

    /// How much is left of the term.
    pub fn left(&self) -> Duration {
        let left = self.open_until.load(Ordering::SeqCst).saturating_sub(nanos(Uptime::now()));
        Duration::from_nanos(left)
    }
}

fn nanos(time: Uptime) -> u64 {
    u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX)
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

    #[test]
    fn a_term_can_be_extended_while_it_lasts_and_not_after() {
        let minute = Duration::from_secs(60);
        let fence = Fence::open_until(Uptime::now().plus(minute));
        assert!(fence.is_open() && fence.extend(Uptime::now().plus(minute * 2)));
        assert!(fence.left() > minute);
        assert!(fence.extend(Uptime::now()) && fence.left() > minute, "an earlier end shortens nothing");
        fence.clone().shut();
        assert!(!fence.is_open() && !fence.extend(Uptime::now().plus(minute)) && fence.left().is_zero());

        let over = Fence::open_until(Uptime::now());
        assert!(!over.is_open() && !over.extend(Uptime::now().plus(minute)), "what is over stays over");
    }

    #[tokio::test]
    async fn what_was_prepared_before_the_fence_was_shut_does_not_reach_the_server() {
        use tokio::io::AsyncReadExt;

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let fence = Fence::open_until(Uptime::now().plus(Duration::from_secs(60)));
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

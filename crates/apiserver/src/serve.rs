//! The accept loop: TLS, HTTP/1.1 and HTTP/2, limits on connections, and a graceful end.
//!
//! Everybody on the machine may connect. A connection is a newcomer until it has shown who is on the other end, by a
//! certificate or by a request with the token. Newcomers have few places and little time, and when their places are
//! taken the oldest of them goes; so they can keep nobody out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::process::{Resource, getrlimit};
use rustls::pki_types::CertificateDer;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::api::Api;
use crate::authn::{Connection, MASTERS, User, user_of_certificate};
use crate::http::attributes::Attributes;
use crate::http::body::Body;
use crate::intercept::Interceptor;
use crate::panics::contained_async;
use crate::pki::ADMIN_USER;

/// Connections of known clients that are open at the same time, where the process may have that many files open.
const CONNECTIONS: u64 = 4_096;
/// The same of newcomers.
const NEWCOMERS: u64 = 512;
/// Files that are left to the process itself: its own connections have two ends, and the store and logs are files.
const OTHER_FILES: u64 = 384;
/// Connections of both kinds at least, however few files there are.
const FEWEST: u64 = 64;

/// How long a newcomer gets for the handshake, and to show who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const NEWCOMER_LIFE: Duration = Duration::from_secs(15);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_BYTES: usize = 64 << 10;
const STREAMS_PER_CONNECTION: u32 = 1_000;
/// Bytes of an answer that are taken before the client has made room for them.
const SENT_BYTES_PER_STREAM: usize = 64 << 10;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes that are on their way on a connection within the process.
const WITHIN_BYTES: usize = 1 << 20;

/// How long open requests get to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// What all connections share, whichever listener they came by.
pub struct Host {
    tls: TlsAcceptor,
    api: Arc<Api>,
    /// The certificate that this process itself shows.
    own: CertificateDer<'static>,
    /// Places of known clients.
    places: Arc<Semaphore>,
    /// Newcomers that each listener may have at the same time.
    newcomers: usize,
    interceptor: Option<Arc<dyn Interceptor>>,
}

impl Host {
    /// Serves by TLS what `api` answers. `own` is the certificate that this process shows itself.
    pub fn new(
        tls: TlsAcceptor,
        api: Arc<Api>,
        own: CertificateDer<'static>,
        interceptor: Option<Arc<dyn Interceptor>>,
    ) -> Host {
        let (known, newcomers) = limits(getrlimit(Resource::Nofile).current);
        Host { tls, api, own, places: Arc::new(Semaphore::new(known)), newcomers, interceptor }
    }

    /// Answers a request of somebody who was recognised, or not.
    async fn answer(
        &self,
        connection: &Connection,
        user: Option<Arc<User>>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let Some(interceptor) = &self.interceptor else {
            return self.api.serve(connection, user, request).await;
        };
        let uri = request.uri();
        let asked = Attributes::of(request.method(), uri.path(), uri.query());
        match interceptor.before(&asked).await {
            Some(answer) => answer,
            None => interceptor.after(&asked, self.api.serve(connection, user, request).await),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

/// What is known of who is on the other end of a connection; its place, unless it is one of our own.
#[derive(Default)]
struct Guest(OnceLock<Option<OwnedSemaphorePermit>>);

impl Guest {
    fn is_known(&self) -> bool {
        self.0.get().is_some()
    }

    /// Takes a place among the known clients. Where none is free it stays a newcomer.
    fn welcome(&self, places: &Arc<Semaphore>) {
        if !self.is_known()
            && let Ok(place) = places.clone().try_acquire_owned()
        {
            let _ = self.0.set(Some(place));
        }
    }

    fn welcome_own(&self) {
        let _ = self.0.set(None);
    }
}

/// The connections that have not shown who they are, oldest first.
struct Newcomers {
    list: VecDeque<(AbortHandle, Arc<Guest>)>,
    limit: usize,
}

impl Newcomers {
    fn add(&mut self, task: AbortHandle, guest: Arc<Guest>) {
        self.list.retain(|(task, guest)| !task.is_finished() && !guest.is_known());
        self.list.push_back((task, guest));
        if self.list.len() > self.limit
            && let Some((oldest, _)) = self.list.pop_front()
        {
            oldest.abort();
        }
    }
}

/// How many known clients and newcomers there may be, of as many files as the process may have open.
fn limits(files: Option<u64>) -> (usize, usize) {
    let room = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(FEWEST));
    let newcomers = (room / 4).min(NEWCOMERS);
    let known = (room - newcomers).min(CONNECTIONS);
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    (size(known), size(newcomers))
}

/// Serves who connects to a listener, until `stop` turns true.
pub async fn run(listener: TcpListener, host: Arc<Host>, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let mut newcomers = Newcomers { list: VecDeque::new(), limit: host.newcomers };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stopped| *stopped) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually out of file descriptors; they come back when connections close.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let guest = Arc::new(Guest::default());
        let served =
            connection(stream, peer.ip(), host.clone(), guest.clone(), graceful.watcher(), stop.clone());
        let task = tokio::spawn(log_panics(served));
        newcomers.add(task.abort_handle(), guest);
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

/// A panic ends the connection on which it happens.
async fn log_panics(future: impl Future<Output = ()>) {
    if let Err(panic) = contained_async(future).await {
        tracing::error!(%panic, "a connection was given up");
    }
}

/// Spawns what HTTP/2 does beside a connection.
#[derive(Clone)]
struct Tasks;

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        tokio::spawn(log_panics(async { drop(future.await) }));
    }
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    host: Arc<Host>,
    guest: Arc<Guest>,
    watcher: Watcher,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, host.tls.accept(stream));
    let stream = tokio::select! {
        accepted = handshake => match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake took too long"),
        },
        _ = stop.wait_for(|stopped| *stopped) => return,
    };
    // The verifier has let in only certificates of our own authority.
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let user = shown.and_then(|shown| user_of_certificate(shown)).map(Arc::new);
    let connection = Arc::new(Connection { user, own: shown == Some(&host.own), peer });
    if connection.own {
        guest.welcome_own();
    } else if connection.user.is_some() {
        guest.welcome(&host.places);
    }
    let service = {
        let (host, guest) = (host.clone(), guest.clone());
        service_fn(move |request: Request<Incoming>| {
            let (host, connection) = (host.clone(), connection.clone());
            let user = host.api.recognise(&connection, &request);
            if user.is_some() {
                guest.welcome(&host.places);
            }
            async move { Ok::<_, Infallible>(host.answer(&connection, user, request).await) }
        })
    };
    let serving = builder().serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    tokio::select! {
        served = watcher.watch(serving) => {
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended badly");
            }
        }
        () = unknown_for_too_long(&guest) => tracing::debug!("a newcomer did not say who it is"),
    }
}

/// Serves somebody in this process, who is an admin, until `stop` turns true.
pub fn connect(host: &Arc<Host>, mut stop: watch::Receiver<bool>) -> DuplexStream {
    let (near, far) = tokio::io::duplex(WITHIN_BYTES);
    let user = Arc::new(User::recognised(ADMIN_USER, [MASTERS.to_owned()]));
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let connection = Arc::new(Connection { user: Some(user), own: false, peer });
    let host = host.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (host, connection) = (host.clone(), connection.clone());
        let user = connection.user.clone();
        async move { Ok::<_, Infallible>(host.answer(&connection, user, request).await) }
    });
    tokio::spawn(log_panics(async move {
        let builder = builder();
        let serving = builder.serve_connection_with_upgrades(TokioIo::new(far), service);
        tokio::select! {
            served = serving => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection within the process ended badly");
                }
            }
            _ = stop.wait_for(|stopped| *stopped) => {}
        }
    }));
    near
}

fn builder() -> auto::Builder<Tasks> {
    let mut builder = auto::Builder::new(Tasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES * 4);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES as u32)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_send_buf_size(SENT_BYTES_PER_STREAM)
        .keep_alive_interval(KEEP_ALIVE)
        .adaptive_window(true);
    builder
}

async fn unknown_for_too_long(guest: &Guest) {
    tokio::time::sleep(NEWCOMER_LIFE).await;
    if guest.is_known() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_connections_than_files() {
        let check = |files, expected| assert_eq!(limits(files), expected, "{files:?}");
        check(None, (4_096, 512));
        check(Some(1 << 20), (4_096, 512));
        check(Some(1_024), (480, 160));
        check(Some(64), (48, 16));
    }
}

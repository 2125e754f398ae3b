//! The accept loop: TLS, HTTP/1.1 and HTTP/2, limits on connections, and a graceful end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::api::Api;
use crate::authn::Connection;

/// Connections that are open at the same time; more wait in the operating system's queue.
const CONNECTIONS: usize = 4_096;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_BYTES: usize = 64 << 10;
const STREAMS_PER_CONNECTION: u32 = 1_000;
/// Bytes of an answer that are taken before the client has made room for them.
const SENT_BYTES_PER_STREAM: usize = 64 << 10;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long open requests get to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until `stop` turns true.
pub async fn run(listener: TcpListener, tls: TlsAcceptor, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            _ = stop.wait_for(|stopped| *stopped) => break,
        };
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
        let (tls, api, watcher, stop) = (tls.clone(), api.clone(), graceful.watcher(), stop.clone());
        tokio::spawn(async move {
            connection(stream, peer.ip(), tls, api, watcher, stop).await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    tls: TlsAcceptor,
    api: Arc<Api>,
    watcher: hyper_util::server::graceful::Watcher,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
    let stream = tokio::select! {
        accepted = handshake => match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake took too long"),
        },
        _ = stop.wait_for(|stopped| *stopped) => return,
    };
    // The verifier has let in only certificates of our own authority.
    let certified = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
    let connection = Connection { certified, peer };
    let service = service_fn(move |request| {
        let api = api.clone();
        async move { Ok::<_, std::convert::Infallible>(api.serve(connection, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
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
    let serving = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(serving).await {
        tracing::debug!(%error, "a connection ended badly");
    }
}

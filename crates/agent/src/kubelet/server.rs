//! The endpoint's connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::serve::serve;
use super::state::{Connection, Kubelet};
use super::tls;
use super::user::User;

/// Connections that are open at the same time, streams that they turned into among them; others wait.
const CONNECTIONS: usize = 512;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the headers of a request are there; a connection may be idle for as long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_LIMIT_BYTES: usize = 64 << 10;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the endpoint cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Its address cannot be used.
    #[error("{0}")]
    Address(#[from] io::Error),
    /// It cannot have a certificate.
    #[error("its certificate cannot be made: {0}")]
    Certificate(String),
}

/// An endpoint that listens.
pub struct Server {
    listener: TcpListener,
    tls: TlsAcceptor,
    port: u16,
}

impl Server {
    /// Listens at an address, on any free port where that says 0, as the node that is reached by this name and at these
    /// addresses. Clients may show certificates of these authorities, in DER.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(
        address: SocketAddr,
        node: &str,
        ips: &[IpAddr],
        authorities: Vec<Vec<u8>>,
        now_seconds: i64,
    ) -> Result<Server, ListenError> {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        let tls =
            tls::server_config(node, ips, authorities, now_seconds).map_err(ListenError::Certificate)?;
        Ok(Server { listener, tls: TlsAcceptor::from(tls), port })
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves who connects until it is cancelled, and every stream has ended with it.
    pub async fn run(self, kubelet: Arc<Kubelet>) {
        tokio::select! {
            () = kubelet.cancelled.cancelled() => {}
            () = self.accept(&kubelet) => {}
        }
        kubelet.tasks.close();
        kubelet.tasks.wait().await;
    }

    async fn accept(&self, kubelet: &Arc<Kubelet>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok(place) = places.clone().acquire_owned().await {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Usually out of file descriptors; they come back when connections close.
                    tracing::warn!(%error, "the kubelet endpoint cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (served, cancelled) = (kubelet.clone(), kubelet.cancelled.clone());
            let connection = connection(stream, self.tls.clone(), served, place);
            kubelet.tasks.spawn(async move {
                tokio::select! {
                    () = cancelled.cancelled() => {}
                    () = connection => {}
                }
            });
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("port", &self.port).finish_non_exhaustive()
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, kubelet: Arc<Kubelet>, place: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake with the kubelet endpoint failed"),
        Err(_) => return tracing::debug!("TLS handshake with the kubelet endpoint took too long"),
    };
    // The verifier has let in only certificates of the cluster's authority.
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let user = shown.and_then(|shown| User::of_certificate(shown)).map(Arc::new);
    let connection = Connection { user, place: Arc::new(place) };
    let service = service_fn(move |request| {
        let (kubelet, connection) = (kubelet.clone(), connection.clone());
        async move { Ok::<_, std::convert::Infallible>(serve(&kubelet, connection, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_LIMIT_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the kubelet endpoint ended badly");
    }
}

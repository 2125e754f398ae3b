//! One request to another server, on a connection of its own, within limits of time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::UpstreamError;

/// For a connection, with TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// For the head of an answer.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
const HEADER_LIMIT_BYTES: usize = 64 << 10;

/// Makes connections. Where a host is on this machine's own loopback they are plain, as for Docker; else they have TLS,
/// by the roots of this machine.
#[derive(Debug, Default)]
pub(super) struct Connector {
    tls: OnceLock<Arc<ClientConfig>>,
    /// Hosts that tests have, and where they are.
    pub(super) pinned: Vec<(String, SocketAddr)>,
}

impl Connector {
    /// Of somebody who trusts these authorities only.
    #[cfg(test)]
    pub(super) fn trusting(roots: RootCertStore, pinned: Vec<(String, SocketAddr)>) -> Connector {
        Connector { tls: OnceLock::from(Arc::new(client(roots))), pinned }
    }

    /// Sends a request without a body, and gives the answer, of which the body is yet to come.
    pub(super) async fn send(
        &self,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let host = uri.host().unwrap_or_default().to_owned();
        let unreachable = |source| UpstreamError::Unreachable { host: host.clone(), source };
        let stream = timeout(CONNECT_LIMIT, self.connect(uri)).await;
        let stream = stream.unwrap_or_else(|_| Err(timed_out())).map_err(unreachable)?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEADER_LIMIT_BYTES);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(broken(&host))?;
        // It ends with the body of the answer, or when nobody wants that any more.
        tokio::spawn(async move { drop(connection.await) });
        let target = uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap_or_default();
        *request.headers_mut() = headers;
        if let Ok(authority) = authority.parse() {
            request.headers_mut().insert(HOST, authority);
        }
        let answer = timeout(HEAD_LIMIT, sender.send_request(request)).await;
        answer.map_err(|_| unreachable(timed_out()))?.map_err(broken(&host))
    }

    async fn connect(&self, uri: &Uri) -> io::Result<Box<dyn Stream>> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_plain = uri.scheme() == Some(&Scheme::HTTP);
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let stream = match self.pinned.iter().find(|(name, _)| name == host) {
            Some((_, address)) => TcpStream::connect(address).await?,
            None => TcpStream::connect((host, port)).await?,
        };
        stream.set_nodelay(true)?;
        if is_plain {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.tls());
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    fn tls(&self) -> Arc<ClientConfig> {
        let of_machine = || {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            let (_, unread) = roots.add_parsable_certificates(found.certs);
            if unread > 0 || !found.errors.is_empty() {
                tracing::warn!(unread, errors = ?found.errors, "not all roots of this machine can be read");
            }
            Arc::new(client(roots))
        };
        self.tls.get_or_init(of_machine).clone()
    }
}

fn client(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "the provider has the versions that rustls has by default")]
    let builder = builder.expect("versions that the provider has");
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer in time")
}

fn broken(host: &str) -> impl FnOnce(hyper::Error) -> UpstreamError {
    |error| UpstreamError::Unreachable { host: host.to_owned(), source: io::Error::other(error) }
}

/// Whether a host, with or without a port, is this machine's loopback.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

//! The way to a kubelet: connections to nodes, over which requests about pods are passed on.
//!
//! The server shows a client certificate of its own, in `system:masters`. It takes any certificate of a kubelet, as a
//! kube-apiserver does by default; one of the cluster's own authority has to be for the address that was asked.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::access::Read as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::pki::{Pair, Pki, PkiError};
use crate::tls;

/// How long it may take to connect, and until an answer begins.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client that found no place should wait, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// A connection to a kubelet, before TLS.
pub trait KubeletStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> KubeletStream for T {}

/// What opening a connection gives.
pub type Opening = BoxFuture<'static, io::Result<Box<dyn KubeletStream>>>;

/// How connections to kubelets are opened: by TCP, unless nodes are reached in another way, such as through network
/// namespaces of their own.
#[derive(Clone)]
pub struct KubeletConnector(Arc<Open>);

type Open = dyn Fn(&str, SocketAddr) -> Opening + Send + Sync;

impl KubeletConnector {
    /// Opens connections by a function of a node's name and of the address of its kubelet.
    pub fn new(open: impl Fn(&str, SocketAddr) -> Opening + Send + Sync + 'static) -> KubeletConnector {
        KubeletConnector(Arc::new(open))
    }

    /// Opens a connection to the kubelet of a node at an address.
    pub fn open(&self, node: &str, address: SocketAddr) -> Opening {
        (self.0)(node, address)
    }
}

impl Default for KubeletConnector {
    fn default() -> KubeletConnector {
        KubeletConnector::new(|_, address| {
            Box::pin(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as Box<dyn KubeletStream>)
            })
        })
    }
}

impl fmt::Debug for KubeletConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KubeletConnector")
    }
}

/// Where a kubelet listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The node.
    pub node: String,
    /// Address and port.
    pub address: SocketAddr,
}

impl Endpoint {
    /// Where the kubelet of a node listens, as the node's status says; none where it says nothing: simulated nodes have
    /// no kubelet.
    pub fn of(node: &Value) -> Option<Endpoint> {
        let port = u16::try_from(node.number("status.daemonEndpoints.kubeletEndpoint.Port")).ok()?;
        let mut addresses = node.items("status.addresses").iter();
        let address = addresses.find(|address| address.text("type") == "InternalIP")?;
        let ip: IpAddr = address.text("address").parse().ok()?;
        let node = node.text("metadata.name").to_owned();
        (port > 0).then(|| Endpoint { node, address: SocketAddr::new(ip, port) })
    }
}

/// Why a kubelet did not answer.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// It cannot be reached.
    #[error("the kubelet of node {node} cannot be reached at {address}: {source}")]
    Connect {
        /// The node.
        node: String,
        /// Where it should listen.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// It does not speak HTTP, or went away.
    #[error("the kubelet of node {node} did not answer: {source}")]
    Answer {
        /// The node.
        node: String,
        /// Why.
        source: hyper::Error,
    },
    /// It took too long to answer.
    #[error("the kubelet of node {node} did not answer within {HEADER_TIMEOUT:?}")]
    TooSlow {
        /// The node.
        node: String,
    },
}

impl From<KubeletError> for Status {
    fn from(error: KubeletError) -> Status {
        match error {
            KubeletError::TooSlow { .. } => Status::unavailable(error.to_string()),
            _ => Status::unclassified(error.to_string()),
        }
    }
}

/// Connections to all kubelets.
#[derive(Debug)]
pub struct Kubelets {
    connector: KubeletConnector,
    tls: Arc<rustls::ClientConfig>,
    places: Arc<Semaphore>,
}

impl Kubelets {
    /// Shows kubelets this client certificate. `streams` may be open at the same time.
    ///
    /// # Errors
    /// The certificate or that of the authority cannot be read.
    pub fn new(
        connector: KubeletConnector,
        pki: &Pki,
        client: &Pair,
        streams: usize,
    ) -> Result<Kubelets, PkiError> {
        let failed = |error: &dyn fmt::Display| PkiError::Certificate(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(tls::certificate(&pki.authority.certificate)?).map_err(|error| failed(&error))?;
        let own = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).map_err(|error| failed(&error))?;
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OwnOrAny { own }))
            .with_client_auth_cert(vec![tls::certificate(&client.certificate)?], key)
            .map_err(|error| failed(&error))?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Kubelets { connector, tls: Arc::new(tls), places: Arc::new(Semaphore::new(streams)) })
    }

    /// A place among the streams that may be open.
    ///
    /// # Errors
    /// 429 when there is none.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = self.places.clone().try_acquire_owned();
        place.map_err(|_| {
            Status::too_many_requests("Too many open streams, please try again later.", RETRY_AFTER_SECONDS)
        })
    }

    /// Sends a request to a kubelet; gives the answer when it begins.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, KubeletError> {
        let Endpoint { node, address } = endpoint;
        let connect = |source| KubeletError::Connect { node: node.clone(), address: *address, source };
        let answer = |source| KubeletError::Answer { node: node.clone(), source };
        let stream = timeout(CONNECT_TIMEOUT, async {
            let stream = self.connector.open(node, *address).await?;
            TlsConnector::from(self.tls.clone()).connect(ServerName::from(address.ip()), stream).await
        });
        let stream = stream.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(connect)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(answer)?;
        // It ends with the answer, or with the tunnel that the connection turns into.
        tokio::spawn(connection.with_upgrades());
        let answered = timeout(HEADER_TIMEOUT, sender.send_request(request)).await;
        answered.map_err(|_| KubeletError::TooSlow { node: node.clone() })?.map_err(answer)
    }
}

/// Takes certificates of the cluster's own authority that are right, and any of others.
#[derive(Debug)]
struct OwnOrAny {
    own: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for OwnOrAny {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.own.verify_server_cert(shown, others, name, ocsp, now) {
            // The name is looked at when the authority has been found to be ours.
            Err(rustls::Error::InvalidCertificate(
                error @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
            )) => Err(error.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.own.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.own.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.supported_verify_schemes()
    }
}

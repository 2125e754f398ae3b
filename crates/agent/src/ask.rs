//! Questions to containers: commands, requests and connections, for probes and for what is done around a container's
//! life.

mod health;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use everynode_cri::ErrorKind;
use everynode_cri::messages::ExecSyncRequest;
use http::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::context::Context;
use crate::machine::ProbeAnswer;
use crate::pod_spec::{Container, GrpcAction, HttpAction, PortName, Probe};

/// The longest answer that is read; of a longer one the beginning.
const ANSWER_LIMIT_BYTES: usize = 10 << 10;
/// As probes call themselves.
const PROBER: &str = "kube-probe/1.36";

/// An answer, and a sentence about it.
pub type Answer = (ProbeAnswer, String);

fn failure(message: impl Into<String>) -> Answer {
    (ProbeAnswer::Failure, message.into())
}

fn unknown(message: impl Into<String>) -> Answer {
    (ProbeAnswer::Unknown, message.into())
}

/// Asks a probe.
pub async fn probe(context: &Context, probe: &Probe, container: &Container, id: &str, ip: &str) -> Answer {
    let limit =
        Duration::from_secs(u64::from(crate::pod_spec::bounded_seconds(probe.timeout_seconds)).max(1));
    if let Some(exec) = &probe.exec {
        return command(context, id, &exec.command, limit).await;
    }
    let asked = async {
        if let Some(get) = &probe.http_get {
            return request(get, container, ip).await;
        }
        let answer = match (&probe.tcp_socket, &probe.grpc) {
            (Some(tcp), _) => connect(&tcp.host, ip, &tcp.port, container).await.map(drop),
            (None, Some(grpc)) => healthy(grpc, container, ip, limit).await,
            (None, None) => return unknown("the probe asks nothing"),
        };
        match answer {
            Ok(()) => (ProbeAnswer::Success, String::new()),
            Err(message) => failure(message),
        }
    };
    match timeout(limit, asked).await {
        Ok(answer) => answer,
        Err(_) => failure(format!("no answer within {} s", limit.as_secs())),
    }
}

/// Runs a command in a container.
pub async fn command(context: &Context, id: &str, command: &[String], limit: Duration) -> Answer {
    let timeout_seconds = i64::try_from(limit.as_secs().max(1)).unwrap_or(i64::MAX);
    let request =
        ExecSyncRequest { container_id: id.to_owned(), cmd: command.to_vec(), timeout: timeout_seconds };
    match context.runtime.call(request, limit + Duration::from_secs(5)).await {
        Ok(done) if done.exit_code == 0 => (ProbeAnswer::Success, String::new()),
        Ok(done) => {
            let said = [done.stdout, done.stderr].concat();
            let said = String::from_utf8_lossy(&said[..said.len().min(ANSWER_LIMIT_BYTES)]).into_owned();
            failure(format!("exit code {}: {}", done.exit_code, said.trim_end()))
        }
        Err(error) if error.kind == ErrorKind::DeadlineExceeded => failure(error.to_string()),
        Err(error) => unknown(error.to_string()),
    }
}

/// Sends a request to a container and reads the status of the answer. Redirects are answers too.
pub async fn request(get: &HttpAction, container: &Container, ip: &str) -> Answer {
    let stream = match connect(&get.host, ip, &get.port, container).await {
        Ok(stream) => stream,
        Err(message) => return failure(message),
    };
    let answered = match get.scheme.eq_ignore_ascii_case("https") {
        false => exchange(stream, get, container, ip).await,
        true => {
            let host = if get.host.is_empty() { ip } else { &get.host };
            let name = ServerName::try_from(host.to_owned());
            let name = name.unwrap_or(ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into()));
            let connector = tokio_rustls::TlsConnector::from(ANY_CERTIFICATE.clone());
            match connector.connect(name, stream).await {
                Ok(stream) => exchange(stream, get, container, ip).await,
                Err(error) => Err(error.to_string()),
            }
        }
    };
    match answered {
        Ok(status) if (200..400).contains(&status) => (ProbeAnswer::Success, String::new()),
        Ok(status) => failure(format!("HTTP probe failed with statuscode: {status}")),
        Err(message) => failure(message),
    }
}

async fn connect(host: &str, ip: &str, port: &PortName, container: &Container) -> Result<TcpStream, String> {
    let host = if host.is_empty() { ip } else { host };
    let port = port.resolve(&container.ports).ok_or_else(|| format!("there is no port {port:?}"))?;
    TcpStream::connect((host, port)).await.map_err(|error| format!("dial tcp {host}:{port}: {error}"))
}

async fn healthy(grpc: &GrpcAction, container: &Container, ip: &str, limit: Duration) -> Result<(), String> {
    let stream = connect("", ip, &PortName::Number(grpc.port), container).await?;
    health::check(stream, grpc.service.as_deref().unwrap_or_default(), limit).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    get: &HttpAction,
    container: &Container,
    ip: &str,
) -> Result<u16, String> {
    let said = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    let connection = tokio::spawn(connection);
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    let host = if get.host.is_empty() { ip } else { &get.host };
    let port = get.port.resolve(&container.ports).unwrap_or(0);
    let host = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = http::Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, PROBER)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    for header in &get.http_headers {
        if let (Ok(name), Ok(value)) =
            (header.name.parse::<HeaderName>(), HeaderValue::from_str(&header.value))
        {
            request.headers_mut().insert(name, value);
        }
    }
    let answer = sender.send_request(request).await.map_err(said)?;
    let status = answer.status().as_u16();
    // Some servers take it ill when nobody reads what they say.
    let _ = Limited::new(answer.into_body(), ANSWER_LIMIT_BYTES).collect().await;
    connection.abort();
    Ok(status)
}

/// Probes are of pods on this node, whose certificates nobody signs for them: they are not verified, as by the kubelet.
static ANY_CERTIFICATE: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    everynode_client::ensure_crypto_provider();
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    Arc::new(config)
});

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn check(answer: &'static str, expected: ProbeAnswer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let get = HttpAction {
            path: "health?x=1".to_owned(),
            port: PortName::Number(port),
            ..HttpAction::default()
        };
        let found = request(&get, &Container::default(), "127.0.0.1").await;
        assert_eq!(found.0, expected, "{answer} {}", found.1);
        assert!(server.await.unwrap().starts_with("GET /health?x=1 HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn an_answer_below_400_is_well() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ProbeAnswer::Success).await;
        check(
            "HTTP/1.1 302 Found\r\nlocation: http://example.com/\r\ncontent-length: 0\r\n\r\n",
            ProbeAnswer::Success,
        )
        .await;
        check("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", ProbeAnswer::Failure).await;
        check("nonsense\r\n\r\n", ProbeAnswer::Failure).await;
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_not_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = PortName::Number(listener.local_addr().unwrap().port());
        assert!(connect("", "127.0.0.1", &port, &Container::default()).await.is_ok());
        drop(listener);
        assert!(connect("", "127.0.0.1", &port, &Container::default()).await.is_err());
        assert!(
            connect("", "127.0.0.1", &PortName::Name("none".into()), &Container::default()).await.is_err()
        );
    }
}

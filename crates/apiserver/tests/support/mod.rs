//! A server on a random port and a plain client for it.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part")]

pub mod recorded;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_apiserver::{Config, Server};
use everynode_model::Value;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long anything in a test may take.
pub const LIMIT: Duration = Duration::from_secs(30);

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| {
            panic!("{error} in {}", String::from_utf8_lossy(&self.bytes));
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// TLS by which the server is to be certified by its own authority.
fn tls(server: &Server) -> rustls::ConfigBuilder<rustls::ClientConfig, WantsClientCert> {
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(server.authority_certificate().as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// A client that opens a connection per request.
#[derive(Clone)]
pub struct Client {
    address: std::net::SocketAddr,
    connector: TlsConnector,
    /// By which the server is to be certified.
    name: ServerName<'static>,
    token: String,
}

impl Client {
    pub fn new(server: &Server) -> Client {
        let config = tls(server).with_no_client_auth();
        Client {
            address: server.address(),
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::from(server.address().ip()),
            token: server.token().to_owned(),
        }
    }

    pub fn without_token(mut self) -> Client {
        self.token.clear();
        self
    }

    pub fn with_token(mut self, token: &str) -> Client {
        token.clone_into(&mut self.token);
        self
    }

    /// Shows a certificate instead of the token.
    pub fn with_certificate(mut self, server: &Server, certificate: &str, key: &str) -> Client {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = tls(server).with_client_auth_cert(vec![certificate], key).unwrap();
        self.connector = TlsConnector::from(Arc::new(config));
        self.without_token()
    }

    pub fn at(mut self, address: std::net::SocketAddr) -> Client {
        self.address = address;
        self
    }

    pub fn by_name(mut self, name: &'static str) -> Client {
        self.name = ServerName::try_from(name).unwrap();
        self
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> http::Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let stream = self.connector.connect(self.name.clone(), stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header("Host", "localhost");
        if !self.token.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.token));
        }
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        tokio::time::timeout(LIMIT, sender.send_request(request)).await.expect("an answer in time").unwrap()
    }

    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let response = self.send(method, path, headers, body).await;
        let (parts, incoming) = response.into_parts();
        let collected = tokio::time::timeout(LIMIT, incoming.collect()).await.expect("a body in time");
        Answer { status: parts.status, headers: parts.headers, bytes: collected.unwrap().to_bytes() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, &[("Content-Type", "application/json")], body.to_owned()).await
    }

    pub async fn put(&self, path: &str, body: &str) -> Answer {
        self.request("PUT", path, &[("Content-Type", "application/json")], body.to_owned()).await
    }

    pub async fn merge(&self, path: &str, body: &str) -> Answer {
        self.request("PATCH", path, &[("Content-Type", "application/merge-patch+json")], body.to_owned())
            .await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, &[], "").await
    }

    /// Follows a collection; lines come one by one.
    pub async fn watch(&self, path: &str) -> Lines {
        let response = self.send("GET", path, &[], "").await;
        Lines { body: response.into_body(), buffer: Vec::new() }
    }
}

/// The lines of a watch.
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next event; nothing when the watch is over.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(LIMIT, self.body.frame()).await.expect("an event in time")?;
            if let Ok(data) = frame.unwrap().into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// `TYPE name` of the next event.
    pub async fn next_name(&mut self) -> String {
        let event = self.next().await.expect("an event");
        let name = event.pointer("/object/metadata/name").and_then(Value::as_str).unwrap_or("");
        format!("{} {name}", event["type"].as_str().unwrap_or("")).trim_end().to_owned()
    }
}

pub async fn start(config: Config) -> (Server, Client) {
    let server = Server::start(config).await.unwrap();
    let client = Client::new(&server);
    (server, client)
}

//! Images that no archive has, from registries of these tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::serving::{Answer, exchange};
use crate::serve::{Limits, Sources, serve_within};
use crate::{Digest, ImageStore, Upstream};

/// What a registry of these tests answers to the head of a request: status, headers, body.
type Script = Arc<dyn Fn(&str) -> (u16, String, String) + Send + Sync>;

/// A registry that answers as a function says, and what it was asked.
struct Other {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Other {
    async fn start(script: Script, tls: Option<TlsAcceptor>) -> Other {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let seen = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen, tls) = (script.clone(), seen.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        // A client that does not trust it goes away.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                one(stream, script, seen).await;
                            }
                        }
                        None => one(stream, script, seen).await,
                    }
                });
            }
        });
        Other { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn one(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Script, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let authorization = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("-");
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
    seen.lock().unwrap().push(format!("{line} {authorization}"));
    let (status, headers, body) = script(&head);
    let length = body.len();
    let body = if head.starts_with("HEAD ") { String::new() } else { body };
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
}

/// A registry over an empty directory that asks others.
async fn passing_on(upstream: Upstream) -> (std::net::SocketAddr, tempfile::TempDir) {
    let dir = tempfile::TempDir::new().unwrap();
    let store = Arc::new(ImageStore::open(dir.path()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { connections: 16, life: Duration::from_secs(60) };
    let sources = Sources { store, upstream: Some(Arc::new(upstream)) };
    tokio::spawn(serve_within(limits, listener, sources, CancellationToken::new()));
    (address, dir)
}

async fn ask(registry: std::net::SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    Answer::read(&exchange(registry, method, path, headers).await).unwrap()
}

#[tokio::test]
async fn an_image_comes_from_its_registry_by_a_token_for_those_credentials_that_a_client_sends() {
    let good = format!("Basic {}", STANDARD.encode("me:secret"));
    let wanted = good.clone();
    let script = move |head: &str| {
        let has = |text: &str| head.contains(text);
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        match () {
            () if has("GET /token?service=r&scope=repository%3Ateam%2Fapp%3Apull") => match has(&wanted) {
                true => (200, String::new(), r#"{"token":"T","expires_in":300}"#.to_owned()),
                false => (401, String::new(), String::new()),
            },
            () if !has("authorization: Bearer T\r\n") => {
                let bearer = format!("Bearer realm=\"http://{host}/token\",service=\"r\"");
                (401, format!("www-authenticate: {bearer}\r\n"), String::new())
            }
            () if has(" /v2/team/app/manifests/1 ") => {
                let kind = "content-type: application/vnd.oci.image.index.v1+json\r\n";
                let digest = format!("docker-content-digest: {}\r\n", Digest::of(b"{}"));
                (200, format!("{kind}{digest}x-other: 1\r\n"), "{}".to_owned())
            }
            () if has(" /v2/team/app/blobs/sha256:") && has("range: bytes=2-\r\n") => {
                (206, "content-range: bytes 2-5/6\r\n".to_owned(), "yers".to_owned())
            }
            () => (404, String::new(), String::new()),
        }
    };
    let other = Other::start(Arc::new(script), None).await;
    let (registry, _dir) = passing_on(Upstream::default()).await;
    let ns = format!("?ns=localhost:{}", other.address.port());
    let path = format!("/v2/team/app/manifests/1{ns}");
    let refused = ask(registry, "HEAD", &path, "").await;
    assert_eq!(refused.status, 401, "nobody may, but for some");
    assert!(refused.header("www-authenticate").unwrap().starts_with("Basic "));
    let bad = format!("authorization: Basic {}\r\n", STANDARD.encode("me:wrong"));
    assert_eq!(ask(registry, "GET", &path, &bad).await.status, 401);

    let auth = format!("authorization: {good}\r\n");
    let head = ask(registry, "HEAD", &path, &auth).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("2"), 0));
    let answer = ask(registry, "GET", &path, &format!("{auth}accept: a/b\r\n")).await;
    assert_eq!((answer.status, &*answer.body), (200, &b"{}"[..]));
    assert_eq!(answer.header("content-type"), Some("application/vnd.oci.image.index.v1+json"));
    assert_eq!(answer.header("docker-content-digest"), Some(&*Digest::of(b"{}").to_string()));
    assert_eq!(answer.header("x-other"), None);
    let blob = format!("/v2/team/app/blobs/{}{ns}", Digest::of(b"layers"));
    let answer = ask(registry, "GET", &blob, &format!("{auth}range: bytes=2-\r\n")).await;
    assert_eq!((answer.status, &*answer.body), (206, &b"yers"[..]));
    let missing = ask(registry, "GET", &format!("/v2/team/app/manifests/2{ns}"), &auth).await;
    assert_eq!(missing.status, 404);
    assert!(missing.error().1.contains("is in none of the archives of"), "{:?}", missing.error());
    let tokens = other.asked().iter().filter(|line| line.contains("/token")).count();
    assert_eq!(tokens, 3, "a token that holds is used again: {:?}", other.asked());
}

#[tokio::test]
async fn what_an_archive_has_or_what_is_no_request_for_an_image_goes_nowhere() {
    let other = Other::start(Arc::new(|_| (200, String::new(), "{}".to_owned())), None).await;
    let (registry, _dir) = passing_on(Upstream::default()).await;
    let host = format!("localhost:{}", other.address.port());
    let ns = format!("?ns={host}");
    for (method, path) in [
        ("GET", format!("/v2/a/pause/manifests/1{ns}")),
        ("GET", format!("/v2/{ns}")),
        ("GET", format!("/v2/a/tags/list{ns}")),
        ("GET", format!("/v2/../x/manifests/1{ns}")),
        ("GET", format!("/v2/a/blobs/x{ns}")),
        ("POST", format!("/v2/a/blobs/uploads/{ns}")),
        ("GET", format!("/v2/a/manifests/1?ns={host}/../x")),
        ("GET", format!("/v2/a/manifests/1?ns=user@{host}")),
    ] {
        ask(registry, method, &path, "").await;
    }
    assert_eq!(other.asked(), [""; 0]);
    assert_eq!(ask(registry, "GET", &format!("/v2/a/manifests/1{ns}"), "").await.status, 200);
}

/// A certificate for `registry.test`, with the roots that trust it.
fn certificate() -> (TlsAcceptor, rustls::RootCertStore) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["registry.test".to_owned(), "store.test".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}

#[tokio::test]
async fn credentials_stay_with_their_registry_and_nothing_goes_where_there_is_no_tls() {
    let (tls, roots) = certificate();
    let script = |head: &str| {
        let to = |place: &str| (307, format!("location: {place}\r\n"), String::new());
        match () {
            () if !head.contains("authorization: ") && !head.contains("host: store.test") => {
                (401, "www-authenticate: Basic realm=\"r\"\r\n".to_owned(), String::new())
            }
            () if head.contains("/manifests/far") => to("https://store.test/elsewhere"),
            () if head.contains("/manifests/near") => to("/v2/here"),
            () if head.contains("/manifests/plain") => to("http://store.test/elsewhere"),
            () if head.contains("/manifests/here") => to("http://localhost:1/v2/"),
            () if head.contains("/manifests/round") => to("/v2/a/manifests/round"),
            () => (200, String::new(), "{}".to_owned()),
        }
    };
    let other = Other::start(Arc::new(script), Some(tls.clone())).await;
    let pinned = ["registry.test", "store.test"].map(|host| (host.to_owned(), other.address));
    let (registry, _dir) = passing_on(Upstream::trusting(roots, pinned.to_vec())).await;
    let auth = format!("authorization: Basic {}\r\n", STANDARD.encode("me:secret"));
    for (tag, status) in [("far", 200), ("near", 200), ("plain", 502), ("here", 502), ("round", 502)] {
        let answer = ask(registry, "GET", &format!("/v2/a/manifests/{tag}?ns=registry.test"), &auth).await;
        assert_eq!(answer.status, status, "{tag}: {:?}", String::from_utf8_lossy(&answer.body));
    }
    let asked = other.asked();
    assert!(asked.contains(&"GET /elsewhere -".to_owned()), "{asked:?}");
    assert!(asked.iter().any(|line| line.starts_with("GET /v2/here Basic ")), "{asked:?}");

    // Who trusts nobody gets nothing.
    let (registry, _dir) =
        passing_on(Upstream::trusting(rustls::RootCertStore::empty(), pinned.to_vec())).await;
    let answer = ask(registry, "GET", "/v2/a/manifests/near?ns=registry.test", &auth).await;
    assert_eq!(answer.status, 502);
    assert!(answer.error().1.contains("registry.test cannot be reached"), "{:?}", answer.error());
}

//! The registry, as a client sees it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::serve::{Limits, serve_within};
use crate::{Digest, ImageStore};

/// A layout in a directory, with one image of one layer; gives the digests of manifest and layer.
fn write_layout(dir: &Path, name: &str, layer: &[u8]) -> (Digest, Digest) {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |content: &[u8], media_type: &str| {
        let digest = Digest::of(content);
        std::fs::write(blobs.join(digest.hex()), content).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    };
    let config = blob(b"{}", "application/vnd.oci.image.config.v1+json");
    let layer = blob(layer, "application/vnd.oci.image.layer.v1.tar");
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string();
    let mut described = blob(manifest.as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    described["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [described]}).to_string();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    std::fs::write(dir.join("index.json"), index).unwrap();
    (Digest::of(manifest.as_bytes()), layer["digest"].as_str().unwrap().parse().unwrap())
}

/// A registry over a directory of its own.
struct Registry {
    dir: TempDir,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// What a server has sent before it closed the connection; nothing where it did not even begin.
    pub(super) fn read(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, head, body: bytes[end + 4..].to_vec() })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Code and message of a refusal.
    pub(super) fn error(&self) -> (String, String) {
        let answer = self.json();
        let word = |key: &str| answer["errors"][0][key].as_str().unwrap().to_owned();
        (word("code"), word("message"))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// What comes back of a request until the end of the connection.
pub(super) async fn exchange(
    address: std::net::SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: r\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // An answer that breaks off is one that the test asks about.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

impl Registry {
    async fn start() -> Registry {
        Registry::within(Limits { connections: 16, life: Duration::from_secs(60) }).await
    }

    async fn within(limits: Limits) -> Registry {
        let dir = TempDir::new().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served = tokio::spawn(serve_within(limits, listener, store.into(), stop.clone()));
        Registry { dir, address, stop, served }
    }

    /// What comes back until the end of the connection.
    async fn exchange(&self, method: &str, path: &str, headers: &str) -> Vec<u8> {
        exchange(self.address, method, path, headers).await
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        Answer::read(&self.exchange(method, path, headers).await).unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }
}

#[tokio::test]
async fn an_image_is_handed_out_under_its_own_name() {
    let registry = Registry::start().await;
    let (manifest, layer) = write_layout(&registry.dir.path().join("a"), "quay.io/a/b:v1", b"files");
    assert_eq!(registry.get("/v2/").await.status, 200);
    for path in [
        "/v2/a/b/manifests/v1?ns=quay.io".to_owned(),
        "/v2/quay.io/a/b/manifests/v1".to_owned(),
        format!("/v2/a/b/manifests/{manifest}?ns=quay.io"),
        format!("/v2/a/b/manifests/sha256%3A{}?ns=quay.io", manifest.hex()),
    ] {
        let answer = registry.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.head);
        assert_eq!(Digest::of(&answer.body), manifest);
        assert_eq!(answer.header("docker-content-digest"), Some(&*manifest.to_string()));
        assert_eq!(answer.header("content-type"), Some("application/vnd.oci.image.manifest.v1+json"));
        let head = registry.ask("HEAD", &path, "").await;
        assert_eq!((head.status, &*head.body), (200, &b""[..]));
        assert_eq!(head.header("content-length"), answer.header("content-length"));
    }
    let answer = registry.get(&format!("/v2/a/b/blobs/{layer}?ns=quay.io")).await;
    assert_eq!((answer.status, &*answer.body), (200, &b"files"[..]));
}

#[tokio::test]
async fn a_content_goes_on_where_it_broke_off() {
    let registry = Registry::start().await;
    let (_, layer) = write_layout(&registry.dir.path().join("a"), "a:1", b"0123456789");
    let path = format!("/v2/library/a/blobs/{layer}?ns=docker.io");
    let check = async |range: &str, status: u16, body: &str, told: Option<&str>| {
        let answer = registry.ask("GET", &path, &format!("range: {range}\r\n")).await;
        assert_eq!((answer.status, answer.header("content-range")), (status, told), "{range}");
        if status < 400 {
            assert_eq!(String::from_utf8_lossy(&answer.body), body);
        }
    };
    check("bytes=7-", 206, "789", Some("bytes 7-9/10")).await;
    check("bytes=0-", 200, "0123456789", None).await;
    check("bytes=10-", 416, "", Some("bytes */10")).await;
    check("bytes=-3", 200, "0123456789", None).await;
    check("pages=1-", 200, "0123456789", None).await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_words_that_say_what_to_do() {
    let registry = Registry::start().await;
    let answer = registry.get("/v2/a/b/manifests/v1?ns=quay.io").await;
    assert_eq!(answer.status, 404);
    let (code, message) = answer.error();
    assert_eq!(code, "MANIFEST_UNKNOWN");
    let expected =
        format!("image quay.io/a/b:v1 is in none of the archives of {}", registry.dir.path().display());
    assert!(message.starts_with(&expected), "{message}");
    let nothing = Digest::of(b"nothing");
    for (method, path, status, code) in [
        ("GET", format!("/v2/a/b/manifests/{nothing}"), 404, "MANIFEST_UNKNOWN"),
        ("GET", format!("/v2/a/b/blobs/{nothing}"), 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/a/b/blobs/v1".to_owned(), 400, "NAME_INVALID"),
        ("GET", "/v2/a/b/blobs/sha256:12".to_owned(), 400, "NAME_INVALID"),
        ("GET", "/v2/A/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("GET", "/v2/../../etc/manifests/passwd".to_owned(), 400, "NAME_INVALID"),
        ("GET", "/v2/a/b/tags/list".to_owned(), 404, "UNSUPPORTED"),
        ("GET", "/".to_owned(), 404, "UNSUPPORTED"),
        ("PUT", "/v2/a/b/manifests/v1".to_owned(), 405, "UNSUPPORTED"),
        ("DELETE", format!("/v2/a/b/blobs/{nothing}"), 405, "UNSUPPORTED"),
    ] {
        let answer = registry.ask(method, &path, "").await;
        assert_eq!((answer.status, &*answer.error().0), (status, code), "{method} {path}");
    }
}

#[tokio::test]
async fn a_content_that_is_another_one_never_arrives_whole() {
    let registry = Registry::start().await;
    let (_, layer) = write_layout(&registry.dir.path().join("a"), "a:1", b"0123456789");
    std::fs::write(registry.dir.path().join("a/blobs/sha256").join(layer.hex()), b"012345678x").unwrap();
    // The damage is in the first piece, which may be read before the head of the answer has left.
    let bytes = registry.exchange("GET", &format!("/v2/library/a/blobs/{layer}"), "").await;
    let body = Answer::read(&bytes).map(|answer| answer.body).unwrap_or_default();
    assert!(body.len() < 10, "{body:?}");
}

#[tokio::test]
async fn sandboxes_have_their_image_without_an_archive() {
    let registry = Registry::start().await;
    for name in ["pause/manifests/3.10?ns=registry.k8s.io", "mirrored/pause/manifests/latest?ns=r.example"] {
        let index = registry.get(&format!("/v2/{name}")).await.json();
        let processors: Vec<&Value> = index["manifests"].as_array().unwrap().iter().collect();
        assert_eq!(processors.len(), 2);
        for described in processors {
            let digest = described["digest"].as_str().unwrap();
            let manifest =
                registry.get(&format!("/v2/pause/manifests/{digest}?ns=registry.k8s.io")).await.json();
            for part in [&manifest["config"], &manifest["layers"][0]] {
                let digest = part["digest"].as_str().unwrap();
                let content =
                    registry.get(&format!("/v2/pause/blobs/{digest}?ns=registry.k8s.io")).await.body;
                assert_eq!(Digest::of(&content).to_string(), digest);
                assert_eq!(json!(content.len()), part["size"]);
            }
        }
    }
    // An archive that has the name is taken before.
    let (manifest, _) = write_layout(&registry.dir.path().join("a"), "registry.k8s.io/pause:3.10", b"files");
    let answer = registry.get("/v2/pause/manifests/3.10?ns=registry.k8s.io").await;
    assert_eq!(Digest::of(&answer.body), manifest);
}

#[tokio::test]
async fn who_holds_the_last_place_does_not_hold_it_for_ever() {
    let limits = Limits { connections: 1, life: Duration::from_millis(20) };
    let registry = Registry::within(limits).await;
    let mut idle = TcpStream::connect(registry.address).await.unwrap();
    assert_eq!(registry.get("/v2/").await.status, 200);
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_while_connections_are_open() {
    let registry = Registry::start().await;
    let _idle = TcpStream::connect(registry.address).await.unwrap();
    registry.stop.cancel();
    registry.served.await.unwrap();
    assert!(TcpStream::connect(registry.address).await.is_err());
}

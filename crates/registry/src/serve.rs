//! The part of a registry that hands images out: `/v2/` of the distribution specification, reading only.
//!
//! Requests tell by `?ns=HOST` which registry they are meant for, as containerd asks mirrors.

use std::convert::Infallible;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::archive::Blob;
use crate::document::Document;
use crate::name::{ImageName, Reference};
use crate::store::{ImageStore, StoreError};
use crate::upstream::{Body, Part, Upstream, UpstreamError};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many are open at the same time; others wait.
    pub(crate) connections: usize,
    /// How long one is open. Clients go on where a content broke off.
    pub(crate) life: Duration,
}

const LIMITS: Limits = Limits { connections: 256, life: Duration::from_secs(15 * 60) };
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_LIMIT_BYTES: usize = 64 << 10;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long answers get to end when the server stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How much of a content is read at once.
const CHUNK_BYTES: u64 = 256 << 10;

const DIGEST_HEADER: &str = "docker-content-digest";

/// Where images come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The archives of a directory.
    pub store: Arc<ImageStore>,
    /// Who is asked for what no archive has; nothing: nobody is.
    pub upstream: Option<Arc<Upstream>>,
}

impl From<ImageStore> for Sources {
    /// Archives, and nobody else.
    fn from(store: ImageStore) -> Sources {
        Sources { store: Arc::new(store), upstream: None }
    }
}

/// Serves images to whoever connects, until it is told to stop. Everybody who can connect can read them.
pub async fn serve(listener: TcpListener, sources: Sources, stop: CancellationToken) {
    serve_within(LIMITS, listener, sources, stop).await;
}

/// Serves within other limits.
pub(crate) async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    sources: Sources,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    while let Some(place) = stop.run_until_cancelled(places.clone().acquire_owned()).await {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { break };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Usually out of file descriptors; they come back when connections close.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let sources = sources.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let sources = sources.clone();
            async move { Ok::<_, Infallible>(answer(sources, &request).await) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_LIMIT_BYTES);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            match tokio::time::timeout(limits.life, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
                Err(_) => tracing::debug!("a connection was open for too long"),
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some images were not handed out to the end");
    }
}

/// Why a request gets no content, in the words of the specification.
#[derive(Debug)]
enum Refusal {
    /// It is none of those that are served.
    NotServed,
    /// It would write.
    ReadOnly,
    /// A name or digest makes no sense.
    Name(String),
    /// The part that it asks for is not there.
    Range(u64),
    Store(StoreError),
    /// No archive has it, and its registry does not give it.
    Upstream(Box<(StoreError, UpstreamError)>),
    /// A content cannot be read.
    Io(io::Error),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Store(error)
    }
}

impl Refusal {
    fn response(&self) -> Response<Body> {
        let (status, code, message) = match self {
            Refusal::NotServed => {
                (StatusCode::NOT_FOUND, "UNSUPPORTED", "only images are served here".to_owned())
            }
            Refusal::ReadOnly => {
                (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "images are not taken here".to_owned())
            }
            Refusal::Name(why) => (StatusCode::BAD_REQUEST, "NAME_INVALID", why.clone()),
            Refusal::Range(size) => {
                let message = format!("the content has {size} bytes");
                (StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message)
            }
            Refusal::Store(error) => match error {
                StoreError::NoImage { .. } => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", error.to_string()),
                StoreError::NoBlob { .. } => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN", error.to_string()),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string()),
            },
            Refusal::Upstream(why) => {
                let (missing, error) = &**why;
                let (status, code) = match error {
                    UpstreamError::Denied { .. } => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
                    UpstreamError::NotFound { .. } => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
                    _ => (StatusCode::BAD_GATEWAY, "UNAVAILABLE"),
                };
                (status, code, format!("{missing}; {error}"))
            }
            Refusal::Io(error) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string()),
        };
        let text = json!({"errors": [{"code": code, "message": message}]}).to_string();
        let mut response = whole(status, "application/json", text.into());
        // Clients that ask by HEAD show nothing else.
        if let Ok(reason) = ReasonPhrase::try_from(message.as_bytes()) {
            response.extensions_mut().insert(reason);
        }
        match self {
            Refusal::ReadOnly => insert(&mut response, ALLOW.as_str(), "GET, HEAD"),
            Refusal::Upstream(why) => {
                // Who has credentials sends them now.
                if let UpstreamError::Denied { registry, .. } = &why.1 {
                    insert(&mut response, WWW_AUTHENTICATE.as_str(), &format!("Basic realm=\"{registry}\""));
                }
            }
            Refusal::Range(size) => insert(&mut response, CONTENT_RANGE.as_str(), &format!("bytes */{size}")),
            _ => {}
        }
        response
    }
}

async fn answer(sources: Sources, request: &Request<Incoming>) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let answered = match request.method() {
        &Method::GET | &Method::HEAD => read(sources, request).await,
        _ => Err(Refusal::ReadOnly),
    };
    let response = answered.unwrap_or_else(|refusal| {
        if let Refusal::Store(error @ (StoreError::File { .. } | StoreError::Directory { .. })) = &refusal {
            tracing::warn!(%error, "an image cannot be served");
        }
        match &refusal {
            Refusal::Upstream(why) => tracing::warn!(error = %why.1, "an image is not passed on"),
            Refusal::Store(error @ StoreError::NoImage { .. }) => tracing::warn!("{error}"),
            _ => {}
        }
        refusal.response()
    });
    if is_head {
        response.map(|_| Empty::new().map_err(|never| match never {}).boxed_unsync())
    } else {
        response
    }
}

async fn read(sources: Sources, request: &Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
    let path = path.strip_prefix("/v2").ok_or(Refusal::NotServed)?.trim_matches('/');
    if path.is_empty() {
        return Ok(whole(StatusCode::OK, "application/json", Bytes::from_static(b"{}")));
    }
    let (rest, reference) = path.rsplit_once('/').ok_or(Refusal::NotServed)?;
    let (repository, what) = rest.rsplit_once('/').ok_or(Refusal::NotServed)?;
    let registry = registry(request.uri().query().unwrap_or_default());
    let name = ImageName::from_parts(registry.as_deref(), repository, reference)
        .map_err(|error| Refusal::Name(error.to_string()))?;
    let (part, found) = match (what, &name.reference) {
        ("manifests", _) => (Part::Manifest, stored_manifest(sources.store, name.clone()).await),
        ("blobs", Reference::Digest(digest)) => {
            (Part::Blob, stored_blob(sources.store, *digest, start(request.headers())).await)
        }
        ("blobs", Reference::Tag(_)) => return Err(Refusal::Name(format!("{reference:?} is no digest"))),
        _ => return Err(Refusal::NotServed),
    };
    match (found, sources.upstream) {
        (
            Err(Refusal::Store(missing @ (StoreError::NoImage { .. } | StoreError::NoBlob { .. }))),
            Some(upstream),
        ) => {
            let given = upstream.fetch(request.method(), &name, part, request.headers()).await;
            given.map_err(|error| Refusal::Upstream(Box::new((missing, error))))
        }
        (found, _) => found,
    }
}

async fn stored_manifest(store: Arc<ImageStore>, name: ImageName) -> Result<Response<Body>, Refusal> {
    blocking(move || store.manifest(&name).map_err(Refusal::from)).await.map(manifest)
}

async fn stored_blob(
    store: Arc<ImageStore>,
    digest: crate::Digest,
    start: u64,
) -> Result<Response<Body>, Refusal> {
    let (blob, from) = blocking(move || open(&store, &digest, start)).await?;
    Ok(content(&digest.to_string(), blob, from))
}

/// The registry that a mirror is asked for.
fn registry(query: &str) -> Option<String> {
    let mut fields = form_urlencoded::parse(query.as_bytes());
    fields.find(|(key, _)| key == "ns").map(|(_, value)| value.into_owned())
}

/// From which byte on a content is wanted: `Range: bytes=N-`, by which containerd goes on. Other ranges may be
/// answered by the whole, and are.
fn start(headers: &HeaderMap) -> u64 {
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    first.and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn open(store: &ImageStore, digest: &crate::Digest, start: u64) -> Result<(Blob, u64), Refusal> {
    let blob = store.blob(digest)?;
    match start {
        0 => Ok((blob, 0)),
        start if start >= blob.size() => Err(Refusal::Range(blob.size())),
        start => blob.skip(start).map(|blob| (blob, start)).map_err(Refusal::Io),
    }
}

/// Runs what reads files apart from what answers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refusal::Io(io::Error::other(error))))
}

fn manifest(document: Document) -> Response<Body> {
    let mut response = whole(StatusCode::OK, &document.media_type, document.content);
    insert(&mut response, DIGEST_HEADER, &document.digest.to_string());
    response
}

fn content(digest: &str, blob: Blob, from: u64) -> Response<Body> {
    let size = blob.size();
    let mut response = Response::new(StreamBody::new(chunks(blob)).boxed_unsync());
    insert(&mut response, CONTENT_TYPE.as_str(), "application/octet-stream");
    insert(&mut response, CONTENT_LENGTH.as_str(), &(size - from).to_string());
    insert(&mut response, ACCEPT_RANGES.as_str(), "bytes");
    insert(&mut response, DIGEST_HEADER, digest);
    if from > 0 {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        insert(&mut response, CONTENT_RANGE.as_str(), &format!("bytes {from}-{}/{size}", size - 1));
    }
    response
}

/// A content piece by piece, each read when there is room for it. Damage ends the connection before the end of the
/// content, so that nobody takes it for whole.
fn chunks(blob: Blob) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    stream::unfold(Some(blob), |blob| async {
        let mut blob = blob?;
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::new();
            let read = blob.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk);
            (read.map(|_| chunk), blob)
        });
        match read.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            (Ok(chunk), _) if chunk.is_empty() => None,
            (Ok(chunk), blob) => Some((Ok(Frame::data(chunk.into())), Some(blob))),
            (Err(error), _) => {
                tracing::warn!(%error, "an image is damaged");
                Some((Err(error), None))
            }
        }
    })
}

fn whole(status: StatusCode, media_type: &str, content: Bytes) -> Response<Body> {
    let length = content.len().to_string();
    let mut response = Response::new(Full::new(content).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    insert(&mut response, CONTENT_TYPE.as_str(), media_type);
    insert(&mut response, CONTENT_LENGTH.as_str(), &length);
    insert(&mut response, "docker-distribution-api-version", "registry/2.0");
    response
}

/// Adds a header, of which the name is ours and the value plain.
fn insert(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
}

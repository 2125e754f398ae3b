//! The registries that images are named after, for images that no archive has.
//!
//! Requests go out without credentials first. A registry that wants some gets those that the client sent, by the token
//! flow of the distribution specification or as they are; they go to that registry and to where it says that tokens are
//! given out, are kept in memory only as the tokens that they brought, and are in no log.

mod challenge;
mod connect;
mod token;

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, Stream};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE,
    WWW_AUTHENTICATE,
};
use http::uri::Scheme;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::time::timeout;

use crate::name::{ImageName, Reference};
use challenge::Challenge;
use connect::{Connector, is_loopback};
use token::{Tokens, ask_for_token};

/// How often a registry may send a request elsewhere.
const REDIRECTS_LIMIT: usize = 5;
/// How long a content may pause.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// What clients send that a registry has to know.
const PASSED_ON: [http::HeaderName; 2] = [ACCEPT, RANGE];
/// What a registry answers that clients have to know.
const PASSED_BACK: [http::HeaderName; 3] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_RANGE];
const DIGEST_HEADER: &str = "docker-content-digest";
/// Where docker.io has its images.
const DOCKER_HOST: &str = "registry-1.docker.io";

/// The content of an answer.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

/// What of an image is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What describes it.
    Manifest,
    /// A content of it.
    Blob,
}

/// Why a registry gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// There is no way to it.
    #[error("{host} cannot be reached: {source}")]
    Unreachable {
        /// The host.
        host: String,
        /// What went wrong.
        source: io::Error,
    },
    /// It wants other credentials, or some.
    #[error(
        "{registry} does not give {name} to everybody, nor to those whom the pod's imagePullSecrets name"
    )]
    Denied {
        /// The registry.
        registry: String,
        /// The image.
        name: Box<ImageName>,
    },
    /// It has nothing of that name.
    #[error("{registry} has none either")]
    NotFound {
        /// The registry.
        registry: String,
    },
    /// It answers something else.
    #[error("{registry} answers {status}")]
    Answer {
        /// The registry.
        registry: String,
        /// What it answers.
        status: StatusCode,
    },
    /// It sends somewhere where nobody may go, or in circles, or asks for something unknown.
    #[error("{registry} {why}")]
    Protocol {
        /// The registry.
        registry: String,
        /// What it does.
        why: &'static str,
    },
}

/// A name and a password, as clients send them: `Basic` and their base64. Not to be printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Credentials(HeaderValue);

impl Credentials {
    /// Those of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Credentials> {
        let value = headers.get(AUTHORIZATION)?;
        let encoded = value.to_str().ok()?.strip_prefix("Basic ")?;
        STANDARD.decode(encoded).ok()?;
        let mut value = value.clone();
        value.set_sensitive(true);
        Some(Credentials(value))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// The other registries.
#[derive(Debug, Default)]
pub struct Upstream {
    connector: Connector,
    tokens: Tokens,
}

impl Upstream {
    #[cfg(test)]
    pub(crate) fn trusting(
        roots: rustls::RootCertStore,
        pinned: Vec<(String, std::net::SocketAddr)>,
    ) -> Upstream {
        Upstream { connector: Connector::trusting(roots, pinned), tokens: Tokens::default() }
    }

    /// Asks the registry of an image for a part of it.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn fetch(
        &self,
        method: &Method,
        name: &ImageName,
        part: Part,
        asked: &HeaderMap,
    ) -> Result<Response<Body>, UpstreamError> {
        let credentials = Credentials::of(asked);
        let key = (name.registry.clone(), name.repository.clone(), credentials.clone());
        let known = self.tokens.get(&key);
        let answer = self.ask(method, name, part, asked, known).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return relayed(answer, name);
        }
        let wanted = answer.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let denied =
            || UpstreamError::Denied { registry: name.registry.clone(), name: Box::new(name.clone()) };
        let authorization = match wanted.and_then(Challenge::read).ok_or_else(denied)? {
            Challenge::Basic => credentials.ok_or_else(denied)?.0,
            Challenge::Bearer { realm, service, scope } => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", name.repository));
                let at = self.checked(&realm, name)?;
                let given =
                    ask_for_token(&self.connector, &at, service.as_deref(), &scope, credentials.as_ref());
                let token = given.await?.ok_or_else(denied)?;
                self.tokens.put(key, token)
            }
        };
        let answer = self.ask(method, name, part, asked, Some(authorization)).await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => Err(denied()),
            _ => relayed(answer, name),
        }
    }

    /// Sends the request, and after it where the registry says that the content is.
    async fn ask(
        &self,
        method: &Method,
        name: &ImageName,
        part: Part,
        asked: &HeaderMap,
        authorization: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let mut headers = HeaderMap::new();
        for header in PASSED_ON {
            headers.extend(asked.get_all(&header).iter().map(|value| (Some(header.clone()), value.clone())));
        }
        headers.extend(authorization.map(|value| (Some(AUTHORIZATION), value)));
        let mut uri = self.checked(&url(name, part), name)?;
        for _ in 0..=REDIRECTS_LIMIT {
            let answer = self.connector.send(method.clone(), &uri, headers.clone()).await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = match location {
                Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                    format!("{}://{}{path}", uri.scheme_str().unwrap_or("https"), authority(&uri))
                }
                Some(elsewhere) => elsewhere.to_owned(),
                None => String::new(),
            };
            let next = self.checked(&next, name)?;
            if authority(&next) != authority(&uri) {
                headers.remove(AUTHORIZATION);
            }
            uri = next;
        }
        Err(protocol(name, "sends requests elsewhere again and again"))
    }

    /// A place to which requests may go: with TLS, or on the loopback of this machine where the registry is.
    fn checked(&self, text: &str, name: &ImageName) -> Result<Uri, UpstreamError> {
        let uri: Uri = text.parse().map_err(|_| protocol(name, "names a place that is none"))?;
        let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
        let is_here = is_loopback(&name.registry) && is_loopback(authority(&uri));
        match uri.host().is_some() && (is_secure || is_here) {
            true => Ok(uri),
            false => Err(protocol(name, "sends requests where there is no TLS")),
        }
    }
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", |authority| authority.as_str())
}

fn protocol(name: &ImageName, why: &'static str) -> UpstreamError {
    UpstreamError::Protocol { registry: name.registry.clone(), why }
}

fn url(name: &ImageName, part: Part) -> String {
    let host = if name.registry == "docker.io" { DOCKER_HOST } else { &name.registry };
    let scheme = if is_loopback(host) { "http" } else { "https" };
    let kind = if part == Part::Manifest { "manifests" } else { "blobs" };
    let reference = match &name.reference {
        Reference::Tag(tag) => tag.clone(),
        Reference::Digest(digest) => digest.to_string(),
    };
    format!("{scheme}://{host}/v2/{}/{kind}/{reference}", name.repository)
}

/// What a client is told of an answer.
fn relayed(answer: Response<Incoming>, name: &ImageName) -> Result<Response<Body>, UpstreamError> {
    let (status, registry) = (answer.status(), name.registry.clone());
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {}
        StatusCode::NOT_FOUND => return Err(UpstreamError::NotFound { registry }),
        StatusCode::FORBIDDEN => {
            return Err(UpstreamError::Denied { registry, name: Box::new(name.clone()) });
        }
        status => return Err(UpstreamError::Answer { registry, status }),
    }
    let (head, body) = answer.into_parts();
    let mut response = Response::new(StreamBody::new(frames(body)).boxed_unsync());
    *response.status_mut() = status;
    for header in PASSED_BACK {
        response.headers_mut().extend(head.headers.get(&header).map(|value| (header, value.clone())));
    }
    if let Some(digest) = head.headers.get(DIGEST_HEADER) {
        response.headers_mut().insert(DIGEST_HEADER, digest.clone());
    }
    Ok(response)
}

/// A content piece by piece. One that pauses for too long ends before its end.
fn frames(body: Incoming) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match timeout(IDLE_LIMIT, body.frame()).await {
            Ok(None) => None,
            Ok(Some(Ok(frame))) => Some((Ok(frame), Some(body))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

//! Requests and watch streams as bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::ServiceExt;

use crate::clock::{Clock, SystemClock};
use crate::error::{ApiStatus, Error, chain};
use crate::fence::Fence;
use crate::hosts::Hosts;
use crate::lines::LineSplitter;
use crate::rate_limit::RateLimit;
use crate::transport::{AnswerBody, KubeletTrust, Transport, connect, connect_to_kubelets};

/// The content types of request bodies.
pub mod content_type {
    /// A whole object.
    pub const JSON: &str = "application/json";
    /// A JSON patch (RFC 6902).
    pub const JSON_PATCH: &str = "application/json-patch+json";
    /// A JSON merge patch (RFC 7386).
    pub const MERGE_PATCH: &str = "application/merge-patch+json";
    /// A strategic merge patch.
    pub const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";
    /// An applied configuration.
    pub const APPLY_PATCH: &str = "application/apply-patch+yaml";
}

/// What answers may be: whole objects, or their metadata where the server can take it out.
const OBJECTS: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// The longest line of a watch stream; etcd refuses objects above 1.5 MB, aggregated servers may have larger ones.
const WATCH_LINE_LIMIT_BYTES: usize = 64 << 20;
/// The longest answer to a request; pages of lists are far below it.
const ANSWER_LIMIT_BYTES: usize = 512 << 20;
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to one API server. Clones share the connections and the rate limit.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    /// What other connections are made from; `None` for a transport that was given.
    config: Option<Arc<kube::Config>>,
    default_namespace: Arc<str>,
    clock: Arc<dyn Clock>,
    fence: Option<Fence>,
    server_url: Arc<str>,
    user_agent: HeaderValue,
    accept: HeaderValue,
    rate_limit: Option<Arc<RateLimit>>,
    request_timeout: Duration,
    observer: Option<Arc<dyn Observer>>,
}

/// Is told of every request, for figures.
pub trait Observer: Send + Sync {
    /// A request ended: with the HTTP status code of the answer, or without an answer. Of a watch it is the opening.
    /// The host is the server's name or address with its port.
    fn request(&self, method: &Method, host: &str, code: Option<u16>, took: Duration);
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("server_url", &self.server_url).finish_non_exhaustive()
    }
}

/// Installs ring as the one TLS provider of this process; does nothing when a provider is there already.
/// Every constructor of [`Client`] calls it.
pub fn ensure_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing a race against another thread means that it is installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

impl Client {
    /// Connects as kubectl does: the given kubeconfig file, or else `$KUBECONFIG`, `~/.kube/config`, or the
    /// service account when running in a pod; the given context or else the current one.
    ///
    /// # Errors
    /// [`Error::Config`] when no usable configuration is found. Nothing is sent yet.
    pub async fn infer(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, Error> {
        ensure_crypto_provider();
        let options =
            KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let config = match (kubeconfig, context) {
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path).map_err(|e| Error::Config(chain(&e)))?;
                kube::Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|e| Error::Config(chain(&e)))?
            }
            (None, Some(_)) => {
                kube::Config::from_kubeconfig(&options).await.map_err(|e| Error::Config(chain(&e)))?
            }
            (None, None) => kube::Config::infer().await.map_err(|e| Error::Config(chain(&e)))?,
        };
        Client::from_config(config)
    }

    /// Connects with the kubeconfig in this file, to its current context.
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be read or does not describe a connection.
    pub async fn from_file(path: &Path) -> Result<Client, Error> {
        Client::infer(Some(path), None).await
    }

    /// Connects with a kubeconfig given as text, to its current context.
    ///
    /// # Errors
    /// [`Error::Config`] when the text does not describe a connection.
    pub async fn from_kubeconfig_text(text: &str) -> Result<Client, Error> {
        ensure_crypto_provider();
        let file = Kubeconfig::from_yaml(text).map_err(|e| Error::Config(chain(&e)))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|e| Error::Config(chain(&e)))?;
        Client::from_config(config)
    }

    fn from_config(config: kube::Config) -> Result<Client, Error> {
        let server_url = config.cluster_url.to_string();
        let transport = connect(&config, None)?;
        Ok(Client {
            default_namespace: config.default_namespace.as_str().into(),
            config: Some(Arc::new(config)),
            ..Client::over(transport, Arc::new(SystemClock), server_url.trim_end_matches('/'))
        })
    }

    /// A client whose requests go to `transport`, and that reads `clock`: for servers within the same process, and
    /// for tests that own the network and the time. A request of a [`fenced`](Self::fenced) client carries its
    /// [`Fence`] as an extension.
    pub fn over(transport: Transport, clock: Arc<dyn Clock>, server_url: &str) -> Client {
        Client {
            transport,
            config: None,
            default_namespace: "default".into(),
            clock,
            fence: None,
            server_url: server_url.into(),
            user_agent: HeaderValue::from_static(concat!("everynode/", env!("CARGO_PKG_VERSION"))),
            accept: HeaderValue::from_static(OBJECTS),
            rate_limit: None,
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            observer: None,
        }
    }

    /// The same connection under another user agent, by which servers tell clients apart. A text that is not
    /// a valid header value changes nothing.
    pub fn with_user_agent(mut self, user_agent: &str) -> Client {
        if let Ok(value) = HeaderValue::from_str(user_agent) {
            self.user_agent = value;
        }
        self
    }

    /// The same connection; of the objects in answers, watches included, the server sends nothing but the metadata, if
    /// it can.
    pub fn with_metadata_only(mut self) -> Client {
        self.accept = HeaderValue::from_static(METADATA);
        self
    }

    /// The same connection with its own limit of `qps` requests per second and `burst` at once. Watch streams
    /// count once, when they are opened.
    pub fn with_rate_limit(mut self, qps: f64, burst: u32) -> Client {
        self.rate_limit = Some(Arc::new(RateLimit::new(qps, burst)));
        self
    }

    /// The same connection; `observer` is told of every request.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Client {
        self.observer = Some(observer);
        self
    }

    /// A client of the same server with connections of its own, on which nothing is sent once the fence is shut.
    ///
    /// # Errors
    /// [`Error::Config`] when the credentials of the configuration cannot be used any more.
    pub fn fenced(&self, fence: Fence) -> Result<Client, Error> {
        let transport = match &self.config {
            Some(config) => connect(config, Some(fence.clone()))?,
            None => self.transport.clone(),
        };
        Ok(Client { transport, fence: Some(fence), ..self.clone() })
    }

    /// The cluster's kubelets, which are shown the credentials of this client.
    ///
    /// # Errors
    /// [`Error::Config`] when the credentials cannot be used any more, or for a transport that was given.
    pub fn kubelets(&self, trust: KubeletTrust) -> Result<Hosts, Error> {
        let given = || Error::Config("this client has no connections of its own".into());
        let config = self.config.as_ref().ok_or_else(given)?;
        Ok(Hosts::new(connect_to_kubelets(config, trust)?, self.user_agent.clone()))
    }

    /// The same connection with another limit on the time of a request (60 seconds unless set).
    pub fn with_request_timeout(mut self, timeout: Duration) -> Client {
        self.request_timeout = timeout;
        self
    }

    /// The clocks that everything about this server goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The address of the server, as the configuration gives it.
    pub fn server_url(&self) -> &str {
        &self.server_url
    }

    /// The namespace of the configuration's context, or `default`.
    pub fn default_namespace(&self) -> &str {
        &self.default_namespace
    }

    /// The certificates by which the server is known, in DER: those of the authority that the configuration names.
    pub fn authorities(&self) -> Vec<Vec<u8>> {
        self.config.as_ref().and_then(|config| config.root_cert.clone()).unwrap_or_default()
    }

    /// Sends one request and returns the body of the answer. `content_type` may be empty when `body` is.
    ///
    /// # Errors
    /// [`Error::Api`] for a refusal; [`Error::Transport`] and [`Error::TimedOut`] when there is no answer, in
    /// which case the request may or may not have been carried out.
    pub async fn request(
        &self,
        method: Method,
        path_and_query: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let request = self.build(method, path_and_query, content_type, body)?;
        let answer = async {
            let response = self.send(request).await?;
            answer(response).await
        };
        if let Some(limit) = &self.rate_limit {
            limit.wait().await;
        }
        match tokio::time::timeout(self.request_timeout, answer).await {
            Ok(result) => result,
            Err(_) => Err(Error::TimedOut(self.request_timeout)),
        }
    }

    /// Reads an object or a list.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn get(&self, path_and_query: &str) -> Result<Bytes, Error> {
        self.request(Method::GET, path_and_query, "", Bytes::new()).await
    }

    /// Creates an object, or calls a subresource such as `binding`, with a JSON body.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn post(&self, path_and_query: &str, body: impl Into<Bytes>) -> Result<Bytes, Error> {
        self.request(Method::POST, path_and_query, content_type::JSON, body.into()).await
    }

    /// Replaces an object with a JSON body.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn put(&self, path_and_query: &str, body: impl Into<Bytes>) -> Result<Bytes, Error> {
        self.request(Method::PUT, path_and_query, content_type::JSON, body.into()).await
    }

    /// Patches an object; see [`content_type`] for the kinds of patch.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn patch(
        &self,
        path_and_query: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, Error> {
        self.request(Method::PATCH, path_and_query, content_type, body.into()).await
    }

    /// Deletes an object. The body is a JSON `DeleteOptions`, or empty.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn delete(&self, path_and_query: &str, body: impl Into<Bytes>) -> Result<Bytes, Error> {
        self.request(Method::DELETE, path_and_query, content_type::JSON, body.into()).await
    }

    /// Opens a watch and returns its lines, one JSON document each, as they arrive. The path carries the
    /// query (`watch=1&...`). The stream ends when the server closes it; an error is its last item.
    ///
    /// # Errors
    /// As [`request`](Self::request), for the opening of the stream.
    pub async fn watch(
        &self,
        path_and_query: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let request = self.build(Method::GET, path_and_query, "", Bytes::new())?;
        if let Some(limit) = &self.rate_limit {
            limit.wait().await;
        }
        let response = match tokio::time::timeout(self.request_timeout, self.send(request)).await {
            Ok(response) => response?,
            Err(_) => return Err(Error::TimedOut(self.request_timeout)),
        };
        if !response.status().is_success() {
            return match tokio::time::timeout(self.request_timeout, answer(response)).await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => Err(Error::TimedOut(self.request_timeout)),
            };
        }
        let state = Some((response.into_body(), LineSplitter::new(WATCH_LINE_LIMIT_BYTES)));
        Ok(futures::stream::unfold(state, |state| async move {
            let (mut body, mut lines) = state?;
            match next_line(&mut body, &mut lines).await {
                Ok(Some(line)) => Some((Ok(line), Some((body, lines)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<AnswerBody>, Error> {
        if let Some(fence) = &self.fence {
            if !fence.is_open() {
                return Err(Error::Fenced);
            }
            // A transport that was given asks it again, where it sends.
            request.extensions_mut().insert(fence.clone());
        }
        let (began, method) = (tokio::time::Instant::now(), request.method().clone());
        let answer = self.transport.clone().oneshot(request).await;
        if let Some(observer) = &self.observer {
            let code = answer.as_ref().ok().map(|response| response.status().as_u16());
            observer.request(&method, self.host(), code, began.elapsed());
        }
        answer
    }

    fn host(&self) -> &str {
        self.server_url
            .split_once("://")
            .map_or(&*self.server_url, |(_, host)| host.split('/').next().unwrap_or(host))
    }

    fn build(
        &self,
        method: Method,
        path_and_query: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path_and_query)
            .header(ACCEPT, self.accept.clone())
            .header(USER_AGENT, self.user_agent.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request
            .body(Full::new(body))
            .map_err(|e| Error::Config(format!("request to {path_and_query:?}: {e}")))
    }
}

/// The body of an answer, or the refusal that it is.
async fn answer(response: Response<AnswerBody>) -> Result<Bytes, Error> {
    let (status, retry_after) = (response.status(), retry_after_seconds(&response));
    let body = read_body(response).await?;
    match status.is_success() {
        true => Ok(body),
        false => Err(Error::Api(Box::new(ApiStatus::from_body(status.as_u16(), retry_after, &body)))),
    }
}

async fn read_body(response: Response<AnswerBody>) -> Result<Bytes, Error> {
    match Limited::new(response.into_body(), ANSWER_LIMIT_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(too_long) => Error::Decode(too_long.to_string()),
        }),
    }
}

/// The next line of a watch; `None` when the server has closed the stream. What is left of a line that the
/// server did not finish is dropped: the event comes again when the watch is resumed.
async fn next_line(body: &mut AnswerBody, lines: &mut LineSplitter) -> Result<Option<Bytes>, Error> {
    loop {
        match lines.next_line() {
            Ok(Some(line)) => return Ok(Some(line)),
            Ok(None) => {}
            Err(too_long) => return Err(Error::Decode(too_long.to_string())),
        }
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    lines.push(data);
                }
            }
            Some(Err(error)) => return Err(error),
        }
    }
}

fn retry_after_seconds(response: &Response<AnswerBody>) -> Option<u32> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

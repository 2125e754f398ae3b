//! Bad weather: an HTTP proxy between a client and an API server, which does to requests and watches what a test says.
//!
//! Its tests run in real time: tokio would move a paused clock on while an answer is on a socket, or made by a thread of
//! the server, and time out what is not late. In virtual time the simulation has the same faults without either.
#![allow(clippy::expect_used, reason = "a test may panic anywhere, its helpers too")]

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{Client, Error, Method};
use futures::stream::{BoxStream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// A request on its way.
#[derive(Debug)]
pub struct Call {
    /// Verb and resource as an audit log has them, such as `create pods` or `update daemonsets/status`; patches of
    /// owners are told apart as `adopt` and `release`.
    pub what: String,
    /// The path with its query.
    pub path: String,
    /// What it carries.
    pub body: Bytes,
}

impl Call {
    fn new(method: &Method, path: &str, body: Bytes) -> Call {
        let plain = path.split('?').next().unwrap_or_default();
        let mut parts = plain.trim_matches('/').split('/').peekable();
        let skipped = if parts.next() == Some("apis") { 2 } else { 1 };
        let parts: Vec<&str> = parts.skip(skipped).collect();
        let (resource, name, subresource) = match parts[..] {
            ["namespaces", _, resource, ref rest @ ..] | [resource, ref rest @ ..] => {
                (resource, !rest.is_empty(), rest.get(1))
            }
            [] => ("", false, None),
        };
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => match String::from_utf8_lossy(&body) {
                body if body.contains("$patch") => "release",
                body if body.contains("ownerReferences") => "adopt",
                _ => "patch",
            },
            Method::DELETE => "delete",
            _ if path.contains("watch=1") => "watch",
            _ if name => "get",
            _ => "list",
        };
        let subresource = subresource.map(|name| format!("/{name}")).unwrap_or_default();
        Call { what: format!("{verb} {resource}{subresource}"), path: path.to_owned(), body }
    }

    /// It changes something that matters: events do not.
    fn is_write(&self) -> bool {
        !["get", "list", "watch"].iter().any(|verb| self.what.starts_with(verb)) && !self.is_event()
    }

    fn is_event(&self) -> bool {
        self.what.ends_with(" events")
    }
}

/// What is answered in the server's place.
#[derive(Clone, Debug)]
pub struct Answer {
    code: u16,
    retry_after_seconds: Option<u32>,
    body: String,
}

impl Answer {
    /// A refusal as API servers word it.
    pub fn status(code: u16, reason: &str, message: &str) -> Answer {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": reason, "message": message, "code": code,
        });
        Answer { code, retry_after_seconds: None, body: body.to_string() }
    }

    /// A page of something between client and server.
    pub fn html(code: u16) -> Answer {
        let body = format!("<html><head><title>{code}</title></head><body>nginx</body></html>");
        Answer { code, retry_after_seconds: None, body }
    }

    /// The same, and when to try again.
    pub fn retry_after(self, seconds: u32) -> Answer {
        Answer { retry_after_seconds: Some(seconds), ..self }
    }
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is not carried out.
    Refused(Answer),
    /// It is carried out, and this is answered nevertheless.
    Done(Answer),
    /// This is answered, and it is carried out some time later.
    Late(Answer, Duration),
    /// The connection ends; it is not carried out.
    Dropped,
    /// It is carried out, and the connection breaks in the middle of the answer.
    Cut,
    /// It is carried out, and no answer comes for a very long time.
    Silent,
    /// The answer comes later.
    Slow(Duration),
}

/// What happens to an event of a watch.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// Nothing.
    Passes,
    /// It comes later, and all that follow in this watch too.
    Late(Duration),
    /// It comes twice.
    Twice,
    /// The connection breaks in the middle of it.
    Cut,
    /// The watch ends before it.
    Ends,
    /// The watch says that its version is too old.
    Expires,
    /// Nothing comes any more, and the connection stays open.
    Stalls,
}

type OnCall = Box<dyn FnMut(&Call) -> Option<Fault> + Send>;
type OnLine = Box<dyn FnMut(&str) -> Line + Send>;

struct State {
    client: Client,
    on_call: Mutex<OnCall>,
    on_line: Mutex<OnLine>,
    seen: Mutex<Seen>,
    /// How many requests came.
    requests: watch::Sender<usize>,
    /// Writes that were answered and are not carried out yet.
    late: AtomicUsize,
}

struct Seen {
    calls: BTreeMap<String, usize>,
    last_write: Instant,
}

/// The proxy. It ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    is_up: watch::Sender<bool>,
    server: JoinHandle<()>,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

impl Proxy {
    /// A proxy before the server of this client; the weather is fine.
    pub async fn start(client: Client) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let state = Arc::new(State {
            client,
            on_call: Mutex::new(Box::new(|_| None)),
            on_line: Mutex::new(Box::new(|_| Line::Passes)),
            seen: Mutex::new(Seen { calls: BTreeMap::new(), last_write: Instant::now() }),
            requests: watch::Sender::new(0),
            late: AtomicUsize::new(0),
        });
        let (is_up, up) = watch::channel(true);
        let server = tokio::spawn(serve(listener, address, state.clone(), up));
        Proxy { address, state, is_up, server }
    }

    /// A client that goes through the proxy.
    pub async fn client(&self) -> Client {
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
            self.address
        );
        Client::from_kubeconfig_text(&kubeconfig).await.expect("the kubeconfig is good")
    }

    /// What happens to requests from now on.
    pub fn on_call(&self, weather: impl FnMut(&Call) -> Option<Fault> + Send + 'static) {
        *lock(&self.state.on_call) = Box::new(weather);
    }

    /// What happens to events of watches from now on; it is told the resource.
    pub fn on_line(&self, weather: impl FnMut(&str) -> Line + Send + 'static) {
        *lock(&self.state.on_line) = Box::new(weather);
    }

    /// The weather becomes fine.
    pub fn clear(&self) {
        self.on_call(|_| None);
        self.on_line(|_| Line::Passes);
        self.set_up(true);
    }

    /// Refuses all connections and breaks those that are open, or accepts them again.
    pub fn set_up(&self, up: bool) {
        self.is_up.send_replace(up);
    }

    /// How many requests of a kind there were, such as `create pods`.
    pub fn calls(&self, what: &str) -> usize {
        lock(&self.state.seen).calls.get(what).copied().unwrap_or(0)
    }

    /// All requests by kind.
    pub fn all_calls(&self) -> BTreeMap<String, usize> {
        lock(&self.state.seen).calls.clone()
    }

    /// Waits until so many more requests came, or for as long as that.
    pub async fn more_calls(&self, count: usize, limit: Duration) {
        let mut requests = self.state.requests.subscribe();
        let goal = *requests.borrow() + count;
        // There may be nothing to ask for.
        let _ = tokio::time::timeout(limit, requests.wait_for(|requests| *requests >= goal)).await;
    }

    /// How many writes were answered and are not carried out yet.
    pub fn late_writes(&self) -> usize {
        self.state.late.load(Ordering::SeqCst)
    }

    /// How long nothing was written but events.
    pub fn quiet_for(&self) -> Duration {
        lock(&self.state.seen).last_write.elapsed()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Accepts while it is up. While it is down nobody listens, so that connections are refused.
async fn serve(listener: TcpListener, address: SocketAddr, state: Arc<State>, mut up: watch::Receiver<bool>) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        if !*up.borrow_and_update() {
            listener = None;
            connections.abort_all();
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = up.changed() => if changed.is_err() { return },
            accepted = accepted => {
                let Ok((connection, _)) = accepted else { continue };
                let state = state.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| handle(state.clone(), request));
                    // It breaks when that is the weather.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(connection), service)
                        .await;
                });
            }
        }
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Handled = Result<Response<Body>, io::Error>;

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Handled {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let content_type = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let call = Call::new(&parts.method, &path, body);
    {
        let mut seen = lock(&state.seen);
        *seen.calls.entry(call.what.clone()).or_default() += 1;
        if call.is_write() {
            seen.last_write = Instant::now();
        }
    }
    state.requests.send_modify(|requests| *requests += 1);
    let fault = (lock(&state.on_call))(&call);
    if call.what.starts_with("watch") && !matches!(fault, Some(Fault::Refused(_) | Fault::Dropped)) {
        return Ok(watched(state, call).await);
    }
    let client = state.client.clone();
    let forward = async move { forward(&client, parts.method, &call.path, &content_type, call.body).await };
    match fault {
        None => Ok(whole(forward.await)),
        Some(Fault::Refused(answer)) => Ok(whole(answer)),
        Some(Fault::Dropped) => Err(io::Error::other("dropped")),
        Some(Fault::Done(answer)) => {
            forward.await;
            Ok(whole(answer))
        }
        Some(Fault::Late(answer, delay)) => {
            state.late.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                forward.await;
                state.late.fetch_sub(1, Ordering::SeqCst);
            });
            Ok(whole(answer))
        }
        Some(Fault::Cut) => Ok(cut(forward.await)),
        Some(Fault::Silent) => {
            forward.await;
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Err(io::Error::other("silent"))
        }
        Some(Fault::Slow(delay)) => {
            let answer = forward.await;
            tokio::time::sleep(delay).await;
            Ok(whole(answer))
        }
    }
}

async fn forward(client: &Client, method: Method, path: &str, content_type: &str, body: Bytes) -> Answer {
    match client.request(method, path, content_type, body).await {
        Ok(body) => {
            let body = String::from_utf8(body.to_vec()).expect("the server answers with text");
            Answer { code: 200, retry_after_seconds: None, body }
        }
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &Error) -> Answer {
    let Some(status) = error.status() else { return Answer::html(502) };
    let causes: Vec<_> = status
        .causes
        .iter()
        .map(|cause| json!({"field": cause.field, "reason": cause.reason, "message": cause.message}))
        .collect();
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.code,
        "reason": status.reason, "message": status.message, "details": {"causes": causes},
    });
    Answer { code: status.code, retry_after_seconds: status.retry_after_seconds, body: body.to_string() }
}

fn head(answer: &Answer) -> hyper::http::response::Builder {
    let mut response = Response::builder().status(answer.code);
    if let Some(seconds) = answer.retry_after_seconds {
        response = response.header("retry-after", seconds);
    }
    response
}

fn whole(answer: Answer) -> Response<Body> {
    let head = head(&answer);
    head.body(Full::new(answer.body.into()).map_err(|never: Infallible| match never {}).boxed_unsync())
        .expect("the head is good")
}

/// Half of an answer, and then the connection breaks.
fn cut(answer: Answer) -> Response<Body> {
    let head = head(&answer).header("content-length", answer.body.len());
    let half = Bytes::from(answer.body).slice(..);
    let half = half.slice(..half.len() / 2);
    let frames = futures::stream::iter([Ok(Frame::data(half)), Err(io::Error::other("cut"))]);
    head.body(StreamBody::new(frames).boxed_unsync()).expect("the head is good")
}

async fn watched(state: Arc<State>, call: Call) -> Response<Body> {
    match state.client.watch(&call.path).await {
        Err(error) => whole(refusal(&error)),
        Ok(lines) => {
            let resource = call.what.split(' ').nth(1).unwrap_or_default().to_owned();
            let stream = Stream { state, resource, lines: lines.boxed(), stalls: false, next: None };
            let frames = futures::stream::unfold(Some(stream), |stream| async {
                let mut stream = stream?;
                match stream.next().await {
                    Some(Ok(line)) => Some((Ok(Frame::data(line)), Some(stream))),
                    Some(Err(error)) => Some((Err(error), None)),
                    None => None,
                }
            });
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
    }
}

/// A watch on its way to the client.
struct Stream {
    state: Arc<State>,
    resource: String,
    lines: BoxStream<'static, Result<Bytes, Error>>,
    stalls: bool,
    /// What is sent before the next line is read: a second time, or the break after a half.
    next: Option<io::Result<Bytes>>,
}

impl Stream {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        let mut line = match self.lines.next().await? {
            Ok(line) => line.to_vec(),
            Err(error) => return Some(Err(io::Error::other(error))),
        };
        line.push(b'\n');
        let line = Bytes::from(line);
        let weather = (lock(&self.state.on_line))(&self.resource);
        match weather {
            Line::Passes => {}
            Line::Late(delay) => tokio::time::sleep(delay).await,
            Line::Twice => self.next = Some(Ok(line.clone())),
            Line::Cut => {
                self.next = Some(Err(io::Error::other("cut")));
                return Some(Ok(line.slice(..line.len() / 2)));
            }
            Line::Ends => return None,
            Line::Expires => {
                let status = Answer::status(410, "Expired", "too old resource version");
                let error = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status.body);
                return Some(Ok(error.into()));
            }
            Line::Stalls => self.stalls = true,
        }
        if self.stalls {
            std::future::pending::<()>().await;
        }
        Some(Ok(line))
    }
}

/// A weather that does this once to each kind of request that is named.
pub fn once_each(kinds: &[&str], fault: Fault) -> impl FnMut(&Call) -> Option<Fault> + Send + use<> {
    let mut left: HashSet<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    move |call| left.remove(&call.what).then(|| fault.clone())
}

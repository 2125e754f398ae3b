//! Requests that are passed on to the kubelet of a node: logs, exec, attach, port-forward, and what is below
//! `nodes/proxy`. An upgrade is passed on as it is, and after it every byte.

use std::time::Duration;

use bytes::Bytes;
use everynode_apimachinery::status::{FieldError, Reason, Status};
use everynode_model::Value;
use everynode_model::access::Read as _;
use form_urlencoded::Serializer;
use futures::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Call;
use crate::http::body::{self, Body};
use crate::http::query::Query;
use crate::http::target::Target;
use crate::kubelet::Endpoint;
use crate::state::State;
use crate::{tokens, view};

/// How long a tunnel may be open.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);

/// How long a stream may be silent; a log that is followed may be so for hours.
const LONGEST_SILENCE: Duration = Duration::from_secs(4 * 3_600);

/// Bytes of a kubelet's refusal that are passed on.
const REFUSAL_BYTES: usize = 16 << 10;

/// Headers of a request that a kubelet gets. Who asks is none of them: it knows the server by its certificate.
const PASSED: &[&str] = &[
    "accept",
    "accept-encoding",
    "content-type",
    "origin",
    "range",
    "user-agent",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "x-stream-protocol-version",
];

/// Headers that are about one connection only (RFC 9110, section 7.6.1), and not passed back.
const HOP_BY_HOP: &[&str] = &["connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"];

/// What is asked of a kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The log of a container.
    Log,
    /// A command in a container.
    Exec,
    /// The main process of a container.
    Attach,
    /// Ports of a pod.
    PortForward,
    /// Anything below the path of a node.
    Node,
}

impl Way {
    /// What a path asks of a kubelet, if it does.
    pub fn of(target: &Target) -> Option<Way> {
        match (&*target.resource.group, &*target.resource.plural, target.subresource.as_deref()?) {
            ("", "pods", "log") => Some(Way::Log),
            ("", "pods", "exec") => Some(Way::Exec),
            ("", "pods", "attach") => Some(Way::Attach),
            ("", "pods", "portforward") => Some(Way::PortForward),
            ("", "nodes", "proxy") => Some(Way::Node),
            _ => None,
        }
    }
}

/// What of a request is passed on.
#[derive(Debug)]
pub struct Passed {
    /// The method.
    pub method: Method,
    /// The path as it was sent.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The connection behind the request, where it is to become another one.
    pub upgrade: Option<OnUpgrade>,
    /// The body.
    pub body: Bytes,
}

/// Passes a request on, and the answer back.
pub async fn connect(call: &Call<'_>, way: Way, passed: Passed) -> Result<Response<Body>, Status> {
    let object = view::decode(&call.resource, call.find()?.bytes());
    let (endpoint, method, uri) = match way {
        Way::Node => {
            let endpoint = Endpoint::of(&object).ok_or_else(|| not_served(call, "proxy"))?;
            (endpoint, passed.method.clone(), below_proxy(&passed))
        }
        Way::Log => {
            let container = container(&object, call.query.get("container"), &call.name)?;
            let query = log_query(&call.query, &call.name)?;
            match object.text("spec.nodeName") {
                "" => return Ok(body::text(200, "")),
                node => match kubelet_of(call.state, node)? {
                    Some(endpoint) => {
                        let path = format!("/containerLogs/{}/{}/{container}", call.namespace, call.name);
                        (endpoint, Method::GET, with_query(&path, &query))
                    }
                    None => {
                        return Ok(body::text(
                            200,
                            "(the node of this pod serves no logs: it is simulated, or its agent has no kubelet endpoint)\n",
                        ));
                    }
                },
            }
        }
        Way::Exec | Way::Attach | Way::PortForward => {
            let uri = stream_uri(call, way, &object)?;
            let node = object.text("spec.nodeName");
            if node.is_empty() {
                let why = format!("pod {} does not have a host assigned", call.name);
                return Err(Status::bad_request(why));
            }
            let name = if way == Way::Exec {
                "exec"
            } else if way == Way::Attach {
                "attach"
            } else {
                "portforward"
            };
            let endpoint = kubelet_of(call.state, node)?.ok_or_else(|| not_served(call, name))?;
            if passed.upgrade.is_none() {
                return Err(Status::bad_request("Upgrade request required"));
            }
            (endpoint, passed.method.clone(), uri)
        }
    };
    let place = call.state.kubelets.place()?;
    let request = request(&endpoint, method, &uri, &passed)?;
    let answer = call.state.kubelets.send(&endpoint, request).await?;
    match passed.upgrade {
        Some(upgrade) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Ok(switch(answer, upgrade, place, call.state.stop.clone()))
        }
        // kubectl takes a sentence with a colon for an object without a message.
        _ if way != Way::Node && !answer.status().is_success() => Err(refusal(answer).await),
        _ => Ok(pass_back(answer, place, call.state.stop.clone())),
    }
}

/// Nodes without a kubelet run nothing that could be asked.
fn not_served(call: &Call<'_>, name: &str) -> Status {
    let why = format!(
        "{}/{name} is not served: the node is simulated, or its agent has no kubelet endpoint",
        &call.resource.plural
    );
    Status::new(Reason::Other(501), why)
}

/// Where the kubelet of a node is; none for nodes that are simulated.
fn kubelet_of(state: &State, node: &str) -> Result<Option<Endpoint>, Status> {
    let found = tokens::find(state, tokens::Kind::Node, "", node);
    let found = found.ok_or_else(|| Status::not_found("", "nodes", node))?;
    Ok(Endpoint::of(&found))
}

/// The container that is meant: the only one, unless it is named.
fn container(pod: &Value, named: Option<&str>, pod_name: &str) -> Result<String, Status> {
    let names = |list: &str| -> Vec<&str> { pod.items(list).iter().map(|one| one.text("name")).collect() };
    let (containers, initial) = (names("spec.containers"), names("spec.initContainers"));
    let temporary = names("spec.ephemeralContainers");
    if let Some(named) = named {
        let mut all = containers.iter().chain(&initial).chain(&temporary);
        let is_there = all.any(|one| *one == named);
        let why = || Status::bad_request(format!("container {named} is not valid for pod {pod_name}"));
        return is_there.then(|| named.to_owned()).ok_or_else(why);
    }
    match containers.as_slice() {
        [one] => Ok((*one).to_owned()),
        several => {
            let mut why = format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                several.join(" ")
            );
            if !initial.is_empty() {
                why.push_str(&format!(" or one of the init containers: [{}]", initial.join(" ")));
            }
            Err(Status::bad_request(why))
        }
    }
}

/// What a log request says, for the kubelet.
fn log_query(query: &Query, pod: &str) -> Result<String, Status> {
    let mut out = Serializer::new(String::new());
    let mut errors = Vec::new();
    for (name, least) in [("sinceSeconds", 1), ("tailLines", 0), ("limitBytes", 1)] {
        match query.integer(name)? {
            Some(number) if number < least => {
                let bound = if least == 0 { "greater than or equal to 0" } else { "greater than 0" };
                errors.push(FieldError::invalid(name, number, &format!("must be {bound}")));
            }
            Some(number) => drop(out.append_pair(name, &number.to_string())),
            None => {}
        }
    }
    if query.get("sinceSeconds").is_some() && query.get("sinceTime").is_some() {
        errors
            .push(FieldError::forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if !errors.is_empty() {
        return Err(Status::invalid("", "PodLogOptions", pod, &errors));
    }
    for name in ["follow", "previous", "timestamps"] {
        if query.truth(name) {
            out.append_pair(name, "true");
        }
    }
    for name in ["sinceTime", "stream"] {
        if let Some(text) = query.get(name) {
            out.append_pair(name, text);
        }
    }
    Ok(out.finish())
}

/// Where a kubelet serves a stream, and what it is told of it.
fn stream_uri(call: &Call<'_>, way: Way, pod: &Value) -> Result<String, Status> {
    let (namespace, name) = (&call.namespace, &call.name);
    let mut query = Serializer::new(String::new());
    if way == Way::PortForward {
        for ports in call.query.all("ports") {
            query.append_pair("port", ports);
        }
        return Ok(with_query(&format!("/portForward/{namespace}/{name}"), &query.finish()));
    }
    let container = container(pod, call.query.get("container"), name)?;
    for (given, told) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if call.query.truth(given) {
            query.append_pair(told, "1");
        }
    }
    let verb = if way == Way::Exec { "exec" } else { "attach" };
    if way == Way::Exec {
        for word in call.query.all("command") {
            query.append_pair("command", word);
        }
    }
    Ok(with_query(&format!("/{verb}/{namespace}/{name}/{container}"), &query.finish()))
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// What stands behind `/api/v1/nodes/NAME/proxy`, as it was sent.
fn below_proxy(passed: &Passed) -> String {
    let behind = passed.path.trim_start_matches('/').splitn(6, '/').nth(5).unwrap_or_default();
    with_query(&format!("/{behind}"), &passed.query)
}

fn request(
    endpoint: &Endpoint,
    method: Method,
    uri: &str,
    passed: &Passed,
) -> Result<Request<Full<Bytes>>, Status> {
    let mut request = Request::new(Full::new(passed.body.clone()));
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().map_err(|error| Status::bad_request(format!("{uri}: {error}")))?;
    let headers = request.headers_mut();
    for name in PASSED {
        for value in passed.headers.get_all(*name) {
            headers.append(*name, value.clone());
        }
    }
    if let Ok(host) = endpoint.address.to_string().parse() {
        headers.insert(header::HOST, host);
    }
    if passed.upgrade.is_some()
        && let Some(protocol) = passed.headers.get(header::UPGRADE)
    {
        headers.insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    Ok(request)
}

/// What a kubelet refuses, as a refusal of the API.
async fn refusal(answer: Response<Incoming>) -> Status {
    let reason = Reason::from_code(answer.status().as_u16());
    let text = Limited::new(answer.into_body(), REFUSAL_BYTES).collect().await;
    let text = text.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Status::new(reason, String::from_utf8_lossy(&text).trim().to_owned())
}

/// Answers as the kubelet did, and sends on what it sends.
fn pass_back(
    answer: Response<Incoming>,
    place: OwnedSemaphorePermit,
    stop: watch::Receiver<bool>,
) -> Response<Body> {
    let (mut parts, incoming) = answer.into_parts();
    for name in HOP_BY_HOP {
        parts.headers.remove(*name);
    }
    parts.version = http::Version::default();
    parts.extensions = http::Extensions::new();
    let frames = stream::unfold((incoming, stop, place), |(mut incoming, mut stop, place)| async move {
        let frame = tokio::select! {
            frame = tokio::time::timeout(LONGEST_SILENCE, incoming.frame()) => frame.ok()??,
            _ = stop.wait_for(|stopped| *stopped) => return None,
        };
        Some((frame.map_err(body::BodyError::from), (incoming, stop, place)))
    });
    Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
}

/// Answers 101 as the kubelet did, and joins the two connections.
fn switch(
    mut answer: Response<Incoming>,
    client: OnUpgrade,
    place: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
) -> Response<Body> {
    let kubelet = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        let _place = place;
        let joined = async {
            let (client, kubelet) = tokio::try_join!(client, kubelet)?;
            let (mut client, mut kubelet) = (TokioIo::new(client), TokioIo::new(kubelet));
            tokio::io::copy_bidirectional(&mut client, &mut kubelet).await?;
            Ok::<_, body::BodyError>(())
        };
        tokio::select! {
            ended = tokio::time::timeout(LONGEST_LIFE, joined) => {
                if let Ok(Err(error)) = ended {
                    tracing::debug!(%error, "a tunnel to a kubelet ended badly");
                }
            }
            _ = stop.wait_for(|stopped| *stopped) => {}
        }
    });
    let (mut parts, _) = answer.into_parts();
    parts.extensions = http::Extensions::new();
    Response::from_parts(parts, body::full(Bytes::new()))
}

//! Commands in containers, their main processes, and ports of pods. The runtime serves these by a server of its own on
//! loopback: a request for one is passed on to it as it is, and after the upgrade every byte. What the runtime refuses
//! is refused in its words: on any answer but 101 to a WebSocket kubectl tries SPDY, which every runtime speaks.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use everynode_cri::messages::{AttachRequest, ExecRequest, PortForwardRequest};
use everynode_cri::{CriError, ErrorKind};
use http::uri::{Scheme, Uri};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::{Body, BodyError, Refusal, full};
use super::query::Query;
use super::route::{StreamKind, Target};
use super::state::{Connection, Kubelet};
use crate::bound::BoundPod;

/// How long the runtime may take to prepare a stream, and to begin it.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a stream may be open.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);
/// Bytes of a refusal that are passed on.
const REFUSAL_LIMIT_BYTES: usize = 16 << 10;

/// Headers that the runtime gets. Who asks is none of them: it asks nobody.
const PASSED: &[&str] = &[
    "origin",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "user-agent",
    "x-stream-protocol-version",
];

/// Begins a stream with the runtime, and joins the client's connection to it.
///
/// # Errors
/// 404: the pod or container is not here. 400: nothing is to be streamed, or no upgrade is asked for. Otherwise as the
/// runtime says.
pub async fn stream(
    kubelet: &Kubelet,
    connection: &Connection,
    kind: StreamKind,
    target: &Target,
    query: &Query,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let protocol = request.headers().get(header::UPGRADE).cloned();
    let protocol = protocol.ok_or_else(|| Refusal::bad_request("Upgrade request required"))?;
    let url = match kind {
        StreamKind::Exec | StreamKind::Attach => container_url(kubelet, kind, target, query).await?,
        StreamKind::PortForward => ports_url(kubelet, target, query).await?,
    };
    let passed = passed(&request, &url, protocol)?;
    let client = hyper::upgrade::on(&mut request);
    let answer = timeout(DEADLINE, send(kubelet, &url, passed)).await;
    let late =
        || Refusal::internal(format!("the container runtime did not begin the stream within {DEADLINE:?}"));
    let answer = answer.map_err(|_| late())??;
    match answer.status() {
        StatusCode::SWITCHING_PROTOCOLS => Ok(switch(kubelet, connection, answer, client)),
        _ => Ok(refused(answer).await),
    }
}

/// What the runtime refuses, in its words.
fn said(error: CriError) -> Refusal {
    let code = match error.kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(code, error.to_string())
}

fn bound(kubelet: &Kubelet, target: &Target) -> Result<BoundPod, Refusal> {
    let bound = kubelet.context.bound.find(&target.namespace, &target.pod);
    let bound = bound.ok_or_else(|| Refusal::not_found("pod does not exist"))?;
    match &target.uid {
        Some(uid) if *uid != bound.pod.metadata.uid => Err(Refusal::not_found("pod not found")),
        _ => Ok(bound),
    }
}

/// Where the runtime serves a command in a container, or the container itself.
async fn container_url(
    kubelet: &Kubelet,
    kind: StreamKind,
    target: &Target,
    query: &Query,
) -> Result<Uri, Refusal> {
    let says = |key: &str| query.get(key) == Some("1");
    let (stdin, stdout, tty) = (says("input"), says("output"), says("tty"));
    // A terminal has one output.
    let stderr = says("error") && !tty;
    if !(stdin || stdout || stderr) {
        return Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let context = &kubelet.context;
    let uid = &bound(kubelet, target)?.pod.metadata.uid;
    let listing = context.lister.list(Some(uid)).await.map_err(said)?;
    let newest = listing.pods.get(uid).and_then(|view| view.of(&target.container).next());
    let none = || Refusal::not_found(format!("container not found ({:?})", target.container));
    let container_id = newest.ok_or_else(none)?.id.clone();
    let url = match kind {
        StreamKind::Exec => {
            let cmd = query.all("command").map(str::to_owned).collect();
            let request = ExecRequest { container_id, cmd, tty, stdin, stdout, stderr };
            context.runtime.call(request, DEADLINE).await.map_err(said)?.url
        }
        _ => {
            let request = AttachRequest { container_id, stdin, tty, stdout, stderr };
            context.runtime.call(request, DEADLINE).await.map_err(said)?.url
        }
    };
    checked(kubelet, &url)
}

/// Where the runtime serves the ports of a pod.
async fn ports_url(kubelet: &Kubelet, target: &Target, query: &Query) -> Result<Uri, Refusal> {
    let context = &kubelet.context;
    let uid = &bound(kubelet, target)?.pod.metadata.uid;
    let ports = query.all("port").flat_map(|ports| ports.split(','));
    let read = |port: &str| match port.parse::<u16>() {
        Ok(number) if number > 0 => Ok(i32::from(number)),
        _ => Err(Refusal::bad_request(format!("{port:?} is no port"))),
    };
    let port = ports.map(read).collect::<Result<_, _>>()?;
    let listing = context.lister.list(Some(uid)).await.map_err(said)?;
    let sandbox = listing.pods.get(uid).and_then(|view| view.sandbox());
    let none = || Refusal::not_found(format!("pod {:?} has no sandbox that is ready", target.pod));
    let pod_sandbox_id = sandbox.ok_or_else(none)?.id.clone();
    let request = PortForwardRequest { pod_sandbox_id, port };
    let url = context.runtime.call(request, DEADLINE).await.map_err(said)?.url;
    checked(kubelet, &url)
}

/// A URL of the runtime, if it leads to this machine.
fn checked(kubelet: &Kubelet, url: &str) -> Result<Uri, Refusal> {
    let refused =
        |why: &str| Refusal::internal(format!("the container runtime serves the stream at {url:?}: {why}"));
    let uri: Uri = url.parse().map_err(|_| refused("that is no URL"))?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        return Err(refused("only streams by HTTP are taken"));
    }
    match uri.host().is_some_and(|host| is_here(host, &kubelet.context.node.ips)) {
        true => Ok(uri),
        false => Err(refused("that is another machine")),
    }
}

/// Whether a host of a URL is this machine.
fn is_here(host: &str, own: &[String]) -> bool {
    let ip: Result<IpAddr, _> = host.trim_start_matches('[').trim_end_matches(']').parse();
    ip.map_or(host == "localhost", |ip| ip.is_loopback() || own.iter().any(|one| one.parse() == Ok(ip)))
}

/// The request as the runtime gets it.
fn passed(
    request: &Request<Incoming>,
    url: &Uri,
    protocol: HeaderValue,
) -> Result<Request<Empty<Bytes>>, Refusal> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut passed = Request::new(Empty::new());
    *passed.method_mut() = request.method().clone();
    *passed.uri_mut() = path.parse().map_err(|error| Refusal::internal(format!("{path}: {error}")))?;
    let headers = passed.headers_mut();
    for name in PASSED {
        for value in request.headers().get_all(*name) {
            headers.append(*name, value.clone());
        }
    }
    let host = url.authority().and_then(|authority| authority.as_str().parse().ok());
    headers.insert(header::HOST, host.unwrap_or(HeaderValue::from_static("localhost")));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, protocol);
    Ok(passed)
}

async fn send(
    kubelet: &Kubelet,
    url: &Uri,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Refusal> {
    let failed = |error: &dyn std::fmt::Display| {
        Refusal::internal(format!("the container runtime's stream at {url} cannot be reached: {error}"))
    };
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let stream =
        TcpStream::connect((host, url.port_u16().unwrap_or(80))).await.map_err(|error| failed(&error))?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let cancelled = kubelet.cancelled.clone();
    // It ends with the answer, or hands itself over to the stream.
    kubelet.tasks.spawn(async move {
        tokio::select! {
            () = cancelled.cancelled() => {}
            _ = connection.with_upgrades() => {}
        }
    });
    sender.send_request(request).await.map_err(|error| failed(&error))
}

/// Answers as the runtime did, and joins the two connections.
fn switch(
    kubelet: &Kubelet,
    connection: &Connection,
    mut answer: Response<Incoming>,
    client: OnUpgrade,
) -> Response<Body> {
    let runtime = hyper::upgrade::on(&mut answer);
    let (place, cancelled) = (connection.place.clone(), kubelet.cancelled.clone());
    kubelet.tasks.spawn(async move {
        let _place = place;
        let joined = async {
            let (client, runtime) = tokio::try_join!(client, runtime)?;
            let (mut client, mut runtime) = (TokioIo::new(client), TokioIo::new(runtime));
            tokio::io::copy_bidirectional(&mut client, &mut runtime).await?;
            Ok::<_, BodyError>(())
        };
        tokio::select! {
            () = cancelled.cancelled() => {}
            ended = timeout(LONGEST_LIFE, joined) => {
                if let Ok(Err(error)) = ended {
                    tracing::debug!(%error, "a stream of the container runtime ended badly");
                }
            }
        }
    });
    let (parts, _) = answer.into_parts();
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}

/// What the runtime's server refuses.
async fn refused(answer: Response<Incoming>) -> Response<Body> {
    let code = answer.status();
    let text = Limited::new(answer.into_body(), REFUSAL_LIMIT_BYTES).collect().await;
    let text = text.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Refusal::new(code, String::from_utf8_lossy(&text)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_taken_from_this_machine_only() {
        let own = ["10.0.0.1".to_owned(), "fd00::1".to_owned()];
        let check = |url: &str, expected: bool| {
            let url: Uri = url.parse().unwrap();
            assert_eq!(is_here(url.host().unwrap(), &own), expected, "{url}");
        };
        check("http://127.0.0.1:1/x", true);
        check("http://[::1]:1/x", true);
        check("http://localhost:1/x", true);
        check("http://10.0.0.1/x", true);
        check("http://[fd00:0::1]/x", true);
        check("http://10.0.0.2/x", false);
        check("http://example.com/x", false);
        check("http://localhost.example.com/x", false);
    }
}

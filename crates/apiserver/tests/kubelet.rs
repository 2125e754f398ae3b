//! Requests that are passed on to the kubelet of a node: a kubelet that is a function stands for it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

mod support;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use everynode_apiserver::{Config, KubeletConnector, KubeletStream, NodeCredentials, Server};
use everynode_model::Value;
use http::{Request, Response, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use support::{Answer, Client, LIMIT, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

const PODS: &str = "/api/v1/namespaces/default/pods";
/// Where the node says that its kubelet is; the connector leads elsewhere.
const ADDRESS: [u8; 4] = [10, 9, 9, 9];
/// Where the node would find the API.
const API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)), 443);

/// A server whose connections to the kubelet of node `n` lead to a listener, with pods `p` on it and `q` on none.
async fn start_with_node(config: Config) -> (Server, Client, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let connector = KubeletConnector::new(move |node, address| {
        assert_eq!((node, address), ("n", SocketAddr::from((ADDRESS, 10_250))));
        Box::pin(async move { Ok(Box::new(TcpStream::connect(at).await?) as Box<dyn KubeletStream>) })
    });
    let config = Config { kubelet_connector: connector, service_account_admission: false, ..config };
    let (server, client) = start(config).await;
    let make = async |path: &str, object: Value| {
        let answer = client.post(path, &object.to_string()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    let status = json!({
        "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.9.9.9"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10_250}},
    });
    make("/api/v1/nodes", json!({"metadata": {"name": "n"}, "status": status})).await;
    make("/api/v1/nodes", json!({"metadata": {"name": "simulated"}})).await;
    let containers =
        |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name, "image": "i"})).collect() };
    for (name, node, names) in [
        ("p", Some("n"), &["c"][..]),
        ("two", Some("n"), &["a", "b"]),
        ("q", None, &["c"]),
        ("s", Some("simulated"), &["c"]),
        ("lost", Some("gone"), &["c"]),
    ] {
        let spec = json!({"nodeName": node, "containers": containers(names)});
        make(PODS, json!({"metadata": {"name": name}, "spec": spec})).await;
    }
    (server, client, listener)
}

type Answered = Response<BoxBody<Bytes, Infallible>>;

fn whole(code: u16, text: impl Into<Bytes>) -> Answered {
    Response::builder().status(code).header("x-kubelet", "yes").body(Full::new(text.into()).boxed()).unwrap()
}

/// Serves as a kubelet that lets nobody in but the API server, which it knows by its certificate.
fn serve(
    listener: TcpListener,
    credentials: &NodeCredentials,
    answer: impl Fn(Request<Incoming>) -> Answered + Clone + Send + Sync + 'static,
) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate(&credentials.authority_certificate)).unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let key = PrivateKeyDer::from_pem_slice(credentials.serving_key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate(&credentials.serving_certificate)], key)
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, answer) = (tls.clone(), answer.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                let _ = connection.await;
            });
        }
    });
}

fn credentials(server: &Server) -> NodeCredentials {
    server.node_credentials("n", &[IpAddr::from(ADDRESS)], API).unwrap()
}

/// What was asked of the kubelet, as text.
fn echo(request: Request<Incoming>) -> Answered {
    let headers: Vec<&str> = request.headers().keys().map(http::HeaderName::as_str).collect();
    whole(200, format!("{} {} {}", request.method(), request.uri(), headers.join(" ")))
}

fn message(answer: &Answer) -> String {
    format!("{} {}", answer.status.as_u16(), answer.json()["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_log_is_asked_of_the_kubelet_with_what_was_asked_of_it() {
    let (server, client, listener) = start_with_node(Config::default()).await;
    serve(listener, &credentials(&server), echo);
    let check = async |query: &str, expected: &str| {
        let answer = client.get(&format!("{PODS}/p/log{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        // Nobody's credentials go with it.
        assert_eq!(answer.text(), format!("GET {expected} host"), "{query}");
        assert_eq!(answer.headers["x-kubelet"], "yes");
    };
    check("", "/containerLogs/default/p/c").await;
    check(
        "?container=c&tailLines=0&limitBytes=9&sinceSeconds=1",
        "/containerLogs/default/p/c?sinceSeconds=1&tailLines=0&limitBytes=9",
    )
    .await;
    check(
        "?previous=true&timestamps=1&follow=false",
        "/containerLogs/default/p/c?previous=true&timestamps=true",
    )
    .await;
    check(
        "?sinceTime=2026-01-02T03:04:05Z&other=x",
        "/containerLogs/default/p/c?sinceTime=2026-01-02T03%3A04%3A05Z",
    )
    .await;
    let refused = async |path: &str, expected: &str| {
        assert_eq!(message(&client.get(&format!("{PODS}/{path}")).await), expected, "{path}");
    };
    let invalid = "422 PodLogOptions \"p\" is invalid:";
    refused(
        "p/log?tailLines=-1",
        &format!("{invalid} tailLines: Invalid value: -1: must be greater than or equal to 0"),
    )
    .await;
    refused("p/log?limitBytes=0", &format!("{invalid} limitBytes: Invalid value: 0: must be greater than 0"))
        .await;
    refused("p/log?tailLines=x", "400 strconv.ParseInt: parsing \"x\": invalid syntax").await;
    refused("p/log?container=z", "400 container z is not valid for pod p").await;
    refused("two/log", "400 a container name must be specified for pod two, choose one of: [a b]").await;
    refused("none/log", "404 pods \"none\" not found").await;
    refused("lost/log", "404 nodes \"gone\" not found").await;
    assert_eq!(client.get(&format!("{PODS}/q/log")).await.text(), "", "it runs nowhere yet");
    let simulated = client.get(&format!("{PODS}/s/log")).await;
    assert!(simulated.text().contains("simulated"), "{}", simulated.text());
    server.shutdown().await;
}

#[tokio::test]
async fn a_log_that_is_followed_arrives_piece_by_piece() {
    let (server, client, listener) = start_with_node(Config::default()).await;
    let (pieces, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    serve(listener, &credentials(&server), move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        let frames = futures::stream::unfold(receiver, |mut receiver| async move {
            let piece = receiver.recv().await?;
            Some((Ok(Frame::data(Bytes::from(piece))), receiver))
        });
        Response::new(BoxBody::new(StreamBody::new(frames)))
    });
    let mut body = client.send("GET", &format!("{PODS}/p/log?follow=true"), &[], "").await.into_body();
    for piece in ["one\n", "two\n"] {
        pieces.send(piece).unwrap();
        let frame = tokio::time::timeout(LIMIT, body.frame()).await.expect("a piece in time");
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), piece);
    }
    drop(pieces);
    assert!(tokio::time::timeout(LIMIT, body.frame()).await.expect("an end in time").is_none());
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_kubelet_refuses_is_a_refusal_of_the_api() {
    let (server, client, listener) = start_with_node(Config::default()).await;
    serve(listener, &credentials(&server), |_| whole(404, "no such container\n"));
    let answer = client.get(&format!("{PODS}/p/log")).await;
    assert_eq!(message(&answer), "404 no such container");
    assert_eq!(answer.json()["reason"], "NotFound");
    server.shutdown().await;
}

#[tokio::test]
async fn an_upgrade_is_passed_on_and_then_every_byte_both_ways() {
    let (server, client, listener) = start_with_node(Config::default()).await;
    serve(listener, &credentials(&server), |mut request: Request<Incoming>| {
        let asked = format!("{} {}", request.method(), request.uri());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            stream.write_all(format!("{asked}\n").as_bytes()).await.unwrap();
            let mut bytes = [0_u8; 4];
            while stream.read_exact(&mut bytes).await.is_ok() {
                bytes.reverse();
                stream.write_all(&bytes).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        });
        let protocol = request.headers()["sec-websocket-protocol"].clone();
        let mut answer = whole(101, "");
        answer.headers_mut().insert(header::UPGRADE, request.headers()[header::UPGRADE].clone());
        answer.headers_mut().insert(header::CONNECTION, "Upgrade".parse().unwrap());
        answer.headers_mut().insert("sec-websocket-protocol", protocol);
        answer
    });
    let check = async |method: &str, path: &str, expected: &str| {
        let headers =
            [("Connection", "Upgrade"), ("Upgrade", "x"), ("Sec-WebSocket-Protocol", "v5.channel.k8s.io")];
        let mut answer = client.send(method, &format!("{PODS}/{path}"), &headers, "").await;
        assert_eq!(answer.status(), 101, "{path}");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
        let talk = async {
            let mut line = vec![0; expected.len() + 1];
            stream.read_exact(&mut line).await.unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), format!("{expected}\n"));
            let mut back = [0; 4];
            stream.write_all(&[0, 1, 254, 255]).await.unwrap();
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(back, [255, 254, 1, 0]);
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut back).await.unwrap(), 0, "the end is passed on too");
        };
        tokio::time::timeout(LIMIT, talk).await.expect("bytes in time");
    };
    check(
        "GET",
        "p/exec?command=sh&command=-c&stdin=true&stdout=1&stderr=false&tty=true",
        "GET /exec/default/p/c?input=1&output=1&tty=1&command=sh&command=-c",
    )
    .await;
    check(
        "POST",
        "two/exec?command=ls&container=b&stdout=true",
        "POST /exec/default/two/b?output=1&command=ls",
    )
    .await;
    check("POST", "p/attach?stdin=true", "POST /attach/default/p/c?input=1").await;
    check("GET", "p/portforward?ports=80", "GET /portForward/default/p?port=80").await;
    server.shutdown().await;
}

#[tokio::test]
async fn streams_that_cannot_be_are_refused() {
    let (server, client, listener) =
        start_with_node(Config { kubelet_streams: 1, ..Config::default() }).await;
    serve(listener, &credentials(&server), |_| {
        let silence = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        Response::new(BoxBody::new(StreamBody::new(silence)))
    });
    let refused = async |path: &str, headers: &[(&str, &str)], expected: &str| {
        let answer = client.request("GET", &format!("{PODS}/{path}"), headers, "").await;
        assert_eq!(message(&answer), expected, "{path}");
    };
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    refused("p/exec?command=ls", &[], "400 Upgrade request required").await;
    refused("q/exec?command=ls", &upgrade, "400 pod q does not have a host assigned").await;
    refused(
        "s/exec?command=ls",
        &upgrade,
        "501 pods/exec is not served: the node is simulated, or its agent has no kubelet endpoint",
    )
    .await;
    refused("lost/exec?command=ls", &upgrade, "404 nodes \"gone\" not found").await;
    let held = client.send("GET", &format!("{PODS}/p/log?follow=true"), &[], "").await;
    refused("p/log", &[], "429 Too many open streams, please try again later.").await;
    drop(held);
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_below_a_node_is_asked_of_its_kubelet() {
    let (server, client, listener) = start_with_node(Config::default()).await;
    serve(listener, &credentials(&server), echo);
    let nodes = "/api/v1/nodes/n/proxy";
    let text = async |path: &str| client.get(&format!("{nodes}{path}")).await.text();
    assert_eq!(text("/metrics/cadvisor?a=b%20c").await, "GET /metrics/cadvisor?a=b%20c host");
    assert_eq!(text("/").await, "GET / host");
    assert_eq!(text("").await, "GET / host");
    assert_eq!(text("/a%2Fb/../c").await, "GET /a%2Fb/../c host");
    let posted = client.post(&format!("{nodes}/run"), "{}").await;
    assert_eq!(posted.text(), "POST /run content-type host content-length");
    let simulated = client.get("/api/v1/nodes/simulated/proxy/metrics").await;
    assert_eq!(
        message(&simulated),
        "501 nodes/proxy is not served: the node is simulated, or its agent has no kubelet endpoint"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_kubelet_that_is_not_there_or_is_another_ones_is_said_to_be() {
    let (server, client, listener) = start_with_node(Config::default()).await;
    // A certificate of the cluster's authority for another address is that of another node.
    let others = server.node_credentials("m", &[IpAddr::from([10, 9, 9, 8])], API).unwrap();
    serve(listener, &others, echo);
    let answer = client.get(&format!("{PODS}/p/log")).await;
    assert_eq!(answer.status, 500);
    let said = message(&answer);
    assert!(said.contains("the kubelet of node n cannot be reached at 10.9.9.9:10250"), "{said}");
    server.shutdown().await;

    let (server, client, listener) = start_with_node(Config::default()).await;
    drop(listener);
    let said = message(&client.get(&format!("{PODS}/p/log")).await);
    assert!(said.contains("cannot be reached at 10.9.9.9:10250"), "{said}");
    server.shutdown().await;
}

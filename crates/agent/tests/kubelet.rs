//! The kubelet endpoint of an agent, by way of the API server and by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::pin;

use bytes::Bytes;
use everynode_agent::Signal;
use everynode_client::Error;
use everynode_cri::ErrorKind;
use everynode_cri::messages::ListPodSandboxStatsRequest;
use everynode_cri::testing::{End, Fault, How, When};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use futures::StreamExt as _;
use serde_json::json;
use support::direct::{self, Answer, ask};
use support::{LIMIT, PODS, Stage, container, is_ready};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

const NODE: &str = "/api/v1/nodes/real";

/// The port of the node's endpoint, as the node says it.
async fn port(stage: &Stage) -> u16 {
    let says = |node: &Value| node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let node = stage.cluster.until(NODE, "the node's port", |node| says(node).is_some()).await;
    u16::try_from(says(&node).unwrap()).unwrap()
}

/// The file of a container's log, which the runtime in memory leaves to us.
fn log(stage: &Stage, index: usize) -> PathBuf {
    let path = PathBuf::from(&stage.runtime.containers()[index].log_path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn write(path: &PathBuf, texts: &[&str]) {
    let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
    for text in texts {
        writeln!(file, "2026-01-02T03:04:05.5Z stdout F {text}").unwrap();
    }
}

/// What the API answers of a log: the text, or the code and the sentence of a refusal.
async fn logs(stage: &Stage, query: &str) -> Result<String, String> {
    match stage.cluster.client.get(&format!("{PODS}/{query}")).await {
        Ok(body) => Ok(String::from_utf8(body.to_vec()).unwrap()),
        Err(Error::Api(status)) => Err(format!("{} {}", status.code, status.message)),
        Err(error) => Err(error.to_string()),
    }
}

async fn running(name: &str) -> Stage {
    let stage = Stage::start().await;
    port(&stage).await;
    stage.create(name, json!({})).await;
    stage.until(name, "the pod runs", is_ready).await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_read_by_way_of_the_api_server() {
    let stage = running("p").await;
    let refused = logs(&stage, "p/log").await.unwrap_err();
    assert!(refused.starts_with("400 ") && refused.contains("0.log"), "{refused}");
    write(&log(&stage, 0), &["one", "two"]);
    assert_eq!(logs(&stage, "p/log").await.unwrap(), "one\ntwo\n");
    assert_eq!(logs(&stage, "p/log?tailLines=1").await.unwrap(), "two\n");
    let dated = "2026-01-02T03:04:05.500000000Z one\n";
    assert_eq!(logs(&stage, "p/log?timestamps=true&limitBytes=35").await.unwrap(), dated);
    let none = r#"400 previous terminated container "c" in pod "p" not found"#;
    assert_eq!(logs(&stage, "p/log?previous=true").await.unwrap_err(), none);

    assert!(stage.runtime.end(&stage.runtime.containers()[0].id, End::Exited(3)));
    let again = |pod: &Value| is_ready(pod) && container(pod)["restartCount"] == 1;
    stage.until("p", "the container runs again", again).await;
    write(&log(&stage, 1), &["three"]);
    assert_eq!(logs(&stage, "p/log").await.unwrap(), "three\n");
    assert_eq!(logs(&stage, "p/log?previous=true").await.unwrap(), "one\ntwo\n");

    stage.create("q", json!({"containers": [{"name": "c", "image": "example.com/none:1"}]})).await;
    let pulls = |pod: &Value| container(pod)["state"]["waiting"]["reason"] == "ImagePullBackOff";
    stage.until("q", "an image that is not there", pulls).await;
    let waits = r#"400 container "c" in pod "q" is waiting to start: trying and failing to pull image"#;
    eventually("the agent has seen what it has said", LIMIT, async || match logs(&stage, "q/log").await {
        Err(found) if found == waits => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_followed_to_the_end_of_its_container_or_of_the_agent() {
    let mut stage = running("p").await;
    let path = log(&stage, 0);
    write(&path, &["one"]);
    let client = stage.cluster.client.clone();
    let follow = async || client.watch(&format!("{PODS}/p/log?follow=true")).await.unwrap();
    let mut lines = pin!(follow().await);
    let mut next = async || tokio::time::timeout(LIMIT, lines.next()).await.unwrap().map(Result::unwrap);
    assert_eq!(next().await, Some(Bytes::from("one")));
    write(&path, &["two"]);
    assert_eq!(next().await, Some(Bytes::from("two")));
    fs::rename(&path, path.with_extension("log.20260101-000000")).unwrap();
    write(&path, &["three"]);
    assert_eq!(next().await, Some(Bytes::from("three")));
    assert!(stage.runtime.end(&stage.runtime.containers()[0].id, End::Exited(0)));
    assert_eq!(next().await, None, "it ends with its container");

    let again = |pod: &Value| is_ready(pod) && container(pod)["restartCount"] == 1;
    stage.until("p", "the container runs again", again).await;
    write(&log(&stage, 1), &["four"]);
    let mut lines = pin!(follow().await);
    assert_eq!(lines.next().await.unwrap().unwrap(), "four");
    stage.stop_agent().await;
    let rest = tokio::time::timeout(LIMIT, lines.next()).await.unwrap();
    assert!(!matches!(rest, Some(Ok(_))), "it ends with the agent");
    stage.cluster.stop().await;
}

/// A token of a new service account that may do this with this subresource of nodes.
async fn token(stage: &Stage, name: &str, verb: &str, subresource: &str) -> String {
    let (accounts, rbac) =
        ("/api/v1/namespaces/default/serviceaccounts", "/apis/rbac.authorization.k8s.io/v1");
    stage.cluster.create(accounts, json!({"metadata": {"name": name}})).await;
    let rules = json!([{"apiGroups": [""], "resources": [format!("nodes/{subresource}")], "verbs": [verb]}]);
    let role = json!({"metadata": {"name": name}, "rules": rules});
    stage.cluster.create(&format!("{rbac}/clusterroles"), role).await;
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    });
    stage.cluster.create(&format!("{rbac}/clusterrolebindings"), binding).await;
    let answer =
        stage.cluster.client.post(&format!("{accounts}/{name}/token"), "{\"spec\":{}}").await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_has_to_be_known_and_to_be_allowed_what_they_ask_for() {
    let stage = running("p").await;
    let port = port(&stage).await;
    write(&log(&stage, 0), &["one"]);
    let log = "/containerLogs/default/p/c";
    let admin = stage.cluster.server.token().to_owned();
    let reader = token(&stage, "reader", "get", "proxy").await;
    let collector = token(&stage, "collector", "get", "metrics").await;
    let watcher = token(&stage, "watcher", "get", "healthz").await;
    let check = async |token: Option<&str>, path: &str, code: u16, text: &str| {
        let Answer { code: found, body } = ask(port, "GET", path, token).await;
        assert!(found == code && body.contains(text), "{path}: {found} {body}");
    };
    for path in ["/healthz", "/pods", log, "/nothing"] {
        check(None, path, 401, "Unauthorized").await;
        check(Some("nonsense"), path, 401, "Unauthorized").await;
        check(Some(&admin), path, if path == "/nothing" { 404 } else { 200 }, "").await;
    }
    check(Some(&reader), log, 200, "one\n").await;
    check(Some(&reader), "/pods", 200, "\"name\":\"p\"").await;
    check(Some(&watcher), "/healthz", 200, "ok").await;
    let user = "user=system:serviceaccount:default";
    check(
        Some(&watcher),
        log,
        403,
        &format!("Forbidden ({user}:watcher, verb=get, resource=nodes, subresource(s)=[proxy])"),
    )
    .await;
    check(
        Some(&collector),
        "/pods",
        403,
        &format!("Forbidden ({user}:collector, verb=get, resource=nodes, subresource(s)=[pods proxy])"),
    )
    .await;
    let posted = ask(port, "POST", log, Some(&reader)).await;
    assert!(posted.code == 403 && posted.body.contains("verb=create"), "{posted:?}");
    check(Some(&admin), "/containerLogs/default/none/c", 404, "pod \"none\" does not exist").await;
    check(Some(&admin), "/containerLogs/default/p/d", 404, "container \"d\" not found in pod \"p\"").await;
    check(Some(&admin), &format!("{log}?tailLines=x"), 400, "tailLines=x is no number").await;
    assert_eq!(ask(port, "POST", log, Some(&admin)).await.code, 405);

    check(Some(&collector), "/metrics/resource", 200, "node_cpu_usage_seconds_total ").await;
    check(Some(&collector), "/metrics", 200, "kubelet_running_pods ").await;
    check(Some(&collector), "/stats/summary", 403, "subresource(s)=[stats]").await;

    // By way of the API server the server itself asks, with its certificate.
    let proxied = stage.cluster.client.get(&format!("{NODE}/proxy/healthz")).await.unwrap();
    assert_eq!(proxied, "ok");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_container_that_failed_stands_in_for_its_last_words_and_goes_with_it() {
    let stage = Stage::start().await;
    let spec = json!({"name": "c", "image": "example.com/daemon:1", "terminationMessagePolicy": "FallbackToLogsOnError"});
    stage.create("p", json!({"containers": [spec]})).await;
    stage.until("p", "the pod runs", is_ready).await;
    let first = log(&stage, 0);
    write(&first, &["it is broken"]);
    assert!(stage.runtime.end(&stage.runtime.containers()[0].id, End::Exited(3)));
    let restarted = |count: u32| move |pod: &Value| is_ready(pod) && container(pod)["restartCount"] == count;
    let pod = stage.until("p", "it runs again", restarted(1)).await;
    assert_eq!(container(&pod)["lastState"]["terminated"]["message"], "it is broken\n");
    write(&log(&stage, 1), &["this time it is not"]);
    assert!(stage.runtime.end(&stage.runtime.containers()[1].id, End::Exited(0)));
    let pod = stage.until("p", "it runs once more", restarted(2)).await;
    assert!(container(&pod)["lastState"]["terminated"]["message"].is_null(), "it has not failed");
    eventually("the log of the first one is gone", LIMIT, async || match first.exists() {
        true => Err(first.display().to_string()),
        false => Ok(()),
    })
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_those_of_the_node_and_of_what_runs_on_it() {
    let stage = running("p").await;
    let labels = r#"{container="c",namespace="default",pod="p"}"#;
    let wanted = [
        "node_memory_working_set_bytes ".to_owned(),
        format!("container_memory_working_set_bytes{labels} 1048576 "),
        format!("container_cpu_usage_seconds_total{labels} "),
        format!("container_start_time_seconds{labels} "),
        "resource_scrape_error 0\n".to_owned(),
    ];
    let path = format!("{NODE}/proxy/metrics/resource");
    eventually("all figures", LIMIT, async || {
        let text = stage.cluster.client.get(&path).await.map_err(|error| error.to_string())?;
        let text = String::from_utf8(text.to_vec()).unwrap();
        match wanted.iter().all(|figure| text.contains(figure)) {
            true => Ok(()),
            false => Err(text),
        }
    })
    .await;
    let refused = Fault { when: When::Before, how: How::Refuse(ErrorKind::Failed) };
    stage.runtime.fail_next::<ListPodSandboxStatsRequest>(refused);
    let text = stage.cluster.client.get(&path).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("resource_scrape_error 1\n") && !text.contains("container_cpu"), "{text}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_the_api_says_nothing_about_is_refused_with_the_reason() {
    let mut stage = Stage::start().await;
    let port = port(&stage).await;
    let admin = stage.cluster.server.token().to_owned();
    assert_eq!(ask(port, "GET", "/healthz", Some(&admin)).await.code, 200);
    let (cancelled, running) = stage.agent.take().unwrap();
    stage.cluster.stop().await;
    // What was answered before holds for a while.
    assert_eq!(ask(port, "GET", "/healthz", Some(&admin)).await.code, 200);
    let other = ask(port, "GET", "/healthz", Some("another")).await;
    assert!(other.code == 401 && other.body.contains("the API did not review the token"), "{other:?}");
    let pods = ask(port, "GET", "/pods", Some(&admin)).await;
    assert!(pods.code == 500 && pods.body.contains("Authorization error"), "{pods:?}");
    cancelled.cancel();
    running.await.unwrap();
}

/// A server of streams as runtimes have one: it answers with this status line and the headers that it got as text; after
/// 101 it sends everything back.
async fn serve_streams(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0 {}
                let answer = match status {
                    "101 Switching Protocols" => format!(
                        "HTTP/1.1 {status}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n{head}"
                    ),
                    _ => format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{head}", head.len()),
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
                let (mut from, mut to) = tokio::io::split(stream);
                tokio::io::copy(&mut from, &mut to).await.unwrap();
                to.shutdown().await.unwrap();
            });
        }
    });
    url
}

/// Says something in a stream by way of the API server, and gives all that comes back until the end of the stream.
async fn talk(stage: &Stage, path: &str, words: &str) -> (String, String) {
    let mut stream = direct::connect(stage.cluster.server.address().port()).await;
    let token = stage.cluster.server.token();
    let request = format!(
        "POST {PODS}/{path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
         Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0 {}
    stream.write_all(words.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = Vec::new();
    // An end without a farewell of TLS is an end.
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut back)).await.unwrap();
    (head, String::from_utf8(back).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_joined_to_those_of_the_runtime_byte_by_byte() {
    let mut stage = running("p").await;
    stage.runtime.set_streams(&serve_streams("101 Switching Protocols").await);
    for (path, what) in [
        ("p/exec?command=cat&stdin=true&stdout=true", "exec"),
        ("p/attach?stdin=true&stdout=true", "attach"),
        ("p/portforward", "portforward"),
    ] {
        let (head, back) = talk(&stage, path, "some words").await;
        let head = head.to_lowercase();
        assert!(head.starts_with("http/1.1 101 ") && head.contains("v4.channel.k8s.io"), "{head}");
        let (asked, words) = back.split_once("\r\n\r\n").unwrap();
        assert!(
            asked.starts_with(&format!("POST /{what}/")) && !asked.to_lowercase().contains("bearer"),
            "{asked}"
        );
        assert_eq!(words, "some words");
    }
    // One that nobody ends ends with the agent.
    let mut stream = direct::connect(port(&stage).await).await;
    let token = stage.cluster.server.token();
    let path = "/exec/default/p/c?input=1&command=cat";
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 101");
    stage.stop_agent().await;
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await.unwrap();
    stage.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_cannot_be_are_refused_with_the_reason() {
    let stage = running("p").await;
    let check = async |path: &str, code: u16, text: &str| {
        let (head, back) = talk(&stage, path, "").await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {code} ")) && back.contains(text),
            "{path}: {head}{back}"
        );
    };
    let exec = "p/exec?command=cat&stdout=true";
    check("p/exec?command=cat", 400, "you must specify at least 1 of stdin, stdout, stderr").await;
    check("p/portforward?ports=x", 400, "is no port").await;
    check(exec, 500, "cannot be reached").await;
    stage.runtime.set_streams(&serve_streams("403 Forbidden").await);
    check(exec, 403, "POST /exec/").await;
    stage.runtime.set_streams("http://192.0.2.1:1");
    check(exec, 500, "that is another machine").await;
    stage.runtime.set_streams("https://127.0.0.1:1");
    check(exec, 500, "only streams by HTTP are taken").await;
    let admin = stage.cluster.server.token().to_owned();
    let port = port(&stage).await;
    let upgrade =
        async |path: &str| direct::ask_with(port, "POST", path, Some(&admin), "Upgrade: x\r\n").await;
    let answer = upgrade("/exec/default/none/c?output=1").await;
    assert_eq!((answer.code, answer.body.as_str()), (404, "pod does not exist"));
    let answer = upgrade("/exec/default/p/other/c?output=1").await;
    assert_eq!((answer.code, answer.body.as_str()), (404, "pod not found"));
    let answer = upgrade("/exec/default/p/d?output=1").await;
    assert_eq!((answer.code, answer.body.as_str()), (404, "container not found (\"d\")"));
    let answer = ask(port, "POST", "/exec/default/p/c?output=1", Some(&admin)).await;
    assert_eq!((answer.code, answer.body.as_str()), (400, "Upgrade request required"));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_summary_tells_what_everything_uses() {
    let stage = running("p").await;
    stage.leave(Signal::NodeFsAvailable, 60);
    let pod = stage.until("p", "the pod runs", is_ready).await;
    let reader = token(&stage, "reader-of-stats", "get", "stats").await;
    let port = port(&stage).await;
    let summary = async || {
        let Answer { code, body } = ask(port, "GET", "/stats/summary", Some(&reader)).await;
        assert_eq!(code, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let first = summary().await;
    assert_eq!(first["node"]["nodeName"], "real");
    assert_eq!(first["node"]["fs"]["usedBytes"], 40_u64 << 30);
    assert!(first["node"]["memory"]["workingSetBytes"].as_u64().unwrap() > 0);
    let of_pod = &first["pods"][0];
    assert_eq!(of_pod["podRef"], json!({"name": "p", "namespace": "default", "uid": pod["metadata"]["uid"]}));
    let container = &of_pod["containers"][0];
    assert_eq!(
        (&container["name"], &container["memory"]["workingSetBytes"]),
        (&json!("c"), &json!(1_048_576))
    );
    assert!(container["cpu"]["usageCoreNanoSeconds"].as_u64().unwrap() > 0);
    // A container of this runtime uses one core for as long as it runs.
    eventually("a rate", LIMIT, async || {
        let cpu = summary().await["pods"][0]["containers"][0]["cpu"].clone();
        match cpu["usageNanoCores"].as_u64() {
            Some(900_000_000..=1_100_000_000) => Ok(()),
            _ => Err(cpu.to_string()),
        }
    })
    .await;
    stage.stop().await;
}

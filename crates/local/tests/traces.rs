//! Roll-outs as traces: what a collector gets of one.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use everynode_api::rollout_policy::{self, collection};
use everynode_apiserver::Config;
use everynode_controller::{ControllerConfig, TraceSettings};
use everynode_local::up::{apply, parse};
use everynode_node::{FleetConfig, NodeSpec};
use everynode_testkit::cluster::Cluster;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";

type Spans = Arc<Mutex<Vec<Value>>>;

/// A collector that takes OTLP over HTTP in JSON; gives its base URL.
async fn collector(spans: Spans) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(collect(stream, spans.clone()));
        }
    });
    url
}

async fn collect(stream: TcpStream, spans: Spans) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await.unwrap_or(0) > 0 && line != "\r\n" {
            if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = number.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        let scopes = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
        spans.lock().unwrap().extend(scopes);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let mut found = spans.iter().filter(|span| span["name"] == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name} in {spans:#?}"));
    assert!(found.next().is_none(), "{name} is there twice");
    span
}

fn attribute(span: &Value, key: &str) -> String {
    let all = span["attributes"].as_array().unwrap();
    let found = all.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key} in {span:#}"));
    let value = &found["value"];
    value["stringValue"].as_str().or(value["intValue"].as_str()).unwrap().to_owned()
}

fn daemonset(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "labels": {"app": "agent"}},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "agent", "image": image}]},
            },
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_a_trace_of_waves_and_nodes() {
    let spans = Spans::default();
    let url = collector(spans.clone()).await;
    let traces = TraceSettings::to(&url).unwrap();
    let mut cluster = Cluster::start(Config::default()).await;
    cluster.run_loops(|_| {});
    let pod_start = (Duration::from_millis(50), Duration::from_millis(50));
    let nodes = FleetConfig::new(NodeSpec::numbered("node-", 4));
    cluster.run_nodes(FleetConfig { pod_start, ..nodes });
    for document in parse("crd.yaml", rollout_policy::DEFINITION).unwrap() {
        apply(&cluster.client, &document, "test").await.unwrap();
    }
    cluster.run_controller(ControllerConfig { traces: Some(traces), ..ControllerConfig::default() });
    cluster
        .until("/api/v1/namespaces/default/serviceaccounts/default", "the account is made", |a| !a.is_null())
        .await;
    let policy = json!({
        "apiVersion": "everynode.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "careful"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}}, "maxUnavailable": 2,
            "waves": [{"name": "canary", "nodes": 1}, {"nodes": "100%"}],
        },
    });
    cluster.create(&collection(Some("default")), policy).await;
    cluster.create(DAEMON_SETS, daemonset("agent:1")).await;
    let path = format!("{DAEMON_SETS}/agent");
    let is_out = |set: &Value, generation: i64| {
        set["status"]["observedGeneration"] == generation
            && set["status"]["updatedNumberScheduled"] == 4
            && set["status"]["numberAvailable"] == 4
    };
    cluster.until(&path, "the first one is out", |set| is_out(set, 1)).await;
    let template =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}}}});
    cluster.merge(&path, template).await;
    cluster.until(&path, "the second one is out", |set| is_out(set, 2)).await;
    let policies = collection(Some("default"));
    let status = cluster
        .until(&format!("{policies}/careful"), "it is complete", |policy| {
            policy["status"]["daemonSets"]["agent"]["phase"] == "Complete"
        })
        .await;
    let revision = status["status"]["daemonSets"]["agent"]["revision"].as_str().unwrap().to_owned();

    let of_revision = |spans: &Spans| -> Vec<Value> {
        let all = spans.lock().unwrap();
        all.iter().filter(|span| attribute(span, "everynode.revision") == revision).cloned().collect()
    };
    // The spans are on their way when the status says that it is complete.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while of_revision(&spans).len() < 7 {
        assert!(tokio::time::Instant::now() < deadline, "{:#?}", of_revision(&spans));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let spans = of_revision(&spans);
    let rollout = named(&spans, "rollout agent");
    assert_eq!(
        (attribute(rollout, "everynode.outcome"), attribute(rollout, "everynode.nodes")),
        ("complete".into(), "4".into())
    );
    assert_eq!(rollout["parentSpanId"], "");
    for wave in ["wave 1", "wave 2"] {
        assert_eq!(named(&spans, wave)["parentSpanId"], rollout["spanId"], "{wave}");
    }
    let parents: Vec<&Value> =
        (1..=4).map(|node| &named(&spans, &format!("node node-{node}"))["parentSpanId"]).collect();
    let of_wave =
        |wave: &str| parents.iter().filter(|parent| **parent == &named(&spans, wave)["spanId"]).count();
    assert_eq!((of_wave("wave 1"), of_wave("wave 2")), (1, 3));
    assert!(spans.iter().all(|span| span["traceId"] == rollout["traceId"] && span["status"]["code"] == 1));
    cluster.stop().await;
}

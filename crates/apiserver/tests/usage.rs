//! `metrics.k8s.io`: what nodes and pods use, as a source tells it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

mod support;

use std::sync::Arc;

use everynode_apiserver::{AskedNode, Config, Server, UsageError, UsageSource};
use everynode_model::{ContainerUsage, NodeSample, Usage, Value};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use support::{Client, start};

const PODS: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods";
const ALL_PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";
const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Each container uses a core for each letter of its pod's name; nothing is known of pods that are `fresh`, and node
/// `down` does not answer.
#[derive(Debug)]
struct ByName;

impl UsageSource for ByName {
    fn samples(&self, asked: Vec<AskedNode>, _: i64) -> BoxFuture<'_, Vec<Result<NodeSample, UsageError>>> {
        let answers = asked.iter().map(|asked| match &*asked.node.facts.name {
            "down" => Err(UsageError::NoAnswer { node: "down".into(), why: "it is down".into() }),
            _ => Ok(NodeSample {
                taken_seconds: 1_767_225_600,
                window_seconds: 15,
                node: usage(asked.pods.len()),
                pods: asked.pods.iter().map(|pod| containers(&pod.facts.name)).collect(),
            }),
        });
        futures::future::ready(answers.collect()).boxed()
    }
}

fn usage(count: usize) -> Usage {
    Usage { cpu_nanocores: count as u64 * 1_000_000_000, memory_bytes: count as u64 * 1_536 }
}

fn containers(pod: &str) -> Vec<ContainerUsage> {
    let known = if pod == "fresh" { &[][..] } else { &["a", "b"] };
    known.iter().map(|name| ContainerUsage { name: (*name).to_owned(), usage: usage(pod.len()) }).collect()
}

async fn start_with_pods() -> (Server, Client) {
    let config =
        Config { usage: Some(Arc::new(ByName)), service_account_admission: false, ..Config::default() };
    let (server, client) = start(config).await;
    let make = async |path: &str, object: Value| {
        let answer = client.post(path, &object.to_string()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    for node in ["up", "down"] {
        make("/api/v1/nodes", json!({"metadata": {"name": node, "labels": {"is": node}}})).await;
    }
    make("/api/v1/namespaces", json!({"metadata": {"name": "other"}})).await;
    for (namespace, name, node) in [
        ("default", "p", Some("up")),
        ("default", "qq", Some("up")),
        ("default", "fresh", Some("up")),
        ("default", "lost", Some("down")),
        ("default", "unbound", None),
        ("other", "p", Some("up")),
    ] {
        let object = json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "containers": [{"name": "a", "image": "i"}]},
        });
        make(&format!("/api/v1/namespaces/{namespace}/pods"), object).await;
    }
    (server, client)
}

/// Namespaces and names of a list.
async fn listed(client: &Client, path: &str) -> Vec<String> {
    let list = client.get(path).await.json();
    let items = list["items"].as_array().unwrap().iter();
    let name = |item: &Value| {
        let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
        format!("{}/{}", text("namespace"), text("name"))
    };
    items.map(name).collect()
}

#[tokio::test]
async fn pods_are_listed_by_namespace_label_and_name_but_those_of_which_nothing_is_known() {
    let (server, client) = start_with_pods().await;
    let check =
        async |path: String, expected: &[&str]| assert_eq!(listed(&client, &path).await, expected, "{path}");
    check(PODS.into(), &["default/p", "default/qq"]).await;
    check(ALL_PODS.into(), &["default/p", "default/qq", "other/p"]).await;
    check(format!("{ALL_PODS}?labelSelector=app%3Dp"), &["default/p", "other/p"]).await;
    check(format!("{PODS}?labelSelector=app+in+(qq,fresh,lost,unbound)"), &["default/qq"]).await;
    check(format!("{ALL_PODS}?fieldSelector=metadata.name%3Dqq"), &["default/qq"]).await;
    check("/apis/metrics.k8s.io/v1beta1/namespaces/none/pods".into(), &[]).await;
    check(NODES.into(), &["/up"]).await;
    check(format!("{NODES}?labelSelector=is%3Ddown"), &[]).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_pod_and_a_node_are_told_as_metrics_server_tells_them() {
    let (server, client) = start_with_pods().await;
    let time = "2026-01-01T00:00:00Z";
    let amounts = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    let container = |name: &str| json!({"name": name, "usage": amounts("2000000000n", "3Ki")});
    let pod = json!({
        "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "qq", "namespace": "default", "creationTimestamp": time, "labels": {"app": "qq"}},
        "timestamp": time, "window": "15s", "containers": [container("a"), container("b")],
    });
    assert_eq!(client.get(&format!("{PODS}/qq")).await.json(), pod);
    let node = client.get(&format!("{NODES}/up")).await.json();
    // All its pods, whoever asks for it alone.
    assert_eq!((&node["kind"], &node["usage"]), (&"NodeMetrics".into(), &amounts("4000000000n", "6Ki")));
    let table = client
        .request("GET", &format!("{PODS}?fieldSelector=metadata.name%3Dqq"), &[("Accept", TABLE)], "")
        .await
        .json();
    assert_eq!(table["rows"][0]["cells"], json!(["qq", "4", "6Ki", "15s"]));
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_not_known_is_refused_with_the_reason() {
    let (server, client) = start_with_pods().await;
    let check = async |path: String, code: u16, message: &str| {
        let answer = client.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["message"].as_str().unwrap()),
            (code, message),
            "{path}"
        );
    };
    let not_found = |what: &str| format!("{what} not found");
    check(format!("{PODS}/fresh"), 404, &not_found("pods.metrics.k8s.io \"default/fresh\"")).await;
    check(format!("{PODS}/unbound"), 404, &not_found("pods.metrics.k8s.io \"default/unbound\"")).await;
    check(format!("{PODS}/nobody"), 404, &not_found("pods.metrics.k8s.io \"default/nobody\"")).await;
    check(format!("{NODES}/nobody"), 404, &not_found("nodes.metrics.k8s.io \"nobody\"")).await;
    check(format!("{PODS}/lost"), 503, "node down does not tell what it uses: it is down").await;
    check(format!("{NODES}/down"), 503, "node down does not tell what it uses: it is down").await;
    for (method, path) in
        [("DELETE", format!("{PODS}/p")), ("POST", PODS.into()), ("GET", format!("{PODS}?watch=1"))]
    {
        assert_eq!(client.request(method, &path, &[], "").await.status, 405, "{method} {path}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn who_may_view_may_see_what_pods_use() {
    let (server, client) = start_with_pods().await;
    let role = client.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/view").await.json();
    let rules = role["rules"].as_array().unwrap();
    let is_ours = |rule: &&Value| rule["apiGroups"] == json!(["metrics.k8s.io"]);
    assert_eq!(rules.iter().find(is_ours).unwrap()["resources"], json!(["pods", "nodes"]));
    server.shutdown().await;
}

#[tokio::test]
async fn without_a_source_the_group_is_not_served() {
    let (server, client) = start(Config::default()).await;
    let groups = client.get("/apis").await.text();
    assert!(!groups.contains("metrics.k8s.io"));
    assert_eq!(client.get(ALL_PODS).await.status, 404);
    server.shutdown().await;
}

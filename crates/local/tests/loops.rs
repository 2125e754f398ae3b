//! The loops and simulated nodes against the embedded API server, with the controller.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use everynode_apiserver::Config;
use everynode_controller::ControllerConfig;
use everynode_node::{FleetConfig, NodeSpec};
use everynode_testkit::cluster::Cluster;
use serde_json::{Value, json};

const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A cluster in which nodes renew often, and are given up soon.
async fn start(nodes: usize) -> Cluster {
    start_with(nodes, Duration::from_millis(500), Duration::from_secs(2)).await
}

async fn start_with(nodes: usize, lease_interval: Duration, node_grace: Duration) -> Cluster {
    let mut cluster = Cluster::start(Config::default()).await;
    cluster.run_loops(|config| {
        config.node_grace = node_grace;
        config.missing_node_grace = Duration::from_millis(200);
        config.seed = Some(1);
    });
    let nodes = FleetConfig::new(NodeSpec::numbered("node-", nodes));
    cluster.run_nodes(FleetConfig { lease_interval, seed: Some(1), ..nodes });
    cluster.run_controller(ControllerConfig::default());
    cluster
}

/// A DaemonSet `agent` that is available on so many nodes.
async fn daemon(cluster: &Cluster, annotations: Value, count: u64) {
    let body = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}, "annotations": annotations},
                "spec": {"containers": [{"name": "agent", "image": "agent:1"}]},
            },
        },
    });
    cluster
        .until("/api/v1/namespaces/default/serviceaccounts/default", "the account is made", |a| !a.is_null())
        .await;
    cluster.create(DAEMON_SETS, body).await;
    available(cluster, count).await;
}

async fn available(cluster: &Cluster, count: u64) {
    let path = format!("{DAEMON_SETS}/agent");
    cluster
        .until(&path, "the daemon is available", |ds| ds["status"]["numberAvailable"].as_u64() == Some(count))
        .await;
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().find(|c| c["type"] == kind).and_then(|c| c["status"].as_str()).unwrap_or_default()
}

fn taints(node: &Value) -> Vec<&str> {
    let taints = node["spec"]["taints"].as_array().map(Vec::as_slice).unwrap_or_default();
    taints.iter().filter_map(|taint| taint["key"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_runs_on_every_node_and_goes_with_its_owner() {
    let cluster = start(3).await;
    daemon(&cluster, json!({}), 3).await;
    for pod in cluster.items(PODS).await {
        assert_eq!(pod["status"]["phase"], "Running", "{pod:#}");
        assert_eq!(condition(&pod, "PodScheduled"), "True");
    }
    let authority = cluster.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt").await;
    assert_eq!(authority["data"]["ca.crt"], cluster.server.authority_certificate());
    cluster.client.delete(&format!("{DAEMON_SETS}/agent"), "").await.unwrap();
    cluster.until(PODS, "the pods go", |pods| pods["items"] == json!([])).await;
    let revisions = "/apis/apps/v1/namespaces/default/controllerrevisions";
    cluster.until(revisions, "the revisions go", |list| list["items"] == json!([])).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_is_replaced_and_an_orphaned_one_stays() {
    let cluster = start(2).await;
    daemon(&cluster, json!({}), 2).await;
    let first = cluster.items(PODS).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.client.delete(&format!("{PODS}/{first}"), "").await.unwrap();
    cluster.until(&format!("{PODS}/{first}"), "the pod goes", Value::is_null).await;
    available(&cluster, 2).await;
    let orphan = r#"{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Orphan"}"#;
    cluster.client.delete(&format!("{DAEMON_SETS}/agent"), orphan).await.unwrap();
    cluster.until(&format!("{DAEMON_SETS}/agent"), "the owner goes", Value::is_null).await;
    let pods = cluster.items(PODS).await;
    assert_eq!(pods.len(), 2);
    assert!(pods.iter().all(|pod| pod["metadata"].get("ownerReferences").is_none()), "{pods:#?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreground_deletion_ends_after_the_pods() {
    let cluster = start(2).await;
    daemon(&cluster, json!({"simulate.everynode.dev/termination-delay": "300ms"}), 2).await;
    let foreground = r#"{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Foreground"}"#;
    cluster.client.delete(&format!("{DAEMON_SETS}/agent"), foreground).await.unwrap();
    assert!(!cluster.get(&format!("{DAEMON_SETS}/agent")).await.is_null());
    cluster.until(&format!("{DAEMON_SETS}/agent"), "the owner goes", Value::is_null).await;
    assert_eq!(cluster.items(PODS).await.len(), 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_unreachable_until_it_speaks_again() {
    let cluster = start(2).await;
    daemon(&cluster, json!({}), 2).await;
    let (node, key) = ("/api/v1/nodes/node-1", "simulate.everynode.dev/silent");
    cluster.merge(node, json!({"metadata": {"annotations": {key: "true"}}})).await;
    let unreachable = |node: &Value| {
        condition(node, "Ready") == "Unknown"
            && taints(node) == ["node.kubernetes.io/unreachable", "node.kubernetes.io/unreachable"]
    };
    cluster.until(node, "the node is lost", unreachable).await;
    cluster
        .until(PODS, "its pod is not ready", |pods| {
            pods["items"].as_array().unwrap().iter().any(|pod| condition(pod, "Ready") == "False")
        })
        .await;
    cluster.merge(node, json!({"metadata": {"annotations": {key: null}}})).await;
    cluster
        .until(node, "the node is back", |node| condition(node, "Ready") == "True" && taints(node).is_empty())
        .await;
    available(&cluster, 2).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_deleted_node_are_removed() {
    let cluster = start(2).await;
    daemon(&cluster, json!({}), 2).await;
    cluster.client.delete("/api/v1/nodes/node-2", "").await.unwrap();
    cluster.until(PODS, "its pod goes", |pods| pods["items"].as_array().unwrap().len() == 1).await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-2";
    cluster.until(leases, "its lease goes", Value::is_null).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_takes_its_contents_along() {
    let cluster = start(1).await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "team"}})).await;
    let accounts = "/api/v1/namespaces/team/serviceaccounts/default";
    cluster.until(accounts, "the account is made", |account| !account.is_null()).await;
    cluster.create("/api/v1/namespaces/team/configmaps", json!({"metadata": {"name": "c"}})).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    cluster.create("/api/v1/namespaces/team/pods", pod).await;
    cluster
        .until("/api/v1/namespaces/team/pods/p", "the pod runs", |pod| condition(pod, "Ready") == "True")
        .await;
    cluster.client.delete("/api/v1/namespaces/team", "").await.unwrap();
    cluster.until("/api/v1/namespaces/team", "the namespace goes", Value::is_null).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fits_nowhere_says_why_and_runs_when_there_is_room() {
    let cluster = start(1).await;
    daemon(&cluster, json!({}), 1).await;
    let pod = |name: &str| {
        let resources = json!({"requests": {"cpu": "20"}});
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
    };
    cluster.create(PODS, pod("first")).await;
    cluster.until(&format!("{PODS}/first"), "it runs", |pod| condition(pod, "Ready") == "True").await;
    cluster.create(PODS, pod("second")).await;
    let path = format!("{PODS}/second");
    let shown = cluster.until(&path, "it is refused", |pod| condition(pod, "PodScheduled") == "False").await;
    assert_eq!(shown["status"]["conditions"][0]["reason"], "Unschedulable", "{shown:#}");
    cluster.client.delete(&format!("{PODS}/first"), "").await.unwrap();
    cluster.until(&path, "it runs", |pod| condition(pod, "Ready") == "True").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_counted_and_guards_evictions() {
    let cluster = start(2).await;
    daemon(&cluster, json!({"simulate.everynode.dev/termination-delay": "1s"}), 2).await;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "agent"}}},
    });
    let path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    cluster.create(path, budget).await;
    let path = format!("{path}/b");
    cluster.until(&path, "it is counted", |b| b["status"]["disruptionsAllowed"].as_u64() == Some(1)).await;
    let names: Vec<String> = cluster
        .items(PODS)
        .await
        .iter()
        .map(|p| p["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let evict = |name: &str| {
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        (format!("{PODS}/{name}/eviction"), body.to_string())
    };
    let (first, body) = evict(&names[0]);
    cluster.client.post(&first, body).await.unwrap();
    let (second, body) = evict(&names[1]);
    assert_eq!(cluster.client.post(&second, body).await.unwrap_err().code(), Some(429));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_daemons_cannot_be_counted_and_grants_no_eviction() {
    let cluster = start(2).await;
    daemon(&cluster, json!({}), 2).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "agent"}}},
    });
    cluster.create(budgets, budget).await;
    let path = format!("{budgets}/b");
    let failed =
        cluster.until(&path, "it fails", |b| b["status"]["conditions"][0]["reason"] == "SyncFailed").await;
    let message = &failed["status"]["conditions"][0]["message"];
    assert_eq!(message, "daemonsets.apps does not implement the scale subresource");
    let pod = cluster.items(PODS).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    let evicted = cluster.client.post(&format!("{PODS}/{pod}/eviction"), eviction.to_string()).await;
    assert_eq!(evicted.unwrap_err().code(), Some(429));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_node_that_is_out_of_service_are_deleted_by_force() {
    let cluster = start(2).await;
    daemon(&cluster, json!({}), 2).await;
    let node = "/api/v1/nodes/node-1";
    cluster
        .merge(node, json!({"metadata": {"annotations": {"simulate.everynode.dev/silent": "true"}}}))
        .await;
    cluster.until(node, "the node is lost", |node| condition(node, "Ready") == "Unknown").await;
    let taint = json!({"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"});
    cluster.merge(node, json!({"spec": {"taints": [taint]}})).await;
    cluster.until(PODS, "its pod goes", |pods| pods["items"].as_array().unwrap().len() == 1).await;
    let path = format!("{DAEMON_SETS}/agent");
    cluster.until(&path, "the node counts no more", |ds| ds["status"]["desiredNumberScheduled"] == 1).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_node_that_asked_for_it_comes_back_with_its_daemon() {
    let cluster = start(2).await;
    daemon(&cluster, json!({}), 2).await;
    let (node, key) = ("/api/v1/nodes/node-1", "simulate.everynode.dev/register-again");
    cluster.merge(node, json!({"metadata": {"annotations": {key: "true"}}})).await;
    let before = cluster.get(node).await["metadata"]["uid"].clone();
    cluster.client.delete(node, "").await.unwrap();
    cluster.until(node, "it registers", |now| !now.is_null() && now["metadata"]["uid"] != before).await;
    available(&cluster, 2).await;
    cluster.stop().await;
}

/// Prints how long it takes until a DaemonSet is available on `EVERYNODE_NODES` nodes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test --release -p everynode-local --test loops -- --ignored --nocapture"]
async fn measure_saturation() {
    let nodes = everynode_testkit::number("EVERYNODE_NODES", 1000);
    let start = Instant::now();
    let cluster = start_with(nodes, Duration::from_secs(10), Duration::from_secs(40)).await;
    println!("{:?} parts started", start.elapsed());
    daemon(&cluster, json!({}), nodes as u64).await;
    println!(
        "{:?} a DaemonSet is available on {nodes} nodes that were registered meanwhile",
        start.elapsed()
    );
    cluster.stop().await;
}

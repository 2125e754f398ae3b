//! New pods: what their namespace gives them, what it refuses, and how quotas count them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use everynode_apiserver::{Config, Server};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::{Client, LIMIT, start};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A server with an object of its namespace `default`.
async fn with(plural: &str, object: Value) -> (Server, Client) {
    let config = Config { service_account_admission: false, ..Config::default() };
    let (server, client) = start(config).await;
    let made = client.post(&format!("/api/v1/namespaces/default/{plural}"), &object.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    (server, client)
}

fn pod(name: &str, fields: Value) -> String {
    let mut spec = json!({"containers": [{"name": "main", "image": "agent:1"}]});
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).to_string()
}

fn asking(name: &str, resources: Value) -> String {
    pod(name, json!({"containers": [{"name": "main", "image": "agent:1", "resources": resources}]}))
}

async fn check(client: &Client, pod: &str, code: u16, part: &str) {
    let answer = client.post(PODS, pod).await;
    assert_eq!(answer.status, code, "{}", answer.text());
    assert!(answer.text().contains(part), "{part:?} is not in {}", answer.text());
}

#[tokio::test]
async fn a_limit_range_fills_in_and_bounds_what_containers_ask_for() {
    let limit = json!({
        "type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"},
    });
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"}, "spec": {"limits": [limit]},
    });
    let (server, client) = with("limitranges", range).await;
    let made = client.post(PODS, &pod("plain", json!({}))).await.json();
    let filled = json!({"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}});
    assert_eq!(made["spec"]["containers"][0]["resources"], filled);
    let told = "LimitRanger plugin set: cpu request for container main; cpu limit for container main";
    assert_eq!(made["metadata"]["annotations"]["kubernetes.io/limit-ranger"], told);
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let large = asking("large", json!({"limits": {"cpu": "2"}}));
    check(&client, &large, 403, "maximum cpu usage per Container is 1, but limit is 2").await;
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_pod_asks_for_as_a_whole_is_completed_and_checked() {
    let (server, client) = start(Config { service_account_admission: false, ..Config::default() }).await;
    let whole = json!({"resources": {"limits": {"cpu": "1"}}});
    let made = client.post(PODS, &pod("whole", whole)).await.json();
    assert_eq!(made["spec"]["resources"], json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}));
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let container = json!({"name": "main", "image": "agent:1", "resources": {"requests": {"cpu": "2"}}});
    let less = pod("less", json!({"containers": [container], "resources": {"requests": {"cpu": "1"}}}));
    let message = "must be greater than or equal to aggregate container requests of 2";
    check(&client, &less, 422, message).await;
    let container = json!({"name": "main", "image": "agent:1", "resources": {"limits": {"cpu": "2"}}});
    let more = pod(
        "more",
        json!({"containers": [container], "resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "1"}}}),
    );
    check(&client, &more, 422, "must be less than or equal to pod limits of 1").await;
    server.shutdown().await;
}

fn quota(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": spec})
}

/// Waits until the status of the quota says so.
async fn used(client: &Client, expected: Value) {
    eventually("the quota is counted", LIMIT, async || {
        let quota = client.get("/api/v1/namespaces/default/resourcequotas/few").await.json();
        (quota["status"]["used"] == expected).then_some(()).ok_or_else(|| quota.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_quota_lets_in_as_many_as_there_is_room_for_however_many_ask_at_once() {
    let hard = json!({"pods": "5", "limits.memory": "1Gi", "services": "3"});
    let (server, client) = with("resourcequotas", quota(json!({ "hard": hard }))).await;
    let ask = |index: usize| {
        let client = client.clone();
        let pod = asking(&format!("p{index}"), json!({"limits": {"memory": "16Mi"}}));
        async move { client.post(PODS, &pod).await.status.as_u16() }
    };
    let answers = futures::future::join_all((0..20).map(ask)).await;
    let made = answers.iter().filter(|code| **code == 201).count();
    let refused = answers.iter().filter(|code| **code == 403).count();
    assert_eq!((made, refused), (5, 15), "{answers:?}");
    used(&client, json!({"limits.memory": "80Mi", "pods": "5"})).await;
    let first = answers.iter().position(|code| *code == 201).unwrap();
    client.delete(&format!("{PODS}/p{first}?gracePeriodSeconds=0")).await;
    used(&client, json!({"limits.memory": "64Mi", "pods": "4"})).await;
    let large = asking("large", json!({"limits": {"memory": "1Gi"}}));
    let exceeded = "exceeded quota: few, requested: limits.memory=1Gi, used: limits.memory=64Mi, limited: limits.memory=1Gi";
    check(&client, &large, 403, exceeded).await;
    check(&client, &pod("silent", json!({})), 403, "failed quota: few: must specify limits.memory for: main")
        .await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_quota_with_a_scope_counts_only_pods_in_it() {
    let spec = json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]});
    let (server, client) = with("resourcequotas", quota(spec)).await;
    check(&client, &pod("a", json!({})), 201, "BestEffort").await;
    check(&client, &pod("b", json!({})), 403, "exceeded quota: few, requested: pods=1, used: pods=1").await;
    check(&client, &asking("c", json!({"limits": {"cpu": "1"}})), 201, "Burstable").await;
    used(&client, json!({"pods": "1"})).await;
    server.shutdown().await;
}

/// Resizes a container of a pod by a patch, and compares the answer.
async fn resize(client: &Client, name: &str, resources: Value, code: u16, part: &str) -> Value {
    let patch = json!({"spec": {"containers": [{"name": "main", "resources": resources}]}});
    let strategic = [("Content-Type", "application/strategic-merge-patch+json")];
    let path = format!("{PODS}/{name}/resize");
    let answer = client.request("PATCH", &path, &strategic, patch.to_string()).await;
    assert_eq!(answer.status, code, "{}", answer.text());
    assert!(answer.text().contains(part), "{part:?} is not in {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_resize_changes_resources_alone_and_raises_the_generation() {
    let (server, client) = start(Config { service_account_admission: false, ..Config::default() }).await;
    check(&client, &asking("p", json!({"requests": {"cpu": "100m"}})), 201, "").await;
    let resized = resize(&client, "p", json!({"requests": {"cpu": "200m"}}), 200, "").await;
    assert_eq!(resized["spec"]["containers"][0]["resources"], json!({"requests": {"cpu": "200m"}}));
    assert_eq!(resized["metadata"]["generation"], 2);
    let mut put = resized.clone();
    put["spec"]["containers"][0]["image"] = "other:1".into();
    put["metadata"]["labels"] = json!({"a": "b"});
    let same = client.put(&format!("{PODS}/p/resize"), &put.to_string()).await.json();
    assert_eq!(same, resized, "nothing else is taken");
    let refused = "only cpu and memory resources are mutable";
    resize(&client, "p", json!({"requests": {"ephemeral-storage": "1Gi"}}), 422, refused).await;
    let full = json!({"cpu": "200m", "memory": "1Gi"});
    let class = json!({"requests": full, "limits": full});
    resize(&client, "p", class, 422, "Pod QOS Class may not change as a result of resizing").await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_resize_stays_within_the_limits_of_the_namespace_its_quotas_and_its_node() {
    let limit = json!({"type": "Container", "max": {"memory": "2Gi"}});
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"}, "spec": {"limits": [limit]},
    });
    let (server, client) = with("limitranges", range).await;
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi"}},
    });
    assert_eq!(client.post("/api/v1/nodes", &node.to_string()).await.status, 201);
    let hard = json!({"requests.cpu": "3", "limits.memory": "8Gi"});
    let few = quota(json!({"hard": hard})).to_string();
    let made = client.post("/api/v1/namespaces/default/resourcequotas", &few).await;
    assert_eq!(made.status, 201);
    let small = json!({"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}});
    let container = json!({"name": "main", "image": "agent:1", "resources": small});
    for name in ["p", "q"] {
        let fields = json!({"nodeName": "n", "containers": [container.clone()]});
        check(&client, &pod(name, fields), 201, "").await;
    }
    let large = "maximum memory usage per Container is 2Gi, but limit is 3Gi";
    resize(&client, "p", json!({"limits": {"memory": "3Gi"}}), 403, large).await;
    let room = "node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000";
    resize(&client, "p", json!({"requests": {"cpu": "2500m"}}), 403, room).await;
    resize(&client, "p", json!({"requests": {"cpu": "1500m"}}), 200, "1500m").await;
    let exceeded = "exceeded quota: few, requested: requests.cpu=600m, used: requests.cpu=2500m, limited: requests.cpu=3";
    resize(&client, "q", json!({"requests": {"cpu": "1600m"}}), 403, exceeded).await;
    resize(&client, "p", json!({"requests": {"cpu": "500m"}}), 200, "500m").await;
    resize(&client, "q", json!({"requests": {"cpu": "1600m"}}), 200, "1600m").await;
    used(&client, json!({"limits.memory": "2Gi", "requests.cpu": "2100m"})).await;
    server.shutdown().await;
}

//! `up` as a whole: an API alone, the figures that it shows, how namespaces and circles of owners end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop and speak")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{Cluster, LIMIT, eventually, everynode, get};
use everynode_client::{Client, content_type};
use serde_json::{Value, json};

#[tokio::test]
async fn an_api_alone_says_in_one_line_when_it_answers() {
    let mut up = everynode()
        .args(["up", "--api-only", "--ephemeral", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let (url, kubeconfig) = line.strip_prefix("ready url=").unwrap().split_once(" kubeconfig=").unwrap();
    let client = Client::from_file(kubeconfig.as_ref()).await.unwrap();
    assert_eq!(client.server_url(), url);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    client.post("/api/v1/namespaces/default/pods", pod.to_string()).await.unwrap();
    for (path, count) in [("/api/v1/nodes", 0), ("/api/v1/serviceaccounts", 0), ("/api/v1/pods", 1)] {
        assert_eq!(get(&client, path).await["items"].as_array().unwrap().len(), count, "{path}");
    }
    let groups = get(&client, "/apis").await.to_string();
    assert!(!groups.contains("everynode.dev") && !groups.contains("metrics.k8s.io"), "{groups}");
    let stopped = Command::new("kill").arg(up.id().to_string()).status().unwrap();
    assert!(stopped.success() && up.wait().unwrap().success());
    assert_eq!(lines.count(), 0, "nothing else is said");
}

#[tokio::test]
async fn up_shows_the_figures_of_its_daemons() {
    let cluster = Cluster::start(&["--nodes", "2", "--pod-start", "50ms"]);
    let client = cluster.client().await;
    create(&client, "/apis/apps/v1/namespaces/default/daemonsets", daemon_set("agent")).await;
    let ready = "kube_daemonset_status_number_ready{namespace=\"default\",daemonset=\"agent\"} 2";
    let text = eventually("the daemon is counted", LIMIT, async || {
        let text = String::from_utf8(client.get("/metrics").await.unwrap().to_vec()).unwrap();
        if text.contains(ready) { Ok(text) } else { Err(text) }
    })
    .await;
    for line in ["# TYPE kube_daemonset_status_number_ready gauge", "apiserver_request_total{verb=\"POST\""] {
        assert!(text.contains(line), "{line} is missing");
    }
    everynode_testkit::check_metrics(&text);
}

#[tokio::test]
async fn a_namespace_ends_with_its_pods_first_and_says_what_keeps_it() {
    let cluster = Cluster::start(&["--nodes", "1", "--pod-start", "50ms"]);
    let client = cluster.client().await;
    create(&client, "/api/v1/namespaces", json!({"metadata": {"name": "old"}})).await;
    let accounts = "/api/v1/namespaces/old/serviceaccounts/default";
    eventually("the namespace has its account", LIMIT, async || {
        client.get(accounts).await.map(drop).map_err(|e| e.to_string())
    })
    .await;
    let pods = "/api/v1/namespaces/old/pods";
    let containers = json!([{"name": "c", "image": "i"}]);
    let held = json!({"name": "p", "finalizers": ["example.com/held"]});
    create(&client, pods, json!({"metadata": held, "spec": {"containers": containers}})).await;
    let maps = "/api/v1/namespaces/old/configmaps";
    create(&client, maps, json!({"metadata": {"name": "m"}})).await;
    client.delete("/api/v1/namespaces/old", "").await.unwrap();
    let remaining = "Some resources are remaining: pods. has 1 resource instances";
    let finalizers =
        "Some content in the namespace has finalizers remaining: example.com/held in 1 resource instances";
    eventually("the namespace says what keeps it", LIMIT, async || {
        let told = get(&client, "/api/v1/namespaces/old").await["status"]["conditions"].to_string();
        let is_whole = told.contains(remaining) && told.contains(finalizers);
        if is_whole && told.contains("NamespaceDeletionContentFailure") { Ok(()) } else { Err(told) }
    })
    .await;
    client.get(&format!("{maps}/m")).await.expect("what a pod may need stays while there are pods");
    let free = json!({"metadata": {"finalizers": null}}).to_string();
    client.patch(&format!("{pods}/p"), content_type::MERGE_PATCH, free).await.unwrap();
    gone(&client, "/api/v1/namespaces/old").await;
}

#[tokio::test]
async fn a_circle_of_owners_ends_when_one_of_them_is_deleted_in_the_foreground() {
    let cluster = Cluster::start(&["--nodes", "0"]);
    let client = cluster.client().await;
    let path = "/apis/apps/v1/namespaces/default/daemonsets";
    let mut uids = Vec::new();
    for name in ["a", "b", "c"] {
        uids.push(create(&client, path, daemon_set(name)).await["metadata"]["uid"].clone());
    }
    for (name, owner, uid) in [("a", "c", &uids[2]), ("b", "a", &uids[0]), ("c", "b", &uids[1])] {
        let reference = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": owner, "uid": uid, "blockOwnerDeletion": true});
        let patch = json!({"metadata": {"ownerReferences": [reference]}}).to_string();
        client.patch(&format!("{path}/{name}"), content_type::MERGE_PATCH, patch).await.unwrap();
    }
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"});
    client.delete(&format!("{path}/a"), options.to_string()).await.unwrap();
    for name in ["a", "b", "c"] {
        gone(&client, &format!("{path}/{name}")).await;
    }
}

fn daemon_set(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    })
}

async fn create(client: &Client, path: &str, object: Value) -> Value {
    serde_json::from_slice(&client.post(path, object.to_string()).await.unwrap()).unwrap()
}

async fn gone(client: &Client, path: &str) {
    eventually("it is gone", LIMIT, async || match client.get(path).await {
        Err(error) if error.is_not_found() => Ok(()),
        other => Err(format!("{path}: {other:?}")),
    })
    .await;
}

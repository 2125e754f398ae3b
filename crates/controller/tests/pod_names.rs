//! Pods that are named after their nodes, against the embedded API server.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::print_stderr)]

#[allow(dead_code, reason = "another test uses the rest")]
mod cluster;

use cluster::{Cluster, DAEMONSETS, EVENTS, PODS, daemonset, image};
use everynode_engine::{POD_NAMES, pod_name};
use serde_json::{Value, json};

async fn with_nodes(count: usize) -> Cluster {
    let cluster = Cluster::start().await;
    for node in 0..count {
        cluster.add_node(&format!("n{node}"), json!({})).await;
    }
    cluster
}

fn by_node(name: &str) -> Value {
    let mut object = daemonset(name, "v1");
    object["metadata"]["annotations"] = json!({POD_NAMES: "node"});
    object
}

async fn names(cluster: &Cluster, app: &str) -> Vec<String> {
    let pods = cluster.pods(app).await;
    let mut names: Vec<String> =
        pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_and_their_successors_are_named_after_their_nodes() {
    let cluster = with_nodes(3).await;
    cluster.create(DAEMONSETS, by_node("named")).await;
    cluster.settled("named", 3).await;
    let expected: Vec<String> = (0..3).map(|node| pod_name("named", &format!("n{node}"), None)).collect();
    assert_eq!(names(&cluster, "named").await, expected);

    cluster.merge(&format!("{DAEMONSETS}/named"), image("v2")).await;
    cluster
        .until("all pods are of the new image", async || {
            let pods = cluster.pods("named").await;
            let new = pods.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == "v2").count();
            (new == 3).then_some(()).ok_or_else(|| format!("{new} are new"))
        })
        .await;
    cluster.settled("named", 3).await;
    assert_eq!(names(&cluster, "named").await, expected);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_somebody_else_s_is_told_and_holds_up_one_node() {
    let cluster = with_nodes(3).await;
    let name = pod_name("named", "n0", None);
    let other = json!({
        "metadata": {"name": name},
        "spec": {"nodeName": "n0", "containers": [{"name": "c", "image": "i"}]},
    });
    cluster.create(PODS, other).await;
    cluster.create(DAEMONSETS, by_node("named")).await;
    cluster
        .until("the other nodes have their pods, and an event tells why one has none", async || {
            let events = cluster.list(EVENTS).await;
            let wanted =
                format!("Error creating: the pod {name:?} exists already and belongs to somebody else");
            let is_told = events.iter().any(|event| event["message"] == wanted.as_str());
            let nodes = cluster.nodes_of("named").await;
            (is_told && nodes == ["n1", "n2"]).then_some(()).ok_or_else(|| format!("{nodes:?} {events:?}"))
        })
        .await;
    cluster.stop().await;
}

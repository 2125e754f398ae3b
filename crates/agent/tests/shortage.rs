//! An agent whose machine runs short of something.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod support;

use std::time::Duration;

use everynode_agent::Signal;
use everynode_cri::messages::{ImageSpec, ListImagesRequest, PullImageRequest};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::{LIMIT, Stage, is_ready};

const DEADLINE: Duration = Duration::from_secs(5);

/// The names of the images that the runtime has.
async fn images(stage: &Stage) -> Vec<String> {
    let listed = stage.runtime.client().call(ListImagesRequest::default(), DEADLINE).await.unwrap();
    listed.images.into_iter().flat_map(|image| image.repo_tags).collect()
}

async fn pull(stage: &Stage, name: &str) {
    stage.runtime.offer_image(name);
    let image = Some(ImageSpec { image: name.to_owned(), ..ImageSpec::default() });
    let request = PullImageRequest { image, ..PullImageRequest::default() };
    stage.runtime.client().call(request, DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_that_nobody_uses_go_when_their_disk_is_full() {
    let mut stage = Stage::start().await;
    stage.create("p", json!({})).await;
    stage.until("p", "the pod runs", is_ready).await;
    pull(&stage, "example.com/unused:1").await;
    stage.stop_agent().await;
    stage.leave(Signal::ImageFsAvailable, 14);
    stage.start_agent().await;
    eventually("the image that is used is left", LIMIT, async || match images(&stage).await {
        left if left == ["example.com/daemon:1"] => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await;
    stage.stop().await;
}

/// A pod that asks for so much memory; those of the runtime in memory use 1 MiB.
fn asking(memory: &str, more: Value) -> Value {
    let resources = json!({"requests": {"memory": memory}});
    let mut spec =
        json!({"containers": [{"name": "c", "image": "example.com/daemon:1", "resources": resources}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

fn has_taint(node: &Value, key: &str) -> bool {
    node["spec"]["taints"].as_array().is_some_and(|taints| taints.iter().any(|one| one["key"] == key))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_go_one_by_one_when_memory_runs_short_and_critical_ones_stay() {
    let mut stage = Stage::start().await;
    stage.create("critical", json!({"priorityClassName": "system-node-critical"})).await;
    stage.create("within", asking("2Mi", json!({}))).await;
    stage.create("above", json!({})).await;
    for name in ["critical", "within", "above"] {
        stage.until(name, "the pod runs", is_ready).await;
    }
    stage.stop_agent().await;
    stage.leave(Signal::MemoryAvailable, 0);
    stage.start_agent().await;
    let is_evicted = |pod: &Value| pod["status"]["reason"] == "Evicted" && pod["status"]["phase"] == "Failed";
    let above = stage.until("above", "the pod has to go", is_evicted).await;
    let message = above["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("The node was low on resource: memory. "), "{message}");
    assert_eq!(condition(&above, "DisruptionTarget")["reason"], "TerminationByKubelet");
    let within = stage.until("within", "the next one has to go", is_evicted).await;
    let since =
        |pod: &Value| condition(pod, "DisruptionTarget")["lastTransitionTime"].as_str().unwrap().to_owned();
    assert!(since(&above) <= since(&within), "who uses more than was asked for goes first");
    let taint = "node.kubernetes.io/memory-pressure";
    let is_short =
        |node: &Value| condition(node, "MemoryPressure")["status"] == "True" && has_taint(node, taint);
    stage.cluster.until("/api/v1/nodes/real", "the node says that it is short", is_short).await;

    stage.create("new", json!({})).await;
    let refused = stage.until("new", "the pod is refused", is_evicted).await;
    assert_eq!(refused["status"]["message"], "The node had condition: [MemoryPressure]. ");
    stage.until("critical", "the pod goes on", is_ready).await;
    eventually("only that is left", LIMIT, async || match stage.runtime.containers().len() {
        1 => Ok(()),
        left => Err(format!("{left} containers")),
    })
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_that_nobody_uses_go_before_pods_do() {
    let mut stage = Stage::start().await;
    stage.create("p", json!({})).await;
    stage.until("p", "the pod runs", is_ready).await;
    pull(&stage, "example.com/unused:1").await;
    stage.stop_agent().await;
    // The disk of volumes is full, and that of images is not.
    stage.leave(Signal::NodeFsAvailable, 5);
    stage.start_agent().await;
    let is_short = |node: &Value| condition(node, "DiskPressure")["status"] == "True";
    stage.cluster.until("/api/v1/nodes/real", "the node says that it is short", is_short).await;
    stage.until("p", "the pod has to go", |pod| pod["status"]["reason"] == "Evicted").await;
    assert_eq!(images(&stage).await, ["example.com/daemon:1"]);
    stage.stop().await;
}

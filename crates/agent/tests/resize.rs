//! Pods that are resized while they run, between a real API server and a runtime in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod support;

use everynode_client::content_type;
use everynode_model::Value;
use everynode_model::quantity::Quantity;
use serde_json::json;
use support::{PODS, Stage, container, is_ready};

async fn resize(stage: &Stage, name: &str, resources: Value) {
    let patch = json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
    let path = format!("{PODS}/{name}/resize");
    stage.cluster.client.patch(&path, content_type::STRATEGIC_MERGE_PATCH, patch.to_string()).await.unwrap();
}

fn asking(cpu_millis: i64) -> Value {
    json!({"requests": {"cpu": format!("{cpu_millis}m"), "memory": "1Mi"}})
}

async fn create(stage: &Stage, name: &str, resources: Value) {
    let containers = json!([{"name": "c", "image": "example.com/daemon:1", "resources": resources}]);
    stage.create(name, json!({"containers": containers})).await;
    stage.until(name, "the pod runs", is_ready).await;
}

/// The shares and the limit of memory that the runtime has of the one container of a pod.
fn given(stage: &Stage, name: &str) -> (i64, i64) {
    let containers = stage.runtime.containers();
    let of_pod =
        |one: &&everynode_cri::messages::ContainerStatus| one.labels["io.kubernetes.pod.name"] == name;
    let newest = containers.iter().filter(of_pod).max_by_key(|one| one.created_at).unwrap();
    let config = stage.runtime.container_config(&newest.id).unwrap();
    let resources = config.linux.unwrap().resources.unwrap();
    (resources.cpu_shares, resources.memory_limit_in_bytes)
}

/// What is shown of a resize: the reasons of its conditions.
fn resizing(pod: &Value) -> Vec<String> {
    let conditions = pod["status"]["conditions"].as_array().unwrap().iter();
    let of_resize = conditions.filter(|one| one["type"].as_str().unwrap().starts_with("PodResize"));
    of_resize.map(|one| one["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_runs_gets_more_and_its_pod_with_it() {
    let stage = Stage::start().await;
    for controller in ["cpu", "memory"] {
        std::fs::create_dir_all(stage.path("cgroups").join(controller)).unwrap();
    }
    let limited = |memory: &str| json!({"requests": {"cpu": "100m"}, "limits": {"memory": memory}});
    create(&stage, "p", limited("64Mi")).await;
    let pod = stage.until("p", "what it has", |pod| container(pod)["resources"].is_object()).await;
    assert_eq!(container(&pod)["resources"]["limits"]["memory"], "64Mi");
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let file = stage
        .path("cgroups/memory/everynode-test/kubepods/burstable")
        .join(format!("pod{uid}/memory.limit_in_bytes"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), (64 << 20).to_string());

    resize(&stage, "p", limited("128Mi")).await;
    let done = |pod: &Value| {
        container(pod)["resources"]["limits"]["memory"] == "128Mi"
            && resizing(pod).is_empty()
            && pod["status"]["observedGeneration"] == 2
    };
    let pod = stage.until("p", "the container has more", done).await;
    assert_eq!((given(&stage, "p"), &container(&pod)["restartCount"]), ((102, 128 << 20), &json!(0)));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), (128 << 20).to_string());
    stage.delete("p").await;
    stage.until("p", "the pod is gone", Value::is_null).await;
    stage.until_empty().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resize_waits_until_others_leave_room() {
    let mut stage = Stage::start().await;
    let node = stage.cluster.until("/api/v1/nodes/real", "the node", |node| !node.is_null()).await;
    let cpu = node["status"]["allocatable"]["cpu"].as_str().unwrap();
    let all = Quantity::parse(cpu).unwrap().millis();
    create(&stage, "small", asking(100)).await;
    create(&stage, "large", asking(all - 200)).await;
    resize(&stage, "small", asking(300)).await;
    let deferred = |pod: &Value| resizing(pod) == ["Deferred"];
    let pod = stage.until("small", "there is no room", deferred).await;
    assert_eq!(container(&pod)["allocatedResources"]["cpu"], "100m");
    assert_eq!(given(&stage, "small").0, 102);
    stage.stop_agent().await;
    stage.start_agent().await;
    resize(&stage, "large", asking(all - 400)).await;
    let done =
        |pod: &Value| resizing(pod).is_empty() && container(pod)["allocatedResources"]["cpu"] == "300m";
    stage.until("small", "there is room", done).await;
    assert_eq!(given(&stage, "small").0, 307);
    stage.stop().await;
}

//! An agent between a real API server and a runtime in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod support;

use std::path::Path;

use everynode_cri::ErrorKind;
use everynode_cri::messages::{CreateContainerRequest, RunPodSandboxRequest, StartContainerRequest};
use everynode_cri::testing::{End, Fault, How, When};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::{LIMIT, PODS, Stage, container, is_ready};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_goes_on_without_its_agent_and_leaves_nothing() {
    let mut stage = Stage::start().await;
    stage
        .cluster
        .create(
            "/api/v1/namespaces/default/configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "v"}}),
        )
        .await;
    let mounts = json!([{"name": "work", "mountPath": "/work"}, {"name": "conf", "mountPath": "/conf"}]);
    let env = json!([{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]);
    let spec = json!({
        "containers": [{"name": "c", "image": "example.com/daemon:1", "command": ["/d", "--k=$(K)"],
            "env": env, "volumeMounts": mounts, "readinessProbe": {"exec": {"command": ["ok"]}}}],
        "volumes": [{"name": "work", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "m"}}],
    });
    stage.create("p", spec).await;
    let pod = stage.until("p", "the pod runs", is_ready).await;
    let config = stage.runtime.container_config(&stage.runtime.containers()[0].id).unwrap();
    assert_eq!(config.command, ["/d", "--k=v"]);
    let conf = config.mounts.iter().find(|mount| mount.container_path == "/conf").unwrap();
    assert_eq!(std::fs::read_to_string(Path::new(&conf.host_path).join("k")).unwrap(), "v");

    stage.stop_agent().await;
    stage.start_agent().await;
    let ended = stage.runtime.containers()[0].id.clone();
    assert!(stage.runtime.end(&ended, End::Exited(3)));
    let again = stage
        .until("p", "the container runs again", |pod| is_ready(pod) && container(pod)["restartCount"] == 1)
        .await;
    assert_eq!(container(&again)["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(container(&again)["lastState"]["terminated"]["containerID"], container(&pod)["containerID"]);

    stage.delete("p").await;
    stage.until("p", "the pod is gone", Value::is_null).await;
    stage.until_empty().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_refused_or_whose_answer_is_lost_make_no_second_container() {
    let stage = Stage::start().await;
    for when in [When::Before, When::After] {
        for how in [How::Refuse(ErrorKind::Failed), How::Disconnect] {
            stage.runtime.fail_next::<RunPodSandboxRequest>(Fault { when, how });
            stage.runtime.fail_next::<CreateContainerRequest>(Fault { when, how });
            stage.runtime.fail_next::<StartContainerRequest>(Fault { when, how });
        }
    }
    stage.create("p", json!({})).await;
    stage.until("p", "the pod runs", is_ready).await;
    let running = stage.runtime.containers().iter().filter(|one| one.state == 1).count();
    assert_eq!(running, 1);
    stage.delete("p").await;
    stage.until("p", "the pod is gone", Value::is_null).await;
    stage.until_empty().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_were_deleted_while_nobody_looked_are_ended() {
    let mut stage = Stage::start().await;
    stage.create("p", json!({})).await;
    stage.until("p", "the pod runs", is_ready).await;
    stage.stop_agent().await;
    let options = json!({"gracePeriodSeconds": 0});
    stage.cluster.client.delete(&format!("{PODS}/p"), options.to_string()).await.unwrap();
    stage.start_agent().await;
    stage.until_empty().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_container_from_running_is_said() {
    let stage = Stage::start().await;
    let missing = json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x"}}}]);
    for (name, container_spec, reason) in [
        ("image", json!({"image": "example.com/none:1"}), "ImagePullBackOff"),
        ("never", json!({"image": "example.com/none:1", "imagePullPolicy": "Never"}), "ErrImageNeverPull"),
        ("secret", json!({"env": missing}), "CreateContainerConfigError"),
        ("root", json!({"securityContext": {"runAsNonRoot": true}}), "CreateContainerConfigError"),
    ] {
        let mut one = json!({"name": "c", "image": "example.com/daemon:1"});
        one.as_object_mut().unwrap().extend(container_spec.as_object().unwrap().clone());
        stage.create(name, json!({"containers": [one]})).await;
        stage.until(name, reason, |pod| container(pod)["state"]["waiting"]["reason"] == reason).await;
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_of_one_name_make_no_second_container() {
    let mut stage = Stage::start().await;
    let first = stage.agent.take().unwrap();
    stage.start_agent().await;
    for name in ["p", "q"] {
        stage.create(name, json!({})).await;
    }
    for name in ["p", "q"] {
        stage.until(name, "the pod runs", is_ready).await;
    }
    let running = stage.runtime.containers().iter().filter(|one| one.state == 1).count();
    assert_eq!(running, 2);
    for name in ["p", "q"] {
        stage.delete(name).await;
        stage.until(name, "the pod is gone", Value::is_null).await;
    }
    stage.until_empty().await;
    first.0.cancel();
    first.1.await.unwrap();
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_go_on_and_are_made_again_while_the_api_is_gone() {
    let mut stage = Stage::start().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "v"}});
    stage.cluster.create("/api/v1/namespaces/default/configmaps", map).await;
    let env = json!([{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]);
    let container =
        json!({"name": "c", "image": "example.com/daemon:1", "command": ["/d", "$(K)"], "env": env});
    stage.create("p", json!({"containers": [container]})).await;
    stage.until("p", "the pod runs", is_ready).await;
    let first = stage.runtime.containers()[0].id.clone();
    let agent = stage.agent.take().unwrap();
    stage.cluster.stop().await;
    assert!(stage.runtime.end(&first, End::Exited(1)));
    let running = || {
        let containers = stage.runtime.containers();
        containers.into_iter().find(|one| one.id != first && one.state == 1)
    };
    eventually("the container runs again", LIMIT, async || running().ok_or("not yet".to_owned())).await;
    let config = stage.runtime.container_config(&running().unwrap().id).unwrap();
    assert_eq!(config.command, ["/d", "v"]);
    agent.0.cancel();
    agent.1.await.unwrap();
}

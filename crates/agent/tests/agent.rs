//! An agent between a real API server and a runtime in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::path::Path;
use std::time::Duration;

use everynode_agent::{AgentConfig, Names, Registration};
use everynode_cri::ErrorKind;
use everynode_cri::messages::{CreateContainerRequest, RunPodSandboxRequest, StartContainerRequest};
use everynode_cri::testing::{End, FakeRuntime, Fault, Generation, How, Listening, When};
use everynode_model::Value;
use everynode_testkit::cluster::Cluster;
use everynode_testkit::wait::eventually;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PODS: &str = "/api/v1/namespaces/default/pods";
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster with one node, whose agent can be stopped and started again.
struct Stage {
    cluster: Cluster,
    runtime: FakeRuntime,
    folder: tempfile::TempDir,
    _listening: Listening,
    agent: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Stage {
    async fn start() -> Stage {
        let mut cluster = Cluster::start(everynode_apiserver::Config::default()).await;
        cluster.run_loops(|_| {});
        cluster
            .until("/api/v1/namespaces/default/serviceaccounts/default", "an account", |one| !one.is_null())
            .await;
        let folder = tempfile::tempdir().unwrap();
        let now = cluster.client.clock().unix_millis() * 1_000_000;
        let runtime = FakeRuntime::new(Generation::Old, now);
        runtime.offer_image("example.com/daemon:1");
        let listening = runtime.listen(&folder.path().join("runtime.sock")).unwrap();
        let mut stage = Stage { cluster, runtime, folder, _listening: listening, agent: None };
        stage.start_agent();
        stage.cluster.until("/api/v1/nodes/real", "the node", |node| !node.is_null()).await;
        stage
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn start_agent(&mut self) {
        let config = AgentConfig {
            node_name: "real".to_owned(),
            node_ips: vec!["127.0.0.1".to_owned()],
            runtime: self.path("runtime.sock").to_string_lossy().parse().unwrap(),
            root_dir: self.path("root"),
            logs_dir: self.path("logs"),
            cgroup_root: "/everynode-test".to_owned(),
            names: Names::default(),
            registration: Registration { max_pods: 10, ..Registration::default() },
        };
        std::fs::create_dir_all(&config.root_dir).unwrap();
        let cancelled = CancellationToken::new();
        let running = everynode_agent::run(self.cluster.client.clone(), config, cancelled.clone());
        self.agent = Some((cancelled, tokio::spawn(async move { running.await.unwrap() })));
    }

    async fn stop_agent(&mut self) {
        let (cancelled, running) = self.agent.take().unwrap();
        cancelled.cancel();
        running.await.unwrap();
    }

    async fn create(&self, name: &str, more: Value) {
        let mut spec = json!({
            "nodeName": "real",
            "hostNetwork": true,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "example.com/daemon:1"}],
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        self.cluster.create(PODS, pod).await;
    }

    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.cluster.until(&format!("{PODS}/{name}"), what, wanted).await
    }

    async fn delete(&self, name: &str) {
        self.cluster.client.delete(&format!("{PODS}/{name}"), "").await.unwrap();
    }

    /// Nothing of any pod is left on the node.
    async fn until_empty(&self) {
        eventually("nothing is left", LIMIT, async || {
            let (sandboxes, containers) = (self.runtime.sandboxes().len(), self.runtime.containers().len());
            let folders = [count(&self.path("root/pods")), count(&self.path("logs"))];
            match (sandboxes, containers, folders) {
                (0, 0, [0, 0]) => Ok(()),
                left => Err(format!("{left:?}")),
            }
        })
        .await;
    }

    async fn stop(mut self) {
        self.stop_agent().await;
        self.cluster.stop().await;
    }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

fn is_ready(pod: &Value) -> bool {
    everynode_model::Phase::of(pod) == everynode_model::Phase::Running && container(pod)["ready"] == true
}

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
    stage.start_agent();
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
    stage.start_agent();
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

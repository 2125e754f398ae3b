//! A cluster with one node, whose runtime is in memory.
#![allow(dead_code, reason = "not every test needs everything")]

pub mod direct;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everynode_agent::{
    AgentConfig, Cgroups, ImageGc, Meter, Names, Readings, Registration, Room, Signal, StaticPods, Thresholds,
};
use everynode_client::Client;
use everynode_cri::testing::{FakeRuntime, Generation, Listening};
use everynode_model::Value;
use everynode_testkit::cluster::Cluster;
use everynode_testkit::wait::eventually;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const LIMIT: Duration = Duration::from_secs(60);

/// A cluster with one node, whose agent can be stopped and started again.
pub struct Stage {
    pub cluster: Cluster,
    pub runtime: FakeRuntime,
    /// What the machine has left; by itself nothing is known.
    pub readings: Arc<Mutex<Readings>>,
    folder: tempfile::TempDir,
    _listening: Listening,
    pub agent: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Stage {
    pub async fn start() -> Stage {
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
        let mut stage =
            Stage { cluster, runtime, readings: Arc::default(), folder, _listening: listening, agent: None };
        stage.start_agent().await;
        stage.cluster.until("/api/v1/nodes/real", "the node", |node| !node.is_null()).await;
        stage
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub async fn start_agent(&mut self) {
        // An agent has no more rights than its node.
        let credentials =
            self.cluster.server.node_credentials("real", &[], self.cluster.server.address()).unwrap();
        let client = Client::from_kubeconfig_text(&credentials.kubeconfig).await.unwrap();
        let readings = self.readings.clone();
        let config = AgentConfig {
            node_name: "real".to_owned(),
            node_ips: vec!["127.0.0.1".to_owned()],
            runtime: self.path("runtime.sock").to_string_lossy().parse().unwrap(),
            kubelet: Some(([127, 0, 0, 1], 0).into()),
            root_dir: self.path("root"),
            logs_dir: self.path("logs"),
            cgroup_root: "/everynode-test".to_owned(),
            cgroups: Cgroups::new(&self.path("cgroups")),
            names: Names::default(),
            registration: Registration { max_pods: 10, ..Registration::default() },
            static_pods: Some(StaticPods::new(self.path("manifests"), |manifest, node| {
                everynode_admission::static_pod(manifest, node).map_err(|refusal| refusal.message)
            })),
            meter: Meter::new(move |_| readings.lock().unwrap().clone()),
            image_gc: ImageGc { least_age: Duration::ZERO, ..ImageGc::default() },
            eviction_hard: Thresholds::default(),
        };
        std::fs::create_dir_all(&config.root_dir).unwrap();
        let cancelled = CancellationToken::new();
        let running = everynode_agent::run(client, config, cancelled.clone());
        self.agent = Some((cancelled, tokio::spawn(async move { running.await.unwrap() })));
    }

    pub async fn stop_agent(&mut self) {
        let (cancelled, running) = self.agent.take().unwrap();
        cancelled.cancel();
        running.await.unwrap();
    }

    pub async fn create(&self, name: &str, more: Value) {
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

    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.cluster.until(&format!("{PODS}/{name}"), what, wanted).await
    }

    pub async fn delete(&self, name: &str) {
        self.cluster.client.delete(&format!("{PODS}/{name}"), "").await.unwrap();
    }

    /// Nothing of any pod is left on the node.
    pub async fn until_empty(&self) {
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

    /// From now on the machine has so much left of something, in percent.
    pub fn leave(&self, signal: Signal, percent: u64) {
        self.readings.lock().unwrap().insert(signal, Room { capacity: 100 << 30, available: percent << 30 });
    }

    pub async fn stop(mut self) {
        self.stop_agent().await;
        self.cluster.stop().await;
    }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

pub fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

pub fn is_ready(pod: &Value) -> bool {
    everynode_model::Phase::of(pod) == everynode_model::Phase::Running && container(pod)["ready"] == true
}

//! A cluster that has no DaemonSet controller, for tests that bring one: `up --no-controller`, or any cluster.
//!
//! `EVERYNODE_TEST_KUBECONFIG` names the kubeconfig of a cluster whose DaemonSet controller is off; simulated nodes
//! join it, and leave it at the end. `EVERYNODE_TEST_AUDIT_LOG` names its audit log, where it has one.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use everynode_client::{Client, content_type};
use serde_json::{Value, json};

use super::{Cluster, LIMIT, eventually, everynode, get};

/// A cluster without a DaemonSet controller, with simulated nodes and a namespace of its own.
pub struct Bare {
    pub client: Client,
    pub kubeconfig: PathBuf,
    pub namespace: String,
    pub nodes: Vec<String>,
    pub audit_log: Option<PathBuf>,
    /// Dropped last: the nodes leave while the cluster still answers.
    agents: Option<Child>,
    cluster: Option<Cluster>,
}

impl Bare {
    pub async fn start(count: usize) -> Bare {
        let kubeconfig = std::env::var_os("EVERYNODE_TEST_KUBECONFIG");
        Bare::start_on(kubeconfig.map(PathBuf::from), count).await
    }

    /// On the cluster of this kubeconfig, or else on an embedded one.
    pub async fn start_on(kubeconfig: Option<PathBuf>, count: usize) -> Bare {
        let suffix = format!("{:08x}", fastrand::u32(..));
        let bare = match kubeconfig {
            Some(kubeconfig) => Bare::join(kubeconfig, &suffix, count).await,
            None => Bare::embedded(&suffix, count).await,
        };
        bare.prepare().await;
        bare
    }

    async fn embedded(suffix: &str, count: usize) -> Bare {
        let audit_log = std::env::temp_dir().join(format!("everynode-audit-{suffix}.log"));
        let (log, nodes) = (audit_log.display().to_string(), count.to_string());
        let args = ["--no-controller", "--audit-log", &log, "--nodes", &nodes, "--pod-start", "50ms"];
        let cluster = tokio::task::spawn_blocking({
            let args = args.map(str::to_owned);
            move || Cluster::start(&args.each_ref().map(String::as_str))
        })
        .await
        .unwrap();
        Bare {
            client: cluster.client().await,
            kubeconfig: cluster.kubeconfig.clone(),
            namespace: format!("test-{suffix}"),
            nodes: (1..=count).map(|n| format!("node-{n}")).collect(),
            audit_log: Some(audit_log),
            agents: None,
            cluster: Some(cluster),
        }
    }

    async fn join(kubeconfig: PathBuf, suffix: &str, count: usize) -> Bare {
        let prefix = format!("test-{suffix}-");
        let agents = everynode()
            .args(["nodes", "--simulate", &count.to_string(), "--name-prefix", &prefix, "--clean-up"])
            .args(["--pod-start", "50ms", "--kubeconfig"])
            .arg(&kubeconfig)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Bare {
            client: Client::from_file(&kubeconfig).await.unwrap(),
            kubeconfig,
            namespace: format!("test-{suffix}"),
            nodes: (1..=count).map(|n| format!("{prefix}{n}")).collect(),
            audit_log: std::env::var_os("EVERYNODE_TEST_AUDIT_LOG").map(PathBuf::from),
            agents: Some(agents),
            cluster: None,
        }
    }

    async fn prepare(&self) {
        let namespace = json!({"metadata": {"name": self.namespace}});
        self.client.post("/api/v1/namespaces", namespace.to_string()).await.unwrap();
        let account = format!("/api/v1/namespaces/{}/serviceaccounts/default", self.namespace);
        eventually("the namespace has its service account", LIMIT, async || {
            self.client.get(&account).await.map(drop).map_err(|e| e.to_string())
        })
        .await;
        eventually("the nodes are ready", LIMIT, async || {
            let nodes = get(&self.client, "/api/v1/nodes").await;
            let ready: HashSet<&str> =
                nodes["items"].as_array().unwrap().iter().filter_map(ready_name).collect();
            let missing = self.nodes.iter().filter(|name| !ready.contains(name.as_str())).count();
            if missing == 0 { Ok(()) } else { Err(format!("{missing} are not")) }
        })
        .await;
    }

    /// The path of the DaemonSets, or of one.
    pub fn daemonsets(&self, name: &str) -> String {
        let path = format!("/apis/apps/v1/namespaces/{}/daemonsets", self.namespace);
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }

    /// The path of the pods.
    pub fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    /// Creates a DaemonSet for the nodes of this test, with a quarter of them unavailable at most.
    pub async fn create_daemonset(&self, name: &str, strategy: Value) {
        let expressions = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": self.nodes}]);
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": expressions}],
        }}});
        let daemonset = json!({
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "updateStrategy": strategy,
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "affinity": affinity,
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{"name": "main", "image": "example/agent:1"}],
                    },
                },
            },
        });
        self.client.post(&self.daemonsets(""), daemonset.to_string()).await.unwrap();
    }

    /// Starts a roll-out by another annotation of the template.
    pub async fn change_template(&self, name: &str, revision: &str) {
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {"revision": revision}}}}});
        let kind = content_type::STRATEGIC_MERGE_PATCH;
        self.client.patch(&self.daemonsets(name), kind, patch.to_string()).await.unwrap();
    }

    /// Waits until a DaemonSet runs its present template on every node of this test.
    pub async fn rolled_out(&self, name: &str, limit: Duration) {
        eventually(&format!("the roll-out of {name} ends"), limit, async || {
            let daemonset = get(&self.client, &self.daemonsets(name)).await;
            let status = &daemonset["status"];
            let done = status["observedGeneration"] == daemonset["metadata"]["generation"]
                && ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"]
                    .iter()
                    .all(|field| status[*field] == json!(self.nodes.len()));
            if done { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    /// Waits until a controller has looked at the present generation.
    pub async fn observed(&self, name: &str) {
        eventually(&format!("{name} is looked at"), LIMIT, async || {
            let daemonset = get(&self.client, &self.daemonsets(name)).await;
            let (seen, wanted) =
                (&daemonset["status"]["observedGeneration"], &daemonset["metadata"]["generation"]);
            if seen == wanted { Ok(()) } else { Err(format!("{seen} of {wanted}")) }
        })
        .await;
    }

    /// A command that runs a controller on this cluster; the name tells it from others.
    pub fn controller(&self, name: &str) -> Command {
        let mut command = everynode();
        command.args(["controller", "--listen", "127.0.0.1:0", "--kubeconfig"]).arg(&self.kubeconfig);
        command.args(["--leader-elect-resource-namespace", &self.namespace]);
        command.args(["--namespace", &self.namespace]);
        command.env("HOSTNAME", name).stdout(Stdio::null());
        command
    }
}

/// The name of a node that takes pods.
fn ready_name(node: &Value) -> Option<&str> {
    let conditions = node["status"]["conditions"].as_array()?;
    let is_ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    let is_tainted = node["spec"]["taints"].as_array().is_some_and(|taints| !taints.is_empty());
    node["metadata"]["name"].as_str().filter(|_| is_ready && !is_tainted)
}

impl Drop for Bare {
    fn drop(&mut self) {
        if let Some(agents) = &mut self.agents {
            // Waits until the last pod is gone: what comes next starts with a quiet cluster.
            let namespace = ["delete", "namespace", &self.namespace, "--timeout=10m"];
            let _ = super::kubectl(&self.kubeconfig).args(namespace).output();
            let _ = Command::new("kill").arg(agents.id().to_string()).status();
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && matches!(agents.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = agents.kill();
            let _ = agents.wait();
        }
        self.cluster.take();
        if let (None, Some(log)) = (&self.agents, &self.audit_log) {
            let _ = std::fs::remove_file(log);
        }
    }
}

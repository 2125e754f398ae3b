//! A cluster for tests: the embedded API server, the controller, and stand-ins for scheduler and kubelets.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use everynode_apiserver::{Config, Server};
use everynode_client::{Client, Error, Event, ListWatch, content_type};
use everynode_controller::{Controller, ControllerConfig, Metrics};
use everynode_testkit::wait::eventually;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The longest wait for a condition: many clusters share a machine that others work on too.
const LIMIT: Duration = Duration::from_secs(180);

pub const DAEMONSETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
pub const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const EVENTS: &str = "/api/v1/namespaces/default/events";

/// A server, a client, and what runs against them.
pub struct Cluster {
    pub client: Client,
    server: Option<Server>,
    kubelets: JoinHandle<()>,
    controller: Option<Running>,
}

struct Running {
    cancel: CancellationToken,
    task: JoinHandle<Result<(), everynode_controller::Error>>,
    metrics: Metrics,
}

impl Cluster {
    /// A server without nodes, and a controller that works on it.
    pub async fn start() -> Cluster {
        Cluster::start_with(Config { service_account_admission: false, ..Config::default() }).await
    }

    pub async fn start_with(config: Config) -> Cluster {
        let server = Server::start(config).await.expect("the server starts");
        let client =
            Client::from_kubeconfig_text(&server.kubeconfig()).await.expect("its kubeconfig is good");
        if client.get("/api/v1/namespaces/default").await.is_err() {
            let namespace = json!({"metadata": {"name": "default"}});
            client.post("/api/v1/namespaces", namespace.to_string()).await.expect("a namespace is made");
        }
        let kubelets = tokio::spawn(kubelets(client.clone()));
        let mut cluster = Cluster { client, server: Some(server), kubelets, controller: None };
        cluster.start_controller();
        cluster
    }

    /// A server without nodes; nothing works on it yet.
    pub async fn start_idle() -> Cluster {
        let mut cluster = Cluster::start().await;
        cluster.stop_controller().await;
        cluster
    }

    /// Ends the server and starts one on the same address.
    pub async fn restart_server(&mut self, config: Config) {
        let server = self.server.take().expect("a server runs");
        let listen = server.address();
        server.shutdown().await;
        let config = Config { listen, ..config };
        self.server = Some(Server::start(config).await.expect("the server starts again"));
    }

    /// Starts a controller with new figures.
    pub fn start_controller(&mut self) {
        self.start_controller_of(None);
    }

    /// Starts a controller of one namespace or all.
    pub fn start_controller_of(&mut self, namespace: Option<&str>) {
        let namespace = namespace.map(str::to_owned);
        let config = ControllerConfig { namespace, ..ControllerConfig::default() };
        self.start_controller_over(self.client.clone(), config);
    }

    /// Starts a controller that has another way to the server.
    pub fn start_controller_over(&mut self, client: Client, config: ControllerConfig) {
        let (cancel, metrics) = (CancellationToken::new(), config.metrics.clone());
        let task = tokio::spawn(Controller::run(client, config, cancel.clone()));
        self.controller = Some(Running { cancel, task, metrics });
    }

    pub async fn stop_controller(&mut self) {
        let Some(Running { cancel, task, .. }) = self.controller.take() else { return };
        cancel.cancel();
        let ended = tokio::time::timeout(LIMIT, task).await.expect("the controller ends when cancelled");
        ended.expect("it does not panic").expect("it ends well");
    }

    pub async fn stop(mut self) {
        self.stop_controller().await;
        self.kubelets.abort();
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
    }

    /// The requests that the controller made, by method.
    pub fn requests(&self, method: &str) -> u64 {
        self.figures("rest_client_requests_total{", &format!(r#"method="{method}""#)).iter().sum()
    }

    /// How often the watch of each kind was interrupted.
    pub fn interruptions(&self) -> Vec<u64> {
        self.figures("everynode_watch_interruptions_total{", "kind=")
    }

    /// The figures of the controller under a name, with this among their labels.
    fn figures(&self, name: &str, label: &str) -> Vec<u64> {
        let metrics = &self.controller.as_ref().expect("a controller runs").metrics;
        let text = metrics.encode();
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect()
    }

    pub async fn add_node(&self, name: &str, labels: Value) {
        let node = json!({"metadata": {"name": name, "labels": labels}});
        self.client.post("/api/v1/nodes", node.to_string()).await.expect("a node is made");
        // A new node is not ready until its kubelet says so.
        let ready = json!({"spec": {"taints": null}});
        self.merge(&format!("/api/v1/nodes/{name}"), ready).await;
    }

    pub async fn create(&self, path: &str, object: Value) -> Value {
        parse(
            &self.client.post(path, object.to_string()).await.unwrap_or_else(|e| panic!("POST {path}: {e}")),
        )
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        match self.client.get(path).await {
            Ok(object) => Some(parse(&object)),
            Err(error) if error.is_not_found() => None,
            Err(error) => panic!("GET {path}: {error}"),
        }
    }

    pub async fn list(&self, path: &str) -> Vec<Value> {
        let list = parse(&self.client.get(path).await.unwrap_or_else(|e| panic!("GET {path}: {e}")));
        list["items"].as_array().cloned().unwrap_or_default()
    }

    pub async fn merge(&self, path: &str, patch: Value) -> Value {
        let answer = self.client.patch(path, content_type::MERGE_PATCH, patch.to_string()).await;
        parse(&answer.unwrap_or_else(|e| panic!("PATCH {path}: {e}")))
    }

    /// The pods of a DaemonSet that are not being deleted.
    pub async fn pods(&self, app: &str) -> Vec<Value> {
        let pods = self.list(&format!("{PODS}?labelSelector=app%3D{app}")).await;
        pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    /// The nodes of these pods, sorted.
    pub async fn nodes_of(&self, app: &str) -> Vec<String> {
        let mut nodes: Vec<String> = self.pods(app).await.iter().map(target).collect();
        nodes.sort();
        nodes
    }

    pub async fn daemonset(&self, name: &str) -> Value {
        self.get(&format!("{DAEMONSETS}/{name}")).await.unwrap_or_default()
    }

    /// Waits until the DaemonSet's status says that so many are desired, updated and available.
    pub async fn settled(&self, name: &str, count: i64) {
        self.until(&format!("{name} has {count} available pods"), async || {
            let daemonset = self.daemonset(name).await;
            let status = &daemonset["status"];
            let numbers = ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"];
            let done = status["observedGeneration"] == daemonset["metadata"]["generation"]
                && numbers.iter().all(|key| status[*key].as_i64().unwrap_or(0) == count);
            done.then_some(()).ok_or_else(|| status.to_string())
        })
        .await;
    }

    /// Waits until a condition holds; it gives what to show when it never does.
    pub async fn until<T>(&self, what: &str, condition: impl AsyncFn() -> Result<T, String>) -> T {
        eventually(what, LIMIT, condition).await
    }
}

/// A DaemonSet whose pods have the label `app: <name>`.
pub fn daemonset(name: &str, image: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    })
}

/// A patch of the image.
pub fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}})
}

pub fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("the server answers with JSON")
}

/// The node that a pod is for.
pub fn target(pod: &Value) -> String {
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let value = &required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0];
    value.as_str().unwrap_or_default().to_owned()
}

/// Follows all pods and panics when a node gets a second live pod of an app; gives how many pods it saw.
pub async fn watch_for_twins(client: Client, cancel: CancellationToken) -> usize {
    let mut events = ListWatch::new("/api/v1/pods").run(client);
    let mut live: HashMap<String, (String, String)> = HashMap::new();
    let mut seen = HashSet::new();
    while let Some(Some(event)) = cancel.run_until_cancelled(events.next()).await {
        let (object, is_gone) = match event {
            Event::InitialObject(object) | Event::Applied(object) => (parse(&object), false),
            Event::Deleted(object) => (parse(&object), true),
            _ => continue,
        };
        let uid = object["metadata"]["uid"].to_string();
        if is_gone {
            live.remove(&uid);
            continue;
        }
        let place = (object["metadata"]["labels"]["app"].to_string(), target(&object));
        seen.insert(uid.clone());
        let twin = live.iter().find(|(other, there)| **other != uid && **there == place);
        assert!(twin.is_none(), "{place:?} has {uid} beside {twin:?}");
        live.insert(uid, place);
    }
    seen.len()
}

/// Binds each pod to its node, makes it ready unless its image is `never-ready`, and ends it when it is deleted.
async fn kubelets(client: Client) {
    let mut events = ListWatch::new("/api/v1/pods").run(client.clone());
    let mut started = HashSet::new();
    while let Some(event) = events.next().await {
        let (Event::InitialObject(object) | Event::Applied(object)) = event else { continue };
        let pod = parse(&object);
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        let path = format!("/api/v1/namespaces/{}/pods/{}", text("namespace"), text("name"));
        let result = if pod["metadata"]["deletionTimestamp"].is_string() {
            client.delete(&path, json!({"gracePeriodSeconds": 0}).to_string()).await
        } else if started.insert(text("uid")) {
            run_pod(&client, &path, &pod).await
        } else {
            continue;
        };
        // The pod may be gone by now.
        if let Err(error) = result
            && !error.is_not_found()
            && !error.is_conflict()
        {
            eprintln!("{path}: {error}");
        }
    }
}

async fn run_pod(client: &Client, path: &str, pod: &Value) -> Result<Bytes, Error> {
    let binding = json!({"metadata": {"name": pod["metadata"]["name"]}, "target": {"kind": "Node", "name": target(pod)}});
    client.post(&format!("{path}/binding"), binding.to_string()).await?;
    if pod["spec"]["containers"][0]["image"] == "never-ready" {
        return Ok(Bytes::new());
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
    let status = json!({"status": {"phase": "Running", "conditions": [ready]}});
    client.patch(&format!("{path}/status"), content_type::MERGE_PATCH, status.to_string()).await
}

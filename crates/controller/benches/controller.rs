//! What the controller costs, apart from the API server beside it: CPU time of its threads alone.
//!
//! `cargo bench -p everynode-controller --bench controller [-- NODES]`; 5,000 nodes unless given. Linux only, because
//! CPU time by thread is read from /proc.

#![allow(clippy::expect_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use everynode_apiserver::{Config, Server};
use everynode_client::{Client, content_type};
use everynode_controller::{Controller, ControllerConfig, Metrics};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// The name of the controller's threads.
const THREADS: &str = "controller";
/// Requests of the benchmark itself at a time.
const REQUESTS: usize = 32;
const DAEMONSETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";

fn main() {
    let nodes = std::env::args().skip(1).find_map(|one| one.parse().ok()).unwrap_or(5_000);
    let world = Builder::new_multi_thread().thread_name("world").worker_threads(2).enable_all().build();
    let own = Builder::new_multi_thread().thread_name(THREADS).worker_threads(2).enable_all().build();
    let (world, own) = (world.expect("a runtime"), own.expect("a runtime"));
    let (server, client) = world.block_on(start());
    let kubeconfig = server.kubeconfig();
    world.block_on(make_nodes(&client, nodes));

    let (cancel, metrics) = (CancellationToken::new(), Metrics::new());
    let config = ControllerConfig { metrics: metrics.clone(), ..ControllerConfig::default() };
    let controller = own.spawn({
        let cancel = cancel.clone();
        async move {
            // The client is made here, so that its connections are served by these threads.
            let client = Client::from_kubeconfig_text(&kubeconfig).await.expect("the kubeconfig is good");
            Controller::run(client, config, cancel).await
        }
    });
    report("list of the nodes", nodes, &world, async {}, async || metrics.is_synced());

    let creation = async {
        client.post(DAEMONSETS, daemonset().to_string()).await.expect("a DaemonSet is made");
    };
    let count = nodes as i64;
    report("pods created", nodes, &world, creation, async || {
        status(&client, "currentNumberScheduled").await == count
    });
    println!("{}", latencies(&metrics));

    let pods = world.block_on(pod_names(&client));
    report("pods bound and made ready", nodes, &world, make_ready(&client, pods), async || {
        status(&client, "numberReady").await == count
    });

    let before = facts(&metrics, "node");
    report("node heartbeats", nodes, &world, heartbeats(&client, nodes), async || {
        facts(&metrics, "node") >= before + nodes as u64
    });

    let rest = async { tokio::time::sleep(Duration::from_secs(5)).await };
    report("seconds at rest", 5, &world, rest, async || true);

    cancel.cancel();
    own.block_on(controller).expect("no panic").expect("a good end");
    world.block_on(server.shutdown());
}

async fn start() -> (Server, Client) {
    let config = Config { service_account_admission: false, ..Config::default() };
    let server = Server::start(config).await.expect("the server starts");
    let client = Client::from_kubeconfig_text(&server.kubeconfig()).await.expect("its kubeconfig is good");
    // Refused where the server makes it itself.
    let _ = client.post("/api/v1/namespaces", json!({"metadata": {"name": "default"}}).to_string()).await;
    (server, client)
}

/// Does some work, waits for a condition, and prints the time and the controller's CPU time until it holds.
fn report(what: &str, count: usize, world: &Runtime, work: impl Future, holds: impl AsyncFn() -> bool) {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    world.block_on(async {
        work.await;
        while !holds().await {
            assert!(began.elapsed() < Duration::from_secs(300), "{what}: never done");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let (cpu, wall) = (cpu_seconds() - cpu, began.elapsed().as_secs_f64());
    let each = cpu * 1e6 / count as f64;
    println!("{what}: {count} in {wall:.2} s, controller CPU {cpu:.2} s, {each:.0} us each");
}

/// User and system time of the controller's threads.
fn cpu_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let ticks: u64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter(|stat| stat.contains(&format!("({THREADS})")))
        .filter_map(|stat| {
            let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        })
        .sum();
    // Linux counts in hundredths of a second.
    ticks as f64 / 100.0
}

async fn for_each<T>(items: impl IntoIterator<Item = T>, f: impl AsyncFn(T)) {
    stream::iter(items).for_each_concurrent(REQUESTS, |item| f(item)).await;
}

async fn make_nodes(client: &Client, count: usize) {
    for_each(0..count, async |node| {
        let name = format!("node-{node:05}");
        let zone = format!("zone-{}", node % 3);
        let labels = json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "zone": zone});
        let images: Vec<Value> =
            (0..40).map(|image| json!({"names": [format!("registry.example/image-{image}:v1")]})).collect();
        let object = json!({"metadata": {"name": name, "labels": labels}, "status": {"images": images}});
        client.post("/api/v1/nodes", object.to_string()).await.expect("a node is made");
        let patch = json!({"spec": {"taints": null}}).to_string();
        let path = format!("/api/v1/nodes/{name}");
        client.patch(&path, content_type::MERGE_PATCH, patch).await.expect("a node is patched");
    })
    .await;
}

async fn heartbeats(client: &Client, count: usize) {
    for_each(0..count, async |node| {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": now});
        let patch = json!({"status": {"conditions": [condition], "daemonEndpoints": {"kubeletEndpoint": {"Port": 1 + node % 60_000}}}});
        let path = format!("/api/v1/nodes/node-{node:05}/status");
        client.patch(&path, content_type::MERGE_PATCH, patch.to_string()).await.expect("a heartbeat");
    })
    .await;
}

async fn pod_names(client: &Client) -> Vec<(String, String)> {
    let list: Value =
        serde_json::from_slice(&client.get("/api/v1/namespaces/default/pods").await.expect("a list"))
            .expect("JSON");
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    let pair = |pod: &Value| {
        let required =
            &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let node = &required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0];
        Some((pod["metadata"]["name"].as_str()?.to_owned(), node.as_str()?.to_owned()))
    };
    pods.iter().filter_map(pair).collect()
}

async fn make_ready(client: &Client, pods: Vec<(String, String)>) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
    let status = json!({"status": {"phase": "Running", "conditions": [ready]}}).to_string();
    for_each(pods, async |(pod, node)| {
        let path = format!("/api/v1/namespaces/default/pods/{pod}");
        let binding = json!({"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}});
        client.post(&format!("{path}/binding"), binding.to_string()).await.expect("a pod is bound");
        let path = format!("{path}/status");
        client.patch(&path, content_type::MERGE_PATCH, status.clone()).await.expect("a pod is made ready");
    })
    .await;
}

fn daemonset() -> Value {
    let labels = json!({"app": "bench"});
    let env: Vec<Value> =
        (0..20).map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "some text"})).collect();
    let container = json!({"name": "main", "image": "registry.example/agent:v1", "env": env,
        "volumeMounts": [{"name": "logs", "mountPath": "/var/log"}]});
    let spec =
        json!({"containers": [container], "volumes": [{"name": "logs", "hostPath": {"path": "/var/log"}}]});
    json!({
        "metadata": {"name": "bench"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    })
}

async fn status(client: &Client, number: &str) -> i64 {
    let object = client.get(&format!("{DAEMONSETS}/bench")).await.expect("the DaemonSet is there");
    let object: Value = serde_json::from_slice(&object).expect("JSON");
    object["status"][number].as_i64().unwrap_or_default()
}

fn figure(metrics: &Metrics, start: &str) -> f64 {
    let text = metrics.encode();
    let line = text.lines().find(|line| line.starts_with(start));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

fn facts(metrics: &Metrics, kind: &str) -> u64 {
    figure(metrics, &format!(r#"everynode_facts_total{{kind="{kind}"}}"#)) as u64
}

fn latencies(metrics: &Metrics) -> String {
    let mean = |name: &str| {
        let count = figure(metrics, &format!("{name}_count")).max(1.0);
        figure(metrics, &format!("{name}_sum")) * 1e3 / count
    };
    format!(
        "mean from event to decision {:.2} ms, from decision to answer {:.2} ms",
        mean("everynode_event_to_decision_seconds"),
        mean("everynode_decision_to_write_seconds"),
    )
}

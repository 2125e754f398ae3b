//! The figures of `everynode up` in BENCHMARKS.md, measured on the built binary from outside.
//!
//! `cargo bench -p everynode-cli` prints a table; a word after `--` narrows it to the rows that contain it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use common::{eventually, spawn};
use everynode_client::{Client, content_type};
use futures::StreamExt;
use serde_json::{Value, json};

const DAEMONSETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!("| what | figure |\n|---|---|");
    if "start".contains(&wanted) || wanted.contains("start") {
        start(false).await;
        start(true).await;
    }
    if wanted.is_empty() || wanted.contains("creates") {
        durable_creates(1, 2_000).await;
        durable_creates(64, 20_000).await;
    }
    if wanted.is_empty() || wanted.contains("definitions") {
        definitions(100).await;
        definitions(1_000).await;
    }
    for nodes in [1_000, 5_000] {
        if wanted.is_empty() || wanted.contains("fleet") || wanted.contains(&nodes.to_string()) {
            fleet(nodes).await;
        }
    }
}

fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

struct Running {
    process: Child,
    client: Client,
    directory: tempfile::TempDir,
}

impl Running {
    async fn start(args: &[&str]) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let (process, client) = Running::launch(&data, args).await;
        Running { process, client, directory }
    }

    async fn launch(data: &Path, args: &[&str]) -> (Child, Client) {
        let mut arguments = vec!["--data-dir", data.to_str().unwrap()];
        arguments.extend(args);
        let (process, _) = spawn(&arguments);
        let client = Client::from_file(&data.join("kubeconfig")).await.unwrap();
        (process, client)
    }

    /// A line of /proc/PID/status in MB.
    fn memory_mb(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// CPU seconds of the process, user and system.
    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let ticks = |n: usize| after_name.split_whitespace().nth(n).unwrap().parse::<f64>().unwrap();
        // utime and stime are fields 14 and 15, in ticks of 10 ms.
        (ticks(11) + ticks(12)) / 100.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn start(again: bool) {
    let mut millis = Vec::new();
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        if again {
            let (mut process, _) = Running::launch(&data, &[]).await;
            process.kill().unwrap();
            process.wait().unwrap();
        }
        let begun = Instant::now();
        let (mut process, client) = Running::launch(&data, &[]).await;
        client.get("/api/v1/namespaces/default").await.unwrap();
        millis.push(begun.elapsed().as_secs_f64() * 1_000.0);
        process.kill().unwrap();
        process.wait().unwrap();
    }
    millis.sort_by(f64::total_cmp);
    let (median, worst) = (millis[millis.len() / 2], millis[millis.len() - 1]);
    let what = if again { "existing data" } else { "new data directory" };
    row(
        &format!("process start to first answered request, {what}"),
        &format!("{median:.0} ms median, {worst:.0} ms worst of {}", millis.len()),
    );
}

async fn durable_creates(writers: usize, count: usize) {
    let running = Running::start(&["--nodes", "0"]).await;
    let begun = Instant::now();
    let create = |n: usize| {
        let client = running.client.clone();
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{n}")},
                          "data": {"key": "v".repeat(1_000)}});
        async move { client.post("/api/v1/namespaces/default/configmaps", body.to_string()).await.unwrap() }
    };
    futures::stream::iter(0..count).map(create).buffer_unordered(writers).for_each(async |_| {}).await;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    row(&format!("durable creates, 1 kB each, {writers} at once"), &format!("{rate:.0} per second"));
}

/// From the first definition of custom resources to the one in which all are established.
async fn definitions(count: usize) {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let running = Running::start(&["--nodes", "0"]).await;
    let (begun, cpu) = (Instant::now(), running.cpu_seconds());
    for n in 0..count {
        running.client.post(DEFINITIONS, definition(n).to_string()).await.unwrap();
    }
    let last = format!("{DEFINITIONS}/widgets{}.example.com", count - 1);
    eventually("the last definition is established", LIMIT, async || {
        let live = running.client.get(&last).await.map_err(|error| error.to_string())?;
        let live: Value = serde_json::from_slice(&live).map_err(|error| error.to_string())?;
        let conditions = live["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_done = conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True");
        is_done.then_some(()).ok_or_else(|| live["status"].to_string())
    })
    .await;
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), running.cpu_seconds() - cpu);
    let what = format!(
        "{count} definitions of {} kB until all are established",
        definition(0).to_string().len() / 1_000
    );
    row(&what, &format!("{wall:.1} s, {cpu:.1} CPU seconds"));
}

fn definition(n: usize) -> Value {
    let field = json!({
        "type": "object", "description": "What this part of the specification means, and for whom it is there.",
        "properties": {
            "name": {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
            "count": {"type": "integer", "format": "int32", "minimum": 0, "default": 1},
        },
    });
    let fields: serde_json::Map<String, Value> =
        (0..35).map(|at| (format!("field{at}"), field.clone())).collect();
    let spec = json!({
        "type": "object", "properties": fields,
        "x-kubernetes-validations": [{"rule": "self.field0.count >= 0", "message": "must not be negative"}],
    });
    let (plural, kind) = (format!("widgets{n}"), format!("Widget{n}"));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

async fn fleet(nodes: usize) {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("agent.json");
    std::fs::write(&manifest, agent().to_string()).unwrap();
    let count = nodes.to_string();
    let begun = Instant::now();
    let running = Running::start(&["--nodes", &count, "-f", manifest.to_str().unwrap()]).await;
    rolled_out(&running.client, nodes).await;
    let figure = format!(
        "{:.1} s, {:.1} CPU s, {} MB peak",
        begun.elapsed().as_secs_f64(),
        running.cpu_seconds(),
        running.memory_mb("VmHWM")
    );
    row(&format!("{nodes} nodes from process start to every pod available"), &figure);
    let cpu = running.cpu_seconds();
    let begun = Instant::now();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"revision": "2"}}}}});
    let path = format!("{DAEMONSETS}/agent");
    running.client.patch(&path, content_type::STRATEGIC_MERGE_PATCH, patch.to_string()).await.unwrap();
    rolled_out(&running.client, nodes).await;
    let figure = format!("{:.1} s, {:.1} CPU s", begun.elapsed().as_secs_f64(), running.cpu_seconds() - cpu);
    row(&format!("rolling update of {nodes} nodes, 10 % at a time"), &figure);
    idle(&running, nodes).await;
}

async fn idle(running: &Running, nodes: usize) {
    let cpu = running.cpu_seconds();
    let seconds = 20;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let percent = (running.cpu_seconds() - cpu) * 100.0 / seconds as f64;
    let disk = directory_mb(&running.directory.path().join("data"));
    let figure =
        format!("{} MB memory, {percent:.1} % of a core, {disk} MB disk", running.memory_mb("VmRSS"));
    row(&format!("idle with {nodes} nodes"), &figure);
}

fn directory_mb(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap().filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum::<u64>() >> 20
}

fn agent() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": "example/agent:1"}]}
            }
        }
    })
}

async fn rolled_out(client: &Client, nodes: usize) {
    eventually("the roll-out ends", LIMIT, async || {
        let object = match client.get(&format!("{DAEMONSETS}/agent")).await {
            Ok(object) => serde_json::from_slice::<Value>(&object).unwrap(),
            Err(error) => return Err(error.to_string()),
        };
        let status = &object["status"];
        let done = status["observedGeneration"] == object["metadata"]["generation"]
            && ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"]
                .iter()
                .all(|field| status[*field] == json!(nodes));
        if done { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

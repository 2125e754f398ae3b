//! How long a snapshot of 5,000 nodes and 100,000 pods takes, and how much memory: `cargo bench -p everynode-plan`.
//!
//! The API server is a function in the same process that makes pages of objects as large as real ones. Its time and
//! its page in memory count too.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark reports")]

use everynode_testkit::server;
use std::time::Instant;

use everynode_plan::file::{FileError, Header, VERSION, Writer};
use everynode_plan::{Mask, collect};
use serde_json::{Value, json};

const NODES: usize = 5_000;
const PODS_PER_NODE: usize = 20;
/// Pods per node that a DaemonSet controls.
const DAEMONS_PER_NODE: usize = 5;
const PAGE: usize = 500;

fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = server::client(answer);
    let begin = Instant::now();
    let header = Header { format: VERSION, taken_at: 0, salt: "s".into(), writer: "bench".into() };
    let mut writer = Writer::new(Vec::new(), header).expect("a file");
    let mut sink = |record| -> Result<(), FileError> { writer.write(&record) };
    let unseen =
        runtime.block_on(collect(&client, &Mask::new("s"), None, &mut sink)).expect("the cluster is read");
    let (file, records) = writer.finish(unseen).expect("a file");
    println!(
        "{NODES} nodes, {} pods: {:.1} s, {records} records, {:.1} MB of file, {} MB of memory at most",
        NODES * PODS_PER_NODE,
        begin.elapsed().as_secs_f64(),
        file.len() as f64 / 1e6,
        peak_memory_bytes() / 1_000_000
    );
}

/// A page of a list, begun where the continue token says.
fn answer(target: &str) -> (u16, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let first: usize = query.split_once("&continue=").and_then(|(_, token)| token.parse().ok()).unwrap_or(0);
    let (make, count): (fn(usize) -> Value, usize) = match path {
        "/api/v1/nodes" => (node, NODES),
        "/api/v1/pods" => (pod, NODES * PODS_PER_NODE),
        "/apis/apps/v1/daemonsets" => (daemonset, DAEMONS_PER_NODE),
        _ => (node, 0),
    };
    let last = (first + PAGE).min(count);
    let token = if last < count { last.to_string() } else { String::new() };
    let items: Vec<Value> = (first..last).map(make).collect();
    (200, json!({"metadata": {"continue": token}, "items": items}).to_string())
}

fn uid(kind: u64, index: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{index:012x}")
}

/// What objects carry along and nobody here reads.
fn ballast(bytes: usize) -> Value {
    json!([{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": "x".repeat(bytes)}}])
}

fn daemonset(index: usize) -> Value {
    json!({"metadata": {
        "name": format!("agent-{index}"), "namespace": "default", "uid": uid(1, index),
        "managedFields": ballast(2_000),
    }, "spec": {"template": {}}})
}

fn node(index: usize) -> Value {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    json!({
        "metadata": {
            "name": format!("node-{index:05}"), "uid": uid(2, index),
            "labels": {"kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "a"},
            "managedFields": ballast(3_000),
        },
        "status": {
            "allocatable": {"cpu": "32", "memory": "128Gi", "pods": "110"},
            "conditions": [condition("MemoryPressure", "False"), condition("Ready", "True")],
            "images": [{"names": ["y".repeat(4_000)], "sizeBytes": 1}],
        },
    })
}

fn pod(index: usize) -> Value {
    let (on, slot) = (index / PODS_PER_NODE, index % PODS_PER_NODE);
    let kind = if slot < DAEMONS_PER_NODE { "DaemonSet" } else { "ReplicaSet" };
    let owner =
        json!({"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": uid(1, slot), "controller": true});
    json!({
        "metadata": {
            "name": format!("pod-{index:06}"), "namespace": "default", "uid": uid(3, index),
            "creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": [owner],
            "labels": {"app": "agent", "controller-revision-hash": "c88548769", "pod-template-generation": "1"},
            "managedFields": ballast(2_000),
        },
        "spec": {
            "nodeName": format!("node-{on:05}"),
            "containers": [{
                "name": "c", "image": "registry.example/agent:1", "env": ballast(500),
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:20Z"}],
            "containerStatuses": [{"restartCount": 0, "state": {"running": {}}, "imageID": "z".repeat(300)}],
        },
    })
}

/// The most memory that this process has had resident (Linux).
fn peak_memory_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1024
}

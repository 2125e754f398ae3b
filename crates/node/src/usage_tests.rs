use serde_json::{Value, json};

use super::*;
use crate::faults::PREFIX;

/// When the pods of these tests were started.
const STARTED: i64 = 1_767_225_600;
const HOUR: i64 = 3_600;

fn node(name: &str, annotations: Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"pool": if name.ends_with('1') { "a" } else { "b" }},
            "annotations": prefixed(annotations)},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn pod(uid: &str, annotations: Value) -> Value {
    let running =
        |name: &str| json!({"name": name, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
    json!({
        "metadata": {"name": uid, "namespace": "d", "uid": uid, "annotations": prefixed(annotations),
            "ownerReferences": [{"kind": "DaemonSet", "name": "a", "uid": "set", "controller": true}]},
        "spec": {"containers": [
            {"name": "x", "resources": {"requests": {"cpu": "300m", "memory": "300Mi"}}},
            {"name": "y", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}},
        ]},
        "status": {"containerStatuses": [running("x"), running("y")]},
    })
}

fn prefixed(annotations: Value) -> Value {
    let pairs = annotations.as_object().cloned().unwrap_or_default();
    pairs
        .into_iter()
        .map(|(key, value)| (format!("{PREFIX}{key}"), value))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn at(node: &Value, pods: &[Value], now: i64) -> Option<NodeSample> {
    let (node, pods) = (node.to_string(), pods.iter().map(Value::to_string).collect::<Vec<_>>());
    let pods: Vec<Pod<'_>> = pods.iter().map(|pod| serde_json::from_str(pod).unwrap()).collect();
    sample(&serde_json::from_str(&node).unwrap(), &pods, now)
}

/// What one pod uses an hour after its start.
fn used(node: &Value, pod: Value) -> Usage {
    let sample = at(node, &[pod], STARTED + HOUR).unwrap();
    let mut sum = Usage::default();
    sample.pods[0].iter().for_each(|container| sum += container.usage);
    sum
}

fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

fn assert_near(a: f64, b: f64) {
    assert!((a / b - 1.0).abs() < 1e-6, "{a} and {b}");
}

#[test]
fn the_same_is_told_whoever_asks_and_new_figures_come_once_in_a_window() {
    let (first, other) = (node("n1", json!({})), node("n2", json!({})));
    let pods = [pod("p", json!({})), pod("q", json!({}))];
    let told: Vec<NodeSample> =
        (0..60).map(|second| at(&first, &pods, STARTED + HOUR + second).unwrap()).collect();
    let mut different = told.clone();
    different.dedup();
    assert!((4..=5).contains(&different.len()), "{}", different.len());
    for (second, sample) in (0_i64..).zip(&told) {
        let age = STARTED + HOUR + second - sample.taken_seconds;
        assert!((0..i64::from(WINDOW_SECONDS)).contains(&age), "{age}");
    }
    // Pods of one daemon on one node are alike; another node is not.
    assert_eq!(told[0].pods[0], told[0].pods[1]);
    assert_ne!(told[0].pods[0], at(&other, &pods, STARTED + HOUR).unwrap().pods[0]);
}

#[test]
fn a_fresh_pod_has_no_figures_until_it_has_run_for_a_window() {
    let (node, pods) = (node("n1", json!({})), [pod("p", json!({}))]);
    let is_known = |age: i64| !at(&node, &pods, STARTED + age).unwrap().pods[0].is_empty();
    assert!(!is_known(14) && is_known(30));
    let mut waiting = pod("p", json!({}));
    waiting["status"]["containerStatuses"][1]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let containers = &at(&node, &[waiting], STARTED + HOUR).unwrap().pods[0];
    assert_eq!(containers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["x"]);
}

#[test]
fn a_node_that_is_silent_tells_nothing() {
    for (annotations, ready) in [(json!({"silent": "true"}), "True"), (json!({}), "Unknown")] {
        let mut node = node("n1", annotations);
        node["status"]["conditions"][0]["status"] = ready.into();
        assert_eq!(at(&node, &[], STARTED), None);
    }
}

#[test]
fn annotations_set_levels_and_nodes_and_times_multiply_them() {
    let plain = node("n1", json!({}));
    let base = used(&plain, pod("p", json!({})));
    // Half of what is requested, times the same chance.
    let set = used(&plain, pod("p", json!({"cpu": "400m", "memory": "100Mi"})));
    assert_near(ratio(set.cpu_nanocores, base.cpu_nanocores), 2.0);
    assert_near(ratio(set.memory_bytes, base.memory_bytes), 0.5);
    let leaking = used(&plain, pod("p", json!({"leak": "60Mi"})));
    let gained = (leaking.memory_bytes - base.memory_bytes) as f64 / f64::from(60 << 20);
    assert!((0.99..=1.0).contains(&gained), "{gained}");
    let cpu = |node: &Value, pod: Value| ratio(used(node, pod).cpu_nanocores, base.cpu_nanocores);
    assert_near(cpu(&node("n1", json!({"step": "1.5"})), pod("p", json!({"step": "2"}))), 3.0);
    assert_near(cpu(&plain, pod("p", json!({"step": "2@2026-01-01T00:30:00Z"}))), 2.0);
    assert_near(cpu(&plain, pod("p", json!({"step": "2@2026-01-01T02:00:00Z"}))), 1.0);
    // A regression on one kind of node.
    let worse = |pool: &str| pod("p", json!({"cpu": "600m", "fail-on-nodes": format!("pool={pool}")}));
    assert_near(cpu(&plain, worse("a")), 3.0);
    assert_near(cpu(&plain, worse("b")), 1.0);
}

#[test]
fn a_node_uses_what_its_pods_use_and_something_beside() {
    let node = node("n1", json!({}));
    let alone = at(&node, &[], STARTED + HOUR).unwrap().node;
    let with = at(&node, &[pod("p", json!({}))], STARTED + HOUR).unwrap();
    let pod = used(&node, pod("p", json!({})));
    assert_eq!(with.node.cpu_nanocores, alone.cpu_nanocores + pod.cpu_nanocores);
    assert_eq!(with.node.memory_bytes, alone.memory_bytes + pod.memory_bytes);
}

#[test]
fn levels_of_nodes_are_spread_as_is_said() {
    let quiet = json!({"cpu": "100m", "noise": "0%"});
    let logs: Vec<f64> = (0..2_000)
        .map(|number| {
            let usage = used(&node(&format!("node-{number}"), json!({})), pod("p", quiet.clone()));
            ratio(usage.cpu_nanocores, 100_000_000).ln()
        })
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let deviation = (logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / logs.len() as f64).sqrt();
    assert!(mean.abs() < 0.04 && (deviation - 0.39).abs() < 0.03, "{mean} {deviation}");
}

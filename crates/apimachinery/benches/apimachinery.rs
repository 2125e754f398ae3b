//! What decoding costs: time and allocations.

#![allow(clippy::expect_used, missing_docs)]

use divan::{AllocProfiler, Bencher, black_box};
use everynode_apimachinery::decode;
use everynode_apimachinery::schema::type_named;
use everynode_model::{self as model, Pod, WatchEvent};
use everynode_model::{Value, encode};
use serde_json::json;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A pod of a typical agent, as the API serves it: about 5 kB.
fn pod() -> Value {
    let environment: Vec<Value> = (0..12)
        .map(|n| json!({"name": format!("VARIABLE_{n}"), "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}}))
        .collect();
    let mounts: Vec<Value> = (0..8)
        .map(|n| json!({"name": format!("volume-{n}"), "readOnly": true, "mountPath": format!("/host/path-{n}")}))
        .collect();
    let volumes: Vec<Value> = (0..8)
        .map(|n| json!({"name": format!("volume-{n}"), "hostPath": {"path": format!("/host/path-{n}"), "type": ""}}))
        .collect();
    let conditions: Vec<Value> = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .iter()
        .map(|kind| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:05Z"}))
        .collect();
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "agent-x7k2p", "generateName": "agent-", "namespace": "monitoring",
            "uid": "15d7fbdc-1450-42be-994f-873026f59eee", "resourceVersion": "123456", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "agent", "controller-revision-hash": "5d9976ddd8", "pod-template-generation": "1"},
            "annotations": {"example.io/checksum": "6fb3c72dd65504dbd7f6f24a3a5d3fa725e2dbeb1fd93263"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent",
                "uid": "863fe34e-a5fc-4d04-b237-c6df7c2ec765", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "volumes": volumes,
            "containers": [{
                "name": "agent", "image": "example/agent:1.2.3", "args": ["--config=/etc/agent/config.yaml"],
                "env": environment, "volumeMounts": mounts,
                "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": 9100, "scheme": "HTTP"}, "periodSeconds": 10},
                "securityContext": {"privileged": true}, "imagePullPolicy": "IfNotPresent",
            }],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "nodeName": "node-0001",
            "hostNetwork": true, "schedulerName": "default-scheduler",
            "tolerations": [{"operator": "Exists"}, {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {"phase": "Running", "conditions": conditions, "hostIP": "10.0.0.1", "podIP": "10.0.0.1", "qosClass": "Burstable"},
    })
}

fn pod_bytes() -> Vec<u8> {
    let ty = type_named("core.v1.Pod").expect("a type of the schema");
    encode::to_vec(&decode::normalize(ty, &pod()).expect("a pod"))
}

#[divan::bench]
fn decode_pod_by_the_schema(bencher: Bencher<'_, '_>) {
    let (ty, bytes) = (type_named("core.v1.Pod").expect("a type of the schema"), pod_bytes());
    bencher
        .counter(divan::counter::BytesCount::of_slice(&bytes))
        .bench(|| decode::decode(ty, black_box(&bytes)));
}

#[divan::bench]
fn encode_pod(bencher: Bencher<'_, '_>) {
    let value: Value = serde_json::from_slice(&pod_bytes()).expect("JSON");
    bencher.bench(|| encode::to_vec(black_box(&value)));
}

#[divan::bench]
fn lean_pod_event(bencher: Bencher<'_, '_>) {
    let object = String::from_utf8(pod_bytes()).expect("UTF-8");
    let line = format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n").into_bytes();
    bencher.counter(divan::counter::BytesCount::of_slice(&line)).bench_local(|| {
        let event: WatchEvent<Pod<'_>> = model::event(black_box(&line)).expect("an event");
        black_box(event.object.metadata.version())
    });
}

#[divan::bench]
fn untyped_pod_event(bencher: Bencher<'_, '_>) {
    let bytes = pod_bytes();
    bencher.bench(|| serde_json::from_slice::<Value>(black_box(&bytes)));
}

//! Generated DaemonSets.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::surroundings::{CPU, Cluster, MEMORY, one, resources, sometimes};

/// A DaemonSet with a template of many kinds, some of which the API refuses.
pub fn daemonset(namespace: &str, cluster: &Cluster, random: &mut Rng) -> Value {
    let mut template = json!({"metadata": {"labels": {"app": "agent"}}, "spec": spec(cluster, random)});
    if sometimes(3, random) {
        let bytes = if sometimes(4, random) { random.usize(100_000..270_000) } else { random.usize(..100) };
        template["metadata"]["annotations"] = json!({"note": "x".repeat(bytes)});
    }
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name(random), "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template},
    })
}

/// Mostly short; some are too long for their revision, few for themselves.
fn name(random: &mut Rng) -> String {
    if !sometimes(4, random) {
        return "agent".to_owned();
    }
    let length = random.usize(50..256);
    let mut name: String = (0..length).map(|at| if at % 47 == 46 { '.' } else { 'a' }).collect();
    if name.ends_with('.') {
        name.push('a');
    }
    name
}

fn spec(cluster: &Cluster, random: &mut Rng) -> Value {
    let mut spec = json!({});
    let is_host_network = sometimes(3, random);
    if is_host_network {
        spec["hostNetwork"] = true.into();
    }
    let containers = random.usize(1..=2);
    spec["containers"] = (0..containers).map(|at| container(&format!("c{at}"), 8000 + at, random)).collect();
    if sometimes(3, random) {
        let mut init = container("init", 8010, random);
        if random.bool() {
            init["restartPolicy"] = "Always".into();
        }
        spec["initContainers"] = json!([init]);
    }
    if sometimes(4, random) {
        spec["resources"] = of_pod(random);
    }
    if sometimes(4, random) {
        spec["runtimeClassName"] = cluster.class("RuntimeClass", random).into();
    }
    match random.u8(..6) {
        0 => spec["priorityClassName"] = "system-node-critical".into(),
        1 => spec["priorityClassName"] = cluster.class("PriorityClass", random).into(),
        _ => {}
    }
    if sometimes(12, random) {
        spec["preemptionPolicy"] = (*one(&["Never", "PreemptLowerPriority"], random)).into();
    }
    if sometimes(20, random) {
        spec["priority"] = (*one(&[0, 2_000_001_000, 5], random)).into();
    }
    account(&mut spec, random);
    placement(&mut spec, random);
    if sometimes(15, random) {
        spec["overhead"] = json!({"cpu": *one(&CPU, random), "memory": "16Mi"});
    }
    if sometimes(15, random) {
        spec["schedulerName"] = "theirs".into();
    }
    if sometimes(8, random) {
        spec["imagePullSecrets"] = json!([{"name": "own"}]);
    }
    spec
}

fn account(spec: &mut Value, random: &mut Rng) {
    if random.bool() {
        let field = *one(&["serviceAccountName", "serviceAccountName", "serviceAccount"], random);
        spec[field] = (*one(&["agent", "agent", "agent", "default", "nobody"], random)).into();
    }
    if sometimes(5, random) {
        spec["automountServiceAccountToken"] = random.bool().into();
    }
    if sometimes(6, random) {
        spec["volumes"] = json!([{"name": "data"}, {"name": "host", "hostPath": {"path": "/var/log"}}]);
        let mounts = json!([{"name": "data", "mountPath": "/data"}]);
        spec["containers"][0]["volumeMounts"] = mounts;
    }
}

fn placement(spec: &mut Value, random: &mut Rng) {
    match random.u8(..8) {
        0 => spec["tolerations"] = json!([{"operator": "Exists"}]),
        1 => {
            let toleration = json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists",
                "effect": "NoExecute", "tolerationSeconds": 30});
            spec["tolerations"] = json!([toleration]);
        }
        2 => spec["nodeSelector"] = json!({"kubernetes.io/os": "linux"}),
        3 => spec["nodeSelector"] = json!({"pool": *one(&["a", "b"], random)}),
        4 => {
            let term = json!({"topologyKey": "zone", "namespaces": ["default"]});
            spec["affinity"] =
                json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        }
        _ => {}
    }
}

fn container(name: &str, port: usize, random: &mut Rng) -> Value {
    let mut container = json!({"name": name, "image": *one(&["agent", "agent:1", "agent@sha256:x"], random)});
    match random.u8(..6) {
        0 => {}
        1 => container["resources"] = json!({"limits": resources(random)}),
        2 => container["resources"] = json!({"requests": resources(random)}),
        3 => {
            // Requests above limits are refused.
            container["resources"] = json!({"limits": resources(random), "requests": resources(random)});
        }
        4 => {
            let gpu = json!({"example.com/gpu": "1"});
            container["resources"] = json!({ "limits": gpu });
        }
        _ => container["resources"] = json!({"limits": {"cpu": "100.5m", "memory": "0.1Gi"}}),
    }
    match random.u8(..5) {
        0 => container["ports"] = json!([{"containerPort": port}]),
        1 => container["ports"] = json!([{"containerPort": port, "hostPort": port}]),
        2 if sometimes(6, random) => {
            container["ports"] = json!([{"containerPort": port, "hostPort": port + 1000}])
        }
        _ => {}
    }
    container
}

/// What is asked for the pod as a whole; some of it is less than its containers ask for, which is refused.
fn of_pod(random: &mut Rng) -> Value {
    let mut whole = json!({});
    if !sometimes(4, random) {
        whole["limits"] = json!({"cpu": *one(&CPU[3..], random)});
        if random.bool() {
            whole["limits"]["memory"] = (*one(&MEMORY[2..], random)).into();
        }
    }
    if sometimes(3, random) {
        whole["requests"] = json!({"cpu": *one(&CPU[2..5], random)});
    }
    whole
}

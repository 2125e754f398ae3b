use serde_json::{Value, json};

use super::*;

fn at(seconds: u64) -> Now {
    Now { millis: seconds * 1000, wall_seconds: 1_700_000_000 + i64::try_from(seconds).unwrap() }
}

/// A lifecycle with a grace of 40 s over a pretended API.
struct Bench {
    lifecycle: Lifecycle,
    node: Value,
    version: u64,
}

impl Bench {
    /// One node `a` that is Ready.
    fn new() -> Bench {
        let lifecycle = Lifecycle::new(Duration::from_secs(40), fastrand::Rng::with_seed(1));
        let node = json!({
            "metadata": {"name": "a", "uid": "a"},
            "spec": {},
            "status": {"conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": "True", "lastHeartbeatTime": "t"},
            ]},
        });
        let mut bench = Bench { lifecycle, node, version: 0 };
        bench.show(0);
        bench
    }

    fn show(&mut self, seconds: u64) {
        self.version += 1;
        self.node["metadata"]["resourceVersion"] = self.version.to_string().into();
        let text = self.node.to_string();
        self.lifecycle.observe(&Fact::Node(&serde_json::from_str(&text).unwrap()), at(seconds));
    }

    fn ready(&mut self, status: &str, seconds: u64) {
        self.node["status"]["conditions"][1]["status"] = status.into();
        self.show(seconds);
    }

    fn taint(&mut self, key: &str, effect: &str, seconds: u64) {
        self.node["spec"]["taints"] = json!([{ "key": key, "effect": effect }]);
        self.show(seconds);
    }

    fn renew(&mut self, seconds: u64) {
        let lease = json!({
            "metadata": {"name": "a", "namespace": "kube-node-lease"},
            "spec": {"renewTime": seconds.to_string()},
        });
        let text = lease.to_string();
        self.lifecycle.observe(&Fact::Lease(&serde_json::from_str(&text).unwrap()), at(seconds));
    }

    fn pod(&mut self, tolerations: Value, seconds: u64) {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "p"},
            "spec": {"nodeName": "a", "tolerations": tolerations},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        let text = pod.to_string();
        self.lifecycle.observe(&Fact::Pod(&serde_json::from_str(&text).unwrap()), at(seconds));
    }

    /// Carries out what is due and tells it in words; events are left out.
    fn settle(&mut self, seconds: u64) -> Vec<String> {
        let now = at(seconds);
        let mut told = Vec::new();
        self.lifecycle.wake(now);
        while let Some(write) = self.lifecycle.next_write(now) {
            let body: Value = serde_json::from_slice(&write.body).unwrap();
            if let Some(taints) = body["spec"].get("taints") {
                let keys = taints.as_array().into_iter().flatten();
                let keys: Vec<String> = keys
                    .map(|t| {
                        let key = t["key"].as_str().unwrap().trim_start_matches("node.kubernetes.io/");
                        format!("{key}:{}", t["effect"].as_str().unwrap())
                    })
                    .collect();
                told.push(format!("taints [{}]", keys.join(" ")));
                self.node["spec"]["taints"] = taints.clone();
            } else if write.path == "/api/v1/nodes/a/status" {
                told.push("unknown".to_owned());
                for condition in self.node["status"]["conditions"].as_array_mut().unwrap() {
                    condition["status"] = "Unknown".into();
                }
            } else if !write.path.ends_with("/events") {
                let what = body["status"]["conditions"][0]["type"].as_str().unwrap_or_default();
                told.push(format!("{} pod {what}", write.method).trim_end().to_owned());
            }
            self.version += 1;
            self.node["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.lifecycle.done(write.ticket, Ok(self.node.to_string().into()), now);
        }
        told
    }
}

#[test]
fn the_taint_of_a_new_node_goes_when_it_is_ready() {
    let mut bench = Bench::new();
    bench.taint("node.kubernetes.io/not-ready", "NoSchedule", 0);
    assert_eq!(bench.settle(0), ["taints []"]);
    assert_eq!(bench.settle(1), [""; 0]);
}

#[test]
fn a_node_that_stops_renewing_becomes_unknown_and_unreachable() {
    let mut bench = Bench::new();
    for seconds in (10..=60).step_by(10) {
        bench.renew(seconds);
        assert_eq!(bench.settle(seconds), [""; 0]);
    }
    assert_eq!(bench.settle(99), [""; 0]);
    assert_eq!(bench.settle(100), ["unknown", "taints [unreachable:NoSchedule unreachable:NoExecute]"]);
    bench.renew(150);
    bench.ready("True", 150);
    assert_eq!(bench.settle(150), ["taints []"]);
}

#[test]
fn the_same_renewal_twice_is_no_sign_of_life() {
    let mut bench = Bench::new();
    bench.renew(10);
    bench.renew(10);
    assert_eq!(bench.settle(50).first().map(String::as_str), Some("unknown"));
}

#[test]
fn pods_of_a_node_that_was_lost_are_not_ready() {
    let mut bench = Bench::new();
    bench.pod(json!([{"operator": "Exists"}]), 0);
    bench.ready("False", 5);
    assert_eq!(bench.settle(5), ["PATCH pod Ready", "taints [not-ready:NoSchedule not-ready:NoExecute]"]);
}

#[test]
fn pods_that_do_not_tolerate_a_taint_are_evicted_in_time() {
    let mut bench = Bench::new();
    bench
        .pod(json!([{"key": "db", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}]), 0);
    bench.taint("db", "NoExecute", 10);
    bench.renew(30);
    assert_eq!(bench.settle(39), [""; 0]);
    assert_eq!(bench.settle(40), ["PATCH pod DisruptionTarget", "DELETE pod"]);
}

#[test]
fn an_eviction_is_called_off_when_the_taint_goes() {
    let mut bench = Bench::new();
    bench.pod(json!([{"key": "db", "operator": "Exists", "tolerationSeconds": 30}]), 0);
    bench.taint("db", "NoExecute", 0);
    bench.taint("db", "PreferNoSchedule", 20);
    bench.renew(30);
    assert_eq!(bench.settle(39), [""; 0]);
    assert!(!bench.settle(60).iter().any(|told| told.contains("pod")));
}

#[test]
fn a_pod_that_arrives_on_a_tainted_node_is_evicted_too() {
    let mut bench = Bench::new();
    bench.taint("db", "NoExecute", 0);
    bench.settle(0);
    bench.pod(json!([]), 1);
    assert_eq!(bench.settle(1), ["PATCH pod DisruptionTarget", "DELETE pod"]);
}

#[test]
fn a_cordon_brings_its_taint() {
    let mut bench = Bench::new();
    bench.node["spec"]["unschedulable"] = true.into();
    bench.show(0);
    assert_eq!(bench.settle(0), ["taints [unschedulable:NoSchedule]"]);
}

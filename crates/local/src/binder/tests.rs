use serde_json::{Value, json};

use super::*;

const NOW: Now = Now { millis: 0, wall_seconds: 1_700_000_000 };

/// A binder over a pretended API.
struct Bench {
    binder: Binder,
}

impl Bench {
    fn new(nodes: &[Value]) -> Bench {
        let mut bench = Bench { binder: Binder::new(fastrand::Rng::with_seed(1)) };
        for node in nodes {
            bench.node(node.clone());
        }
        for kind in [Kind::Pods, Kind::Nodes, Kind::Claims] {
            bench.binder.observe(&Fact::Listed { source: 0, kind }, NOW);
        }
        bench
    }

    fn node(&mut self, node: Value) {
        let text = node.to_string();
        self.binder.observe(&Fact::Node(&serde_json::from_str(&text).unwrap()), NOW);
    }

    fn pod(&mut self, pod: &Value) {
        let text = pod.to_string();
        self.binder.observe(&Fact::Pod(&serde_json::from_str(&text).unwrap()), NOW);
    }

    fn pod_gone(&mut self, pod: &Value) {
        let text = pod.to_string();
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
        self.binder.observe(&Fact::PodGone(&pod.metadata), NOW);
    }

    fn claim(&mut self, name: &str, volume: &str) {
        let claim = json!({"metadata": {"name": name, "namespace": "ns", "uid": name}, "spec": {"volumeName": volume}});
        let text = claim.to_string();
        self.binder.observe(&Fact::Claim(&serde_json::from_str(&text).unwrap()), NOW);
    }

    /// Lets all requests succeed and tells what they were: `POD -> NODE`, or `POD: MESSAGE`.
    fn settle(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(write) = self.binder.next_write(NOW) {
            let body: Value = serde_json::from_slice(&write.body).unwrap();
            let pod = write.path.split('/').nth(6).unwrap_or_default().to_owned();
            if write.path.ends_with("/binding") {
                told.push(format!("{pod} -> {}", body["target"]["name"].as_str().unwrap()));
            } else if write.path.ends_with("/status") {
                let message = body["status"]["conditions"][0]["message"].as_str().unwrap();
                told.push(format!("{pod}: {}", message.split(". no new").next().unwrap()));
            }
            self.binder.done(write.ticket, Ok(Bytes::new()), NOW);
        }
        told
    }
}

fn node(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi", "pods": "10"}},
    })
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"schedulerName": "default-scheduler", "containers": [{"resources": {"requests": {"cpu": cpu}}}]},
        "status": {"phase": "Pending"},
    })
}

fn pinned(name: &str, cpu: &str, node: &str) -> Value {
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
    with(pod(name, cpu), "/spec/affinity", affinity)
}

#[test]
fn a_pinned_pod_goes_to_its_node() {
    let mut bench = Bench::new(&[node("a"), node("b")]);
    bench.pod(&pinned("p", "1", "b"));
    assert_eq!(bench.settle(), ["p -> b"]);
}

#[test]
fn a_free_pod_goes_where_most_is_free() {
    let mut bench = Bench::new(&[node("a"), node("b"), node("c")]);
    bench.pod(&with(pod("x", "1"), "/spec/nodeName", "a".into()));
    bench.pod(&with(pod("y", "500m"), "/spec/nodeName", "b".into()));
    for name in ["p", "q"] {
        bench.pod(&pod(name, "1"));
    }
    assert_eq!(bench.settle(), ["p -> c", "q -> b"]);
}

#[test]
fn a_pod_waits_until_its_volumes_are_bound() {
    let mut bench = Bench::new(&[node("a")]);
    let volumes = json!([
        {"name": "x", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "tmp", "ephemeral": {}},
        {"name": "e", "emptyDir": {}},
    ]);
    bench.pod(&with(pod("p", "1"), "/spec/volumes", volumes));
    let says = |why: &str| [format!("p: 0/1 nodes are available: {why}. not found")];
    assert_eq!(bench.settle(), says("persistentvolumeclaim \"data\" not found"));
    bench.claim("data", "");
    assert_eq!(bench.settle(), says("pod has unbound immediate PersistentVolumeClaims"));
    bench.claim("data", "v1");
    assert_eq!(bench.settle(), says("persistentvolumeclaim \"p-tmp\" not found"));
    bench.claim("p-tmp", "v2");
    assert_eq!(bench.settle(), ["p -> a"]);
}

#[test]
fn a_pod_that_claims_devices_stays_unbound_and_says_why() {
    let mut bench = Bench::new(&[node("a"), node("b")]);
    let claims = json!([{"name": "gpu", "resourceClaimName": "gpu"}]);
    bench.pod(&with(pinned("p", "1", "b"), "/spec/resourceClaims", claims.clone()));
    bench.pod(&with(pod("q", "1"), "/spec/resourceClaims", claims));
    assert_eq!(
        bench.settle(),
        [
            "p: 0/2 nodes are available: 1 cannot allocate all claims, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]",
            "q: 0/2 nodes are available: 2 cannot allocate all claims",
        ]
    );
}

#[test]
fn a_pod_that_does_not_fit_is_told_why_once_and_placed_when_room_appears() {
    let mut bench = Bench::new(&[node("a"), node("b")]);
    let big = with(pod("big", "1500m"), "/spec/nodeName", "a".into());
    bench.pod(&big);
    bench.pod(&pinned("p", "1", "a"));
    assert_eq!(
        bench.settle(),
        ["p: 0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]"]
    );
    bench.node(node("b"));
    bench.node(with(node("a"), "/metadata/labels/x", "y".into()));
    assert_eq!(bench.settle(), [""; 0], "the same message is not written again");
    bench.pod_gone(&big);
    assert_eq!(bench.settle(), ["p -> a"]);
}

#[test]
fn the_sentences_are_the_schedulers() {
    let taint = json!([{"key": "gpu", "effect": "NoSchedule"}]);
    let nodes = [
        with(node("a"), "/spec", json!({"taints": taint})),
        with(node("b"), "/spec", json!({"unschedulable": true})),
        node("c"),
        with(node("d"), "/status/allocatable/pods", "0".into()),
    ];
    let mut bench = Bench::new(&nodes);
    bench.pod(&with(pod("p", "8"), "/spec/nodeSelector", json!({"kubernetes.io/hostname": "d"})));
    assert_eq!(
        bench.settle(),
        [
            "p: 0/4 nodes are available: 1 Insufficient cpu, 1 Too many pods, 1 node(s) didn't match Pod's node \
          affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable"
        ]
    );
    let mut empty = Bench::new(&[]);
    empty.pod(&pod("p", "1"));
    assert_eq!(empty.settle(), ["p: no nodes available to schedule pods"]);
}

#[test]
fn a_pod_whose_node_is_missing_waits_for_it() {
    let mut bench = Bench::new(&[node("a")]);
    bench.pod(&pinned("p", "1", "b"));
    assert_eq!(
        bench.settle(),
        ["p: 0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity]"]
    );
    bench.node(node("b"));
    assert_eq!(bench.settle(), ["p -> b"]);
}

#[test]
fn host_ports_are_taken_once() {
    let ports = json!([{"hostPort": 9100, "containerPort": 9100}]);
    let mut bench = Bench::new(&[node("a")]);
    for name in ["p", "q"] {
        bench.pod(&with(pinned(name, "0", "a"), "/spec/containers/0/ports", ports.clone()));
    }
    assert_eq!(
        bench.settle(),
        [
            "p -> a",
            "q: 0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports"
        ]
    );
}

#[test]
fn the_highest_priority_is_placed_first() {
    let mut bench = Bench::new(&[node("a")]);
    bench.pod(&pinned("low", "2", "a"));
    bench.pod(&with(pinned("high", "2", "a"), "/spec/priority", 1000.into()));
    assert_eq!(bench.settle()[0], "high -> a");
}

#[test]
fn gated_foreign_and_deleted_pods_are_left_alone() {
    let mut bench = Bench::new(&[node("a")]);
    let gated = with(pod("gated", "1"), "/spec/schedulingGates", json!([{"name": "wait"}]));
    bench.pod(&gated);
    bench.pod(&with(pod("foreign", "1"), "/spec/schedulerName", "other".into()));
    bench.pod(&with(pod("deleted", "1"), "/metadata/deletionTimestamp", "2026-01-01T00:00:00Z".into()));
    assert_eq!(bench.settle(), [""; 0]);
    bench.pod(&pod("gated", "1"));
    assert_eq!(bench.settle(), ["gated -> a"]);
}

#[test]
fn a_binding_that_fails_gives_its_room_back_and_is_repeated() {
    let mut bench = Bench::new(&[node("a")]);
    bench.pod(&pinned("p", "2", "a"));
    let write = bench.binder.next_write(NOW).unwrap();
    bench.pod(&pinned("q", "2", "a"));
    bench.binder.done(write.ticket, Err(Error::TimedOut(std::time::Duration::from_secs(1))), NOW);
    assert_eq!(bench.settle(), ["q -> a"]);
    bench.pod_gone(&pod("q", "2"));
    bench.binder.wake(Now { millis: 60_000, ..NOW });
    assert_eq!(bench.settle(), ["p -> a"]);
}

#[test]
fn finished_pods_use_nothing() {
    let mut bench = Bench::new(&[node("a")]);
    let done = with(with(pod("x", "2"), "/spec/nodeName", "a".into()), "/status/phase", "Succeeded".into());
    bench.pod(&with(done.clone(), "/status/phase", "Running".into()));
    bench.pod(&done);
    bench.pod(&pinned("p", "2", "a"));
    assert_eq!(bench.settle(), ["p -> a"]);
}

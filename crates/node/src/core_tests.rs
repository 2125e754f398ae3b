use everynode_client::Error;
use serde_json::{Value, json};

use super::*;
use crate::config::NodeSpec;
use crate::status::Timestamp;

/// A fleet over a pretended API that holds what was written.
struct Bench {
    core: FleetCore,
    now: Now,
    writes: Vec<String>,
}

impl Bench {
    fn new(specs: Vec<NodeSpec>) -> Bench {
        let config = FleetConfig { seed: Some(1), events_per_second: 0.0, ..FleetConfig::new(specs) };
        let now = Now { millis: 0, wall: Timestamp(1_700_000_000), wall_millis: 0 };
        Bench { core: FleetCore::new(config), now, writes: Vec::new() }
    }

    /// Two registered nodes, `a` and `b`, and a complete list of no pods.
    fn ready() -> Bench {
        let mut bench = Bench::new(vec![NodeSpec::new("a"), NodeSpec::new("b")]);
        bench.core.nodes_restarted();
        bench.core.nodes_listed(bench.now);
        bench.core.pods_restarted();
        bench.core.pods_listed();
        bench.settle();
        bench.writes.clear();
        bench
    }

    /// Sends everything; registrations are answered with the object.
    fn settle(&mut self) {
        while let Some(write) = self.core.next_write(self.now) {
            self.writes.push(format!("{} {}", write.method, write.path));
            let answer = Ok(write.body.clone().into());
            self.core.done(write.task, answer, self.now);
        }
    }

    fn at(&mut self, seconds: u64) -> &mut Bench {
        self.now.millis = seconds * 1000;
        self.core.wake(self.now);
        self.settle();
        self
    }

    fn node(&mut self, name: &str, ready: &str, annotations: Value) {
        let node = json!({
            "metadata": {"name": name, "uid": "n", "annotations": annotations},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        });
        self.core.node_applied(&serde_json::from_str(&node.to_string()).unwrap(), self.now);
        self.settle();
    }

    fn pod(&mut self, uid: &str, node: &str, more: Value) {
        let mut pod = json!({
            "metadata": {"name": uid, "namespace": "ns", "uid": uid},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Pending"},
        });
        for (key, value) in more.as_object().unwrap() {
            pod["metadata"][key] = value.clone();
        }
        self.core.pod_applied(&serde_json::from_str(&pod.to_string()).unwrap(), self.now);
    }

    fn check_untouched(&self, parts: &[&str]) {
        let touched = |write: &&String| parts.iter().any(|part| write.contains(part));
        assert_eq!(self.writes.iter().find(touched), None);
    }

    fn check(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.writes), expected);
    }
}

#[test]
fn missing_nodes_are_registered_and_known_ones_are_not() {
    let mut bench = Bench::new(vec![NodeSpec::new("a"), NodeSpec::new("b")]);
    bench.core.nodes_restarted();
    bench.node("a", "True", json!({}));
    bench.core.nodes_listed(bench.now);
    bench.settle();
    bench.check(&["POST /api/v1/nodes"]);
    assert_eq!(bench.core.nodes[1].shown_ready, "True");
}

#[test]
fn a_new_node_asks_for_its_pods_only_when_some_were_shown_before() {
    for (early_pod, expected) in [
        (false, vec!["POST /api/v1/nodes"]),
        (true, vec!["POST /api/v1/nodes", "GET /api/v1/pods?fieldSelector=spec.nodeName%3Da"]),
    ] {
        let mut bench = Bench::new(vec![NodeSpec::new("a")]);
        bench.core.nodes_restarted();
        bench.core.pods_restarted();
        if early_pod {
            bench.pod("p", "a", json!({}));
        }
        bench.core.nodes_listed(bench.now);
        bench.settle();
        bench.check(&expected);
    }
}

#[test]
fn a_node_that_the_api_shows_as_unknown_reports_at_once() {
    let mut bench = Bench::ready();
    bench.node("a", "Unknown", json!({}));
    bench.check(&["PATCH /api/v1/nodes/a/status"]);
}

#[test]
fn leases_are_renewed_every_ten_seconds_and_created_when_missing() {
    let mut bench = Bench::ready();
    for second in 1..=60 {
        bench.at(second);
    }
    let creations = bench.writes.iter().filter(|w| w.starts_with("POST")).count();
    assert_eq!(creations, 2, "one for each node: {:?}", bench.writes);
    let renewals = bench.writes.iter().filter(|w| w.contains("/leases/a")).count();
    assert!((4..=6).contains(&renewals), "{:?}", bench.writes);
    let missing = Error::Api(Box::new(everynode_client::ApiStatus { code: 404, ..Default::default() }));
    bench.writes.clear();
    bench.core.done(Task::Lease(0), Err(missing), bench.now);
    bench.settle();
    bench.check(&["POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"]);
}

#[test]
fn a_pod_costs_one_request_to_start_and_two_to_end() {
    let mut bench = Bench::ready();
    bench.pod("p", "a", json!({}));
    bench.settle();
    bench.check(&["PATCH /api/v1/namespaces/ns/pods/p/status"]);
    bench.pod(
        "p",
        "a",
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}),
    );
    bench.settle();
    bench.check(&["PATCH /api/v1/namespaces/ns/pods/p/status", "DELETE /api/v1/namespaces/ns/pods/p"]);
    bench.core.pod_deleted("p");
    assert!(bench.core.pods.is_empty() && bench.core.pod_by_uid.is_empty());
}

#[test]
fn changes_that_come_faster_than_requests_are_one_request() {
    let mut bench = Bench::ready();
    bench.pod("p", "a", json!({}));
    bench.pod("p", "a", json!({"annotations": {"simulate.everynode.dev/never-ready": "true"}}));
    bench.settle();
    bench.check(&["PATCH /api/v1/namespaces/ns/pods/p/status"]);
}

#[test]
fn pods_of_other_nodes_are_left_alone() {
    let mut bench = Bench::ready();
    bench.pod("p", "elsewhere", json!({}));
    bench.settle();
    bench.check(&[]);
}

#[test]
fn a_silent_node_does_nothing_until_it_speaks_again() {
    let mut bench = Bench::ready();
    bench.node("a", "True", json!({"simulate.everynode.dev/silent": "true"}));
    bench.pod("p", "a", json!({}));
    bench.at(100);
    bench.check_untouched(&["nodes/a", "leases/a", "pods/p"]);
    bench.writes.clear();
    bench.node("a", "True", json!({}));
    bench.check(&["GET /api/v1/pods?fieldSelector=spec.nodeName%3Da"]);
}

#[test]
fn a_node_that_stops_before_its_list_was_answered_asks_again_when_it_goes_on() {
    let mut bench = Bench::ready();
    let list = "GET /api/v1/pods?fieldSelector=spec.nodeName%3Da";
    bench.node("a", "True", json!({"simulate.everynode.dev/silent": "true"}));
    bench.pod("p", "a", json!({}));
    let node = json!({"metadata": {"name": "a", "uid": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    bench.core.node_applied(&serde_json::from_str(&node.to_string()).unwrap(), bench.now);
    let asked =
        std::iter::from_fn(|| bench.core.next_write(bench.now)).find(|write| write.method == Method::GET);
    bench.core.done(asked.unwrap().task, Err(Error::TimedOut(Duration::from_secs(1))), bench.now);
    bench.core.node_deleted("a", bench.now);
    bench.at(100);
    bench.check_untouched(&["spec.nodeName"]);
    bench.writes.clear();
    bench.node("a", "True", json!({}));
    assert!(bench.writes.iter().any(|write| write == list), "{:?}", bench.writes);
}

#[test]
fn a_list_that_is_older_than_the_watch_changes_nothing() {
    let pod = |ready: &str| {
        let text = json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "p"},
            "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        });
        text.to_string()
    };
    let mut bench = Bench::ready();
    bench.node("a", "True", json!({"simulate.everynode.dev/silent": "true"}));
    let show = |bench: &mut Bench, ready: &str| {
        bench.core.pod_applied(&serde_json::from_str(&pod(ready)).unwrap(), bench.now);
        bench.settle();
    };
    show(&mut bench, "True");
    let node = json!({"metadata": {"name": "a", "uid": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    bench.core.node_applied(&serde_json::from_str(&node.to_string()).unwrap(), bench.now);
    let list =
        std::iter::from_fn(|| bench.core.next_write(bench.now)).find(|write| write.method == Method::GET);
    show(&mut bench, "True");
    let answer = format!(r#"{{"items": [{}]}}"#, pod("False"));
    bench.core.done(list.unwrap().task, Ok(answer.into()), bench.now);
    bench.settle();
    bench.writes.clear();
    // The node lifecycle takes Ready away.
    show(&mut bench, "False");
    bench.check(&["PATCH /api/v1/namespaces/ns/pods/p/status"]);
}

#[test]
fn a_pod_that_takes_its_node_down_stops_the_lease_until_it_is_gone() {
    let mut bench = Bench::ready();
    bench.pod("p", "a", json!({"annotations": {"simulate.everynode.dev/node-not-ready": "true"}}));
    bench.settle();
    bench.check(&["PATCH /api/v1/nodes/a/status", "PATCH /api/v1/namespaces/ns/pods/p/status"]);
    bench.node("a", "False", json!({}));
    bench.at(60);
    let leases = bench.writes.iter().filter(|w| w.contains("/leases")).count();
    assert_eq!(leases, 1, "only b has one: {:?}", bench.writes);
    bench.writes.clear();
    bench.core.pod_deleted("p");
    bench.at(61);
    assert!(bench.writes.iter().any(|w| w.contains("nodes/a/status")), "{:?}", bench.writes);
    assert!(bench.writes.iter().any(|w| w.contains("/leases")), "{:?}", bench.writes);
}

#[test]
fn the_agent_of_a_deleted_node_stops() {
    let mut bench = Bench::ready();
    bench.pod("p", "a", json!({}));
    bench.settle();
    bench.writes.clear();
    bench.core.node_deleted("a", bench.now);
    bench.at(100);
    bench.check_untouched(&["nodes/a", "leases/a"]);
    assert!(bench.core.pods.is_empty());
}

#[test]
fn a_deleted_node_registers_again_when_it_asked_for_that() {
    let registration = "POST /api/v1/nodes";
    let check = |annotations: Value, at_once: &[&str], later: &[&str]| {
        let mut bench = Bench::ready();
        bench.node("a", "True", annotations);
        bench.writes.clear();
        bench.core.node_deleted("a", bench.now);
        for (seconds, expected) in [(9, at_once), (10, later)] {
            bench.at(seconds);
            // Leases and status of the nodes that are there go on.
            bench.writes.retain(|write| write == registration);
            bench.check(expected);
        }
    };
    let key = "simulate.everynode.dev/register-again";
    let registers = [registration];
    check(json!({key: "true"}), &registers, &[]);
    check(json!({key: "after=10s"}), &[], &registers);
    check(json!({key: "after=10s", "simulate.everynode.dev/silent": "true"}), &[], &registers);
    check(json!({key: "false"}), &[], &[]);
}

#[test]
fn a_node_that_came_back_by_itself_is_not_registered_again() {
    let mut bench = Bench::ready();
    bench.node("a", "True", json!({"simulate.everynode.dev/register-again": "after=10s"}));
    bench.core.node_deleted("a", bench.now);
    bench.node("a", "True", json!({}));
    bench.writes.clear();
    bench.at(60);
    bench.check_untouched(&["POST /api/v1/nodes"]);
}

#[test]
fn a_failed_request_is_repeated_and_a_vanished_pod_forgotten() {
    let mut bench = Bench::ready();
    bench.pod("p", "a", json!({}));
    let write = bench.core.next_write(bench.now).unwrap();
    bench.core.done(write.task, Err(Error::TimedOut(Duration::from_secs(1))), bench.now);
    bench.settle();
    bench.check(&[]);
    bench.at(1);
    bench.check(&["PATCH /api/v1/namespaces/ns/pods/p/status"]);
    let gone = Error::Api(Box::new(everynode_client::ApiStatus { code: 404, ..Default::default() }));
    bench.core.done(Task::PodStatus(0), Err(gone), bench.now);
    assert!(bench.core.pods.is_empty());
}

#[test]
fn pods_that_vanished_while_the_watch_was_broken_are_forgotten() {
    let mut bench = Bench::ready();
    bench.pod("p", "a", json!({}));
    bench.pod("q", "a", json!({}));
    bench.core.pods_restarted();
    bench.pod("q", "a", json!({}));
    bench.core.pods_listed();
    assert_eq!(bench.core.pod_by_uid.keys().map(|k| &**k).collect::<Vec<_>>(), ["q"]);
}

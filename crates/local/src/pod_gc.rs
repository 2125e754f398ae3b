//! Removes pods that nobody is left to end: those on nodes that no longer exist, those that are asked to go on nodes
//! that are out of service, and those deleted before they had a node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{Error, Method, content_type};
use everynode_model::{Node, Pod};
use serde_json::{Value, json};

use crate::core::{Core, Fact, Kind, Now, Outbox, Write, delete_options, retry_at};

/// By this taint somebody says that a node is shut down for good, so that nothing on it runs any more.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The collector's state.
pub(crate) struct PodGc {
    quarantine_millis: u64,
    nodes: HashMap<Box<str>, Service>,
    /// In order, so that the same happens in the same order every time.
    pods_by_node: BTreeMap<Box<str>, BTreeMap<Box<str>, PodRow>>,
    node_by_pod: HashMap<Box<str>, Box<str>>,
    /// When a node has been missing for long enough.
    timers: BinaryHeap<Reverse<(u64, Box<str>)>>,
    /// The nodes that a timer runs for.
    waiting: HashSet<Box<str>>,
    outbox: Outbox<Ticket>,
    random: fastrand::Rng,
    failures: u32,
    nodes_listed: bool,
}

/// Whether a node can end its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Running,
    /// It is not ready, and tainted as out of service.
    Out,
}

impl Service {
    fn of(node: &Node<'_>) -> Service {
        match !node.is_ready() && node.has_taint(OUT_OF_SERVICE) {
            true => Service::Out,
            false => Service::Running,
        }
    }
}

#[derive(Debug)]
struct PodRow {
    namespace: Box<str>,
    name: Box<str>,
    /// It is asked to go.
    deleting: bool,
    /// It was marked and removed by us, or is about to be.
    is_collected: bool,
}

#[derive(Debug)]
enum Ticket {
    /// Is the node really gone?
    Verify(Box<str>),
    /// The pod is marked; its deletion follows.
    Mark { path: String, uid: Box<str> },
    /// Of the pod with this uid.
    Delete(Box<str>),
}

impl PodGc {
    /// `quarantine` is how long a node may be missing.
    pub(crate) fn new(quarantine: Duration, random: fastrand::Rng) -> PodGc {
        PodGc {
            quarantine_millis: u64::try_from(quarantine.as_millis()).unwrap_or(u64::MAX / 2),
            nodes: HashMap::new(),
            pods_by_node: BTreeMap::new(),
            node_by_pod: HashMap::new(),
            timers: BinaryHeap::new(),
            waiting: HashSet::new(),
            outbox: Outbox::default(),
            random,
            failures: 0,
            nodes_listed: false,
        }
    }

    fn pod_applied(&mut self, pod: &Pod<'_>, now: Now) {
        let Some(node) = pod.bound_to() else {
            if pod.is_terminating() {
                let path = pod_path(&pod.metadata.namespace, &pod.metadata.name);
                self.remove(path, (*pod.metadata.uid).into());
            }
            return;
        };
        let deleting = pod.is_terminating();
        let known = self.pods_by_node.get_mut(node).and_then(|pods| pods.get_mut(&*pod.metadata.uid));
        if let Some(row) = known {
            row.deleting = deleting;
        } else {
            self.node_by_pod.insert((*pod.metadata.uid).into(), node.into());
            let row = PodRow {
                namespace: (*pod.metadata.namespace).into(),
                name: (*pod.metadata.name).into(),
                deleting,
                is_collected: false,
            };
            self.pods_by_node.entry(node.into()).or_default().insert((*pod.metadata.uid).into(), row);
        }
        match self.nodes.get(node) {
            Some(Service::Out) if deleting => self.collect_terminating(node),
            Some(_) => {}
            // Also when others of the node are known: those may just be removed.
            None if self.nodes_listed && !self.waiting.contains(node) => {
                self.later(node.into(), now.millis + self.quarantine_millis);
            }
            None => {}
        }
    }

    fn pod_gone(&mut self, uid: &str) {
        let Some(node) = self.node_by_pod.remove(uid) else { return };
        if let Some(pods) = self.pods_by_node.get_mut(&node) {
            pods.remove(uid);
            if pods.is_empty() {
                self.pods_by_node.remove(&node);
            }
        }
    }

    fn remove(&mut self, path: String, uid: Box<str>) {
        let body = delete_options(&uid, Some(0));
        self.outbox.push(Ticket::Delete(uid), Method::DELETE, path, content_type::JSON, body);
    }

    /// Marks the pods of a node that is gone as failed, and removes them.
    fn collect(&mut self, node: &str, now: Now) {
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "lastTransitionTime": now.text(),
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
        });
        self.collect_those(node, json!({ "phase": "Failed", "conditions": [condition] }), |_| true);
    }

    /// The same for pods that are asked to go on a node that is out of service.
    fn collect_terminating(&mut self, node: &str) {
        self.collect_those(node, json!({ "phase": "Failed" }), |pod| pod.deleting);
    }

    fn collect_those(&mut self, node: &str, status: Value, is: fn(&PodRow) -> bool) {
        let pods = self.pods_by_node.get_mut(node).into_iter().flatten();
        for (uid, row) in pods.filter(|(_, row)| !row.is_collected && is(row)) {
            row.is_collected = true;
            let body = json!({ "metadata": { "uid": uid }, "status": status });
            let path = pod_path(&row.namespace, &row.name);
            let status = format!("{path}/status");
            let ticket = Ticket::Mark { path, uid: uid.clone() };
            self.outbox.push(
                ticket,
                Method::PATCH,
                status,
                content_type::STRATEGIC_MERGE_PATCH,
                body.to_string(),
            );
        }
    }

    /// A pod was not removed: its node, if it had one, is looked at again.
    fn not_removed(&mut self, uid: &str, error: &Error, now: Now) {
        tracing::warn!(%error, "a pod was not removed that nobody is left to end");
        let Some(node) = self.node_by_pod.get(uid).cloned() else { return };
        if let Some(row) = self.pods_by_node.get_mut(&node).and_then(|pods| pods.get_mut(uid)) {
            row.is_collected = false;
        }
        self.failures += 1;
        let at = retry_at(now, self.failures, &mut self.random);
        self.later(node, at);
    }

    fn later(&mut self, node: Box<str>, millis: u64) {
        self.waiting.insert(node.clone());
        self.timers.push(Reverse((millis, node)));
    }
}

impl Core for PodGc {
    fn observe(&mut self, fact: &Fact<'_>, now: Now) {
        match fact {
            Fact::Pod(pod) => self.pod_applied(pod, now),
            Fact::PodGone(metadata) => self.pod_gone(&metadata.uid),
            Fact::Node(node) => {
                let (name, service) = (&*node.metadata.name, Service::of(node));
                match self.nodes.get_mut(name) {
                    Some(known) if *known == service => return,
                    Some(known) => *known = service,
                    None => drop(self.nodes.insert(name.into(), service)),
                }
                if service == Service::Out {
                    self.collect_terminating(name);
                }
            }
            Fact::NodeGone(metadata) => {
                self.nodes.remove(&*metadata.name);
                if self.pods_by_node.contains_key(&*metadata.name) {
                    self.later((*metadata.name).into(), now.millis + self.quarantine_millis);
                }
            }
            Fact::Listed { kind: Kind::Nodes, .. } if !self.nodes_listed => {
                self.nodes_listed = true;
                let missing: Vec<Box<str>> = self
                    .pods_by_node
                    .keys()
                    .filter(|node| !self.nodes.contains_key(*node))
                    .cloned()
                    .collect();
                for node in missing {
                    self.later(node, now.millis + self.quarantine_millis);
                }
            }
            _ => {}
        }
    }

    fn next_wake(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn wake(&mut self, now: Now) {
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now.millis)
            && let Some(Reverse((_, node))) = self.timers.pop()
        {
            self.waiting.remove(&node);
            match self.nodes.get(&node) {
                Some(Service::Running) => {}
                Some(Service::Out) => self.collect_terminating(&node),
                None if self.pods_by_node.contains_key(&node) => {
                    let path = format!("/api/v1/nodes/{node}");
                    self.outbox.push(Ticket::Verify(node), Method::GET, path, content_type::JSON, "");
                }
                None => {}
            }
        }
    }

    fn next_write(&mut self, _now: Now) -> Option<Write> {
        self.outbox.pop()
    }

    fn done(&mut self, ticket: u64, result: Result<Bytes, Error>, now: Now) {
        match (self.outbox.answered(ticket), result) {
            (Some(Ticket::Verify(node)), Err(error)) if error.is_not_found() => {
                self.failures = 0;
                self.collect(&node, now);
            }
            (Some(Ticket::Verify(node)), Ok(_)) => {
                // It is back, and the watch will say so.
                self.later(node, now.millis + self.quarantine_millis.max(1000));
            }
            (Some(Ticket::Verify(node)), Err(error)) => {
                tracing::warn!(%node, %error, "cannot tell whether a node is gone");
                self.failures += 1;
                let at = retry_at(now, self.failures, &mut self.random);
                self.later(node, at);
            }
            (Some(Ticket::Mark { path, uid }), result) => {
                if let Err(error) = &result
                    && !error.is_not_found()
                {
                    tracing::warn!(path, %error, "an orphaned pod was not marked");
                }
                self.remove(path, uid);
            }
            (Some(Ticket::Delete(uid)), Err(error)) if !error.is_not_found() && !error.is_conflict() => {
                self.not_removed(&uid, &error, now);
            }
            (Some(Ticket::Delete(_)) | None, _) => {}
        }
    }
}

fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, deleted: bool) -> String {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name},
            "spec": {"nodeName": node},
        });
        if deleted {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        pod.to_string()
    }

    fn at(seconds: u64) -> Now {
        Now { millis: seconds * 1000, wall_seconds: 0 }
    }

    fn sent(gc: &mut PodGc, node_exists: bool, now: Now) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(write) = gc.next_write(now) {
            sent.push(format!("{} {}", write.method, write.path.rsplit("/v1/").next().unwrap()));
            let gone = Error::Api(Box::new(everynode_client::ApiStatus { code: 404, ..Default::default() }));
            let missing = write.method == Method::GET && !node_exists;
            gc.done(write.ticket, if missing { Err(gone) } else { Ok(Bytes::new()) }, now);
        }
        sent
    }

    fn collector() -> PodGc {
        let mut gc = PodGc::new(Duration::from_secs(40), fastrand::Rng::with_seed(1));
        gc.observe(&Fact::Listed { source: 0, kind: Kind::Nodes }, at(0));
        gc
    }

    /// Statement D13.
    #[test]
    fn pods_of_a_vanished_node_are_removed_after_the_quarantine() {
        let mut gc = collector();
        gc.observe(&Fact::Pod(&serde_json::from_str(&pod("p", "gone", false)).unwrap()), at(0));
        gc.wake(at(39));
        assert_eq!(sent(&mut gc, false, at(39)), [""; 0]);
        gc.wake(at(40));
        assert_eq!(
            sent(&mut gc, false, at(40)),
            ["GET nodes/gone", "PATCH namespaces/ns/pods/p/status", "DELETE namespaces/ns/pods/p"]
        );
    }

    #[test]
    fn a_pod_that_is_heard_of_while_others_of_its_node_are_removed_is_removed_too() {
        let mut gc = collector();
        gc.observe(&Fact::Pod(&serde_json::from_str(&pod("p", "gone", false)).unwrap()), at(0));
        gc.wake(at(40));
        assert_eq!(sent(&mut gc, false, at(40)).len(), 3);
        // The watch has not shown yet that the first one has gone.
        gc.observe(&Fact::Pod(&serde_json::from_str(&pod("q", "gone", false)).unwrap()), at(41));
        gc.wake(at(81));
        let removed = sent(&mut gc, false, at(81));
        assert!(removed.contains(&"DELETE namespaces/ns/pods/q".to_owned()), "{removed:?}");
    }

    #[test]
    fn pods_of_a_node_that_exists_after_all_stay() {
        let mut gc = collector();
        gc.observe(&Fact::Pod(&serde_json::from_str(&pod("p", "late", false)).unwrap()), at(0));
        gc.wake(at(40));
        assert_eq!(sent(&mut gc, true, at(40)), ["GET nodes/late"]);
    }

    /// The node `n`, with the status of its condition Ready and the keys of its taints.
    fn tell_node(gc: &mut PodGc, ready: &str, taints: &[&str]) {
        let taints: Vec<_> = taints.iter().map(|key| json!({"key": key, "effect": "NoExecute"})).collect();
        let node = json!({
            "metadata": {"name": "n", "uid": "n"},
            "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        });
        gc.observe(&Fact::Node(&serde_json::from_str(&node.to_string()).unwrap()), at(0));
    }

    #[test]
    fn pods_that_are_asked_to_go_are_removed_from_nodes_that_are_out_of_service() {
        let check = |ready: &str, taints: &[&str], expected: &[&str]| {
            for pods_first in [true, false] {
                let mut gc = collector();
                let pods = [pod("goes", "n", true), pod("stays", "n", false)];
                let tell = |gc: &mut PodGc| {
                    pods.iter().for_each(|pod| {
                        gc.observe(&Fact::Pod(&serde_json::from_str(pod).unwrap()), at(0));
                    });
                };
                tell_node(&mut gc, "True", &[]);
                if pods_first {
                    tell(&mut gc);
                }
                tell_node(&mut gc, ready, taints);
                tell(&mut gc);
                assert_eq!(sent(&mut gc, true, at(0)), expected, "{ready} {taints:?}");
            }
        };
        let removed = ["PATCH namespaces/ns/pods/goes/status", "DELETE namespaces/ns/pods/goes"];
        check("Unknown", &["other", OUT_OF_SERVICE], &removed);
        check("False", &[OUT_OF_SERVICE], &removed);
        check("True", &[OUT_OF_SERVICE], &[]);
        check("Unknown", &["node.kubernetes.io/unreachable"], &[]);
    }

    #[test]
    fn a_removal_that_fails_is_tried_again_while_the_node_is_out_of_service() {
        let mut gc = collector();
        tell_node(&mut gc, "Unknown", &[OUT_OF_SERVICE]);
        gc.observe(&Fact::Pod(&serde_json::from_str(&pod("goes", "n", true)).unwrap()), at(0));
        while let Some(write) = gc.next_write(at(0)) {
            gc.done(write.ticket, Err(Error::TimedOut(Duration::ZERO)), at(0));
        }
        gc.wake(at(60));
        assert_eq!(
            sent(&mut gc, true, at(60)),
            ["PATCH namespaces/ns/pods/goes/status", "DELETE namespaces/ns/pods/goes"]
        );
        assert_eq!(gc.next_wake(), None);
    }

    #[test]
    fn a_pod_deleted_before_it_had_a_node_is_removed_at_once() {
        let mut gc = collector();
        gc.observe(&Fact::Pod(&serde_json::from_str(&pod("p", "", true)).unwrap()), at(0));
        assert_eq!(sent(&mut gc, true, at(0)), ["DELETE namespaces/ns/pods/p"]);
    }
}

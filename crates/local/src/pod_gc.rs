//! Removes pods that nobody is left to end: those on nodes that no longer exist, and those deleted before they
//! had a node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{Error, Method, content_type};
use serde_json::json;

use crate::core::{Core, Fact, Kind, Now, Outbox, Write, delete_options, retry_millis};
use crate::facts::Pod;

/// The collector's state.
pub(crate) struct PodGc {
    quarantine_millis: u64,
    nodes: HashSet<Box<str>>,
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

#[derive(Debug)]
struct PodRow {
    namespace: Box<str>,
    name: Box<str>,
}

#[derive(Debug)]
enum Ticket {
    /// Is the node really gone?
    Verify(Box<str>),
    /// The pod is marked; its deletion follows.
    Mark {
        path: String,
        uid: Box<str>,
    },
    Delete,
}

impl PodGc {
    /// `quarantine` is how long a node may be missing.
    pub(crate) fn new(quarantine: Duration, random: fastrand::Rng) -> PodGc {
        PodGc {
            quarantine_millis: u64::try_from(quarantine.as_millis()).unwrap_or(u64::MAX / 2),
            nodes: HashSet::new(),
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
        let node = &*pod.spec.node_name;
        if node.is_empty() {
            if pod.metadata.deletion_timestamp.is_some() {
                self.remove(&pod.metadata.namespace, &pod.metadata.name, &pod.metadata.uid);
            }
            return;
        }
        if self.node_by_pod.contains_key(&*pod.metadata.uid) {
            return;
        }
        self.node_by_pod.insert((*pod.metadata.uid).into(), node.into());
        let row = PodRow { namespace: (*pod.metadata.namespace).into(), name: (*pod.metadata.name).into() };
        self.pods_by_node.entry(node.into()).or_default().insert((*pod.metadata.uid).into(), row);
        // Also when others of the node are known: those may just be removed.
        if self.nodes_listed && !self.nodes.contains(node) && !self.waiting.contains(node) {
            self.later(node.into(), now.millis + self.quarantine_millis);
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

    fn remove(&mut self, namespace: &str, name: &str, uid: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        self.outbox.push(
            Ticket::Delete,
            Method::DELETE,
            path,
            content_type::JSON,
            delete_options(uid, Some(0)),
        );
    }

    /// Marks the pods of a node that is gone as failed, and removes them.
    fn collect(&mut self, node: &str, now: Now) {
        for (uid, row) in self.pods_by_node.get(node).into_iter().flatten() {
            let condition = json!({
                "type": "DisruptionTarget",
                "status": "True",
                "lastTransitionTime": now.text(),
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
            });
            let body = json!({
                "metadata": { "uid": uid },
                "status": { "phase": "Failed", "conditions": [condition] },
            });
            let path = format!("/api/v1/namespaces/{}/pods/{}", row.namespace, row.name);
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
            Fact::Node(node) if !self.nodes.contains(&*node.metadata.name) => {
                self.nodes.insert((*node.metadata.name).into());
            }
            Fact::NodeGone(metadata) => {
                self.nodes.remove(&*metadata.name);
                if self.pods_by_node.contains_key(&*metadata.name) {
                    self.later((*metadata.name).into(), now.millis + self.quarantine_millis);
                }
            }
            Fact::Listed { kind: Kind::Nodes, .. } if !self.nodes_listed => {
                self.nodes_listed = true;
                let missing: Vec<Box<str>> =
                    self.pods_by_node.keys().filter(|node| !self.nodes.contains(*node)).cloned().collect();
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
            if !self.nodes.contains(&node) && self.pods_by_node.contains_key(&node) {
                let path = format!("/api/v1/nodes/{node}");
                self.outbox.push(Ticket::Verify(node), Method::GET, path, content_type::JSON, "");
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
                let pause = retry_millis(self.failures, &mut self.random);
                self.later(node, now.millis + pause);
            }
            (Some(Ticket::Mark { path, uid }), result) => {
                if let Err(error) = &result
                    && !error.is_not_found()
                {
                    tracing::warn!(path, %error, "an orphaned pod was not marked");
                }
                let body = delete_options(&uid, Some(0));
                self.outbox.push(Ticket::Delete, Method::DELETE, path, content_type::JSON, body);
            }
            (Some(Ticket::Delete), Err(error)) if !error.is_not_found() && !error.is_conflict() => {
                tracing::warn!(%error, "an orphaned pod was not removed");
                // Its node, if it had one, is looked at again.
                let missing: Vec<Box<str>> =
                    self.pods_by_node.keys().filter(|node| !self.nodes.contains(*node)).cloned().collect();
                self.failures += 1;
                let pause = retry_millis(self.failures, &mut self.random);
                for node in missing {
                    self.later(node, now.millis + pause);
                }
            }
            (Some(Ticket::Delete) | None, _) => {}
        }
    }
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

    #[test]
    fn a_pod_deleted_before_it_had_a_node_is_removed_at_once() {
        let mut gc = collector();
        gc.observe(&Fact::Pod(&serde_json::from_str(&pod("p", "", true)).unwrap()), at(0));
        assert_eq!(sent(&mut gc, true, at(0)), ["DELETE namespaces/ns/pods/p"]);
    }
}

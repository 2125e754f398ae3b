//! What Kubernetes' node lifecycle does: a node that stops renewing its lease becomes Unknown, taints follow
//! conditions, pods that do not tolerate a NoExecute taint are evicted (specification
//! [B10](everynode_engine::spec#b10)).

mod eviction;
mod taints;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_client::event::{About, NewEvent, Source, Wording, allowance};
use everynode_client::{Error, Method, TokenBucket, content_type};
use everynode_model::{Node, Pod};
use serde_json::json;

use self::eviction::{Stay, TimedToleration, Tolerations};
use self::taints::{TaintRow, known_status};
use crate::core::{Core, Fact, Now, Outbox, Write, delete_options, retry_at};
use crate::facts;

const EVENTS_PER_SECOND: f64 = 20.0;

/// The conditions that a kubelet reports, which become Unknown when it falls silent.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// The lifecycle's state.
pub(crate) struct Lifecycle {
    grace_millis: u64,
    nodes: Vec<NodeRow>,
    node_by_name: HashMap<Box<str>, usize>,
    pods: HashMap<u64, PodRow>,
    pod_by_uid: HashMap<Box<str>, u64>,
    next_pod: u64,
    tolerations: Tolerations,
    timers: BinaryHeap<Reverse<(u64, Timer)>>,
    /// Nodes whose taints or conditions are to be looked at.
    dirty: VecDeque<usize>,
    outbox: Outbox<Ticket>,
    events: TokenBucket,
    random: fastrand::Rng,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Health(usize),
    Look(usize),
    Evict(u64),
}

#[derive(Debug, Clone, Copy)]
enum Ticket {
    Taints(usize),
    Unknown(usize),
    /// The pod is marked as evicted; its deletion follows.
    Mark(u64),
    Evict(u64),
    Other,
}

#[derive(Debug, Default)]
struct NodeRow {
    name: Box<str>,
    uid: Box<str>,
    present: bool,
    resource_version: u64,
    conditions: BTreeMap<Box<str>, &'static str>,
    taints: Vec<TaintRow>,
    unschedulable: bool,
    /// The last sign of life, in milliseconds.
    heard: u64,
    heartbeat: Box<str>,
    renewed: Box<str>,
    health_armed: bool,
    /// Writes that are under way.
    writing_taints: bool,
    writing_unknown: bool,
    dirty: bool,
    failures: u32,
    /// In order, so that the same happens in the same order every time.
    pods: BTreeSet<u64>,
}

#[derive(Debug)]
struct PodRow {
    namespace: Box<str>,
    name: Box<str>,
    uid: Box<str>,
    node: usize,
    ready: bool,
    deleting: bool,
    tolerations: Arc<[TimedToleration]>,
    /// When the taint that drives the pod off came, and when the pod has to go.
    eviction: Option<(u64, u64)>,
    evicting: bool,
    failures: u32,
}

impl Lifecycle {
    /// `grace` is how long a node may be silent.
    pub(crate) fn new(grace: Duration, random: fastrand::Rng) -> Lifecycle {
        Lifecycle {
            grace_millis: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX / 2).max(1),
            nodes: Vec::new(),
            node_by_name: HashMap::new(),
            pods: HashMap::new(),
            pod_by_uid: HashMap::new(),
            next_pod: 0,
            tolerations: Tolerations::default(),
            timers: BinaryHeap::new(),
            dirty: VecDeque::new(),
            outbox: Outbox::default(),
            events: allowance(EVENTS_PER_SECOND),
            random,
        }
    }

    fn node_index(&mut self, name: &str) -> usize {
        match self.node_by_name.get(name) {
            Some(&index) => index,
            None => {
                self.node_by_name.insert(name.into(), self.nodes.len());
                self.nodes.push(NodeRow { name: name.into(), ..NodeRow::default() });
                self.nodes.len() - 1
            }
        }
    }

    fn node_applied(&mut self, node: &Node<'_>, now: Now) {
        let index = self.node_index(&node.metadata.name);
        let row = &mut self.nodes[index];
        let was_ready = row.condition("Ready") == Some("True");
        let no_execute_before = row.no_execute();
        let is_new = row.observe(node, now);
        let lost = was_ready && !is_new && row.condition("Ready") != Some("True");
        let changed = row.no_execute() != no_execute_before;
        if !std::mem::replace(&mut row.health_armed, true) {
            self.timers.push(Reverse((row.heard + self.grace_millis, Timer::Health(index))));
        }
        if lost {
            self.node_lost(index, now);
        }
        if changed {
            self.reconsider_evictions(index, now);
        }
        self.mark_dirty(index);
    }

    fn mark_dirty(&mut self, index: usize) {
        if !std::mem::replace(&mut self.nodes[index].dirty, true) {
            self.dirty.push_back(index);
        }
    }

    /// The node was Ready and is not any more: its pods are not ready either.
    fn node_lost(&mut self, index: usize, now: Now) {
        let NodeRow { name, uid, pods, .. } = &self.nodes[index];
        if self.events.take(now.millis) {
            let message = format!("Node {name} status is now: NodeNotReady");
            let about = About { api_version: "v1", kind: "Node", name, uid, ..About::default() };
            let wording = Wording { kind: "Normal", reason: "NodeNotReady", message: &message };
            let source = Source { component: "node-controller", host: "" };
            let event = NewEvent::new(&about, source, wording, &now.text(), self.random.u64(..));
            self.outbox.push(Ticket::Other, Method::POST, event.path, content_type::JSON, event.body);
        }
        for pod in pods.iter().filter_map(|id| self.pods.get(id)).filter(|pod| pod.ready) {
            let condition = json!({ "type": "Ready", "status": "False", "lastTransitionTime": now.text() });
            let body = json!({ "metadata": { "uid": pod.uid }, "status": { "conditions": [condition] } });
            let path = format!("{}/status", pod.path());
            let patch = content_type::STRATEGIC_MERGE_PATCH;
            self.outbox.push(Ticket::Other, Method::PATCH, path, patch, body.to_string());
        }
    }

    /// Writes what is wrong with one node, one request at a time.
    fn look(&mut self, index: usize, now: Now) {
        let row = &mut self.nodes[index];
        row.dirty = false;
        if !row.present || row.writing_taints || row.writing_unknown {
            return;
        }
        let silent = now.millis >= row.heard + self.grace_millis;
        if silent && row.condition("Ready") != Some("Unknown") {
            row.writing_unknown = true;
            let path = format!("/api/v1/nodes/{}/status", row.name);
            let body = row.unknown_patch(&now.text());
            self.outbox.push(
                Ticket::Unknown(index),
                Method::PATCH,
                path,
                content_type::STRATEGIC_MERGE_PATCH,
                body,
            );
        } else if let Some(taints) =
            taints::corrected(&row.taints, |kind| row.condition(kind), row.unschedulable, &now.text())
        {
            row.writing_taints = true;
            let path = format!("/api/v1/nodes/{}", row.name);
            let body = taints::patch(&taints, row.resource_version);
            self.outbox.push(Ticket::Taints(index), Method::PATCH, path, content_type::MERGE_PATCH, body);
        }
    }

    fn lease_applied(&mut self, lease: &facts::Lease<'_>, now: Now) {
        if lease.metadata.namespace != "kube-node-lease" {
            return;
        }
        let Some(&index) = self.node_by_name.get(&*lease.metadata.name) else { return };
        let row = &mut self.nodes[index];
        let renewed = lease.spec.renew_time.as_deref().unwrap_or_default();
        if *row.renewed != *renewed {
            row.renewed = renewed.into();
            row.heard = now.millis;
        }
    }

    fn node_gone(&mut self, name: &str) {
        let Some(&index) = self.node_by_name.get(name) else { return };
        let row = &mut self.nodes[index];
        row.present = false;
        row.conditions.clear();
        row.taints.clear();
        row.renewed = "".into();
    }

    fn pod_applied(&mut self, pod: &Pod<'_>, now: Now) {
        if pod.bound_to().is_none() {
            return;
        }
        if pod.phase().is_terminal() {
            return self.pod_gone(&pod.metadata.uid);
        }
        let (id, is_new) = match self.pod_by_uid.get(&*pod.metadata.uid) {
            Some(&id) => (id, false),
            None => (self.pod_added(pod), true),
        };
        let Some(row) = self.pods.get_mut(&id) else { return };
        row.ready = pod.is_ready();
        row.deleting = pod.is_terminating();
        let node = row.node;
        if is_new && self.nodes[node].has_no_execute() {
            self.reconsider_eviction(id, now);
        }
    }

    fn pod_added(&mut self, pod: &Pod<'_>) -> u64 {
        let node = self.node_index(&pod.spec.node_name);
        let id = self.next_pod;
        self.next_pod += 1;
        let row = PodRow {
            namespace: (*pod.metadata.namespace).into(),
            name: (*pod.metadata.name).into(),
            uid: (*pod.metadata.uid).into(),
            node,
            ready: false,
            deleting: false,
            tolerations: self.tolerations.read(pod.spec.tolerations),
            eviction: None,
            evicting: false,
            failures: 0,
        };
        self.pod_by_uid.insert(row.uid.clone(), id);
        self.pods.insert(id, row);
        self.nodes[node].pods.insert(id);
        id
    }

    fn pod_gone(&mut self, uid: &str) {
        if let Some(id) = self.pod_by_uid.remove(uid)
            && let Some(row) = self.pods.remove(&id)
        {
            self.nodes[row.node].pods.remove(&id);
        }
    }

    fn reconsider_evictions(&mut self, index: usize, now: Now) {
        let ids: Vec<u64> = self.nodes[index].pods.iter().copied().collect();
        for id in ids {
            self.reconsider_eviction(id, now);
        }
    }

    fn reconsider_eviction(&mut self, id: u64, now: Now) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let since = pod.eviction.map_or(now.millis, |(since, _)| since);
        pod.eviction = match eviction::stay(&self.nodes[pod.node].taints, &pod.tolerations) {
            Stay::Forever => None,
            Stay::Seconds(seconds) => Some((since, since.saturating_add(seconds.saturating_mul(1000)))),
        };
        if let Some((_, at)) = pod.eviction {
            self.timers.push(Reverse((at, Timer::Evict(id))));
        }
    }

    fn evict(&mut self, id: u64, now: Now) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let due = pod.eviction.is_some_and(|(_, at)| at <= now.millis);
        if !due || pod.deleting || std::mem::replace(&mut pod.evicting, true) {
            return;
        }
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "lastTransitionTime": now.text(),
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
        });
        let body = json!({ "metadata": { "uid": pod.uid }, "status": { "conditions": [condition] } });
        let path = format!("{}/status", pod.path());
        let patch = content_type::STRATEGIC_MERGE_PATCH;
        if self.events.take(now.millis) {
            let PodRow { namespace, name, uid, .. } = &*pod;
            let about = About { api_version: "v1", kind: "Pod", namespace, name, uid, field_path: "" };
            let message = format!("Marking for deletion Pod {namespace}/{name}");
            let wording = Wording { kind: "Normal", reason: "TaintManagerEviction", message: &message };
            let source = Source { component: "taint-eviction-controller", host: "" };
            let event = NewEvent::new(&about, source, wording, &now.text(), self.random.u64(..));
            self.outbox.push(Ticket::Other, Method::POST, event.path, content_type::JSON, event.body);
        }
        self.outbox.push(Ticket::Mark(id), Method::PATCH, path, patch, body.to_string());
    }

    fn delete(&mut self, id: u64) {
        if let Some(pod) = self.pods.get(&id) {
            let body = delete_options(&pod.uid, None);
            self.outbox.push(Ticket::Evict(id), Method::DELETE, pod.path(), content_type::JSON, body);
        }
    }

    fn node_written(&mut self, index: usize, result: Result<Bytes, Error>, now: Now) {
        let row = &mut self.nodes[index];
        row.writing_taints = false;
        row.writing_unknown = false;
        match result {
            Ok(body) => {
                row.failures = 0;
                // The answer shows the Node before the watch does.
                match serde_json::from_slice::<Node<'_>>(&body) {
                    Ok(node) => self.node_applied(&node, now),
                    Err(error) => tracing::warn!(%error, "cannot read the answer about a node"),
                }
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                if !error.is_conflict() {
                    tracing::warn!(node = %row.name, %error, "the node was not updated");
                }
                row.failures += 1;
                let at = retry_at(now, row.failures, &mut self.random);
                self.timers.push(Reverse((at, Timer::Look(index))));
            }
        }
    }
}

impl Core for Lifecycle {
    fn observe(&mut self, fact: &Fact<'_>, now: Now) {
        match fact {
            Fact::Node(node) => self.node_applied(node, now),
            Fact::NodeGone(metadata) => self.node_gone(&metadata.name),
            Fact::Lease(lease) => self.lease_applied(lease, now),
            Fact::Pod(pod) => self.pod_applied(pod, now),
            Fact::PodGone(metadata) => self.pod_gone(&metadata.uid),
            _ => {}
        }
    }

    fn next_wake(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn wake(&mut self, now: Now) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied()
            && at <= now.millis
        {
            self.timers.pop();
            match timer {
                Timer::Health(index) => {
                    let row = &mut self.nodes[index];
                    row.health_armed = row.present;
                    if row.present {
                        // Looked at again when the node can have been silent for long enough.
                        let due = row.heard + self.grace_millis;
                        let next = if due > now.millis { due } else { now.millis + self.grace_millis };
                        self.timers.push(Reverse((next, timer)));
                        if due <= now.millis {
                            self.mark_dirty(index);
                        }
                    }
                }
                Timer::Look(index) => self.mark_dirty(index),
                Timer::Evict(id) => self.evict(id, now),
            }
        }
    }

    fn next_write(&mut self, now: Now) -> Option<Write> {
        while self.outbox.is_empty() {
            let index = self.dirty.pop_front()?;
            self.look(index, now);
        }
        self.outbox.pop()
    }

    fn done(&mut self, ticket: u64, result: Result<Bytes, Error>, now: Now) {
        match self.outbox.answered(ticket) {
            Some(Ticket::Taints(index) | Ticket::Unknown(index)) => self.node_written(index, result, now),
            Some(Ticket::Mark(id)) => self.delete(id),
            Some(Ticket::Evict(id)) => {
                if let (Some(pod), Err(error)) = (self.pods.get_mut(&id), result) {
                    tracing::warn!(pod = %pod.name, %error, "the pod was not evicted");
                    pod.evicting = false;
                    pod.failures += 1;
                    let at = retry_at(now, pod.failures, &mut self.random);
                    self.timers.push(Reverse((at, Timer::Evict(id))));
                }
            }
            Some(Ticket::Other) | None => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a condition or event was not written");
                }
            }
        }
    }
}

impl PodRow {
    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }
}

impl NodeRow {
    /// Takes a Node; true when it is another one than before.
    fn observe(&mut self, node: &Node<'_>, now: Now) -> bool {
        let is_new = !self.present || *self.uid != *node.metadata.uid;
        let version = node.metadata.resource_version.parse().unwrap_or(0);
        if !is_new && version < self.resource_version {
            // The watch is behind the answer to our own write.
            return false;
        }
        if is_new {
            self.uid = (*node.metadata.uid).into();
            self.present = true;
            self.heard = now.millis;
        }
        self.resource_version = version;
        self.unschedulable = node.spec.unschedulable;
        self.taints = node.spec.taints.iter().map(TaintRow::read).collect();
        self.conditions.clear();
        for condition in node.status.conditions.iter() {
            self.conditions.insert((*condition.kind).into(), known_status(&condition.status));
        }
        let heartbeat = node.ready().and_then(|ready| ready.last_heartbeat_time.as_deref());
        if let Some(heartbeat) = heartbeat.filter(|heartbeat| **heartbeat != *self.heartbeat) {
            self.heartbeat = heartbeat.into();
            self.heard = now.millis;
        }
        is_new
    }

    fn condition(&self, kind: &str) -> Option<&'static str> {
        self.conditions.get(kind).copied()
    }

    fn no_execute(&self) -> Vec<TaintRow> {
        self.taints.iter().filter(|taint| &*taint.effect == "NoExecute").cloned().collect()
    }

    fn has_no_execute(&self) -> bool {
        self.taints.iter().any(|taint| &*taint.effect == "NoExecute")
    }

    fn unknown_patch(&self, now: &str) -> String {
        let conditions: Vec<_> = REPORTED
            .iter()
            .filter(|kind| self.condition(kind) != Some("Unknown"))
            .map(|kind| match self.condition(kind) {
                Some(_) => json!({
                    "type": kind,
                    "status": "Unknown",
                    "lastTransitionTime": now,
                    "reason": "NodeStatusUnknown",
                    "message": "Kubelet stopped posting node status.",
                }),
                None => json!({
                    "type": kind,
                    "status": "Unknown",
                    "lastTransitionTime": now,
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                }),
            })
            .collect();
        json!({ "status": { "conditions": conditions } }).to_string()
    }
}

#[cfg(test)]
mod tests;

//! Finds a node for pending pods, as Kubernetes' scheduler does for the pods of daemons.
//!
//! A pod whose affinity names one node is looked at against that node only; any other pod goes to the node with
//! the most free cpu and memory. Each decision costs what the change costs: a pod that does not fit waits
//! at its node until that node changes or a pod leaves it. There is no preemption.

mod claims;
mod rows;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

use bytes::Bytes;
use everynode_client::event::{About, NewEvent, Source, Wording, allowance};
use everynode_client::{Error, Method, TokenBucket, content_type};
use everynode_engine::fit::{Demand, Misfit};
use everynode_model::{Node, Pod};
use serde_json::json;

use self::claims::Claims;
use self::rows::{NodeRow, PodRow, PodState, Wish};
use crate::core::{Core, Fact, Kind, Now, Outbox, Write, retry_at};

/// The name by which pods ask for this scheduler.
const SCHEDULER: &str = "default-scheduler";
/// Events about pods that were bound, per second; those about pods that were not have a larger allowance.
const SCHEDULED_EVENTS_PER_SECOND: f64 = 5.0;
const FAILED_EVENTS_PER_SECOND: f64 = 50.0;
const EVENT_QUEUE_LIMIT: usize = 1000;

/// The binder's state.
pub(crate) struct Binder {
    nodes: Vec<NodeRow>,
    node_by_name: HashMap<Box<str>, usize>,
    present_nodes: usize,
    pods: HashMap<u64, PodRow>,
    pod_by_uid: HashMap<Box<str>, u64>,
    next_pod: u64,
    /// Pods to be placed: the highest priority first, then the oldest.
    queue: BTreeSet<(Reverse<i32>, u64)>,
    /// Pods without a node of their own that fit nowhere now.
    waiting_anywhere: Vec<u64>,
    /// Pods whose node has not appeared yet.
    waiting_absent: HashMap<Box<str>, Vec<u64>>,
    /// Claims to volumes, and the pods whose volumes are not there yet.
    claims: Claims,
    retries: BinaryHeap<Reverse<(u64, u64)>>,
    outbox: Outbox<Ticket>,
    scheduled_events: TokenBucket,
    failed_events: TokenBucket,
    events: VecDeque<NewEvent>,
    random: fastrand::Rng,
    nodes_listed: bool,
    pods_listed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Ticket {
    Bind(u64),
    Condition,
    Event,
}

impl Binder {
    pub(crate) fn new(random: fastrand::Rng) -> Binder {
        Binder {
            nodes: Vec::new(),
            node_by_name: HashMap::new(),
            present_nodes: 0,
            pods: HashMap::new(),
            pod_by_uid: HashMap::new(),
            next_pod: 0,
            queue: BTreeSet::new(),
            waiting_anywhere: Vec::new(),
            waiting_absent: HashMap::new(),
            claims: Claims::default(),
            retries: BinaryHeap::new(),
            outbox: Outbox::default(),
            scheduled_events: allowance(SCHEDULED_EVENTS_PER_SECOND),
            failed_events: allowance(FAILED_EVENTS_PER_SECOND),
            events: VecDeque::new(),
            random,
            nodes_listed: false,
            pods_listed: false,
        }
    }

    fn node_index(&mut self, name: &str) -> usize {
        match self.node_by_name.get(name) {
            Some(&index) => index,
            None => {
                self.node_by_name.insert(name.into(), self.nodes.len());
                self.nodes.push(NodeRow::new(name));
                self.nodes.len() - 1
            }
        }
    }

    fn node_applied(&mut self, node: &Node<'_>) {
        let index = self.node_index(&node.metadata.name);
        let was_present = self.nodes[index].present;
        if !self.nodes[index].observe(node) {
            return;
        }
        if !was_present {
            self.present_nodes += 1;
            let absent = self.waiting_absent.remove(&*node.metadata.name).unwrap_or_default();
            self.enqueue_all(absent);
        }
        self.node_improved(index);
    }

    fn node_gone(&mut self, name: &str) {
        let Some(&index) = self.node_by_name.get(name) else { return };
        if std::mem::replace(&mut self.nodes[index].present, false) {
            self.present_nodes -= 1;
        }
        let waiting = std::mem::take(&mut self.nodes[index].waiting);
        self.enqueue_all(waiting);
    }

    /// Pods that did not fit on this node may fit now.
    fn node_improved(&mut self, index: usize) {
        let mut waiting = std::mem::take(&mut self.nodes[index].waiting);
        waiting.append(&mut self.waiting_anywhere);
        self.enqueue_all(waiting);
    }

    fn enqueue_all(&mut self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            self.enqueue(id);
        }
    }

    fn enqueue(&mut self, id: u64) {
        if let Some(pod) = self.pods.get(&id)
            && matches!(pod.state, PodState::Pending(_))
        {
            self.queue.insert((Reverse(pod.priority), id));
        }
    }

    fn pod_applied(&mut self, pod: &Pod<'_>) {
        let id = match self.pod_by_uid.get(&*pod.metadata.uid) {
            Some(&id) => id,
            None if pod.phase().is_terminal() => return,
            None => self.pod_added(pod),
        };
        if pod.phase().is_terminal() {
            self.forget_pod(id);
        } else if let Some(node) = pod.bound_to() {
            let index = self.node_index(node);
            self.pod_is_on(id, index);
        } else {
            self.pod_is_unbound(id, pod);
        }
    }

    fn pod_added(&mut self, pod: &Pod<'_>) -> u64 {
        let id = self.next_pod;
        self.next_pod += 1;
        let demand = Demand::of_pod(&pod.spec.needs());
        let shown = pod.status.conditions.scheduled.as_ref().filter(|condition| condition.status == "False");
        let row = PodRow {
            namespace: (*pod.metadata.namespace).into(),
            name: (*pod.metadata.name).into(),
            uid: (*pod.metadata.uid).into(),
            priority: pod.spec.priority,
            demand,
            state: PodState::Idle,
            failures: 0,
            told: shown.map(|condition| (*condition.message).into()),
        };
        self.pod_by_uid.insert(row.uid.clone(), id);
        self.pods.insert(id, row);
        id
    }

    /// The API shows the pod on a node.
    fn pod_is_on(&mut self, id: u64, index: usize) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let before = std::mem::replace(&mut pod.state, PodState::Bound(index));
        match before {
            PodState::Bound(old) | PodState::Binding(old, _) if old == index => {}
            PodState::Bound(old) | PodState::Binding(old, _) => {
                self.nodes[old].room.remove(&pod.demand);
                self.nodes[index].room.add(&pod.demand);
                self.node_improved(old);
            }
            PodState::Pending(_) | PodState::Idle => {
                self.queue.remove(&(Reverse(pod.priority), id));
                self.nodes[index].room.add(&pod.demand);
            }
        }
    }

    fn pod_is_unbound(&mut self, id: u64, pod: &Pod<'_>) {
        let ours = pod.spec.scheduler_name.is_empty() || pod.spec.scheduler_name == SCHEDULER;
        let wanted = ours && !pod.spec.is_gated() && !pod.is_terminating();
        let Some(row) = self.pods.get_mut(&id) else { return };
        match (&row.state, wanted) {
            // The watch is behind our binding, or the pod waits already; its spec does not change but for gates.
            (PodState::Binding(..) | PodState::Bound(_), _) | (PodState::Pending(_), true) => {}
            (PodState::Idle, false) => {}
            (PodState::Idle, true) => {
                let placement = everynode_engine::pod_placement(&pod.spec.wishes());
                let has_claims = pod.spec.claims_devices();
                let generation = pod.metadata.generation;
                let volume_claims = pod.spec.volume_claims(&pod.metadata.name);
                let wish = Wish { placement, has_claims, volume_claims, generation };
                row.state = PodState::Pending(Box::new(wish));
                self.enqueue(id);
            }
            (PodState::Pending(_), false) => {
                row.state = PodState::Idle;
                self.queue.remove(&(Reverse(row.priority), id));
            }
        }
    }

    fn forget_pod(&mut self, id: u64) {
        let Some(pod) = self.pods.remove(&id) else { return };
        self.pod_by_uid.remove(&pod.uid);
        self.queue.remove(&(Reverse(pod.priority), id));
        if let PodState::Pending(wish) = &pod.state {
            self.claims.forget(id, &pod.namespace, &wish.volume_claims);
        }
        if let PodState::Bound(index) | PodState::Binding(index, _) = pod.state {
            self.nodes[index].room.remove(&pod.demand);
            self.node_improved(index);
        }
    }

    /// Places the first pod of the queue.
    fn place_next(&mut self, now: Now) -> bool {
        let Some((_, id)) = self.queue.pop_first() else { return false };
        let Some(pod) = self.pods.get_mut(&id) else { return true };
        let PodState::Pending(wish) = &pod.state else { return true };
        if let Some(why) = self.claims.wait(id, &pod.namespace, &wish.volume_claims) {
            let message = refusal_message(&why, self.present_nodes);
            self.tell_unschedulable(id, message, now);
            return true;
        }
        let chosen = match wish.pinned() {
            Some(name) => match self.node_by_name.get(name).filter(|index| self.nodes[**index].present) {
                Some(&index) => self.nodes[index].misfit(wish, &pod.demand).map_or(Ok(index), |misfit| {
                    Err((Some(index), misfit_message(&[misfit], self.present_nodes)))
                }),
                None => {
                    self.waiting_absent.entry(name.into()).or_default().push(id);
                    let message = misfit_message(&[], self.present_nodes);
                    self.tell_unschedulable(id, message, now);
                    return true;
                }
            },
            None => choose(&self.nodes, wish, &pod.demand)
                .map_err(|misfits| (None, misfit_message(&misfits, self.present_nodes))),
        };
        match chosen {
            Ok(index) => self.bind(id, index),
            Err((Some(index), message)) => {
                self.nodes[index].waiting.push(id);
                self.tell_unschedulable(id, message, now);
            }
            Err((None, message)) => {
                self.waiting_anywhere.push(id);
                self.tell_unschedulable(id, message, now);
            }
        }
        true
    }

    fn bind(&mut self, id: u64, index: usize) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let PodState::Pending(wish) = std::mem::replace(&mut pod.state, PodState::Idle) else { return };
        pod.state = PodState::Binding(index, wish);
        self.nodes[index].room.add(&pod.demand);
        let body = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": pod.name, "namespace": pod.namespace, "uid": pod.uid },
            "target": { "kind": "Node", "name": self.nodes[index].name },
        });
        let path = format!("/api/v1/namespaces/{}/pods/{}/binding", pod.namespace, pod.name);
        self.outbox.push(Ticket::Bind(id), Method::POST, path, content_type::JSON, body.to_string());
    }

    /// Writes the condition and the event, once per message.
    fn tell_unschedulable(&mut self, id: u64, message: String, now: Now) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if pod.told.as_deref() == Some(message.as_str()) {
            return;
        }
        pod.told = Some(message.as_str().into());
        let mut condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": now.text(),
            "reason": "Unschedulable",
            "message": message,
        });
        if let PodState::Pending(wish) = &pod.state
            && wish.generation > 0
        {
            condition["observedGeneration"] = wish.generation.into();
        }
        let body = json!({ "metadata": { "uid": pod.uid }, "status": { "conditions": [condition] } });
        let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
        let wording = Wording { kind: "Warning", reason: "FailedScheduling", message: &message };
        if self.failed_events.take(now.millis) {
            self.events.push_back(pod_event(pod, wording, now, &mut self.random));
        }
        let bytes = body.to_string();
        self.outbox.push(Ticket::Condition, Method::PATCH, path, content_type::STRATEGIC_MERGE_PATCH, bytes);
    }

    fn bound(&mut self, id: u64, result: Result<Bytes, Error>, now: Now) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let PodState::Binding(index, _) = pod.state else { return };
        match result {
            Ok(_) => {
                pod.state = PodState::Bound(index);
                if self.events.len() < EVENT_QUEUE_LIMIT && self.scheduled_events.take(now.millis) {
                    let message = format!(
                        "Successfully assigned {}/{} to {}",
                        pod.namespace, pod.name, self.nodes[index].name
                    );
                    let wording = Wording { kind: "Normal", reason: "Scheduled", message: &message };
                    self.events.push_back(pod_event(pod, wording, now, &mut self.random));
                }
            }
            // The pod is gone, deleted, or bound by others: the watch tells.
            Err(error) if matches!(error.code(), Some(404)) => {
                self.forget_pod(id);
            }
            Err(error) => {
                tracing::warn!(pod = %pod.name, %error, "the pod was not bound");
                pod.failures += 1;
                let at = retry_at(now, pod.failures, &mut self.random);
                if let PodState::Binding(_, wish) = std::mem::replace(&mut pod.state, PodState::Idle) {
                    pod.state = PodState::Pending(wish);
                }
                self.nodes[index].room.remove(&pod.demand);
                self.retries.push(Reverse((at, id)));
                self.node_improved(index);
            }
        }
    }
}

impl Core for Binder {
    fn observe(&mut self, fact: &Fact<'_>, _now: Now) {
        match fact {
            Fact::Pod(pod) => self.pod_applied(pod),
            Fact::PodGone(metadata) => {
                if let Some(&id) = self.pod_by_uid.get(&*metadata.uid) {
                    self.forget_pod(id);
                }
            }
            Fact::Node(node) => self.node_applied(node),
            Fact::NodeGone(metadata) => self.node_gone(&metadata.name),
            Fact::Claim(claim) => {
                let waiting = self.claims.observe(claim);
                self.enqueue_all(waiting);
            }
            Fact::ClaimGone(metadata) => {
                let waiting = self.claims.gone(metadata);
                self.enqueue_all(waiting);
            }
            Fact::Listed { kind: Kind::Claims, .. } => self.claims.listed = true,
            // Where there are no claims, none are waited for.
            Fact::Kinds(kinds) => {
                let has_claims = kinds.iter().any(|kind| kind.qualified_name() == "persistentvolumeclaims");
                self.claims.listed |= !has_claims;
            }
            Fact::Listed { kind: Kind::Pods, .. } => self.pods_listed = true,
            Fact::Listed { kind: Kind::Nodes, .. } => self.nodes_listed = true,
            _ => {}
        }
    }

    fn next_wake(&self) -> Option<u64> {
        self.retries.peek().map(|Reverse((at, _))| *at)
    }

    fn wake(&mut self, now: Now) {
        while let Some(Reverse((at, id))) = self.retries.peek().copied()
            && at <= now.millis
        {
            self.retries.pop();
            self.enqueue(id);
        }
    }

    fn next_write(&mut self, now: Now) -> Option<Write> {
        // What is used is known only when all pods and nodes are.
        if !(self.pods_listed && self.nodes_listed && self.claims.listed) {
            return None;
        }
        while self.outbox.is_empty() && self.place_next(now) {}
        if let Some(write) = self.outbox.pop() {
            return Some(write);
        }
        let event = self.events.pop_front()?;
        self.outbox.push(Ticket::Event, Method::POST, event.path, content_type::JSON, event.body);
        self.outbox.pop()
    }

    fn done(&mut self, ticket: u64, result: Result<Bytes, Error>, now: Now) {
        match self.outbox.answered(ticket) {
            Some(Ticket::Bind(id)) => self.bound(id, result, now),
            Some(Ticket::Condition | Ticket::Event) | None => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a condition or event was not written");
                }
            }
        }
    }
}

fn pod_event(pod: &PodRow, wording: Wording<'_>, now: Now, random: &mut fastrand::Rng) -> NewEvent {
    let PodRow { namespace, name, uid, .. } = pod;
    let about = About { api_version: "v1", kind: "Pod", namespace, name, uid, field_path: "" };
    let source = Source { component: SCHEDULER, host: "" };
    NewEvent::new(&about, source, wording, &now.text(), random.u64(..))
}

/// The node with the most free cpu and memory of those that fit, or why none does.
fn choose(nodes: &[NodeRow], wish: &Wish, demand: &Demand) -> Result<usize, Vec<Misfit>> {
    let mut best: Option<(i64, usize)> = None;
    let mut misfits = Vec::new();
    for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.present) {
        match node.misfit(wish, demand) {
            Some(misfit) => misfits.push(misfit),
            None => {
                let score = node.room.score(demand);
                if best.is_none_or(|(most, _)| score > most) {
                    best = Some((score, index));
                }
            }
        }
    }
    best.map(|(_, index)| index).ok_or(misfits)
}

/// The sentence of the scheduler. Nodes beside those of `misfits` were ruled out by the node that the pod names.
fn misfit_message(misfits: &[Misfit], node_count: usize) -> String {
    if node_count == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let ruled_out = node_count.saturating_sub(misfits.len());
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for reason in misfits.iter().flat_map(Misfit::texts) {
        *reasons.entry(reason).or_default() += 1;
    }
    if ruled_out > 0 {
        *reasons.entry("node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned()).or_default() +=
            ruled_out;
    }
    let victims = misfits.iter().filter(|misfit| misfit.by_other_pods).count();
    let mut preemption: BTreeMap<String, usize> = BTreeMap::new();
    for (reason, count) in [
        ("No preemption victims found for incoming pod", victims),
        ("Preemption is not helpful for scheduling", node_count - victims),
    ] {
        if count > 0 {
            preemption.insert(reason.to_owned(), count);
        }
    }
    format!(
        "0/{node_count} nodes are available: {}. no new claims to deallocate, preemption: 0/{node_count} nodes are available: {}.",
        histogram(&reasons),
        histogram(&preemption)
    )
}

/// The sentence of the scheduler about a pod that no node can take, whatever the node.
fn refusal_message(why: &str, node_count: usize) -> String {
    if node_count == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    // The scheduler ends the sentence with what its preemption found.
    format!("0/{node_count} nodes are available: {why}. not found")
}

/// `1 Insufficient cpu, 2 node(s) had untolerated taint(s)`, sorted as text.
fn histogram(reasons: &BTreeMap<String, usize>) -> String {
    let mut parts: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    parts.join(", ")
}

#[cfg(test)]
mod tests;

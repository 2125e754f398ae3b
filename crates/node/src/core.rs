//! The fleet without I/O: what the API shows goes in, writes come out.

mod notes;
mod requests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use everynode_client::event::{NewEvent, allowance};
use everynode_client::{Method, TokenBucket};
use everynode_model::{Node, Pod};

use crate::config::FleetConfig;
use crate::facts;
use crate::faults::{OnNode, PodFaults};
use crate::node::{NodeAgent, Registration};
use crate::pod::{Effects, Now, PodMachine};

/// One request to send.
#[derive(Debug)]
pub(crate) struct Write {
    pub task: Task,
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// What a request is for. Each is queued or under way at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    Register(usize),
    NodeStatus(usize),
    Lease(usize),
    CreateLease(usize),
    ListPods(usize),
    PodStatus(u64),
    PodDelete(u64),
    Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Node(usize),
    Pod(u64),
    Retry(Task),
}

/// One pod and what is owed to the API about it.
#[derive(Debug)]
struct PodEntry {
    machine: PodMachine,
    node: usize,
    pod_ip: String,
    /// The annotations that the faults were read from.
    fault_text: Box<str>,
    /// The listing in which the pod was last seen.
    seen: u64,
    /// The API shows the pod ready.
    shown_ready: bool,
    owes_status: bool,
    owes_delete: bool,
    /// A request is queued or under way.
    busy: bool,
    failures: u32,
}

/// The state of all agents.
pub(crate) struct FleetCore {
    config: FleetConfig,
    nodes: Vec<NodeAgent>,
    node_by_name: HashMap<String, usize>,
    pods: HashMap<u64, PodEntry>,
    pod_by_uid: HashMap<Box<str>, u64>,
    next_pod: u64,
    listing: u64,
    node_listing: u64,
    timers: BinaryHeap<Reverse<(u64, Timer)>>,
    queue: VecDeque<Task>,
    events: VecDeque<NewEvent>,
    ordinary_events: TokenBucket,
    failure_events: TokenBucket,
    random: fastrand::Rng,
}

impl FleetCore {
    pub(crate) fn new(config: FleetConfig) -> FleetCore {
        let random = config.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let mut nodes: Vec<NodeAgent> = Vec::new();
        let mut node_by_name = HashMap::new();
        for spec in &config.nodes {
            if !node_by_name.contains_key(&spec.name) {
                node_by_name.insert(spec.name.clone(), nodes.len());
                nodes.push(NodeAgent::new(spec.clone(), nodes.len()));
            }
        }
        FleetCore {
            nodes,
            node_by_name,
            pods: HashMap::new(),
            pod_by_uid: HashMap::new(),
            next_pod: 0,
            listing: 0,
            node_listing: 0,
            timers: BinaryHeap::new(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            ordinary_events: allowance(config.events_per_second),
            failure_events: allowance(config.events_per_second * 10.0),
            random,
            config,
        }
    }

    /// Takes a Node as the API shows it.
    pub(crate) fn node_applied(&mut self, node: &Node<'_>, now: Now) {
        let Some(&index) = self.node_by_name.get(&*node.metadata.name) else { return };
        let agent = &mut self.nodes[index];
        let (was_present, ran_pods) = (agent.registration == Registration::Present, agent.runs_pods());
        agent.seen = self.node_listing;
        let problems = agent.observe(node);
        let runs_pods = agent.runs_pods();
        for problem in problems {
            self.node_problem(index, &problem, now);
        }
        match (ran_pods, runs_pods) {
            (true, false) => self.forget_pods_of(index),
            (false, true) if self.nodes[index].missed_pods => self.owe(Task::ListPods(index)),
            _ => {}
        }
        if !was_present || ran_pods != runs_pods {
            self.begin_heartbeats(index, was_present, now);
        }
        if self.nodes[index].lives() && self.nodes[index].status_differs() {
            self.owe(Task::NodeStatus(index));
        }
    }

    /// Spreads renewals and heartbeats; an agent that comes back renews at once.
    fn begin_heartbeats(&mut self, index: usize, at_once: bool, now: Now) {
        let spread = |random: &mut fastrand::Rng, interval: Duration| random.u64(0..=millis(interval));
        let agent = &mut self.nodes[index];
        let lease_wait = if at_once { 0 } else { spread(&mut self.random, self.config.lease_interval) };
        agent.lease_at = now.millis + lease_wait;
        agent.status_at = now.millis + spread(&mut self.random, self.config.status_interval);
        self.arm_node(index);
    }

    fn arm_node(&mut self, index: usize) {
        let agent = &self.nodes[index];
        if agent.lives() {
            self.timers.push(Reverse((agent.lease_at.min(agent.status_at), Timer::Node(index))));
        }
    }

    /// A new listing of all Nodes begins.
    pub(crate) fn nodes_restarted(&mut self) {
        self.node_listing += 1;
    }

    /// All Nodes of the API have been seen: the missing ones are registered, or were deleted meanwhile.
    pub(crate) fn nodes_listed(&mut self, now: Now) {
        for index in 0..self.nodes.len() {
            let agent = &self.nodes[index];
            match agent.registration {
                Registration::Unknown => self.owe(Task::Register(index)),
                Registration::Present if agent.seen != self.node_listing => {
                    let name = agent.spec.name.clone();
                    self.node_deleted(&name, now);
                }
                Registration::Present | Registration::Gone => {}
            }
        }
    }

    /// A Node was deleted: its agent stops, and registers again when the Node asked for that.
    pub(crate) fn node_deleted(&mut self, name: &str, now: Now) {
        let Some(&index) = self.node_by_name.get(name) else { return };
        self.forget_pods_of(index);
        let agent = &mut self.nodes[index];
        agent.registration = Registration::Gone;
        agent.down_by.clear();
        agent.lease_exists = true;
        if let Some(after) = agent.faults.register_again_after {
            let at = now.millis.saturating_add(millis(after));
            self.timers.push(Reverse((at, Timer::Retry(Task::Register(index)))));
        }
    }

    /// The pods of which this is true, in the order in which they came: the same happens every time.
    fn pods_where(&self, is: impl Fn(&PodEntry) -> bool) -> Vec<u64> {
        let mut ids: Vec<u64> = self.pods.iter().filter(|(_, pod)| is(pod)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    fn forget_pods_of(&mut self, index: usize) {
        let gone = self.pods_where(|pod| pod.node == index);
        self.nodes[index].missed_pods |= !gone.is_empty();
        for id in gone {
            self.forget_pod(id);
        }
    }

    /// A new listing of all pods begins.
    pub(crate) fn pods_restarted(&mut self) {
        self.listing += 1;
    }

    /// The listing is complete: pods that are not in it are gone, and what others made of pods between two
    /// listings is corrected.
    pub(crate) fn pods_listed(&mut self) {
        let listing = self.listing;
        for id in self.pods_where(|pod| pod.seen != listing) {
            self.forget_pod(id);
        }
        self.report_ready_pods(|_| true);
    }

    /// Takes a pod as the API shows it.
    pub(crate) fn pod_applied(&mut self, pod: &Pod<'_>, now: Now) {
        let Some(&node) = self.node_by_name.get(&*pod.spec.node_name) else { return };
        if !self.nodes[node].runs_pods() {
            self.nodes[node].missed_pods = true;
            return;
        }
        match self.pod_by_uid.get(&*pod.metadata.uid) {
            Some(&id) => self.pod_changed(id, pod, now),
            None => self.pod_admitted(node, pod, now),
        }
    }

    fn pod_admitted(&mut self, node: usize, pod: &Pod<'_>, now: Now) {
        let fault_text = facts::fault_text(&pod.metadata);
        let (faults, problems) = read_faults(fault_text, &self.nodes[node]);
        let start_delay = match self.nodes[node].faults.start_delay {
            Some(delay) => delay,
            None => self.draw_start_delay(),
        };
        let (machine, effects) = PodMachine::admit(pod, faults, start_delay, now);
        let pod_ip = match &*pod.status.pod_ip {
            "" => self.nodes[node].new_pod_ip(),
            ip => ip.to_owned(),
        };
        let id = self.next_pod;
        self.next_pod += 1;
        self.pod_by_uid.insert(machine.facts.uid.clone(), id);
        let entry = PodEntry {
            machine,
            node,
            pod_ip,
            fault_text: fault_text.into(),
            seen: self.listing,
            shown_ready: pod.is_ready(),
            owes_status: false,
            owes_delete: false,
            busy: false,
            failures: 0,
        };
        self.pods.insert(id, entry);
        self.pod_problems(id, &problems, now);
        self.apply(id, effects, now);
    }

    fn pod_changed(&mut self, id: u64, pod: &Pod<'_>, now: Now) {
        let Some(entry) = self.pods.get_mut(&id) else { return };
        entry.seen = self.listing;
        let mut effects = entry.machine.observe(pod, now);
        // Others, such as the node lifecycle, may have taken Ready away.
        let was_shown_ready = std::mem::replace(&mut entry.shown_ready, pod.is_ready());
        let taken_away = was_shown_ready && !entry.shown_ready;
        effects.report |= taken_away && entry.machine.is_ready() && self.nodes[entry.node].down_by.is_empty();
        let fault_text = facts::fault_text(&pod.metadata);
        let mut problems = Vec::new();
        if *fault_text != *entry.fault_text {
            entry.fault_text = fault_text.into();
            let (faults, unread) = read_faults(fault_text, &self.nodes[entry.node]);
            effects.merge(entry.machine.set_faults(faults, now));
            problems = unread;
        }
        self.pod_problems(id, &problems, now);
        self.apply(id, effects, now);
    }

    fn draw_start_delay(&mut self) -> Duration {
        let (from, to) = self.config.pod_start;
        let (from, to) = (millis(from), millis(to));
        Duration::from_millis(self.random.u64(from..=to.max(from)))
    }

    /// A pod is gone from the API.
    pub(crate) fn pod_deleted(&mut self, uid: &str) {
        if let Some(&id) = self.pod_by_uid.get(uid) {
            self.forget_pod(id);
        }
    }

    fn forget_pod(&mut self, id: u64) {
        let Some(entry) = self.pods.remove(&id) else { return };
        self.pod_by_uid.remove(&entry.machine.facts.uid);
        let agent = &mut self.nodes[entry.node];
        if let Some(place) = agent.down_by.iter().position(|pod| *pod == id) {
            agent.down_by.swap_remove(place);
            self.node_health_changed(entry.node);
        }
    }

    fn node_health_changed(&mut self, index: usize) {
        self.report_ready_pods(|node| node == index);
        let agent = &mut self.nodes[index];
        agent.lease_at = 0;
        if agent.lives() {
            self.owe(Task::NodeStatus(index));
            self.arm_node(index);
        }
    }

    /// Pods that were shown unready while the node was down, or between two listings, are ready.
    fn report_ready_pods(&mut self, on: impl Fn(usize) -> bool) {
        let unreported = |pod: &PodEntry| {
            on(pod.node)
                && self.nodes[pod.node].down_by.is_empty()
                && pod.machine.is_ready()
                && !pod.shown_ready
        };
        for id in self.pods_where(unreported) {
            let Some(pod) = self.pods.get_mut(&id) else { continue };
            pod.owes_status = true;
            if !pod.busy {
                self.queue_pod(id);
            }
        }
    }

    fn apply(&mut self, id: u64, effects: Effects, now: Now) {
        if let Some(note) = effects.note {
            self.pod_note(id, note, now);
        }
        let Some(entry) = self.pods.get_mut(&id) else { return };
        entry.owes_status |= effects.report;
        entry.owes_delete |= effects.delete;
        if let Some(at) = entry.machine.wake_at() {
            self.timers.push(Reverse((at, Timer::Pod(id))));
        }
        let (node, busy) = (entry.node, entry.busy);
        if effects.node_down && !self.nodes[node].down_by.contains(&id) {
            self.nodes[node].down_by.push(id);
            self.node_health_changed(node);
        }
        if !busy {
            self.queue_pod(id);
        }
    }

    /// Queues the next request about a pod: its status first, then its removal.
    fn queue_pod(&mut self, id: u64) {
        let Some(entry) = self.pods.get_mut(&id) else { return };
        entry.busy = entry.owes_status || entry.owes_delete;
        if entry.owes_status {
            self.queue.push_back(Task::PodStatus(id));
        } else if entry.owes_delete {
            self.queue.push_back(Task::PodDelete(id));
        }
    }

    /// Queues a request about a node unless it is queued already.
    fn owe(&mut self, task: Task) {
        if let Some(owed) = self.owed(task)
            && !std::mem::replace(owed, true)
        {
            self.queue.push_back(task);
        }
    }

    fn owed(&mut self, task: Task) -> Option<&mut bool> {
        Some(match task {
            Task::Register(index) => &mut self.nodes[index].owes.register,
            Task::NodeStatus(index) => &mut self.nodes[index].owes.status,
            Task::Lease(index) | Task::CreateLease(index) => &mut self.nodes[index].owes.lease,
            Task::ListPods(index) => &mut self.nodes[index].owes.pods,
            Task::PodStatus(_) | Task::PodDelete(_) | Task::Event => return None,
        })
    }

    /// When [`wake`](Self::wake) has something to do.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Does what is due.
    pub(crate) fn wake(&mut self, now: Now) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied()
            && at <= now.millis
        {
            self.timers.pop();
            match timer {
                Timer::Node(index) => self.wake_node(index, now),
                Timer::Pod(id) => {
                    if let Some(entry) = self.pods.get_mut(&id) {
                        let effects = entry.machine.wake(now);
                        if effects != Effects::default()
                            || entry.machine.wake_at().is_some_and(|next| next > at)
                        {
                            self.apply(id, effects, now);
                        }
                    }
                }
                Timer::Retry(task) => match task {
                    Task::PodStatus(id) | Task::PodDelete(id) => self.queue_pod(id),
                    _ => self.owe(task),
                },
            }
        }
    }

    fn wake_node(&mut self, index: usize, now: Now) {
        let agent = &mut self.nodes[index];
        if !agent.lives() {
            return;
        }
        let (lease_due, status_due) = (agent.lease_at <= now.millis, agent.status_at <= now.millis);
        if !lease_due && !status_due {
            // An earlier timer of this node has been here; a later one is armed.
            return;
        }
        let renews = agent.renews();
        if lease_due {
            agent.lease_at = now.millis + jittered(self.config.lease_interval, &mut self.random);
        }
        if status_due {
            agent.status_at = now.millis + jittered(self.config.status_interval, &mut self.random);
        }
        if lease_due && renews {
            let exists = self.nodes[index].lease_exists;
            self.owe(if exists { Task::Lease(index) } else { Task::CreateLease(index) });
        }
        if status_due {
            self.owe(Task::NodeStatus(index));
        }
        self.arm_node(index);
    }
}

fn read_faults(text: &str, node: &NodeAgent) -> (PodFaults, Vec<String>) {
    match facts::annotations(text) {
        Ok(annotations) => {
            PodFaults::read(&annotations, OnNode { name: &node.spec.name, labels: &node.labels })
        }
        Err(problem) => (PodFaults::default(), vec![problem]),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The interval, up to a twentieth shorter or longer.
fn jittered(interval: Duration, random: &mut fastrand::Rng) -> u64 {
    millis(interval.mul_f64(0.95 + random.f64() * 0.1)).max(1)
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;

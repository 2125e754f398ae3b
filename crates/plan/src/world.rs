//! The model of a fleet in virtual time: it answers the engine's writes at once, binds, starts and ends pods.

mod conduct;
mod schedule;
mod tally;
mod writes;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use everynode_admission::{Charge, Quotas};
use everynode_api::Undecided;
use everynode_engine::fit::{Demand, Misfit, Room};
use everynode_engine::pod_body::HASH_LABEL;
use everynode_engine::policy::PolicyFact;
use everynode_engine::{
    ContainerStatuses, DaemonSetFact, Engine, Fact, Kind, NodeFact, Phase, PodController, PodFact,
    RevisionFact, Time, Trouble, Uid, available_at, revision,
};

use crate::made::Made;
use crate::model::{Model, ModelPod};

pub use tally::{Refusal, Refused, Step, Tally, Touch};

/// No wave has come to the node yet.
const UNTOUCHED: u32 = 0;

/// A node in one run.
#[derive(Debug)]
pub(crate) struct NodeState {
    room: Room,
    /// Other pods that are still there, as [`crate::model::ModelNode::others`].
    others: Vec<(i32, i64, Demand)>,
    /// Pods that do not fit now.
    waiting: Vec<u32>,
    /// Pods of the DaemonSet that are available here.
    pub available: u32,
    /// Pods of the DaemonSet that are Ready here and not asked to go.
    ready: u32,
    /// A pod of the DaemonSet was available here when the run began.
    pub was_available: bool,
    /// The wave in which the node's pod was first created or deleted.
    pub wave: u32,
    /// It got a pod of the new template.
    is_updated: bool,
    /// Why the latest pod does not fit.
    pub misfit: Option<Misfit>,
    /// Pods of others that had to go for it.
    pub pushed_out: i64,
}

/// A pod in one run.
#[derive(Debug)]
pub(crate) struct PodState {
    name: Box<str>,
    uid: Uid,
    version: u64,
    labels: Labels,
    controller: PodController,
    pub node: Option<u32>,
    /// The node that it is for, when that is none of the fleet.
    absent_node: Option<Box<str>>,
    bound: bool,
    phase: Phase,
    pub ready: bool,
    ready_since: Option<Time>,
    pub deleting: bool,
    created: Time,
    demand: Arc<Demand>,
    charge: Arc<Charge>,
    /// What the API server made of it, of pods made in this run.
    made: Option<Rc<Made>>,
    pub available: bool,
    /// It was made in this run.
    pub is_new: bool,
    /// It is of the template that the change brings.
    is_current: bool,
    /// It never becomes ready.
    pub fails: bool,
    /// Why one of its containers waits.
    trouble: Option<Trouble>,
    pub is_gone: bool,
    /// It is in the room of its node.
    counted: bool,
}

/// Labels that all pods made in a run share.
type NewLabels = Rc<[(String, String)]>;

#[derive(Debug, Clone)]
enum Labels {
    Known(Arc<[(String, String)]>),
    New(NewLabels),
}

impl Labels {
    fn pairs(&self) -> &[(String, String)] {
        match self {
            Labels::Known(pairs) => pairs,
            Labels::New(pairs) => pairs,
        }
    }
}

/// What all pods have in common that are made from one revision.
#[derive(Debug, Clone)]
struct MadeFrom {
    hash: Arc<str>,
    labels: NewLabels,
    made: Result<Rc<Made>, String>,
    /// It is the template that the change brings.
    is_current: bool,
}

/// What time brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ready(u32),
    Available(u32),
    Gone(u32),
}

/// Who is told facts.
pub(crate) type Tell<'a> = dyn FnMut(Fact<'_>) + 'a;

/// The fleet.
#[derive(Debug)]
pub(crate) struct World<'a> {
    model: &'a Model,
    pub now: Time,
    random: fastrand::Rng,
    pub nodes: Vec<NodeState>,
    pub pods: Vec<PodState>,
    by_uid: HashMap<Uid, u32>,
    daemonset: DaemonSetFact,
    daemonset_changed: bool,
    revisions: HashMap<Uid, RevisionFact>,
    quotas: Quotas,
    /// The policies that select the DaemonSet, with the status that was written.
    pub policies: Vec<PolicyFact>,
    policies_changed: bool,
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    told: Vec<u32>,
    told_revisions: Vec<Uid>,
    version: u64,
    last_uid: u128,
    sequence: u64,
    finished_wave: u32,
    /// What the pods have in common that are made now.
    made_from: Option<MadeFrom>,
    pub tally: Tally,
}

/// A plan has nobody to measure: it takes for granted that what must be shown is shown.
fn nothing_is_worse(policy: &PolicyFact) -> PolicyFact {
    let mut policy = policy.clone();
    policy.spec.analysis.iter_mut().for_each(|analysis| analysis.undecided = Undecided::Proceed);
    policy
}

impl<'a> World<'a> {
    pub fn new(model: &'a Model, seed: u64) -> World<'a> {
        let nodes = model.nodes.iter().map(|node| NodeState {
            room: node.room.clone(),
            others: node.others.clone(),
            waiting: Vec::new(),
            available: 0,
            ready: 0,
            was_available: false,
            wave: UNTOUCHED,
            is_updated: false,
            misfit: None,
            pushed_out: 0,
        });
        let mut world = World {
            model,
            now: model.begin,
            random: fastrand::Rng::with_seed(seed),
            nodes: nodes.collect(),
            pods: Vec::with_capacity(model.pods.len() * 2),
            by_uid: HashMap::with_capacity(model.pods.len() * 2),
            daemonset: model.daemonset.clone(),
            daemonset_changed: false,
            revisions: model.revisions.iter().map(|one| (one.uid, one.clone())).collect(),
            quotas: model.quotas.clone(),
            policies: model.policies.iter().map(nothing_is_worse).collect(),
            policies_changed: false,
            events: BinaryHeap::new(),
            told: Vec::new(),
            told_revisions: Vec::new(),
            version: 1,
            last_uid: 1 << 64,
            sequence: 0,
            finished_wave: 0,
            made_from: None,
            tally: Tally {
                unavailable: model.desired() as u32,
                unserved: model.desired() as u32,
                ..Tally::default()
            },
        };
        world.daemonset.resource_version = 1;
        model.pods.iter().for_each(|pod| world.take_pod(pod));
        for index in 0..world.pods.len() as u32 {
            world.bind_if_waiting(index);
        }
        world.nodes.iter_mut().for_each(|node| node.was_available = node.available > 0);
        world.note_worst();
        world
    }

    /// A pod that is there when the run begins.
    fn take_pod(&mut self, known: &ModelPod) {
        let ModelPod { pod, labels, node, demand, charge, is_starting, .. } = known;
        let Some(fact) = pod.fact(&[]) else { return };
        let is_up = node.is_some_and(|node| self.model.nodes[node as usize].is_up);
        let has_ended = fact.phase.is_terminal();
        let index = self.pods.len() as u32;
        // The node lifecycle says so of the pods of nodes that are down.
        let ready = fact.ready && is_up;
        self.pods.push(PodState {
            name: pod.name.as_str().into(),
            uid: fact.uid,
            version: 1,
            labels: Labels::Known(labels.clone()),
            controller: fact.controller,
            node: *node,
            absent_node: fact.node.filter(|_| node.is_none()).map(Into::into),
            bound: fact.bound,
            phase: fact.phase,
            ready,
            ready_since: fact.ready_since,
            deleting: fact.deleting,
            created: fact.created,
            demand: demand.clone(),
            charge: charge.clone(),
            made: None,
            available: false,
            is_new: false,
            is_current: false,
            fails: false,
            trouble: fact.trouble,
            is_gone: false,
            counted: false,
        });
        self.by_uid.insert(fact.uid, index);
        if let Some(node) = node.filter(|_| pod.bound && !has_ended) {
            self.nodes[node as usize].room.add(demand);
            self.pods[index as usize].counted = true;
        }
        match (pod.deleting, ready) {
            (true, _) if is_up => {
                let delay = self.model.assumptions.stop.draw(&mut self.random);
                self.after(delay, Event::Gone(index));
            }
            (true, _) => {}
            (false, true) => {
                self.serves(*node, true);
                self.await_availability(index);
            }
            (false, false) if *is_starting && pod.bound && is_up => self.start(index),
            (false, false) => {}
        }
    }

    fn bind_if_waiting(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        if !pod.bound && !pod.deleting && pod.phase == Phase::Pending {
            self.bind(index);
        }
    }

    /// Tells the engine everything, as its first lists do.
    pub fn list_all(&self, tell: &mut Tell<'_>) {
        tell(Fact::RelistBegun(Kind::Node));
        for node in &self.model.nodes {
            let labels: Vec<(&str, &str)> = pairs(&node.labels);
            let taints: Vec<_> = everynode_engine::placement::NodeView::taints(node).collect();
            let not_ready_since = node.not_ready_since;
            tell(Fact::Node(NodeFact {
                name: &node.name,
                labels: &labels,
                taints: &taints,
                not_ready_since,
            }));
        }
        tell(Fact::RelistEnded { kind: Kind::Node, resource_version: self.version });
        tell(Fact::RelistBegun(Kind::DaemonSet));
        if let Some(before) = &self.model.before {
            tell(Fact::DaemonSet(Box::new(DaemonSetFact { resource_version: 0, ..before.clone() })));
        }
        tell(Fact::DaemonSet(Box::new(self.daemonset.clone())));
        tell(Fact::RelistEnded { kind: Kind::DaemonSet, resource_version: self.version });
        self.list(Kind::Revision, tell);
        self.list(Kind::Pod, tell);
        self.tell_policies(tell);
    }

    /// Tells the engine all objects of a kind.
    pub fn list(&self, kind: Kind, tell: &mut Tell<'_>) {
        tell(Fact::RelistBegun(kind));
        match kind {
            Kind::Pod => self.pods.iter().filter(|pod| !pod.is_gone).for_each(|pod| self.tell_pod(pod, tell)),
            Kind::Revision => {
                for revision in self.revisions.values() {
                    tell(Fact::Revision(Box::new(revision.clone())));
                }
            }
            Kind::Node | Kind::DaemonSet => {}
        }
        tell(Fact::RelistEnded { kind, resource_version: self.version });
    }

    fn tell_pod(&self, pod: &PodState, tell: &mut Tell<'_>) {
        let labels = pairs(pod.labels.pairs());
        let node = pod.node.map(|node| self.model.nodes[node as usize].name.as_str());
        tell(Fact::Pod(PodFact {
            namespace: &self.daemonset.namespace,
            name: &pod.name,
            uid: pod.uid,
            resource_version: pod.version,
            labels: &labels,
            controller: pod.controller,
            node: node.or(pod.absent_node.as_deref()),
            bound: pod.bound,
            phase: pod.phase,
            ready: pod.ready,
            ready_since: pod.ready_since,
            deleting: pod.deleting,
            created: pod.created,
            trouble: pod.trouble,
            statuses: ContainerStatuses::default(),
        }));
    }

    /// Tells the engine what has changed; false when nothing has.
    pub fn tell(&mut self, engine: &mut Engine) -> bool {
        let told = std::mem::take(&mut self.told);
        let revisions = std::mem::take(&mut self.told_revisions);
        let any = !told.is_empty() || !revisions.is_empty() || self.daemonset_changed;
        let now = self.now;
        let tell = &mut |fact: Fact<'_>| engine.observe(fact, now);
        for index in told {
            let pod = &self.pods[index as usize];
            match pod.is_gone {
                true => tell(Fact::PodGone { uid: pod.uid, resource_version: pod.version }),
                false => self.tell_pod(pod, tell),
            }
        }
        for uid in revisions {
            match self.revisions.get(&uid) {
                Some(revision) => tell(Fact::Revision(Box::new(revision.clone()))),
                None => tell(Fact::RevisionGone(uid)),
            }
        }
        if std::mem::take(&mut self.daemonset_changed) {
            tell(Fact::DaemonSet(Box::new(self.daemonset.clone())));
        }
        if std::mem::take(&mut self.policies_changed) {
            self.tell_policies(tell);
            return true;
        }
        any
    }

    /// When time brings something next.
    pub fn next_event(&self) -> Option<Time> {
        self.events.peek().map(|Reverse((at, ..))| Time(*at))
    }

    /// Lets everything happen that is due.
    pub fn pass(&mut self) {
        while let Some(Reverse((at, _, event))) = self.events.peek().copied()
            && at <= self.now.0
        {
            self.events.pop();
            match event {
                Event::Ready(index) => self.becomes_ready(index),
                Event::Available(index) => self.becomes_available(index),
                Event::Gone(index) => self.remove(index),
            }
        }
    }

    /// Keeps the worst moment so far; called when an instant has come to rest.
    pub fn note_worst(&mut self) {
        self.tally.worst_unserved = self.tally.worst_unserved.max(self.tally.unserved);
        if self.tally.unavailable <= self.tally.worst {
            return;
        }
        self.tally.worst = self.tally.unavailable;
        self.tally.worst_at_millis = self.now.millis_since(self.model.begin);
        let lacking = self.nodes.iter().zip(&self.model.nodes).enumerate();
        let lacking = lacking.filter(|(_, (state, node))| node.verdict.should_run && state.available == 0);
        self.tally.worst_nodes = lacking.map(|(index, _)| index as u32).collect();
    }

    fn after(&mut self, delay_millis: i64, event: Event) {
        self.at(self.now.plus_millis(delay_millis), event);
    }

    fn at(&mut self, time: Time, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time.0, self.sequence, event)));
    }

    /// The pod has changed.
    fn changed(&mut self, index: u32) {
        self.version += 1;
        self.pods[index as usize].version = self.version;
        self.told.push(index);
    }

    fn start(&mut self, index: u32) {
        let assumptions = &self.model.assumptions;
        let delay = assumptions.start.draw(&mut self.random);
        let pod = &self.pods[index as usize];
        let fails_here = pod.node.is_some_and(|node| self.model.fails_new(node));
        let fails = pod.is_current
            && (fails_here || assumptions.failure_rate > 0.0 && self.random.f64() < assumptions.failure_rate);
        self.pods[index as usize].fails = fails;
        if !fails {
            self.after(delay, Event::Ready(index));
        }
    }

    fn becomes_ready(&mut self, index: u32) {
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        if pod.is_gone || pod.deleting || pod.phase.is_terminal() {
            return;
        }
        (pod.phase, pod.ready, pod.ready_since) = (Phase::Running, true, Some(Model::api_time(now)));
        pod.trouble = None;
        let node = pod.node;
        self.changed(index);
        self.serves(node, true);
        self.await_availability(index);
    }

    /// A Ready pod has come to a node, or goes.
    fn serves(&mut self, node: Option<u32>, comes: bool) {
        let Some(node) = node else { return };
        let should_run = self.model.nodes[node as usize].verdict.should_run;
        let state = &mut self.nodes[node as usize];
        let before = state.ready;
        state.ready = if comes { before + 1 } else { before.saturating_sub(1) };
        match (before, state.ready) {
            (0, 1) if should_run => self.tally.unserved -= 1,
            (1, 0) if should_run => self.tally.unserved += 1,
            _ => {}
        }
    }

    /// A ready pod is available after minReadySeconds.
    fn await_availability(&mut self, index: u32) {
        let ready_since = self.pods[index as usize].ready_since;
        match available_at(ready_since, self.model.daemonset.min_ready_seconds) {
            Some(at) if at <= self.now => self.becomes_available(index),
            Some(at) => self.at(at, Event::Available(index)),
            None => {}
        }
    }

    fn becomes_available(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        if pod.is_gone || pod.deleting || pod.available {
            return;
        }
        pod.available = true;
        let (node, is_new) = (pod.node, pod.is_new);
        let Some(node) = node else { return };
        let state = &mut self.nodes[node as usize];
        state.available += 1;
        if state.available == 1 && self.model.nodes[node as usize].verdict.should_run {
            self.tally.unavailable -= 1;
        }
        if is_new {
            self.finished_wave = self.finished_wave.max(state.wave);
        }
        self.progressed();
    }

    /// The pod is asked to go, or is gone.
    fn goes(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        if !std::mem::replace(&mut pod.deleting, true) && pod.ready {
            let node = pod.node;
            self.serves(node, false);
        }
        let pod = &mut self.pods[index as usize];
        let Some(node) = pod.node.filter(|_| std::mem::replace(&mut pod.available, false)) else { return };
        let state = &mut self.nodes[node as usize];
        state.available -= 1;
        if state.available == 0 && self.model.nodes[node as usize].verdict.should_run {
            self.tally.unavailable += 1;
        }
    }

    fn progressed(&mut self) {
        self.tally.progress += 1;
        self.tally.last_progress_millis = self.now.millis_since(self.model.begin);
    }

    /// The pod is no more.
    fn remove(&mut self, index: u32) {
        self.goes(index);
        let pod = &mut self.pods[index as usize];
        if std::mem::replace(&mut pod.is_gone, true) {
            return;
        }
        let (node, counted, demand) = (pod.node, pod.counted, pod.demand.clone());
        self.by_uid.remove(&pod.uid);
        self.quotas.release(&pod.charge);
        self.changed(index);
        self.progressed();
        let Some(node) = node else { return };
        let state = &mut self.nodes[node as usize];
        if counted {
            state.room.remove(&demand);
        }
        for waiting in std::mem::take(&mut state.waiting) {
            self.bind(waiting);
        }
    }

    /// What pods of the new template carry as their hash; empty when that is not known.
    pub fn current_hashes(&self) -> Vec<&str> {
        if !self.model.sees_revisions {
            return Vec::new();
        }
        let data = revision::data(self.daemonset.template.value());
        let current = self.revisions.values().filter(|one| *one.data == *data);
        current
            .flat_map(|one| &one.labels)
            .filter(|(key, _)| key == HASH_LABEL)
            .map(|(_, hash)| &**hash)
            .collect()
    }

    /// Whether a pod was there before, and carries none of these hashes.
    pub fn is_kept_without(&self, hashes: &[&str], uid: Uid) -> bool {
        let pod = self.by_uid.get(&uid).and_then(|index| self.pods.get(*index as usize));
        let is_one = |(key, hash): &(String, String)| key == HASH_LABEL && hashes.contains(&&**hash);
        let carries_none = |pod: &PodState| !pod.is_new && !pod.labels.pairs().iter().any(is_one);
        !hashes.is_empty() && pod.is_some_and(carries_none)
    }

    /// A node gets a pod of the new template.
    fn update(&mut self, node: u32) {
        self.touch(node);
        self.nodes[node as usize].is_updated = true;
    }

    /// A node gets a pod of an earlier template again: no wave has come to it, unless it had one of the new template.
    fn restart(&mut self, node: u32) {
        self.touch(node);
        let state = &mut self.nodes[node as usize];
        if !state.is_updated {
            state.wave = UNTOUCHED;
            if let Some(place) = self.tally.order.iter().rposition(|touch| touch.node == node) {
                self.tally.order.remove(place);
            }
        }
    }

    /// A wave comes to a node.
    fn touch(&mut self, node: u32) {
        let wave = self.finished_wave + 1;
        let state = &mut self.nodes[node as usize];
        if state.wave == UNTOUCHED {
            state.wave = wave;
            let at_millis = self.now.millis_since(self.model.begin);
            let policy_wave = self.tally.steps.last().map_or(0, |step| step.wave);
            self.tally.order.push(Touch { node, at_millis, wave, policy_wave });
        }
    }
}

fn pairs(owned: &[(String, String)]) -> Vec<(&str, &str)> {
    owned.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

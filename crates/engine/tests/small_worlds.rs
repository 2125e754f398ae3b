//! All that can happen in small worlds: every interleaving of the controller's writes and their answers, of watches,
//! kubelets and faults is tried, breadth first.
//!
//! In every state no node has more live pods than it may, and the controller has taken no more pods that it knew to be
//! ready than it may.
//! From every state the world comes to the desired state and to rest, when nothing goes wrong any more.
//!
//! Status, revisions and events are written at once, and their watches tell at once: what is interleaved are the
//! creations and deletions of pods. States that differ in nothing that can be observed of the world, its watches, its
//! writes and the engine count as one.
//!
//! `EVERYNODE_SMALL_WORLDS=all` sees all states of some worlds and up to 200,000 of larger ones (use `--release`);
//! `EVERYNODE_SMALL_WORLDS=2,1,1,50000` is one of 2 nodes, 1 fault and 1 edit, with so many states at most.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panic, and says how many states it has seen"
)]

mod common;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use common::{Objects, Pod, Told, daemonset, node_name, plain_node, with_image};
use everynode_engine::pod_body::HASH_LABEL;
use everynode_engine::{
    Action, Engine, Fact, Failure, Kind, Limits, Outcome, POD_NAMES, Phase, Time, Uid, Work,
};
use serde_json::json;

/// What kind of world.
#[derive(Clone, Copy, Debug)]
struct Setup {
    nodes: usize,
    surge: bool,
    /// Pods are named after their nodes; creations of a controller that died may then come late.
    named: bool,
    faults: u8,
    edits: u8,
    states: usize,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A write reaches the server.
    Carry(usize),
    /// Its answer reaches the controller.
    Answer(usize),
    /// A watch tells its next event.
    Deliver(Kind),
    /// A kubelet starts a pod, or takes a terminating one away.
    Kubelet(Uid),
    /// Time passes until the engine wants to be asked.
    Tick,
    /// The answer of a write that was carried out is lost.
    LoseAnswer(usize),
    /// A write is lost, and the controller hears nothing.
    LoseWrite(usize),
    /// The controller dies and starts anew, with complete lists.
    Crash,
    /// A node goes with its pods, or comes back.
    Node(usize),
    /// The template changes to the other one.
    Edit,
}

const WATCHES: [Kind; 3] = [Kind::Node, Kind::DaemonSet, Kind::Pod];

#[derive(Clone)]
struct World {
    setup: Setup,
    engine: Engine,
    objects: Objects,
    watches: [VecDeque<Told>; 3],
    writes: Vec<Action>,
    /// Writes that were carried out and whose answer is on its way.
    answers: Vec<(Action, Outcome)>,
    /// Creations of a controller that is dead.
    late: Vec<Action>,
    now: Time,
    uid: Uid,
    image: u8,
    faults_left: u8,
    edits_left: u8,
    /// Pods that the controller knew to be ready when it asked for their deletion.
    known_ready: BTreeSet<Uid>,
    /// Nodes from which the controller has taken such a pod, and that have had no ready one since.
    taken: BTreeSet<String>,
}

fn listed(objects: &Objects, now: Time) -> Engine {
    let limits = Limits { status_interval_millis: 0, ..Limits::default() };
    let mut engine = Engine::new(limits);
    for kind in [Kind::Node, Kind::DaemonSet] {
        engine.observe(Fact::RelistBegun(kind), now);
        objects.nodes.values().for_each(|one| Told::Node(one.clone()).tell(&mut engine, now));
        objects.daemonsets.values().for_each(|one| Told::DaemonSet(one.clone()).tell(&mut engine, now));
        engine.observe(Fact::RelistEnded { kind, resource_version: objects.version }, now);
    }
    objects.list(Kind::Pod, &mut engine, now);
    objects.list(Kind::Revision, &mut engine, now);
    engine
}

impl World {
    fn new(setup: Setup) -> Self {
        let mut objects = Objects { next_uid: 1000, graceful: true, ..Objects::default() };
        (0..setup.nodes).for_each(|index| objects.set_node(plain_node(index)));
        let uid = objects.new_uid();
        objects.add_daemonset(daemonset(uid, "ds", |object| {
            let (unavailable, surge) = if setup.surge { (0, 1) } else { (1, 0) };
            object["spec"]["updateStrategy"]["rollingUpdate"] =
                json!({"maxUnavailable": unavailable, "maxSurge": surge});
            if setup.named {
                object["metadata"]["annotations"][POD_NAMES] = "node".into();
            }
        }));
        objects.told.clear();
        let now = Time::from_seconds(1_000_000);
        let mut world = World {
            setup,
            engine: listed(&objects, now),
            objects,
            watches: Default::default(),
            writes: Vec::new(),
            answers: Vec::new(),
            late: Vec::new(),
            now,
            uid,
            image: 1,
            faults_left: setup.faults,
            edits_left: setup.edits,
            known_ready: BTreeSet::new(),
            taken: BTreeSet::new(),
        };
        world.decide().unwrap();
        world
    }

    /// The driver asks after every fact; what is not of interest is carried out at once.
    fn decide(&mut self) -> Result<(), String> {
        for _ in 0..50 {
            while let Some(told) = self.objects.told.pop_front() {
                match WATCHES.iter().position(|kind| *kind == told.kind()) {
                    Some(watch) => self.watches[watch].push_back(told),
                    None => told.tell(&mut self.engine, self.now),
                }
            }
            let actions = self.engine.decide(self.now);
            if actions.is_empty() {
                return Ok(());
            }
            for action in actions {
                self.take(action);
            }
        }
        Err("the engine asks without end".to_owned())
    }

    fn take(&mut self, action: Action) {
        match action.work {
            Work::CreatePod(_) => self.writes.push(action),
            Work::DeletePod(ref pod) => {
                let told = (0..self.setup.nodes)
                    .filter_map(|index| self.engine.explain("default", "ds", &node_name(index), self.now));
                let mut known = told.flat_map(|told| told.pods);
                if known.any(|one| one.uid == pod.uid && one.ready) {
                    self.known_ready.insert(pod.uid);
                }
                self.writes.push(action);
            }
            Work::Relist(kind) => self.list(kind),
            _ => {
                let outcome = self.objects.carry_out(&action.daemonset, &action.work, self.now);
                self.engine.observe(Fact::Finished { id: action.id, outcome }, self.now);
            }
        }
    }

    fn list(&mut self, kind: Kind) {
        if kind == Kind::Pod {
            self.watches[2].clear();
            self.objects.told.retain(|told| told.kind() != kind);
        }
        self.objects.list(kind, &mut self.engine, self.now);
    }

    /// What can happen without anything going wrong.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        steps.extend((0..self.writes.len()).map(Step::Carry));
        steps.extend((0..self.answers.len()).map(Step::Answer));
        let waiting = WATCHES.iter().zip(&self.watches).filter(|(_, queue)| !queue.is_empty());
        steps.extend(waiting.map(|(kind, _)| Step::Deliver(*kind)));
        let to_do = self.objects.pods.values().filter(|pod| match self.has_node(pod) {
            true => pod.deleting || !pod.ready,
            // The garbage collector of pods: a pod that was never bound is the controller's to delete (D13).
            false => pod.deleting || pod.bound,
        });
        steps.extend(to_do.map(|pod| Step::Kubelet(pod.uid)));
        steps.extend(self.engine.next_deadline().map(|_| Step::Tick));
        steps
    }

    fn has_node(&self, pod: &Pod) -> bool {
        pod.node.as_ref().is_some_and(|node| self.objects.nodes.contains_key(node))
    }

    /// What can go wrong, or is changed.
    fn disturbances(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.edits_left > 0 {
            steps.push(Step::Edit);
        }
        // A creation whose former controller is dead comes late, or never.
        steps.extend((0..self.late.len()).map(|index| Step::Carry(self.writes.len() + index)));
        if self.faults_left > 0 {
            steps.push(Step::Crash);
            steps.extend((0..self.setup.nodes).map(Step::Node));
            steps.extend((0..self.answers.len()).map(Step::LoseAnswer));
            steps.extend((0..self.writes.len()).map(Step::LoseWrite));
        }
        steps
    }

    fn apply(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Carry(index) if index >= self.writes.len() => {
                let action = self.late.remove(index - self.writes.len());
                self.carry(&action);
            }
            Step::Carry(index) => {
                let action = self.writes.remove(index);
                let outcome = self.carry(&action);
                self.answers.push((action, outcome));
            }
            Step::Answer(index) => {
                let (action, outcome) = self.answers.remove(index);
                self.finish(&action, outcome);
            }
            Step::Deliver(kind) => {
                let watch = WATCHES.iter().position(|one| *one == kind).unwrap();
                if let Some(told) = self.watches[watch].pop_front() {
                    told.tell(&mut self.engine, self.now);
                }
            }
            Step::Kubelet(uid) => self.kubelet(uid),
            Step::Tick => self.now = self.engine.next_deadline().unwrap().max(self.now),
            Step::LoseAnswer(index) => {
                self.faults_left -= 1;
                let (action, _) = self.answers.remove(index);
                self.finish(&action, lost());
            }
            Step::LoseWrite(index) => {
                self.faults_left -= 1;
                let action = self.writes.remove(index);
                self.finish(&action, lost());
            }
            Step::Crash => self.crash(),
            Step::Node(index) => self.node(index),
            Step::Edit => {
                self.edits_left -= 1;
                self.image = 3 - self.image;
                let image = format!("i:{}", self.image);
                self.objects.change_daemonset(self.uid, true, |one| {
                    one.template = with_image(&one.template, &image);
                });
            }
        }
        self.decide()?;
        self.check()
    }

    fn finish(&mut self, action: &Action, outcome: Outcome) {
        self.engine.observe(Fact::Finished { id: action.id, outcome }, self.now);
    }

    fn carry(&mut self, action: &Action) -> Outcome {
        if let Work::DeletePod(pod) = &action.work
            && let Some(pod) = self.objects.pods.get(&pod.uid)
            && self.known_ready.contains(&pod.uid)
            && !pod.deleting
        {
            self.taken.extend(pod.node.clone());
        }
        self.objects.carry_out(&action.daemonset, &action.work, self.now)
    }

    fn kubelet(&mut self, uid: Uid) {
        let Some(pod) = self.objects.pods.get(&uid) else { return };
        if pod.deleting || !self.has_node(pod) {
            self.objects.remove_pod(uid);
            return;
        }
        if let Some(node) = &pod.node {
            self.taken.remove(node);
        }
        self.objects.change_pod(uid, |pod| {
            (pod.bound, pod.phase, pod.ready) = (true, Phase::Running, true);
        });
    }

    fn crash(&mut self) {
        self.faults_left -= 1;
        let mut writes = std::mem::take(&mut self.writes);
        writes.retain(|one| matches!(one.work, Work::CreatePod(_)));
        if self.setup.named {
            self.late.extend(writes);
        }
        self.answers.clear();
        self.objects.told.clear();
        self.watches.iter_mut().for_each(VecDeque::clear);
        self.engine = listed(&self.objects, self.now);
    }

    fn node(&mut self, index: usize) {
        self.faults_left -= 1;
        let name = node_name(index);
        if !self.objects.nodes.contains_key(&name) {
            self.objects.set_node(plain_node(index));
            return;
        }
        self.objects.remove_node(&name);
        self.taken.remove(&name);
        let pods = self.objects.pods.values().filter(|pod| pod.node.as_deref() == Some(&*name));
        let gone: Vec<Uid> = pods.map(|pod| pod.uid).collect();
        gone.into_iter().for_each(|pod| self.objects.remove_pod(pod));
    }

    /// What holds in every state.
    fn check(&self) -> Result<(), String> {
        let mut live: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for pod in self.objects.pods.values().filter(|pod| !pod.deleting) {
            let node = pod.node.as_deref().unwrap_or_default();
            live.entry(node).or_default().push(pod.label(HASH_LABEL).unwrap_or_default());
        }
        for (node, hashes) in &live {
            let kinds: BTreeSet<_> = hashes.iter().collect();
            let most = if self.setup.surge { 2 } else { 1 };
            if hashes.len() > most || kinds.len() < hashes.len() {
                return Err(format!("live pods on {node}: {hashes:?}"));
            }
        }
        let is_without = |node: &&String| {
            let mut pods = self.objects.pods.values();
            !pods.any(|pod| pod.node.as_ref() == Some(*node) && pod.ready && !pod.deleting)
        };
        let without = self.taken.iter().filter(is_without).count();
        if without > usize::from(!self.setup.surge) {
            return Err(format!("ready pods were taken from {:?}", self.taken));
        }
        Ok(())
    }

    /// Lets everything happen that can, and nothing go wrong: the world must come to the desired state and to rest.
    fn come_to_rest(&mut self) -> Result<(), String> {
        // What has not come by now does not come.
        self.late.clear();
        self.faults_left = 0;
        for _ in 0..500 {
            let steps = self.steps();
            let Some(step) = steps.iter().find(|step| **step != Step::Tick).or(steps.first()) else {
                return self.check_desired();
            };
            self.apply(*step)?;
        }
        Err("it does not come to rest".to_owned())
    }

    fn check_desired(&self) -> Result<(), String> {
        let newest = self.objects.revisions.values().max_by_key(|one| one.revision).unwrap();
        let hash = newest.labels.iter().find(|(key, _)| key == HASH_LABEL).map(|(_, value)| value.as_str());
        let pods = self.objects.pods.values();
        let nodes: Vec<&str> = pods
            .filter(|pod| pod.ready && !pod.deleting && pod.label(HASH_LABEL) == hash)
            .filter_map(|pod| pod.node.as_deref())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let wanted: Vec<&str> = self.objects.nodes.keys().map(String::as_str).collect();
        let status = self.objects.daemonsets[&self.uid].status;
        let counts = (status.number_available, status.updated_number_scheduled);
        let all = i32::try_from(wanted.len()).unwrap();
        match nodes == wanted && self.objects.pods.len() == wanted.len() && counts == (all, all) {
            true => Ok(()),
            false => Err(format!("it rests with pods {:#?} and status {status:?}", self.objects.pods)),
        }
    }

    /// Numbers for the pods, by their nodes: which uids they happened to get makes no difference.
    fn numbers(&self) -> BTreeMap<Uid, usize> {
        let mut in_order: Vec<_> = self.objects.pods.values().map(|pod| (&pod.node, pod.uid)).collect();
        in_order.sort();
        let mut uids: Vec<Uid> = in_order.into_iter().map(|(_, uid)| uid).collect();
        uids.extend(self.watches[2].iter().filter_map(|told| match told {
            Told::Pod(pod) => Some(pod.uid),
            Told::PodGone(uid, _) => Some(*uid),
            _ => None,
        }));
        let mut numbers = BTreeMap::new();
        for uid in uids {
            let next = numbers.len();
            numbers.entry(uid).or_insert(next);
        }
        numbers
    }

    /// The state, with times from now.
    fn fingerprint(&self) -> u64 {
        let numbers = self.numbers();
        let number = |uid: Uid| numbers.get(&uid).copied().unwrap_or(usize::MAX);
        let after = |at: Option<Time>| at.map(|at| at.millis_since(self.now));
        let pod = |one: &Pod| {
            let hash = one.label(HASH_LABEL).unwrap_or_default();
            format!("{} {:?} {hash} {} {}", number(one.uid), one.node, one.ready, one.deleting)
        };
        let work = |action: &Action| match &action.work {
            Work::CreatePod(pod) => format!("create {} {}", pod.node, pod.hash),
            Work::DeletePod(pod) => {
                format!("delete {} {}", number(pod.uid), self.known_ready.contains(&pod.uid))
            }
            other => format!("{other:?}"),
        };
        let answer = |(action, outcome): &(Action, Outcome)| match outcome {
            Outcome::PodCreated { uid, .. } => format!("{} made {}", work(action), number(*uid)),
            other => format!("{} ended {other:?}", work(action)),
        };
        let told = |told: &Told| match told {
            Told::Pod(one) => pod(one),
            Told::PodGone(uid, _) => format!("gone {}", number(*uid)),
            Told::DaemonSet(one) => format!("{} {:?}", one.generation, one.status),
            other => format!("{other:?}"),
        };
        let known = |index: usize| {
            let told = self.engine.explain("default", "ds", &node_name(index), self.now)?;
            let pods = told.pods.iter().map(|one| {
                let flags = (one.ready, one.updated, one.terminating, one.delete_requested, one.bound);
                format!("{} {flags:?}", number(one.uid))
            });
            let pods: Vec<String> = pods.collect();
            Some(format!("{:?} {} {:?} {pods:?}", told.standing, told.creating, after(told.retry_at)))
        };
        let mut writes: Vec<String> = self.writes.iter().map(work).collect();
        writes.extend(self.late.iter().map(|action| format!("late {}", work(action))));
        writes.extend(self.answers.iter().map(answer));
        writes.sort();
        let mut hasher = DefaultHasher::new();
        self.objects.pods.values().map(pod).collect::<BTreeSet<_>>().hash(&mut hasher);
        self.objects.nodes.keys().collect::<Vec<_>>().hash(&mut hasher);
        (&self.taken, self.image, self.faults_left, self.edits_left, writes).hash(&mut hasher);
        for watch in &self.watches {
            watch.iter().map(told).collect::<Vec<_>>().hash(&mut hasher);
        }
        (0..self.setup.nodes).map(known).collect::<Vec<_>>().hash(&mut hasher);
        format!("{:?}{:?}", self.engine.footprint(), after(self.engine.next_deadline())).hash(&mut hasher);
        hasher.finish()
    }
}

fn lost() -> Outcome {
    Outcome::Failed { failure: Failure::Unknown, message: "no answer".to_owned() }
}

/// The way to a state: its last step, and the state before it.
type Paths = Vec<(usize, Option<Step>)>;

fn path(paths: &Paths, mut at: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    while let (before, Some(step)) = paths[at] {
        steps.push(step);
        at = before;
    }
    steps.reverse();
    steps
}

/// Tries everything that can happen; how many states there are, and whether they are all.
fn search(setup: Setup) -> (usize, bool) {
    let first = World::new(setup);
    let mut seen = HashSet::from([first.fingerprint()]);
    let mut paths: Paths = vec![(0, None)];
    let mut queue = VecDeque::from([(0, first)]);
    while let Some((at, world)) = queue.pop_front() {
        if let Err(why) = world.clone().come_to_rest() {
            panic!("{why}\nin {setup:?} after {:#?}", path(&paths, at));
        }
        for step in world.steps().into_iter().chain(world.disturbances()) {
            let mut next = world.clone();
            if let Err(why) = next.apply(step) {
                panic!("{why}\nin {setup:?} after {:#?}\nand {step:?}", path(&paths, at));
            }
            if seen.insert(next.fingerprint()) {
                paths.push((at, Some(step)));
                if paths.len() > setup.states {
                    return (paths.len() - 1, false);
                }
                queue.push_back((paths.len() - 1, next));
            }
        }
    }
    (paths.len(), true)
}

/// Nodes, faults, edits, and the most states.
type Size = (usize, u8, u8, usize);

/// Worlds all of whose states can be seen; of the last one under surge not.
const WHOLE: [Size; 4] =
    [(1, 1, 1, 1_000_000), (3, 0, 0, 1_000_000), (2, 1, 0, 1_000_000), (2, 0, 1, 450_000)];

/// What `EVERYNODE_SMALL_WORLDS` asks for: sizes, or `all` of a few.
fn sizes() -> Vec<Size> {
    let asked = std::env::var("EVERYNODE_SMALL_WORLDS").unwrap_or_default();
    match asked.as_str() {
        "" => vec![(1, 1, 0, 5_000), (2, 0, 0, 5_000), (1, 1, 1, 5_000), (2, 1, 1, 5_000)],
        "all" => [WHOLE.as_slice(), &[(1, 2, 2, 200_000), (2, 2, 2, 200_000), (3, 2, 2, 200_000)]].concat(),
        sizes => sizes.split(' ').map(size).collect(),
    }
}

fn size(text: &str) -> Size {
    let parts: Vec<usize> = text.split(',').map(|part| part.parse().unwrap()).collect();
    let [nodes, faults, edits, states] = parts[..] else { panic!("{text} is not nodes,faults,edits,states") };
    (nodes, u8::try_from(faults).unwrap(), u8::try_from(edits).unwrap(), states)
}

#[test]
fn nothing_that_can_happen_breaks_a_small_world() {
    let mut total = 0;
    for (nodes, faults, edits, states) in sizes() {
        for (surge, named) in [(false, false), (false, true), (true, false), (true, true)] {
            let setup = Setup { nodes, surge, named, faults, edits, states };
            let start = std::time::Instant::now();
            let (count, complete) = search(setup);
            let how = if complete { "all" } else { "the first" };
            println!("{how} {count} states of {setup:?} in {:?}", start.elapsed());
            total += count;
        }
    }
    println!("{total} states");
}

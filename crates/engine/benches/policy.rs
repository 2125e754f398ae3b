//! What a roll-out under a policy costs at 1,000, 5,000 and 100,000 nodes: three waves, 10 % of the nodes at a time,
//! and a decision after each event, which is the worst case: a controller takes in many between two decisions.
//!
//! `cargo bench -p everynode-engine --bench policy`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark reports")]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use everynode_engine::pod_body::HASH_LABEL;
use everynode_engine::policy::{PolicyFact, RolloutPhase};
use everynode_engine::{
    Action, ActionId, ContainerStatuses, DaemonSetFact, Engine, Fact, Kind, Limits, NodeFact, Outcome, Phase,
    PodController, PodFact, RevisionFact, Sample, Samples, Time, Uid, Work,
};
use serde_json::{Value, json};

/// A fleet that takes longer is left where it is.
const LONGEST: Duration = Duration::from_secs(60);
const SET: Uid = Uid(1);

fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    for nodes in [1_000, 5_000, 100_000] {
        measure_analysis(nodes);
        for domain in [false, true] {
            measure(nodes, domain);
        }
    }
}

/// What it takes to look at a block of nodes, when its windows have closed: 400 nodes that were updated, and as many
/// others as are compared. Pods are measured where a metrics server is asked, which is up to 5,000 of them.
fn measure_analysis(nodes: usize) {
    let mut world = World::new(nodes, false);
    let signals =
        json!([{"name": "cpu"}, {"name": "restarts"}, {"name": "oomKills"}, {"name": "readinessFlaps"}]);
    let policy = json!({
        "metadata": {"namespace": "default", "name": "p", "uid": Uid(2).to_string(), "generation": 2},
        "spec": {
            "selector": {}, "maxUnavailable": "10%",
            "waves": [{"nodes": 400, "bakeSeconds": 3600}, {"nodes": "100%"}],
            "analysis": {"beforeSeconds": 120, "settleSeconds": 0, "afterSeconds": 60, "signals": signals},
        },
    });
    world.engine.observe(Fact::Policies(PolicyFact::from_json(&policy).into_iter().collect()), world.now);
    let is_measured = nodes <= 5_000;
    let mut sampling = Duration::ZERO;
    for _ in 0..12 {
        world.now = world.now.plus_millis(10_000);
        sampling = world.sample(is_measured);
    }
    world.set_image("i:2");
    world.roll(Instant::now() + LONGEST);
    for _ in 0..5 {
        world.now = world.now.plus_millis(10_000);
        world.sample(is_measured);
    }
    world.now = world.now.plus_millis(15_000);
    let begin = Instant::now();
    world.decide();
    let millis = begin.elapsed().as_secs_f64() * 1e3;
    let verdict = world.engine.rollout("default", "agent").and_then(|rollout| rollout.verdict);
    println!(
        "{nodes} nodes, a block of 400 is looked at: {millis:.2} ms ({verdict:?}); samples of all pods: {:.2} ms",
        sampling.as_secs_f64() * 1e3
    );
}

fn measure(nodes: usize, domain: bool) {
    let mut world = World::new(nodes, domain);
    let events_before = world.events;
    let begin = Instant::now();
    world.set_image("i:2");
    let is_complete = world.roll(begin + LONGEST);
    let seconds = begin.elapsed().as_secs_f64();
    let events = world.events - events_before;
    let micros = seconds * 1e6 / events as f64;
    let what = if domain { "in 3 zones with a bound of their own" } else { "without domains" };
    let end = if is_complete { "complete" } else { "left" };
    println!(
        "{nodes} nodes {what}: {micros:.2} us per event and decision; {events} events in {seconds:.2} s, {end}"
    );
}

/// What has still to be told.
enum Told {
    Finished(ActionId, Outcome),
    Seen(PodState),
    Gone(Uid, u64),
}

#[derive(Clone)]
struct PodState {
    uid: Uid,
    version: u64,
    node: String,
    hash: String,
    ready: bool,
}

struct World {
    engine: Engine,
    told: VecDeque<Told>,
    /// The names of pods.
    pods: BTreeMap<Uid, String>,
    object: Value,
    version: u64,
    now: Time,
    events: usize,
}

impl World {
    fn new(nodes: usize, domain: bool) -> World {
        let mut engine = Engine::new(Limits::default());
        let now = Time::from_seconds(1_000_000);
        for kind in [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision] {
            engine.observe(Fact::RelistBegun(kind), now);
            engine.observe(Fact::RelistEnded { kind, resource_version: 0 }, now);
        }
        let object = json!({
            "metadata": {
                "namespace": "default", "name": "agent", "uid": SET.to_string(), "generation": 1,
            },
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {"containers": [{"name": "c", "image": "i:1"}]},
                },
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
                "revisionHistoryLimit": 10,
            },
            "status": {},
        });
        let mut world = World {
            engine,
            told: VecDeque::new(),
            pods: BTreeMap::new(),
            object,
            version: 1,
            now,
            events: 0,
        };
        (0..nodes).for_each(|index| world.node(index));
        world.set_image("i:1");
        // The first roll-out is not measured: all at once, and decided in batches.
        while !world.told.is_empty() || world.decide() > 0 {
            for told in std::mem::take(&mut world.told) {
                world.tell(told);
            }
        }
        let mut policy = json!({
            "metadata": {"namespace": "default", "name": "p", "uid": Uid(2).to_string(), "generation": 1},
            "spec": {
                "selector": {}, "maxUnavailable": "10%", "order": ["topology.kubernetes.io/zone"],
                "waves": [{"nodes": 1}, {"nodes": "25%"}, {"nodes": "100%"}],
            },
        });
        if domain {
            policy["spec"]["order"] = json!([]);
            policy["spec"]["domain"] =
                json!({"label": "topology.kubernetes.io/zone", "maxUnavailable": "10%"});
        }
        world.engine.observe(Fact::Policies(PolicyFact::from_json(&policy).into_iter().collect()), world.now);
        while !world.told.is_empty() || world.decide() > 0 {
            for told in std::mem::take(&mut world.told) {
                world.tell(told);
            }
        }
        world
    }

    fn node(&mut self, index: usize) {
        let name = format!("node-{index:06}");
        let zone = ["a", "b", "c"][index % 3];
        let labels = [("kubernetes.io/os", "linux"), ("topology.kubernetes.io/zone", zone)];
        let fact = NodeFact { name: &name, labels: &labels, taints: &[], not_ready_since: None };
        self.engine.observe(Fact::Node(fact), self.now);
    }

    fn set_image(&mut self, image: &str) {
        self.object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        let generation = self.object["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
        self.object["metadata"]["generation"] = generation.into();
        self.object["metadata"]["resourceVersion"] = self.next_version().to_string().into();
        let fact = DaemonSetFact::from_json(&self.object).expect("a good DaemonSet");
        self.engine.observe(Fact::DaemonSet(Box::new(fact)), self.now);
        self.decide();
    }

    /// One event after the other, each with its decision; whether the roll-out came to its end.
    fn roll(&mut self, until: Instant) -> bool {
        while let Some(told) = self.told.pop_front() {
            self.tell(told);
            self.now = self.now.plus_millis(1);
            self.decide();
            if self.events.is_multiple_of(64) && Instant::now() > until {
                return false;
            }
        }
        let rollout = self.engine.rollout("default", "agent");
        rollout.is_some_and(|rollout| rollout.phase == RolloutPhase::Complete)
    }

    /// All pods are measured; how long it takes to take that in.
    fn sample(&mut self, is_measured: bool) -> Duration {
        if !is_measured {
            return Duration::ZERO;
        }
        let pods: Vec<Sample<'_>> = self
            .pods
            .values()
            .map(|pod| Sample {
                pod,
                at: self.now,
                cpu_cores: Some(0.1),
                memory_bytes: Some(1e8),
                metric: None,
            })
            .collect();
        let begin = Instant::now();
        self.engine.observe(Fact::Samples(Samples { daemonset: SET, pods: &pods }), self.now);
        begin.elapsed()
    }

    fn decide(&mut self) -> usize {
        let actions = self.engine.decide(self.now);
        let count = actions.len();
        actions.into_iter().for_each(|action| self.carry_out(action));
        count
    }

    fn carry_out(&mut self, Action { id, work, .. }: Action) {
        let outcome = match work {
            Work::RecordEvent(_) | Work::Relist(_) => return,
            Work::CreatePod(new) => {
                // As a watch tells it: the versions rise.
                let version = self.next_version();
                let uid = Uid(1 << 64 | u128::from(version));
                let (node, hash) = (new.node.to_string(), new.hash.to_string());
                let pod = PodState { uid, version, node, hash, ready: false };
                self.told.push_back(Told::Seen(pod.clone()));
                let version = self.next_version();
                self.told.push_back(Told::Seen(PodState { version, ready: true, ..pod }));
                let name = format!("agent-{}", uid.0);
                self.pods.insert(uid, name.clone());
                Outcome::PodCreated { name, uid, resource_version: version - 1 }
            }
            Work::DeletePod(pod) | Work::DeletePodAsKnown { pod, .. } => {
                let version = self.next_version();
                self.told.push_back(Told::Gone(pod.uid, version));
                self.pods.remove(&pod.uid);
                Outcome::Done
            }
            Work::CreateRevision(new) => {
                let resource_version = self.next_version();
                let revision = RevisionFact {
                    namespace: "default".to_owned(),
                    name: new.name,
                    uid: Uid(1 << 100 | u128::from(id.0)),
                    resource_version,
                    labels: new.labels,
                    controller: PodController::DaemonSet(SET),
                    deleting: false,
                    revision: new.revision,
                    data: new.data.to_vec().into_boxed_slice(),
                };
                Outcome::Revision(Box::new(revision))
            }
            Work::WriteStatus { .. } => Outcome::StatusWritten { resource_version: self.version },
            _ => Outcome::Done,
        };
        self.told.push_front(Told::Finished(id, outcome));
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn tell(&mut self, told: Told) {
        self.events += 1;
        match told {
            Told::Finished(id, outcome) => self.engine.observe(Fact::Finished { id, outcome }, self.now),
            Told::Gone(uid, resource_version) => {
                self.engine.observe(Fact::PodGone { uid, resource_version }, self.now);
            }
            Told::Seen(pod) => {
                let name = format!("agent-{}", pod.uid.0);
                let labels = [("app", "agent"), (HASH_LABEL, pod.hash.as_str())];
                let fact = PodFact {
                    namespace: "default",
                    name: &name,
                    uid: pod.uid,
                    resource_version: pod.version,
                    labels: &labels,
                    controller: PodController::DaemonSet(SET),
                    node: Some(&pod.node),
                    bound: true,
                    phase: Phase::Running,
                    ready: pod.ready,
                    ready_since: Some(self.now).filter(|_| pod.ready),
                    deleting: false,
                    created: self.now,
                    trouble: None,
                    statuses: ContainerStatuses::default(),
                };
                self.engine.observe(Fact::Pod(fact), self.now);
            }
        }
    }
}

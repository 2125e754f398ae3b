//! What an event costs at 1,000, 10,000 and 100,000 nodes, and what a pod weighs at 1,000,000.
//!
//! `cargo bench -p everynode-engine`. The bars: flat and under 5 us; under 256 bytes. Bytes are those of the process'
//! resident memory, so that the allocator's own needs count.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]

use divan::Bencher;
use everynode_engine::pod_body::{GENERATION_LABEL, HASH_LABEL};
use everynode_engine::{
    ContainerStatuses, DaemonSetFact, Engine, Fact, Kind, Limits, NodeFact, Outcome, Phase, PodController,
    PodFact, RevisionFact, Time, Uid, Work,
};
use serde_json::json;

const NOW: Time = Time::from_seconds(1_000_000);
const FLEETS: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    weigh_pods();
    divan::main();
}

fn set_uid(index: usize) -> Uid {
    Uid(1 + index as u128)
}

fn daemonset(index: usize) -> Option<DaemonSetFact> {
    let name = format!("agent-{index}");
    DaemonSetFact::from_json(&json!({
        "metadata": {
            "namespace": "default", "name": name, "uid": set_uid(index).to_string(), "generation": 1,
            "annotations": {"deprecated.daemonset.template.generation": "1"},
        },
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "containers": [{"name": "c", "image": "i:1"}],
                },
            },
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "revisionHistoryLimit": 10,
            "minReadySeconds": 5,
        },
        "status": {},
    }))
}

/// A fleet with DaemonSets; every node has a ready pod of each.
struct Fleet {
    engine: Engine,
    nodes: usize,
    version: u64,
}

impl Fleet {
    fn new(nodes: usize) -> Self {
        let mut engine = Engine::new(Limits::default());
        for kind in [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision] {
            engine.observe(Fact::RelistBegun(kind), NOW);
            engine.observe(Fact::RelistEnded { kind, resource_version: 0 }, NOW);
        }
        let mut fleet = Fleet { engine, nodes, version: 1 };
        (0..nodes).for_each(|index| fleet.node(index, false));
        fleet
    }

    fn with_sets(nodes: usize, sets: usize) -> Self {
        let mut fleet = Fleet::new(nodes);
        for set in 0..sets {
            if let Some(fact) = daemonset(set) {
                fleet.engine.observe(Fact::DaemonSet(Box::new(fact)), NOW);
            }
            (0..nodes).for_each(|index| fleet.pod(set, index, true));
        }
        fleet.rest();
        fleet
    }

    /// Answers what is asked for until nothing more is.
    fn rest(&mut self) {
        loop {
            let actions = self.engine.decide(NOW);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                let outcome = match action.work {
                    Work::CreateRevision(new) => Outcome::Revision(Box::new(RevisionFact {
                        namespace: "default".to_owned(),
                        name: new.name,
                        uid: Uid(1 << 100 | u128::from(action.id.0)),
                        resource_version: 1,
                        labels: new.labels,
                        controller: PodController::DaemonSet(action.daemonset.uid),
                        deleting: false,
                        revision: new.revision,
                        data: new.data.to_vec().into_boxed_slice(),
                    })),
                    Work::WriteStatus { .. } => Outcome::StatusWritten { resource_version: 1 },
                    _ => Outcome::Done,
                };
                self.engine.observe(Fact::Finished { id: action.id, outcome }, NOW);
            }
        }
    }

    fn node(&mut self, index: usize, tainted: bool) {
        let name = format!("node-{index:06}");
        let labels = [
            ("beta.kubernetes.io/arch", "amd64"),
            ("kubernetes.io/arch", "amd64"),
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("topology.kubernetes.io/zone", ["a", "b", "c"][index % 3]),
        ];
        let taint = everynode_engine::placement::Taint {
            key: "maintenance",
            value: "",
            effect: everynode_engine::placement::Effect::NoSchedule,
        };
        let taints = &[taint][..usize::from(tainted)];
        self.engine.observe(
            Fact::Node(NodeFact { name: &name, labels: &labels, taints, not_ready_since: None }),
            NOW,
        );
    }

    fn pod(&mut self, set: usize, index: usize, ready: bool) {
        self.version += 1;
        let (node, name, app) =
            (format!("node-{index:06}"), format!("agent-{set}-{index:05}"), format!("agent-{set}"));
        let labels = [("app", app.as_str()), (HASH_LABEL, "c88548769"), (GENERATION_LABEL, "1")];
        let fact = PodFact {
            namespace: "default",
            name: &name,
            uid: Uid((set as u128) << 64 | (index as u128 + 1) << 16),
            resource_version: self.version,
            labels: &labels,
            controller: PodController::DaemonSet(set_uid(set)),
            node: Some(&node),
            bound: true,
            phase: Phase::Running,
            ready,
            ready_since: Some(Time::from_seconds(900_000)),
            deleting: false,
            created: Time::from_seconds(800_000),
            trouble: None,
            statuses: ContainerStatuses::default(),
        };
        self.engine.observe(Fact::Pod(fact), NOW);
    }
}

/// A pod turns ready or not, and the engine decides.
#[divan::bench(args = FLEETS)]
fn pod_event(bencher: Bencher<'_, '_>, nodes: usize) {
    let mut fleet = Fleet::with_sets(nodes, 1);
    let mut turn = 0_usize;
    bencher.bench_local(move || {
        turn += 1;
        let index = turn.wrapping_mul(7919) % fleet.nodes;
        fleet.pod(0, index, turn.is_multiple_of(2));
        divan::black_box(fleet.engine.decide(NOW));
    });
}

/// A node gets or loses a taint, and the engine decides for ten DaemonSets.
#[divan::bench(args = FLEETS)]
fn node_event_with_ten_daemonsets(bencher: Bencher<'_, '_>, nodes: usize) {
    node_event(bencher, Fleet::with_sets(nodes, 10));
}

/// A node gets or loses a taint, and the engine decides for one DaemonSet.
#[divan::bench(args = FLEETS)]
fn node_event_with_one_daemonset(bencher: Bencher<'_, '_>, nodes: usize) {
    node_event(bencher, Fleet::with_sets(nodes, 1));
}

fn node_event(bencher: Bencher<'_, '_>, mut fleet: Fleet) {
    let mut turn = 0_usize;
    bencher.bench_local(move || {
        turn += 1;
        fleet.node(turn.wrapping_mul(7919) % fleet.nodes, (turn / fleet.nodes).is_multiple_of(2));
        divan::black_box(fleet.engine.decide(NOW));
    });
}

/// A node event that changes nothing, such as a heartbeat.
#[divan::bench(args = FLEETS)]
fn node_heartbeat(bencher: Bencher<'_, '_>, nodes: usize) {
    let mut fleet = Fleet::with_sets(nodes, 1);
    let mut turn = 0_usize;
    bencher.bench_local(move || {
        turn += 1;
        fleet.node(turn.wrapping_mul(7919) % fleet.nodes, false);
        divan::black_box(fleet.engine.decide(NOW));
    });
}

/// The bytes that a pod adds: 1,000,000 pods of 100 DaemonSets on 10,000 nodes.
fn weigh_pods() {
    const SETS: usize = 100;
    const NODES: usize = 10_000;
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let mut fleet = Fleet::new(NODES);
    let before = resident_bytes();
    for set in 0..SETS {
        if let Some(fact) = daemonset(set) {
            fleet.engine.observe(Fact::DaemonSet(Box::new(fact)), NOW);
        }
        (0..NODES).for_each(|index| fleet.pod(set, index, true));
    }
    fleet.rest();
    let pods = fleet.engine.footprint().pods;
    println!("{pods} pods: {} bytes per pod, resident", (resident_bytes() - before) / pods);
}

/// The resident memory of this process, in bytes (Linux).
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

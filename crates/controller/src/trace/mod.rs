//! A roll-out as a trace: the roll-out, its waves, and nodes in them, as OpenTelemetry has it.
//!
//! Ids are hashes of the DaemonSet, the revision and the attempt, and a span is sent when it ends, so a new leader goes on
//! with the trace of the one before. Nothing is kept of a roll-out but what its open spans need.

mod otlp;
mod span;

use std::collections::{BTreeMap, HashMap, HashSet};

use everynode_engine::policy::RolloutPhase;
use everynode_engine::{Engine, Fact, PodController, PodFact, Rollout, RolloutNode, Time, Uid};

pub(crate) use otlp::Exporter;
pub use otlp::TraceSettings;
pub(crate) use span::Span;
use span::{Outcome, Step, TraceKey};

/// Spans of nodes of one roll-out, at most: with the roll-out and its waves there are fewer than 1,000.
const NODES_LIMIT: usize = 900;
/// Beside those that are drawn, so many of the slowest are sent, at the end.
const SLOWEST: usize = 20;
/// Pods that are on their way of which something is kept, at most.
const PENDING_LIMIT: usize = 10_000;
/// Roll-outs that are traced at one time.
const ROLLOUTS_LIMIT: usize = 1_000;
/// The label of a pod with the hash of its revision.
const HASH_LABEL: &str = "controller-revision-hash";

/// Makes spans of what the engine shows.
#[derive(Debug, Default)]
pub(crate) struct Tracer {
    rollouts: HashMap<Uid, Open>,
    spans: Vec<Span>,
}

/// A roll-out that is under way.
#[derive(Debug)]
struct Open {
    key: TraceKey,
    began: Time,
    wave: usize,
    wave_began: Time,
    desired: usize,
    /// Nodes that failed, when they were last looked at.
    failed: usize,
    /// Pods of the revision that are not ready yet, by node: when they were made.
    pending: HashMap<Box<str>, Time>,
    /// Nodes whose span was sent.
    sent: HashSet<Box<str>>,
    /// The slowest of the nodes that were not drawn, by how long they took.
    slowest: BTreeMap<(i64, Box<str>), Step>,
}

impl Tracer {
    /// Takes a fact: pods say when a node had its new one, and when that was ready.
    pub(crate) fn fact(&mut self, fact: &Fact<'_>) {
        let Fact::Pod(pod) = fact else { return };
        let PodController::DaemonSet(owner) = pod.controller else { return };
        let Some(open) = self.rollouts.get_mut(&owner) else { return };
        self.spans.extend(open.pod(pod));
    }

    /// Looks at the roll-outs as they are now, and gives the spans that have ended.
    pub(crate) fn look(&mut self, engine: &Engine, now: Time) -> Vec<Span> {
        for rollout in engine.rollouts() {
            self.follow(engine, &rollout, now);
        }
        std::mem::take(&mut self.spans)
    }

    fn follow(&mut self, engine: &Engine, rollout: &Rollout<'_>, now: Time) {
        let (Some(revision), Some(began)) = (rollout.revision, rollout.started_at) else { return };
        let place = (rollout.namespace, rollout.daemonset);
        let key = TraceKey::new(place, rollout.uid, revision, rollout.attempt);
        if self.rollouts.get(&rollout.uid).is_some_and(|open| open.key != key) {
            // Another revision took its place.
            self.end(rollout, Outcome::Replaced, now);
        }
        let is_over =
            matches!(rollout.phase, RolloutPhase::Complete | RolloutPhase::Halted | RolloutPhase::RolledBack);
        if !self.rollouts.contains_key(&rollout.uid) {
            // What was over before this leader came was told by the one before.
            if is_over || self.rollouts.len() >= ROLLOUTS_LIMIT {
                return;
            }
            let wave_began = if rollout.wave == 1 { began } else { now };
            self.rollouts.insert(rollout.uid, Open::new(key, began, rollout.wave, wave_began));
        }
        let Some(open) = self.rollouts.get_mut(&rollout.uid) else { return };
        open.desired = rollout.figures.desired;
        if rollout.wave > open.wave {
            self.spans.push(open.end_wave(rollout.wave, now));
        }
        if rollout.failed != open.failed {
            open.failed = rollout.failed;
            let nodes = engine.rollout_nodes(rollout.namespace, rollout.daemonset, now);
            self.spans.extend(nodes.iter().filter_map(|node| open.failure(node)));
        }
        if is_over {
            self.end(rollout, Outcome::of(rollout.phase), now);
        }
    }

    /// Ends a roll-out: its last wave, the slowest nodes, and itself.
    fn end(&mut self, rollout: &Rollout<'_>, outcome: Outcome, now: Time) {
        let Some(mut open) = self.rollouts.remove(&rollout.uid) else { return };
        self.spans.push(open.end_wave(open.wave + 1, now));
        for ((_, node), step) in std::mem::take(&mut open.slowest) {
            self.spans.push(open.key.node(&node, open.wave, step, None));
        }
        let nodes = open.desired;
        self.spans.push(open.key.rollout(rollout, open.began, now, outcome, nodes));
    }
}

impl Open {
    fn new(key: TraceKey, began: Time, wave: usize, wave_began: Time) -> Open {
        Open {
            key,
            began,
            wave,
            wave_began,
            desired: 0,
            failed: 0,
            pending: HashMap::new(),
            sent: HashSet::new(),
            slowest: BTreeMap::new(),
        }
    }

    /// Takes a pod of the DaemonSet; gives the span of its node when that has ended.
    fn pod(&mut self, pod: &PodFact<'_>) -> Option<Span> {
        let node = pod.node?;
        let is_ours =
            pod.labels.iter().any(|(name, value)| *name == HASH_LABEL && *value == self.key.revision());
        if !is_ours || pod.created.seconds() < self.began.seconds() || self.sent.contains(node) {
            return None;
        }
        let Some(ready) = pod.ready_since.filter(|_| pod.ready) else {
            if self.pending.len() < PENDING_LIMIT {
                self.pending.entry(node.into()).or_insert(pod.created);
            }
            return None;
        };
        self.pending.remove(node);
        let started = pod.statuses.history().running_since_seconds.map(Time::from_seconds);
        let step = Step { made: pod.created, started, ended: ready };
        let took = ready.millis_since(pod.created).max(0);
        if self.sent.len() < NODES_LIMIT && self.is_drawn(node) {
            self.sent.insert(node.into());
            return Some(self.key.node(node, self.wave, step, None));
        }
        // It may become ready again later: the first time counts.
        if !self.slowest.keys().any(|(_, known)| **known == *node) {
            self.slowest.insert((took, node.into()), step);
        }
        while self.slowest.len() > SLOWEST {
            self.slowest.pop_first();
        }
        None
    }

    /// Whether a node is one of those that are sent at once: of more than there is room for, a part by their names.
    fn is_drawn(&self, node: &str) -> bool {
        let room = NODES_LIMIT - SLOWEST;
        self.desired <= room || span::part_of(node) * self.desired as f64 <= room as f64
    }

    /// The span of a node that has failed, once.
    fn failure(&mut self, node: &RolloutNode) -> Option<Span> {
        let failure = node.failure.as_ref()?;
        if self.sent.len() >= NODES_LIMIT || !self.sent.insert((&*node.node).into()) {
            return None;
        }
        let began = self.pending.remove(&*node.node).unwrap_or(failure.at);
        let step = Step { made: began, started: None, ended: failure.at };
        Some(self.key.node(&node.node, self.wave, step, Some(&failure.reason)))
    }

    /// Ends the wave under way; the next one begins.
    fn end_wave(&mut self, next: usize, now: Time) -> Span {
        let ended = self.key.wave(self.wave, self.wave_began, now);
        (self.wave, self.wave_began) = (next, now);
        ended
    }
}

#[cfg(test)]
mod tests {
    use everynode_model::Phase;

    use super::*;

    const UID: &str = "11111111-1111-4111-8111-111111111111";
    const LABELS: [(&str, &str); 1] = [(HASH_LABEL, "new")];

    fn open(desired: usize) -> Open {
        let key = TraceKey::new(("ns", "agent"), Uid::parse(UID).unwrap(), "new", 0);
        Open { desired, ..Open::new(key, Time(1_500), 1, Time(1_500)) }
    }

    /// A pod of the revision on a node, ready after so many seconds.
    fn pod(node: &str, ready_after: Option<i64>) -> PodFact<'_> {
        PodFact {
            namespace: "ns",
            name: "agent-x",
            uid: Uid::parse(UID).unwrap(),
            resource_version: 1,
            labels: &LABELS,
            controller: PodController::DaemonSet(Uid::parse(UID).unwrap()),
            node: Some(node),
            bound: true,
            phase: Phase::Running,
            ready: ready_after.is_some(),
            ready_since: ready_after.map(|seconds| Time(1_000 + seconds * 1_000)),
            deleting: false,
            // Times of objects are whole seconds: it was made after the roll-out began.
            created: Time(1_000),
            trouble: None,
            statuses: everynode_engine::ContainerStatuses::default(),
        }
    }

    #[test]
    fn a_node_has_one_span_from_the_creation_of_its_pod_until_it_is_ready() {
        let mut open = open(3);
        assert_eq!(open.pod(&pod("a", None)), None);
        let span = open.pod(&pod("a", Some(4))).unwrap();
        assert_eq!((span.name.as_str(), span.began, span.ended), ("node a", Time(1_000), Time(5_000)));
        assert_eq!(open.pod(&pod("a", Some(4))), None, "once");
        let of_old = PodFact { labels: &[(HASH_LABEL, "old")], ..pod("b", Some(4)) };
        let before = PodFact { created: Time(0), ..pod("b", Some(4)) };
        assert_eq!((open.pod(&of_old), open.pod(&before)), (None, None));
        // Whoever leads says it alike.
        assert_eq!(self::open(3).pod(&pod("a", Some(4))), Some(span));
    }

    #[test]
    fn a_large_rollout_has_fewer_than_a_thousand_spans_the_slowest_among_them() {
        let mut open = open(100_000);
        let names: Vec<String> = (0..100_000).map(|node| format!("node-{node}")).collect();
        let took = |node: usize| if node.is_multiple_of(5_000) { 500 } else { 5 };
        let sent = names
            .iter()
            .enumerate()
            .filter_map(|(node, name)| open.pod(&pod(name, Some(took(node)))))
            .count();
        assert!((800..=NODES_LIMIT).contains(&sent), "{sent}");
        assert_eq!(open.slowest.len(), SLOWEST);
        // Of the 20 slow ones hardly one was drawn, and all others are kept to the end.
        let slow = open.slowest.keys().filter(|(took, _)| *took == 500_000).count();
        assert!(slow >= 17, "{slow}");
    }
}

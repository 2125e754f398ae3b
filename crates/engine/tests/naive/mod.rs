//! The specification written as plainly as possible: every decision reads the whole world anew.
//!
//! It shares the pure predicates of placement and the revision's bytes with the engine, and nothing else.

mod history;
mod lists;
mod outcomes;
mod pods;

use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_engine::placement::{NodeView as _, Taint, Verdict};
use everynode_engine::pod_body::{GENERATION_LABEL, HASH_LABEL};
use everynode_engine::{
    DaemonSetFact, DaemonSetRef, Event, Failure, Kind, Limits, NewPod, NewRevision, NodeFact, Outcome,
    POD_NAMES, Phase, PodController, PodRef, RevisionFact, RevisionRef, Status, Strategy, Time, Uid, Work,
    revision,
};

use crate::common::{Node, Pod, Told};

#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    failures: u32,
    not_before: Option<Time>,
}

impl Retry {
    fn fail(&mut self, limits: &Limits, now: Time) {
        let delay = (limits.retry_first_millis << self.failures.min(40)).min(limits.retry_last_millis);
        self.failures += 1;
        self.not_before = self.not_before.max(Some(now.plus_millis(delay)));
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Creating {
    InFlight,
    Unseen { uid: Uid, version: u64, stale_at: Time },
    Unknown { stale_at: Time, name: Option<Arc<str>>, is_repeated: bool },
    Taken { until: Time },
}

#[derive(Clone, Debug)]
struct NaivePod {
    pod: Pod,
    version: u64,
    delete_sent: bool,
    patching: bool,
}

#[derive(Clone, Debug)]
struct NaiveRevision {
    fact: RevisionFact,
    writing: bool,
    delete_sent: bool,
    claims: Retry,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Orphan,
    Member(Uid),
    Adopting(Uid),
    Unselected(Uid),
}

#[derive(Debug)]
struct Set {
    fact: DaemonSetFact,
    is_gone: bool,
    stored: Status,
    version: u64,
    creating: BTreeMap<String, Creating>,
    /// Nodes with a creation of this name that was not answered while a later one was carried out, and since when a
    /// list decides.
    unanswered: BTreeMap<String, (Arc<str>, Time)>,
    failed: BTreeMap<String, (i64, i64, Time)>,
    retry: BTreeMap<&'static str, Retry>,
    in_flight: BTreeMap<&'static str, usize>,
    /// Nodes whose creations fail: how often in a row, and when to try again.
    refused: BTreeMap<String, (u32, Time)>,
    /// Nodes on which a pod was created since one was ready there: how many, and when the last.
    churn: BTreeMap<String, (u32, Time, Option<Uid>)>,
    batch: usize,
    /// One of the batch failed; and on a node where none had failed.
    batch_failed: bool,
    batch_failed_anew: bool,
    hash: Option<String>,
    borrowed: Option<Uid>,
    collision: bool,
    status_not_before: Time,
    warned_of_names: bool,
}

#[derive(Clone, Debug)]
enum Pending {
    Create { set: Uid, node: String, name: Option<Arc<str>>, is_repeated: bool },
    Delete(Uid, PodRef),
    Patch(Uid, Uid, Work),
    History(Uid, Option<Uid>, Work),
    Cleanup(Uid, Uid),
    Status(Uid, Status),
}

/// A write whose effect is waited for.
#[derive(Clone, Debug, PartialEq)]
enum Wait {
    Creation(Uid, String),
    Unanswered(Uid, String),
    Delete(Uid),
    Release(Uid),
    Revision(Uid),
    DaemonSet(Uid),
}

/// The lists of one kind.
#[derive(Debug)]
struct Lists {
    kind: Kind,
    begun: u64,
    /// What a list has to decide, and how many had begun when that became so.
    overdue: Vec<(Wait, u64)>,
    asked_at: Option<Time>,
    pause_millis: i64,
}

/// The reference.
pub struct Naive {
    limits: Limits,
    nodes: BTreeMap<String, Node>,
    pods: BTreeMap<Uid, NaivePod>,
    revisions: BTreeMap<Uid, NaiveRevision>,
    sets: BTreeMap<Uid, Set>,
    pending: BTreeMap<u64, Pending>,
    pods_seen: u64,
    revisions_seen: u64,
    /// When each write should have become visible.
    waits: Vec<(Time, Wait)>,
    lists: [Lists; 3],
    last_id: u64,
    out: Vec<(u64, Arc<DaemonSetRef>, Work)>,
}

/// A node's pods that count (D2), in the order of D8.
struct Cell<'a> {
    name: &'a str,
    verdict: Option<Verdict>,
    pods: Vec<&'a NaivePod>,
    settled: bool,
}

impl Cell<'_> {
    /// No pod runs whose deletion was asked for and has not been seen.
    fn has_room(&self) -> bool {
        !self.pods.iter().any(|one| one.delete_sent && !one.pod.phase.is_terminal())
    }
}

impl NaivePod {
    fn leaving(&self) -> bool {
        self.pod.deleting || self.delete_sent
    }
}

impl Naive {
    pub fn new(limits: Limits) -> Self {
        Naive {
            limits,
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            revisions: BTreeMap::new(),
            sets: BTreeMap::new(),
            pending: BTreeMap::new(),
            pods_seen: 0,
            revisions_seen: 0,
            waits: Vec::new(),
            lists: [Kind::DaemonSet, Kind::Pod, Kind::Revision].map(|kind| Lists {
                kind,
                begun: 0,
                overdue: Vec::new(),
                asked_at: None,
                pause_millis: 0,
            }),
            last_id: 0,
            out: Vec::new(),
        }
    }

    pub fn tell(&mut self, told: &Told, now: Time) {
        match told {
            Told::Node(node) => drop(self.nodes.insert(node.name.clone(), node.clone())),
            Told::NodeGone(name) => drop(self.nodes.remove(name)),
            Told::DaemonSet(fact) => self.daemonset(fact),
            Told::DaemonSetGone(uid) => drop(self.sets.remove(uid)),
            Told::Pod(pod) => self.pod(pod, now),
            Told::PodGone(uid, version) => {
                self.saw(*uid, *version);
                self.pods.remove(uid);
            }
            Told::Revision(fact) => {
                self.revisions_seen = self.revisions_seen.max(fact.resource_version);
                self.revision(fact.clone());
            }
            Told::RevisionGone(uid) => drop(self.revisions.remove(uid)),
        }
    }

    fn daemonset(&mut self, fact: &DaemonSetFact) {
        let Some(set) = self.sets.get_mut(&fact.uid) else {
            let set = Set {
                fact: fact.clone(),
                is_gone: false,
                stored: fact.status,
                version: 0,
                creating: BTreeMap::new(),
                unanswered: BTreeMap::new(),
                failed: BTreeMap::new(),
                retry: BTreeMap::new(),
                in_flight: BTreeMap::new(),
                refused: BTreeMap::new(),
                churn: BTreeMap::new(),
                batch: 1,
                batch_failed: false,
                batch_failed_anew: false,
                hash: None,
                borrowed: None,
                collision: false,
                status_not_before: Time(i64::MIN),
                warned_of_names: false,
            };
            self.sets.insert(fact.uid, set);
            return;
        };
        if fact.resource_version <= set.fact.resource_version {
            return;
        }
        if fact.resource_version >= set.version {
            set.stored = fact.status;
        }
        if set.fact.template != fact.template {
            (set.hash, set.borrowed, set.collision) = (None, None, false);
        }
        set.warned_of_names &= names(&set.fact) == names(fact);
        if set.fact.generation != fact.generation {
            set.retry.retain(|kind, _| matches!(*kind, "patches" | "status"));
            set.refused.clear();
            set.churn.clear();
        }
        set.fact = fact.clone();
    }

    fn pod(&mut self, pod: &Pod, now: Time) {
        self.saw(pod.uid, pod.resource_version);
        let before = self.pods.get(&pod.uid).map(|one| self.place(&one.pod));
        match self.pods.get_mut(&pod.uid) {
            Some(known) if pod.resource_version <= known.version => return,
            Some(known) => {
                known.pod = pod.clone();
                known.version = pod.resource_version;
                known.delete_sent &= !pod.deleting;
            }
            None => {
                let version = pod.resource_version;
                let row = NaivePod { pod: pod.clone(), version, delete_sent: false, patching: false };
                self.pods.insert(pod.uid, row);
            }
        }
        if pod.controller == PodController::Other {
            self.pods.remove(&pod.uid);
            return;
        }
        let after = self.place(pod);
        if let Some(known) = self.pods.get_mut(&pod.uid) {
            known.patching &= before == Some(after);
        }
        // A new pod where the outcome of a creation is not known.
        if let (None, Place::Member(uid), Some(node)) = (before, after, &pod.node)
            && let Some(set) = self.sets.get_mut(&uid)
            && let Some(Creating::Unknown { name, is_repeated, .. }) = set.creating.get(node).cloned()
        {
            set.creating.remove(node);
            set.churn.entry(node.clone()).and_modify(|churn| churn.2 = Some(pod.uid));
            if let Some(name) = name.filter(|_| is_repeated) {
                self.await_unanswered(uid, node, name, now);
            }
        }
    }

    fn saw(&mut self, seen: Uid, version: u64) {
        self.pods_seen = self.pods_seen.max(version);
        let limit = self.pods_seen;
        for set in self.sets.values_mut() {
            set.creating.retain(|_, one| match one {
                Creating::Unseen { uid, version, .. } => *uid != seen && *version > limit,
                _ => true,
            });
        }
    }

    fn revision(&mut self, fact: RevisionFact) {
        match self.revisions.get_mut(&fact.uid) {
            Some(known) if fact.resource_version <= known.fact.resource_version => {}
            Some(known) => known.fact = fact,
            None => {
                self.revisions.insert(
                    fact.uid,
                    NaiveRevision { fact, writing: false, delete_sent: false, claims: Retry::default() },
                );
            }
        }
    }

    /// A revision as a write has left it, unless the watch has come further and it is gone again.
    fn written(&mut self, fact: RevisionFact) {
        if self.revisions.contains_key(&fact.uid) || fact.resource_version > self.revisions_seen {
            self.revision(fact);
        }
    }

    fn selects(&self, uid: Uid, labels: &[(String, String)]) -> bool {
        self.sets.get(&uid).is_some_and(|set| {
            set.fact
                .selector
                .matches(|key| labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str()))
        })
    }

    fn adopter(&self, namespace: &str, labels: &[(String, String)]) -> Option<Uid> {
        let mut sets: Vec<&Set> = self
            .sets
            .values()
            .filter(|set| set.fact.namespace == namespace && !set.fact.deleting)
            .filter(|set| self.selects(set.fact.uid, labels))
            .collect();
        sets.sort_by(|a, b| a.fact.name.cmp(&b.fact.name));
        sets.first().map(|set| set.fact.uid)
    }

    fn place(&self, pod: &Pod) -> Place {
        match pod.controller {
            PodController::DaemonSet(uid) => match self.sets.get(&uid) {
                Some(set) if !set.fact.deleting && !self.selects(uid, &pod.labels) => Place::Unselected(uid),
                _ => Place::Member(uid),
            },
            PodController::Nobody if !pod.deleting => {
                self.adopter(&pod.namespace, &pod.labels).map_or(Place::Orphan, Place::Adopting)
            }
            _ => Place::Orphan,
        }
    }

    pub fn decide(&mut self, now: Time) -> Vec<(u64, Arc<DaemonSetRef>, Work)> {
        self.find_overdue(now);
        for uid in self.sets.keys().copied().collect::<Vec<_>>() {
            if !self.sets[&uid].fact.deleting && !self.sets[&uid].is_gone {
                self.sync(uid, now);
            }
        }
        self.ask_for_lists(now);
        std::mem::take(&mut self.out)
    }

    fn sync(&mut self, uid: Uid, now: Time) {
        self.warn_of_names(uid);
        self.claim(uid, now);
        if !self.history(uid, now) {
            return;
        }
        let limits = self.limits;
        if let Some(set) = self.sets.get_mut(&uid) {
            set.creating.retain(|_, one| !matches!(one, Creating::Taken { until } if *until <= now));
            set.failed.retain(|_, (.., at)| now.millis_since(*at) <= 2 * limits.failed_pod_last_millis);
            set.refused.retain(|_, (_, until)| now.millis_since(*until) < 2 * limits.retry_last_millis);
        }
        self.forget_churn(uid, now);
        self.manage_deletes(uid, now);
        let wanted = self.wanted(uid, now);
        self.create(uid, wanted, now);
        let may_roll = self.wanted(uid, now).is_empty()
            && self.excess(uid, now).is_empty()
            && !self.blocked(uid, "creates", now)
            && !self.blocked(uid, "deletes", now);
        if may_roll {
            self.roll(uid, now);
            let nodes = self.surge(uid, now);
            self.create(uid, nodes, now);
        }
        if self.in_flight(uid, "creates") == 0
            && self.wanted(uid, now).is_empty()
            && let Some(set) = self.sets.get_mut(&uid)
        {
            set.batch = 1;
        }
        if !self.blocked(uid, "creates", now) && !self.blocked(uid, "deletes", now) {
            self.clean_up(uid, now);
        }
        self.status(uid, now);
    }

    fn warn_of_names(&mut self, uid: Uid) {
        let Some(set) = self.sets.get_mut(&uid) else { return };
        let value = names(&set.fact).filter(|value| *value != "node").map(str::to_owned);
        let Some(value) = value.filter(|_| !set.warned_of_names) else { return };
        set.warned_of_names = true;
        let message = format!("{POD_NAMES} must be \"node\" and not {value:?}: pods get random names");
        self.event(uid, true, "InvalidPodNames", message);
    }

    // Small helpers.

    fn pod_name(&self, uid: Uid, node: &str) -> Option<Arc<str>> {
        let set = &self.sets[&uid];
        Some(set.fact.pod_name(node, set.hash.as_deref()?)?.into())
    }

    /// The pod that is to be created would have the name of one that is still there, or another one may still come.
    fn is_there(&self, uid: Uid, node: &str) -> bool {
        let (set, name) = (&self.sets[&uid], self.pod_name(uid, node));
        let is_other = |known: &Arc<str>| set.fact.strategy.allows_surge() || name.as_deref() != Some(known);
        let may_come = set.unanswered.get(node).is_some_and(|(known, _)| is_other(known));
        may_come
            || self.pods.values().any(|one| {
                let owner = match self.place(&one.pod) {
                    Place::Member(owner) | Place::Adopting(owner) | Place::Unselected(owner) => Some(owner),
                    Place::Orphan => None,
                };
                owner == Some(uid)
                    && one.pod.node.as_deref() == Some(node)
                    && Some(one.pod.name.as_str()) == name.as_deref()
            })
    }

    fn blocked(&self, uid: Uid, kind: &'static str, now: Time) -> bool {
        self.sets[&uid].retry.get(kind).and_then(|retry| retry.not_before).is_some_and(|at| at > now)
    }

    fn in_flight(&self, uid: Uid, kind: &'static str) -> usize {
        self.sets[&uid].in_flight.get(kind).copied().unwrap_or(0)
    }

    fn ask(&mut self, uid: Uid, kind: &'static str, work: Work, pending: Option<Pending>) {
        self.last_id += 1;
        let Some(set) = self.sets.get_mut(&uid) else { return };
        let key = DaemonSetRef {
            namespace: set.fact.namespace.clone(),
            name: set.fact.name.clone(),
            uid: set.fact.uid,
        };
        if let Some(pending) = pending {
            *set.in_flight.entry(kind).or_default() += 1;
            self.pending.insert(self.last_id, pending);
        }
        self.out.push((self.last_id, Arc::new(key), work));
    }

    fn event(&mut self, uid: Uid, warning: bool, reason: &'static str, message: String) {
        self.ask(uid, "events", Work::RecordEvent(Event { warning, reason, message }), None);
    }

    fn fail(&mut self, uid: Uid, kind: &'static str, now: Time) {
        let limits = self.limits;
        let Some(set) = self.sets.get_mut(&uid) else { return };
        set.retry.entry(kind).or_default().fail(&limits, now);
    }

    fn succeed(&mut self, uid: Uid, kind: &'static str) {
        if let Some(set) = self.sets.get_mut(&uid) {
            set.retry.remove(kind);
        }
    }

    fn cells(&self, uid: Uid) -> Vec<Cell<'_>> {
        let set = &self.sets[&uid];
        let members: Vec<&NaivePod> =
            self.pods.values().filter(|one| self.place(&one.pod) == Place::Member(uid)).collect();
        let adopting = self.pods.values().filter(|one| self.place(&one.pod) == Place::Adopting(uid));
        let adopting: Vec<Option<&str>> = adopting.map(|one| one.pod.node.as_deref()).collect();
        let targets = members.iter().filter_map(|one| one.pod.node.as_deref());
        let mut names: Vec<&str> = self.nodes.keys().map(String::as_str).chain(targets).collect();
        names.sort_unstable();
        names.dedup();
        let cell = |name| {
            let mut pods: Vec<&NaivePod> = members
                .iter()
                .copied()
                .filter(|one| one.pod.node.as_deref() == Some(name))
                .filter(|one| !(one.pod.deleting && one.pod.phase.is_terminal()))
                .collect();
            pods.sort_by_key(|one| (!one.pod.bound, one.pod.created, one.pod.name.clone()));
            let verdict = self.nodes.get(name).map(|node| verdict(set, node));
            let creating = match set.creating.get(name) {
                Some(Creating::Unknown { name: Some(known), .. }) => {
                    set.fact.strategy.allows_surge() || self.pod_name(uid, name).as_deref() != Some(known)
                }
                other => other.is_some(),
            };
            let settled = !creating && !adopting.contains(&Some(name));
            Cell { name, verdict, pods, settled }
        };
        names.into_iter().map(cell).collect()
    }

    fn available(&self, uid: Uid, pod: &Pod, now: Time) -> bool {
        let minimum = i64::from(self.sets[&uid].fact.min_ready_seconds) * 1000;
        pod.ready && (minimum == 0 || pod.ready_since.is_some_and(|since| since.plus_millis(minimum) <= now))
    }

    fn has_hash(&self, uid: Uid, pod: &Pod) -> bool {
        pod.label(HASH_LABEL).unwrap_or_default() == self.sets[&uid].hash.as_deref().unwrap_or_default()
    }

    fn updated(&self, uid: Uid, pod: &Pod) -> bool {
        let set = &self.sets[&uid];
        let generation = set.fact.template_generation.map(|one| one.to_string());
        (set.hash.is_some() && self.has_hash(uid, pod))
            || (generation.is_some() && pod.label(GENERATION_LABEL) == generation.as_deref())
    }

    // 1.G

    fn claim(&mut self, uid: Uid, now: Time) {
        if self.blocked(uid, "patches", now) {
            return;
        }
        let pods: Vec<Pod> = self
            .pods
            .values()
            .filter(|one| !one.patching && !one.delete_sent)
            .map(|one| one.pod.clone())
            .collect();
        for pod in pods {
            let reference = PodRef { name: pod.name.as_str().into(), uid: pod.uid };
            match self.place(&pod) {
                Place::Adopting(owner) if owner == uid => self.patch(uid, Work::AdoptPod(reference), pod.uid),
                Place::Unselected(owner) if owner == uid => {
                    self.patch(uid, Work::ReleasePod(reference), pod.uid)
                }
                _ => {}
            }
        }
    }

    fn patch(&mut self, uid: Uid, work: Work, pod: Uid) {
        if self.in_flight(uid, "patches") >= self.limits.patches_in_flight {
            return;
        }
        if let Some(row) = self.pods.get_mut(&pod) {
            row.patching = true;
        }
        self.ask(uid, "patches", work.clone(), Some(Pending::Patch(uid, pod, work)));
    }

    // 1.I

    fn status(&mut self, uid: Uid, now: Time) {
        let set = &self.sets[&uid];
        let mut status = Status {
            observed_generation: set.fact.generation,
            collision_count: set.stored.collision_count,
            ..Status::default()
        };
        for cell in self.cells(uid) {
            let Some(verdict) = cell.verdict else { continue };
            let first = cell.pods.first().map(|one| &one.pod);
            if !verdict.should_run {
                status.number_misscheduled += i32::from(first.is_some());
                continue;
            }
            status.desired_number_scheduled += 1;
            let Some(first) = first else { continue };
            status.current_number_scheduled += 1;
            status.number_ready += i32::from(first.ready);
            status.number_available += i32::from(self.available(uid, first, now));
            status.updated_number_scheduled += i32::from(self.updated(uid, first));
        }
        status.number_unavailable = status.desired_number_scheduled - status.number_available;
        let same = Status { observed_generation: set.stored.observed_generation, ..status } == set.stored;
        if same && set.stored.observed_generation >= set.fact.generation
            || self.in_flight(uid, "status") > 0
            || self.blocked(uid, "status", now)
            || self.sets[&uid].status_not_before > now
        {
            return;
        }
        let interval = self.limits.status_interval_millis;
        if let Some(set) = self.sets.get_mut(&uid) {
            set.status_not_before = now.plus_millis(interval);
        }
        self.ask(uid, "status", Work::WriteStatus { status }, Some(Pending::Status(uid, status)));
    }
}

fn verdict(set: &Set, node: &Node) -> Verdict {
    let labels: Vec<(&str, &str)> =
        node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let taints: Vec<Taint<'_>> =
        node.taints.iter().map(|(key, value, effect)| Taint { key, value, effect: *effect }).collect();
    let fact = NodeFact { name: &node.name, labels: &labels, taints: &taints, not_ready_since: None };
    debug_assert_eq!(fact.name(), node.name);
    set.fact.template.placement().verdict(&fact)
}

fn names(fact: &DaemonSetFact) -> Option<&str> {
    fact.annotations.iter().find(|(key, _)| key == POD_NAMES).map(|(_, value)| value.as_str())
}

fn reference(fact: &RevisionFact) -> RevisionRef {
    RevisionRef { name: fact.name.clone(), uid: fact.uid, resource_version: fact.resource_version }
}

fn label<'a>(fact: &'a RevisionFact, key: &str) -> &'a str {
    fact.labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str()).unwrap_or_default()
}

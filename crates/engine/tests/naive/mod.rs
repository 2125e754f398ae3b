//! The specification written as plainly as possible: every decision reads the whole world anew.
//!
//! It shares the pure predicates of placement and the revision's bytes with the engine, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_engine::placement::{NodeView as _, Taint, Verdict};
use everynode_engine::pod_body::{GENERATION_LABEL, HASH_LABEL};
use everynode_engine::{
    DaemonSetFact, DaemonSetRef, Event, Failure, Limits, NewPod, NewRevision, NodeFact, Outcome, Phase,
    PodController, PodRef, RevisionFact, RevisionRef, Status, Strategy, Time, Uid, Work, revision,
};

use crate::common::{Node, Pod, Told};

#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    failures: u32,
    not_before: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Creating {
    InFlight,
    Unseen { uid: Uid, version: u64, until: Time },
    Unknown { until: Time },
}

#[derive(Clone, Debug)]
struct NaivePod {
    pod: Pod,
    version: u64,
    delete_sent: bool,
    delete_done: Option<Time>,
    patching: bool,
}

#[derive(Clone, Debug)]
struct NaiveRevision {
    fact: RevisionFact,
    writing: bool,
    delete_sent: bool,
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
    stored: Status,
    version: u64,
    creating: BTreeMap<String, Creating>,
    failed: BTreeMap<String, (i64, i64, Time)>,
    retry: BTreeMap<&'static str, Retry>,
    in_flight: BTreeMap<&'static str, usize>,
    batch: usize,
    batch_failed: bool,
    hash: Option<String>,
    borrowed: Option<Uid>,
    collision: bool,
    status_not_before: Time,
}

#[derive(Clone, Debug)]
enum Pending {
    Create(Uid, String),
    Delete(Uid, PodRef),
    Patch(Uid, Uid, Work),
    History(Uid, Option<Uid>, Work),
    Cleanup(Uid, Uid),
    Status(Uid, Status),
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
            last_id: 0,
            out: Vec::new(),
        }
    }

    pub fn tell(&mut self, told: &Told) {
        match told {
            Told::Node(node) => drop(self.nodes.insert(node.name.clone(), node.clone())),
            Told::NodeGone(name) => drop(self.nodes.remove(name)),
            Told::DaemonSet(fact) => self.daemonset(fact),
            Told::DaemonSetGone(uid) => drop(self.sets.remove(uid)),
            Told::Pod(pod) => self.pod(pod),
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

    /// A complete list: what it does not name is gone.
    pub fn relist_pods(&mut self, pods: &BTreeMap<Uid, Pod>, version: u64) {
        for pod in pods.values() {
            self.pod(pod);
        }
        self.pods.retain(|uid, _| pods.contains_key(uid));
        self.saw(Uid(0), version);
    }

    fn daemonset(&mut self, fact: &DaemonSetFact) {
        let Some(set) = self.sets.get_mut(&fact.uid) else {
            let set = Set {
                fact: fact.clone(),
                stored: fact.status,
                version: 0,
                creating: BTreeMap::new(),
                failed: BTreeMap::new(),
                retry: BTreeMap::new(),
                in_flight: BTreeMap::new(),
                batch: 1,
                batch_failed: false,
                hash: None,
                borrowed: None,
                collision: false,
                status_not_before: Time(i64::MIN),
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
        if set.fact.generation != fact.generation {
            set.retry.retain(|kind, _| matches!(*kind, "patches" | "status"));
        }
        set.fact = fact.clone();
    }

    fn pod(&mut self, pod: &Pod) {
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
                let row = NaivePod {
                    pod: pod.clone(),
                    version,
                    delete_sent: false,
                    delete_done: None,
                    patching: false,
                };
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
                self.revisions.insert(fact.uid, NaiveRevision { fact, writing: false, delete_sent: false });
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
        let expectation = self.limits.expectation_millis;
        for pod in self.pods.values_mut() {
            if pod.delete_sent && pod.delete_done.is_some_and(|at| at.plus_millis(expectation) <= now) {
                (pod.delete_sent, pod.delete_done) = (false, None);
            }
        }
        for uid in self.sets.keys().copied().collect::<Vec<_>>() {
            if !self.sets[&uid].fact.deleting {
                self.sync(uid, now);
            }
        }
        std::mem::take(&mut self.out)
    }

    fn sync(&mut self, uid: Uid, now: Time) {
        self.claim(uid, now);
        if !self.history(uid, now) {
            return;
        }
        let limits = self.limits;
        if let Some(set) = self.sets.get_mut(&uid) {
            set.creating.retain(|_, one| match one {
                Creating::Unseen { until, .. } | Creating::Unknown { until } => *until > now,
                Creating::InFlight => true,
            });
            set.failed.retain(|_, (.., at)| now.millis_since(*at) <= 2 * limits.failed_pod_last_millis);
        }
        self.manage_deletes(uid, now);
        let wanted = self.wanted(uid);
        self.create(uid, wanted, now);
        let may_roll = self.wanted(uid).is_empty()
            && self.excess(uid, now).is_empty()
            && !self.blocked(uid, "creates", now)
            && !self.blocked(uid, "deletes", now);
        if may_roll {
            self.roll(uid, now);
            let nodes = self.surge(uid, now);
            self.create(uid, nodes, now);
        }
        if self.in_flight(uid, "creates") == 0
            && self.wanted(uid).is_empty()
            && let Some(set) = self.sets.get_mut(&uid)
        {
            set.batch = 1;
        }
        if !self.blocked(uid, "creates", now) && !self.blocked(uid, "deletes", now) {
            self.clean_up(uid, now);
        }
        self.status(uid, now);
    }

    // Small helpers.

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
        let retry = set.retry.entry(kind).or_default();
        let delay = (limits.retry_first_millis << retry.failures.min(40)).min(limits.retry_last_millis);
        retry.failures += 1;
        retry.not_before = retry.not_before.max(Some(now.plus_millis(delay)));
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
            let settled = !set.creating.contains_key(name) && !adopting.contains(&Some(name));
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
        let pods: Vec<Pod> =
            self.pods.values().filter(|one| !one.patching).map(|one| one.pod.clone()).collect();
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

    // 1.J

    fn claimed(&self, uid: Uid) -> Vec<&NaiveRevision> {
        let set = &self.sets[&uid];
        let data = revision::data(set.fact.template.value());
        let mut found: Vec<&NaiveRevision> = self
            .revisions
            .values()
            .filter(|row| row.fact.namespace == set.fact.namespace && !row.delete_sent)
            .filter(|row| {
                let owned = row.fact.controller == PodController::DaemonSet(uid)
                    && self.selects(uid, &row.fact.labels);
                owned || set.borrowed == Some(row.fact.uid) && *row.fact.data == *data
            })
            .collect();
        found.sort_by(|a, b| (a.fact.revision, &a.fact.name).cmp(&(b.fact.revision, &b.fact.name)));
        found
    }

    fn write_history(&mut self, uid: Uid, revision: Option<Uid>, work: Work) {
        if let Some(row) = revision.and_then(|one| self.revisions.get_mut(&one)) {
            row.writing = true;
        }
        self.ask(uid, "history", work.clone(), Some(Pending::History(uid, revision, work)));
    }

    fn history(&mut self, uid: Uid, now: Time) -> bool {
        if self.in_flight(uid, "history") > 0 {
            return false;
        }
        let mut claims = Vec::new();
        for row in self.revisions.values().filter(|row| !row.writing && !row.delete_sent) {
            let selected = self.selects(uid, &row.fact.labels);
            if row.fact.namespace != self.sets[&uid].fact.namespace {
                continue;
            }
            match row.fact.controller {
                PodController::DaemonSet(owner) if owner == uid && !selected => {
                    claims.push((row.fact.uid, Work::ReleaseRevision(reference(&row.fact))));
                }
                PodController::Nobody
                    if !row.fact.deleting
                        && self.adopter(&row.fact.namespace, &row.fact.labels) == Some(uid) =>
                {
                    claims.push((row.fact.uid, Work::AdoptRevision(reference(&row.fact))));
                }
                _ => {}
            }
        }
        let steps = if claims.is_empty() {
            self.next_history(uid)
        } else {
            claims.into_iter().map(|(one, work)| (Some(one), work)).collect()
        };
        if steps.is_empty() {
            return self.sets[&uid].hash.is_some();
        }
        if self.blocked(uid, "history", now) {
            return false;
        }
        for (revision, work) in steps {
            match work {
                Work::LabelPod { ref pod, .. } => {
                    if !self.blocked(uid, "patches", now) && !self.pods[&pod.uid].patching {
                        self.patch(uid, work.clone(), pod.uid);
                    }
                }
                work => self.write_history(uid, revision, work),
            }
        }
        false
    }

    /// The writes that the history needs next; none when the current revision is established.
    fn next_history(&mut self, uid: Uid) -> Vec<(Option<Uid>, Work)> {
        let set = &self.sets[&uid];
        let data = revision::data(set.fact.template.value());
        let claimed: Vec<RevisionFact> = self.claimed(uid).into_iter().map(|row| row.fact.clone()).collect();
        if let Some(row) = claimed.iter().find(|row| label(row, HASH_LABEL).is_empty()) {
            let work =
                Work::UpdateRevision { revision: reference(row), number: None, hash: Some(row.name.clone()) };
            return vec![(Some(row.uid), work)];
        }
        let number =
            claimed.iter().filter(|row| *row.data != *data).map(|row| row.revision).max().unwrap_or(0).max(0)
                + 1;
        let matching: Vec<&RevisionFact> = claimed.iter().filter(|row| *row.data == *data).collect();
        let Some(keep) = matching.last() else {
            let count = set.stored.collision_count;
            if set.collision {
                return vec![(
                    None,
                    Work::BumpCollisionCount { expected: count, next: count.unwrap_or(0) + 1 },
                )];
            }
            let hash = revision::hash(&data, count);
            let mut labels = set.fact.template.labels().to_vec();
            labels.push((HASH_LABEL.to_owned(), hash.clone()));
            let name = format!("{}-{hash}", set.fact.name);
            let annotations = set.fact.annotations.clone();
            return vec![(
                None,
                Work::CreateRevision(NewRevision { name, labels, annotations, revision: number, data }),
            )];
        };
        let hash = label(keep, HASH_LABEL).to_owned();
        if matching.len() > 1 {
            let members = self.pods.values().filter(|one| self.place(&one.pod) == Place::Member(uid));
            let stale: Vec<_> = members
                .filter(|one| one.pod.label(HASH_LABEL).unwrap_or_default() != hash)
                .map(|one| {
                    let pod = PodRef { name: one.pod.name.as_str().into(), uid: one.pod.uid };
                    (None, Work::LabelPod { pod, hash: hash.as_str().into() })
                })
                .collect();
            let duplicates = matching[..matching.len() - 1].iter();
            let deletes = duplicates.map(|row| (Some(row.uid), Work::DeleteRevision(reference(row))));
            return if stale.is_empty() { deletes.collect() } else { stale };
        }
        if keep.revision < number {
            let work = Work::UpdateRevision { revision: reference(keep), number: Some(number), hash: None };
            return vec![(Some(keep.uid), work)];
        }
        if let Some(set) = self.sets.get_mut(&uid) {
            set.hash = Some(hash);
        }
        Vec::new()
    }

    fn clean_up(&mut self, uid: Uid, now: Time) {
        if self.blocked(uid, "history", now) {
            return;
        }
        let set = &self.sets[&uid];
        let data = revision::data(set.fact.template.value());
        let claimed = |place| matches!(place, Place::Member(one) | Place::Adopting(one) if one == uid);
        let live: Vec<&str> = self
            .pods
            .values()
            .filter(|one| claimed(self.place(&one.pod)))
            .map(|one| one.pod.label(HASH_LABEL).unwrap_or_default())
            .collect();
        let old: Vec<&NaiveRevision> =
            self.claimed(uid).into_iter().filter(|row| *row.fact.data != *data).collect();
        let excess = old.len().saturating_sub(usize::try_from(set.fact.revision_history_limit).unwrap_or(0));
        let dead = old.into_iter().filter(|row| !live.contains(&label(&row.fact, HASH_LABEL))).take(excess);
        for reference in dead.map(|row| reference(&row.fact)).collect::<Vec<_>>() {
            if let Some(row) = self.revisions.get_mut(&reference.uid) {
                row.delete_sent = true;
            }
            let pending = Pending::Cleanup(uid, reference.uid);
            self.ask(uid, "cleanup", Work::DeleteRevision(reference), Some(pending));
        }
    }

    // 1.D

    fn wanted(&self, uid: Uid) -> Vec<String> {
        let surge = self.sets[&uid].fact.strategy.allows_surge();
        let wants = |cell: &Cell<'_>| {
            let run = cell.verdict == Some(Verdict::RUN) && cell.settled;
            let running = cell.pods.iter().any(|one| !one.leaving() && !one.pod.phase.is_terminal());
            run && (cell.pods.is_empty() || surge && !running)
        };
        self.cells(uid).into_iter().filter(wants).map(|cell| cell.name.to_owned()).collect()
    }

    fn in_backoff(&self, uid: Uid, node: &str, now: Time) -> bool {
        let set = &self.sets[&uid];
        set.failed.get(node).is_some_and(|(generation, delay, at)| {
            *generation == set.stored.observed_generation
                && now.millis_since(*at) < *delay
                && now.millis_since(*at) <= 2 * self.limits.failed_pod_last_millis
        })
    }

    /// Node, pod, and the event's reason if there is one.
    fn excess(&self, uid: Uid, now: Time) -> Vec<(String, Pod, Option<Phase>)> {
        let surge = self.sets[&uid].fact.strategy.allows_surge();
        let mut found = Vec::new();
        for cell in self.cells(uid).into_iter().filter(|cell| cell.settled) {
            let mut delete = |one: &NaivePod, why| found.push((cell.name.to_owned(), one.pod.clone(), why));
            let staying: Vec<&NaivePod> = cell.pods.iter().copied().filter(|one| !one.leaving()).collect();
            let Some(verdict) = cell.verdict else {
                staying.iter().filter(|one| !one.pod.bound).for_each(|one| delete(one, None));
                continue;
            };
            if !verdict.should_continue {
                staying.iter().for_each(|one| delete(one, None));
                continue;
            }
            let mut running = Vec::new();
            let mut waits = self.in_backoff(uid, cell.name, now);
            for one in staying {
                match one.pod.phase {
                    Phase::Failed if !waits => {
                        waits = true;
                        delete(one, Some(Phase::Failed));
                    }
                    Phase::Failed => {}
                    Phase::Succeeded => delete(one, Some(Phase::Succeeded)),
                    _ => running.push(one),
                }
            }
            if !surge {
                running.iter().skip(1).for_each(|one| delete(one, None));
            } else if running.len() > 1 {
                let new: Vec<_> = running.iter().filter(|one| self.has_hash(uid, &one.pod)).collect();
                let old: Vec<_> = running.iter().filter(|one| !self.has_hash(uid, &one.pod)).collect();
                new.iter().skip(1).chain(old.iter().skip(1)).for_each(|one| delete(one, None));
                if let (Some(old), Some(new)) = (old.first(), new.first())
                    && (!old.pod.ready || self.available(uid, &new.pod, now))
                {
                    delete(old, None);
                }
            }
        }
        found
    }

    fn may_delete(&self, uid: Uid, now: Time) -> bool {
        self.in_flight(uid, "deletes") < self.limits.deletes_in_flight && !self.blocked(uid, "deletes", now)
    }

    fn delete(&mut self, uid: Uid, pod: &Pod) {
        if let Some(row) = self.pods.get_mut(&pod.uid) {
            row.delete_sent = true;
        }
        let reference = PodRef { name: pod.name.as_str().into(), uid: pod.uid };
        let pending = Pending::Delete(uid, reference.clone());
        self.ask(uid, "deletes", Work::DeletePod(reference), Some(pending));
    }

    fn manage_deletes(&mut self, uid: Uid, now: Time) {
        for (node, pod, why) in self.excess(uid, now) {
            if !self.may_delete(uid, now) {
                return;
            }
            let text = format!("daemon pod {}/{} on node {node}, will try to", pod.namespace, pod.name);
            match why {
                Some(Phase::Failed) => {
                    self.event(uid, true, "FailedDaemonPod", format!("Found failed {text} kill it"));
                    self.arm(uid, &node, now);
                }
                Some(_) => {
                    self.event(uid, false, "SucceededDaemonPod", format!("Found succeeded {text} delete it"))
                }
                None => {}
            }
            self.delete(uid, &pod);
        }
    }

    fn arm(&mut self, uid: Uid, node: &str, now: Time) {
        let limits = self.limits;
        let Some(set) = self.sets.get_mut(&uid) else { return };
        let generation = set.stored.observed_generation;
        let old = set.failed.get(node).filter(|(one, ..)| *one == generation);
        let delay = old.map_or(limits.failed_pod_first_millis, |(_, delay, _)| {
            (delay * 2).min(limits.failed_pod_last_millis)
        });
        set.failed.insert(node.to_owned(), (generation, delay, now));
    }

    // 1.E and 1.F

    fn budgets(&self, uid: Uid) -> Option<(i32, i32)> {
        let Strategy::RollingUpdate { max_unavailable, max_surge } = self.sets[&uid].fact.strategy else {
            return None;
        };
        let desired = self.desired(uid);
        match (max_unavailable.scaled(desired), max_surge.scaled(desired)) {
            (0, 0) if desired > 0 => Some((1, 0)),
            both => Some(both),
        }
    }

    fn desired(&self, uid: Uid) -> i32 {
        self.cells(uid).iter().filter(|cell| cell.verdict == Some(Verdict::RUN)).count() as i32
    }

    fn old_and_new<'a>(&self, uid: Uid, cell: &Cell<'a>) -> (Vec<&'a NaivePod>, Vec<&'a NaivePod>) {
        let staying = cell.pods.iter().copied().filter(|one| !one.leaving());
        staying.partition(|one| !self.updated(uid, &one.pod))
    }

    fn roll(&mut self, uid: Uid, now: Time) {
        let Some((max_unavailable, max_surge)) = self.budgets(uid) else { return };
        let (mut at_once, mut candidates, mut sunset) = (Vec::new(), Vec::new(), Vec::new());
        let (mut unavailable, mut available, mut missing) = (0, 0, false);
        for cell in self.cells(uid) {
            let run = cell.verdict == Some(Verdict::RUN);
            if !run && cell.pods.is_empty() {
                continue;
            }
            let (old, new) = self.old_and_new(uid, &cell);
            let is_available = |one: &&NaivePod| self.available(uid, &one.pod, now);
            if old.len() > 1 || new.len() > 1 {
                unavailable += 1;
                continue;
            }
            let settled = cell.settled;
            let first = old.first().or(new.first());
            available += i32::from(first.is_some_and(is_available));
            match (old.first(), new.first()) {
                (Some(old), None) if max_surge == 0 => {
                    unavailable += i32::from(!is_available(old));
                    match is_available(old) {
                        _ if !settled => {}
                        true => candidates.push(old.pod.clone()),
                        false => at_once.push(old.pod.clone()),
                    }
                }
                (None, Some(new)) => unavailable += i32::from(!is_available(new)),
                (Some(_), Some(_)) if max_surge == 0 => unavailable += 1,
                (Some(old), Some(new)) if is_available(new) && settled => at_once.push(old.pod.clone()),
                (Some(_), None) if cell.verdict.is_none() => missing = true,
                (Some(old), None) if !run && settled => {
                    if is_available(old) {
                        sunset.push(old.pod.clone())
                    } else {
                        at_once.push(old.pod.clone())
                    }
                }
                (None, None) => unavailable += 1,
                _ => {}
            }
        }
        if max_surge > 0 && missing {
            return;
        }
        candidates.truncate((max_unavailable - unavailable).max(0) as usize);
        sunset.truncate((available - self.desired(uid)).max(0) as usize);
        for pod in at_once.into_iter().chain(candidates).chain(sunset) {
            if self.may_delete(uid, now) {
                self.delete(uid, &pod);
            }
        }
    }

    /// The nodes for a second pod, and how many of them are within the budget at most.
    fn surge(&self, uid: Uid, now: Time) -> Vec<String> {
        let Some((_, max_surge)) = self.budgets(uid).filter(|(_, surge)| *surge > 0) else {
            return Vec::new();
        };
        let (mut now_list, mut candidates, mut surging) = (Vec::new(), Vec::new(), 0);
        for cell in self.cells(uid) {
            let (old, new) = self.old_and_new(uid, &cell);
            if old.len() > 1 || new.len() > 1 {
                surging += 1;
                continue;
            }
            match (old.first(), new.first()) {
                (Some(_), Some(new)) => surging += i32::from(!self.available(uid, &new.pod, now)),
                (Some(_), None) if cell.verdict.is_none() => return Vec::new(),
                (Some(_), None) if !cell.settled => surging += 1,
                (Some(old), None) if cell.verdict == Some(Verdict::RUN) => {
                    let name = cell.name.to_owned();
                    if self.available(uid, &old.pod, now) {
                        candidates.push(name)
                    } else {
                        now_list.push(name)
                    }
                }
                _ => {}
            }
        }
        candidates.truncate((max_surge - surging - now_list.len() as i32).max(0) as usize);
        now_list.into_iter().chain(candidates).collect()
    }

    fn create(&mut self, uid: Uid, nodes: Vec<String>, now: Time) {
        if self.in_flight(uid, "creates") > 0 || self.blocked(uid, "creates", now) {
            return;
        }
        let batch = self.sets[&uid].batch;
        for node in nodes.into_iter().take(batch) {
            let Some(set) = self.sets.get_mut(&uid) else { return };
            let new = NewPod {
                node: node.as_str().into(),
                template: set.fact.template.clone(),
                hash: set.hash.clone().unwrap_or_default().into(),
                template_generation: set.fact.template_generation,
            };
            set.creating.insert(node.clone(), Creating::InFlight);
            self.ask(uid, "creates", Work::CreatePod(new), Some(Pending::Create(uid, node)));
        }
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

    // Outcomes.

    pub fn finished(&mut self, id: u64, outcome: Outcome, now: Time) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let (uid, kind) = match &pending {
            Pending::Create(uid, _) => (*uid, "creates"),
            Pending::Delete(uid, _) => (*uid, "deletes"),
            Pending::Patch(uid, ..) => (*uid, "patches"),
            Pending::History(uid, ..) => (*uid, "history"),
            Pending::Cleanup(uid, _) => (*uid, "cleanup"),
            Pending::Status(uid, _) => (*uid, "status"),
        };
        if let Some(count) = self.sets.get_mut(&uid).and_then(|set| set.in_flight.get_mut(kind)) {
            *count -= 1;
        }
        match pending {
            Pending::Create(uid, node) => self.created(uid, &node, outcome, now),
            Pending::Delete(uid, pod) => self.deleted(uid, &pod, outcome, now),
            Pending::Patch(uid, pod, work) => self.patched(uid, pod, &work, outcome, now),
            Pending::History(uid, revision, work) => self.history_written(uid, revision, &work, outcome, now),
            Pending::Cleanup(uid, revision) => match outcome {
                Outcome::Done | Outcome::Gone => {}
                _ => {
                    if let Some(row) = self.revisions.get_mut(&revision) {
                        row.delete_sent = false;
                    }
                    self.fail(uid, "history", now);
                }
            },
            Pending::Status(uid, status) => self.status_written(uid, status, outcome, now),
        }
    }

    fn created(&mut self, uid: Uid, node: &str, outcome: Outcome, now: Time) {
        let limits = self.limits;
        let mut next = None;
        match outcome {
            Outcome::PodCreated { name, uid: pod, resource_version: version } => {
                self.event(uid, false, "SuccessfulCreate", format!("Created pod: {name}"));
                if !self.pods.contains_key(&pod) && version > self.pods_seen {
                    next = Some(Creating::Unseen {
                        uid: pod,
                        version,
                        until: now.plus_millis(limits.expectation_millis),
                    });
                }
            }
            Outcome::Failed { failure: Failure::NamespaceTerminating, .. } => {
                if let Some(set) = self.sets.get_mut(&uid) {
                    let retry = set.retry.entry("creates").or_default();
                    retry.not_before = retry.not_before.max(Some(now.plus_millis(limits.expectation_millis)));
                }
            }
            Outcome::Failed { failure, message } => {
                self.event(uid, true, "FailedCreate", format!("Error creating: {message}"));
                if let Some(set) = self.sets.get_mut(&uid) {
                    set.batch_failed = true;
                }
                let until = now.plus_millis(limits.unknown_outcome_millis);
                next = (failure == Failure::Unknown).then_some(Creating::Unknown { until });
            }
            other => panic!("{other:?}"),
        }
        let Some(set) = self.sets.get_mut(&uid) else { return };
        if set.creating.get(node) == Some(&Creating::InFlight) {
            set.creating.remove(node);
            set.creating.extend(next.map(|next| (node.to_owned(), next)));
        }
        if set.in_flight.get("creates") != Some(&0) {
            return;
        }
        if std::mem::take(&mut set.batch_failed) {
            set.batch = 1;
            self.fail(uid, "creates", now);
        } else if !self.blocked(uid, "creates", now) {
            if let Some(set) = self.sets.get_mut(&uid) {
                set.batch = (set.batch * 2).min(limits.creates_in_flight);
            }
            self.succeed(uid, "creates");
        }
    }

    fn deleted(&mut self, uid: Uid, pod: &PodRef, outcome: Outcome, now: Time) {
        match outcome {
            Outcome::Done => {
                self.succeed(uid, "deletes");
                self.event(uid, false, "SuccessfulDelete", format!("Deleted pod: {}", pod.name));
                if let Some(row) = self.pods.get_mut(&pod.uid) {
                    row.delete_done = Some(now);
                }
            }
            Outcome::Gone => {
                self.succeed(uid, "deletes");
                self.pods.remove(&pod.uid);
            }
            Outcome::Failed { message, .. } => {
                self.fail(uid, "deletes", now);
                self.event(uid, true, "FailedDelete", format!("Error deleting: {message}"));
                if let Some(row) = self.pods.get_mut(&pod.uid) {
                    row.delete_sent = false;
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn patched(&mut self, uid: Uid, pod: Uid, work: &Work, outcome: Outcome, now: Time) {
        let place = self.pods.get(&pod).map(|one| self.place(&one.pod));
        if let Some(row) = self.pods.get_mut(&pod) {
            row.patching = matches!((work, &outcome), (Work::ReleasePod(_), Outcome::Done))
                && place == Some(Place::Unselected(uid));
        }
        match outcome {
            Outcome::Gone => drop(self.pods.remove(&pod)),
            Outcome::Done => self.succeed(uid, "patches"),
            Outcome::PodPatched { resource_version } => {
                self.succeed(uid, "patches");
                let Some(row) = self.pods.get_mut(&pod).filter(|row| row.version < resource_version) else {
                    return;
                };
                match work {
                    Work::AdoptPod(_) if place == Some(Place::Adopting(uid)) => {
                        row.pod.controller = PodController::DaemonSet(uid);
                    }
                    Work::LabelPod { hash, .. } if place == Some(Place::Member(uid)) => {
                        row.pod.labels.retain(|(key, _)| key != HASH_LABEL);
                        row.pod.labels.push((HASH_LABEL.to_owned(), hash.to_string()));
                    }
                    _ => return,
                }
                row.version = resource_version - 1;
            }
            _ => self.fail(uid, "patches", now),
        }
    }

    fn history_written(&mut self, uid: Uid, revision: Option<Uid>, work: &Work, outcome: Outcome, now: Time) {
        if let Some(row) = revision.and_then(|one| self.revisions.get_mut(&one)) {
            row.writing = false;
        }
        match (work, outcome) {
            (_, Outcome::Revision(fact)) => self.written(*fact),
            (_, Outcome::RevisionExists(fact)) => {
                let Some(set) = self.sets.get_mut(&uid) else { return };
                let equal = *revision::data(set.fact.template.value()) == *fact.data;
                set.collision = !equal;
                if equal {
                    set.borrowed = Some(fact.uid);
                    self.written(*fact);
                }
            }
            (Work::ReleaseRevision(one), Outcome::Done) => {
                if let Some(row) = self.revisions.get_mut(&one.uid) {
                    row.fact.controller = PodController::Nobody;
                }
            }
            (_, Outcome::CollisionCount { count, resource_version }) => {
                if let Some(set) = self.sets.get_mut(&uid) {
                    set.stored.collision_count = Some(count);
                    set.version = set.version.max(resource_version);
                    set.collision = false;
                }
                self.fail(uid, "history", now);
                return;
            }
            (_, Outcome::Done | Outcome::Gone) if revision.is_some() => {
                if let Some(row) = revision.and_then(|one| self.revisions.get_mut(&one)) {
                    row.delete_sent = true;
                }
            }
            _ => {
                if let Some(set) = self.sets.get_mut(&uid) {
                    set.collision = false;
                }
                self.fail(uid, "history", now);
                return;
            }
        }
        self.succeed(uid, "history");
    }

    fn status_written(&mut self, uid: Uid, status: Status, outcome: Outcome, now: Time) {
        let Outcome::StatusWritten { resource_version } = outcome else {
            self.fail(uid, "status", now);
            return;
        };
        self.succeed(uid, "status");
        let Some(set) = self.sets.get_mut(&uid).filter(|set| set.version <= resource_version) else { return };
        set.version = resource_version;
        set.stored = Status { collision_count: set.stored.collision_count, ..status };
    }
}

fn verdict(set: &Set, node: &Node) -> Verdict {
    let labels: Vec<(&str, &str)> =
        node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let taints: Vec<Taint<'_>> =
        node.taints.iter().map(|(key, value, effect)| Taint { key, value, effect: *effect }).collect();
    let fact = NodeFact { name: &node.name, labels: &labels, taints: &taints };
    debug_assert_eq!(fact.name(), node.name);
    set.fact.template.placement().verdict(&fact)
}

fn reference(fact: &RevisionFact) -> RevisionRef {
    RevisionRef { name: fact.name.clone(), uid: fact.uid, resource_version: fact.resource_version }
}

fn label<'a>(fact: &'a RevisionFact, key: &str) -> &'a str {
    fact.labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str()).unwrap_or_default()
}

//! One DaemonSet on one node: what the specification's manage, rolling update and status say about it.
//!
//! Everything here is computed from the assignment's own pods, so that an event costs the same however large the
//! fleet is.

use smallvec::SmallVec;

use crate::assignment::FailedBackoff;
use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::facts::{Phase, Strategy};
use crate::ids::{NodeId, PodId};
use crate::mark;
use crate::placement::Verdict;
use crate::pods::{NEVER, Place, PodRow};
use crate::tables::Tables;

/// A pod of an assignment, as decisions see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub id: PodId,
    pub leaving: bool,
    /// It runs, and its deletion was asked for and has not been seen: it may stay.
    pub may_stay: bool,
    pub phase: Phase,
    pub bound: bool,
    pub ready: bool,
    pub available: bool,
    /// When it will be available if it stays ready.
    pub available_at: Option<Time>,
    /// Made from the current template, by label or generation ([F1](crate::spec#f1)).
    pub updated: bool,
    /// Made from the current template, by label only ([D11](crate::spec#d11)).
    pub has_hash: bool,
}

/// An assignment at one time.
#[derive(Debug)]
pub(crate) struct View {
    /// `None`: the node is gone.
    pub verdict: Option<Verdict>,
    /// The claimed pods that are there ([D2](crate::spec#d2)), in the order of [D8](crate::spec#d8).
    pub pods: SmallVec<[Member; 2]>,
    /// A pod was asked for and has not been seen ([H3](crate::spec#h3)).
    pub creating: bool,
    /// A pod is to be adopted first ([G3](crate::spec#g3)).
    pub adopting: bool,
    /// Failed pods are kept until this time ([D6](crate::spec#d6)).
    pub backoff_until: Option<Time>,
}

/// Why manage deletes a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It failed ([D5](crate::spec#d5)).
    Failed,
    /// It ended well ([D5](crate::spec#d5)).
    Succeeded,
    /// There are too many, or it must not be on the node ([D8](crate::spec#d8), [D11](crate::spec#d11),
    /// [D12](crate::spec#d12), [D13](crate::spec#d13)).
    Unwanted,
}

/// The pods of an assignment as far as the roll-out sees them: those that are not terminating, by template.
enum Roll<'a> {
    NotOk,
    Neither,
    Old(&'a Member),
    New(&'a Member),
    Both(&'a Member, &'a Member),
}

/// When a pod is available ([F3](crate::spec#f3)) that is ready, since then if that is known; `None` when it takes time,
/// and nobody knows since when.
pub fn available_at(ready_since: Option<Time>, min_ready_seconds: i32) -> Option<Time> {
    match min_ready_seconds {
        0 => Some(NEVER),
        seconds => ready_since.map(|since| since.plus_millis(i64::from(seconds) * 1000)),
    }
}

/// Whether a pod is available, or when it will be.
pub(crate) fn availability(pod: &PodRow, min_ready_seconds: i32, now: Time) -> (bool, Option<Time>) {
    let ready_since = Some(pod.ready_since).filter(|since| *since != NEVER);
    let at = available_at(ready_since, min_ready_seconds).filter(|_| pod.ready);
    (at.is_some_and(|at| at <= now), at.filter(|at| *at > now))
}

/// When the next failed pod of a node may be deleted, if that is not now ([D6](crate::spec#d6)).
pub(crate) fn backoff_until(
    entry: Option<&FailedBackoff>,
    observed_generation: i64,
    last_millis: i64,
    now: Time,
) -> Option<Time> {
    let entry = entry.filter(|entry| entry.generation == observed_generation)?;
    let until = entry.updated.plus_millis(entry.delay_millis);
    let is_forgotten = now.millis_since(entry.updated) > 2 * last_millis;
    (!is_forgotten && now < until).then_some(until)
}

/// The pods of an assignment, as far as they are there ([D2](crate::spec#d2)).
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Those that the DaemonSet has claimed, in the order of [D8](crate::spec#d8).
    pub claimed: SmallVec<[Member; 2]>,
    /// Others wait for adoption.
    pub adopting: bool,
}

/// The pods of one DaemonSet on one node: what all that is decided about them begins with, with a policy and without.
pub(crate) fn members(daemonset: &DaemonSetState, tables: &Tables, node: NodeId, now: Time) -> Members {
    let mut found: SmallVec<[(PodId, &PodRow); 2]> = SmallVec::new();
    let mut adopting = false;
    let mut next = daemonset.assignments.get(&node).map_or(PodId::NONE, |assignment| assignment.first);
    while let Some(row) = tables.pods.get(next) {
        match row.place {
            Place::Adopting(_) => adopting = true,
            _ if !row.is_ignored() => found.push((next, row)),
            _ => {}
        }
        next = row.next;
    }
    if found.len() > 1 {
        found.sort_by(|(_, a), (_, b)| (!a.bound, a.created, &a.name).cmp(&(!b.bound, b.created, &b.name)));
    }
    let min_ready_seconds = daemonset.spec.as_ref().map_or(0, |spec| spec.fact.min_ready_seconds);
    let hash = daemonset.current.as_ref().map_or("", |current| &*current.hash);
    let member = |(id, row): (PodId, &PodRow)| {
        let (available, available_at) = availability(row, min_ready_seconds, now);
        Member {
            id,
            leaving: row.is_leaving(),
            may_stay: row.delete_sent && !row.phase.is_terminal(),
            phase: row.phase,
            bound: row.bound,
            ready: row.ready,
            available,
            available_at,
            updated: daemonset.is_updated(&tables.labels, row.labels),
            has_hash: tables.labels.hash(row.labels) == hash,
        }
    };
    Members { claimed: found.into_iter().map(member).collect(), adopting }
}

/// Looks at an assignment.
pub(crate) fn view(daemonset: &mut DaemonSetState, tables: &Tables, node: NodeId, now: Time) -> View {
    let verdict = tables.nodes.is_present(node).then(|| daemonset.verdict(&tables.nodes, node));
    let Members { claimed, adopting } = members(daemonset, tables, node, now);
    View {
        verdict,
        pods: claimed,
        creating: daemonset.is_creating(&tables.nodes, node),
        adopting,
        backoff_until: backoff_until(
            daemonset.failed.get(&node),
            daemonset.stored.observed_generation,
            tables.limits.failed_pod_last_millis,
            now,
        ),
    }
}

impl View {
    /// The node should run a pod.
    fn should_run(&self) -> bool {
        self.verdict.is_some_and(|verdict| verdict.should_run)
    }

    /// Nothing is under way here that the watch has not shown yet ([H3](crate::spec#h3)).
    fn is_settled(&self) -> bool {
        !self.creating && !self.adopting
    }

    /// No deletion is under way whose effect has not been seen: a second pod would be no third, and the one that stays
    /// is known.
    fn has_room(&self) -> bool {
        !self.pods.iter().any(|pod| pod.may_stay)
    }

    /// All marks of the assignment.
    pub fn marks(&self, strategy: Strategy) -> u32 {
        let (create, deletes) = self.manage(strategy.allows_surge());
        let mut marks = self.status_marks() | self.roll_marks(strategy);
        marks |= if create { mark::CREATE } else { 0 };
        marks |= if deletes.is_empty() { 0 } else { mark::DELETE };
        marks
    }

    /// What the node counts as in status ([I1](crate::spec#i1), [I2](crate::spec#i2), [I4](crate::spec#i4)).
    fn status_marks(&self) -> u32 {
        let first = self.pods.first();
        if !self.should_run() {
            let counts = self.verdict.is_some() && first.is_some();
            return if counts { mark::MISSCHEDULED } else { 0 };
        }
        let Some(first) = first else { return mark::DESIRED };
        let mut marks = mark::DESIRED | mark::CURRENT;
        marks |= if first.ready { mark::READY } else { 0 };
        marks |= if first.available { mark::AVAILABLE } else { 0 };
        marks |= if first.updated { mark::UPDATED } else { 0 };
        marks
    }

    /// Whether a pod is to be created, and which ones are to be deleted ([D3](crate::spec#d3) to
    /// [D13](crate::spec#d13)).
    pub fn manage(&self, allows_surge: bool) -> (bool, SmallVec<[(PodId, Why); 2]>) {
        let none = SmallVec::new();
        if !self.is_settled() {
            return (false, none);
        }
        let staying = || self.pods.iter().filter(|pod| !pod.leaving);
        let Some(verdict) = self.verdict else {
            // The node is gone: only pods that are not bound to it are ours to delete (D13).
            return (false, staying().filter(|pod| !pod.bound).map(|pod| (pod.id, Why::Unwanted)).collect());
        };
        if verdict.should_run && self.pods.is_empty() {
            return (true, none);
        }
        if !verdict.should_continue {
            return (false, staying().map(|pod| (pod.id, Why::Unwanted)).collect());
        }
        let mut deletes = none;
        let mut running: SmallVec<[&Member; 2]> = SmallVec::new();
        let mut in_backoff = self.backoff_until.is_some();
        for pod in staying() {
            match pod.phase {
                Phase::Failed if in_backoff => {}
                Phase::Failed => {
                    deletes.push((pod.id, Why::Failed));
                    in_backoff = true;
                }
                Phase::Succeeded => deletes.push((pod.id, Why::Succeeded)),
                _ => running.push(pod),
            }
        }
        let create = allows_surge && running.is_empty() && verdict.should_run && self.has_room();
        let excess: SmallVec<[&Member; 2]> =
            if allows_surge { surge_excess(&running) } else { running.into_iter().skip(1).collect() };
        deletes.extend(excess.into_iter().map(|pod| (pod.id, Why::Unwanted)));
        (create, deletes)
    }

    fn roll(&self) -> Roll<'_> {
        let mut old = self.pods.iter().filter(|pod| !pod.leaving && !pod.updated);
        let mut new = self.pods.iter().filter(|pod| !pod.leaving && pod.updated);
        match (old.next(), new.next(), old.next(), new.next()) {
            (_, _, Some(_), _) | (_, _, _, Some(_)) => Roll::NotOk,
            (None, None, ..) => Roll::Neither,
            (Some(old), None, ..) => Roll::Old(old),
            (None, Some(new), ..) => Roll::New(new),
            (Some(old), Some(new), ..) => Roll::Both(old, new),
        }
    }

    /// What the node counts as in a rolling update, and what can be done here (1.F).
    fn roll_marks(&self, strategy: Strategy) -> u32 {
        let counts = self.should_run() || !self.pods.is_empty();
        if strategy == Strategy::OnDelete || !counts {
            return 0;
        }
        let marks = self.replace_marks();
        if strategy.allows_surge() { marks | self.surge_marks() } else { marks }
    }

    /// [F4](crate::spec#f4) and [F5](crate::spec#f5): without surge.
    fn replace_marks(&self) -> u32 {
        match self.roll() {
            Roll::New(new) if new.available => 0,
            Roll::Old(old) if old.available => self.when_settled(mark::CANDIDATE),
            Roll::Old(_) => mark::UNAVAILABLE | self.when_settled(mark::REPLACE),
            _ => mark::UNAVAILABLE,
        }
    }

    /// [F8](crate::spec#f8) to [F11](crate::spec#f11): with surge. A pod that was asked for counts as the new
    /// one that is not available yet.
    fn surge_marks(&self) -> u32 {
        let available = |pod: &Member| if pod.available { mark::ROLL_AVAILABLE } else { 0 };
        match self.roll() {
            Roll::NotOk => mark::SURGING,
            Roll::Neither => 0,
            Roll::New(new) => available(new),
            Roll::Both(old, new) if new.available => available(old) | self.when_settled(mark::SURGE_DELETE),
            Roll::Both(old, _) => available(old) | mark::SURGING,
            Roll::Old(old) if self.verdict.is_none() => available(old) | mark::MISSING_OLD,
            Roll::Old(old) if !self.is_settled() || self.should_run() && !self.has_room() => {
                available(old) | mark::SURGING
            }
            Roll::Old(old) => available(old) | self.surge_step(old),
        }
    }

    /// [F10](crate::spec#f10).
    fn surge_step(&self, old: &Member) -> u32 {
        match (self.should_run(), old.available) {
            (true, true) => mark::SURGE_CANDIDATE,
            (true, false) => mark::SURGE_NOW,
            (false, true) => mark::SUNSET,
            (false, false) => mark::SURGE_DELETE,
        }
    }

    /// A roll-out deletes one pod of a node at a time, as expectations have it
    /// ([H2](crate::spec#h2)): when another one is about to go, this may be the one that stays.
    fn when_settled(&self, marks: u32) -> u32 {
        if self.is_settled() && self.has_room() { marks } else { 0 }
    }

    /// The one old pod of the assignment, for the marks that ask for its deletion.
    pub fn old_pod(&self) -> Option<PodId> {
        match self.roll() {
            Roll::Old(old) | Roll::Both(old, _) => Some(old.id),
            _ => None,
        }
    }

    /// When the assignment must be looked at again although nothing happens.
    pub fn wake(&self) -> Option<Time> {
        let has_failed = self.pods.iter().any(|pod| !pod.leaving && pod.phase == Phase::Failed);
        let backoff = self.backoff_until.filter(|_| has_failed);
        self.pods.iter().filter_map(|pod| pod.available_at).chain(backoff).min()
    }
}

/// Which of two or more running pods go when surge is allowed ([D11](crate::spec#d11)).
fn surge_excess<'a>(running: &[&'a Member]) -> SmallVec<[&'a Member; 2]> {
    let mut excess = SmallVec::new();
    let (mut oldest_new, mut oldest_old) = (None, None);
    if running.len() < 2 {
        return excess;
    }
    for &pod in running {
        let keep = if pod.has_hash { &mut oldest_new } else { &mut oldest_old };
        if keep.is_none() {
            *keep = Some(pod);
        } else {
            excess.push(pod);
        }
    }
    if let (Some(old), Some(new)) = (oldest_old, oldest_new)
        && (!old.ready || new.available)
    {
        excess.push(old);
    }
    excess
}

//! Why a daemon is, or is not, on a node: the answer of [`crate::Engine::explain`].

use everynode_model::LabelSelector;

use crate::base::{Time, Uid};
use crate::coverage::Service;
use crate::daemonset::DaemonSetState;
use crate::engine::Engine;
use crate::facts::Phase;
use crate::ids::NodeId;
use crate::mark;
use crate::placement::{Reason, Verdict};
use crate::pods::PodRow;
use crate::rollout::Budget;
use crate::view::{availability, backoff_until};

/// What the engine knows about one DaemonSet on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether placement looks at this node at all.
    pub standing: Standing,
    /// What the node gets and keeps.
    pub verdict: Verdict,
    /// The predicate that decided; `None` when there was nothing to decide about.
    pub reason: Option<Reason>,
    /// The pods of the DaemonSet that are for this node, in the order of [D8](crate::spec#d8).
    pub pods: Vec<PodState>,
    /// A pod was asked for and has not been seen yet.
    pub creating: bool,
    /// The node counts against the budget of the roll-out: maxUnavailable ([F4](crate::spec#f4)) or maxSurge
    /// ([F8](crate::spec#f8), [F11](crate::spec#f11)).
    pub uses_budget: bool,
    /// What the node is to the DaemonSet, as of the latest decision; `None` when it should not run a pod.
    pub service: Option<Service>,
    /// What the old pod of the node waits for; `None` when it has none.
    pub waiting: Option<Waiting>,
    /// Writes of the DaemonSet that failed, or the creation on this node, are not repeated before this time.
    pub retry_at: Option<Time>,
}

/// Whether placement looks at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Both are known.
    Known,
    /// There is no such node.
    NodeMissing,
    /// The DaemonSet is being deleted: nothing is created or deleted ([M3](crate::spec#m3)).
    Deleting,
    /// The DaemonSet's selector selects everything: it is left alone ([M6](crate::spec#m6)).
    SelectsEverything,
    /// The revision for the template is not established yet, so nothing is decided.
    WaitingForRevision,
}

/// What an old pod waits for, the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The new pod beside it is to become available.
    NewPod,
    /// Several policies select the DaemonSet: none is followed.
    Conflict,
    /// Its policy says when it goes: [`crate::Engine::rollout_nodes`].
    Policy,
    /// Somebody is to delete it ([F15](crate::spec#f15)).
    Deletion,
    /// Other nodes get what they lack, and lose what is too much, first ([F0](crate::spec#f0)).
    OtherNodes,
    /// As many nodes as may be are without an available pod, or have two.
    Budget,
    /// It goes next, or after others by name.
    Turn,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodState {
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: Uid,
    /// status.phase.
    pub phase: Phase,
    /// spec.nodeName is set.
    pub bound: bool,
    /// The Ready condition is True.
    pub ready: bool,
    /// Ready for minReadySeconds.
    pub available: bool,
    /// When it will be, if it stays ready.
    pub available_at: Option<Time>,
    /// Made from the current template ([F1](crate::spec#f1)).
    pub updated: bool,
    /// metadata.deletionTimestamp is set.
    pub terminating: bool,
    /// The engine has asked for its deletion.
    pub delete_requested: bool,
    /// The pod failed, and its deletion waits until this time ([D5](crate::spec#d5)).
    pub backoff_until: Option<Time>,
}

impl Standing {
    /// How a DaemonSet stands on the nodes that there are.
    pub(crate) fn of(daemonset: &DaemonSetState) -> Standing {
        match &daemonset.spec {
            Some(spec) if spec.fact.selector == LabelSelector::Everything => Standing::SelectsEverything,
            Some(spec) if spec.fact.deleting => Standing::Deleting,
            _ if daemonset.current.is_none() => Standing::WaitingForRevision,
            _ => Standing::Known,
        }
    }
}

impl Engine {
    /// Why the DaemonSet is, or is not, on the node; `None` when there is no such DaemonSet.
    pub fn explain(&self, namespace: &str, name: &str, node: &str, now: Time) -> Option<Explanation> {
        let daemonset = self.daemonset(namespace, name)?;
        let spec = daemonset.spec.as_ref()?;
        let node = self.tables.nodes.find(node);
        let present = node.filter(|node| self.tables.nodes.is_present(*node));
        let placement = spec.fact.template.placement();
        let retries = &daemonset.retries;
        let blocked =
            [retries.creates, retries.deletes, retries.patches, retries.history].map(|one| one.blocked(now));
        let refused = node.and_then(|node| daemonset.refused.get(&node)).map(|refusal| refusal.until);
        let braked = node.and_then(|node| self.tables.braked_until(daemonset, node, now));
        let refused = refused.filter(|until| *until > now).max(braked);
        let assignment = node.and_then(|node| daemonset.assignments.get(&node));
        let pods = node.map(|node| self.pod_states(daemonset, node, now)).unwrap_or_default();
        Some(Explanation {
            standing: present.map_or(Standing::NodeMissing, |_| Standing::of(daemonset)),
            verdict: present.map_or(Verdict::AWAY, |node| placement.verdict(&self.tables.nodes.view(node))),
            reason: present.map(|node| placement.reason(&self.tables.nodes.view(node))),
            waiting: self.waiting(daemonset, &pods),
            pods,
            creating: node.is_some_and(|node| daemonset.creating.contains_key(&node)),
            uses_budget: assignment
                .is_some_and(|assignment| assignment.marks & (mark::UNAVAILABLE | mark::SURGING) != 0),
            service: assignment.and_then(|assignment| assignment.service),
            retry_at: blocked.into_iter().flatten().chain(refused).max(),
        })
    }

    /// The budget of a DaemonSet's roll-outs and how much of it is used up, as of the latest decision; `None` when
    /// there is no such DaemonSet, or when it does not roll.
    pub fn budget(&self, namespace: &str, name: &str) -> Option<(Budget, i32)> {
        let daemonset = self.daemonset(namespace, name)?;
        let budget = Budget::of(daemonset)?;
        Some((budget, budget.used_by(daemonset)))
    }

    fn waiting(&self, daemonset: &DaemonSetState, pods: &[PodState]) -> Option<Waiting> {
        let staying = || pods.iter().filter(|pod| !pod.terminating);
        if staying().all(|pod| pod.updated) {
            return None;
        }
        let comes_first = |queue| !daemonset.queue(queue).is_empty();
        Some(match Budget::of(daemonset) {
            _ if staying().any(|pod| pod.updated) => Waiting::NewPod,
            _ if daemonset.is_contested => Waiting::Conflict,
            _ if self.daemonsets.rollout(daemonset.id).is_some() => Waiting::Policy,
            None => Waiting::Deletion,
            Some(_) if comes_first(mark::CREATE) || comes_first(mark::DELETE) => Waiting::OtherNodes,
            Some(budget) if budget.used_by(daemonset) >= budget.nodes() => Waiting::Budget,
            Some(_) => Waiting::Turn,
        })
    }

    fn pod_states(&self, daemonset: &DaemonSetState, node: NodeId, now: Time) -> Vec<PodState> {
        let mut rows: Vec<&PodRow> = Vec::new();
        let mut next = daemonset.assignments.get(&node).map(|assignment| assignment.first);
        while let Some(row) = next.and_then(|id| self.tables.pods.get(id)) {
            rows.push(row);
            next = Some(row.next);
        }
        rows.sort_by_key(|row| (!row.bound, row.created, row.name.clone()));
        rows.into_iter().map(|row| self.pod_state(daemonset, node, row, now)).collect()
    }

    fn pod_state(&self, daemonset: &DaemonSetState, node: NodeId, row: &PodRow, now: Time) -> PodState {
        let min_ready_seconds = daemonset.spec.as_ref().map_or(0, |spec| spec.fact.min_ready_seconds);
        let last_millis = self.tables.limits.failed_pod_last_millis;
        let backoff = backoff_until(
            daemonset.failed.get(&node),
            daemonset.stored.observed_generation,
            last_millis,
            now,
        );
        let (available, available_at) = availability(row, min_ready_seconds, now);
        PodState {
            name: row.name.to_string(),
            uid: row.uid,
            phase: row.phase,
            bound: row.bound,
            ready: row.ready,
            available,
            available_at,
            updated: daemonset.is_updated(&self.tables.labels, row.labels),
            terminating: row.deleting,
            delete_requested: row.delete_sent,
            backoff_until: backoff.filter(|_| row.phase == Phase::Failed),
        }
    }
}

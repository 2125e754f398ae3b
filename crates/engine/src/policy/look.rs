//! What is looked at before a decision about a roll-out under a policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Time, Uid};
use crate::daemonset::DaemonSetState;
use crate::facts::{Failure, Outcome};
use crate::ids::{NodeId, PodId};
use crate::tables::Tables;

use super::NodeFailure;
use super::node_state::{Health, NodeState, Turn};
use super::nodes::Rules;
use super::notes::StoredNotes;
use super::rollout::RolloutState;
use super::spec::PolicyFact;

/// A node that failed, and why.
pub(super) type Found = (Arc<Turn>, String);

impl Tables {
    /// What was known of the roll-out when the policy was seen first.
    pub(super) fn take_up(
        &mut self,
        daemonset: &DaemonSetState,
        rollout: &mut RolloutState,
        hash: &Arc<str>,
        now: Time,
    ) {
        rollout.is_known = true;
        let policy = rollout.policy.clone();
        let said = policy.status.rollouts.get(&daemonset.key.name);
        let states = self.survey(daemonset, &policy.spec, hash, now);
        let stored = said.map(StoredNotes::read).unwrap_or_default();
        let is_incomplete = stored.is_incomplete();
        if let Some(said) = said {
            rollout.resume(said);
            rollout.resume_analysis(said, &states);
            rollout.notes = stored.resolve(states.iter().map(NodeState::name), now);
        } else {
            rollout.begin(hash, Tables::own_digest(daemonset), now);
            self.take_old_for_good(daemonset, rollout, &states);
            rollout.note_if_on_all(&states);
        }
        if rollout.hash.as_ref() == Some(hash) {
            rollout.digest = Tables::own_digest(daemonset);
        }
        // Somebody had it tried again, and these may not have been replaced yet.
        let again_at = rollout.started_at.unwrap_or_default().second();
        let had_failed = |state: &&NodeState| {
            let new = state.new.filter(|new| !new.ready);
            new.is_some_and(|new| new.created < again_at && new.changed < again_at)
        };
        if rollout.attempt > 0 && !rollout.phase.is_ended() {
            rollout.again = states.iter().filter(had_failed).map(|state| state.name().clone()).collect();
        }
        // Who took these away cannot be told: they count, to be safe, but for what was broken before the roll-out. In a
        // first roll-out nothing is taken away.
        let is_same = rollout.hash.as_ref() == Some(hash);
        let has_old = states.iter().any(|state| state.old.is_some()) || self.has_other_revisions(daemonset);
        let is_first = is_same && rollout.last_good.is_none() && !has_old;
        let begun = rollout.started_at.unwrap_or_default();
        let is_ours = |state: &&NodeState| {
            let is_excused = is_same && rollout.noted(state.name()).is_exempt;
            let was_broken = state.old.is_some_and(|old| old.created < begun);
            !state.is_available() && state.health == Health::Well && !is_excused && !was_broken && !is_first
        };
        let ours: Vec<Arc<str>> = states.iter().filter(is_ours).map(|state| state.name().clone()).collect();
        ours.into_iter().for_each(|name| rollout.notes.count_as_disrupted(name));
        // What the status could not tell of these must not be held against the revision.
        let is_doubtful = |state: &&NodeState| is_incomplete && state.new.is_some() && !state.is_available();
        states.iter().filter(is_doubtful).for_each(|state| rollout.notes.exempt_node(state.name().clone()));
    }

    /// Takes the revision that most nodes have, and are not led to, for the last good one.
    pub(super) fn take_old_for_good(
        &self,
        daemonset: &DaemonSetState,
        rollout: &mut RolloutState,
        states: &[NodeState],
    ) {
        rollout.last_good = self.most_common_old(states);
        let Some(good) = &rollout.last_good else { return };
        rollout.last_good_digest = self.seen_digest(daemonset, good);
    }

    /// Of the revisions that the nodes have and are not led to, the one that serves on most of them, or else is on most.
    fn most_common_old(&self, states: &[NodeState]) -> Option<Arc<str>> {
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for old in states.iter().filter_map(|state| state.old) {
            let hash = self.pods.get(old.id).map_or("", |row| self.labels.hash(row.labels));
            let (serving, made) = counts.entry(hash).or_default();
            (*serving, *made) = (*serving + usize::from(old.ready), *made + 1);
        }
        counts.remove("");
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(hash, _)| hash.into())
    }

    /// Looks at the nodes that something happened to, or at all of them when they are judged in another way; those
    /// that have failed, in turn.
    pub(super) fn look(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        now: Time,
    ) -> Vec<Found> {
        let goal = rollout.goal().cloned().unwrap_or_default();
        let is_back = rollout.phase.is_back();
        let begun = rollout.started_at.unwrap_or_default().second();
        let (surges, compares) = (self.surges(daemonset, rollout), rollout.analysis.is_some());
        let rules = Rules { goal, surges, is_back, begun, compares };
        if rollout.nodes.rules != rules {
            rollout.nodes.clear();
            rollout.nodes.rules = rules;
        }
        let policy = rollout.policy.clone();
        let is_whole = rollout.nodes.is_whole();
        let nodes = match is_whole {
            true => rollout.nodes.take_touched(now),
            false => daemonset.assignments.keys().copied().collect(),
        };
        rollout.nodes.set_whole();
        let looked =
            nodes.into_iter().filter_map(|node| self.look_at(daemonset, rollout, &policy, node, now));
        let mut found: Vec<Found> = looked.collect();
        found.sort();
        if !is_whole {
            self.forget_the_absent(rollout);
        }
        self.forget_strays(daemonset, rollout);
        if let Some(at) = rollout.nodes.next_due() {
            self.wake_daemonset(daemonset, at);
        }
        found
    }

    /// Looks at one node; whether it has failed.
    fn look_at(
        &self,
        daemonset: &DaemonSetState,
        rollout: &mut RolloutState,
        policy: &PolicyFact,
        node: NodeId,
        now: Time,
    ) -> Option<Found> {
        let known = rollout.nodes.state(node).map(|state| state.name().clone());
        let state = self.node_state(daemonset, &policy.spec, &rollout.nodes.rules.goal, node, now);
        // A number is used again for another node.
        if let Some(known) = known.filter(|known| state.as_ref().is_none_or(|state| state.name() != known)) {
            rollout.note_absence(&known);
            rollout.nodes.remove(node);
        }
        let state = state?;
        rollout.note_service(&state);
        let (mut reason, mut due) = (None, None);
        if !rollout.phase.is_ended() {
            (reason, due) = rollout.failure(&state, now);
        }
        if let Some(reason) = reason.clone() {
            rollout.notes.fail(state.name().clone(), NodeFailure { reason, at: now });
        }
        let turn = state.turn.clone();
        self.keep(rollout, state, due);
        reason.map(|reason| (turn, reason))
    }

    /// Works what was done on a node in.
    pub(super) fn look_again(
        &self,
        daemonset: &DaemonSetState,
        rollout: &mut RolloutState,
        node: NodeId,
        now: Time,
    ) {
        let policy = rollout.policy.clone();
        match self.node_state(daemonset, &policy.spec, &rollout.nodes.rules.goal, node, now) {
            Some(state) => self.keep(rollout, state, None),
            None => rollout.nodes.remove(node),
        }
        rollout.nodes.touch(node);
    }

    /// How the deletion of a pod has ended: its node may be exempt by that.
    pub(crate) fn note_deletion(&self, rollout: &mut RolloutState, pod: Uid, outcome: &Outcome) {
        // Without an answer it may be gone.
        let is_gone = match outcome {
            Outcome::Failed { failure, .. } => *failure == Failure::Unknown,
            _ => true,
        };
        let exempt = rollout.pod_went(pod, is_gone);
        if let Some(node) = exempt.and_then(|name| self.nodes.find(&name)) {
            rollout.nodes.touch(node);
        }
    }

    fn keep(&self, rollout: &mut RolloutState, state: NodeState, due: Option<Time>) {
        let noted = rollout.noted(state.name());
        let due = state.due.into_iter().chain(due).min();
        rollout.nodes.set(state, noted, due);
    }

    /// Nodes that are noted and not eligible any more.
    fn forget_the_absent(&self, rollout: &mut RolloutState) {
        let is_here = |rollout: &RolloutState, name: &Arc<str>| {
            let state = self.nodes.find(name).and_then(|node| rollout.nodes.state(node));
            state.is_some_and(|state| state.name() == name)
        };
        let noted = rollout.notes.names();
        let absent: Vec<Arc<str>> = noted.filter(|name| !is_here(rollout, name)).cloned().collect();
        absent.iter().for_each(|name| rollout.note_absence(name));
    }

    /// Nodes that are disrupted, and gone with all their pods. One that is gone may come back before its pod's deletion is
    /// carried out.
    fn forget_strays(&self, daemonset: &DaemonSetState, rollout: &mut RolloutState) {
        let has_pods = |name: &Arc<str>| {
            let assignment = self.nodes.find(name).and_then(|node| daemonset.assignments.get(&node));
            assignment.is_some_and(|assignment| assignment.first != PodId::NONE)
        };
        let gone: Vec<Arc<str>> = rollout.strays.iter().filter(|name| !has_pods(name)).cloned().collect();
        for name in gone {
            rollout.strays.remove(&name);
            rollout.notes.give_back(&name);
        }
    }

    /// What is kept of the nodes is what a look at all of them shows.
    #[cfg(debug_assertions)]
    pub(super) fn check_nodes(&self, daemonset: &DaemonSetState, rollout: &RolloutState, now: Time) {
        // At each decision, of so many nodes, it would take minutes.
        const NODES_LIMIT: usize = 5_000;
        if rollout.nodes.len() > NODES_LIMIT {
            return;
        }
        let goal = rollout.nodes.rules.goal.clone();
        let mut states = self.survey(daemonset, &rollout.policy.spec, &goal, now);
        states.iter_mut().for_each(|state| state.due = None);
        let kept = rollout.nodes.in_turn().map(|state| NodeState { due: None, ..state.clone() });
        assert_eq!(kept.collect::<Vec<NodeState>>(), states, "the nodes that are kept are not what there is");
        for state in &states {
            assert_eq!(
                rollout.nodes.noted(state.node),
                Some(rollout.noted(state.name())),
                "{}",
                state.name()
            );
        }
    }
}

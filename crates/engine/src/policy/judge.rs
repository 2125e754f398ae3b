//! What is told to the analysis of a roll-out, and what its verdict does.

use everynode_analysis::Verdict;
use everynode_api::RolloutStatus;

use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::engine::Engine;
use crate::facts::PodFact;
use crate::ids::{NodeId, PodId};
use crate::pods::{Place, UNREAD};
use crate::tables::Tables;

use super::analysis::{Counts, Fresh, View};
use super::node_state::{Health, NodeState};
use super::nodes::flag;
use super::reason::Cause;
use super::rollout::{RolloutState, size};

impl Engine {
    /// Reads how the containers of a pod stand, where that may matter: `was_ready` is what was known before, nothing of a
    /// new pod.
    pub(crate) fn note_signs(&mut self, id: PodId, was_ready: Option<bool>, fact: &PodFact<'_>) {
        let Some(row) = self.tables.pods.get_mut(id) else { return };
        let Place::Member(daemonset) = row.place else { return };
        let rollout = self.daemonsets.with_rollout(daemonset).and_then(|(_, rollout)| rollout.as_mut());
        let analysis = rollout.and_then(|rollout| rollout.analysis.as_mut());
        let became_ready = row.ready && was_ready != Some(true);
        if analysis.is_none() && !became_ready && was_ready.is_some() {
            return;
        }
        let history = fact.statuses.history();
        if became_ready {
            let started = history.running_since_seconds.map(Time::from_seconds);
            let took = started.map(|started| row.ready_since.seconds().saturating_sub(started.seconds()));
            row.seconds_to_ready = took.and_then(|took| u16::try_from(took).ok()).unwrap_or(UNREAD);
        }
        let restarts = u16::try_from(history.restarts).unwrap_or(UNREAD).min(UNREAD - 1);
        let known = std::mem::replace(&mut row.restarts, restarts);
        let Some(analysis) = analysis else { return };
        // All that has happened to a pod which is younger than the block counts; of others what comes.
        let is_young = analysis.open_since().is_some_and(|since| row.created >= since.second());
        let known = if known != UNREAD || !is_young { known } else { 0 };
        let restarts = u32::from(restarts.saturating_sub(known));
        analysis.count(
            row.node,
            Counts {
                restarts,
                oom_kills: u32::from(restarts > 0 && history.was_oom_killed),
                readiness_flaps: u32::from(was_ready == Some(true) && !row.ready && !row.deleting),
            },
        );
    }
}

impl Tables {
    /// Looks at what nodes have shown, when it is time for that.
    pub(super) fn judge(&mut self, daemonset: &DaemonSetState, rollout: &mut RolloutState, now: Time) {
        if !rollout.is_judged() {
            return;
        }
        let may_wait = rollout.may_wait_for_verdict(now);
        let begun = rollout.started_at.unwrap_or_default().second();
        let has_selectors = rollout.policy.spec.has_selectors();
        let RolloutState { analysis: Some(analysis), nodes, .. } = rollout else { return };
        let verdict = analysis.report().map(|report| report.verdict);
        let view = View { pods: &self.pods, labels: &self.nodes, nodes, begun, has_selectors };
        if !analysis.look(&view, may_wait, now) {
            return;
        }
        let is_worse = analysis.report().is_some_and(|report| report.verdict == Verdict::Worse);
        if is_worse && verdict != Some(Verdict::Worse) {
            let said = analysis.sentence().unwrap_or_default();
            let hash = rollout.hash.clone().unwrap_or_default();
            let message = format!("Revision {hash} is worse: {said}");
            self.record(daemonset, true, "RolloutWorse", message);
        }
    }
}

impl RolloutState {
    /// Takes up what the status says of the analysis.
    pub(super) fn resume_analysis(&mut self, said: &RolloutStatus, nodes: &[NodeState]) {
        if let Some((analysis, said)) = self.analysis.as_mut().zip(said.analysis.as_ref()) {
            analysis.resume(said, nodes);
        }
    }

    /// Whether the revision is worse; nothing before something was looked at.
    pub fn verdict(&self) -> Option<Verdict> {
        Some(self.analysis.as_ref()?.report()?.verdict)
    }

    /// The revision is compared with the one before.
    pub fn is_judged(&self) -> bool {
        self.analysis.is_some()
            && self.last_good.is_some()
            && !self.needs_no_waves()
            && !self.phase.is_ended()
    }

    /// The wave under way is watched, and may be watched for longer.
    fn may_wait_for_verdict(&self, now: Time) -> bool {
        let Some(analysis) = &self.analysis else { return false };
        let until = self.wave_done_at.map(|at| at.plus_millis(analysis.spec().max_bake_seconds * 1000));
        !self.is_last_wave() && until.is_some_and(|until| now < until)
    }

    /// The wave under way is the last one: nobody is left to compare it with.
    pub(super) fn is_last_wave(&self) -> bool {
        self.wave + 1 >= self.policy.spec.waves.len()
    }

    /// When the open block of the wave that is watched closes.
    pub(super) fn watched_until(&self) -> Option<Time> {
        let analysis = self.analysis.as_ref().filter(|_| self.is_judged() && !self.is_last_wave())?;
        analysis.closes_at()
    }

    /// What nodes have shown halts the roll-out: the revision is worse, or a wave ends without a verdict that it must
    /// have.
    pub(super) fn judged(&self, now: Time) -> Option<Cause> {
        let analysis = self.analysis.as_ref().filter(|_| self.is_judged())?;
        let said = analysis.sentence();
        if analysis.is_worse() {
            return Some(Cause::Worse { sentence: said.unwrap_or_default() });
        }
        let is_over = !self.is_last_wave() && self.baked_at().is_some_and(|at| at <= now);
        (is_over && analysis.lacks_verdict())
            .then(|| Cause::Unjudged { number: self.wave + 1, sentence: said })
    }

    /// The pod of a node that is well is replaced.
    pub(super) fn touch(&mut self, state: &NodeState, ready_seconds: Option<u16>, fresh: Fresh, now: Time) {
        if let Some(analysis) = self.analysis.as_mut().filter(|_| state.new.is_none()) {
            analysis.touch(state, ready_seconds, fresh, now);
        }
    }

    /// A pod that serves may be taken from a node within the budget.
    pub(super) fn has_room_on(&self, node: NodeId, budget: usize) -> bool {
        let (nodes, disrupted) = self.nodes.domain_of(node);
        let domain = self.policy.spec.domain.as_ref().map(|domain| size(domain.max_unavailable, nodes));
        self.notes.disrupted().len() < budget && domain.is_none_or(|bound| disrupted < bound)
    }

    /// Nodes that are to get a fresh pod of the old revision: of the last ones in the order those that have not got it.
    /// Nothing but their turn has chosen them, once. With a pod beside the old one no pod of the old revision can be
    /// made.
    pub(super) fn controls(&mut self) -> Vec<NodeId> {
        let wanted = self.analysis.as_ref().map_or(0, |analysis| analysis.spec().baseline_nodes);
        if self.wave > 0 || wanted == 0 || !self.is_judged() || self.nodes.rules.surges {
            return Vec::new();
        }
        let Some(analysis) = &mut self.analysis else { return Vec::new() };
        let nodes = &self.nodes;
        let begun = nodes.rules.begun;
        let can_show = |state: &&NodeState| {
            let is_old = state.old.is_some_and(|old| old.available || old.created >= begun);
            is_old && state.new.is_none() && state.health == Health::Well && !state.is_unsettled
        };
        let chosen = analysis.controls(|| {
            let outside = nodes.in_turn().rev().filter(|state| !nodes.has(state.node, flag::MEMBER));
            outside.filter(can_show).take(wanted).map(|state| state.node).collect()
        });
        let is_left = |state: &&NodeState| {
            let serves = state.old.is_some_and(|old| old.available && old.created < begun);
            can_show(state) && serves && !state.is_busy
        };
        let left = chosen.iter().filter_map(|node| nodes.state(*node)).filter(is_left);
        left.map(|state| state.node).collect()
    }

    /// Nodes of the wave under way have been gathered, when it is complete; when to look at them.
    pub(super) fn gather(&mut self, now: Time) -> Option<Time> {
        if !self.is_judged() {
            return None;
        }
        let is_done = self.wave_done_at.is_some() && self.controls().is_empty();
        self.analysis.as_mut()?.gather(is_done, now)
    }
}

//! What a roll-out under a policy asks for.

use std::collections::HashSet;
use std::sync::Arc;

use everynode_api::RolloutStatus;
use everynode_model::IntOrPercent;

use crate::base::{Time, Uid};
use crate::config::Scope;
use crate::daemonset::DaemonSetState;
use crate::facts::Strategy;
use crate::fit::holds_the_node;
use crate::ids::{NodeId, PodId};
use crate::revision;
use crate::tables::Tables;
use crate::template::Template;

use super::RolloutPhase;
use super::analysis::Fresh;
use super::look::Found;
use super::node_state::Health;
use super::nodes::flag;
use super::reason::{Cause, RolloutReason, Way};
use super::rollout::{RolloutState, size};

/// What is to be done on a node.
#[derive(Clone, Copy, Debug)]
enum Order {
    Delete(PodId),
    /// A pod that serves nobody, as far as is known.
    DeleteAsKnown(PodId),
    Surge(NodeId),
}

impl Tables {
    /// Looks at the roll-out of a DaemonSet that a policy selects, and asks for what is to be done next.
    pub(crate) fn advance_rollout(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        now: Time,
    ) {
        // Two controllers must not roll one DaemonSet.
        let strategy = daemonset.spec.as_ref().map(|spec| spec.fact.strategy);
        let is_refused = self.scope == Scope::Rollouts && strategy != Some(Strategy::OnDelete);
        if rollout.is_refused != is_refused {
            let policy = rollout.policy.clone();
            *rollout = RolloutState::new(policy);
            rollout.is_refused = is_refused;
            self.policies.changed(&rollout.policy.key);
        }
        if is_refused {
            return;
        }
        if let Some(current) = daemonset.current.clone().filter(|_| !daemonset.is_at_rest_under(rollout)) {
            let last_good = rollout.last_good.clone();
            self.advance_rollout_to(daemonset, rollout, &current.hash, now);
            // The revision that was good before need not be kept any more.
            daemonset.cleanup_dirty |= rollout.last_good != last_good;
            self.policies.changed(&rollout.policy.key);
        }
        self.keep_last_good(daemonset, rollout);
    }

    fn advance_rollout_to(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        hash: &Arc<str>,
        now: Time,
    ) {
        let policy = rollout.policy.clone();
        if !rollout.is_known {
            self.take_up(daemonset, rollout, hash, now);
        }
        if rollout.hash.as_ref() != Some(hash) {
            rollout.begin(hash, Tables::own_digest(daemonset), now);
            self.record(
                daemonset,
                false,
                "RolloutStarted",
                format!("Policy {} begins with revision {hash}", policy.key.name),
            );
        }
        let was_aborted = rollout.aborted;
        rollout.obey(now);
        let is_aborted_now = rollout.aborted && !was_aborted;
        let found = self.look(daemonset, rollout, now);
        self.end_first_rollout(daemonset, rollout, now);
        let wake = match rollout.phase {
            RolloutPhase::Halted if is_aborted_now => {
                self.halt(daemonset, rollout, rollout.failure_budget(), now);
                None
            }
            RolloutPhase::Halted => None,
            phase if phase.is_back() => {
                self.note_rollback(daemonset, rollout);
                None
            }
            _ => self.note_progress(daemonset, rollout, found, now),
        };
        if let Some(at) = wake {
            self.wake_daemonset(daemonset, at);
        }
        if rollout.goal() != Some(&rollout.nodes.rules.goal) {
            // Nodes are led elsewhere now: look at them with that in mind.
            self.look(daemonset, rollout, now);
        }
        self.act(daemonset, rollout, now);
        if let Some(at) = rollout.gather(now) {
            self.wake_daemonset(daemonset, at);
        }
        self.rewrite_template(daemonset, rollout, now);
        #[cfg(debug_assertions)]
        self.check_nodes(daemonset, rollout, now);
    }

    /// The first roll-out is over once there are pods of it and another revision comes: that has waves, and a way back.
    fn end_first_rollout(&self, daemonset: &DaemonSetState, rollout: &mut RolloutState, now: Time) {
        let olds = rollout.nodes.count(flag::HAS_OLD);
        if rollout.last_good.is_some() || std::mem::replace(&mut rollout.olds, olds) >= olds {
            return;
        }
        let hash = rollout.hash.clone().unwrap_or_default();
        let states = self.survey(daemonset, &rollout.policy.spec, &hash, now);
        self.take_old_for_good(daemonset, rollout, &states);
    }

    /// How far it has come, and whether it can go on; when to look again.
    fn note_progress(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        found: Vec<Found>,
        now: Time,
    ) -> Option<Time> {
        if rollout.phase == RolloutPhase::Complete {
            // Nodes that were down get it when they are back.
            rollout.reason = rollout.who_has_it();
            return None;
        }
        let was = (rollout.phase, rollout.wave);
        for (turn, reason) in found {
            let message = format!("Node {} failed with the new revision: {reason}", turn.name);
            self.record(daemonset, true, "RolloutNodeFailed", message);
        }
        let budget = rollout.failure_budget();
        self.judge(daemonset, rollout, now);
        let is_bad = !rollout.is_return()
            && (rollout.notes.failed().len() >= budget
                || rollout.wave_has_failed()
                || rollout.judged(now).is_some());
        if rollout.aborted || is_bad {
            self.halt(daemonset, rollout, budget, now);
            return None;
        }
        if rollout.nodes.count(flag::DONE) > rollout.figures.available {
            rollout.progress_at = Some(now);
        }
        let bake = rollout.advance(self.budget_of(daemonset, rollout), now);
        let deadline_millis = rollout.policy.spec.progress_deadline_seconds * 1000;
        let deadline = rollout.progress_at.map(|at| at.plus_millis(deadline_millis));
        if was != (rollout.phase, rollout.wave) {
            let is_complete = rollout.phase == RolloutPhase::Complete;
            let reason = if is_complete { "RolloutComplete" } else { "RolloutWave" };
            self.record(daemonset, rollout.phase == RolloutPhase::Stalled, reason, rollout.message());
        }
        bake.into_iter().chain(deadline.filter(|at| *at > now)).min()
    }

    /// The failure budget is spent, or somebody aborted.
    fn halt(&mut self, daemonset: &mut DaemonSetState, rollout: &mut RolloutState, budget: usize, now: Time) {
        let goes_back = rollout.goes_back();
        let last_good = rollout.last_good.clone().filter(|_| !rollout.is_return());
        let good = last_good.filter(|_| self.last_good_template(daemonset, rollout).is_some());
        let template_stays = rollout.policy.spec.rewrite_template;
        let (phase, way) = match (goes_back, good) {
            (false, _) => (RolloutPhase::Halted, Way::Stay),
            (true, None) => (RolloutPhase::Halted, Way::None),
            (true, Some(good)) if self.scope == Scope::All => {
                (RolloutPhase::RollingBack, Way::Back { good, template_stays })
            }
            (true, Some(good)) if self.rewrites(rollout) => (RolloutPhase::Halted, Way::Template { good }),
            (true, Some(_)) => (RolloutPhase::Halted, Way::NotOurs),
        };
        (rollout.phase, rollout.reason) =
            (phase, RolloutReason::Halted { cause: why_halted(rollout, budget, now), way });
        self.record(daemonset, true, "RolloutHalted", rollout.message());
    }

    fn note_rollback(&mut self, daemonset: &mut DaemonSetState, rollout: &mut RolloutState) {
        let is_done = rollout.nodes.count(flag::NOT_BACK) == 0;
        if !is_done && self.last_good_template(daemonset, rollout).is_none() {
            let good = rollout.last_good.clone().unwrap_or_default();
            (rollout.phase, rollout.reason) = (RolloutPhase::Halted, RolloutReason::LostGood { good });
            return self.record(daemonset, true, "RolloutHalted", rollout.message());
        }
        let phase = if is_done { RolloutPhase::RolledBack } else { RolloutPhase::RollingBack };
        if std::mem::replace(&mut rollout.phase, phase) != phase && is_done {
            let good = rollout.last_good.clone().unwrap_or_else(|| "".into());
            self.record(daemonset, false, "RolledBack", format!("All nodes have revision {good} again"));
        }
    }

    /// Figures, what may be created, and what is replaced.
    fn act(&mut self, daemonset: &mut DaemonSetState, rollout: &mut RolloutState, now: Time) {
        rollout.reach();
        let budget = self.budget_of(daemonset, rollout);
        let is_halted = rollout.phase == RolloutPhase::Halted;
        self.pace_creations(daemonset, rollout, budget);
        if !rollout.policy.spec.paused && !is_halted && self.may_go_back(daemonset, rollout) {
            self.try_again(daemonset, rollout, now);
            self.replace(daemonset, rollout, budget, now);
            self.restart_controls(daemonset, rollout, budget, now);
        }
        rollout.count(budget);
        if rollout.policy.spec.paused && !rollout.phase.is_ended() {
            rollout.reason = RolloutReason::Paused;
        } else if budget == 0 && rollout.nodes.len() > 0 && rollout.phase == RolloutPhase::Progressing {
            rollout.phase = RolloutPhase::Stalled;
            rollout.reason = RolloutReason::NoBudget;
        }
    }

    /// When nodes are led back, the status has to say so before the pods go that tell why: another leader would find
    /// nothing wrong with the revision, and begin it again.
    fn may_go_back(&self, daemonset: &DaemonSetState, rollout: &RolloutState) -> bool {
        let said = self.policies.said(&rollout.policy, &daemonset.key.name);
        let is_said = |said: &RolloutStatus| {
            said.phase.is_back() && said.revision.as_deref() == rollout.hash.as_deref()
        };
        !rollout.phase.is_back() || said.is_some_and(is_said)
    }

    /// How many nodes may be disrupted at a time.
    fn budget_of(&self, daemonset: &DaemonSetState, rollout: &RolloutState) -> usize {
        let own = match daemonset.spec.as_ref().map(|spec| spec.fact.strategy) {
            Some(Strategy::RollingUpdate { max_unavailable, max_surge }) => match max_surge.scaled(100) {
                0 => max_unavailable,
                _ => max_surge,
            },
            _ => IntOrPercent::Int(1),
        };
        size(rollout.policy.spec.max_unavailable.unwrap_or(own), rollout.nodes.len())
    }

    /// In a paced first roll-out pods come on the nodes of the wave only, and no more at a time than the budget.
    fn pace_creations(&mut self, daemonset: &mut DaemonSetState, rollout: &mut RolloutState, budget: usize) {
        let is_paced = rollout.policy.spec.paces_creations
            && (rollout.last_good.is_none() || rollout.phase == RolloutPhase::Complete);
        let creations = is_paced.then(|| {
            let is_stopped = rollout.policy.spec.paused || rollout.phase == RolloutPhase::Halted;
            let left = if is_stopped { 0 } else { budget.max(1) };
            let left = left.saturating_sub(rollout.nodes.count(flag::STARTING));
            rollout.nodes.empty_busy().chain(rollout.nodes.empty().take(left)).collect::<HashSet<NodeId>>()
        });
        let old = std::mem::replace(&mut rollout.creations, creations);
        match (old, &rollout.creations) {
            (Some(old), Some(new)) => {
                old.symmetric_difference(new).for_each(|&node| daemonset.touch_known(node));
            }
            (None, None) => {}
            _ => daemonset.touch_all(),
        }
    }

    /// Replaces the pods of nodes that had failed when somebody had it tried again.
    fn try_again(&mut self, daemonset: &mut DaemonSetState, rollout: &mut RolloutState, now: Time) {
        for name in rollout.again.clone() {
            let state = self.nodes.find(&name).and_then(|node| rollout.nodes.state(node));
            let state = state.filter(|state| state.health == Health::Well);
            let Some((node, new)) = state.and_then(|state| Some((state.node, state.new?))) else { continue };
            if !new.ready && !self.give(daemonset, rollout, node, Order::DeleteAsKnown(new.id), now) {
                return;
            }
            rollout.again.remove(&name);
            self.look_again(daemonset, rollout, node, now);
        }
    }

    /// Replaces what costs nothing, and within the budget what does, in turn.
    fn replace(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        budget: usize,
        now: Time,
    ) {
        let mut last = None;
        while let Some((turn, node)) = rollout.nodes.next_free(last.as_ref()) {
            let is_over = rollout.nodes.has(node, flag::FREE_AS_DISRUPTED) && rollout.is_over(node, budget);
            if !is_over && !self.replace_on(daemonset, rollout, node, now) {
                return;
            }
            last = Some(turn);
        }
        while let Some(node) = rollout.next_in_budget(budget) {
            if !self.replace_on(daemonset, rollout, node, now) || rollout.nodes.has(node, flag::COSTLY) {
                return;
            }
        }
    }

    /// Gives nodes that others are compared with a fresh pod of the old revision, when those of the first wave have
    /// theirs and the budget has room.
    fn restart_controls(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        budget: usize,
        now: Time,
    ) {
        let can_be_made = self.scope == Scope::All && rollout.last_good_template.is_some();
        if !can_be_made || rollout.nodes.has_costly() {
            return;
        }
        for node in rollout.controls() {
            let Some(state) = rollout.nodes.state(node).cloned() else { continue };
            let Some(old) = state.old.filter(|_| rollout.has_room_on(node, budget)) else { continue };
            let ready_seconds = self.pods.get(old.id).and_then(|row| row.ready_seconds());
            if !self.give(daemonset, rollout, node, Order::Delete(old.id), now) {
                return;
            }
            rollout.notes.disrupt(state.name().clone());
            rollout.touch(&state, ready_seconds, Fresh::Old, now);
            self.look_again(daemonset, rollout, node, now);
        }
    }

    /// Replaces the old pod of a node; whether that could be asked for.
    fn replace_on(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        node: NodeId,
        now: Time,
    ) -> bool {
        let in_line = rollout.nodes.state(node).and_then(|state| Some((state, state.old?)));
        let is_old = "a node in line under a policy has an old pod";
        let Some((state, old)) = self.violations.found(in_line, is_old) else { return true };
        let (name, serves, was_ready) = (state.name().clone(), state.is_available(), old.ready);
        let is_shown = rollout.is_judged() && state.health == Health::Well && old.available;
        let was_well = is_shown.then(|| state.clone());
        let order = match state.new {
            None if rollout.nodes.rules.surges => Order::Surge(node),
            _ if state.health == Health::Well && !old.ready => Order::DeleteAsKnown(old.id),
            _ => Order::Delete(old.id),
        };
        let row = self.pods.get(old.id);
        let (uid, ready_seconds) =
            (row.map_or(Uid(0), |row| row.uid), row.and_then(|row| row.ready_seconds()));
        let is_costly = rollout.nodes.has(node, flag::COSTLY);
        if !self.give(daemonset, rollout, node, order, now) {
            return false;
        }
        match order {
            // Beside an old pod that serves the new one takes nothing away.
            Order::Surge(_) if was_ready => {}
            _ if is_costly => rollout.notes.disrupt(name),
            _ if serves || rollout.noted(&name).is_disrupted => {}
            Order::Surge(_) => rollout.notes.exempt_node(name),
            // It may have become ready: then it does not go, and is like any other.
            Order::Delete(_) | Order::DeleteAsKnown(_) => drop(rollout.going.insert(uid, name)),
        }
        rollout.nodes.note_touched(node);
        if let Some(state) = was_well {
            rollout.touch(&state, ready_seconds, Fresh::New, now);
        }
        self.look_again(daemonset, rollout, node, now);
        true
    }

    /// Gives an order, unless writes fail or queue.
    fn give(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: &mut RolloutState,
        node: NodeId,
        order: Order,
        now: Time,
    ) -> bool {
        if self.scope == Scope::Nothing {
            return false;
        }
        match order {
            Order::Delete(_) | Order::DeleteAsKnown(_) if !self.may_delete(daemonset, now) => return false,
            Order::Delete(pod) => self.delete(daemonset, pod),
            Order::DeleteAsKnown(pod) => self.delete_as_known(daemonset, pod),
            Order::Surge(node) => {
                let waits = self.must_wait(daemonset, |daemonset| &daemonset.retries.creates, now);
                if waits || daemonset.in_flight.creates >= self.limits.creates_in_flight {
                    return false;
                }
                if !self.create_on(daemonset, Some(rollout), node, now) {
                    return false;
                }
            }
        }
        self.evaluate(daemonset, Some(rollout), node, now);
        true
    }

    /// New pods come beside old ones: the DaemonSet asks for it, and nothing of the pod's is the node's alone.
    pub(super) fn surges(&self, daemonset: &DaemonSetState, rollout: &RolloutState) -> bool {
        let Some(spec) = daemonset.spec.as_ref().filter(|_| self.scope == Scope::All) else { return false };
        !rollout.phase.is_back()
            && spec.fact.strategy.allows_surge()
            && !holds_the_node(&spec.fact.template.value()["spec"])
    }

    /// The template and hash of the earlier revision that pods on a node are made from; `None` for the current one.
    pub(crate) fn revision_for(
        &self,
        daemonset: &DaemonSetState,
        rollout: &RolloutState,
        node: NodeId,
    ) -> Option<(Arc<Template>, Arc<str>)> {
        if self.scope != Scope::All || !rollout.is_known || rollout.is_admitted(node) {
            return None;
        }
        let good = rollout.last_good.as_ref().filter(|good| Some(*good) != rollout.hash.as_ref())?;
        Some((self.last_good_template(daemonset, rollout)?, good.clone()))
    }

    /// The template of the last good revision, if there still is one that says what it did. Pods of a template that the
    /// selector does not match would not be the DaemonSet's: it does not count.
    fn last_good_template(
        &self,
        daemonset: &DaemonSetState,
        rollout: &RolloutState,
    ) -> Option<Arc<Template>> {
        if let Some((known, template)) = &rollout.last_good_template
            && Some(known) == rollout.last_good.as_ref()
        {
            return Some(template.clone());
        }
        let row = self.last_good_revision(daemonset, rollout)?;
        let template = Template::new(revision::template(&row.fact.data)?);
        let label =
            |key: &str| template.labels().iter().find(|(one, _)| one == key).map(|(_, value)| &**value);
        let is_selected = daemonset.spec.as_ref().is_some_and(|spec| spec.fact.selector.matches(label));
        is_selected.then(|| Arc::new(template))
    }

    /// Keeps the template of the last good revision at hand.
    fn keep_last_good(&self, daemonset: &DaemonSetState, rollout: &mut RolloutState) {
        if let Some(good) = rollout.last_good.clone() {
            let template = self.last_good_template(daemonset, rollout);
            rollout.last_good_template = template.map(|template| (good, template));
        }
    }
}

/// Why a roll-out is halted.
fn why_halted(rollout: &RolloutState, budget: usize, now: Time) -> Cause {
    let failed = rollout.notes.failed();
    let first = failed.iter().next().map(|(node, failure)| (node.clone(), failure.clone()));
    match (rollout.aborted, first) {
        (true, _) => Cause::Aborted,
        (false, Some((node, failure))) if failed.len() >= budget => {
            Cause::Failures { failed: failed.len(), budget, node, failure }
        }
        (false, first) => match (rollout.judged(now), first) {
            (Some(judged), _) => judged,
            (None, Some((node, failure))) => Cause::WaveFailed { number: rollout.wave + 1, node, failure },
            (None, None) => Cause::Unknown,
        },
    }
}

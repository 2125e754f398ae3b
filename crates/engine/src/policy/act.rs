//! What a conducted roll-out asks for.

use std::collections::HashSet;
use std::sync::Arc;

use everynode_api::RolloutStatus;
use everynode_model::IntOrPercent;

use crate::base::{Time, Uid};
use crate::config::Scope;
use crate::facts::Strategy;
use crate::fit::holds_the_node;
use crate::ids::{NodeId, PodId};
use crate::revision;
use crate::slot::Slot;
use crate::tables::Tables;
use crate::template::Template;

use super::RolloutPhase;
use super::conduct::{Conduct, size};
use super::look::Found;
use super::reason::{Cause, RolloutReason, Way};
use super::roster::flag;
use super::spot::Health;

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
    pub(crate) fn conduct(&mut self, slot: &mut Slot, now: Time) {
        let Some(mut conduct) = slot.conduct.take() else { return };
        // Two controllers must not roll one DaemonSet.
        let strategy = slot.spec.as_ref().map(|spec| spec.fact.strategy);
        let is_refused = self.scope == Scope::Rollouts && strategy != Some(Strategy::OnDelete);
        if conduct.is_refused != is_refused {
            let policy = conduct.policy.clone();
            *conduct = Conduct::new(policy);
            conduct.is_refused = is_refused;
            self.policies.changed(&conduct.policy.key);
        }
        if is_refused {
            slot.conduct = Some(conduct);
            return;
        }
        if let Some(current) = slot.current.clone().filter(|_| !slot.is_at_rest_under(&conduct)) {
            let last_good = conduct.last_good.clone();
            self.conduct_to(slot, &mut conduct, &current.hash, now);
            // The revision that was good before need not be kept any more.
            slot.cleanup_dirty |= conduct.last_good != last_good;
            self.policies.changed(&conduct.policy.key);
        }
        slot.conduct = Some(conduct);
        self.keep_last_good(slot);
    }

    fn conduct_to(&mut self, slot: &mut Slot, conduct: &mut Conduct, hash: &Arc<str>, now: Time) {
        let policy = conduct.policy.clone();
        if !conduct.is_known {
            self.take_up(slot, conduct, hash, now);
        }
        if conduct.hash.as_ref() != Some(hash) {
            conduct.begin(hash, Tables::own_digest(slot), now);
            self.record(
                slot,
                false,
                "RolloutStarted",
                format!("Policy {} begins with revision {hash}", policy.key.name),
            );
        }
        conduct.obey(now);
        let found = self.look(slot, conduct, now);
        self.end_first_rollout(slot, conduct, now);
        let wake = match conduct.phase {
            RolloutPhase::Halted => None,
            phase if phase.is_back() => {
                self.note_rollback(slot, conduct);
                None
            }
            _ => self.note_progress(slot, conduct, found, now),
        };
        if let Some(at) = wake {
            self.wake_slot(slot, at);
        }
        if conduct.goal() != Some(&conduct.roster.rules.goal) {
            // Nodes are led elsewhere now: look at them with that in mind.
            self.look(slot, conduct, now);
        }
        self.act(slot, conduct, now);
        self.rewrite_template(slot, conduct, now);
        #[cfg(debug_assertions)]
        self.check_roster(slot, conduct, now);
    }

    /// The first roll-out is over once there are pods of it and another revision comes: that has waves, and a way back.
    fn end_first_rollout(&self, slot: &Slot, conduct: &mut Conduct, now: Time) {
        let olds = conduct.roster.count(flag::HAS_OLD);
        if conduct.last_good.is_some() || std::mem::replace(&mut conduct.olds, olds) >= olds {
            return;
        }
        let hash = conduct.hash.clone().unwrap_or_default();
        let spots = self.survey(slot, &conduct.policy.spec, &hash, now);
        self.take_old_for_good(slot, conduct, &spots);
    }

    /// How far it has come, and whether it can go on; when to look again.
    fn note_progress(
        &mut self,
        slot: &mut Slot,
        conduct: &mut Conduct,
        found: Vec<Found>,
        now: Time,
    ) -> Option<Time> {
        if conduct.phase == RolloutPhase::Complete {
            // Nodes that were down get it when they are back.
            conduct.reason = conduct.who_has_it();
            return None;
        }
        let was = (conduct.phase, conduct.wave);
        for (turn, reason) in found {
            let message = format!("Node {} failed with the new revision: {reason}", turn.name);
            self.record(slot, true, "RolloutNodeFailed", message);
        }
        let budget = conduct.failure_budget();
        let is_bad =
            !conduct.is_return() && (conduct.notes.failed().len() >= budget || conduct.wave_has_failed());
        if conduct.aborted || is_bad {
            self.halt(slot, conduct, budget);
            return None;
        }
        if conduct.roster.count(flag::DONE) > conduct.figures.available {
            conduct.progress_at = Some(now);
        }
        let bake = conduct.advance(self.budget_of(slot, conduct), now);
        let deadline_millis = conduct.policy.spec.progress_deadline_seconds * 1000;
        let deadline = conduct.progress_at.map(|at| at.plus_millis(deadline_millis));
        if was != (conduct.phase, conduct.wave) {
            let is_complete = conduct.phase == RolloutPhase::Complete;
            let reason = if is_complete { "RolloutComplete" } else { "RolloutWave" };
            self.record(slot, conduct.phase == RolloutPhase::Stalled, reason, conduct.message());
        }
        bake.into_iter().chain(deadline.filter(|at| *at > now)).min()
    }

    /// The failure budget is spent, or somebody aborted.
    fn halt(&mut self, slot: &mut Slot, conduct: &mut Conduct, budget: usize) {
        let goes_back = conduct.goes_back();
        let last_good = conduct.last_good.clone().filter(|_| !conduct.is_return());
        let good = last_good.filter(|_| self.last_good_template(slot, conduct).is_some());
        let template_stays = conduct.policy.spec.rewrite_template;
        let (phase, way) = match (goes_back, good) {
            (false, _) => (RolloutPhase::Halted, Way::Stay),
            (true, None) => (RolloutPhase::Halted, Way::None),
            (true, Some(good)) if self.scope == Scope::All => {
                (RolloutPhase::RollingBack, Way::Back { good, template_stays })
            }
            (true, Some(good)) if self.rewrites(conduct) => (RolloutPhase::Halted, Way::Template { good }),
            (true, Some(_)) => (RolloutPhase::Halted, Way::NotOurs),
        };
        (conduct.phase, conduct.reason) =
            (phase, RolloutReason::Halted { cause: why_halted(conduct, budget), way });
        self.record(slot, true, "RolloutHalted", conduct.message());
    }

    fn note_rollback(&mut self, slot: &mut Slot, conduct: &mut Conduct) {
        let is_done = conduct.roster.count(flag::NOT_BACK) == 0;
        if !is_done && self.last_good_template(slot, conduct).is_none() {
            let good = conduct.last_good.clone().unwrap_or_default();
            (conduct.phase, conduct.reason) = (RolloutPhase::Halted, RolloutReason::LostGood { good });
            return self.record(slot, true, "RolloutHalted", conduct.message());
        }
        let phase = if is_done { RolloutPhase::RolledBack } else { RolloutPhase::RollingBack };
        if std::mem::replace(&mut conduct.phase, phase) != phase && is_done {
            let good = conduct.last_good.clone().unwrap_or_else(|| "".into());
            self.record(slot, false, "RolledBack", format!("All nodes have revision {good} again"));
        }
    }

    /// Figures, what may be created, and what is replaced.
    fn act(&mut self, slot: &mut Slot, conduct: &mut Conduct, now: Time) {
        conduct.reach();
        let budget = self.budget_of(slot, conduct);
        let is_halted = conduct.phase == RolloutPhase::Halted;
        self.pace_creations(slot, conduct, budget);
        if !conduct.policy.spec.paused && !is_halted && self.may_go_back(slot, conduct) {
            self.try_again(slot, conduct, now);
            self.replace(slot, conduct, budget, now);
        }
        conduct.count(budget);
        if conduct.policy.spec.paused && !conduct.phase.is_ended() {
            conduct.reason = RolloutReason::Paused;
        } else if budget == 0 && conduct.roster.len() > 0 && conduct.phase == RolloutPhase::Progressing {
            conduct.phase = RolloutPhase::Stalled;
            conduct.reason = RolloutReason::NoBudget;
        }
    }

    /// When nodes are led back, the status has to say so before the pods go that tell why: another leader would find
    /// nothing wrong with the revision, and begin it again.
    fn may_go_back(&self, slot: &Slot, conduct: &Conduct) -> bool {
        let said = self.policies.said(&conduct.policy, &slot.key.name);
        let is_said = |said: &RolloutStatus| {
            said.phase.is_back() && said.revision.as_deref() == conduct.hash.as_deref()
        };
        !conduct.phase.is_back() || said.is_some_and(is_said)
    }

    /// How many nodes may be taken at a time.
    fn budget_of(&self, slot: &Slot, conduct: &Conduct) -> usize {
        let own = match slot.spec.as_ref().map(|spec| spec.fact.strategy) {
            Some(Strategy::RollingUpdate { max_unavailable, max_surge }) => match max_surge.scaled(100) {
                0 => max_unavailable,
                _ => max_surge,
            },
            _ => IntOrPercent::Int(1),
        };
        size(conduct.policy.spec.max_unavailable.unwrap_or(own), conduct.roster.len())
    }

    /// In a paced first roll-out pods come on the nodes of the wave only, and no more at a time than the budget.
    fn pace_creations(&mut self, slot: &mut Slot, conduct: &mut Conduct, budget: usize) {
        let is_paced = conduct.policy.spec.paces_creations
            && (conduct.last_good.is_none() || conduct.phase == RolloutPhase::Complete);
        let creations = is_paced.then(|| {
            let is_stopped = conduct.policy.spec.paused || conduct.phase == RolloutPhase::Halted;
            let left = if is_stopped { 0 } else { budget.max(1) };
            let left = left.saturating_sub(conduct.roster.count(flag::STARTING));
            conduct.roster.empty_busy().chain(conduct.roster.empty().take(left)).collect::<HashSet<NodeId>>()
        });
        let old = std::mem::replace(&mut conduct.creations, creations);
        match (old, &conduct.creations) {
            (Some(old), Some(new)) => {
                old.symmetric_difference(new).for_each(|&node| slot.touch_known(node));
            }
            (None, None) => {}
            _ => slot.touch_all(),
        }
    }

    /// Replaces the pods of nodes that had failed when somebody had it tried again.
    fn try_again(&mut self, slot: &mut Slot, conduct: &mut Conduct, now: Time) {
        for name in conduct.again.clone() {
            let spot = self.nodes.find(&name).and_then(|node| conduct.roster.spot(node));
            let spot = spot.filter(|spot| spot.health == Health::Well);
            let Some((node, new)) = spot.and_then(|spot| Some((spot.node, spot.new?))) else { continue };
            if !new.ready && !self.give(slot, node, Order::DeleteAsKnown(new.id), now) {
                return;
            }
            conduct.again.remove(&name);
            self.look_again(slot, conduct, node, now);
        }
    }

    /// Replaces what costs nothing, and within the budget what does, in turn.
    fn replace(&mut self, slot: &mut Slot, conduct: &mut Conduct, budget: usize, now: Time) {
        let mut last = None;
        while let Some((turn, node)) = conduct.roster.next_free(last.as_ref()) {
            let is_over = conduct.roster.has(node, flag::FREE_AS_TAKEN) && conduct.is_over(node, budget);
            if !is_over && !self.replace_on(slot, conduct, node, now) {
                return;
            }
            last = Some(turn);
        }
        while let Some(node) = conduct.next_in_budget(budget) {
            if !self.replace_on(slot, conduct, node, now) || conduct.roster.has(node, flag::COSTLY) {
                return;
            }
        }
    }

    /// Replaces the old pod of a node; whether that could be asked for.
    fn replace_on(&mut self, slot: &mut Slot, conduct: &mut Conduct, node: NodeId, now: Time) -> bool {
        let Some(spot) = conduct.roster.spot(node) else { return true };
        let Some(old) = spot.old else { return true };
        let (name, serves, was_ready) = (spot.name().clone(), spot.is_available(), old.ready);
        let order = match spot.new {
            None if conduct.roster.rules.surges => Order::Surge(node),
            _ if spot.health == Health::Well && !old.ready => Order::DeleteAsKnown(old.id),
            _ => Order::Delete(old.id),
        };
        let uid = self.pods.get(old.id).map_or(Uid(0), |row| row.uid);
        let is_costly = conduct.roster.has(node, flag::COSTLY);
        if !self.give(slot, node, order, now) {
            return false;
        }
        match order {
            // Beside an old pod that serves the new one takes nothing away.
            Order::Surge(_) if was_ready => {}
            _ if is_costly => conduct.notes.take(name),
            _ if serves || conduct.noted(&name).is_taken => {}
            Order::Surge(_) => conduct.notes.exempt_node(name),
            // It may have become ready: then it does not go, and is like any other.
            Order::Delete(_) | Order::DeleteAsKnown(_) => drop(conduct.going.insert(uid, name)),
        }
        self.look_again(slot, conduct, node, now);
        true
    }

    /// Gives an order, unless writes fail or queue.
    fn give(&mut self, slot: &mut Slot, node: NodeId, order: Order, now: Time) -> bool {
        if self.scope == Scope::Nothing {
            return false;
        }
        match order {
            Order::Delete(_) | Order::DeleteAsKnown(_) if !self.may_delete(slot, now) => return false,
            Order::Delete(pod) => self.delete(slot, pod),
            Order::DeleteAsKnown(pod) => self.delete_as_known(slot, pod),
            Order::Surge(node) => {
                let waits = self.must_wait(slot, |slot| &slot.retries.creates, now);
                if waits || slot.in_flight.creates >= self.limits.creates_in_flight {
                    return false;
                }
                if !self.create_on(slot, node, now) {
                    return false;
                }
            }
        }
        self.evaluate(slot, node, now);
        true
    }

    /// New pods come beside old ones: the DaemonSet asks for it, and nothing of the pod's is the node's alone.
    pub(super) fn surges(&self, slot: &Slot, conduct: &Conduct) -> bool {
        let Some(spec) = slot.spec.as_ref().filter(|_| self.scope == Scope::All) else { return false };
        !conduct.phase.is_back()
            && spec.fact.strategy.allows_surge()
            && !holds_the_node(&spec.fact.template.value()["spec"])
    }

    /// The template and hash of the earlier revision that pods on a node are made from; `None` for the current one.
    pub(crate) fn revision_for(&self, slot: &Slot, node: NodeId) -> Option<(Arc<Template>, Arc<str>)> {
        let conduct = slot.conduct.as_ref().filter(|_| self.scope == Scope::All)?;
        if !conduct.is_known || conduct.is_admitted(node) {
            return None;
        }
        let good = conduct.last_good.as_ref().filter(|good| Some(*good) != conduct.hash.as_ref())?;
        Some((self.last_good_template(slot, conduct)?, good.clone()))
    }

    /// The template of the last good revision, if there still is one that says what it did. Pods of a template that the
    /// selector does not match would not be the DaemonSet's: it does not count.
    fn last_good_template(&self, slot: &Slot, conduct: &Conduct) -> Option<Arc<Template>> {
        if let Some((known, template)) = &conduct.last_good_template
            && Some(known) == conduct.last_good.as_ref()
        {
            return Some(template.clone());
        }
        let row = self.last_good_revision(slot, conduct)?;
        let template = Template::new(revision::template(&row.fact.data)?);
        let label =
            |key: &str| template.labels().iter().find(|(one, _)| one == key).map(|(_, value)| &**value);
        let is_selected = slot.spec.as_ref().is_some_and(|spec| spec.fact.selector.matches(label));
        is_selected.then(|| Arc::new(template))
    }

    /// Keeps the template of the last good revision at hand.
    fn keep_last_good(&self, slot: &mut Slot) {
        let Some(conduct) = &slot.conduct else { return };
        let Some(good) = conduct.last_good.clone() else { return };
        let template = self.last_good_template(slot, conduct);
        if let Some(conduct) = &mut slot.conduct {
            conduct.last_good_template = template.map(|template| (good, template));
        }
    }
}

/// Why a roll-out is halted.
fn why_halted(conduct: &Conduct, budget: usize) -> Cause {
    let failed = conduct.notes.failed();
    let first = failed.iter().next().map(|(node, failure)| (node.clone(), failure.clone()));
    match (conduct.aborted, first) {
        (true, _) => Cause::Aborted,
        (false, Some((node, failure))) if failed.len() < budget => {
            Cause::WaveFailed { number: conduct.wave + 1, node, failure }
        }
        (false, Some((node, failure))) => Cause::Failures { failed: failed.len(), budget, node, failure },
        (false, None) => Cause::Unknown,
    }
}

//! What a conducted roll-out asks for.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use crate::base::Time;
use crate::engine::{Engine, Scope};
use crate::facts::{IntOrPercent, PodController, Strategy};
use crate::nodes::NodeId;
use crate::pod_body::HASH_LABEL;
use crate::pods::PodId;
use crate::slot::Slot;
use crate::template::{Template, items};

use super::conduct::{Conduct, size};
use super::spec::OnFailure;
use super::survey::{Health, Spot};
use super::{RolloutFigures, RolloutPhase};

/// What is to be done on a node.
#[derive(Clone, Copy, Debug)]
enum Order {
    Delete(PodId),
    /// A pod that serves nobody, as far as is known.
    DeleteAsKnown(PodId),
    Surge(NodeId),
}

impl Engine {
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
        if let Some(current) = slot.current.clone().filter(|_| !conduct.rests(slot)) {
            self.conduct_to(slot, &mut conduct, &current.hash, now);
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
            conduct.begin(hash, now);
            self.record(
                slot,
                false,
                "RolloutStarted",
                format!("Policy {} begins with revision {hash}", policy.key.name),
            );
        }
        conduct.obey(now);
        let goal = conduct.goal().unwrap_or(hash).clone();
        let spots = self.survey(slot, &policy.spec, &goal, now);
        // A node that is gone may come back before its pod's deletion is carried out.
        conduct.take_back_the_served(&spots, |name| {
            let cell = self.nodes.find(name).and_then(|node| slot.cells.get(&node));
            cell.is_some_and(|cell| cell.first != PodId::NONE)
        });
        let wake = match conduct.phase {
            phase if phase.is_back() => {
                self.note_rollback(slot, conduct, &spots);
                None
            }
            RolloutPhase::Halted => None,
            _ => self.note_progress(slot, conduct, &spots, now),
        };
        if let Some(at) = wake {
            self.wake_slot(slot, at);
        }
        if conduct.goal() != Some(&goal) {
            // The goal is another one now: look at the nodes with it in mind.
            let goal = conduct.goal().unwrap_or(hash).clone();
            let spots = self.survey(slot, &policy.spec, &goal, now);
            return self.act(slot, conduct, &spots, now);
        }
        self.act(slot, conduct, &spots, now);
    }

    /// What was known of the roll-out when the policy was seen first.
    fn take_up(&mut self, slot: &Slot, conduct: &mut Conduct, hash: &Arc<str>, now: Time) {
        conduct.is_known = true;
        let policy = conduct.policy.clone();
        let entry = &policy.status["daemonSets"][&slot.key.name];
        let spots = self.survey(slot, &policy.spec, hash, now);
        if entry.is_object() {
            conduct.resume(entry);
        } else {
            conduct.begin(hash, now);
            let hashes = spots.iter().filter_map(|spot| {
                let row = self.pods.get(spot.old?.id)?;
                Some((spot.node, self.labels.hash(row.labels).into()))
            });
            conduct.guess_last_good(&spots, &hashes.collect(), hash);
        }
        // Who took these away cannot be told: they count, to be safe, but for what was broken before the roll-out.
        let is_same = conduct.hash.as_ref() == Some(hash);
        let begun = conduct.started_at.unwrap_or_default();
        let is_ours = |spot: &&Spot| {
            let is_excused = is_same && conduct.exempt.contains(&spot.name);
            let was_broken = spot.old.is_some_and(|old| old.created < begun);
            !spot.is_available() && spot.health == Health::Well && !is_excused && !was_broken
        };
        let ours: Vec<Arc<str>> = spots.iter().filter(is_ours).map(|spot| spot.name.clone()).collect();
        conduct.taken.extend(ours);
    }

    fn note_progress(
        &mut self,
        slot: &mut Slot,
        conduct: &mut Conduct,
        spots: &[Spot],
        now: Time,
    ) -> Option<Time> {
        let was = (conduct.phase, conduct.wave);
        let (found, mut wake) = match conduct.phase {
            RolloutPhase::Complete => (Vec::new(), None),
            _ => conduct.notice_failures(spots, now),
        };
        for (node, reason) in found {
            self.record(
                slot,
                true,
                "RolloutNodeFailed",
                format!("Node {node} failed with the new revision: {reason}"),
            );
        }
        let budget = conduct.failure_budget(spots);
        if conduct.aborted || conduct.failed.len() >= budget || conduct.wave_has_failed(spots) {
            self.halt(slot, conduct, budget);
            return None;
        }
        if conduct.phase != RolloutPhase::Complete {
            let available = spots.iter().filter(|spot| spot.is_done()).count();
            if available > conduct.figures.available {
                conduct.progress_at = Some(now);
            }
            let bake = conduct.advance(spots, now);
            wake = wake.into_iter().chain(bake).min();
            let deadline = conduct
                .progress_at
                .map(|at| at.plus_millis(conduct.policy.spec.progress_deadline_seconds * 1000));
            wake = wake.into_iter().chain(deadline.filter(|at| *at > now)).min();
        } else {
            // Nodes that were down get it when they are back.
            conduct.message = conduct.who_has_it(spots);
        }
        if was != (conduct.phase, conduct.wave) {
            let reason =
                if conduct.phase == RolloutPhase::Complete { "RolloutComplete" } else { "RolloutWave" };
            self.record(slot, conduct.phase == RolloutPhase::Stalled, reason, conduct.message.clone());
        }
        wake
    }

    /// The failure budget is spent, or somebody aborted.
    fn halt(&mut self, slot: &mut Slot, conduct: &mut Conduct, budget: usize) {
        let goes_back = conduct.aborted || conduct.policy.spec.on_failure == OnFailure::Rollback;
        let last_good = conduct.last_good.clone().filter(|good| Some(good) != conduct.hash.as_ref());
        let can_go_back = self.scope == Scope::All
            && last_good.as_ref().is_some_and(|good| self.template_of(slot, conduct, good).is_some());
        let why = match (conduct.aborted, conduct.failed.iter().next()) {
            (true, _) => "aborted".to_owned(),
            (false, Some((node, failure))) if conduct.failed.len() < budget => {
                format!("no node of wave {} came up: {node} ({})", conduct.wave + 1, failure.reason)
            }
            (false, Some((node, failure))) => {
                let (failed, first) = (conduct.failed.len(), &failure.reason);
                format!(
                    "nodes that failed: {failed}, and {budget} halt the roll-out; the first: {node} ({first})"
                )
            }
            (false, None) => "too many nodes failed".to_owned(),
        };
        (conduct.phase, conduct.message) = match (goes_back && can_go_back, last_good) {
            (true, Some(good)) => {
                (RolloutPhase::RollingBack, format!("{why}; nodes go back to revision {good}"))
            }
            _ if goes_back && self.scope == Scope::Rollouts => (
                RolloutPhase::Halted,
                format!("{why}; in scope rollouts no pods are made from earlier revisions"),
            ),
            _ if goes_back => (RolloutPhase::Halted, format!("{why}; there is no revision to go back to")),
            _ => (RolloutPhase::Halted, why),
        };
        self.record(slot, true, "RolloutHalted", conduct.message.clone());
    }

    fn note_rollback(&mut self, slot: &mut Slot, conduct: &mut Conduct, spots: &[Spot]) {
        let is_done = spots
            .iter()
            .all(|spot| spot.is_done() || spot.health != Health::Well || conduct.exempt.contains(&spot.name));
        let phase = if is_done { RolloutPhase::RolledBack } else { RolloutPhase::RollingBack };
        if std::mem::replace(&mut conduct.phase, phase) != phase && is_done {
            let good = conduct.last_good.clone().unwrap_or_else(|| "".into());
            self.record(slot, false, "RolledBack", format!("All nodes have revision {good} again"));
        }
    }

    /// Figures, what may be created, and what is replaced.
    fn act(&mut self, slot: &mut Slot, conduct: &mut Conduct, spots: &[Spot], now: Time) {
        let waves = conduct.waves(spots);
        let is_back = conduct.phase.is_back();
        let is_free = is_back || conduct.phase == RolloutPhase::Complete || conduct.needs_no_waves();
        let reached = &waves[conduct.wave.min(waves.len() - 1)];
        let is_halted = conduct.phase == RolloutPhase::Halted;
        let is_in = |index: usize| is_free || reached[index] && !is_halted;
        let budget = self.budget_of(slot, conduct, spots);
        conduct.figures = RolloutFigures {
            desired: spots.len(),
            updated: spots.iter().filter(|spot| spot.new.is_some()).count(),
            available: spots.iter().filter(|spot| spot.is_done()).count(),
            unavailable: conduct.taken.len(),
            max_unavailable: budget,
            waiting: (0..spots.len()).filter(|&index| spots[index].new.is_none() && !is_in(index)).count(),
            failure_budget: conduct.failure_budget(spots),
        };
        let admitted: HashSet<NodeId> = match conduct.phase {
            RolloutPhase::Halted => {
                spots.iter().filter(|spot| spot.new.is_some()).map(|spot| spot.node).collect()
            }
            _ if is_back => HashSet::new(),
            _ => (0..spots.len()).filter(|&index| is_in(index)).map(|index| spots[index].node).collect(),
        };
        conduct.admitted = admitted;
        self.pace_creations(slot, conduct, spots, budget);
        let is_held = conduct.policy.spec.paused || conduct.phase == RolloutPhase::Halted;
        if !is_held {
            let turn: Vec<&Spot> =
                (0..spots.len()).filter(|&index| is_in(index)).map(|index| &spots[index]).collect();
            self.replace(slot, conduct, spots, &turn, budget, now);
        }
        if conduct.policy.spec.paused && !conduct.phase.is_ended() {
            conduct.message = "paused".to_owned();
        } else if budget == 0 && conduct.phase == RolloutPhase::Progressing {
            conduct.phase = RolloutPhase::Stalled;
            conduct.message = "maxUnavailable is 0: nothing can be replaced".to_owned();
        }
    }

    /// How many nodes may be taken at a time.
    fn budget_of(&self, slot: &Slot, conduct: &Conduct, spots: &[Spot]) -> usize {
        let own = match slot.spec.as_ref().map(|spec| spec.fact.strategy) {
            Some(Strategy::RollingUpdate { max_unavailable, max_surge }) => match max_surge.scaled(100) {
                0 => max_unavailable,
                _ => max_surge,
            },
            _ => IntOrPercent::Int(1),
        };
        size(conduct.policy.spec.max_unavailable.unwrap_or(own), spots.len())
    }

    /// In a paced first roll-out pods come on the nodes of the wave only, and no more at a time than the budget.
    fn pace_creations(&mut self, slot: &mut Slot, conduct: &mut Conduct, spots: &[Spot], budget: usize) {
        let is_paced = conduct.policy.spec.paces_creations
            && (conduct.last_good.is_none() || conduct.phase == RolloutPhase::Complete);
        let creations = is_paced.then(|| {
            let is_stopped = conduct.policy.spec.paused || conduct.phase == RolloutPhase::Halted;
            let mut left = if is_stopped { 0 } else { budget.max(1) };
            let starting = spots.iter().filter(|spot| {
                (spot.is_busy || spot.new.is_some())
                    && !spot.is_available()
                    && conduct.admitted.contains(&spot.node)
                    && !conduct.failed.contains_key(&spot.name)
            });
            left = left.saturating_sub(starting.count());
            let mut creations = HashSet::new();
            for spot in spots.iter().filter(|spot| spot.new.is_none() && spot.old.is_none()) {
                let is_next = left > 0 && conduct.admitted.contains(&spot.node);
                if spot.is_busy || is_next {
                    creations.insert(spot.node);
                    left -= usize::from(!spot.is_busy);
                }
            }
            creations
        });
        if conduct.creations != creations {
            let old = std::mem::replace(&mut conduct.creations, creations).unwrap_or_default();
            let new = conduct.creations.clone().unwrap_or_default();
            old.symmetric_difference(&new).for_each(|&node| slot.touch_known(node));
            if conduct.creations.is_none() || old.is_empty() {
                spots.iter().for_each(|spot| slot.touch_known(spot.node));
            }
        }
    }

    fn replace(
        &mut self,
        slot: &mut Slot,
        conduct: &mut Conduct,
        spots: &[Spot],
        turn: &[&Spot],
        budget: usize,
        now: Time,
    ) {
        let surges = self.surges(slot, conduct);
        for spot in spots.iter().filter(|spot| spot.health == Health::Well) {
            let failed = spot.new.filter(|new| !new.available && conduct.again.remove(&spot.name));
            if let Some(failed) = failed {
                self.give(slot, Order::DeleteAsKnown(failed.id), now);
            }
        }
        let is_surging =
            |spot: &&Spot| spot.old.is_some() && (spot.is_busy || spot.new.is_some_and(|new| !new.available));
        let mut surging = spots.iter().filter(is_surging).count();
        for spot in turn {
            // A node that is down is left alone, but when it goes back: what brought it down must not start there again.
            let is_down = matches!(spot.health, Health::NotReady(_));
            let Some(old) = spot.old.filter(|_| !is_down || conduct.phase.is_back()) else { continue };
            let is_taken = conduct.taken.contains(&spot.name);
            let is_free = spot.health != Health::Well
                || !old.ready
                || is_taken && conduct.taken.len() <= budget
                || spot.new.is_some_and(|new| new.available);
            let used = if surges { surging } else { conduct.taken.len() };
            let in_budget = used < budget && !conduct.domain_is_full(spots, spot);
            let order = match spot.new {
                Some(new) if surges && !new.available => continue,
                None if surges && spot.is_busy => continue,
                None if surges => Order::Surge(spot.node),
                _ if spot.health == Health::Well && !old.ready => Order::DeleteAsKnown(old.id),
                _ => Order::Delete(old.id),
            };
            if !is_free && !in_budget || !self.give(slot, order, now) {
                continue;
            }
            if matches!(order, Order::Surge(_)) {
                surging += 1;
            } else if !is_free {
                // It may have been exempt once, and serves again since.
                conduct.exempt.remove(&spot.name);
                conduct.taken.insert(spot.name.clone());
            } else if !is_taken && !spot.is_available() {
                conduct.exempt.insert(spot.name.clone());
            }
        }
    }

    /// Gives an order, unless writes fail or queue.
    fn give(&mut self, slot: &mut Slot, order: Order, now: Time) -> bool {
        if self.scope == Scope::Nothing {
            return false;
        }
        match order {
            Order::Delete(pod) | Order::DeleteAsKnown(pod) => {
                if !self.may_delete(slot, now) {
                    return false;
                }
                let node = self.pods.get(pod).map(|row| row.node);
                match order {
                    Order::DeleteAsKnown(_) => self.delete_as_known(slot, pod),
                    _ => self.delete(slot, pod),
                }
                if let Some(node) = node {
                    self.evaluate(slot, node, now);
                }
            }
            Order::Surge(node) => {
                let waits = self.must_wait(slot, |slot| &slot.retries.creates, now);
                if waits || slot.in_flight.creates >= self.limits.creates_in_flight {
                    return false;
                }
                self.create_on(slot, node);
                self.evaluate(slot, node, now);
            }
        }
        true
    }

    /// New pods come beside old ones: the DaemonSet asks for it, and nothing of the pod's is the node's alone.
    fn surges(&self, slot: &Slot, conduct: &Conduct) -> bool {
        let Some(spec) = slot.spec.as_ref().filter(|_| self.scope == Scope::All) else { return false };
        !conduct.phase.is_back()
            && spec.fact.strategy.allows_surge()
            && !holds_the_node(spec.fact.template.value())
    }

    /// The template and hash of the earlier revision that pods on a node are made from; `None` for the current one.
    pub(crate) fn revision_for(&self, slot: &Slot, node: NodeId) -> Option<(Arc<Template>, Arc<str>)> {
        let conduct = slot.conduct.as_ref().filter(|_| self.scope == Scope::All)?;
        if !conduct.is_known || conduct.is_admitted(node) {
            return None;
        }
        let good = conduct.last_good.as_ref().filter(|good| Some(*good) != conduct.hash.as_ref())?;
        Some((self.template_of(slot, conduct, good)?, good.clone()))
    }

    /// The template of a revision that the DaemonSet has.
    fn template_of(&self, slot: &Slot, conduct: &Conduct, hash: &Arc<str>) -> Option<Arc<Template>> {
        if let Some((known, template)) = &conduct.last_good_template
            && known == hash
        {
            return Some(template.clone());
        }
        let namespace = self.namespaces.get(slot.namespace)?;
        let row = namespace.revisions.values().find(|row| {
            row.fact.controller == PodController::DaemonSet(slot.key.uid)
                && row.fact.labels.iter().any(|(key, value)| key == HASH_LABEL && **value == **hash)
        })?;
        let mut data: Value = serde_json::from_slice(&row.fact.data).ok()?;
        let mut template = data["spec"]["template"].take();
        template.as_object_mut()?.remove("$patch");
        Some(Arc::new(Template::new(template)))
    }

    /// Keeps the template of the last good revision at hand.
    fn keep_last_good(&self, slot: &mut Slot) {
        let Some(conduct) = &slot.conduct else { return };
        let Some(good) = conduct.last_good.clone() else { return };
        let template = self.template_of(slot, conduct, &good);
        if let Some(conduct) = &mut slot.conduct {
            conduct.last_good_template = template.map(|template| (good, template));
        }
    }
}

/// Two pods of a template cannot be on one node: they hold a host port or a volume claim.
fn holds_the_node(template: &Value) -> bool {
    let spec = &template["spec"];
    let containers = items(&spec["containers"]).chain(items(&spec["initContainers"]));
    let mut ports = containers.flat_map(|container| items(&container["ports"]));
    let has_host_port = ports.any(|port| port["hostPort"].as_i64().unwrap_or_default() > 0);
    let is_exclusive = |volume: &Value| volume["persistentVolumeClaim"].is_object();
    has_host_port || items(&spec["volumes"]).any(is_exclusive)
}

//! From wave to wave.

use std::borrow::Borrow;

use everynode_api::{Command, Gate, Wave, WaveNodes};
use everynode_model::IntOrPercent;

use crate::base::Time;

use super::RolloutPhase;
use super::node_state::{NodeState, Standing};
use super::nodes::flag;
use super::reason::RolloutReason;
use super::rollout::{RolloutState, size};

impl RolloutState {
    /// For each of the first waves the nodes that have the revision at its end, as places in the list. Nodes that have
    /// it already come first, so that a wave's nodes stay the same while nodes come and go; then those that can show
    /// what the revision is worth.
    pub fn waves<S: Borrow<NodeState>>(&self, states: &[S], waves: usize) -> Vec<Vec<bool>> {
        let state = |index: usize| -> &NodeState { states[index].borrow() };
        let mut order: Vec<usize> = (0..states.len()).collect();
        order.sort_by_cached_key(|&index| Standing::of(state(index), self.noted(state(index).name())));
        let mut member = vec![false; states.len()];
        let mut found = Vec::with_capacity(waves);
        for (number, wave) in self.policy.spec.waves.iter().take(waves).enumerate() {
            match &wave.nodes {
                WaveNodes::Selector(_) => {
                    let bit = 1 << number.min(63);
                    let selected = (0..states.len()).filter(|&index| state(index).selected & bit != 0);
                    selected.for_each(|index| member[index] = true);
                }
                WaveNodes::Count(count) => {
                    let inside = member.iter().filter(|one| **one).count();
                    let left = size(*count, states.len()).saturating_sub(inside);
                    let next: Vec<usize> =
                        order.iter().copied().filter(|&index| !member[index]).take(left).collect();
                    next.into_iter().for_each(|index| member[index] = true);
                }
            }
            found.push(member.clone());
        }
        found
    }

    /// Makes the nodes of the wave under way the members. They are found anew only when a node comes or
    /// goes, has the revision and is no member, or is one and has lost it.
    pub fn reach(&mut self) {
        self.wave = self.wave.min(self.policy.spec.waves.len().saturating_sub(1));
        let is_free = self.phase.is_back() || self.phase == RolloutPhase::Complete || self.needs_no_waves();
        if self.nodes.is_reached(self.wave, is_free) {
            return;
        }
        if is_free {
            return self.nodes.reach_everyone(self.wave);
        }
        let states: Vec<&NodeState> = self.nodes.in_turn().collect();
        let waves = self.waves(&states, self.wave + 1);
        let before = self.wave.checked_sub(1).map(|before| &waves[before]);
        let was_member = |index: usize| before.is_some_and(|before| before[index]);
        let members = waves[self.wave].iter().enumerate();
        let members: Vec<(bool, bool)> =
            members.map(|(index, &member)| (member, member && !was_member(index))).collect();
        let stays = self.wave_under_way().nodes == WaveNodes::Count(IntOrPercent::Percent(100));
        self.nodes.reach_wave(self.wave, &members, stays);
    }

    fn wave_under_way(&self) -> &Wave {
        // There is always one, and `reach` keeps the number in bounds.
        &self.policy.spec.waves[self.wave]
    }

    /// The nodes that have the revision since the wave began have all failed with it.
    pub fn wave_has_failed(&mut self) -> bool {
        if self.notes.failed().is_empty() {
            return false;
        }
        self.reach();
        let count = |flag| self.nodes.count(flag);
        count(flag::FRESH_FAILED) > 0 && count(flag::FRESH_EXCUSED) == count(flag::FRESH)
    }

    /// To what was good before no wave is needed; and first roll-outs have waves only when they are asked for.
    pub fn needs_no_waves(&self) -> bool {
        match &self.last_good {
            None => !self.policy.spec.paces_creations,
            Some(_) => self.is_return(),
        }
    }

    /// When the wave under way has been watched for long enough; none before it is complete.
    pub fn baked_at(&self) -> Option<Time> {
        let baked_at = self.wave_done_at?.plus_millis(self.policy.spec.bake_seconds(self.wave) * 1000);
        self.watched_until().into_iter().chain([baked_at]).max()
    }

    fn is_promoted(&self) -> bool {
        let wanted = self.hash.as_ref().map(|hash| format!("{hash}/{}", self.wave + 1));
        wanted.is_some() && self.policy.command(Command::Promote) == wanted.as_deref()
    }

    /// The value of the annotation by which somebody has it go on, when that is what it waits for.
    pub fn promotion(&self) -> Option<String> {
        let hash = self.hash.as_deref().filter(|_| self.reason.is_promotable())?;
        Some(format!("{hash}/{}", self.wave + 1))
    }

    /// Goes from wave to wave as far as it can, with a budget of so many nodes; when to look again.
    pub fn advance(&mut self, budget: usize, now: Time) -> Option<Time> {
        if self.nodes.len() == 0 {
            // It waits for nodes, and no deadline passes.
            (self.phase, self.progress_at) = (RolloutPhase::Progressing, None);
            self.reason = RolloutReason::NoEligibleNode;
            return None;
        }
        self.progress_at.get_or_insert(now);
        if self.needs_no_waves() {
            match self.nodes.count(flag::UNSETTLED) {
                0 => self.complete(),
                _ if self.is_return() => {
                    self.reason = RolloutReason::Returning { hash: self.hash.clone().unwrap_or_default() };
                }
                _ => self.reason = RolloutReason::AtOnce,
            }
            return None;
        }
        loop {
            self.reach();
            if let Some(wake) = self.stay(budget, now) {
                return wake;
            }
            if self.wave + 1 == self.policy.spec.waves.len() {
                self.end();
                return None;
            }
            (self.wave, self.wave_done_at, self.progress_at) = (self.wave + 1, None, Some(now));
        }
    }

    /// Whether the wave under way keeps the roll-out, and until when if that is known.
    fn stay(&mut self, budget: usize, now: Time) -> Option<Option<Time>> {
        let waves = self.policy.spec.waves.len();
        let wave = self.wave_under_way().clone();
        let is_empty = self.nodes.count(flag::FRESH) == 0;
        let by_selector = matches!(wave.nodes, WaveNodes::Selector(_));
        if is_empty && by_selector && !self.is_promoted() {
            self.phase = RolloutPhase::Stalled;
            self.reason = RolloutReason::WaveIsEmpty { wave: wave.name };
            return Some(None);
        }
        if self.is_blocked(budget) {
            if self.is_promoted() && self.wave + 1 < waves {
                return None;
            }
            self.phase = RolloutPhase::Stalled;
            self.reason = RolloutReason::BudgetUsedUp { nodes: self.notes.disrupted().len() };
            return Some(None);
        }
        if self.nodes.count(flag::MEMBER_UNSETTLED) > 0 {
            self.phase = RolloutPhase::Progressing;
            self.wave_done_at = None;
            self.reason = RolloutReason::WaveUnderWay { number: self.wave + 1, of: waves, name: wave.name };
            return Some(None);
        }
        if let Some(reason) = self.who_serves_nothing(&wave) {
            (self.phase, self.wave_done_at, self.reason) = (RolloutPhase::Stalled, None, reason);
            return Some(None);
        }
        self.wave_done_at.get_or_insert(now);
        let bakes_until = self.baked_at().filter(|baked_at| now < *baked_at && !is_empty);
        if bakes_until.is_some() {
            self.phase = RolloutPhase::Baking;
            let seconds =
                bakes_until.map_or(0, |until| until.seconds() - self.wave_done_at.unwrap_or(now).seconds());
            self.reason = RolloutReason::Baking { wave: wave.name, seconds };
            return Some(bakes_until);
        }
        if wave.gate == Gate::Manual && self.wave + 1 < waves && !self.is_promoted() {
            self.phase = RolloutPhase::WaitingForPromotion;
            self.reason = RolloutReason::AwaitsPromotion { wave: wave.name };
            return Some(None);
        }
        None
    }

    /// A wave says something about the revision only when it serves somewhere: what to say when no node of the wave
    /// under way serves it, although none of them is waited for. Nodes that are down at the end keep nobody up.
    fn who_serves_nothing(&self, wave: &Wave) -> Option<RolloutReason> {
        let (fresh, serving) = (self.nodes.count(flag::FRESH), self.nodes.count(flag::FRESH_SERVES));
        let is_last = self.wave + 1 == self.policy.spec.waves.len();
        let is_well = match is_last {
            true => self.nodes.count(flag::SERVES) > 0,
            false => fresh == 0 || serving > 0 || self.is_promoted(),
        };
        match (is_well, is_last) {
            (true, _) => None,
            (false, true) => Some(RolloutReason::ServesNowhere),
            (false, false) => {
                Some(RolloutReason::WaveServesNowhere { wave: wave.name.clone(), nodes: fresh })
            }
        }
    }

    /// Nodes whose wave has not come, and which get no pod that serves before, use the budget up.
    fn is_blocked(&self, budget: usize) -> bool {
        let outside = self.nodes.count(flag::DISRUPTED_OUTSIDE);
        outside > 0
            && outside == self.notes.disrupted().len()
            && self.nodes.has_costly_alone()
            && self.next_in_budget(budget).is_none()
    }

    /// The last wave is over.
    fn end(&mut self) {
        match self.nodes.len() - self.nodes.count(flag::MEMBER) {
            0 => self.complete(),
            left => {
                self.phase = RolloutPhase::Stalled;
                self.reason = RolloutReason::LeavesOut { nodes: left };
            }
        }
    }

    /// The revision is on all nodes, but for those that are excused.
    fn complete(&mut self) {
        self.take_for_good();
        self.reason = self.who_has_it();
    }

    /// Which nodes have the revision, when nothing holds the roll-out up any more.
    pub fn who_has_it(&self) -> RolloutReason {
        let count = |flag| self.nodes.count(flag);
        RolloutReason::Complete { down: count(flag::LACKS_DOWN), unwell: count(flag::LACKS_OTHER) }
    }
}

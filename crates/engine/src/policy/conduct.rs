//! The conduct of one DaemonSet's roll-outs under a policy.
//!
//! Each decision looks at all eligible nodes anew; what is kept beside the pods themselves is little, and stands in
//! the policy's status, so that a restart or another leader goes on where this one stopped.
//!
//! *Budget.* A node is *taken* from the moment in which a pod that was ready was taken away from it until a pod
//! serves there again. Taken nodes never exceed the budget.
//!
//! *Causes.* A node that is not ready, is cordoned or has no ready pod when its turn comes is *exempt*: it costs
//! nothing, blocks nothing, and cannot fail. A node that is well when its turn comes and breaks with its new pod has
//! *failed*.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::base::Time;
use crate::facts::IntOrPercent;
use crate::nodes::NodeId;
use crate::slot::{Slot, mark};
use crate::template::{Template, items};

use super::spec::{Gate, PolicyFact, WaveNodes};
use super::survey::{Daemon, Health, Spot};
use super::{NodeFailure, RolloutPhase};

/// The roll-outs of one DaemonSet under a policy.
#[derive(Clone, Debug)]
pub(crate) struct Conduct {
    pub policy: Arc<PolicyFact>,
    /// The revision that this is about, by the hash in its pods' labels.
    pub hash: Option<Arc<str>>,
    /// The last revision that all nodes had.
    pub last_good: Option<Arc<str>>,
    pub phase: RolloutPhase,
    /// The wave that is under way, from 0.
    pub wave: usize,
    pub wave_done_at: Option<Time>,
    /// How often somebody had it tried again.
    pub attempt: i64,
    pub failed: BTreeMap<Arc<str>, NodeFailure>,
    pub exempt: BTreeSet<Arc<str>>,
    pub taken: BTreeSet<Arc<str>>,
    /// Nodes that failed, and whose pods are replaced because somebody has it tried again.
    pub again: BTreeSet<Arc<str>>,
    pub started_at: Option<Time>,
    pub progress_at: Option<Time>,
    pub aborted: bool,
    pub figures: RolloutFigures,
    pub message: String,
    /// Nodes that the revision may be on.
    pub admitted: HashSet<NodeId>,
    /// Nodes on which pods may be created now; all of them when there is none.
    pub creations: Option<HashSet<NodeId>>,
    /// Nodes that were well with their new pod.
    seen_well: HashSet<Arc<str>>,
    pub is_known: bool,
    /// Another controller rolls the DaemonSet: nothing is done here.
    pub is_refused: bool,
    pub last_good_template: Option<(Arc<str>, Arc<Template>)>,
}

/// Numbers of a roll-out under a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolloutFigures {
    /// Eligible nodes.
    pub desired: usize,
    /// Nodes with the revision.
    pub updated: usize,
    /// Nodes where the revision serves.
    pub available: usize,
    /// Nodes from which a ready pod was taken and where none serves yet.
    pub unavailable: usize,
    /// How many that may be.
    pub max_unavailable: usize,
    /// Nodes whose turn has not come.
    pub waiting: usize,
    /// So many failures halt it.
    pub failure_budget: usize,
}

impl Conduct {
    pub fn new(policy: Arc<PolicyFact>) -> Self {
        Conduct {
            policy,
            hash: None,
            last_good: None,
            phase: RolloutPhase::default(),
            wave: 0,
            wave_done_at: None,
            attempt: 0,
            failed: BTreeMap::new(),
            exempt: BTreeSet::new(),
            taken: BTreeSet::new(),
            again: BTreeSet::new(),
            started_at: None,
            progress_at: None,
            aborted: false,
            figures: RolloutFigures::default(),
            message: String::new(),
            admitted: HashSet::new(),
            creations: None,
            seen_well: HashSet::new(),
            is_known: false,
            is_refused: false,
            last_good_template: None,
        }
    }

    /// The revision that nodes are led to.
    pub fn goal(&self) -> Option<&Arc<str>> {
        if self.phase.is_back() { self.last_good.as_ref() } else { self.hash.as_ref() }
    }

    /// Takes up where the policy's status says that the roll-out stands.
    pub fn resume(&mut self, entry: &Value) {
        let text = |key: &str| entry[key].as_str().map(Arc::<str>::from);
        self.hash = text("revision");
        self.last_good = text("lastGoodRevision");
        self.phase = entry["phase"].as_str().and_then(RolloutPhase::parse).unwrap_or_default();
        self.wave =
            entry["wave"].as_u64().and_then(|wave| usize::try_from(wave).ok()).unwrap_or(1).max(1) - 1;
        self.attempt = entry["attempt"].as_i64().unwrap_or_default();
        self.aborted = entry["aborted"] == true;
        self.message = entry["message"].as_str().unwrap_or_default().to_owned();
        (self.wave_done_at, self.started_at, self.progress_at) =
            (time(&entry["waveDoneAt"]), time(&entry["startedAt"]), time(&entry["progressAt"]));
        self.failed = items(&entry["failedNodes"])
            .filter_map(|one| {
                let failure = NodeFailure {
                    reason: one["reason"].as_str()?.to_owned(),
                    at: time(&one["at"]).unwrap_or_default(),
                };
                Some((one["node"].as_str()?.into(), failure))
            })
            .collect();
        let names = |key: &str| items(&entry[key]).filter_map(|one| Some(one.as_str()?.into())).collect();
        (self.exempt, self.taken) = (names("exemptNodes"), names("unavailableNodes"));
    }

    /// The clock was set by so much: bake time and deadline last as long as they would have without that. What was made
    /// since the roll-out began stays so, whoever's clock was wrong: its beginning only goes back.
    pub fn clock_was_set(&mut self, by_millis: i64) {
        for at in [&mut self.wave_done_at, &mut self.progress_at].into_iter().flatten() {
            *at = at.plus_millis(by_millis);
        }
        self.started_at = self.started_at.map(|at| at.plus_millis(by_millis.min(0)));
    }

    /// A new template starts afresh; the budget that is used up stays so.
    pub fn begin(&mut self, hash: &Arc<str>, now: Time) {
        self.hash = Some(hash.clone());
        self.phase = RolloutPhase::Progressing;
        (self.wave, self.wave_done_at, self.attempt, self.aborted) = (0, None, 0, false);
        self.failed.clear();
        self.exempt.clear();
        self.seen_well.clear();
        (self.started_at, self.progress_at) = (Some(now), Some(now));
    }

    /// Of several revisions on the nodes, the one that serves on most of them, unless it is the new one.
    pub fn guess_last_good(&mut self, spots: &[Spot], hashes: &HashMap<NodeId, Box<str>>, hash: &str) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for spot in spots.iter().filter(|spot| spot.old.is_some_and(|old| old.ready)) {
            if let Some(one) = hashes.get(&spot.node) {
                *counts.entry(one).or_default() += 1;
            }
        }
        let is_on_all =
            !spots.is_empty() && spots.iter().all(|spot| spot.new.is_some() && spot.old.is_none());
        self.last_good = match counts.into_iter().max_by_key(|(_, count)| *count) {
            Some((most, _)) => Some(most.into()),
            None => is_on_all.then(|| hash.into()),
        };
        if is_on_all {
            self.complete(spots);
        }
    }

    /// Forgets what is over: nodes that serve again, and those that are gone with all their pods.
    pub fn take_back_the_served(&mut self, spots: &[Spot], has_pods: impl Fn(&str) -> bool) {
        let serving: HashSet<&Arc<str>> =
            spots.iter().filter(|spot| spot.is_available()).map(|spot| &spot.name).collect();
        let here: HashSet<&Arc<str>> = spots.iter().map(|spot| &spot.name).collect();
        self.taken.retain(|name| (here.contains(name) || has_pods(name)) && !serving.contains(name));
        // What was broken and serves again is like any other.
        let is_well = |spot: &&Spot| spot.health == Health::Well && spot.is_available();
        let well: HashSet<&Arc<str>> = spots.iter().filter(is_well).map(|spot| &spot.name).collect();
        self.exempt.retain(|name| here.contains(name) && !well.contains(name));
        self.failed.retain(|name, _| here.contains(name));
    }

    /// The nodes that failed with their new pod since the last look; when the next one could.
    pub fn notice_failures(&mut self, spots: &[Spot], now: Time) -> (Vec<(Arc<str>, String)>, Option<Time>) {
        let (mut found, mut next) = (Vec::new(), None::<Time>);
        let well = spots.iter().filter(|spot| spot.health == Health::Well && spot.new.is_some());
        self.seen_well.extend(well.map(|spot| spot.name.clone()));
        let (window, deadline) =
            (self.policy.spec.node_window_seconds, self.policy.spec.ready_within_seconds);
        let begun = self.started_at.unwrap_or_default();
        for spot in spots {
            let is_ours = |new: &Daemon| new.created.0 / 1000 >= begun.0 / 1000;
            let Some(new) = spot.new.filter(is_ours).filter(|_| !self.is_excused(&spot.name)) else {
                continue;
            };
            let due = new.created.plus_millis(deadline * 1000);
            let reason = match spot.health {
                Health::NotReady(since) => {
                    let since = since.unwrap_or(now);
                    let is_soon = since >= new.created && since.millis_since(new.created) <= window * 1000;
                    // One that has just joined may not have been ready yet.
                    let was_well = self.taken.contains(&spot.name) || self.seen_well.contains(&spot.name);
                    (is_soon && was_well).then(|| "NodeNotReady".to_owned())
                }
                _ if new.available => None,
                _ if new.failed => Some("PodFailed".to_owned()),
                _ if new.trouble.is_some() => new.trouble.map(|trouble| trouble.name().to_owned()),
                _ if !new.ready && due <= now => Some("NotReadyInTime".to_owned()),
                _ if !new.ready => {
                    next = Some(next.map_or(due, |at| at.min(due)));
                    None
                }
                _ => None,
            };
            if let Some(reason) = reason {
                self.failed.insert(spot.name.clone(), NodeFailure { reason: reason.clone(), at: now });
                found.push((spot.name.clone(), reason));
            }
        }
        (found, next)
    }

    fn is_excused(&self, name: &Arc<str>) -> bool {
        self.exempt.contains(name) || self.failed.contains_key(name)
    }

    /// For each wave the nodes that have the revision at its end, as places in the list. Nodes that have it already
    /// come first, so that a wave's nodes stay the same while nodes come and go.
    pub fn waves(&self, spots: &[Spot]) -> Vec<Vec<bool>> {
        let mut order: Vec<usize> = (0..spots.len()).collect();
        order.sort_by_key(|&index| spots[index].new.is_none() && !self.taken.contains(&spots[index].name));
        let mut member = vec![false; spots.len()];
        let mut waves = Vec::with_capacity(self.policy.spec.waves.len());
        for (number, wave) in self.policy.spec.waves.iter().enumerate() {
            match &wave.nodes {
                WaveNodes::Selector(_) => {
                    let bit = 1 << number.min(63);
                    member
                        .iter_mut()
                        .zip(spots)
                        .for_each(|(member, spot)| *member |= spot.selected & bit != 0);
                }
                WaveNodes::Count(count) => {
                    let mut left =
                        size(*count, spots.len()).saturating_sub(member.iter().filter(|one| **one).count());
                    for &index in &order {
                        if left > 0 && !member[index] {
                            member[index] = true;
                            left -= 1;
                        }
                    }
                }
            }
            waves.push(member.clone());
        }
        waves
    }

    /// The node does not hold its wave up.
    fn is_settled(&self, spot: &Spot) -> bool {
        spot.is_done() || self.is_excused(&spot.name) || spot.health != Health::Well
    }

    /// The nodes that have the revision since the wave began have all failed with it.
    pub fn wave_has_failed(&self, spots: &[Spot]) -> bool {
        if self.failed.is_empty() || spots.is_empty() {
            return false;
        }
        let waves = self.waves(spots);
        let wave = self.wave.min(waves.len() - 1);
        let is_new = |index: &usize| waves[wave][*index] && !(wave > 0 && waves[wave - 1][*index]);
        let mut counts = (0..spots.len()).filter(is_new).map(|index| &spots[index]);
        let tried = counts.clone().filter(|spot| !self.exempt.contains(&spot.name));
        tried.clone().any(|spot| self.failed.contains_key(&spot.name))
            && counts.all(|spot| self.failed.contains_key(&spot.name) || self.exempt.contains(&spot.name))
    }

    /// To what was good before no wave is needed; and first roll-outs have waves only when they are asked for.
    pub fn needs_no_waves(&self) -> bool {
        match &self.last_good {
            None => !self.policy.spec.paces_creations,
            good => *good == self.hash,
        }
    }

    fn is_promoted(&self) -> bool {
        let wanted = self.hash.as_ref().map(|hash| format!("{hash}/{}", self.wave + 1));
        wanted.is_some() && self.policy.command("promote") == wanted.as_deref()
    }

    /// What goes into the message when somebody is to promote.
    fn promotion(&self) -> String {
        let hash = self.hash.as_deref().unwrap_or_default();
        format!("everynode.dev/promote={hash}/{}", self.wave + 1)
    }

    /// Goes from wave to wave as far as it can; when to look again.
    pub fn advance(&mut self, spots: &[Spot], now: Time) -> Option<Time> {
        if spots.is_empty() {
            self.phase = RolloutPhase::Progressing;
            self.message = "no node is eligible".to_owned();
            return None;
        }
        if self.needs_no_waves() {
            match spots.iter().all(|spot| self.is_settled(spot)) {
                true => self.complete(spots),
                false => self.message = "all nodes get the revision".to_owned(),
            }
            return None;
        }
        let waves = self.waves(spots);
        self.wave = self.wave.min(waves.len() - 1);
        loop {
            let members = &waves[self.wave];
            let before = self.wave.checked_sub(1).map(|before| &waves[before]);
            let is_empty = before.map_or_else(|| !members.contains(&true), |before| before == members);
            let is_last = self.wave + 1 == waves.len();
            let wave = self.policy.spec.waves[self.wave].clone();
            let by_selector = matches!(wave.nodes, WaveNodes::Selector(_));
            if is_empty && by_selector && !self.is_promoted() {
                self.phase = RolloutPhase::Stalled;
                self.message =
                    format!("wave {} matches no further node; to go on: {}", wave.name, self.promotion());
                return None;
            }
            let is_settled = spots.iter().zip(members).all(|(spot, member)| !member || self.is_settled(spot));
            if !is_settled {
                self.phase = RolloutPhase::Progressing;
                self.wave_done_at = None;
                let (number, all) = (self.wave + 1, waves.len());
                self.message = format!("wave {number} of {all} ({}) is under way", wave.name);
                return None;
            }
            let done_at = *self.wave_done_at.get_or_insert(now);
            let baked_at = done_at.plus_millis(wave.bake_seconds * 1000);
            if now < baked_at && !is_empty {
                self.phase = RolloutPhase::Baking;
                self.message =
                    format!("wave {} is complete and watched for {} s", wave.name, wave.bake_seconds);
                return Some(baked_at);
            }
            if wave.gate == Gate::Manual && !is_last && !self.is_promoted() {
                self.phase = RolloutPhase::WaitingForPromotion;
                self.message = format!("wave {} is complete; to go on: {}", wave.name, self.promotion());
                return None;
            }
            if !is_last {
                (self.wave, self.wave_done_at, self.progress_at) = (self.wave + 1, None, Some(now));
                continue;
            }
            let left = members.iter().filter(|member| !**member).count();
            if left > 0 {
                self.phase = RolloutPhase::Stalled;
                self.message =
                    format!("the waves leave {left} nodes out: add a last wave with nodes: \"100%\"");
                return None;
            }
            self.complete(spots);
            return None;
        }
    }

    /// The revision is on all nodes, but for those that are excused.
    fn complete(&mut self, spots: &[Spot]) {
        (self.phase, self.last_good) = (RolloutPhase::Complete, self.hash.clone());
        self.message = self.who_has_it(spots);
    }

    /// Which nodes have the revision, when nothing holds the roll-out up any more.
    pub fn who_has_it(&self, spots: &[Spot]) -> String {
        let lacks = |spot: &&Spot| (spot.new.is_none() || spot.old.is_some()) && self.is_settled(spot);
        let (mut down, mut other) = (0, 0);
        for spot in spots.iter().filter(lacks) {
            match spot.health {
                Health::NotReady(_) => down += 1,
                _ => other += 1,
            }
        }
        let named = [(down, "that are down"), (other, "that were not well")].into_iter();
        let named: Vec<String> =
            named.filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        match named.is_empty() {
            true => "all nodes have the revision".to_owned(),
            false => format!("all nodes have the revision, but for {}", named.join(" and ")),
        }
    }

    pub fn failure_budget(&self, spots: &[Spot]) -> usize {
        size(self.policy.spec.failure_budget, spots.len()).max(1)
    }

    pub fn domain_is_full(&self, spots: &[Spot], spot: &Spot) -> bool {
        let Some(domain) = &self.policy.spec.domain else { return false };
        let inside = || spots.iter().filter(|one| one.domain == spot.domain);
        let taken = inside().filter(|one| self.taken.contains(&one.name)).count();
        taken >= size(domain.max_unavailable, inside().count())
    }

    /// Does what the annotations on the policy ask for, if it is for this roll-out.
    pub fn obey(&mut self, now: Time) {
        let Some(hash) = self.hash.clone() else { return };
        let is_open = self.phase != RolloutPhase::Complete;
        let wanted = self.policy.command("abort");
        let numbered = format!("{hash}/{}", self.attempt);
        let is_abort = wanted == Some(&*hash) && self.attempt == 0 || wanted == Some(&*numbered);
        if is_abort && is_open {
            self.aborted = true;
        }
        let retry = self.policy.command("retry").and_then(|text| text.split_once('/'));
        let attempt =
            retry.filter(|(one, _)| *one == &*hash).and_then(|(_, attempt)| attempt.parse::<i64>().ok());
        let Some(attempt) = attempt.filter(|attempt| *attempt > self.attempt) else { return };
        // One that comes too early is used up: it must not act later, on what nobody has seen yet.
        self.attempt = attempt;
        if self.phase.is_given_up() {
            self.phase = RolloutPhase::Progressing;
            (self.wave_done_at, self.aborted, self.progress_at) = (None, false, Some(now));
            self.started_at = Some(now);
            self.again = std::mem::take(&mut self.failed).into_keys().collect();
        }
    }

    /// The pods that a DaemonSet gets on a node are of the revision.
    pub fn is_admitted(&self, node: NodeId) -> bool {
        self.admitted.contains(&node)
    }

    /// No pod is created on a node for now.
    pub fn holds(&self, node: NodeId) -> bool {
        self.creations.as_ref().is_some_and(|creations| !creations.contains(&node))
    }

    /// Nothing is to be done, whatever else is true.
    pub fn rests(&self, slot: &Slot) -> bool {
        let all = slot.count(mark::DESIRED);
        self.phase == RolloutPhase::Complete
            && self.is_known
            && self.taken.is_empty()
            && self.exempt.is_empty()
            && self.figures.desired == all as usize
            && slot.current.as_ref().map(|current| &current.hash) == self.hash.as_ref()
            && [mark::UPDATED, mark::AVAILABLE].iter().all(|one| slot.count(*one) == all)
    }
}

/// A number of nodes; percentages are rounded up.
pub(super) fn size(count: IntOrPercent, total: usize) -> usize {
    let total = i32::try_from(total).unwrap_or(i32::MAX);
    usize::try_from(count.scaled(total)).unwrap_or(0)
}

fn time(value: &Value) -> Option<Time> {
    value.as_str().and_then(|text| everynode_wire::time::parse(text).ok()).map(Time::from_seconds)
}

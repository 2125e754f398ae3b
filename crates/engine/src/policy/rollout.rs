//! The state of one DaemonSet's roll-outs under a policy.
//!
//! What must survive stands in the policy's status, so that a restart or another leader goes on where this one
//! stopped; the table of nodes is made anew from the pods then.
//!
//! *Budget.* A node is *disrupted* from the moment in which a pod that was ready was taken away from it until a pod
//! serves there again. Disrupted nodes never exceed the budget; the status counts them as `unavailable`.
//!
//! *Causes.* A node that is not ready or cordoned when its turn comes, or whose pod has not been ready since before the
//! roll-out began, is *exempt*: it costs nothing, blocks nothing, and cannot fail. A node that is well when its turn
//! comes and breaks with its new pod has *failed*.
//!
//! *Invariants.* A wave begins when the one before is over; what is halted deletes nothing; pods are made of the
//! DaemonSet's own template or of the last good one (`trust`); the status says that nodes go back before any does.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use everynode_api::{Command, OnFailure, RolloutPhase, RolloutStatus};
use everynode_model::IntOrPercent;

use crate::base::{Time, Uid};
use crate::ids::NodeId;
use crate::template::Template;
use crate::timers::Retry;

use super::analysis::Analysis;
use super::digest::DataDigest;
use super::node_state::{Daemon, Health, NodeState};
use super::nodes::{RolloutNodes, flag};
use super::notes::{NodeNotes, Noted};
use super::reason::RolloutReason;
use super::spec::PolicyFact;

/// The roll-outs of one DaemonSet under a policy.
#[derive(Clone, Debug)]
pub(crate) struct RolloutState {
    pub policy: Arc<PolicyFact>,
    /// The revision that this is about, by the hash in its pods' labels.
    pub hash: Option<Arc<str>>,
    /// Of that revision's data.
    pub digest: Option<DataDigest>,
    /// The last revision that all nodes had.
    pub last_good: Option<Arc<str>>,
    /// Of that revision's data: nothing is made of another one.
    pub last_good_digest: Option<DataDigest>,
    pub phase: RolloutPhase,
    /// The wave that is under way, from 0.
    pub wave: usize,
    pub wave_done_at: Option<Time>,
    /// How often somebody had it tried again.
    pub attempt: i64,
    pub notes: NodeNotes,
    /// Pods that serve nobody and whose deletion was asked for, with their nodes: these are exempt when it is done.
    pub going: HashMap<Uid, Arc<str>>,
    /// Nodes that failed, and whose pods are replaced because somebody has it tried again.
    pub again: BTreeSet<Arc<str>>,
    pub started_at: Option<Time>,
    pub progress_at: Option<Time>,
    pub aborted: bool,
    pub figures: RolloutFigures,
    /// What it does or waits for.
    pub reason: RolloutReason,
    /// The eligible nodes.
    pub nodes: RolloutNodes,
    /// Nodes on which pods may be created now; all of them when there is none.
    pub creations: Option<HashSet<NodeId>>,
    /// Nodes that were well with their new pod.
    pub seen_well: HashSet<Arc<str>>,
    /// Nodes that are disrupted and not eligible any more.
    pub strays: BTreeSet<Arc<str>>,
    pub is_known: bool,
    /// How many nodes had a pod of another revision when nothing was known to be good.
    pub olds: usize,
    /// Another controller rolls the DaemonSet: nothing is done here.
    pub is_refused: bool,
    pub last_good_template: Option<(Arc<str>, Arc<Template>)>,
    pub rewrite: Rewrite,
    /// Whether the revision is worse, where the policy asks.
    pub analysis: Option<Box<Analysis>>,
}

/// What is under way of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrite {
    pub retry: Retry,
    pub in_flight: bool,
    /// Why the last attempt was refused.
    pub failure: Option<String>,
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

impl RolloutState {
    pub fn new(policy: Arc<PolicyFact>) -> Self {
        RolloutState {
            analysis: Analysis::new(&policy.spec),
            policy,
            hash: None,
            digest: None,
            last_good: None,
            last_good_digest: None,
            phase: RolloutPhase::default(),
            wave: 0,
            wave_done_at: None,
            attempt: 0,
            notes: NodeNotes::default(),
            going: HashMap::new(),
            again: BTreeSet::new(),
            started_at: None,
            progress_at: None,
            aborted: false,
            figures: RolloutFigures::default(),
            reason: RolloutReason::default(),
            nodes: RolloutNodes::default(),
            creations: None,
            seen_well: HashSet::new(),
            strays: BTreeSet::new(),
            is_known: false,
            olds: 0,
            is_refused: false,
            last_good_template: None,
            rewrite: Rewrite::default(),
        }
    }

    /// Takes the policy as it is now.
    pub fn set_policy(&mut self, policy: Arc<PolicyFact>) {
        let (was, is) = (&self.policy.spec, &policy.spec);
        if was != is {
            self.nodes.clear();
        }
        if was.analysis != is.analysis || was.waves != is.waves {
            self.analysis = Analysis::new(is);
        }
        self.policy = policy;
    }

    /// The revision that nodes are led to.
    pub fn goal(&self) -> Option<&Arc<str>> {
        if self.phase.is_back() { self.last_good.as_ref() } else { self.hash.as_ref() }
    }

    /// Takes up where the policy's status says that the roll-out stands.
    pub fn resume(&mut self, said: &RolloutStatus) {
        self.hash = said.revision.as_deref().map(Arc::from);
        self.last_good = said.last_good_revision.as_deref().map(Arc::from);
        self.last_good_digest = said.last_good_data.as_deref().and_then(DataDigest::parse);
        (self.phase, self.reason) = (said.phase, RolloutReason::Said(said.message.clone()));
        (self.wave, self.attempt, self.aborted) = (said.wave.max(1) - 1, said.attempt, said.aborted);
        let time = |at: Option<i64>| at.map(Time::from_seconds);
        (self.wave_done_at, self.started_at, self.progress_at) =
            (time(said.wave_done_at), time(said.started_at), time(said.progress_at));
    }

    /// What it does or waits for, in words.
    pub fn message(&self) -> String {
        let reason = &self.reason;
        match (&self.rewrite.failure, self.promotion()) {
            // What another leader said may end with a failure of its own.
            (Some(failure), _) if matches!(reason, RolloutReason::Said(_)) => {
                format!("the template could not be written back: {failure}")
            }
            (Some(failure), _) => format!("{reason}; that could not be written: {failure}"),
            (None, Some(value)) => format!("{reason}; to go on: {}={value}", Command::Promote.annotation()),
            (None, None) => reason.to_string(),
        }
    }

    /// The clock was set by so much: bake time and deadline last as long as they would have without that. What was made
    /// since the roll-out began stays so, whoever's clock was wrong: its beginning only goes back.
    pub fn clock_was_set(&mut self, by_millis: i64) {
        for at in [&mut self.wave_done_at, &mut self.progress_at].into_iter().flatten() {
            *at = at.plus_millis(by_millis);
        }
        self.started_at = self.started_at.map(|at| at.plus_millis(by_millis.min(0)));
        self.rewrite.retry.clock_was_set(by_millis);
        self.analysis.iter_mut().for_each(|analysis| analysis.clock_was_set());
        self.nodes.clear();
    }

    /// A new template starts afresh; the budget that is used up stays so.
    pub fn begin(&mut self, hash: &Arc<str>, digest: Option<DataDigest>, now: Time) {
        (self.hash, self.digest) = (Some(hash.clone()), digest);
        self.phase = RolloutPhase::Progressing;
        (self.wave, self.wave_done_at, self.attempt, self.aborted) = (0, None, 0, false);
        self.notes.begin();
        self.going.clear();
        self.seen_well.clear();
        self.again.clear();
        self.olds = 0;
        self.rewrite = Rewrite::default();
        self.analysis.iter_mut().for_each(|analysis| analysis.begin());
        self.nodes.clear();
        (self.started_at, self.progress_at) = (Some(now), Some(now));
    }

    /// A revision that all nodes have when the policy is seen first is taken for good.
    pub fn note_if_on_all(&mut self, states: &[NodeState]) {
        let has_it = |state: &NodeState| state.new.is_some() && state.old.is_none();
        if !states.is_empty() && states.iter().all(has_it) {
            self.take_for_good();
        }
    }

    /// The revision is on all nodes: it is the last good one.
    pub fn take_for_good(&mut self) {
        self.phase = RolloutPhase::Complete;
        (self.last_good, self.last_good_digest) = (self.hash.clone(), self.digest);
    }

    /// A halt leads nodes back.
    pub fn goes_back(&self) -> bool {
        self.aborted || self.policy.spec.on_failure == OnFailure::Rollback
    }

    /// What is rolled out was good before: it is the way back, and there is none from it.
    pub fn is_return(&self) -> bool {
        self.last_good.is_some() && self.last_good == self.hash
    }

    /// What was noted of a node.
    pub fn noted(&self, name: &str) -> Noted {
        self.notes.of(name)
    }

    /// Notes that a node serves, if it does: what is over is forgotten.
    pub fn note_service(&mut self, state: &NodeState) {
        self.strays.remove(state.name());
        if !self.phase.is_ended() && state.health == Health::Well && state.new.is_some() {
            self.seen_well.insert(state.name().clone());
        }
        if !state.is_available() {
            return;
        }
        self.notes.give_back(state.name());
        // What was broken and serves again is like any other.
        if state.health == Health::Well {
            self.notes.end_exemption(state.name());
        }
    }

    /// A node is not eligible any more. It may be again before the deletion of its pod is carried out.
    pub fn note_absence(&mut self, name: &Arc<str>) {
        self.notes.forget_excuse(name);
        if self.notes.of(name).is_disrupted {
            self.strays.insert(name.clone());
        }
    }

    /// How the deletion of a pod has ended; the node that is exempt by that.
    pub fn pod_went(&mut self, pod: Uid, is_gone: bool) -> Option<Arc<str>> {
        let name = self.going.remove(&pod).filter(|_| is_gone)?;
        self.notes.exempt_node(name.clone());
        Some(name)
    }

    /// Why a node has failed with its new pod, or when it will have.
    pub fn failure(&self, state: &NodeState, now: Time) -> (Option<String>, Option<Time>) {
        let begun = self.started_at.unwrap_or_default();
        let is_ours = |new: &Daemon| new.created.second() >= begun.second();
        let noted = self.noted(state.name());
        let Some(new) = state.new.filter(is_ours).filter(|_| !noted.is_exempt && !noted.has_failed) else {
            return (None, None);
        };
        let late_at = new.created.plus_millis(self.policy.spec.ready_within_seconds * 1000);
        let reason = match state.health {
            Health::NotReady(since) => {
                let (since, window) = (since.unwrap_or(now), self.policy.spec.node_window_seconds);
                let is_soon = since >= new.created && since.millis_since(new.created) <= window * 1000;
                // One that has just joined may not have been ready yet.
                let was_well = noted.is_disrupted || self.seen_well.contains(state.name());
                (is_soon && was_well).then_some("NodeNotReady")
            }
            _ if new.available => None,
            _ if new.failed => Some("PodFailed"),
            _ if new.trouble.is_some() => new.trouble.map(|trouble| trouble.name()),
            _ if new.ready => None,
            _ if late_at <= now => Some("NotReadyInTime"),
            _ => return (None, Some(late_at)),
        };
        (reason.map(str::to_owned), None)
    }

    /// More nodes count as disrupted than the budget has, or that of a node's domain: by whom may not be known.
    pub fn is_over(&self, node: NodeId, budget: usize) -> bool {
        let (nodes, disrupted) = self.nodes.domain_of(node);
        let domain = self.policy.spec.domain.as_ref().map(|domain| size(domain.max_unavailable, nodes));
        self.notes.disrupted().len() > budget || domain.is_some_and(|bound| disrupted > bound)
    }

    /// The next node whose pod may be replaced at a cost.
    pub fn next_in_budget(&self, budget: usize) -> Option<NodeId> {
        let used = match self.nodes.rules.surges {
            true => self.nodes.count(flag::SURGE_SPENT),
            false => self.notes.disrupted().len(),
        };
        let domain = self.policy.spec.domain.as_ref().map(|domain| domain.max_unavailable);
        let allows =
            |nodes: usize, disrupted: usize| domain.is_none_or(|bound| disrupted < size(bound, nodes));
        if used < budget { self.nodes.next_costly(allows) } else { None }
    }

    /// Takes the numbers down, of a budget of so many nodes.
    pub fn count(&mut self, budget: usize) {
        let count = |flag| self.nodes.count(flag);
        let (desired, updated) = (self.nodes.len(), count(flag::UPDATED));
        let waiting = match self.phase {
            RolloutPhase::Halted if !self.needs_no_waves() => desired - updated,
            _ => (desired - updated) - (count(flag::MEMBER) - count(flag::MEMBER_UPDATED)),
        };
        self.figures = RolloutFigures {
            desired,
            updated,
            available: count(flag::DONE),
            unavailable: self.notes.disrupted().len(),
            max_unavailable: budget,
            waiting,
            failure_budget: self.failure_budget(),
        };
    }

    pub fn failure_budget(&self) -> usize {
        size(self.policy.spec.failure_budget, self.nodes.len()).max(1)
    }

    /// Does what the annotations on the policy ask for, if it is for this roll-out.
    pub fn obey(&mut self, now: Time) {
        let Some(hash) = self.hash.clone() else { return };
        let is_open = self.phase != RolloutPhase::Complete;
        let wanted = self.policy.command(Command::Abort);
        let numbered = format!("{hash}/{}", self.attempt);
        let is_abort = wanted == Some(&*hash) && self.attempt == 0 || wanted == Some(&*numbered);
        if is_abort && is_open {
            self.aborted = true;
        }
        let retry = self.policy.command(Command::Retry).and_then(|text| text.split_once('/'));
        let attempt =
            retry.filter(|(one, _)| *one == &*hash).and_then(|(_, attempt)| attempt.parse::<i64>().ok());
        let Some(attempt) = attempt.filter(|attempt| *attempt > self.attempt) else { return };
        // One that comes too early is used up: it must not act later, on what nobody has seen yet.
        self.attempt = attempt;
        if self.phase.is_given_up() {
            self.phase = RolloutPhase::Progressing;
            (self.wave_done_at, self.aborted, self.progress_at) = (None, false, Some(now));
            self.started_at = Some(now);
            self.again = self.notes.forgive();
            self.analysis.iter_mut().for_each(|analysis| analysis.try_again());
            self.nodes.clear();
        }
    }

    /// The pods that a DaemonSet gets on a node are of the revision.
    pub fn is_admitted(&self, node: NodeId) -> bool {
        match self.phase {
            RolloutPhase::Halted => self.nodes.has(node, flag::UPDATED),
            phase => !phase.is_back() && self.nodes.has(node, flag::MEMBER),
        }
    }

    /// No pod is created on a node for now.
    pub fn holds(&self, node: NodeId) -> bool {
        self.creations.as_ref().is_some_and(|creations| !creations.contains(&node))
    }
}

/// A number of nodes; percentages are rounded up.
pub(super) fn size(count: IntOrPercent, total: usize) -> usize {
    let total = i32::try_from(total).unwrap_or(i32::MAX);
    usize::try_from(count.scaled(total)).unwrap_or(0)
}

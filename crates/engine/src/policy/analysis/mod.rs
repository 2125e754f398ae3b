//! Whether a revision is worse, by what the nodes show that have it (docs/analysis.md): when nodes are compared, and what
//! follows.
//!
//! Assumes that nodes are taken by a hash of their names within `order`, so that chance has said who comes first. A
//! block is the nodes that were updated since the last one closed, and those that nobody has touched. It gathers nodes
//! until its wave is complete, or for as long as a window is; then their pods settle, a window passes, and it closes.
//! When it does hangs on times and numbers, never on what nodes show. Nodes that are updated meanwhile are in none. A
//! block that is open when a leader goes is lost; what closed ones have shown is in the policy's status.

mod block;
mod levels;
mod places;
mod said;

use std::sync::Arc;

use everynode_analysis::{Assumption, Basis, Before, Judge, Memory, Report, Signal, Turn as Place, Verdict};
use everynode_api::{AnalysisMode, AnalysisSpec, PolicySpec, Undecided};
use hashbrown::HashMap;

use crate::base::Time;
use crate::facts::Sample;
use crate::ids::{NodeId, PodId};

use super::node_state::NodeState;
pub(super) use block::View;
use levels::Levels;
use places::Places;

/// Metrics change this often, and not more often than is needed to know a level.
const SAMPLE_SECONDS: i64 = 30;

/// The analysis of one DaemonSet's roll-outs.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    spec: AnalysisSpec,
    judge: Judge,
    levels: Levels,
    /// Where nodes are in the order; none before the first block of a leader.
    places: Option<Places>,
    open: Option<OpenBlock>,
    /// What was said last, by this leader or the one before.
    report: Option<Report>,
    harm: Harm,
    /// Nodes that get a fresh pod of the old revision; none before they were chosen.
    controls: Option<Vec<NodeId>>,
}

/// Where a revision is worse.
#[derive(Clone, Debug, Default)]
pub(crate) struct Harm {
    /// What the nodes have in common, as a clause.
    common: Option<String>,
    /// The first of them.
    nodes: Vec<String>,
}

/// Nodes that are watched.
#[derive(Clone, Debug)]
struct OpenBlock {
    opened_at: Time,
    /// When the last node was taken in.
    gathered_at: Option<Time>,
    closes_at: Option<Time>,
    before: HashMap<NodeId, LevelsBefore>,
    updated: Vec<Touched>,
    restarted: Vec<Touched>,
    counts: HashMap<NodeId, Counts>,
}

/// What a node took before, and what it showed of the daemon's own figure.
#[derive(Clone, Copy, Debug, Default)]
struct LevelsBefore {
    cpu: Option<Before>,
    memory: Option<Before>,
    metric: Option<Before>,
}

impl LevelsBefore {
    fn of(&self, signal: Signal) -> Option<Before> {
        match signal {
            Signal::Cpu => self.cpu,
            Signal::Memory => self.memory,
            _ => self.metric,
        }
    }

    fn set(&mut self, signal: Signal, before: Option<Before>) {
        match signal {
            Signal::Cpu => self.cpu = before,
            Signal::Memory => self.memory = before,
            _ => self.metric = before,
        }
    }
}

/// A node that was well when its pod was replaced.
#[derive(Clone, Debug)]
struct Touched {
    node: NodeId,
    name: Arc<str>,
    /// How long the pod that went had taken to get ready.
    ready_seconds: Option<u16>,
}

/// What has happened on a node since the block was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub restarts: u32,
    pub oom_kills: u32,
    pub readiness_flaps: u32,
}

impl Analysis {
    /// For a policy, when it asks for one.
    pub fn new(policy: &PolicySpec) -> Option<Box<Analysis>> {
        let spec = policy.analysis.clone()?;
        let basis = match policy.has_selectors() {
            true => Basis::Assumed(Assumption::NodeSelector),
            false => Basis::Randomised,
        };
        let judge = Judge::new(spec.plan(basis));
        let levels = Levels::new(&spec);
        Some(Box::new(Analysis {
            spec,
            judge,
            levels,
            places: None,
            open: None,
            report: None,
            harm: Harm::default(),
            controls: None,
        }))
    }

    /// Another revision: nothing is known of it.
    pub fn begin(&mut self) {
        self.judge = Judge::new(self.judge.plan().clone());
        (self.places, self.open, self.report, self.harm) = (None, None, None, Harm::default());
        self.controls = None;
    }

    /// Somebody has the revision tried again, whatever was shown. Which nodes were compared stays known.
    pub fn try_again(&mut self) {
        let memory = self.judge.memory();
        let bounds = Memory::new(memory.frontier(), memory.pool_end(), Vec::new()).unwrap_or_default();
        self.judge = Judge::resume(self.judge.plan().clone(), &bounds);
        (self.open, self.report, self.harm) = (None, None, Harm::default());
    }

    /// Times mean something else now: windows would be of other lengths.
    pub fn clock_was_set(&mut self) {
        self.levels.clear();
        self.open = None;
    }

    /// A pod of the old revision that serves is replaced on a node that is well. `fresh` says by which revision: the new
    /// one, or the old one again, to be compared with.
    pub fn touch(&mut self, state: &NodeState, ready_seconds: Option<u16>, fresh: Fresh, now: Time) {
        self.open_block(now);
        let Some(open) = self.open.as_mut().filter(|open| open.gathered_at.is_none()) else { return };
        let touched = Touched { node: state.node, name: state.name().clone(), ready_seconds };
        match fresh {
            Fresh::New => open.updated.push(touched),
            Fresh::Old => open.restarted.push(touched),
        }
    }

    /// The nodes that get a fresh pod of the old revision, chosen when they are first asked for.
    pub fn controls(&mut self, choose: impl FnOnce() -> Vec<NodeId>) -> &[NodeId] {
        self.controls.get_or_insert_with(choose)
    }

    /// Opens a block, unless one is open.
    fn open_block(&mut self, now: Time) {
        if self.open.is_some() {
            return;
        }
        let from = now.plus_millis(-self.spec.before_seconds * 1000);
        let mut before: HashMap<NodeId, LevelsBefore> = HashMap::new();
        for one in self.spec.signals.iter().filter(|one| one.signal.is_sampled()) {
            for node in self.levels.nodes(one.signal) {
                let Some(pod) = self.levels.pod_of(node, one.signal) else { continue };
                let levels = self.levels.within(node, pod, one.signal, from, now);
                before.entry(node).or_default().set(one.signal, Before::of(&levels, one.floor));
            }
        }
        self.open = Some(OpenBlock {
            opened_at: now,
            gathered_at: None,
            closes_at: None,
            before,
            updated: Vec::new(),
            restarted: Vec::new(),
            counts: HashMap::new(),
        });
    }

    /// Takes in what has happened on a node.
    pub fn count(&mut self, node: NodeId, more: Counts) {
        let Some(open) = &mut self.open else { return };
        let counts = open.counts.entry(node).or_default();
        counts.restarts = counts.restarts.saturating_add(more.restarts);
        counts.oom_kills = counts.oom_kills.saturating_add(more.oom_kills);
        counts.readiness_flaps = counts.readiness_flaps.saturating_add(more.readiness_flaps);
    }

    /// What a node was like before the open block is known.
    pub fn was_measured(&self, node: NodeId) -> bool {
        self.open.as_ref().is_some_and(|open| open.before.contains_key(&node))
    }

    /// A node is one of those that the last block compared.
    pub fn is_in_pool(&self, state: &NodeState) -> bool {
        let place = self.places.as_ref().and_then(|places| places.of_node(state));
        place.is_some_and(|place| place < self.judge.memory().pool_end())
    }

    /// The nodes that were updated or restarted since the block was opened.
    pub fn open_nodes(&self) -> impl Iterator<Item = NodeId> {
        let open = self.open.iter().flat_map(|open| open.updated.iter().chain(&open.restarted));
        open.map(|touched| touched.node)
    }

    /// Since when a block is open.
    pub fn open_since(&self) -> Option<Time> {
        self.open.as_ref().map(|open| open.opened_at)
    }

    /// Takes in what was measured of a pod.
    pub fn sample(&mut self, node: NodeId, pod: PodId, sample: &Sample<'_>) {
        self.levels.take(node, pod, sample);
    }

    /// Forgets the levels of nodes that do not run the daemon any more, when there are many.
    pub fn forget_absent(&mut self, present: usize, is_there: impl Fn(NodeId) -> bool) {
        if self.levels.len() > present + present / 8 {
            self.levels.retain(is_there);
        }
    }

    /// The nodes of the open block are gathered when their wave is complete, or after so long; when the block closes.
    pub fn gather(&mut self, is_wave_done: bool, now: Time) -> Option<Time> {
        let spec = &self.spec;
        let open = self.open.as_mut()?;
        let latest = open.opened_at.plus_millis(spec.after_seconds * 1000);
        if open.gathered_at.is_none() && (is_wave_done || latest <= now) {
            open.gathered_at = Some(now);
            open.closes_at = Some(now.plus_millis(spec.bake_seconds() * 1000));
        }
        Some(open.closes_at.unwrap_or(latest))
    }

    /// Looks at the open block if its time has come; whether it was looked at. `may_wait` says that its wave can be
    /// watched for longer.
    pub fn look(&mut self, view: &View<'_>, may_wait: bool, now: Time) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| open.closes_at.is_some_and(|at| at <= now)) else {
            return false;
        };
        let places = self.places.get_or_insert_with(|| Places::of(view.nodes.in_turn()));
        let block::Seen { block, updated } = view.block(&self.spec, &self.levels, places, open, now);
        let waits =
            may_wait && self.spec.undecided == Undecided::Wait && self.spec.mode == AnalysisMode::Halt;
        let early = waits.then(|| self.judge.look(&block));
        match early.filter(|report| matches!(report.verdict, Verdict::Undecided | Verdict::Blind)) {
            Some(report) => {
                open.closes_at = Some(now.plus_millis(self.spec.after_seconds * 1000));
                self.report = Some(report);
            }
            None => {
                self.report = Some(self.judge.close(&block));
                self.open = None;
            }
        }
        if let Some(worst) = self.report.as_ref().and_then(Report::worst) {
            self.harm = view.harm(&updated, worst);
        }
        true
    }

    /// How often pods have to be measured; never when no level is watched.
    pub fn sampled_every_seconds(&self) -> Option<i64> {
        let is_sampled = self.spec.signals.iter().any(|one| one.signal.is_sampled());
        is_sampled.then(|| levels::slot_seconds(&self.spec).min(SAMPLE_SECONDS))
    }

    /// When the open block closes, at the latest.
    pub fn closes_at(&self) -> Option<Time> {
        let open = self.open.as_ref()?;
        let latest = self.spec.after_seconds + self.spec.bake_seconds();
        Some(open.closes_at.unwrap_or(open.opened_at.plus_millis(latest * 1000)))
    }

    /// What the evidence says.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// The verdict in one sentence: that of the signal that has most to do with it, and where.
    pub fn sentence(&self) -> Option<String> {
        let said = said::sentence(self.report.as_ref()?);
        Some(match &self.harm.common {
            Some(common) => format!("{said}; {common}"),
            None => said,
        })
    }

    /// What the evidence says halts the roll-out.
    pub fn is_worse(&self) -> bool {
        let is_worse = self.report.as_ref().is_some_and(|report| report.verdict == Verdict::Worse);
        is_worse && self.spec.mode == AnalysisMode::Halt
    }

    /// A wave must not end without having been shown to be no worse, and was not.
    pub fn lacks_verdict(&self) -> bool {
        let is_shown = self.report.as_ref().is_some_and(|report| report.verdict == Verdict::NoWorse);
        !is_shown && self.spec.undecided == Undecided::Halt && self.spec.mode == AnalysisMode::Halt
    }

    /// How it is done.
    pub fn spec(&self) -> &AnalysisSpec {
        &self.spec
    }
}

/// By which revision a pod is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// The one that is rolled out.
    New,
    /// The old one.
    Old,
}

/// The place of a node that comes after another one.
fn next(place: Place) -> Place {
    Place(place.0.saturating_add(1))
}

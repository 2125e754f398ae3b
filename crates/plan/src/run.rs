//! One run of the engine against the model, from the change until nothing more happens.

use everynode_engine::fit::Misfit;
use everynode_engine::policy::{PolicyFact, RolloutPhase};
use everynode_engine::{Engine, Fact, Limits, Phase, PodState, Rollout, Work};

use crate::model::Model;
use crate::world::{Tally, World};

/// The engine is woken so often in a row without any progress before a run counts as at its end.
const IDLE_WAKES: usize = 64;
/// The engine is asked so often at one instant before a run counts as endless.
const TURNS_AT_ONCE: usize = 1_000_000;
/// The longest virtual time.
const LONGEST_MILLIS: i64 = 10 * 365 * 86_400_000;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was counted.
    pub tally: Tally,
    /// Nodes without an available pod when the run began.
    pub unavailable_before: u32,
    /// Nodes without a Ready pod when the run began.
    pub unserved_before: u32,
    /// Nodes that should run an available pod of the new template and do not, in the end.
    pub left: Vec<(u32, Left)>,
    /// Nodes whose pod counts as updated though it was made from another template, and stays.
    pub kept_as_updated: Vec<u32>,
    /// Nodes that were not reached, and on which the new pod would not fit.
    pub unfit: Vec<(u32, Misfit)>,
    /// Nodes that are not eligible, and whose pod stays and is not available: they count against the budget.
    pub holding: Vec<u32>,
    /// Nodes on which other pods have to go, and how many at most.
    pub pushed_out: Vec<(u32, i64)>,
    /// Which nodes had an available pod when the run began.
    pub was_available: Vec<bool>,
    /// The policies that select the DaemonSet, with their status in the end.
    pub policies: Vec<PolicyFact>,
}

/// Why a node has no available pod of the new template in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The node is down.
    Down,
    /// The new pod does not fit.
    NoRoom(Misfit),
    /// The new pod does not become ready: a failure that was asked for.
    Failed,
    /// The old pod is still there, available or not: the roll-out did not come here.
    NotReached,
    /// The pod of the new template was there before, and is not ready.
    NotReady,
    /// The new pod waits for a scheduler that nobody runs, as far as can be seen.
    NoScheduler,
    /// No pod could be created.
    NotCreated,
}

impl Run {
    /// The nodes on which the pod does not fit in the end, or would not if the roll-out came to them, by name.
    pub(crate) fn misfits(&self) -> Vec<(u32, &Misfit)> {
        let tried = self.left.iter().filter_map(|(index, why)| match why {
            Left::NoRoom(misfit) => Some((*index, misfit)),
            _ => None,
        });
        let mut all: Vec<(u32, &Misfit)> =
            tried.chain(self.unfit.iter().map(|(index, misfit)| (*index, misfit))).collect();
        all.sort_by_key(|(index, _)| *index);
        all
    }

    /// Hands to `tell` what the engine of a run is told before anything happens.
    pub fn told(model: &Model, tell: &mut dyn FnMut(Fact<'_>)) {
        World::new(model, 0).list_all(tell);
    }

    /// Runs the change with a seed.
    pub fn of(model: &Model, seed: u64) -> Run {
        let mut engine = Engine::new(Limits::default());
        let mut world = World::new(model, seed);
        let before = (world.tally.unavailable, world.tally.unserved);
        world.list_all(&mut |fact| engine.observe(fact, model.begin));
        let (mut idle, mut progress) = (0, world.tally.progress);
        loop {
            settle(&mut engine, &mut world);
            world.note_worst();
            if world.tally.progress > progress {
                (idle, progress) = (0, world.tally.progress);
            }
            let event = world.next_event();
            idle += usize::from(event.is_none());
            let next = event.into_iter().chain(engine.next_deadline()).min();
            let is_done = event.is_none() && is_complete(&engine);
            let Some(next) = next.filter(|_| !is_done && idle <= IDLE_WAKES) else { break };
            if next.millis_since(model.begin) > LONGEST_MILLIS {
                break;
            }
            world.now = next.max(world.now);
            world.pass();
        }
        Run::ended(model, &engine, world, before)
    }

    fn ended(model: &Model, engine: &Engine, world: World<'_>, before: (u32, u32)) -> Run {
        let mut failing = vec![false; model.nodes.len()];
        for pod in world.pods.iter().filter(|pod| pod.fails && !pod.is_gone) {
            if let Some(node) = pod.node {
                failing[node as usize] = true;
            }
        }
        let (mut left, mut holding, mut pushed_out) = (Vec::new(), Vec::new(), Vec::new());
        let (hashes, mut kept_as_updated) = (world.current_hashes(), Vec::new());
        for (index, (node, state)) in model.nodes.iter().zip(&world.nodes).enumerate() {
            if state.pushed_out > 0 {
                pushed_out.push((index as u32, state.pushed_out));
            }
            let (namespace, name) = (&model.daemonset.namespace, &model.daemonset.name);
            let explained = engine.explain(namespace, name, &node.name, world.now);
            let pods = explained.map(|explained| explained.pods).unwrap_or_default();
            let mut updated = pods.iter().filter(|pod| pod.updated && !pod.terminating);
            if updated.any(|pod| world.is_kept_without(&hashes, pod.uid)) {
                kept_as_updated.push(index as u32);
            }
            if pods.iter().any(|pod| pod.updated && pod.available && !pod.terminating) {
                continue;
            }
            if !node.verdict.should_run {
                if !pods.is_empty() && pods.iter().all(|pod| !pod.available || pod.terminating) {
                    holding.push(index as u32);
                }
                continue;
            }
            left.push((index as u32, why_left(model, &world, index, &pods, failing[index])));
        }
        let is_behind = |(_, why): &&(u32, Left)| *why == Left::NotReached;
        let behind: Vec<u32> = left.iter().filter(is_behind).map(|(index, _)| *index).collect();
        let unfit = world.unfit(&behind);
        let (unavailable_before, unserved_before) = before;
        let was_available = world.nodes.iter().map(|node| node.was_available).collect();
        Run {
            tally: world.tally,
            policies: world.policies,
            unavailable_before,
            unserved_before,
            left,
            kept_as_updated,
            unfit,
            holding,
            pushed_out,
            was_available,
        }
    }
}

/// Why a node that should run a pod has no available one of the new template.
fn why_left(model: &Model, world: &World<'_>, index: usize, pods: &[PodState], is_failing: bool) -> Left {
    let waits = pods.iter().any(|pod| pod.updated && pod.phase == Phase::Pending && !pod.bound);
    match &world.nodes[index].misfit {
        _ if waits && model.missing_scheduler().is_some() => Left::NoScheduler,
        Some(misfit) if waits => Left::NoRoom(misfit.clone()),
        _ if pods.is_empty() && world.tally.refused.is_some() => Left::NotCreated,
        _ if !model.nodes[index].is_up => Left::Down,
        _ if is_failing => Left::Failed,
        _ if pods.is_empty() => Left::NotCreated,
        _ if pods.iter().any(|pod| pod.updated) => Left::NotReady,
        _ => Left::NotReached,
    }
}

/// Lets the engine decide until it asks for nothing more at this instant.
fn settle(engine: &mut Engine, world: &mut World<'_>) {
    for _ in 0..TURNS_AT_ONCE {
        let told = world.tell(engine);
        let actions = engine.decide(world.now);
        world.note_rollout(engine);
        if actions.is_empty() && !told {
            return;
        }
        for action in actions {
            let outcome = world.carry_out(&action.daemonset, &action.work);
            engine.observe(Fact::Finished { id: action.id, outcome }, world.now);
            if let Work::Relist(kind) = action.work {
                world.list(kind, &mut |fact| engine.observe(fact, world.now));
            }
        }
    }
}

/// Everything is as the DaemonSet wants it.
fn is_complete(engine: &Engine) -> bool {
    let is_conducted = |rollout: Rollout<'_>| rollout.phase == RolloutPhase::Complete;
    engine.rollouts().all(is_conducted)
        && engine.daemonsets().all(|figures| {
            let status = figures.status;
            !figures.is_rolling
                && status.number_available == status.desired_number_scheduled
                && status.number_misscheduled == 0
        })
}

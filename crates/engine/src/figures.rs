//! The figures of each DaemonSet, from counters: the answers of [`crate::Engine::daemonsets`] and
//! [`crate::Engine::rollouts`].

use std::sync::Arc;

use everynode_analysis::Verdict;

use crate::actions::DaemonSetRef;
use crate::base::{Time, Uid};
use crate::coverage::Coverage;
use crate::daemonset::DaemonSetState;
use crate::engine::Engine;
use crate::explain::Standing;
use crate::facts::Status;
use crate::policy::{
    NodeFailure, NodeState, RolloutFigures, RolloutPhase, RolloutReason, RolloutState, Unwell,
};
use crate::status::live;

/// One DaemonSet as the engine sees it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures<'a> {
    /// metadata.namespace.
    pub namespace: &'a str,
    /// metadata.name.
    pub name: &'a str,
    /// metadata.uid.
    pub uid: Uid,
    /// metadata.generation.
    pub generation: i64,
    /// metadata.creationTimestamp.
    pub created: Option<Time>,
    /// metadata.deletionTimestamp is set.
    pub deleting: bool,
    /// What is decided for it at all.
    pub standing: Standing,
    /// The numbers as they are now, which may be ahead of those that the API server has. observedGeneration and
    /// collisionCount are the API server's.
    pub status: Status,
    /// The name of the ControllerRevision for the current template, once it is established.
    pub revision: Option<&'a str>,
    /// The value of the label `controller-revision-hash` of pods made from the current template.
    pub hash: Option<&'a str>,
    /// A node that should run a pod has none of the current template, or the current generation was not looked at
    /// yet.
    pub is_rolling: bool,
}

/// A roll-out that a policy conducts, or the last one that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout<'a> {
    /// metadata.namespace of the DaemonSet and of the policy.
    pub namespace: &'a str,
    /// metadata.name of the DaemonSet.
    pub daemonset: &'a str,
    /// metadata.uid of the DaemonSet.
    pub uid: Uid,
    /// metadata.name of the policy.
    pub policy: &'a str,
    /// How far it has come.
    pub phase: RolloutPhase,
    /// What it does or waits for; as text a clause.
    pub reason: &'a RolloutReason,
    /// The same with what would have it go on, as its status has it.
    pub message: String,
    /// The wave under way, from 1.
    pub wave: usize,
    /// How many waves there are.
    pub waves: usize,
    /// The revision that it is about, by the hash in its pods' labels.
    pub revision: Option<&'a str>,
    /// How often the revision was tried again.
    pub attempt: i64,
    /// The last revision that all nodes had.
    pub last_good: Option<&'a str>,
    /// It has no waves: a first roll-out at once, or the way back to what was good before.
    pub is_without_waves: bool,
    /// It leads back to the last good revision.
    pub is_return: bool,
    /// When the wave under way was complete, if it is.
    pub wave_done_at: Option<Time>,
    /// When it will have been watched for long enough then.
    pub baked_at: Option<Time>,
    /// Its numbers of nodes.
    pub figures: RolloutFigures,
    /// Whether the revision is worse, where the policy asks, and something was looked at.
    pub verdict: Option<Verdict>,
    /// Nodes that failed.
    pub failed: usize,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it last came further.
    pub progress_at: Option<Time>,
}

/// What a policy makes of one node of a DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutNode {
    /// metadata.name of the node.
    pub node: Arc<str>,
    /// The first wave that has it, from 1; `None` when the waves leave it out.
    pub wave: Option<usize>,
    /// A ready pod was taken from it and none serves there yet: it uses the budget.
    pub is_disrupted: bool,
    /// It was not well when its turn came: it costs nothing, blocks nothing and cannot fail.
    pub is_exempt: bool,
    /// What is wrong with it now.
    pub unwell: Option<Unwell>,
    /// No pod is created on it for now.
    pub is_held: bool,
    /// It was well and failed with its new pod.
    pub failure: Option<NodeFailure>,
}

fn figures<'a>((daemonset, rollout): (&'a DaemonSetState, &'a RolloutState)) -> Rollout<'a> {
    Rollout {
        namespace: &daemonset.key.namespace,
        daemonset: &daemonset.key.name,
        uid: daemonset.key.uid,
        policy: &rollout.policy.key.name,
        phase: rollout.phase,
        reason: &rollout.reason,
        message: rollout.message(),
        wave: rollout.wave + 1,
        waves: rollout.policy.spec.waves.len(),
        revision: rollout.hash.as_deref(),
        attempt: rollout.attempt,
        last_good: rollout.last_good.as_deref(),
        is_without_waves: rollout.needs_no_waves(),
        is_return: rollout.is_return(),
        wave_done_at: rollout.wave_done_at,
        baked_at: rollout.baked_at(),
        figures: rollout.figures,
        verdict: rollout.verdict(),
        failed: rollout.notes.failed().len(),
        started_at: rollout.started_at,
        progress_at: rollout.progress_at,
    }
}

impl Engine {
    /// The roll-outs under policies, in no particular order.
    pub fn rollouts(&self) -> impl Iterator<Item = Rollout<'_>> {
        self.daemonsets.rollouts().map(figures)
    }

    /// The roll-out of one DaemonSet, if a policy conducts it.
    pub fn rollout(&self, namespace: &str, name: &str) -> Option<Rollout<'_>> {
        self.under_policy(namespace, name).map(figures)
    }

    /// What its policy makes of each eligible node, in the order in which nodes are taken; none without a policy.
    pub fn rollout_nodes(&self, namespace: &str, name: &str, now: Time) -> Vec<RolloutNode> {
        let Some((daemonset, rollout)) = self.under_policy(namespace, name) else { return Vec::new() };
        let goal = rollout.goal().map_or("", |goal| goal);
        let states = self.tables.survey(daemonset, &rollout.policy.spec, goal, now);
        let waves = rollout.waves(&states, rollout.policy.spec.waves.len());
        let node = |(index, state): (usize, &NodeState)| {
            let noted = rollout.noted(state.name());
            RolloutNode {
                node: state.name().clone(),
                wave: waves.iter().position(|members| members[index]).map(|wave| wave + 1),
                is_disrupted: noted.is_disrupted,
                is_exempt: noted.is_exempt,
                unwell: state.unwell(),
                is_held: rollout.holds(state.node),
                failure: rollout.notes.failed().get(state.name()).cloned(),
            }
        };
        states.iter().enumerate().map(node).collect()
    }

    fn under_policy(&self, namespace: &str, name: &str) -> Option<(&DaemonSetState, &RolloutState)> {
        let daemonset = self.daemonset(namespace, name)?;
        Some((daemonset, self.daemonsets.rollout(daemonset.id)?))
    }

    /// How long the nodes of each DaemonSet were served since this engine looks, in no particular order.
    pub fn coverage(&self) -> impl Iterator<Item = (&DaemonSetRef, &Coverage)> {
        let known = self.daemonsets.iter().filter(|daemonset| daemonset.spec.is_some());
        known.map(|daemonset| (&*daemonset.key, &daemonset.coverage))
    }

    /// The figures of all DaemonSets, in no particular order. Nothing is computed but what is told.
    pub fn daemonsets(&self) -> impl Iterator<Item = Figures<'_>> {
        self.daemonsets.iter().filter_map(|daemonset| self.figures(daemonset))
    }

    fn figures<'a>(&'a self, daemonset: &'a DaemonSetState) -> Option<Figures<'a>> {
        let fact = &daemonset.spec.as_ref()?.fact;
        let status = live(daemonset);
        let current = daemonset.current.as_ref();
        let revisions = self.tables.namespaces.get(daemonset.namespace).map(|namespace| &namespace.revisions);
        let revision = current.and_then(|current| revisions?.get(&current.uid));
        Some(Figures {
            namespace: &daemonset.key.namespace,
            name: &daemonset.key.name,
            uid: daemonset.key.uid,
            generation: fact.generation,
            created: fact.created,
            deleting: fact.deleting,
            standing: Standing::of(daemonset),
            status,
            revision: revision.map(|row| row.fact.name.as_str()),
            hash: current.map(|current| &*current.hash),
            is_rolling: status.observed_generation < fact.generation
                || status.updated_number_scheduled < status.desired_number_scheduled,
        })
    }
}

//! The figures of each DaemonSet, from counters: the answers of [`crate::Engine::daemonsets`] and
//! [`crate::Engine::rollouts`].

use std::sync::Arc;

use crate::base::{Time, Uid};
use crate::engine::Engine;
use crate::facts::Status;
use crate::policy::{NodeFailure, RolloutFigures, RolloutPhase, Spot};
use crate::slot::Slot;
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
    /// metadata.name of the policy.
    pub policy: &'a str,
    /// How far it has come.
    pub phase: RolloutPhase,
    /// What it does or waits for, in words.
    pub reason: String,
    /// The same with what would have it go on, as its status has it.
    pub message: String,
    /// The wave under way, from 1.
    pub wave: usize,
    /// How many waves there are.
    pub waves: usize,
    /// The revision that it is about, by the hash in its pods' labels.
    pub revision: Option<&'a str>,
    /// The last revision that all nodes had.
    pub last_good: Option<&'a str>,
    /// It has no waves: a first roll-out at once, or the way back to what was good before.
    pub is_without_waves: bool,
    /// When the wave under way was complete, if it is: its bake time counts from then.
    pub wave_done_at: Option<Time>,
    /// Its numbers of nodes.
    pub figures: RolloutFigures,
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
    pub is_taken: bool,
    /// It was not well when its turn came: it costs nothing, blocks nothing and cannot fail.
    pub is_exempt: bool,
    /// No pod is created on it for now.
    pub is_held: bool,
    /// It was well and failed with its new pod.
    pub failure: Option<NodeFailure>,
}

fn rollout(slot: &Slot) -> Option<Rollout<'_>> {
    let conduct = slot.conduct.as_deref()?;
    Some(Rollout {
        namespace: &slot.key.namespace,
        daemonset: &slot.key.name,
        policy: &conduct.policy.key.name,
        phase: conduct.phase,
        reason: conduct.reason.to_string(),
        message: conduct.message(),
        wave: conduct.wave + 1,
        waves: conduct.policy.spec.waves.len(),
        revision: conduct.hash.as_deref(),
        last_good: conduct.last_good.as_deref(),
        is_without_waves: conduct.needs_no_waves(),
        wave_done_at: conduct.wave_done_at,
        figures: conduct.figures,
        failed: conduct.notes.failed().len(),
        started_at: conduct.started_at,
        progress_at: conduct.progress_at,
    })
}

impl Engine {
    /// The roll-outs under policies, in no particular order.
    pub fn rollouts(&self) -> impl Iterator<Item = Rollout<'_>> {
        self.slots.iter().filter_map(rollout)
    }

    /// The roll-out of one DaemonSet, if a policy conducts it.
    pub fn rollout(&self, namespace: &str, daemonset: &str) -> Option<Rollout<'_>> {
        rollout(self.conducted(namespace, daemonset)?)
    }

    /// What its policy makes of each eligible node, in the order in which nodes are taken; none without a policy.
    pub fn rollout_nodes(&self, namespace: &str, daemonset: &str, now: Time) -> Vec<RolloutNode> {
        let Some(slot) = self.conducted(namespace, daemonset) else { return Vec::new() };
        let Some(conduct) = slot.conduct.as_deref() else { return Vec::new() };
        let goal = conduct.goal().map_or("", |goal| goal);
        let spots = self.tables.survey(slot, &conduct.policy.spec, goal, now);
        let waves = conduct.waves(&spots, conduct.policy.spec.waves.len());
        let node = |(index, spot): (usize, &Spot)| {
            let noted = conduct.noted(spot.name());
            RolloutNode {
                node: spot.name().clone(),
                wave: waves.iter().position(|members| members[index]).map(|wave| wave + 1),
                is_taken: noted.is_taken,
                is_exempt: noted.is_exempt,
                is_held: conduct.holds(spot.node),
                failure: conduct.notes.failed().get(spot.name()).cloned(),
            }
        };
        spots.iter().enumerate().map(node).collect()
    }

    fn conducted(&self, namespace: &str, daemonset: &str) -> Option<&Slot> {
        let namespace = self.tables.namespaces.get(self.tables.namespaces.find(namespace)?)?;
        let mut slots = namespace.slots.iter().filter_map(|id| self.slots.get(*id));
        slots.find(|slot| slot.conduct.is_some() && slot.spec.is_some() && slot.key.name == daemonset)
    }

    /// The figures of all DaemonSets, in no particular order. Nothing is computed but what is told.
    pub fn daemonsets(&self) -> impl Iterator<Item = Figures<'_>> {
        self.slots.iter().filter_map(|slot| self.figures(slot))
    }

    fn figures<'a>(&'a self, slot: &'a Slot) -> Option<Figures<'a>> {
        let fact = &slot.spec.as_ref()?.fact;
        let status = live(slot);
        let current = slot.current.as_ref();
        let revisions = self.tables.namespaces.get(slot.namespace).map(|namespace| &namespace.revisions);
        let revision = current.and_then(|current| revisions?.get(&current.uid));
        Some(Figures {
            namespace: &slot.key.namespace,
            name: &slot.key.name,
            uid: slot.key.uid,
            generation: fact.generation,
            created: fact.created,
            deleting: fact.deleting,
            status,
            revision: revision.map(|row| row.fact.name.as_str()),
            hash: current.map(|current| &*current.hash),
            is_rolling: status.observed_generation < fact.generation
                || status.updated_number_scheduled < status.desired_number_scheduled,
        })
    }
}

//! The figures of each DaemonSet, from counters: the answers of [`crate::Engine::daemonsets`] and
//! [`crate::Engine::rollouts`].

use crate::base::{Time, Uid};
use crate::engine::Engine;
use crate::facts::Status;
use crate::policy::{RolloutFigures, RolloutPhase};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout<'a> {
    /// metadata.namespace of the DaemonSet and of the policy.
    pub namespace: &'a str,
    /// metadata.name of the DaemonSet.
    pub daemonset: &'a str,
    /// metadata.name of the policy.
    pub policy: &'a str,
    /// How far it has come.
    pub phase: RolloutPhase,
    /// The wave under way, from 1.
    pub wave: usize,
    /// How many waves there are.
    pub waves: usize,
    /// Its numbers of nodes.
    pub figures: RolloutFigures,
    /// Nodes that failed.
    pub failed: usize,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it last came further.
    pub progress_at: Option<Time>,
}

impl Engine {
    /// The roll-outs under policies, in no particular order.
    pub fn rollouts(&self) -> impl Iterator<Item = Rollout<'_>> {
        self.slots.iter().filter_map(|slot| {
            let conduct = slot.conduct.as_deref()?;
            Some(Rollout {
                namespace: &slot.key.namespace,
                daemonset: &slot.key.name,
                policy: &conduct.policy.key.name,
                phase: conduct.phase,
                wave: conduct.wave + 1,
                waves: conduct.policy.spec.waves.len(),
                figures: conduct.figures,
                failed: conduct.failed.len(),
                started_at: conduct.started_at,
                progress_at: conduct.progress_at,
            })
        })
    }

    /// The figures of all DaemonSets, in no particular order. Nothing is computed but what is told.
    pub fn daemonsets(&self) -> impl Iterator<Item = Figures<'_>> {
        self.slots.iter().filter_map(|slot| self.figures(slot))
    }

    fn figures<'a>(&'a self, slot: &'a Slot) -> Option<Figures<'a>> {
        let fact = &slot.spec.as_ref()?.fact;
        let status = live(slot);
        let current = slot.current.as_ref();
        let revisions = self.namespaces.get(slot.namespace).map(|namespace| &namespace.revisions);
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

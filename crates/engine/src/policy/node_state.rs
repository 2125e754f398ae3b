//! A node as a roll-out sees it.

use std::sync::Arc;

use crate::base::Time;
use crate::facts::Trouble;
use crate::ids::{NodeId, PodId};

use super::notes::Noted;

/// How a node is, whatever runs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// Its kubelet does not report; since when, if that is known.
    NotReady(Option<Time>),
    /// People keep new pods away from it.
    Cordoned,
}

/// A pod that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub id: PodId,
    pub ready: bool,
    pub available: bool,
    pub created: Time,
    /// When it became ready or lost that, in whole seconds; when it was created if it has never been either.
    pub changed: Time,
    /// It has not been ready for longer than a new pod may take.
    pub is_late: bool,
    pub failed: bool,
    pub trouble: Option<Trouble>,
}

/// When a node is taken: nodes are compared by this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    /// The values of the labels that order nodes.
    pub order: Box<[Box<str>]>,
    /// A hash of the DaemonSet, the revision and the node, where chance is to say who comes first; else 0.
    pub shuffle: u64,
    /// metadata.name.
    pub name: Arc<str>,
}

/// An eligible node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeState {
    pub node: NodeId,
    pub turn: Arc<Turn>,
    pub health: Health,
    /// The pod of the revision that the roll-out leads to.
    pub new: Option<Daemon>,
    /// A pod of another revision.
    pub old: Option<Daemon>,
    /// It has pods, those that are to go among them, and none of them is ready.
    pub lacks_ready_pod: bool,
    /// A pod is terminating, or was asked for and has not been seen.
    pub is_busy: bool,
    /// Something comes before any roll-out here ([F0](crate::spec#f0), [G3](crate::spec#g3)): a pod is to be
    /// adopted, or is one too many, or none of those that were created stays.
    pub is_unsettled: bool,
    /// The failure domain.
    pub domain: Box<str>,
    /// Which of the waves' selectors select it, as bits.
    pub selected: u64,
    /// When it is different although nothing happens.
    pub due: Option<Time>,
}

/// What is wrong with a node before a roll-out has touched it. Such a node costs nothing and blocks nothing when its
/// turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwell {
    /// Its kubelet does not report.
    NotReady,
    /// People keep new pods away from it.
    Cordoned,
    /// It has pods, and none of them is ready.
    NoReadyPod,
}

impl NodeState {
    /// What is wrong with it, if anything is.
    pub fn unwell(&self) -> Option<Unwell> {
        match self.health {
            Health::NotReady(_) => Some(Unwell::NotReady),
            Health::Cordoned => Some(Unwell::Cordoned),
            Health::Well => self.lacks_ready_pod.then_some(Unwell::NoReadyPod),
        }
    }

    /// metadata.name of the node.
    pub fn name(&self) -> &Arc<str> {
        &self.turn.name
    }

    /// It has what the roll-out leads to, and that serves.
    pub fn is_done(&self) -> bool {
        self.old.is_none() && self.new.is_some_and(|new| new.available)
    }

    /// Some pod serves.
    pub fn is_available(&self) -> bool {
        [self.new, self.old].into_iter().flatten().any(|pod| pod.available)
    }
}

/// Which nodes a wave takes first: a wave of nodes that are down would say nothing of the revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It was taken for the revision, and stays in its wave whatever comes of it.
    Disrupted,
    /// An old pod serves.
    Serves,
    /// It has no pod.
    Empty,
    /// Its pod does not serve.
    Broken,
    Cordoned,
    Down,
}

impl Standing {
    pub fn of(state: &NodeState, noted: Noted) -> Self {
        let has_it = state.new.is_some_and(|new| new.available || !noted.is_exempt);
        match state.health {
            _ if has_it || noted.is_disrupted || noted.has_failed => Standing::Disrupted,
            Health::NotReady(_) => Standing::Down,
            Health::Cordoned => Standing::Cordoned,
            Health::Well if state.old.is_some_and(|old| old.ready) => Standing::Serves,
            Health::Well if state.old.is_none() && state.new.is_none() => Standing::Empty,
            Health::Well => Standing::Broken,
        }
    }
}

//! For how long the nodes of a DaemonSet were served, and what took the rest.
//!
//! *Assumed:* every assignment is evaluated when something about it changes, in the order of time.
//!
//! A node is in one state at a time, or in none while it is not eligible. Of each state only two numbers are kept, so that
//! an event costs the same however large the fleet is: how many nodes are in it, and the sum of the times at which nodes
//! left it less those at which they came. Time counts from the first look at a node: what an engine has not seen, as
//! between two leaders, is nobody's.

use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::facts::Trouble;
use crate::ids::NodeId;
use crate::tables::Tables;
use crate::view::View;

/// What an eligible node is to a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A pod is ready.
    Served,
    /// A roll-out took the pod, and the next one comes up.
    Rollout,
    /// The node is not ready.
    NodeDown,
    /// Containers end or cannot be started, or the pod was ready and is not any more.
    Crashing,
    /// An image cannot be pulled.
    ImagePull,
    /// The pod is not bound to the node.
    Unschedulable,
    /// The pod comes up.
    Starting,
    /// No pod is created for now: by a policy, after refusals, or by the brake.
    Held,
    /// There is no pod.
    Missing,
}

impl Service {
    /// All, in the order in which they are shown.
    pub const ALL: [Service; 9] = [
        Service::Served,
        Service::Rollout,
        Service::NodeDown,
        Service::Crashing,
        Service::ImagePull,
        Service::Unschedulable,
        Service::Starting,
        Service::Held,
        Service::Missing,
    ];

    /// As metrics and JSON have it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Served => "served",
            Service::Rollout => "rollout",
            Service::NodeDown => "nodeDown",
            Service::Crashing => "crashing",
            Service::ImagePull => "imagePull",
            Service::Unschedulable => "unschedulable",
            Service::Starting => "starting",
            Service::Held => "held",
            Service::Missing => "missing",
        }
    }
}

/// Upper bounds of the buckets of [`Unserved`], in seconds.
pub const UNSERVED_SECONDS: [u32; 9] = [1, 2, 5, 10, 20, 30, 60, 120, 300];

/// How long nodes were without a ready pod that a roll-out took theirs from, of those that have one again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unserved {
    /// Nodes by [`UNSERVED_SECONDS`], and those that took longer.
    pub nodes: [u64; UNSERVED_SECONDS.len() + 1],
    /// The sum, in milliseconds.
    pub millis: u64,
}

/// The account of one DaemonSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    nodes: [u32; Service::ALL.len()],
    /// Times of leaving less times of coming, in milliseconds.
    offset_millis: [i128; Service::ALL.len()],
    unserved: Unserved,
}

impl Coverage {
    /// How many nodes are in a state.
    pub fn nodes(&self, state: Service) -> u32 {
        self.nodes[state as usize]
    }

    /// The time that nodes have spent in a state until now, each for itself, in milliseconds.
    pub fn node_millis(&self, state: Service, now: Time) -> u64 {
        let since = i128::from(self.nodes(state)) * i128::from(now.0);
        // A clock that was set back has nobody leave before they came.
        u64::try_from((since + self.offset_millis[state as usize]).max(0)).unwrap_or(u64::MAX)
    }

    /// How long roll-outs left nodes without a ready pod.
    pub fn unserved(&self) -> &Unserved {
        &self.unserved
    }

    fn enters(&mut self, state: Service, now: Time) {
        self.nodes[state as usize] += 1;
        self.offset_millis[state as usize] -= i128::from(now.0);
    }

    fn leaves(&mut self, state: Service, now: Time) {
        self.nodes[state as usize] -= 1;
        self.offset_millis[state as usize] += i128::from(now.0);
    }

    fn is_served_again(&mut self, lost: Lost, now: Time) {
        let millis = u64::try_from(now.millis_since(lost.at)).unwrap_or(0);
        let fits = |bound: &u32| millis <= u64::from(*bound) * 1000;
        let bucket = UNSERVED_SECONDS.iter().position(fits).unwrap_or(UNSERVED_SECONDS.len());
        self.unserved.nodes[bucket] += 1;
        self.unserved.millis += millis;
    }
}

/// Since when a node that was served is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub at: Time,
    /// A roll-out took the pod.
    pub to_rollout: bool,
}

impl DaemonSetState {
    /// Notes the state of a node.
    fn note_service(&mut self, node: NodeId, state: Option<Service>, now: Time) {
        let Some(assignment) = self.assignments.get_mut(&node) else { return };
        let (before, is_rolled) = (assignment.service, assignment.is_rolled);
        if before == state {
            return;
        }
        assignment.service = state;
        before.inspect(|before| self.coverage.leaves(*before, now));
        state.inspect(|state| self.coverage.enters(*state, now));
        match (before, state) {
            (_, None) => drop(self.lost.remove(&node)),
            (_, Some(Service::Served)) => {
                if let Some(lost) = self.lost.remove(&node).filter(|lost| lost.to_rollout) {
                    self.coverage.is_served_again(lost, now);
                }
            }
            (Some(Service::Served), Some(_)) => {
                self.lost.insert(node, Lost { at: now, to_rollout: is_rolled });
            }
            _ => {}
        }
    }
}

impl Tables {
    /// Notes what a node is to a DaemonSet. `is_held`: it lacks a pod, and none is created for now.
    pub(crate) fn note_service(
        &self,
        daemonset: &mut DaemonSetState,
        node: NodeId,
        view: &View,
        is_held: bool,
        now: Time,
    ) {
        if let Some(assignment) = daemonset.assignments.get_mut(&node) {
            let goes = view.pods.iter().any(|pod| pod.leaving && !pod.updated);
            let is_served = view.pods.iter().any(|pod| pod.ready && !pod.leaving);
            assignment.is_rolled = goes || assignment.is_rolled && !is_served;
        }
        let state = self.service(daemonset, node, view, is_held);
        daemonset.note_service(node, state, now);
    }

    fn service(
        &self,
        daemonset: &DaemonSetState,
        node: NodeId,
        view: &View,
        is_held: bool,
    ) -> Option<Service> {
        if daemonset.rests() || !view.verdict.is_some_and(|verdict| verdict.should_run) {
            return None;
        }
        if view.pods.iter().any(|pod| pod.ready) {
            return Some(Service::Served);
        }
        if self.nodes.not_ready_since(node).is_some() {
            return Some(Service::NodeDown);
        }
        let assignment = daemonset.assignments.get(&node)?;
        let staying = view.pods.iter().find(|pod| !pod.leaving);
        let row = staying.and_then(|pod| self.pods.get(pod.id));
        // The pod was there when the node was last served: it has lost its readiness.
        let lost = daemonset.lost.get(&node).map(|lost| lost.at);
        let has_lost_it = || match assignment.service {
            Some(Service::Served) => true,
            _ => row.zip(lost).is_some_and(|(row, lost)| row.created < lost),
        };
        Some(match (staying, row.and_then(|row| row.trouble)) {
            (_, Some(trouble)) => of_trouble(trouble),
            (Some(pod), None) if pod.phase.is_terminal() => Service::Crashing,
            (Some(pod), None) if !pod.bound => Service::Unschedulable,
            _ if assignment.is_rolled => Service::Rollout,
            (Some(_), None) if has_lost_it() => Service::Crashing,
            (Some(_), None) => Service::Starting,
            (None, None) if view.creating => Service::Starting,
            (None, None) if is_held => Service::Held,
            (None, None) => Service::Missing,
        })
    }
}

fn of_trouble(trouble: Trouble) -> Service {
    match trouble {
        Trouble::ImagePullBackOff
        | Trouble::ErrImagePull
        | Trouble::InvalidImageName
        | Trouble::ErrImageNeverPull => Service::ImagePull,
        Trouble::CrashLoopBackOff
        | Trouble::CreateContainerConfigError
        | Trouble::CreateContainerError
        | Trouble::RunContainerError => Service::Crashing,
    }
}

//! The state machine itself: facts in, actions out.

use crate::actions::Action;
use crate::base::Time;
use crate::config::{EngineConfig, Limits, Scope};
use crate::daemonset::DaemonSetState;
use crate::daemonsets::DaemonSets;
use crate::facts::{Fact, Kind};
use crate::ids::{DaemonSetId, NodeId};
use crate::invariants::Violations;
#[cfg(debug_assertions)]
use crate::invariants::check_counts;
use crate::tables::{StaleSkips, Tables};
use crate::timers::Wake;

/// The state machine. One owner calls it; it never blocks. A copy decides what the original would.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) tables: Tables,
    /// The state of each DaemonSet, and what is decided for it.
    pub(crate) daemonsets: DaemonSets,
    pub(crate) daemonset_stamp: u8,
    listed: [bool; 4],
    waits_for_policies: bool,
}

/// How much an engine holds: each figure returns to zero when the world is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Pod rows.
    pub pods: usize,
    /// Node rows.
    pub nodes: usize,
    /// Texts of labels and taints.
    pub names: usize,
    /// Shapes of nodes.
    pub shapes: usize,
    /// Label sets of pods.
    pub label_sets: usize,
    /// DaemonSets known or named by a pod.
    pub daemonsets: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// Writes whose outcome was not told.
    pub writes: usize,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(config: impl Into<EngineConfig>) -> Self {
        let EngineConfig { limits, scope, waits_for_policies } = config.into();
        Engine {
            tables: Tables::new(limits, scope),
            daemonsets: DaemonSets::default(),
            daemonset_stamp: 0,
            listed: [false; 4],
            waits_for_policies,
        }
    }

    /// The bounds it works under.
    pub fn limits(&self) -> &Limits {
        &self.tables.limits
    }

    /// What it is responsible for.
    pub fn scope(&self) -> Scope {
        self.tables.scope
    }

    /// How often something was left undecided because an own write was not visible yet.
    pub fn stale_skips(&self) -> StaleSkips {
        self.tables.skips
    }

    /// Faults of the engine itself that have come to light.
    pub fn violations(&self) -> Violations {
        self.tables.violations
    }

    /// All four kinds have been listed once ([A5](crate::spec#a5)).
    pub fn is_synced(&self) -> bool {
        self.listed.iter().all(|listed| *listed)
            && (!self.waits_for_policies || self.tables.policies.is_told())
    }

    /// How much it holds.
    pub fn footprint(&self) -> Footprint {
        let (names, nodes, shapes) = self.tables.nodes.footprint();
        Footprint {
            pods: self.tables.pods.len(),
            nodes,
            names,
            shapes,
            label_sets: self.tables.labels.len(),
            daemonsets: self.daemonsets.len(),
            namespaces: self.tables.namespaces.len(),
            writes: self.tables.pending.len() + self.tables.policies.writes(),
        }
    }

    /// Takes a fact in. A fact that changes nothing costs next to nothing.
    ///
    /// Facts about one kind must come in the order of its watch; facts about different kinds in any order.
    pub fn observe(&mut self, fact: Fact<'_>, now: Time) {
        match fact {
            Fact::Node(node) => self.observe_node(&node),
            Fact::NodeGone(name) => self.observe_node_gone(name),
            Fact::DaemonSet(daemonset) => self.observe_daemonset(*daemonset),
            Fact::DaemonSetGone(uid) => self.observe_daemonset_gone(uid),
            Fact::Pod(pod) => self.observe_pod(&pod, now),
            Fact::PodGone { uid, resource_version } => {
                self.watch_showed_pods(resource_version);
                self.observe_pod_gone(uid);
            }
            Fact::Revision(revision) => self.observe_revision(*revision),
            Fact::RevisionGone(uid) => self.observe_revision_gone(uid),
            Fact::RelistBegun(kind) => {
                self.tables.lists[kind as usize].begin();
                self.begin_relist(kind);
            }
            Fact::RelistEnded { kind, resource_version } => {
                self.end_relist(kind, resource_version);
                self.decide_overdue(kind, resource_version, now);
                self.listed[kind as usize] = true;
            }
            Fact::Progress { kind: Kind::Pod, resource_version } => self.watch_showed_pods(resource_version),
            Fact::Progress { .. } => {}
            Fact::Policies(policies) => self.observe_policies(policies),
            Fact::Samples(samples) => self.observe_samples(&samples),
            Fact::Finished { id, outcome } => self.finished(id, outcome, now),
        }
    }

    /// Everything that is to be done now and has not been asked for before. Nothing until all four kinds have
    /// been listed once ([A5](crate::spec#a5)).
    pub fn decide(&mut self, now: Time) -> Vec<Action> {
        if !self.is_synced() {
            return Vec::new();
        }
        while let Some(wake) = self.tables.timers.pop_due(now) {
            self.wake(wake, now);
        }
        while let Some(id) = self.daemonsets.next_active() {
            if let Some((daemonset, rollout, others)) = self.daemonsets.split(id) {
                self.tables.run(daemonset, rollout, &others, now);
                #[cfg(debug_assertions)]
                check_counts(daemonset, &self.tables);
            }
            self.forget_if_unused(id);
        }
        self.ask_for_lists(now);
        if self.tables.scope != Scope::Nothing {
            self.write_policy_statuses(now);
        }
        std::mem::take(&mut self.tables.out)
    }

    /// When `decide` has something to do next without a further fact.
    pub fn next_deadline(&self) -> Option<Time> {
        let next = self.tables.timers.next().into_iter().chain(self.next_list()).min();
        next.filter(|_| self.is_synced())
    }

    /// A DaemonSet that nothing mentions any more is forgotten.
    fn forget_if_unused(&mut self, id: DaemonSetId) {
        let Some(daemonset) = self.daemonsets.get(id).filter(|daemonset| daemonset.is_unused()) else {
            return;
        };
        daemonset.assignments.keys().for_each(|&node| self.tables.nodes.release(node));
        self.daemonsets.remove(&mut self.tables.namespaces, id);
    }

    fn wake(&mut self, wake: Wake, now: Time) {
        match wake {
            Wake::Assignment(id, node) => {
                let Some(daemonset) = self.daemonsets.get_mut(id) else { return };
                let Some(assignment) = daemonset.assignments.get_mut(&node) else { return };
                assignment.wake = Time(i64::MAX);
                self.touch(id, node);
            }
            Wake::DaemonSet(id) => {
                if let Some(daemonset) = self.daemonsets.get_mut(id) {
                    daemonset.wake = Time(i64::MAX);
                    self.daemonsets.activate(id);
                }
            }
            Wake::Policies => {}
            Wake::Stale(wait) => self.is_overdue(wait, now),
        }
    }

    /// The DaemonSet of a name, if it is there.
    pub(crate) fn daemonset(&self, namespace: &str, name: &str) -> Option<&DaemonSetState> {
        let namespace = self.tables.namespaces.get(self.tables.namespaces.find(namespace)?)?;
        let mut daemonsets = namespace.daemonsets.iter().filter_map(|id| self.daemonsets.get(*id));
        daemonsets.find(|daemonset| daemonset.spec.is_some() && daemonset.key.name == name)
    }

    /// Marks an assignment and its DaemonSet for the next decision.
    pub(crate) fn touch(&mut self, id: DaemonSetId, node: NodeId) {
        self.daemonsets.touch(&mut self.tables.nodes, id, node);
    }
}

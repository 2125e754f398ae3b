//! The state machine itself.

use std::collections::BTreeSet;

use everynode_model::LabelSelector;
use hashbrown::HashMap;

use crate::actions::{Action, ActionId, Event, Work};
use crate::base::{Time, Uid};
use crate::cells;
use crate::facts::{Fact, Kind};
use crate::finished::Pending;
use crate::labels::LabelSets;
use crate::lists::Listing;
use crate::namespaces::{Namespaces, Slots};
use crate::nodes::{NodeId, Nodes};
use crate::pod_name::{self, POD_NAMES, PodNames};
use crate::pods::{PodId, Pods};
use crate::policy::Policies;
use crate::slot::{Creating, Slot, SlotId, Spec, mark};
use crate::timers::{Retry, Timers, Wake};

/// The bounds of an engine. The defaults are the built-in controller's where it has the same bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pod creations in flight per DaemonSet ([A2](crate::spec#a2)).
    pub creates_in_flight: usize,
    /// Pod deletions in flight per DaemonSet ([A2](crate::spec#a2)).
    pub deletes_in_flight: usize,
    /// Other writes in flight per DaemonSet: adoptions, releases, labels.
    pub patches_in_flight: usize,
    /// The first delay after a failed write; it doubles with each further failure ([A3](crate::spec#a3)).
    pub retry_first_millis: i64,
    /// The longest delay after a failed write.
    pub retry_last_millis: i64,
    /// The time between two attempts at nodes whose creations fail, when these are so many that it counts.
    pub refused_spacing_millis: i64,
    /// How long the effect of a write is waited for, or, when no answer came back, the write itself. A list
    /// decides after that ([H3](crate::spec#h3)).
    pub stale_millis: i64,
    /// The first pause after a list was asked for; it doubles with each further one of the kind.
    pub relist_first_millis: i64,
    /// The longest such pause.
    pub relist_last_millis: i64,
    /// How long nothing is created in a namespace that is being deleted ([C9](crate::spec#c9)).
    pub terminating_millis: i64,
    /// How long a node is left alone when the name for its pod is another pod's.
    pub name_taken_millis: i64,
    /// The shortest time between two status writes of one DaemonSet.
    pub status_interval_millis: i64,
    /// The first window in which no further failed pod is deleted on a node ([D6](crate::spec#d6)).
    pub failed_pod_first_millis: i64,
    /// The longest such window.
    pub failed_pod_last_millis: i64,
    /// The pause before the next pod of a node whose pods do not stay; it doubles with each further one.
    pub churn_first_millis: i64,
    /// The longest such pause.
    pub churn_last_millis: i64,
    /// How many nodes each list in the status of a RolloutPolicy names, of all its DaemonSets together.
    pub policy_status_names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            creates_in_flight: 250,
            deletes_in_flight: 250,
            patches_in_flight: 250,
            retry_first_millis: 5,
            retry_last_millis: 60_000,
            refused_spacing_millis: 200,
            stale_millis: 30_000,
            relist_first_millis: 30_000,
            relist_last_millis: 300_000,
            terminating_millis: 300_000,
            name_taken_millis: 10_000,
            status_interval_millis: 100,
            failed_pod_first_millis: 1_000,
            failed_pod_last_millis: 900_000,
            churn_first_millis: 1_000,
            churn_last_millis: 300_000,
            policy_status_names: 500,
        }
    }
}

/// What an engine is responsible for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of a DaemonSet: placement, updates, revisions, status and history. No other controller may do the same.
    #[default]
    All,
    /// The conduct of roll-outs only. Placement, revisions, status and history belong to the built-in controller, so
    /// that the engine asks for none of their writes and events; it observes, counts and explains as with `All`.
    /// What it may ask for is the deletion of old pods as a roll-out policy has it; without a policy it asks for
    /// nothing.
    Rollouts,
    /// Nothing: it observes, counts and explains, and asks for nothing.
    Nothing,
}

/// How an engine works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// The bounds it works under.
    pub limits: Limits,
    /// What it is responsible for.
    pub scope: Scope,
    /// Nothing is decided before the roll-out policies were told.
    pub waits_for_policies: bool,
}

impl From<Limits> for EngineConfig {
    fn from(limits: Limits) -> Self {
        EngineConfig { limits, ..EngineConfig::default() }
    }
}

/// How often something was left undecided because an own write was not visible yet ([H3](crate::spec#h3)).
/// The counters only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StaleSkips {
    /// Nodes of a DaemonSet that were passed over because of a pod that was created, or may have been.
    pub pods: u64,
    /// States of a DaemonSet whose status was passed over because it is older than the one that was written.
    pub daemonsets: u64,
    /// States of a ControllerRevision that were passed over because they are older than the one that was written.
    pub revisions: u64,
}

/// The state machine. One owner calls it; it never blocks. A copy decides what the original would.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) limits: Limits,
    pub(crate) scope: Scope,
    waits_for_policies: bool,
    pub(crate) policies: Policies,
    pub(crate) skips: StaleSkips,
    pub(crate) nodes: Nodes,
    pub(crate) pods: Pods,
    pub(crate) labels: LabelSets,
    pub(crate) namespaces: Namespaces,
    pub(crate) slots: Slots,
    pub(crate) timers: Timers,
    pub(crate) pending: HashMap<ActionId, Pending>,
    pub(crate) unseen: Unseen,
    pub(crate) lists: [Listing; 4],
    /// How far the pods' watch has come.
    pub(crate) pods_seen: u64,
    /// How far the revisions' watch has come.
    pub(crate) revisions_seen: u64,
    pub(crate) slot_stamp: u8,
    pub(crate) revision_stamp: u8,
    active: Vec<SlotId>,
    listed: [bool; 4],
    pub(crate) out: Vec<Action>,
    last_id: u64,
}

/// Pods that were created and that the watch has not shown, by uid and by resource version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unseen {
    pub by_uid: HashMap<Uid, (u64, SlotId, NodeId)>,
    pub by_version: BTreeSet<(u64, Uid)>,
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
            limits,
            scope,
            waits_for_policies,
            policies: Policies::default(),
            skips: StaleSkips::default(),
            nodes: Nodes::default(),
            pods: Pods::default(),
            labels: LabelSets::default(),
            namespaces: Namespaces::default(),
            slots: Slots::default(),
            timers: Timers::default(),
            pending: HashMap::new(),
            unseen: Unseen::default(),
            lists: Default::default(),
            pods_seen: 0,
            revisions_seen: 0,
            slot_stamp: 0,
            revision_stamp: 0,
            active: Vec::new(),
            listed: [false; 4],
            out: Vec::new(),
            last_id: 0,
        }
    }

    /// The bounds it works under.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What it is responsible for.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// How often something was left undecided because an own write was not visible yet.
    pub fn stale_skips(&self) -> StaleSkips {
        self.skips
    }

    /// All four kinds have been listed once ([A5](crate::spec#a5)).
    pub fn is_synced(&self) -> bool {
        self.listed.iter().all(|listed| *listed) && (!self.waits_for_policies || self.policies.is_told())
    }

    /// How much it holds.
    pub fn footprint(&self) -> Footprint {
        let (names, nodes, shapes) = self.nodes.footprint();
        Footprint {
            pods: self.pods.len(),
            nodes,
            names,
            shapes,
            label_sets: self.labels.len(),
            daemonsets: self.slots.len(),
            namespaces: self.namespaces.len(),
            writes: self.pending.len(),
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
            Fact::Pod(pod) => self.observe_pod(&pod),
            Fact::PodGone { uid, resource_version } => {
                self.watch_showed_pods(resource_version);
                self.observe_pod_gone(uid);
            }
            Fact::Revision(revision) => self.observe_revision(*revision),
            Fact::RevisionGone(uid) => self.observe_revision_gone(uid),
            Fact::RelistBegun(kind) => {
                self.lists[kind as usize].begin();
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
            Fact::Finished { id, outcome } => self.finished(id, outcome, now),
        }
    }

    /// Everything that is to be done now and has not been asked for before. Nothing until all four kinds have
    /// been listed once ([A5](crate::spec#a5)).
    pub fn decide(&mut self, now: Time) -> Vec<Action> {
        if !self.is_synced() {
            return Vec::new();
        }
        while let Some(wake) = self.timers.pop_due(now) {
            self.wake(wake, now);
        }
        let mut active = std::mem::take(&mut self.active);
        for id in active.drain(..) {
            if let Some(mut slot) = self.slots.take(id) {
                slot.active = false;
                self.run(&mut slot, now);
                self.put_back_or_forget(slot);
            }
        }
        // The allocation is used again; nothing was added meanwhile, because running a slot concerns that one only.
        if self.active.is_empty() {
            self.active = active;
        }
        self.ask_for_lists(now);
        if self.scope != Scope::Nothing {
            self.write_policy_statuses(now);
        }
        std::mem::take(&mut self.out)
    }

    /// When `decide` has something to do next without a further fact.
    pub fn next_deadline(&self) -> Option<Time> {
        let next = self.timers.next().into_iter().chain(self.next_list()).min();
        next.filter(|_| self.is_synced())
    }

    /// Looks at one DaemonSet.
    fn run(&mut self, slot: &mut Slot, now: Time) {
        match self.scope {
            Scope::All => self.sync(slot, now),
            Scope::Rollouts | Scope::Nothing => self.follow(slot, now),
        }
    }

    /// Another controller places pods and keeps revisions: what it does is counted and can be explained.
    fn follow(&mut self, slot: &mut Slot, now: Time) {
        self.follow_revision(slot);
        self.evaluate_dirty(slot, now);
        if !slot.rests() {
            self.conduct(slot, now);
        }
    }

    /// The sync of one DaemonSet: the specification's section 0, on what has changed.
    fn sync(&mut self, slot: &mut Slot, now: Time) {
        if slot.rests() {
            self.evaluate_dirty(slot, now);
            self.warn_of_empty_selector(slot);
            return;
        }
        self.warn_of_pod_names(slot);
        self.claim(slot, now);
        if !self.establish_revision(slot, now) {
            return;
        }
        self.evaluate_dirty(slot, now);
        self.manage_deletes(slot, now);
        self.conduct(slot, now);
        self.evaluate_dirty(slot, now);
        let mut asked = self.create(slot, false, now);
        let is_conducted = slot.conduct.is_some() || slot.is_contested;
        if !is_conducted && self.may_roll(slot, now) {
            self.roll_deletes(slot, now);
            asked |= self.create(slot, true, now);
        }
        if !asked && slot.in_flight.creates == 0 && slot.queue(mark::CREATE).is_empty() {
            slot.batch = 1;
        }
        if slot.retries.creates.blocked(now).is_none() && slot.retries.deletes.blocked(now).is_none() {
            self.clean_up_history(slot, now);
        }
        self.update_status(slot, now);
    }

    /// [M6](crate::spec#m6).
    fn warn_of_empty_selector(&mut self, slot: &mut Slot) {
        let key = slot.key.clone();
        let is_new = |spec: &&mut Spec| !spec.warned && !spec.fact.deleting;
        let selects_all = |spec: &&mut Spec| spec.fact.selector == LabelSelector::Everything;
        let Some(spec) = slot.spec.as_mut().filter(is_new).filter(selects_all) else { return };
        spec.warned = true;
        let message = "This daemon set is selecting all pods. A non-empty selector is required.".to_owned();
        let event = Event { warning: true, reason: "SelectingAll", message };
        let id = self.next_id();
        self.out.push(Action { id, daemonset: key, work: Work::RecordEvent(event) });
    }

    /// The annotation for pod names has a value that is not known.
    fn warn_of_pod_names(&mut self, slot: &mut Slot) {
        let is_new = |spec: &&mut Spec| spec.fact.pod_names == PodNames::Unreadable && !spec.warned_of_names;
        let Some(spec) = slot.spec.as_mut().filter(is_new) else { return };
        spec.warned_of_names = true;
        let value = pod_name::annotation(&spec.fact.annotations).unwrap_or_default();
        let message = format!("{POD_NAMES} must be \"node\" and not {value:?}: pods get random names");
        self.record(slot, true, "InvalidPodNames", message);
    }

    /// A slot that nothing mentions any more is forgotten.
    fn put_back_or_forget(&mut self, slot: Box<Slot>) {
        let is_unused = slot.spec.is_none()
            && slot.cells.values().all(|cell| cell.first == PodId::NONE)
            && slot.unselected.is_empty()
            && slot.in_flight.total() == 0;
        if !is_unused {
            self.slots.put_back(slot);
            return;
        }
        slot.cells.keys().for_each(|&node| self.nodes.release(node));
        self.slots.forget(&mut self.namespaces, &slot);
    }

    fn wake(&mut self, wake: Wake, now: Time) {
        match wake {
            Wake::Cell(id, node) => {
                let Some(slot) = self.slots.get_mut(id) else { return };
                let Some(cell) = slot.cells.get_mut(&node) else { return };
                cell.wake = Time(i64::MAX);
                slot.touch(&mut self.nodes, node);
                self.activate(id);
            }
            Wake::Slot(id) => {
                if let Some(slot) = self.slots.get_mut(id) {
                    slot.wake = Time(i64::MAX);
                    self.activate(id);
                }
            }
            Wake::Policies => {}
            Wake::Stale(wait) => self.is_overdue(wait, now),
        }
    }

    /// Has a DaemonSet looked at by the next decision.
    pub(crate) fn activate(&mut self, id: SlotId) {
        if let Some(slot) = self.slots.get_mut(id)
            && !slot.active
        {
            slot.active = true;
            self.active.push(id);
        }
    }

    /// Has a cell and its DaemonSet looked at by the next decision.
    pub(crate) fn touch(&mut self, id: SlotId, node: NodeId) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.touch(&mut self.nodes, node);
            self.activate(id);
        }
    }

    /// Wakes a DaemonSet at a time.
    pub(crate) fn wake_slot(&mut self, slot: &mut Slot, at: Time) {
        if at < slot.wake {
            slot.wake = at;
            self.timers.set(at, Wake::Slot(slot.id));
        }
    }

    /// Whether writes of a kind must wait after failures; if so, the DaemonSet is woken when they need not.
    pub(crate) fn must_wait(&mut self, slot: &mut Slot, retry: fn(&Slot) -> &Retry, now: Time) -> bool {
        let blocked = retry(slot).blocked(now);
        if let Some(at) = blocked {
            self.wake_slot(slot, at);
        }
        blocked.is_some()
    }

    /// Asks for a write whose outcome matters.
    pub(crate) fn ask(&mut self, slot: &Slot, work: Work, pending: Pending) {
        let id = self.next_id();
        self.pending.insert(id, pending);
        self.out.push(Action { id, daemonset: slot.key.clone(), work });
    }

    /// Asks for an event (1.L), as long as there is something to record it on.
    pub(crate) fn record(&mut self, slot: &Slot, warning: bool, reason: &'static str, message: String) {
        if slot.spec.is_none() {
            return;
        }
        let id = self.next_id();
        let work = Work::RecordEvent(Event { warning, reason, message });
        self.out.push(Action { id, daemonset: slot.key.clone(), work });
    }

    pub(crate) fn next_id(&mut self) -> ActionId {
        self.last_id += 1;
        ActionId(self.last_id)
    }

    /// Looks at every cell that something happened to.
    fn evaluate_dirty(&mut self, slot: &mut Slot, now: Time) {
        let mut dirty = std::mem::take(&mut slot.dirty);
        for node in dirty.drain(..) {
            if slot.cells.get(&node).is_some_and(|cell| cell.dirty) {
                self.evaluate(slot, node, now);
            }
        }
        slot.dirty = dirty;
    }

    /// Looks at a cell and keeps its marks, and the wakes that it needs.
    pub(crate) fn evaluate(&mut self, slot: &mut Slot, node: NodeId, now: Time) {
        let forget_millis = 2 * self.limits.failed_pod_last_millis;
        if let Some(cell) = slot.cells.get_mut(&node) {
            cell.dirty = false;
        }
        if slot.failed.get(&node).is_some_and(|entry| now.millis_since(entry.updated) > forget_millis) {
            slot.failed.remove(&node);
        }
        if matches!(slot.creating.get(&node), Some(Creating::Taken { until }) if *until <= now) {
            slot.creating.remove(&node);
        }
        if slot.creating.get(&node).is_some_and(|creating| creating.stale_at().is_some()) {
            self.skips.pods += 1;
        }
        let view = self.view(slot, node, now);
        let strategy = slot.spec.as_ref().map(|spec| spec.fact.strategy);
        let mut marks = strategy.filter(|_| node != NodeId::NONE).map_or(0, |strategy| view.marks(strategy));
        if let Some(conduct) = &mut slot.conduct {
            conduct.roster.touch(node);
            marks &= if conduct.holds(node) { !mark::CREATES } else { u32::MAX };
        }
        if marks & mark::CREATES != 0 && self.has_pod_of_that_name(slot, node) {
            marks &= !mark::CREATES;
        }
        let (marks, refused) = self.refused_marks(slot, node, marks, now);
        let (marks, braked) = self.braked_marks(slot, node, marks, &view, now);
        slot.set_marks(&self.nodes, node, marks);
        let forget = slot.failed.get(&node).map(|entry| entry.updated.plus_millis(forget_millis + 1));
        let taken = match slot.creating.get(&node) {
            Some(Creating::Taken { until }) => Some(*until),
            _ => None,
        };
        let wake = view.wake().into_iter().chain(forget).chain(taken).chain(refused).chain(braked).min();
        let Some(cell) = slot.cells.get_mut(&node) else { return };
        if let Some(at) = wake.filter(|at| *at < cell.wake) {
            cell.wake = at;
            self.timers.set(at, Wake::Cell(slot.id, node));
        }
        let is_unused = marks == 0 && cell.first == PodId::NONE && !slot.creating.contains_key(&node);
        if is_unused && !slot.failed.contains_key(&node) && !slot.refused.contains_key(&node) {
            slot.cells.remove(&node);
            slot.churn.remove(&node);
            self.nodes.release(node);
        }
    }

    /// The pod that is to be created would have the name of one that is still there: terminating, or not released yet.
    fn has_pod_of_that_name(&self, slot: &Slot, node: NodeId) -> bool {
        let mut next = slot.cells.get(&node).map_or(PodId::NONE, |cell| cell.first);
        if next == PodId::NONE && slot.unselected.is_empty() {
            return false;
        }
        let Some(name) = slot.pod_name(&self.nodes, node) else { return false };
        while let Some(row) = self.pods.get(next) {
            if *row.name == *name {
                return true;
            }
            next = row.next;
        }
        slot.unselected.iter().filter_map(|id| self.pods.get(*id)).any(|row| *row.name == *name)
    }

    /// The cell as it is now.
    pub(crate) fn view(&self, slot: &mut Slot, node: NodeId, now: Time) -> cells::View {
        cells::view(
            slot,
            &self.nodes,
            &self.pods,
            &self.labels,
            node,
            self.limits.failed_pod_last_millis,
            now,
        )
    }

    /// A pod that was asked for is not waited for any more.
    pub(crate) fn forget_creating(&mut self, slot: &mut Slot, node: NodeId) {
        if let Some(Creating::Unseen { uid, .. }) = slot.creating.remove(&node)
            && let Some((version, ..)) = self.unseen.by_uid.remove(&uid)
        {
            self.unseen.by_version.remove(&(version, uid));
        }
    }
}

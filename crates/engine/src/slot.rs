//! What the engine keeps per DaemonSet, and per cell: one DaemonSet on one node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::actions::DaemonSetRef;
use crate::base::{Time, Uid};
use crate::churn::Churn;
use crate::facts::{DaemonSetFact, RevisionFact, Status};
use crate::labels::LabelSetId;
use crate::nodes::{NodeId, Nodes};
use crate::placement::Verdict;
use crate::pods::PodId;
use crate::policy::{Conduct, DataDigest};
use crate::refused::Refusal;
use crate::timers::Retry;

/// Names one DaemonSet, by its uid: one that is deleted and created again is another one
/// ([A7](crate::spec#a7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SlotId(pub u32);

/// Names one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NamespaceId(pub u32);

/// What a namespace holds beside its DaemonSets' pods.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    pub name: Arc<str>,
    pub slots: Vec<SlotId>,
    pub orphans: BTreeSet<PodId>,
    pub revisions: BTreeMap<Uid, RevisionRow>,
}

/// A ControllerRevision and what is under way with it.
#[derive(Clone, Debug)]
pub(crate) struct RevisionRow {
    pub fact: RevisionFact,
    /// A write is in flight.
    pub writing: bool,
    /// Its deletion was asked for.
    pub delete_sent: bool,
    /// Adoptions or releases of it that failed.
    pub claims: Retry,
    pub stamp: u8,
}

impl RevisionRow {
    /// One that the API server has shown.
    pub fn new(fact: RevisionFact, stamp: u8) -> RevisionRow {
        RevisionRow { fact, writing: false, delete_sent: false, claims: Retry::default(), stamp }
    }
}

/// What a cell counts as. Each bit is either counted or has a queue.
pub(crate) mod mark {
    /// The node should run a pod ([I1](crate::spec#i1)).
    pub const DESIRED: u32 = 1 << 0;
    /// ... and has one ([I1](crate::spec#i1)).
    pub const CURRENT: u32 = 1 << 1;
    /// ... whose first is ready ([I1](crate::spec#i1)).
    pub const READY: u32 = 1 << 2;
    /// ... and available ([I1](crate::spec#i1)).
    pub const AVAILABLE: u32 = 1 << 3;
    /// ... or updated ([I1](crate::spec#i1)).
    pub const UPDATED: u32 = 1 << 4;
    /// The node should not run a pod and has one ([I2](crate::spec#i2)).
    pub const MISSCHEDULED: u32 = 1 << 5;
    /// Counts against maxUnavailable ([F4](crate::spec#f4)).
    pub const UNAVAILABLE: u32 = 1 << 6;
    /// Counts as available during a surge ([F8](crate::spec#f8)).
    pub const ROLL_AVAILABLE: u32 = 1 << 7;
    /// Counts against maxSurge ([F8](crate::spec#f8), [F11](crate::spec#f11)).
    pub const SURGING: u32 = 1 << 8;
    /// An old pod sits on a node that is gone, which stops a surge ([F10](crate::spec#f10)).
    pub const MISSING_OLD: u32 = 1 << 9;
    /// How many of the bits are counted.
    pub const COUNTED: u32 = 10;

    /// The marks by which pods are created.
    pub const CREATES: u32 = CREATE | SURGE_NOW | SURGE_CANDIDATE;
    /// A pod is to be created ([D3](crate::spec#d3), [D10](crate::spec#d10)).
    pub const CREATE: u32 = 1 << 10;
    /// Pods are to be deleted ([D5](crate::spec#d5) to [D13](crate::spec#d13)).
    pub const DELETE: u32 = 1 << 11;
    /// An old pod is not available and goes at once ([F5](crate::spec#f5)).
    pub const REPLACE: u32 = 1 << 12;
    /// An old pod is available and goes within the budget ([F5](crate::spec#f5)).
    pub const CANDIDATE: u32 = 1 << 13;
    /// A new pod beside an unavailable old one, outside the budget ([F10](crate::spec#f10)).
    pub const SURGE_NOW: u32 = 1 << 14;
    /// A new pod beside an available old one, within the budget ([F10](crate::spec#f10)).
    pub const SURGE_CANDIDATE: u32 = 1 << 15;
    /// An old pod goes because the new one is there, or because the node should not run it
    /// ([F10](crate::spec#f10), [F11](crate::spec#f11)).
    pub const SURGE_DELETE: u32 = 1 << 16;
    /// An available old pod on a node that should not run it ([F10](crate::spec#f10),
    /// [F13](crate::spec#f13)).
    pub const SUNSET: u32 = 1 << 17;
    /// How many of the bits have a queue.
    pub const QUEUED: u32 = 8;
}

/// One DaemonSet on one node.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// The first pod of the list that hangs together by [`crate::pods::PodRow::next`].
    pub first: PodId,
    /// Bits of [`mark`].
    pub marks: u32,
    /// The earliest wake that is set for the cell.
    pub wake: Time,
    /// It is in the list of cells to evaluate.
    pub dirty: bool,
}

impl Default for Cell {
    fn default() -> Self {
        Cell { first: PodId::NONE, marks: 0, wake: Time(i64::MAX), dirty: false }
    }
}

/// A pod that was asked for and has not been seen ([H3](crate::spec#h3)). Nothing is decided for its cell
/// until it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Creating {
    /// The write is in flight.
    InFlight,
    /// The pod exists, and the watch has not shown it.
    Unseen {
        /// Its uid.
        uid: Uid,
        /// When it should have been seen: from then on a list decides.
        stale_at: Time,
    },
    /// No answer came back: the pod may exist.
    Unknown {
        /// When it should have been seen: from then on a list decides.
        stale_at: Time,
        /// The name that the pod would have, if it is given one: a second pod of this name would be refused.
        name: Option<Arc<str>>,
    },
    /// The name for the pod is another pod's.
    Taken {
        /// When to try again.
        until: Time,
    },
}

impl Creating {
    /// When the pod should have been seen, if the write has ended.
    pub fn stale_at(&self) -> Option<Time> {
        match self {
            Creating::InFlight | Creating::Taken { .. } => None,
            Creating::Unseen { stale_at, .. } | Creating::Unknown { stale_at, .. } => Some(*stale_at),
        }
    }
}

/// Failed pods of one node ([D6](crate::spec#d6)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailedBackoff {
    /// status.observedGeneration at the time: another one is another key.
    pub generation: i64,
    pub delay_millis: i64,
    pub updated: Time,
}

/// A DaemonSet as last told, with what is derived from it.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub fact: DaemonSetFact,
    /// The data of the revision that fits the template ([J3](crate::spec#j3)).
    pub data: Arc<[u8]>,
    /// The template generation as the pods' label carries it ([F1](crate::spec#f1)).
    pub generation_text: Option<String>,
    pub reads_name: bool,
    /// The event of [M6](crate::spec#m6) was recorded.
    pub warned: bool,
    /// The event about the annotation for pod names was recorded.
    pub warned_of_names: bool,
}

/// The revision for the current template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub uid: Uid,
    pub hash: Arc<str>,
}

/// How the creations of a batch have ended so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BatchWent {
    #[default]
    Well,
    /// Only where they failed before.
    BadlyAgain,
    /// One failed on a node where none had failed.
    Badly,
}

/// Everything that failed writes of one kind hold up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retries {
    pub creates: Retry,
    pub deletes: Retry,
    pub patches: Retry,
    pub history: Retry,
    pub status: Retry,
}

/// Writes in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight {
    pub creates: usize,
    pub deletes: usize,
    pub patches: usize,
    pub history: usize,
    pub cleanup: usize,
    pub status: usize,
}

impl InFlight {
    pub fn total(&self) -> usize {
        self.creates + self.deletes + self.patches + self.history + self.cleanup + self.status
    }
}

/// All that is kept for one DaemonSet. It exists from the first mention of its uid, by itself or by a pod, to the
/// last.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub id: SlotId,
    pub key: Arc<DaemonSetRef>,
    pub namespace: NamespaceId,
    pub spec: Option<Spec>,
    /// A write found it gone, or another one in its place: nothing is done for it until a list decides.
    pub is_gone: bool,
    /// Its roll-outs are conducted by a policy.
    pub conduct: Option<Box<Conduct>>,
    /// Several policies select it: none of them acts, and it does not roll.
    pub is_contested: bool,
    pub cells: HashMap<NodeId, Cell>,
    pub dirty: Vec<NodeId>,
    pub counts: [i32; mark::COUNTED as usize],
    pub queues: [BTreeMap<Arc<str>, NodeId>; mark::QUEUED as usize],
    pub verdicts: Vec<(u32, Verdict)>,
    pub creating: HashMap<NodeId, Creating>,
    pub failed: HashMap<NodeId, FailedBackoff>,
    pub refused: HashMap<NodeId, Refusal>,
    /// Nodes on which a pod was created since one was ready there.
    pub churn: HashMap<NodeId, Churn>,
    pub live: HashMap<LabelSetId, u32>,
    pub adopting: BTreeSet<PodId>,
    pub unselected: BTreeSet<PodId>,
    pub current: Option<Current>,
    /// The templates that it was seen with, the newest last.
    pub templates: Vec<DataDigest>,
    /// The hash that the cells' marks were computed with.
    pub marked_hash: Option<Arc<str>>,
    /// A revision of the right data that is used although it is not claimed ([J7](crate::spec#j7)).
    pub borrowed: Option<Uid>,
    /// The name for a new revision is taken by other data ([J7](crate::spec#j7)).
    pub collision: bool,
    pub history_dirty: bool,
    /// When a revision is to be adopted or released whose claim was refused; the rest does not wait for it.
    pub claim_at: Option<Time>,
    /// A revision came with this as its owner: no reason to look at the history ([A9](crate::spec#a9)), until
    /// there is another one to look at the DaemonSet.
    pub has_new_revision: bool,
    pub cleanup_dirty: bool,
    /// Pods in the current batch of creations, and how it has gone so far ([C8](crate::spec#c8)).
    pub batch: usize,
    pub batch_went: BatchWent,
    pub in_flight: InFlight,
    pub retries: Retries,
    /// The status that the API server has, as far as known.
    pub stored: Status,
    pub resource_version: u64,
    pub status_not_before: Time,
    pub wake: Time,
    /// It is in the list of DaemonSets to look at.
    pub active: bool,
    pub stamp: u8,
}

impl Slot {
    pub fn new(id: SlotId, key: Arc<DaemonSetRef>, namespace: NamespaceId) -> Self {
        Slot {
            id,
            key,
            namespace,
            spec: None,
            is_gone: false,
            conduct: None,
            is_contested: false,
            cells: HashMap::new(),
            dirty: Vec::new(),
            counts: [0; mark::COUNTED as usize],
            queues: Default::default(),
            verdicts: Vec::new(),
            creating: HashMap::new(),
            failed: HashMap::new(),
            refused: HashMap::new(),
            churn: HashMap::new(),
            live: HashMap::new(),
            adopting: BTreeSet::new(),
            unselected: BTreeSet::new(),
            current: None,
            templates: Vec::new(),
            marked_hash: None,
            borrowed: None,
            collision: false,
            history_dirty: true,
            claim_at: None,
            has_new_revision: false,
            cleanup_dirty: true,
            batch: 1,
            batch_went: BatchWent::default(),
            in_flight: InFlight::default(),
            retries: Retries::default(),
            stored: Status::default(),
            resource_version: 0,
            status_not_before: Time(i64::MIN),
            wake: Time(i64::MAX),
            active: false,
            stamp: 0,
        }
    }

    /// How many cells carry a counted mark.
    pub fn count(&self, mark: u32) -> i32 {
        self.counts[mark.trailing_zeros() as usize]
    }

    /// The cells that carry a queued mark, by node name.
    pub fn queue(&self, mark: u32) -> &BTreeMap<Arc<str>, NodeId> {
        &self.queues[(mark.trailing_zeros() - mark::COUNTED) as usize]
    }

    /// The first cell of a queue.
    pub fn first(&self, mark: u32) -> Option<NodeId> {
        self.queue(mark).first_key_value().map(|(_, &node)| node)
    }

    /// The cell of a node, made when there is none.
    pub fn cell(&mut self, nodes: &mut Nodes, node: NodeId) -> &mut Cell {
        self.cells.entry(node).or_insert_with(|| {
            nodes.retain(node);
            Cell::default()
        })
    }

    /// Has a cell evaluated at the next decision.
    pub fn touch(&mut self, nodes: &mut Nodes, node: NodeId) {
        let cell = self.cell(nodes, node);
        if !cell.dirty {
            cell.dirty = true;
            self.dirty.push(node);
        }
    }

    /// Has a cell evaluated at the next decision, if there is one.
    pub fn touch_known(&mut self, node: NodeId) {
        if let Some(cell) = self.cells.get_mut(&node).filter(|cell| !cell.dirty) {
            cell.dirty = true;
            self.dirty.push(node);
        }
    }

    /// Has every cell evaluated at the next decision.
    pub fn touch_all(&mut self) {
        for (&node, cell) in &mut self.cells {
            if !cell.dirty {
                cell.dirty = true;
                self.dirty.push(node);
            }
        }
    }

    /// Gives a cell new marks; counters and queues follow by the difference.
    pub fn set_marks(&mut self, nodes: &Nodes, node: NodeId, marks: u32) {
        let Some(cell) = self.cells.get_mut(&node) else { return };
        let mut changed = cell.marks ^ marks;
        cell.marks = marks;
        while changed != 0 {
            let bit = changed.trailing_zeros();
            changed &= changed - 1;
            let is_set = marks >> bit & 1 == 1;
            if bit < mark::COUNTED {
                self.counts[bit as usize] += if is_set { 1 } else { -1 };
            } else if is_set {
                self.queues[(bit - mark::COUNTED) as usize].insert(nodes.name(node).clone(), node);
            } else {
                self.queues[(bit - mark::COUNTED) as usize].remove(nodes.name(node));
            }
        }
    }

    /// shouldRun and shouldContinueRunning for a node that exists, computed once per shape.
    pub fn verdict(&mut self, nodes: &Nodes, node: NodeId) -> Verdict {
        let Some(spec) = &self.spec else { return Verdict::AWAY };
        let placement = spec.fact.template.placement();
        if spec.reads_name {
            return placement.verdict(&nodes.view(node));
        }
        let shape = nodes.shape(node);
        let index = shape.index as usize;
        if self.verdicts.len() <= index {
            self.verdicts.resize(index + 1, (0, Verdict::AWAY));
        }
        if self.verdicts[index].0 != shape.generation {
            self.verdicts[index] = (shape.generation, placement.verdict(&nodes.view(node)));
        }
        self.verdicts[index].1
    }

    /// Whether pods with these labels are made from the current template ([F1](crate::spec#f1)).
    pub fn is_updated(&self, labels: &crate::labels::LabelSets, set: LabelSetId) -> bool {
        let Some(spec) = &self.spec else { return false };
        let hash = self.current.as_ref().map_or("", |current| &*current.hash);
        (!hash.is_empty() && labels.hash(set) == hash)
            || (spec.generation_text.is_some() && labels.generation(set) == spec.generation_text.as_deref())
    }

    /// The name of the pod for a node, when it derives from that.
    pub fn pod_name(&self, nodes: &Nodes, node: NodeId) -> Option<String> {
        self.spec.as_ref()?.fact.pod_name(nodes.name(node), &self.current.as_ref()?.hash)
    }

    /// A pod was asked for on a node, and another one must not be. One of which nothing is known can be asked for
    /// again under the same name: the API server makes one of them at most. Under surge it could be made when the name
    /// is free again because another revision has come.
    pub fn is_creating(&self, nodes: &Nodes, node: NodeId) -> bool {
        match self.creating.get(&node) {
            None => false,
            Some(Creating::Unknown { name: Some(name), .. }) => {
                let is_of_node = self.spec.as_ref().is_some_and(|spec| !spec.fact.strategy.allows_surge());
                !is_of_node || self.pod_name(nodes, node).is_none_or(|now| **name != *now)
            }
            Some(_) => true,
        }
    }

    /// Has a revision stand for the current template, or none yet; cells depend on its hash.
    pub fn use_revision(&mut self, current: Option<Current>) {
        let hash = current.as_ref().map(|current| current.hash.clone());
        if self.marked_hash != hash {
            self.marked_hash = hash;
            self.touch_all();
        }
        self.current = current;
    }

    /// One more pod carries these labels.
    pub fn add_live(&mut self, labels: LabelSetId) {
        *self.live.entry(labels).or_default() += 1;
    }

    /// One pod less carries these labels; with the last one a revision may have become dead
    /// ([J10](crate::spec#j10)).
    pub fn remove_live(&mut self, labels: LabelSetId) {
        if let Some(count) = self.live.get_mut(&labels) {
            *count -= 1;
            if *count == 0 {
                self.live.remove(&labels);
                self.cleanup_dirty = true;
            }
        }
    }

    /// Nothing is to be decided for it now ([M3](crate::spec#m3), [M6](crate::spec#m6)).
    pub fn rests(&self) -> bool {
        use everynode_model::LabelSelector;
        self.spec.as_ref().is_none_or(|spec| {
            // What selects nothing would not select its own pods either: they would be made without end.
            let is_usable = matches!(spec.fact.selector, LabelSelector::All(_));
            self.is_gone || spec.fact.deleting || !is_usable
        })
    }
}

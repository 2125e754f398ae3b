//! What the engine keeps per DaemonSet, and per assignment: one DaemonSet on one node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::actions::DaemonSetRef;
use crate::assignment::{Assignment, Churn, Creating, FailedBackoff, Refusal, Unanswered};
use crate::base::{Time, Uid};
use crate::coverage::{Coverage, Lost};
use crate::facts::{DaemonSetFact, Status};
use crate::ids::{DaemonSetId, LabelSetId, NamespaceId, NodeId, PodId};
use crate::mark;
use crate::nodes::Nodes;
use crate::placement::Verdict;
use crate::policy::{DataDigest, RolloutPhase, RolloutState};
use crate::timers::Retry;

/// So many templates of a DaemonSet are known at a time.
const TEMPLATES_LIMIT: usize = 16;

/// Spreads the attempts after failures over the nodes in line.
const STRIDE: usize = 2_654_435_761;

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
    /// The hashes of other revisions of the same template, of which another controller is yet to make one.
    pub equal_hashes: Vec<Arc<str>>,
}

impl Current {
    /// Whether a pod that carries this hash was made from the current template.
    pub fn has(&self, hash: &str) -> bool {
        !hash.is_empty() && (*self.hash == *hash || self.equal_hashes.iter().any(|one| **one == *hash))
    }
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
pub(crate) struct DaemonSetState {
    pub id: DaemonSetId,
    pub key: Arc<DaemonSetRef>,
    pub namespace: NamespaceId,
    pub spec: Option<Spec>,
    /// A write found it gone, or another one in its place: nothing is done for it until a list decides.
    pub is_gone: bool,
    /// Several policies select it: none of them acts, and it does not roll.
    pub is_contested: bool,
    pub assignments: HashMap<NodeId, Assignment>,
    pub dirty: Vec<NodeId>,
    pub counts: [i32; mark::COUNTED as usize],
    pub queues: [BTreeMap<Arc<str>, NodeId>; mark::QUEUED as usize],
    pub verdicts: Vec<(u32, Verdict)>,
    pub creating: HashMap<NodeId, Creating>,
    pub unanswered: HashMap<NodeId, Unanswered>,
    pub failed: HashMap<NodeId, FailedBackoff>,
    pub refused: HashMap<NodeId, Refusal>,
    /// How long nodes were served.
    pub coverage: Coverage,
    /// Nodes that were served and are not.
    pub lost: HashMap<NodeId, Lost>,
    /// Nodes on which a pod was created since one was ready there.
    pub churn: HashMap<NodeId, Churn>,
    pub live: HashMap<LabelSetId, u32>,
    pub adopting: BTreeSet<PodId>,
    pub unselected: BTreeSet<PodId>,
    pub current: Option<Current>,
    /// The templates that it was seen with, the newest last.
    pub templates: Vec<DataDigest>,
    /// A revision of the right data that is used although it is not claimed ([J7](crate::spec#j7)).
    pub borrowed: Option<Uid>,
    /// The name for a new revision is taken by other data ([J7](crate::spec#j7)).
    pub collision: bool,
    pub history_dirty: bool,
    /// The revision with which the assignments were last looked at.
    pub marked_with: Option<Current>,
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

impl DaemonSetState {
    pub fn new(id: DaemonSetId, key: Arc<DaemonSetRef>, namespace: NamespaceId) -> Self {
        DaemonSetState {
            id,
            key,
            namespace,
            spec: None,
            is_gone: false,
            is_contested: false,
            assignments: HashMap::new(),
            dirty: Vec::new(),
            counts: [0; mark::COUNTED as usize],
            queues: Default::default(),
            verdicts: Vec::new(),
            creating: HashMap::new(),
            unanswered: HashMap::new(),
            failed: HashMap::new(),
            refused: HashMap::new(),
            coverage: Coverage::default(),
            lost: HashMap::new(),
            churn: HashMap::new(),
            live: HashMap::new(),
            adopting: BTreeSet::new(),
            unselected: BTreeSet::new(),
            current: None,
            templates: Vec::new(),
            borrowed: None,
            collision: false,
            history_dirty: true,
            marked_with: None,
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

    /// How many assignments carry a counted mark.
    pub fn count(&self, mark: u32) -> i32 {
        self.counts[mark.trailing_zeros() as usize]
    }

    /// The assignments that carry a queued mark, by node name.
    pub fn queue(&self, mark: u32) -> &BTreeMap<Arc<str>, NodeId> {
        &self.queues[(mark.trailing_zeros() - mark::COUNTED) as usize]
    }

    /// The first assignment of a queue.
    pub fn first(&self, mark: u32) -> Option<NodeId> {
        self.queue(mark).first_key_value().map(|(_, &node)| node)
    }

    /// The assignment of a node, made when there is none.
    pub fn assignment(&mut self, nodes: &mut Nodes, node: NodeId) -> &mut Assignment {
        self.assignments.entry(node).or_insert_with(|| {
            nodes.retain(node);
            Assignment::default()
        })
    }

    /// Marks an assignment for the next decision.
    pub fn touch(&mut self, nodes: &mut Nodes, node: NodeId) {
        let assignment = self.assignment(nodes, node);
        if !assignment.dirty {
            assignment.dirty = true;
            self.dirty.push(node);
        }
    }

    /// Marks an assignment for the next decision, if there is one.
    pub fn touch_known(&mut self, node: NodeId) {
        if let Some(assignment) = self.assignments.get_mut(&node).filter(|assignment| !assignment.dirty) {
            assignment.dirty = true;
            self.dirty.push(node);
        }
    }

    /// Marks every assignment for the next decision.
    pub fn touch_all(&mut self) {
        for (&node, assignment) in &mut self.assignments {
            if !assignment.dirty {
                assignment.dirty = true;
                self.dirty.push(node);
            }
        }
    }

    /// Gives an assignment new marks; counters and queues follow by the difference.
    pub fn set_marks(&mut self, nodes: &Nodes, node: NodeId, marks: u32) {
        let Some(assignment) = self.assignments.get_mut(&node) else { return };
        let mut changed = assignment.marks ^ marks;
        assignment.marks = marks;
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
        self.current.as_ref().is_some_and(|current| current.has(labels.hash(set)))
            || (spec.generation_text.is_some() && labels.generation(set) == spec.generation_text.as_deref())
    }

    /// The name of the pod for a node, when it derives from that.
    pub fn pod_name(&self, nodes: &Nodes, node: NodeId) -> Option<String> {
        self.spec.as_ref()?.fact.pod_name(nodes.name(node), &self.current.as_ref()?.hash)
    }

    /// A pod was asked for on a node, and another one must not be.
    pub fn is_creating(&self, nodes: &Nodes, node: NodeId) -> bool {
        match self.creating.get(&node) {
            None => false,
            Some(Creating::Unknown { name: Some(name), .. }) => !self.is_name_for(nodes, node, name),
            Some(_) => true,
        }
    }

    /// A creation under another name may still be carried out on a node.
    pub fn may_get_another(&self, nodes: &Nodes, node: NodeId) -> bool {
        let unanswered = self.unanswered.get(&node);
        unanswered.is_some_and(|unanswered| !self.is_name_for(nodes, node, &unanswered.name))
    }

    /// All pods for a node have this name now, so that the API server makes one of them at most. Under surge a name is
    /// that of a revision, and free again when another one has come.
    fn is_name_for(&self, nodes: &Nodes, node: NodeId, name: &str) -> bool {
        let allows_surge = self.spec.as_ref().is_some_and(|spec| spec.fact.strategy.allows_surge());
        !allows_surge && self.pod_name(nodes, node).is_some_and(|now| *name == *now)
    }

    /// Takes a revision for that of the current template, or none yet; assignments depend on its hash.
    pub fn use_revision(&mut self, current: Option<Current>) {
        if self.marked_with != current {
            self.marked_with.clone_from(&current);
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

    /// Whether it adopts what carries such labels ([G3](crate::spec#g3)).
    pub fn adopts<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.spec.as_ref().is_some_and(|spec| !spec.fact.deleting && spec.fact.selector.matches(label))
    }

    /// Failed pods' backoffs hang on observedGeneration ([D6](crate::spec#d6)): it has changed.
    pub fn touch_failed(&mut self) {
        let nodes: Vec<NodeId> = self.failed.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.touch_known(node));
    }

    /// Nothing mentions it any more.
    pub fn is_unused(&self) -> bool {
        self.spec.is_none()
            && self.assignments.values().all(|assignment| assignment.first == PodId::NONE)
            && self.unselected.is_empty()
            && self.in_flight.total() == 0
    }

    /// The DaemonSet has another template, of this data.
    pub fn remember_template(&mut self, data: &[u8]) {
        let digest = DataDigest::of(data);
        self.templates.retain(|known| *known != digest);
        if self.templates.len() == TEMPLATES_LIMIT {
            self.templates.remove(0);
        }
        self.templates.push(digest);
    }

    /// The next node of a queue for creations: those that were not refused go first, by name. After a failure the
    /// next attempt is made elsewhere in the line, as chance would have it in the built-in controller: a row of nodes
    /// that refuse does not hold up all that come after it. Nodes that were refused follow by the time for which
    /// they waited.
    pub fn next_to_create(&self, queue: u32) -> Option<NodeId> {
        let failures = self.retries.creates.failures();
        if self.refused.is_empty() && failures == 0 {
            return self.first(queue);
        }
        let nodes = || self.queue(queue).values().copied();
        let mut fresh = nodes().filter(|node| !self.refused.contains_key(node));
        let in_line = match failures {
            0 => fresh.next(),
            failures => {
                let fresh: Vec<NodeId> = fresh.collect();
                let index = usize::try_from(failures).unwrap_or_default().wrapping_mul(STRIDE);
                index.checked_rem(fresh.len()).and_then(|index| fresh.get(index).copied())
            }
        };
        // The first of equals is the first by name.
        in_line.or_else(|| nodes().min_by_key(|node| self.refused.get(node).map(|refusal| refusal.until)))
    }

    /// Nothing of a roll-out under this policy is to be done, whatever else is true.
    pub fn is_at_rest_under(&self, rollout: &RolloutState) -> bool {
        let all = self.count(mark::DESIRED);
        rollout.phase == RolloutPhase::Complete
            && rollout.is_known
            && rollout.notes.disrupted().is_empty()
            && rollout.notes.exempt().is_empty()
            && rollout.figures.desired == all as usize
            && self.current.as_ref().map(|current| &current.hash) == rollout.hash.as_ref()
            && [mark::UPDATED, mark::AVAILABLE].iter().all(|one| self.count(*one) == all)
    }
}

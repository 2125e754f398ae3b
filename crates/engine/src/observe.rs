//! Facts about nodes, DaemonSets, pods and revisions: the rows change, and what depends on them is marked.

use std::sync::Arc;

use crate::assignment::Creating;
use crate::base::{Time, Uid};
use crate::config::Scope;
use crate::daemonset::{DaemonSetState, Spec};
use crate::engine::Engine;
use crate::facts::{DaemonSetFact, Kind, NodeFact, PodController, PodFact, RevisionFact};
use crate::ids::{DaemonSetId, NamespaceId, NodeId, PodId};
use crate::namespaces::RevisionRow;
use crate::nodes::Change;
use crate::pod_name;
use crate::pods::{NEVER, Place, PodRow, UNREAD};
use crate::revision;
use crate::tables::Tables;

impl Engine {
    pub(crate) fn observe_node(&mut self, fact: &NodeFact<'_>) {
        let node = match self.tables.nodes.apply(fact) {
            Change::Changed(node) => node,
            Change::Unplaced(node) => return self.touch_rollouts(node),
            Change::None => return,
        };
        let mut touched = smallvec::SmallVec::<[DaemonSetId; 16]>::new();
        for daemonset in self.daemonsets.iter_mut() {
            if daemonset.assignments.contains_key(&node)
                || daemonset.verdict(&self.tables.nodes, node).should_run
            {
                daemonset.touch(&mut self.tables.nodes, node);
                touched.push(daemonset.id);
            }
        }
        touched.into_iter().for_each(|daemonset| self.daemonsets.activate(daemonset));
    }

    pub(crate) fn observe_node_gone(&mut self, name: &str) {
        let Change::Changed(node) = self.tables.nodes.remove(name) else { return };
        let mut touched = smallvec::SmallVec::<[DaemonSetId; 16]>::new();
        for daemonset in
            self.daemonsets.iter_mut().filter(|daemonset| daemonset.assignments.contains_key(&node))
        {
            daemonset.touch(&mut self.tables.nodes, node);
            touched.push(daemonset.id);
        }
        touched.into_iter().for_each(|daemonset| self.daemonsets.activate(daemonset));
        self.tables.nodes.free_if_unused(node);
    }

    pub(crate) fn observe_daemonset(&mut self, fact: DaemonSetFact) {
        let namespace = self.tables.namespaces.acquire(&fact.namespace);
        let id = self.daemonsets.acquire(&mut self.tables.namespaces, namespace, fact.uid);
        let stamp = self.daemonset_stamp;
        let Some(daemonset) = self.daemonsets.get_mut(id) else { return };
        daemonset.stamp = stamp;
        let version = fact.resource_version;
        let old = daemonset.spec.as_ref().map(|spec| &spec.fact);
        if old.is_some_and(|old| version != 0 && version <= old.resource_version) {
            return;
        }
        if old.is_none() || version == 0 || version >= daemonset.resource_version {
            take_status(daemonset, &fact);
        } else {
            self.tables.skips.daemonsets += 1;
        }
        let diff = Diff::new(daemonset, &fact);
        take_spec(daemonset, fact, &diff);
        self.bind_policy(id);
        if diff.placement {
            self.placement_changed(id);
        }
        if diff.claims {
            self.claim_again(id);
        }
        self.daemonsets.activate(id);
    }

    /// Every node may be judged differently by a DaemonSet.
    fn placement_changed(&mut self, id: DaemonSetId) {
        let specs: Vec<_> = self.daemonsets.iter().filter_map(|daemonset| daemonset.spec.as_ref()).collect();
        let placements = || specs.iter().map(|spec| spec.fact.template.placement());
        self.tables.nodes.set_read_keys(
            placements().flat_map(|placement| placement.label_keys()),
            placements().flat_map(|placement| placement.taint_value_keys()),
        );
        let Some(daemonset) = self.daemonsets.get_mut(id) else { return };
        daemonset.verdicts.clear();
        let present: Vec<NodeId> = self.tables.nodes.present().collect();
        for node in present {
            if daemonset.verdict(&self.tables.nodes, node).should_run {
                daemonset.touch(&mut self.tables.nodes, node);
            }
        }
    }

    pub(crate) fn observe_daemonset_gone(&mut self, uid: Uid) {
        let gone: Vec<DaemonSetId> = self
            .daemonsets
            .iter()
            .filter(|daemonset| daemonset.key.uid == uid && daemonset.spec.is_some())
            .map(|daemonset| daemonset.id)
            .collect();
        for id in gone {
            let Some((daemonset, rollout)) = self.daemonsets.with_rollout(id) else { continue };
            daemonset.spec = None;
            if let Some(rollout) = rollout.take() {
                self.tables.policies.changed(&rollout.policy.key);
            }
            daemonset.current = None;
            daemonset.unanswered.clear();
            daemonset.failed.clear();
            daemonset.refused.clear();
            daemonset.churn.clear();
            daemonset.dirty.clear();
            let nodes: Vec<NodeId> = daemonset.assignments.keys().copied().collect();
            for node in nodes {
                self.tables.forget_creating(daemonset, node);
                self.tables.evaluate(daemonset, None, node, Time(0));
            }
            self.claim_again(id);
            self.daemonsets.activate(id);
        }
    }

    pub(crate) fn observe_pod(&mut self, fact: &PodFact<'_>, now: Time) {
        self.saw_pod(fact.uid);
        self.watch_showed_pods(fact.resource_version);
        match self.tables.pods.find(fact.uid) {
            Some(id) => self.update_pod(id, fact),
            None => self.insert_pod(fact, now),
        }
    }

    fn insert_pod(&mut self, fact: &PodFact<'_>, now: Time) {
        if fact.controller == PodController::Other {
            return;
        }
        let namespace = self.tables.namespaces.acquire(fact.namespace);
        let mut row = PodRow {
            uid: fact.uid,
            name: fact.name.into(),
            resource_version: 0,
            created: fact.created,
            ready_since: NEVER,
            labels: self.tables.labels.acquire(fact.labels),
            namespace,
            node: fact.node.map_or(NodeId::NONE, |name| self.tables.nodes.acquire(name)),
            next: PodId::NONE,
            place: Place::Orphan,
            phase: fact.phase,
            bound: fact.bound,
            ready: false,
            deleting: false,
            delete_sent: false,
            patching: false,
            trouble: fact.trouble,
            stamp: self.tables.pods.stamp,
            restarts: UNREAD,
            seconds_to_ready: UNREAD,
        };
        row.update(fact);
        let id = self.tables.pods.insert(row);
        self.attach(id, fact.controller);
        self.note_signs(id, None, fact);
        self.settle_unknown(id, now);
    }

    /// A new pod where the outcome of a creation is not known: it was carried out.
    fn settle_unknown(&mut self, id: PodId, now: Time) {
        let Some(&PodRow { place: Place::Member(daemonset), node, uid, .. }) = self.tables.pods.get(id)
        else {
            return;
        };
        if let Some(daemonset) = self.daemonsets.get_mut(daemonset)
            && matches!(daemonset.creating.get(&node), Some(Creating::Unknown { .. }))
        {
            if let Some(Creating::Unknown { name: Some(name), is_repeated: true, .. }) =
                daemonset.creating.remove(&node)
            {
                self.tables.await_unanswered(daemonset, node, name, now);
            }
            Tables::note_made(daemonset, node, uid);
        }
    }

    fn update_pod(&mut self, id: PodId, fact: &PodFact<'_>) {
        let stamp = self.tables.pods.stamp;
        let Some(row) = self.tables.pods.get_mut(id) else { return };
        row.stamp = stamp;
        if fact.resource_version != 0 && fact.resource_version <= row.resource_version {
            return;
        }
        let target_same = match fact.node {
            Some(name) => row.node != NodeId::NONE && **self.tables.nodes.name(row.node) == *name,
            None => row.node == NodeId::NONE,
        };
        let owner = match row.place {
            Place::Member(daemonset) | Place::Unselected(daemonset) => {
                self.daemonsets.get(daemonset).map(|daemonset| daemonset.key.uid)
            }
            Place::Orphan | Place::Adopting(_) => None,
        };
        let owner_same = owner.is_some_and(|uid| fact.controller == PodController::DaemonSet(uid));
        if target_same && owner_same && self.tables.labels.is(row.labels, fact.labels) {
            let was_ready = row.ready;
            row.update(fact);
            self.note_signs(id, Some(was_ready), fact);
            self.touch_pod(id);
            return;
        }
        self.move_pod(id, fact, target_same);
    }

    /// The slow way: the pod may belong elsewhere now.
    fn move_pod(&mut self, id: PodId, fact: &PodFact<'_>, target_same: bool) {
        let old_place = self.tables.pods.get(id).map_or(Place::Orphan, |row| row.place);
        self.detach(id);
        if fact.controller == PodController::Other {
            self.drop_row(id);
            return;
        }
        let labels = self.tables.labels.acquire(fact.labels);
        let node = match fact.node {
            Some(name) if !target_same => self.tables.nodes.acquire(name),
            _ => NodeId::NONE,
        };
        let Some(row) = self.tables.pods.get_mut(id) else { return };
        row.update(fact);
        let old_labels = std::mem::replace(&mut row.labels, labels);
        let old_node = if target_same { NodeId::NONE } else { std::mem::replace(&mut row.node, node) };
        self.tables.labels.release(old_labels);
        self.tables.nodes.release(old_node);
        self.attach(id, fact.controller);
        if let Some(row) = self.tables.pods.get_mut(id) {
            // A patch that is under way concerns the old place only.
            row.patching &= row.place == old_place;
        }
    }

    pub(crate) fn observe_pod_gone(&mut self, uid: Uid) {
        self.saw_pod(uid);
        if let Some(id) = self.tables.pods.find(uid) {
            self.remove_pod(id);
        }
    }

    /// Takes a pod out for good.
    pub(crate) fn remove_pod(&mut self, id: PodId) {
        self.detach(id);
        self.drop_row(id);
    }

    fn drop_row(&mut self, id: PodId) {
        let Some(row) = self.tables.pods.remove(id) else { return };
        self.tables.labels.release(row.labels);
        self.tables.nodes.release(row.node);
        self.tables.namespaces.free_if_empty(row.namespace);
    }

    /// A pod that was created has been seen.
    fn saw_pod(&mut self, uid: Uid) {
        if let Some(&(_, daemonset, node)) = self.tables.unseen.by_uid.get(&uid) {
            self.settle(daemonset, node);
        }
    }

    /// An event of the watch is of this version, or an item of a list, which says less.
    pub(crate) fn watch_showed_pods(&mut self, version: u64) {
        if !self.tables.lists[Kind::Pod as usize].is_running() {
            self.saw_pods(version);
        }
    }

    /// Everything up to here was shown: what was created before would have been seen, and is gone again
    /// ([H3](crate::spec#h3)).
    fn saw_pods(&mut self, version: u64) {
        self.tables.pods_seen = self.tables.pods_seen.max(version);
        while let Some(&(first, uid)) = self.tables.unseen.by_version.first() {
            if first > self.tables.pods_seen {
                break;
            }
            self.tables.unseen.by_version.remove(&(first, uid));
            if let Some((_, daemonset, node)) = self.tables.unseen.by_uid.get(&uid).copied() {
                self.settle(daemonset, node);
            }
        }
    }

    pub(crate) fn settle(&mut self, id: DaemonSetId, node: NodeId) {
        let Some(daemonset) = self.daemonsets.get_mut(id) else { return };
        self.tables.forget_creating(daemonset, node);
        self.touch(id, node);
    }

    pub(crate) fn observe_revision(&mut self, fact: RevisionFact) {
        if !self.tables.lists[Kind::Revision as usize].is_running() {
            self.tables.revisions_seen = self.tables.revisions_seen.max(fact.resource_version);
        }
        if fact.controller == PodController::Other {
            self.observe_revision_gone(fact.uid);
            return;
        }
        let namespace = self.tables.namespaces.acquire(&fact.namespace);
        let stamp = self.tables.revision_stamp;
        let Some(row) = self.tables.namespaces.get_mut(namespace) else { return };
        let (uid, controller) = (fact.uid, fact.controller);
        match row.revisions.get_mut(&uid) {
            Some(known) => {
                known.stamp = stamp;
                if fact.resource_version != 0 && fact.resource_version <= known.fact.resource_version {
                    let is_older = fact.resource_version < known.fact.resource_version;
                    self.tables.skips.revisions += u64::from(is_older);
                    return;
                }
                let old_controller = known.fact.controller;
                known.fact = fact;
                // A10: an update concerns the owner, and the former one.
                self.revisions_changed(namespace, uid, old_controller);
                self.revisions_changed(namespace, uid, controller);
            }
            None => {
                row.revisions.insert(uid, RevisionRow::new(fact, stamp));
                // A9: one that comes with its owner is no reason to look at the history; an orphan may be adopted.
                match controller {
                    PodController::DaemonSet(uid) if self.tables.scope == Scope::All => {
                        self.revision_came(namespace, uid);
                    }
                    _ => self.revisions_changed(namespace, uid, controller),
                }
            }
        }
    }

    pub(crate) fn observe_revision_gone(&mut self, uid: Uid) {
        let found =
            self.tables.namespaces.iter_mut().find_map(|(id, row)| Some((id, row.revisions.remove(&uid)?)));
        if let Some((namespace, row)) = found {
            self.revisions_changed(namespace, uid, row.fact.controller);
            self.tables.namespaces.free_if_empty(namespace);
        }
    }

    /// A DaemonSet that waits for its revision may go on.
    fn revision_came(&mut self, namespace: NamespaceId, owner: Uid) {
        let Some(id) = self.daemonsets.find(namespace, owner) else { return };
        if let Some(daemonset) = self.daemonsets.get_mut(id) {
            daemonset.has_new_revision = true;
        }
        self.daemonsets.activate(id);
    }

    /// The history of a revision's owner, of who uses it, or of everybody who may adopt it, is to be looked at.
    pub(crate) fn revisions_changed(
        &mut self,
        namespace: NamespaceId,
        revision: Uid,
        controller: PodController,
    ) {
        let Some(row) = self.tables.namespaces.get(namespace) else { return };
        for id in row.daemonsets.clone() {
            let Some(daemonset) = self.daemonsets.get_mut(id) else { continue };
            let concerned = match controller {
                PodController::DaemonSet(uid) => uid == daemonset.key.uid,
                PodController::Nobody => true,
                PodController::Other => false,
            };
            if concerned || daemonset.borrowed == Some(revision) || self.tables.scope != Scope::All {
                daemonset.history_dirty = true;
                self.daemonsets.activate(id);
            }
        }
    }

    pub(crate) fn begin_relist(&mut self, kind: Kind) {
        match kind {
            Kind::Node => self.tables.nodes.begin_relist(),
            Kind::DaemonSet => self.daemonset_stamp = self.daemonset_stamp.wrapping_add(1),
            Kind::Pod => self.tables.pods.stamp = self.tables.pods.stamp.wrapping_add(1),
            Kind::Revision => self.tables.revision_stamp = self.tables.revision_stamp.wrapping_add(1),
        }
    }

    /// What the list did not name is gone, unless it is newer than the list.
    pub(crate) fn end_relist(&mut self, kind: Kind, version: u64) {
        let is_older = |one: u64| version == 0 || one <= version;
        match kind {
            Kind::Node => {
                let gone: Vec<Arc<str>> = self.tables.nodes.not_listed();
                gone.iter().for_each(|name| self.observe_node_gone(name));
            }
            Kind::DaemonSet => {
                let stamp = self.daemonset_stamp;
                let known = self
                    .daemonsets
                    .iter()
                    .filter(|daemonset| daemonset.spec.is_some() && daemonset.stamp != stamp);
                let gone: Vec<Uid> = known.map(|daemonset| daemonset.key.uid).collect();
                gone.into_iter().for_each(|uid| self.observe_daemonset_gone(uid));
            }
            Kind::Pod => {
                let stamp = self.tables.pods.stamp;
                let rows = self
                    .tables
                    .pods
                    .iter()
                    .filter(|(_, row)| row.stamp != stamp && is_older(row.resource_version));
                let gone: Vec<PodId> = rows.map(|(id, _)| id).collect();
                gone.into_iter().for_each(|id| self.remove_pod(id));
                self.saw_pods(version);
            }
            Kind::Revision => {
                let stamp = self.tables.revision_stamp;
                let rows = self.tables.namespaces.iter_mut().flat_map(|(_, row)| row.revisions.values());
                let gone: Vec<Uid> = rows
                    .filter(|row| row.stamp != stamp && is_older(row.fact.resource_version))
                    .map(|row| row.fact.uid)
                    .collect();
                gone.into_iter().for_each(|uid| self.observe_revision_gone(uid));
                self.tables.revisions_seen = self.tables.revisions_seen.max(version);
            }
        }
        if kind == Kind::Pod {
            self.activate_all();
        }
    }

    fn activate_all(&mut self) {
        let all: Vec<DaemonSetId> = self.daemonsets.iter().map(|daemonset| daemonset.id).collect();
        all.into_iter().for_each(|id| self.daemonsets.activate(id));
    }
}

/// What a new state of a DaemonSet changes.
struct Diff {
    placement: bool,
    template: bool,
    claims: bool,
    history: bool,
    generation: bool,
    assignments: bool,
}

impl Diff {
    fn new(daemonset: &DaemonSetState, new: &DaemonSetFact) -> Self {
        let Some(old) = daemonset.spec.as_ref().map(|spec| &spec.fact) else {
            return Diff {
                placement: true,
                template: true,
                claims: true,
                history: true,
                generation: true,
                assignments: true,
            };
        };
        let template = !Arc::ptr_eq(&old.template, &new.template) && old.template != new.template;
        let claims = old.selector != new.selector || old.deleting != new.deleting;
        let generation = old.generation != new.generation;
        Diff {
            placement: claims || template && old.template.placement() != new.template.placement(),
            template,
            claims,
            generation,
            history: template
                || claims
                || generation
                || old.annotations != new.annotations
                || old.status.collision_count != new.status.collision_count,
            assignments: template
                || claims
                || old.template_generation != new.template_generation
                || old.strategy != new.strategy
                || old.pod_names != new.pod_names
                || old.min_ready_seconds != new.min_ready_seconds,
        }
    }
}

/// status as the API server has it, when it is not older than what we wrote.
fn take_status(daemonset: &mut DaemonSetState, fact: &DaemonSetFact) {
    let is_new_key = daemonset.stored.observed_generation != fact.status.observed_generation;
    daemonset.stored = fact.status;
    if is_new_key {
        daemonset.touch_failed();
    }
}

fn take_spec(daemonset: &mut DaemonSetState, mut fact: DaemonSetFact, diff: &Diff) {
    let old = daemonset.spec.take();
    let names_same = old.as_ref().is_some_and(|old| {
        pod_name::annotation(&old.fact.annotations) == pod_name::annotation(&fact.annotations)
    });
    let warned_of_names = names_same && old.as_ref().is_some_and(|old| old.warned_of_names);
    let (data, warned) = match old {
        Some(old) if !diff.template => {
            fact.template = old.fact.template;
            (old.data, old.warned && !diff.generation)
        }
        _ => (revision::data(fact.template.value()), false),
    };
    if daemonset.key.name != fact.name {
        daemonset.key = Arc::new(crate::actions::DaemonSetRef {
            namespace: fact.namespace.clone(),
            name: fact.name.clone(),
            uid: fact.uid,
        });
    }
    if diff.template {
        daemonset.current = None;
        daemonset.borrowed = None;
        daemonset.collision = false;
        daemonset.remember_template(&data);
    }
    if diff.generation {
        let retries = &mut daemonset.retries;
        [&mut retries.creates, &mut retries.deletes, &mut retries.history]
            .into_iter()
            .for_each(|one| one.succeed());
        let refused: Vec<NodeId> = daemonset.refused.drain().map(|(node, _)| node).collect();
        let braked: Vec<NodeId> = daemonset.churn.drain().map(|(node, _)| node).collect();
        refused.into_iter().chain(braked).for_each(|node| daemonset.touch_known(node));
    }
    daemonset.history_dirty |= diff.history;
    daemonset.cleanup_dirty = true;
    if diff.assignments {
        daemonset.touch_all();
    }
    daemonset.spec = Some(Spec {
        data,
        generation_text: fact.template_generation.map(|generation| generation.to_string()),
        reads_name: fact.template.placement().reads_name(),
        warned,
        warned_of_names,
        fact,
    });
}

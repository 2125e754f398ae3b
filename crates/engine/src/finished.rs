//! How the engine's own writes ended.

use std::sync::Arc;

use crate::actions::PodRef;
use crate::base::{Time, Uid};
use crate::cell::{Creating, Unanswered};
use crate::engine::Engine;
use crate::facts::{Failure, Outcome, PodController, RevisionFact, Status};
use crate::ids::{ActionId, NamespaceId, NodeId, PodId};
use crate::namespaces::RevisionRow;
use crate::pending::{Creation, Patch, Pending, RevisionWrite, Write};
use crate::pod_body::HASH_LABEL;
use crate::pods::Place;
use crate::slot::{BatchWent, Slot};
use crate::tables::Tables;
use crate::timers::Wait;

impl Engine {
    /// Takes an outcome in. One that was told before, or that nobody asked for, is ignored.
    pub(crate) fn finished(&mut self, id: ActionId, outcome: Outcome, now: Time) {
        if let Some(write) = self.tables.policies.take_pending(id) {
            return self.policy_written(write, &outcome, now);
        }
        let Some(Pending { slot: id, write }) = self.tables.pending.remove(&id) else { return };
        let Some(slot) = self.slots.get_mut(id) else { return };
        let (pod, revision, namespace) = (write.pod(), write.revision(), slot.namespace);
        self.tables.settle_write(slot, write, outcome, now);
        self.slots.activate(id);
        if let Some(pod) = pod.and_then(|uid| self.tables.pods.find(uid)) {
            self.touch_pod(pod);
        }
        if let Some(uid) = revision {
            self.touch_revision(namespace, uid);
        }
    }

    /// Has the DaemonSets look at a revision whose write has ended; its owner need not be the one that asked for it.
    pub(crate) fn touch_revision(&mut self, namespace: NamespaceId, uid: Uid) {
        let row = self.tables.namespaces.get(namespace).and_then(|row| row.revisions.get(&uid));
        if let Some(controller) = row.map(|row| row.fact.controller) {
            self.revisions_changed(namespace, uid, controller);
        }
    }

    /// Has the DaemonSet look at a pod that it has by now, which need not be the one that asked for the write.
    pub(crate) fn touch_pod(&mut self, id: PodId) {
        let Some(row) = self.tables.pods.get(id) else { return };
        let node = row.node;
        match row.place {
            Place::Member(slot) | Place::Adopting(slot) => self.touch(slot, node),
            Place::Unselected(slot) => self.slots.activate(slot),
            Place::Orphan => {}
        }
    }
}

impl Tables {
    /// Works an outcome into its DaemonSet.
    fn settle_write(&mut self, slot: &mut Slot, write: Write, outcome: Outcome, now: Time) {
        match write {
            Write::Create(creation) => self.created(slot, creation, outcome, now),
            Write::Delete { pod, as_known } => self.deleted(slot, &pod, as_known, outcome, now),
            Write::Patch { pod, patch } => self.patched(slot, pod, patch, outcome, now),
            Write::Revision(write) => self.revision_written(slot, write, outcome, now),
            Write::Cleanup(revision) => self.cleaned_up(slot, revision, outcome, now),
            Write::Status(status) => self.status_written(slot, status, outcome, now),
            Write::Rewrite => self.template_rewritten(slot, outcome, now),
        }
    }

    fn created(&mut self, slot: &mut Slot, creation: Creation, outcome: Outcome, now: Time) {
        let Creation { node, name: asked_name, is_repeated } = creation;
        self.violations.settle(&mut slot.in_flight.creates);
        let is_awaited = slot.creating.get(&node) == Some(&Creating::InFlight);
        let mut next = None;
        match outcome {
            Outcome::PodCreated { name, uid, resource_version } => {
                slot.refused.remove(&node);
                if let Some(asked_name) = asked_name.filter(|_| is_repeated) {
                    self.await_unanswered(slot, node, asked_name, now);
                }
                self.note_creation(slot, node, now);
                Tables::note_made(slot, node, uid);
                self.record(slot, false, "SuccessfulCreate", format!("Created pod: {name}"));
                next = self.await_pod(slot, node, uid, resource_version, now).filter(|_| is_awaited);
            }
            Outcome::Failed { failure: Failure::NamespaceTerminating, .. } => {
                slot.retries.creates.hold(now.plus_millis(self.limits.terminating_millis));
            }
            Outcome::Failed { failure: Failure::AlreadyExists, message } => {
                self.record(slot, true, "FailedCreate", format!("Error creating: {message}"));
                let until = now.plus_millis(self.limits.name_taken_millis);
                next = is_awaited.then_some(Creating::Taken { until });
            }
            other => {
                let went = match self.refuse(slot, node, now) {
                    true => BatchWent::Badly,
                    false => BatchWent::BadlyAgain,
                };
                slot.batch_went = slot.batch_went.max(went);
                let (failure, message) = failure(other);
                self.record(slot, true, "FailedCreate", format!("Error creating: {message}"));
                if failure == Failure::Unknown {
                    self.note_creation(slot, node, now);
                }
                if (failure == Failure::Unknown || is_repeated) && is_awaited {
                    let stale_at = self.expect(Wait::Creation(slot.id, node), now);
                    next = Some(Creating::Unknown { stale_at, name: asked_name, is_repeated });
                }
            }
        }
        match next {
            Some(next) => drop(slot.creating.insert(node, next)),
            None if is_awaited => drop(slot.creating.remove(&node)),
            None => {}
        }
        if slot.cells.contains_key(&node) {
            slot.touch(&mut self.nodes, node);
        }
        if slot.in_flight.creates == 0 {
            self.finish_batch(slot, now);
        }
    }

    /// A creation that was not answered may still be carried out under its name.
    pub(crate) fn await_unanswered(&mut self, slot: &mut Slot, node: NodeId, name: Arc<str>, now: Time) {
        let stale_at = self.expect(Wait::Unanswered(slot.id, node), now);
        slot.unanswered.insert(node, Unanswered { name, stale_at });
    }

    /// Whether the watch has still to show a pod that was created ([H3](crate::spec#h3)).
    fn await_pod(
        &mut self,
        slot: &Slot,
        node: NodeId,
        uid: Uid,
        version: u64,
        now: Time,
    ) -> Option<Creating> {
        let is_past = version != 0 && version <= self.pods_seen;
        if is_past || self.pods.find(uid).is_some() || !slot.creating.contains_key(&node) {
            return None;
        }
        self.unseen.by_uid.insert(uid, (version, slot.id, node));
        if version != 0 {
            self.unseen.by_version.insert((version, uid));
        }
        let stale_at = self.expect(Wait::Creation(slot.id, node), now);
        Some(Creating::Unseen { uid, stale_at })
    }

    /// [C8](crate::spec#c8): the next batch is twice as large, unless one of this batch failed. A node that
    /// fails again waits alone.
    fn finish_batch(&mut self, slot: &mut Slot, now: Time) {
        let limits = self.limits;
        match std::mem::take(&mut slot.batch_went) {
            BatchWent::Badly => {
                slot.batch = 1;
                slot.retries.creates.fail(now, limits.retry_first_millis, limits.retry_last_millis);
            }
            BatchWent::BadlyAgain => slot.batch = 1,
            BatchWent::Well if slot.retries.creates.blocked(now).is_none() => {
                slot.batch = (slot.batch * 2).min(limits.creates_in_flight);
                slot.retries.creates.succeed();
            }
            BatchWent::Well => {}
        }
    }

    fn deleted(&mut self, slot: &mut Slot, pod: &PodRef, as_known: bool, outcome: Outcome, now: Time) {
        self.violations.settle(&mut slot.in_flight.deletes);
        if let Some(conduct) = &mut slot.conduct {
            // Without an answer it may be.
            let is_gone = match &outcome {
                Outcome::Failed { failure, .. } => *failure == Failure::Unknown,
                _ => true,
            };
            let exempt = conduct.pod_went(pod.uid, is_gone);
            if let Some(node) = exempt.and_then(|name| self.nodes.find(&name)) {
                conduct.roster.touch(node);
            }
        }
        match outcome {
            Outcome::Done => {
                slot.retries.deletes.succeed();
                self.record(slot, false, "SuccessfulDelete", format!("Deleted pod: {}", pod.name));
                self.leaves(slot, pod.uid, now);
            }
            Outcome::Gone => {
                slot.retries.deletes.succeed();
                self.leaves(slot, pod.uid, now);
            }
            other => {
                let limits = self.limits;
                slot.retries.deletes.fail(now, limits.retry_first_millis, limits.retry_last_millis);
                let (failure, message) = failure(other);
                if !as_known {
                    self.record(slot, true, "FailedDelete", format!("Error deleting: {message}"));
                }
                // Without an answer the pod may be terminating.
                if failure == Failure::Unknown {
                    self.leaves(slot, pod.uid, now);
                } else if let Some(row) = self.pods.find(pod.uid).and_then(|id| self.pods.get_mut(id)) {
                    row.delete_sent = false;
                }
            }
        }
    }

    /// A pod that is gone, or may be, counts as leaving until the watch or a list decides. Forgotten at once, it
    /// would pass for one that was just created when the watch still shows it as it was.
    fn leaves(&mut self, slot: &Slot, uid: Uid, now: Time) {
        if let Some(row) = self.pods.find(uid).and_then(|id| self.pods.get_mut(id)) {
            row.delete_sent = !row.deleting;
            self.expect(Wait::Delete(slot.id, uid), now);
        }
    }

    fn patched(&mut self, slot: &mut Slot, uid: Uid, patch: Patch, outcome: Outcome, now: Time) {
        self.violations.settle(&mut slot.in_flight.patches);
        let id = self.pods.find(uid);
        if let Some(row) = id.and_then(|id| self.pods.get_mut(id)) {
            // A release that went well stays marked until the watch shows it.
            let is_released = matches!((&patch, &outcome), (Patch::Release, Outcome::Done));
            row.patching = is_released && row.place == Place::Unselected(slot.id);
            if row.patching {
                self.expect(Wait::Release(slot.id, uid), now);
            }
        }
        match (outcome, id) {
            (Outcome::Gone, _) => {
                slot.retries.patches.succeed();
                self.leaves(slot, uid, now);
            }
            (Outcome::Done, _) | (Outcome::PodPatched { .. }, None) => slot.retries.patches.succeed(),
            (Outcome::PodPatched { resource_version }, Some(id)) => {
                slot.retries.patches.succeed();
                self.apply_patch(slot, id, patch, resource_version);
            }
            _ => {
                let limits = self.limits;
                slot.retries.patches.fail(now, limits.retry_first_millis, limits.retry_last_millis);
            }
        }
    }

    /// What the patch changed holds at once. The watch's event of the patch itself is still taken in, because it
    /// carries what others changed meanwhile; older ones are not.
    fn apply_patch(&mut self, slot: &mut Slot, id: PodId, patch: Patch, version: u64) {
        let Some(row) = self.pods.get_mut(id).filter(|row| row.resource_version < version) else { return };
        let (node, labels) = (row.node, row.labels);
        match patch {
            Patch::Adopt if row.place == Place::Adopting(slot.id) => {
                row.place = Place::Member(slot.id);
                slot.adopting.remove(&id);
            }
            Patch::Label(hash) if row.place == Place::Member(slot.id) => {
                row.labels = self.labels.acquire_changed(labels, HASH_LABEL, &hash);
                slot.add_live(row.labels);
                slot.remove_live(labels);
                self.labels.release(labels);
            }
            _ => return,
        }
        row.resource_version = version - 1;
        slot.touch(&mut self.nodes, node);
    }

    fn revision_written(&mut self, slot: &mut Slot, write: RevisionWrite, outcome: Outcome, now: Time) {
        self.violations.settle(&mut slot.in_flight.history);
        slot.history_dirty = true;
        if let Some(row) = write.uid().and_then(|uid| self.revision_mut(slot, uid)) {
            row.writing = false;
            if matches!(outcome, Outcome::Revision(_) | Outcome::Done) {
                row.claims.succeed();
            }
        }
        let limits = self.limits;
        match (write, outcome) {
            (_, Outcome::Revision(fact)) => self.take_revision(slot, *fact),
            (RevisionWrite::Create, Outcome::RevisionExists(fact)) => self.name_is_taken(slot, *fact),
            (RevisionWrite::Release(uid), Outcome::Done) => {
                if let Some(row) = self.revision_mut(slot, uid) {
                    row.fact.controller = PodController::Nobody;
                }
            }
            (RevisionWrite::Collision, Outcome::CollisionCount { count, resource_version }) => {
                slot.stored.collision_count = Some(count);
                slot.resource_version = slot.resource_version.max(resource_version);
                slot.collision = false;
                // J7: the sync fails on purpose and is tried again.
                slot.retries.history.fail(now, limits.retry_first_millis, limits.retry_last_millis);
                return;
            }
            (write, Outcome::Done | Outcome::Gone) if write.uid().is_some() => {
                if let Some(uid) = write.uid()
                    && let Some(row) = self.revision_mut(slot, uid)
                {
                    row.delete_sent = true;
                    self.expect(Wait::Revision(slot.id, slot.namespace, uid), now);
                }
            }
            (RevisionWrite::Adopt(uid) | RevisionWrite::Release(uid), _) => {
                if let Some(row) = self.revision_mut(slot, uid) {
                    row.claims.fail(now, limits.retry_first_millis, limits.retry_last_millis);
                }
                return;
            }
            _ => {
                slot.collision = false;
                slot.retries.history.fail(now, limits.retry_first_millis, limits.retry_last_millis);
                return;
            }
        }
        slot.retries.history.succeed();
    }

    /// A revision as a write has left it.
    fn take_revision(&mut self, slot: &mut Slot, fact: RevisionFact) {
        let stamp = self.revision_stamp;
        let Some(namespace) = self.namespaces.get_mut(slot.namespace) else { return };
        match namespace.revisions.get_mut(&fact.uid) {
            // Of the same version the answer holds: what was noted of another write may have come in between.
            Some(known) if known.fact.resource_version > fact.resource_version => {}
            Some(known) => known.fact = fact,
            // The watch has come further than the write: the revision is gone again. Of one that somebody else
            // controls the watch keeps nothing, so that it says nothing.
            None if fact.controller != PodController::Other
                && fact.resource_version != 0
                && fact.resource_version <= self.revisions_seen => {}
            None => {
                namespace.revisions.insert(fact.uid, RevisionRow::new(fact, stamp));
            }
        }
    }

    /// [J7](crate::spec#j7): equal data is used as it is; other data is a collision of hashes, and so is one
    /// of somebody else whose label of the hash is gone.
    fn name_is_taken(&mut self, slot: &mut Slot, fact: RevisionFact) {
        let is_equal = slot.spec.as_ref().is_some_and(|spec| *spec.data == *fact.data);
        let is_own = fact.controller == PodController::DaemonSet(slot.key.uid);
        let has_hash = fact.labels.iter().any(|(key, hash)| key == HASH_LABEL && !hash.is_empty());
        slot.collision = !is_equal || !(is_own || has_hash);
        if !slot.collision {
            slot.borrowed = Some(fact.uid);
            self.take_revision(slot, fact);
        }
    }

    fn cleaned_up(&mut self, slot: &mut Slot, revision: Uid, outcome: Outcome, now: Time) {
        self.violations.settle(&mut slot.in_flight.cleanup);
        // One that is gone stays hidden until the watch takes it away; older events cannot bring it back.
        if matches!(outcome, Outcome::Done | Outcome::Gone) {
            if self.revision_mut(slot, revision).is_some() {
                self.expect(Wait::Revision(slot.id, slot.namespace, revision), now);
            }
            return;
        }
        if let Some(row) = self.revision_mut(slot, revision) {
            row.delete_sent = false;
        }
        slot.cleanup_dirty = true;
        let limits = self.limits;
        slot.retries.history.fail(now, limits.retry_first_millis, limits.retry_last_millis);
    }

    fn status_written(&mut self, slot: &mut Slot, status: Status, outcome: Outcome, now: Time) {
        self.violations.settle(&mut slot.in_flight.status);
        if matches!(outcome, Outcome::Gone) {
            slot.is_gone = true;
            self.expect(Wait::DaemonSet(slot.id, slot.key.uid), now);
            return;
        }
        let Outcome::StatusWritten { resource_version } = outcome else {
            let limits = self.limits;
            slot.retries.status.fail(now, limits.retry_first_millis, limits.retry_last_millis);
            return;
        };
        slot.retries.status.succeed();
        if resource_version < slot.resource_version {
            return;
        }
        slot.resource_version = resource_version;
        let is_new_key = slot.stored.observed_generation != status.observed_generation;
        slot.stored = Status { collision_count: slot.stored.collision_count, ..status };
        if is_new_key {
            slot.touch_failed();
        }
    }
}

/// What an outcome that is not a success says. A driver that answers with the wrong kind has refused the write.
fn failure(outcome: Outcome) -> (Failure, String) {
    match outcome {
        Outcome::Failed { failure, message } => (failure, message),
        other => (Failure::Refused, format!("unexpected outcome {other:?}")),
    }
}

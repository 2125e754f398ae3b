//! How the engine's own writes ended.

use std::sync::Arc;

use crate::actions::PodRef;
use crate::assignment::{Creating, Unanswered};
use crate::base::{Time, Uid};
use crate::daemonset::{BatchWent, DaemonSetState};
use crate::engine::Engine;
use crate::facts::{Failure, Outcome, PodController, RevisionFact, Status};
use crate::ids::{ActionId, NamespaceId, NodeId, PodId};
use crate::namespaces::RevisionRow;
use crate::pending::{Creation, Patch, Pending, RevisionWrite, Write};
use crate::pod_body::HASH_LABEL;
use crate::pods::Place;
use crate::policy::RolloutState;
use crate::tables::Tables;
use crate::timers::Wait;

impl Engine {
    /// Takes an outcome in. One that was told before, or that nobody asked for, is ignored.
    pub(crate) fn finished(&mut self, id: ActionId, outcome: Outcome, now: Time) {
        if let Some(write) = self.tables.policies.take_pending(id) {
            return self.policy_written(write, &outcome, now);
        }
        let Some(Pending { daemonset: id, write }) = self.tables.pending.remove(&id) else { return };
        let asked_by = self.daemonsets.with_rollout(id);
        let known = "a DaemonSet is known as long as a write of it is under way";
        let Some((daemonset, rollout)) = self.tables.violations.found(asked_by, known) else { return };
        let (pod, revision, namespace) = (write.pod(), write.revision(), daemonset.namespace);
        self.tables.settle_write(daemonset, rollout.as_deref_mut(), write, outcome, now);
        self.daemonsets.activate(id);
        if let Some(pod) = pod.and_then(|uid| self.tables.pods.find(uid)) {
            self.touch_pod(pod);
        }
        if let Some(uid) = revision {
            self.touch_revision(namespace, uid);
        }
    }

    /// Marks the DaemonSets that a revision concerns whose write has ended; its owner need not be the one that asked for it.
    pub(crate) fn touch_revision(&mut self, namespace: NamespaceId, uid: Uid) {
        let row = self.tables.namespaces.get(namespace).and_then(|row| row.revisions.get(&uid));
        if let Some(controller) = row.map(|row| row.fact.controller) {
            self.revisions_changed(namespace, uid, controller);
        }
    }

    /// Marks the DaemonSet that has a pod by now, which need not be the one that asked for the write.
    pub(crate) fn touch_pod(&mut self, id: PodId) {
        let Some(row) = self.tables.pods.get(id) else { return };
        let node = row.node;
        match row.place {
            Place::Member(daemonset) | Place::Adopting(daemonset) => self.touch(daemonset, node),
            Place::Unselected(daemonset) => self.daemonsets.activate(daemonset),
            Place::Orphan => {}
        }
    }
}

impl Tables {
    /// Works an outcome into its DaemonSet.
    fn settle_write(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: Option<&mut RolloutState>,
        write: Write,
        outcome: Outcome,
        now: Time,
    ) {
        match write {
            Write::Create(creation) => self.created(daemonset, creation, outcome, now),
            Write::Delete { pod, as_known } => {
                if let Some(rollout) = rollout {
                    self.note_deletion(rollout, pod.uid, &outcome);
                }
                self.deleted(daemonset, &pod, as_known, outcome, now);
            }
            Write::Patch { pod, patch } => self.patched(daemonset, pod, patch, outcome, now),
            Write::Revision(write) => self.revision_written(daemonset, write, outcome, now),
            Write::Cleanup(revision) => self.cleaned_up(daemonset, revision, outcome, now),
            Write::Status(status) => self.status_written(daemonset, status, outcome, now),
            Write::Rewrite => self.template_rewritten(daemonset, rollout, outcome, now),
        }
    }

    fn created(&mut self, daemonset: &mut DaemonSetState, creation: Creation, outcome: Outcome, now: Time) {
        let Creation { node, name: asked_name, is_repeated } = creation;
        self.violations.settle(&mut daemonset.in_flight.creates);
        let is_awaited = daemonset.creating.get(&node) == Some(&Creating::InFlight);
        let mut next = None;
        match outcome {
            Outcome::PodCreated { name, uid, resource_version } => {
                daemonset.refused.remove(&node);
                if let Some(asked_name) = asked_name.filter(|_| is_repeated && is_awaited) {
                    self.await_unanswered(daemonset, node, asked_name, now);
                }
                self.note_creation(daemonset, node, now);
                Tables::note_made(daemonset, node, uid);
                self.record(daemonset, false, "SuccessfulCreate", format!("Created pod: {name}"));
                next = self.await_pod(daemonset, node, uid, resource_version, now).filter(|_| is_awaited);
            }
            Outcome::Failed { failure: Failure::NamespaceTerminating, .. } => {
                daemonset.retries.creates.hold(now.plus_millis(self.limits.terminating_millis));
            }
            Outcome::Failed { failure: Failure::AlreadyExists, message } => {
                self.record(daemonset, true, "FailedCreate", format!("Error creating: {message}"));
                let until = now.plus_millis(self.limits.name_taken_millis);
                next = is_awaited.then_some(Creating::Taken { until });
            }
            other => {
                let went = match self.refuse(daemonset, node, now) {
                    true => BatchWent::Badly,
                    false => BatchWent::BadlyAgain,
                };
                daemonset.batch_went = daemonset.batch_went.max(went);
                let (failure, message) = failure(other);
                self.record(daemonset, true, "FailedCreate", format!("Error creating: {message}"));
                if failure == Failure::Unknown {
                    self.note_creation(daemonset, node, now);
                }
                if (failure == Failure::Unknown || is_repeated) && is_awaited {
                    let stale_at = self.expect(Wait::Creation(daemonset.id, node), now);
                    next = Some(Creating::Unknown { stale_at, name: asked_name, is_repeated });
                }
            }
        }
        match next {
            Some(next) => drop(daemonset.creating.insert(node, next)),
            None if is_awaited => drop(daemonset.creating.remove(&node)),
            None => {}
        }
        if daemonset.assignments.contains_key(&node) {
            daemonset.touch(&mut self.nodes, node);
        }
        if daemonset.in_flight.creates == 0 {
            self.finish_batch(daemonset, now);
        }
    }

    /// A creation that was not answered may still be carried out under its name.
    pub(crate) fn await_unanswered(
        &mut self,
        daemonset: &mut DaemonSetState,
        node: NodeId,
        name: Arc<str>,
        now: Time,
    ) {
        let stale_at = self.expect(Wait::Unanswered(daemonset.id, node), now);
        daemonset.unanswered.insert(node, Unanswered { name, stale_at });
    }

    /// Whether the watch has still to show a pod that was created ([H3](crate::spec#h3)).
    fn await_pod(
        &mut self,
        daemonset: &DaemonSetState,
        node: NodeId,
        uid: Uid,
        version: u64,
        now: Time,
    ) -> Option<Creating> {
        let is_past = version != 0 && version <= self.pods_seen;
        if is_past || self.pods.find(uid).is_some() || !daemonset.creating.contains_key(&node) {
            return None;
        }
        self.unseen.by_uid.insert(uid, (version, daemonset.id, node));
        if version != 0 {
            self.unseen.by_version.insert((version, uid));
        }
        let stale_at = self.expect(Wait::Creation(daemonset.id, node), now);
        Some(Creating::Unseen { uid, stale_at })
    }

    /// [C8](crate::spec#c8): the next batch is twice as large, unless one of this batch failed. A node that
    /// fails again waits alone.
    fn finish_batch(&mut self, daemonset: &mut DaemonSetState, now: Time) {
        let limits = self.limits;
        match std::mem::take(&mut daemonset.batch_went) {
            BatchWent::Badly => {
                daemonset.batch = 1;
                daemonset.retries.creates.fail(now, limits.retry_first_millis, limits.retry_last_millis);
            }
            BatchWent::BadlyAgain => daemonset.batch = 1,
            BatchWent::Well if daemonset.retries.creates.blocked(now).is_none() => {
                daemonset.batch = (daemonset.batch * 2).min(limits.creates_in_flight);
                daemonset.retries.creates.succeed();
            }
            BatchWent::Well => {}
        }
    }

    fn deleted(
        &mut self,
        daemonset: &mut DaemonSetState,
        pod: &PodRef,
        as_known: bool,
        outcome: Outcome,
        now: Time,
    ) {
        self.violations.settle(&mut daemonset.in_flight.deletes);
        match outcome {
            Outcome::Done => {
                daemonset.retries.deletes.succeed();
                self.record(daemonset, false, "SuccessfulDelete", format!("Deleted pod: {}", pod.name));
                self.leaves(daemonset, pod.uid, now);
            }
            Outcome::Gone => {
                daemonset.retries.deletes.succeed();
                self.leaves(daemonset, pod.uid, now);
            }
            other => {
                let limits = self.limits;
                daemonset.retries.deletes.fail(now, limits.retry_first_millis, limits.retry_last_millis);
                let (failure, message) = failure(other);
                if !as_known {
                    self.record(daemonset, true, "FailedDelete", format!("Error deleting: {message}"));
                }
                // Without an answer the pod may be terminating.
                if failure == Failure::Unknown {
                    self.leaves(daemonset, pod.uid, now);
                } else if let Some(row) = self.pods.find(pod.uid).and_then(|id| self.pods.get_mut(id)) {
                    row.delete_sent = false;
                }
            }
        }
    }

    /// A pod that is gone, or may be, counts as leaving until the watch or a list decides. Forgotten at once, it
    /// would pass for one that was just created when the watch still shows it as it was.
    fn leaves(&mut self, daemonset: &DaemonSetState, uid: Uid, now: Time) {
        if let Some(row) = self.pods.find(uid).and_then(|id| self.pods.get_mut(id)) {
            row.delete_sent = !row.deleting;
            self.expect(Wait::Delete(daemonset.id, uid), now);
        }
    }

    fn patched(
        &mut self,
        daemonset: &mut DaemonSetState,
        uid: Uid,
        patch: Patch,
        outcome: Outcome,
        now: Time,
    ) {
        self.violations.settle(&mut daemonset.in_flight.patches);
        let id = self.pods.find(uid);
        if let Some(row) = id.and_then(|id| self.pods.get_mut(id)) {
            // A release that went well stays marked until the watch shows it.
            let is_released = matches!((&patch, &outcome), (Patch::Release, Outcome::Done));
            row.patching = is_released && row.place == Place::Unselected(daemonset.id);
            if row.patching {
                self.expect(Wait::Release(daemonset.id, uid), now);
            }
        }
        match (outcome, id) {
            (Outcome::Gone, _) => {
                daemonset.retries.patches.succeed();
                self.leaves(daemonset, uid, now);
            }
            (Outcome::Done, _) | (Outcome::PodPatched { .. }, None) => daemonset.retries.patches.succeed(),
            (Outcome::PodPatched { resource_version }, Some(id)) => {
                daemonset.retries.patches.succeed();
                self.apply_patch(daemonset, id, patch, resource_version);
            }
            _ => {
                let limits = self.limits;
                daemonset.retries.patches.fail(now, limits.retry_first_millis, limits.retry_last_millis);
            }
        }
    }

    /// What the patch changed holds at once. The watch's event of the patch itself is still taken in, because it
    /// carries what others changed meanwhile; older ones are not.
    fn apply_patch(&mut self, daemonset: &mut DaemonSetState, id: PodId, patch: Patch, version: u64) {
        let Some(row) = self.pods.get_mut(id).filter(|row| row.resource_version < version) else { return };
        let (node, labels) = (row.node, row.labels);
        match patch {
            Patch::Adopt if row.place == Place::Adopting(daemonset.id) => {
                row.place = Place::Member(daemonset.id);
                daemonset.adopting.remove(&id);
            }
            Patch::Label(hash) if row.place == Place::Member(daemonset.id) => {
                row.labels = self.labels.acquire_changed(labels, HASH_LABEL, &hash);
                daemonset.add_live(row.labels);
                daemonset.remove_live(labels);
                self.labels.release(labels);
            }
            _ => return,
        }
        row.resource_version = version - 1;
        daemonset.touch(&mut self.nodes, node);
    }

    fn revision_written(
        &mut self,
        daemonset: &mut DaemonSetState,
        write: RevisionWrite,
        outcome: Outcome,
        now: Time,
    ) {
        self.violations.settle(&mut daemonset.in_flight.history);
        daemonset.history_dirty = true;
        if let Some(row) = write.uid().and_then(|uid| self.revision_mut(daemonset, uid)) {
            row.writing = false;
            if matches!(outcome, Outcome::Revision(_) | Outcome::Done) {
                row.claims.succeed();
            }
        }
        let limits = self.limits;
        match (write, outcome) {
            (_, Outcome::Revision(fact)) => self.take_revision(daemonset, *fact),
            (RevisionWrite::Create, Outcome::RevisionExists(fact)) => self.name_is_taken(daemonset, *fact),
            (RevisionWrite::Collision, Outcome::CollisionCount { count, resource_version }) => {
                daemonset.stored.collision_count = Some(count);
                daemonset.resource_version = daemonset.resource_version.max(resource_version);
                daemonset.collision = false;
                // J7: the sync fails on purpose and is tried again.
                daemonset.retries.history.fail(now, limits.retry_first_millis, limits.retry_last_millis);
                return;
            }
            (write, Outcome::Done | Outcome::Gone) if write.uid().is_some() => {
                if let Some(uid) = write.uid()
                    && let Some(row) = self.revision_mut(daemonset, uid)
                {
                    row.delete_sent = true;
                    self.expect(Wait::Revision(daemonset.id, daemonset.namespace, uid), now);
                }
            }
            (RevisionWrite::Adopt(uid) | RevisionWrite::Release(uid), _) => {
                if let Some(row) = self.revision_mut(daemonset, uid) {
                    row.claims.fail(now, limits.retry_first_millis, limits.retry_last_millis);
                }
                return;
            }
            _ => {
                daemonset.collision = false;
                daemonset.retries.history.fail(now, limits.retry_first_millis, limits.retry_last_millis);
                return;
            }
        }
        daemonset.retries.history.succeed();
    }

    /// A revision as a write has left it.
    fn take_revision(&mut self, daemonset: &mut DaemonSetState, fact: RevisionFact) {
        let stamp = self.revision_stamp;
        let Some(namespace) = self.namespaces.get_mut(daemonset.namespace) else { return };
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
    fn name_is_taken(&mut self, daemonset: &mut DaemonSetState, fact: RevisionFact) {
        let is_equal = daemonset.spec.as_ref().is_some_and(|spec| *spec.data == *fact.data);
        let is_own = fact.controller == PodController::DaemonSet(daemonset.key.uid);
        let has_hash = fact.labels.iter().any(|(key, hash)| key == HASH_LABEL && !hash.is_empty());
        daemonset.collision = !is_equal || !(is_own || has_hash);
        if !daemonset.collision {
            daemonset.borrowed = Some(fact.uid);
            self.take_revision(daemonset, fact);
        }
    }

    fn cleaned_up(&mut self, daemonset: &mut DaemonSetState, revision: Uid, outcome: Outcome, now: Time) {
        self.violations.settle(&mut daemonset.in_flight.cleanup);
        // One that is gone stays hidden until the watch takes it away; older events cannot bring it back.
        if matches!(outcome, Outcome::Done | Outcome::Gone) {
            if self.revision_mut(daemonset, revision).is_some() {
                self.expect(Wait::Revision(daemonset.id, daemonset.namespace, revision), now);
            }
            return;
        }
        if let Some(row) = self.revision_mut(daemonset, revision) {
            row.delete_sent = false;
        }
        daemonset.cleanup_dirty = true;
        let limits = self.limits;
        daemonset.retries.history.fail(now, limits.retry_first_millis, limits.retry_last_millis);
    }

    fn status_written(
        &mut self,
        daemonset: &mut DaemonSetState,
        status: Status,
        outcome: Outcome,
        now: Time,
    ) {
        self.violations.settle(&mut daemonset.in_flight.status);
        if matches!(outcome, Outcome::Gone) {
            daemonset.is_gone = true;
            self.expect(Wait::DaemonSet(daemonset.id, daemonset.key.uid), now);
            return;
        }
        let Outcome::StatusWritten { resource_version } = outcome else {
            let limits = self.limits;
            daemonset.retries.status.fail(now, limits.retry_first_millis, limits.retry_last_millis);
            return;
        };
        daemonset.retries.status.succeed();
        if resource_version < daemonset.resource_version {
            return;
        }
        daemonset.resource_version = resource_version;
        let is_new_key = daemonset.stored.observed_generation != status.observed_generation;
        daemonset.stored = Status { collision_count: daemonset.stored.collision_count, ..status };
        if is_new_key {
            daemonset.touch_failed();
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

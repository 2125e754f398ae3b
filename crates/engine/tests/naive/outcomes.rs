//! How writes ended.

use super::*;

impl Naive {
    pub fn finished(&mut self, id: u64, outcome: Outcome, now: Time) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let (uid, kind) = match &pending {
            Pending::Create { set, .. } => (*set, "creates"),
            Pending::Delete(uid, _) => (*uid, "deletes"),
            Pending::Patch(uid, ..) => (*uid, "patches"),
            Pending::History(uid, ..) => (*uid, "history"),
            Pending::Cleanup(uid, _) => (*uid, "cleanup"),
            Pending::Status(uid, _) => (*uid, "status"),
        };
        if let Some(count) = self.sets.get_mut(&uid).and_then(|set| set.in_flight.get_mut(kind)) {
            *count -= 1;
        }
        match pending {
            Pending::Create { set, node, name, is_repeated } => {
                self.created(set, &node, (name, is_repeated), outcome, now);
            }
            Pending::Delete(uid, pod) => self.deleted(uid, &pod, outcome, now),
            Pending::Patch(uid, pod, work) => self.patched(uid, pod, &work, outcome, now),
            Pending::History(uid, revision, work) => self.history_written(uid, revision, &work, outcome, now),
            Pending::Cleanup(uid, revision) => match outcome {
                Outcome::Done | Outcome::Gone => self.expect(Wait::Revision(revision), now),
                _ => {
                    if let Some(row) = self.revisions.get_mut(&revision) {
                        row.delete_sent = false;
                    }
                    self.fail(uid, "history", now);
                }
            },
            Pending::Status(uid, status) => self.status_written(uid, status, outcome, now),
        }
    }

    /// A creation that was not answered may still be carried out under its name.
    pub(super) fn await_unanswered(&mut self, uid: Uid, node: &str, name: Arc<str>, now: Time) {
        let stale_at = now.plus_millis(self.limits.stale_millis);
        self.waits.push((stale_at, Wait::Unanswered(uid, node.to_owned())));
        if let Some(set) = self.sets.get_mut(&uid) {
            set.unanswered.insert(node.to_owned(), (name, stale_at));
        }
    }

    fn created(
        &mut self,
        uid: Uid,
        node: &str,
        (asked_name, is_repeated): (Option<Arc<str>>, bool),
        outcome: Outcome,
        now: Time,
    ) {
        let limits = self.limits;
        let mut next = None;
        match outcome {
            Outcome::PodCreated { name, uid: pod, resource_version: version } => {
                self.event(uid, false, "SuccessfulCreate", format!("Created pod: {name}"));
                if let Some(set) = self.sets.get_mut(&uid) {
                    set.refused.remove(node);
                    set.note_creation(node, now);
                    set.churn.entry(node.to_owned()).and_modify(|churn| churn.2 = Some(pod));
                }
                let creating = self.sets.get(&uid).and_then(|set| set.creating.get(node));
                let is_awaited = creating == Some(&Creating::InFlight);
                if let Some(asked_name) = asked_name.filter(|_| is_repeated && is_awaited) {
                    self.await_unanswered(uid, node, asked_name, now);
                }
                if !self.pods.contains_key(&pod) && version > self.pods_seen {
                    let stale_at = now.plus_millis(limits.stale_millis);
                    next = Some(Creating::Unseen { uid: pod, version, stale_at });
                }
            }
            Outcome::Failed { failure: Failure::NamespaceTerminating, .. } => {
                if let Some(set) = self.sets.get_mut(&uid) {
                    let retry = set.retry.entry("creates").or_default();
                    retry.not_before = retry.not_before.max(Some(now.plus_millis(limits.terminating_millis)));
                }
            }
            Outcome::Failed { failure: Failure::AlreadyExists, message } => {
                self.event(uid, true, "FailedCreate", format!("Error creating: {message}"));
                next = Some(Creating::Taken { until: now.plus_millis(limits.name_taken_millis) });
            }
            Outcome::Failed { failure, message } => {
                self.event(uid, true, "FailedCreate", format!("Error creating: {message}"));
                if let Some(set) = self.sets.get_mut(&uid) {
                    set.batch_failed = true;
                    let failures = set.refused.get(node).map_or(0, |(failures, _)| *failures);
                    set.batch_failed_anew |= failures == 0;
                    set.refused.insert(node.to_owned(), (failures + 1, now));
                    let doubled =
                        (limits.retry_first_millis << failures.min(40)).min(limits.retry_last_millis);
                    let spaced = limits.refused_spacing_millis * (set.refused.len() as i64 - 1);
                    let until = now.plus_millis(doubled.max(spaced));
                    set.refused.insert(node.to_owned(), (failures + 1, until));
                    if failure == Failure::Unknown {
                        set.note_creation(node, now);
                    }
                }
                let stale_at = now.plus_millis(limits.stale_millis);
                next = (failure == Failure::Unknown || is_repeated).then_some(Creating::Unknown {
                    stale_at,
                    name: asked_name,
                    is_repeated,
                });
            }
            other => panic!("{other:?}"),
        }
        let Some(set) = self.sets.get_mut(&uid) else { return };
        if set.creating.get(node) == Some(&Creating::InFlight) {
            set.creating.remove(node);
            if let Some(next) = next {
                if !matches!(next, Creating::Taken { .. }) {
                    let stale_at = now.plus_millis(limits.stale_millis);
                    self.waits.push((stale_at, Wait::Creation(uid, node.to_owned())));
                }
                set.creating.insert(node.to_owned(), next);
            }
        }
        if set.in_flight.get("creates") != Some(&0) {
            return;
        }
        let anew = std::mem::take(&mut set.batch_failed_anew);
        if std::mem::take(&mut set.batch_failed) {
            set.batch = 1;
            if anew {
                self.fail(uid, "creates", now);
            }
        } else if !self.blocked(uid, "creates", now) {
            if let Some(set) = self.sets.get_mut(&uid) {
                set.batch = (set.batch * 2).min(limits.creates_in_flight);
            }
            self.succeed(uid, "creates");
        }
    }

    pub(super) fn deleted(&mut self, uid: Uid, pod: &PodRef, outcome: Outcome, now: Time) {
        match outcome {
            Outcome::Done => {
                self.succeed(uid, "deletes");
                self.event(uid, false, "SuccessfulDelete", format!("Deleted pod: {}", pod.name));
                self.leaves(pod.uid, now);
            }
            Outcome::Gone => {
                self.succeed(uid, "deletes");
                self.leaves(pod.uid, now);
            }
            Outcome::Failed { message, failure } => {
                self.fail(uid, "deletes", now);
                self.event(uid, true, "FailedDelete", format!("Error deleting: {message}"));
                if failure == Failure::Unknown {
                    self.leaves(pod.uid, now);
                } else if let Some(row) = self.pods.get_mut(&pod.uid) {
                    row.delete_sent = false;
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// A pod that is gone or may be: the watch or a list decides.
    fn leaves(&mut self, pod: Uid, now: Time) {
        if let Some(row) = self.pods.get_mut(&pod) {
            row.delete_sent = !row.pod.deleting;
            self.expect(Wait::Delete(pod), now);
        }
    }

    pub(super) fn patched(&mut self, uid: Uid, pod: Uid, work: &Work, outcome: Outcome, now: Time) {
        let place = self.pods.get(&pod).map(|one| self.place(&one.pod));
        if let Some(row) = self.pods.get_mut(&pod) {
            row.patching = matches!((work, &outcome), (Work::ReleasePod(_), Outcome::Done))
                && place == Some(Place::Unselected(uid));
            if row.patching {
                self.expect(Wait::Release(pod), now);
            }
        }
        match outcome {
            Outcome::Gone => {
                self.succeed(uid, "patches");
                self.leaves(pod, now);
            }
            Outcome::Done => self.succeed(uid, "patches"),
            Outcome::PodPatched { resource_version } => {
                self.succeed(uid, "patches");
                let Some(row) = self.pods.get_mut(&pod).filter(|row| row.version < resource_version) else {
                    return;
                };
                match work {
                    Work::AdoptPod(_) if place == Some(Place::Adopting(uid)) => {
                        row.pod.controller = PodController::DaemonSet(uid);
                    }
                    Work::LabelPod { hash, .. } if place == Some(Place::Member(uid)) => {
                        row.pod.labels.retain(|(key, _)| key != HASH_LABEL);
                        row.pod.labels.push((HASH_LABEL.to_owned(), hash.to_string()));
                    }
                    _ => return,
                }
                row.version = resource_version - 1;
            }
            _ => self.fail(uid, "patches", now),
        }
    }

    pub(super) fn history_written(
        &mut self,
        uid: Uid,
        revision: Option<Uid>,
        work: &Work,
        outcome: Outcome,
        now: Time,
    ) {
        if let Some(row) = revision.and_then(|one| self.revisions.get_mut(&one)) {
            row.writing = false;
            if matches!(outcome, Outcome::Revision(_) | Outcome::Done) {
                row.claims = Retry::default();
            }
        }
        let limits = self.limits;
        match (work, outcome) {
            (_, Outcome::Revision(fact)) => self.written(*fact),
            (_, Outcome::RevisionExists(fact)) => {
                let Some(set) = self.sets.get_mut(&uid) else { return };
                let equal = *revision::data(set.fact.template.value()) == *fact.data;
                let own = fact.controller == PodController::DaemonSet(uid);
                set.collision = !equal || !own && label(&fact, HASH_LABEL).is_empty();
                if !set.collision {
                    set.borrowed = Some(fact.uid);
                    self.written(*fact);
                }
            }
            (_, Outcome::CollisionCount { count, resource_version }) => {
                if let Some(set) = self.sets.get_mut(&uid) {
                    set.stored.collision_count = Some(count);
                    set.version = set.version.max(resource_version);
                    set.collision = false;
                }
                self.fail(uid, "history", now);
                return;
            }
            (_, Outcome::Done | Outcome::Gone) if revision.is_some() => {
                if let Some((one, row)) = revision.and_then(|one| Some((one, self.revisions.get_mut(&one)?)))
                {
                    row.delete_sent = true;
                    self.expect(Wait::Revision(one), now);
                }
            }
            (Work::AdoptRevision(one) | Work::ReleaseRevision(one), _) => {
                if let Some(row) = self.revisions.get_mut(&one.uid) {
                    row.claims.fail(&limits, now);
                }
                return;
            }
            _ => {
                if let Some(set) = self.sets.get_mut(&uid) {
                    set.collision = false;
                }
                self.fail(uid, "history", now);
                return;
            }
        }
        self.succeed(uid, "history");
    }

    pub(super) fn status_written(&mut self, uid: Uid, status: Status, outcome: Outcome, now: Time) {
        if matches!(outcome, Outcome::Gone) {
            if let Some(set) = self.sets.get_mut(&uid) {
                set.is_gone = true;
            }
            self.expect(Wait::DaemonSet(uid), now);
            return;
        }
        let Outcome::StatusWritten { resource_version } = outcome else {
            self.fail(uid, "status", now);
            return;
        };
        self.succeed(uid, "status");
        let Some(set) = self.sets.get_mut(&uid).filter(|set| set.version <= resource_version) else { return };
        set.version = resource_version;
        set.stored = Status { collision_count: set.stored.collision_count, ..status };
    }
}

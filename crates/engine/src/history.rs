//! The revisions of a DaemonSet: specification 1.J.

use std::sync::Arc;

use hashbrown::HashSet;

use crate::actions::{NewRevision, RevisionRef, Work};
use crate::base::{Time, Uid};
use crate::daemonset::{Current, DaemonSetState};
use crate::daemonsets::Others;
use crate::facts::PodController;
use crate::ids::PodId;
use crate::namespaces::RevisionRow;
use crate::pending::{Patch, RevisionWrite, Write};
use crate::pod_body::HASH_LABEL;
use crate::pods::Place;
use crate::policy::RolloutState;
use crate::revision;
use crate::tables::Tables;

/// A claimed revision, as the steps below see it.
#[derive(Clone, Debug)]
struct Claimed {
    reference: RevisionRef,
    number: i64,
    hash: String,
    matches: bool,
    /// It is another's, and only used ([J7](crate::spec#j7)): nothing is written to it.
    is_borrowed: bool,
}

/// A claim that was refused so often in a row, for five seconds, holds nothing else up any more: anybody may write a
/// revision that the API server lets nobody adopt.
const CLAIMS_AWAITED: u32 = 10;

/// Adoptions and releases of revisions ([J1](crate::spec#j1)).
#[derive(Default)]
struct Claims {
    /// Those whose time has come.
    writes: Vec<(Work, RevisionWrite)>,
    /// When the next one is tried that was refused.
    next_at: Option<Time>,
    /// One of these is awaited before anything else is decided.
    is_awaited: bool,
}

/// What the state of the history asks for next.
enum Step {
    /// A claim that was refused is tried again first.
    Wait,
    /// Writes that must end before anything else is decided.
    Write(Vec<(Work, RevisionWrite)>),
    /// Pods that must carry the kept revision's hash before its duplicates go.
    Label(Vec<PodId>, Arc<str>),
    /// The revision for the current template.
    Established(Current),
}

impl Tables {
    /// Whether the revision for the current template is known; if not, asks for what is missing. The sync goes no
    /// further without it.
    pub(crate) fn establish_revision(
        &mut self,
        daemonset: &mut DaemonSetState,
        others: &Others<'_>,
        now: Time,
    ) -> bool {
        if daemonset.in_flight.history > 0 {
            return false;
        }
        if !daemonset.dirty.is_empty() {
            daemonset.history_dirty |= daemonset.has_new_revision;
        }
        if daemonset.claim_at.is_some_and(|at| at <= now) {
            daemonset.history_dirty = true;
        }
        if !daemonset.history_dirty {
            return daemonset.current.is_some();
        }
        let claims = self.claims(daemonset, others, now);
        daemonset.claim_at = claims.next_at;
        if let Some(at) = claims.next_at {
            self.wake_daemonset(daemonset, at);
        }
        let step = match () {
            () if !claims.writes.is_empty() => Step::Write(claims.writes),
            () if claims.is_awaited => Step::Wait,
            () => self.next_step(daemonset),
        };
        let is_write = !matches!(step, Step::Established(_));
        if is_write && self.must_wait(daemonset, |daemonset| &daemonset.retries.history, now) {
            return false;
        }
        match step {
            Step::Wait => false,
            Step::Write(writes) => {
                for (work, write) in writes {
                    self.write_revision(daemonset, work, write);
                }
                false
            }
            Step::Label(pods, hash) => {
                let blocked = self.must_wait(daemonset, |daemonset| &daemonset.retries.patches, now);
                let room = self.limits.patches_in_flight.saturating_sub(daemonset.in_flight.patches);
                for pod in pods.into_iter().take(if blocked { 0 } else { room }) {
                    self.patch_pod(daemonset, pod, Patch::Label(hash.clone()));
                }
                false
            }
            Step::Established(current) => {
                (daemonset.history_dirty, daemonset.has_new_revision) = (false, false);
                daemonset.cleanup_dirty = true;
                daemonset.use_revision(Some(current));
                true
            }
        }
    }

    /// Takes the revision for the current template as another controller has established it, if it has. Of several it
    /// makes one when it looks at them again ([J8](crate::spec#j8)), and gives the pods of the others the hash of that
    /// one: until it has, the hashes of all of them are of the current template.
    pub(crate) fn follow_revision(&mut self, daemonset: &mut DaemonSetState) {
        if !std::mem::take(&mut daemonset.history_dirty) {
            return;
        }
        daemonset.borrowed = None;
        let newest = self.newest_match(daemonset).or_else(|| {
            daemonset.borrowed = self.revision_by_name(daemonset);
            self.newest_match(daemonset)
        });
        daemonset.use_revision(newest);
    }

    fn newest_match(&self, daemonset: &DaemonSetState) -> Option<Current> {
        let mut claimed = self.claimed_revisions(daemonset);
        claimed.retain(|one| one.matches && !one.hash.is_empty());
        let newest = claimed.pop()?;
        Some(Current {
            uid: newest.reference.uid,
            hash: newest.hash.as_str().into(),
            equal_hashes: claimed.into_iter().map(|one| one.hash.into()).collect(),
        })
    }

    /// The revision that a controller finds when it wants to create one for the current template
    /// ([J7](crate::spec#j7)).
    fn revision_by_name(&self, daemonset: &DaemonSetState) -> Option<Uid> {
        let data = &daemonset.spec.as_ref()?.data;
        let mut rows = self.namespaces.get(daemonset.namespace)?.revisions.values();
        let found = rows.find(|row| {
            let hash = label(row, HASH_LABEL).unwrap_or_default();
            *row.fact.data == **data && row.fact.name == format!("{}-{hash}", daemonset.key.name)
        });
        found.map(|row| row.fact.uid)
    }

    fn next_step(&self, daemonset: &DaemonSetState) -> Step {
        let claimed = self.claimed_revisions(daemonset);
        if let Some(unnamed) = claimed.iter().find(|one| one.hash.is_empty()) {
            let hash = Some(unnamed.reference.name.clone());
            let work = Work::UpdateRevision { revision: unnamed.reference.clone(), number: None, hash };
            return Step::Write(vec![(work, RevisionWrite::Update(unnamed.reference.uid))]);
        }
        let matching: Vec<&Claimed> = claimed.iter().filter(|one| one.matches).collect();
        let last_old = claimed.iter().filter(|one| !one.matches).map(|one| one.number).max();
        let number = last_old.unwrap_or(0).max(0).saturating_add(1);
        let Some((keep, duplicates)) = matching.split_last() else {
            return self.missing_revision(daemonset, number);
        };
        if !duplicates.is_empty() {
            return self.merge(daemonset, keep, duplicates);
        }
        if keep.number < number && !keep.is_borrowed {
            let work =
                Work::UpdateRevision { revision: keep.reference.clone(), number: Some(number), hash: None };
            return Step::Write(vec![(work, RevisionWrite::Update(keep.reference.uid))]);
        }
        let hash = keep.hash.as_str().into();
        Step::Established(Current { uid: keep.reference.uid, hash, equal_hashes: Vec::new() })
    }

    /// What is to be adopted or released, and when.
    fn claims(&self, daemonset: &DaemonSetState, others: &Others<'_>, now: Time) -> Claims {
        let mut claims = Claims::default();
        let Some(namespace) = self.namespaces.get(daemonset.namespace) else { return claims };
        for row in namespace.revisions.values().filter(|row| !row.writing && !row.delete_sent) {
            let Some(claim) = self.claim_of(daemonset, others, row) else { continue };
            match row.claims.blocked(now) {
                None => claims.writes.push(claim),
                Some(at) => {
                    claims.next_at = claims.next_at.into_iter().chain([at]).min();
                    claims.is_awaited |= row.claims.failures() < CLAIMS_AWAITED;
                }
            }
        }
        claims
    }

    /// The claim that a revision asks for.
    fn claim_of(
        &self,
        daemonset: &DaemonSetState,
        others: &Others<'_>,
        row: &RevisionRow,
    ) -> Option<(Work, RevisionWrite)> {
        let (spec, uid) = (daemonset.spec.as_ref()?, row.fact.uid);
        let selected = spec.fact.selector.matches(|key| label(row, key));
        match row.fact.controller {
            PodController::DaemonSet(owner) if owner == daemonset.key.uid && !selected => {
                Some((Work::ReleaseRevision(reference(row)), RevisionWrite::Release(uid)))
            }
            PodController::Nobody
                if selected && !row.fact.deleting && self.adopts_first(daemonset, others, row) =>
            {
                Some((Work::AdoptRevision(reference(row)), RevisionWrite::Adopt(uid)))
            }
            _ => None,
        }
    }

    /// No other DaemonSet of the namespace comes before this one for an orphan ([A16](crate::spec#a16)).
    fn adopts_first(&self, daemonset: &DaemonSetState, others: &Others<'_>, row: &RevisionRow) -> bool {
        let daemonsets =
            self.namespaces.get(daemonset.namespace).map_or(&[][..], |namespace| &namespace.daemonsets);
        let mut others = daemonsets.iter().filter_map(|id| others.get(*id));
        !others.any(|other| other.key.name < daemonset.key.name && other.adopts(|key| label(row, key)))
    }

    /// The revisions that the DaemonSet has claimed, by number and name.
    fn claimed_revisions(&self, daemonset: &DaemonSetState) -> Vec<Claimed> {
        let (Some(spec), Some(namespace)) = (&daemonset.spec, self.namespaces.get(daemonset.namespace))
        else {
            return Vec::new();
        };
        let as_claimed = |row: &RevisionRow, is_borrowed: bool| Claimed {
            reference: reference(row),
            number: row.fact.revision,
            hash: label(row, HASH_LABEL).unwrap_or_default().to_owned(),
            matches: *row.fact.data == *spec.data,
            is_borrowed,
        };
        let is_owned = |row: &&RevisionRow| {
            row.fact.controller == PodController::DaemonSet(daemonset.key.uid)
                && spec.fact.selector.matches(|key| label(row, key))
        };
        let rows = || namespace.revisions.values().filter(|row| !row.delete_sent);
        let mut claimed: Vec<Claimed> = rows().filter(is_owned).map(|row| as_claimed(row, false)).collect();
        // One of its own is better than one of somebody else.
        if !claimed.iter().any(|one| one.matches) {
            let borrowed = rows().filter(|row| daemonset.borrowed == Some(row.fact.uid));
            let usable = |one: &Claimed| one.matches && !one.hash.is_empty();
            claimed.extend(borrowed.map(|row| as_claimed(row, true)).filter(usable));
        }
        claimed.sort_by(|a, b| (a.number, &a.reference.name).cmp(&(b.number, &b.reference.name)));
        claimed
    }

    /// There were other templates before this one.
    pub(crate) fn has_other_revisions(&self, daemonset: &DaemonSetState) -> bool {
        self.claimed_revisions(daemonset).iter().any(|one| !one.matches)
    }

    /// [J6](crate::spec#j6) and [J7](crate::spec#j7): the revision for the template must be created, under a
    /// name that is free.
    fn missing_revision(&self, daemonset: &DaemonSetState, number: i64) -> Step {
        let Some(spec) = &daemonset.spec else { return Step::Write(Vec::new()) };
        let count = daemonset.stored.collision_count;
        if daemonset.collision {
            let work = Work::BumpCollisionCount { expected: count, next: count.unwrap_or(0) + 1 };
            return Step::Write(vec![(work, RevisionWrite::Collision)]);
        }
        let hash = revision::hash(&spec.data, count);
        let mut labels = spec.fact.template.labels().to_vec();
        labels.retain(|(key, _)| key != HASH_LABEL);
        labels.push((HASH_LABEL.to_owned(), hash.clone()));
        let new = NewRevision {
            name: format!("{}-{hash}", daemonset.key.name),
            labels,
            annotations: spec.fact.annotations.clone(),
            revision: number,
            data: spec.data.clone(),
        };
        Step::Write(vec![(Work::CreateRevision(new), RevisionWrite::Create)])
    }

    /// [J8](crate::spec#j8): one revision of several with equal data stays, the one with the highest number
    /// (the last by name among equals); the pods of the others get its hash, then the others go. Pods of
    /// other templates keep theirs: to the built-in controller they would pass for updated, and a rollback
    /// would replace nothing.
    fn merge(&self, daemonset: &DaemonSetState, keep: &Claimed, duplicates: &[&Claimed]) -> Step {
        let mut stale = Vec::new();
        let mut waiting = false;
        for assignment in daemonset.assignments.values() {
            let mut next = assignment.first;
            while let Some(row) = self.pods.get(next) {
                let hash = self.labels.hash(row.labels);
                let is_stale = matches!(row.place, Place::Member(_))
                    && hash != keep.hash
                    && duplicates.iter().any(|one| one.hash == hash);
                waiting |= is_stale;
                if is_stale && !row.patching && !row.delete_sent {
                    stale.push(next);
                }
                next = row.next;
            }
        }
        if waiting {
            stale.sort_unstable();
            return Step::Label(stale, keep.hash.as_str().into());
        }
        let delete = |one: &&Claimed| {
            (Work::DeleteRevision(one.reference.clone()), RevisionWrite::Delete(one.reference.uid))
        };
        Step::Write(duplicates.iter().map(delete).collect())
    }

    fn write_revision(&mut self, daemonset: &mut DaemonSetState, work: Work, write: RevisionWrite) {
        daemonset.in_flight.history += 1;
        if let Some(row) = write.uid().and_then(|uid| self.revision_mut(daemonset, uid)) {
            row.writing = true;
        }
        self.ask(daemonset, work, Write::Revision(write));
    }

    /// [J10](crate::spec#j10): old revisions beyond the limit go, the lowest numbers first, except those
    /// whose hash a pod still carries.
    pub(crate) fn clean_up_history(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: Option<&RolloutState>,
        now: Time,
    ) {
        if !daemonset.cleanup_dirty || self.must_wait(daemonset, |daemonset| &daemonset.retries.history, now)
        {
            return;
        }
        daemonset.cleanup_dirty = false;
        let (Some(spec), Some(current)) = (&daemonset.spec, &daemonset.current) else { return };
        let limit = usize::try_from(spec.fact.revision_history_limit).unwrap_or(0);
        let mut old = self.claimed_revisions(daemonset);
        let good = rollout.and_then(|rollout| rollout.last_good.as_deref());
        old.retain(|one| one.reference.uid != current.uid && Some(one.hash.as_str()) != good);
        let excess = old.len().saturating_sub(limit);
        let dead: Vec<RevisionRef> = {
            let live: HashSet<&str> = daemonset.live.keys().map(|&set| self.labels.hash(set)).collect();
            let dead = old.into_iter().filter(|one| !live.contains(one.hash.as_str()));
            dead.take(excess).map(|one| one.reference).collect()
        };
        for reference in dead {
            if let Some(row) = self.revision_mut(daemonset, reference.uid) {
                row.delete_sent = true;
            }
            daemonset.in_flight.cleanup += 1;
            let write = Write::Cleanup(reference.uid);
            self.ask(daemonset, Work::DeleteRevision(reference), write);
        }
    }

    /// The row of a revision in a DaemonSet's namespace.
    pub(crate) fn revision_mut(&mut self, daemonset: &DaemonSetState, uid: Uid) -> Option<&mut RevisionRow> {
        self.namespaces.get_mut(daemonset.namespace)?.revisions.get_mut(&uid)
    }
}

/// The value of a revision's label.
pub(crate) fn label<'a>(row: &'a RevisionRow, key: &str) -> Option<&'a str> {
    row.fact.labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str())
}

fn reference(row: &RevisionRow) -> RevisionRef {
    RevisionRef {
        name: row.fact.name.clone(),
        uid: row.fact.uid,
        resource_version: row.fact.resource_version,
    }
}

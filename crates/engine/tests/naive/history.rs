//! Revisions: specification 1.J.

use super::*;

impl Naive {
    pub(super) fn claimed(&self, uid: Uid) -> Vec<&NaiveRevision> {
        let set = &self.sets[&uid];
        let data = revision::data(set.fact.template.value());
        let mut found: Vec<&NaiveRevision> = self
            .revisions
            .values()
            .filter(|row| row.fact.namespace == set.fact.namespace && !row.delete_sent)
            .filter(|row| {
                row.fact.controller == PodController::DaemonSet(uid) && self.selects(uid, &row.fact.labels)
            })
            .collect();
        if !found.iter().any(|row| *row.fact.data == *data) {
            let usable = |row: &&NaiveRevision| {
                !row.delete_sent && *row.fact.data == *data && !label(&row.fact, HASH_LABEL).is_empty()
            };
            found.extend(set.borrowed.and_then(|one| self.revisions.get(&one)).filter(usable));
        }
        found.sort_by(|a, b| (a.fact.revision, &a.fact.name).cmp(&(b.fact.revision, &b.fact.name)));
        found
    }

    pub(super) fn write_history(&mut self, uid: Uid, revision: Option<Uid>, work: Work) {
        if let Some(row) = revision.and_then(|one| self.revisions.get_mut(&one)) {
            row.writing = true;
        }
        self.ask(uid, "history", work.clone(), Some(Pending::History(uid, revision, work)));
    }

    pub(super) fn history(&mut self, uid: Uid, now: Time) -> bool {
        if self.in_flight(uid, "history") > 0 {
            return false;
        }
        let (mut claims, mut is_awaited) = (Vec::new(), false);
        for row in self.revisions.values().filter(|row| !row.writing && !row.delete_sent) {
            let selected = self.selects(uid, &row.fact.labels);
            if row.fact.namespace != self.sets[&uid].fact.namespace {
                continue;
            }
            let work = match row.fact.controller {
                PodController::DaemonSet(owner) if owner == uid && !selected => {
                    Work::ReleaseRevision(reference(&row.fact))
                }
                PodController::Nobody
                    if !row.fact.deleting
                        && self.adopter(&row.fact.namespace, &row.fact.labels) == Some(uid) =>
                {
                    Work::AdoptRevision(reference(&row.fact))
                }
                _ => continue,
            };
            if row.claims.not_before.is_some_and(|at| at > now) {
                // What was refused ten times holds nothing else up.
                is_awaited |= row.claims.failures < 10;
            } else {
                claims.push((row.fact.uid, work));
            }
        }
        if claims.is_empty() && is_awaited {
            return false;
        }
        let steps = if claims.is_empty() {
            self.next_history(uid)
        } else {
            claims.into_iter().map(|(one, work)| (Some(one), work)).collect()
        };
        if steps.is_empty() {
            return self.sets[&uid].hash.is_some();
        }
        if self.blocked(uid, "history", now) {
            return false;
        }
        for (revision, work) in steps {
            match work {
                Work::LabelPod { ref pod, .. } => {
                    let row = &self.pods[&pod.uid];
                    if !self.blocked(uid, "patches", now) && !row.patching && !row.delete_sent {
                        self.patch(uid, work.clone(), pod.uid);
                    }
                }
                work => self.write_history(uid, revision, work),
            }
        }
        false
    }

    /// The writes that the history needs next; none when the current revision is established.
    pub(super) fn next_history(&mut self, uid: Uid) -> Vec<(Option<Uid>, Work)> {
        let set = &self.sets[&uid];
        let data = revision::data(set.fact.template.value());
        let claimed: Vec<RevisionFact> = self.claimed(uid).into_iter().map(|row| row.fact.clone()).collect();
        if let Some(row) = claimed.iter().find(|row| label(row, HASH_LABEL).is_empty()) {
            let work =
                Work::UpdateRevision { revision: reference(row), number: None, hash: Some(row.name.clone()) };
            return vec![(Some(row.uid), work)];
        }
        let number =
            claimed.iter().filter(|row| *row.data != *data).map(|row| row.revision).max().unwrap_or(0).max(0);
        let number = number.saturating_add(1);
        let matching: Vec<&RevisionFact> = claimed.iter().filter(|row| *row.data == *data).collect();
        let Some(keep) = matching.last() else {
            let count = set.stored.collision_count;
            if set.collision {
                return vec![(
                    None,
                    Work::BumpCollisionCount { expected: count, next: count.unwrap_or(0) + 1 },
                )];
            }
            let hash = revision::hash(&data, count);
            let mut labels = set.fact.template.labels().to_vec();
            labels.push((HASH_LABEL.to_owned(), hash.clone()));
            let name = format!("{}-{hash}", set.fact.name);
            let annotations = set.fact.annotations.clone();
            return vec![(
                None,
                Work::CreateRevision(NewRevision { name, labels, annotations, revision: number, data }),
            )];
        };
        let hash = label(keep, HASH_LABEL).to_owned();
        if matching.len() > 1 {
            let members = self.pods.values().filter(|one| self.place(&one.pod) == Place::Member(uid));
            let merged: Vec<&str> = matching.iter().map(|row| label(row, HASH_LABEL)).collect();
            let stale: Vec<_> = members
                .filter(|one| {
                    let carried = one.pod.label(HASH_LABEL).unwrap_or_default();
                    carried != hash && merged.contains(&carried)
                })
                .map(|one| {
                    let pod = PodRef { name: one.pod.name.as_str().into(), uid: one.pod.uid };
                    let resource_version = one.version;
                    (None, Work::LabelPod { pod, resource_version, hash: hash.as_str().into() })
                })
                .collect();
            let duplicates = matching[..matching.len() - 1].iter();
            let deletes = duplicates.map(|row| (Some(row.uid), Work::DeleteRevision(reference(row))));
            return if stale.is_empty() { deletes.collect() } else { stale };
        }
        if keep.revision < number && keep.controller == PodController::DaemonSet(uid) {
            let work = Work::UpdateRevision { revision: reference(keep), number: Some(number), hash: None };
            return vec![(Some(keep.uid), work)];
        }
        if let Some(set) = self.sets.get_mut(&uid) {
            set.hash = Some(hash);
        }
        Vec::new()
    }

    pub(super) fn clean_up(&mut self, uid: Uid, now: Time) {
        if self.blocked(uid, "history", now) {
            return;
        }
        let set = &self.sets[&uid];
        let data = revision::data(set.fact.template.value());
        let claimed = |place| matches!(place, Place::Member(one) | Place::Adopting(one) if one == uid);
        let live: Vec<&str> = self
            .pods
            .values()
            .filter(|one| claimed(self.place(&one.pod)))
            .map(|one| one.pod.label(HASH_LABEL).unwrap_or_default())
            .collect();
        let old: Vec<&NaiveRevision> =
            self.claimed(uid).into_iter().filter(|row| *row.fact.data != *data).collect();
        let excess = old.len().saturating_sub(usize::try_from(set.fact.revision_history_limit).unwrap_or(0));
        let dead = old.into_iter().filter(|row| !live.contains(&label(&row.fact, HASH_LABEL))).take(excess);
        for reference in dead.map(|row| reference(&row.fact)).collect::<Vec<_>>() {
            if let Some(row) = self.revisions.get_mut(&reference.uid) {
                row.delete_sent = true;
            }
            let pending = Pending::Cleanup(uid, reference.uid);
            self.ask(uid, "cleanup", Work::DeleteRevision(reference), Some(pending));
        }
    }
}

//! Writes that do not become visible in time: a list that began later decides about them.

use super::*;

impl Naive {
    pub(super) fn expect(&mut self, wait: Wait, now: Time) {
        self.waits.push((now.plus_millis(self.limits.stale_millis), wait));
    }

    fn waits(&self, wait: &Wait, now: Time) -> bool {
        match wait {
            Wait::Creation(uid, node) => match self.sets.get(uid).and_then(|set| set.creating.get(node)) {
                Some(Creating::Unseen { stale_at, .. } | Creating::Unknown { stale_at, .. }) => {
                    *stale_at <= now
                }
                _ => false,
            },
            Wait::Unanswered(uid, node) => self
                .sets
                .get(uid)
                .and_then(|set| set.unanswered.get(node))
                .is_some_and(|(_, stale_at)| *stale_at <= now),
            Wait::Delete(uid) => self.pods.get(uid).is_some_and(|row| row.delete_sent),
            Wait::Release(uid) => self
                .pods
                .get(uid)
                .is_some_and(|row| row.patching && matches!(self.place(&row.pod), Place::Unselected(_))),
            Wait::Revision(uid) => self
                .revisions
                .get(uid)
                .is_some_and(|row| row.delete_sent && !row.writing && !row.fact.deleting),
            Wait::DaemonSet(uid) => self.sets.get(uid).is_some_and(|set| set.is_gone),
        }
    }

    pub(super) fn find_overdue(&mut self, now: Time) {
        let (due, later) = std::mem::take(&mut self.waits).into_iter().partition(|(at, _)| *at <= now);
        self.waits = later;
        for (_, wait) in due {
            if self.waits(&wait, now) {
                let lists = &mut self.lists[match wait {
                    Wait::DaemonSet(_) => 0,
                    Wait::Creation(..) | Wait::Unanswered(..) | Wait::Delete(_) | Wait::Release(_) => 1,
                    Wait::Revision(_) => 2,
                }];
                lists.overdue.retain(|(one, _)| *one != wait);
                lists.overdue.push((wait, lists.begun));
            }
        }
    }

    pub(super) fn ask_for_lists(&mut self, now: Time) {
        for index in 0..3 {
            let mut overdue = std::mem::take(&mut self.lists[index].overdue);
            let lists = &self.lists[index];
            if lists.asked_at.is_none_or(|at| at.plus_millis(lists.pause_millis) <= now) {
                overdue.retain(|(wait, _)| self.waits(wait, now));
            }
            let lists = &mut self.lists[index];
            lists.overdue = overdue;
            let since = lists.asked_at.map(|at| now.millis_since(at));
            if lists.overdue.is_empty() || since.is_some_and(|since| since < lists.pause_millis) {
                continue;
            }
            let (first, last) = (self.limits.relist_first_millis, self.limits.relist_last_millis);
            let is_first = since.is_none_or(|since| since >= 2 * last);
            lists.pause_millis = if is_first { first } else { (2 * lists.pause_millis).min(last) };
            lists.asked_at = Some(now);
            self.last_id += 1;
            let nobody = DaemonSetRef { namespace: String::new(), name: String::new(), uid: Uid(0) };
            self.out.push((self.last_id, Arc::new(nobody), Work::Relist(lists.kind)));
        }
    }

    /// A complete list: what it does not name is gone.
    pub fn relist_pods(&mut self, pods: &BTreeMap<Uid, Pod>, version: u64, now: Time) {
        self.lists[1].begun += 1;
        for pod in pods.values() {
            self.pod(pod, now);
        }
        self.pods.retain(|uid, _| pods.contains_key(uid));
        self.saw(Uid(0), version);
        self.listed(1, now);
    }

    /// As for pods.
    pub fn relist_daemonsets(&mut self, daemonsets: &BTreeMap<Uid, DaemonSetFact>, now: Time) {
        self.lists[0].begun += 1;
        for fact in daemonsets.values() {
            self.daemonset(fact);
        }
        self.sets.retain(|uid, _| daemonsets.contains_key(uid));
        self.listed(0, now);
    }

    /// As for pods.
    pub fn relist_revisions(&mut self, revisions: &BTreeMap<Uid, RevisionFact>, version: u64, now: Time) {
        self.lists[2].begun += 1;
        for fact in revisions.values() {
            self.revisions_seen = self.revisions_seen.max(fact.resource_version);
            self.revision(fact.clone());
        }
        self.revisions.retain(|uid, _| revisions.contains_key(uid));
        self.revisions_seen = self.revisions_seen.max(version);
        self.listed(2, now);
    }

    /// The list shows everything up to now: what is still not visible is not there.
    fn listed(&mut self, index: usize, now: Time) {
        let begun = self.lists[index].begun;
        let (decided, left) = std::mem::take(&mut self.lists[index].overdue)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, since)| *since < begun);
        self.lists[index].overdue = left;
        for (wait, _) in decided {
            if !self.waits(&wait, now) {
                continue;
            }
            match wait {
                Wait::Creation(uid, node) => {
                    if let Some(set) = self.sets.get_mut(&uid) {
                        set.creating.remove(&node);
                    }
                }
                Wait::Unanswered(uid, node) => {
                    if let Some(set) = self.sets.get_mut(&uid) {
                        set.unanswered.remove(&node);
                    }
                }
                Wait::Delete(uid) => {
                    if let Some(row) = self.pods.get_mut(&uid) {
                        row.delete_sent = false;
                    }
                }
                Wait::Release(uid) => {
                    if let Some(row) = self.pods.get_mut(&uid) {
                        row.patching = false;
                    }
                }
                Wait::Revision(uid) => {
                    if let Some(row) = self.revisions.get_mut(&uid) {
                        row.delete_sent = false;
                    }
                }
                Wait::DaemonSet(uid) => {
                    if let Some(set) = self.sets.get_mut(&uid) {
                        set.is_gone = false;
                    }
                }
            }
        }
    }
}

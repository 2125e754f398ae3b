//! The way out when a watch stays behind: a fresh list decides what is true (specification 1.H).
//!
//! A write whose effect has not become visible in time is *overdue*. Time alone decides nothing about it: the engine
//! asks for a list of its kind, and a list that began after that, and is complete, says whether the write was
//! carried out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actions::{Action, DaemonSetRef, Work};
use crate::assignment::Creating;
use crate::base::{Time, Uid};
use crate::engine::Engine;
use crate::facts::Kind;
use crate::ids::DaemonSetId;
use crate::listing::Listing;
use crate::pods::Place;
use crate::timers::Wait;

/// All kinds, in the order of their numbers.
const KINDS: [Kind; 4] = [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision];

impl Engine {
    /// The time for a write to become visible is over.
    pub(crate) fn is_overdue(&mut self, wait: Wait, now: Time) {
        if self.waits(wait, now) {
            let listing = &mut self.tables.lists[wait.kind() as usize];
            listing.overdue.insert(wait, listing.begun);
        }
    }

    /// Whether the effect of a write is still waited for, and its time is over.
    fn waits(&self, wait: Wait, now: Time) -> bool {
        match wait {
            Wait::Creation(daemonset, node) => {
                let creating =
                    self.daemonsets.get(daemonset).and_then(|daemonset| daemonset.creating.get(&node));
                creating.and_then(Creating::stale_at).is_some_and(|at| at <= now)
            }
            Wait::Unanswered(daemonset, node) => {
                let unanswered =
                    self.daemonsets.get(daemonset).and_then(|daemonset| daemonset.unanswered.get(&node));
                unanswered.is_some_and(|unanswered| unanswered.stale_at <= now)
            }
            Wait::Delete(_, uid) => self.pod(uid).is_some_and(|row| row.delete_sent),
            Wait::Release(_, uid) => {
                self.pod(uid).is_some_and(|row| row.patching && matches!(row.place, Place::Unselected(_)))
            }
            Wait::Revision(_, namespace, uid) => {
                let row = self.tables.namespaces.get(namespace).and_then(|row| row.revisions.get(&uid));
                row.is_some_and(|row| row.delete_sent && !row.writing && !row.fact.deleting)
            }
            Wait::DaemonSet(daemonset, uid) => {
                let daemonset = self.daemonsets.get(daemonset).filter(|daemonset| daemonset.key.uid == uid);
                daemonset.is_some_and(|daemonset| daemonset.is_gone && daemonset.spec.is_some())
            }
        }
    }

    fn pod(&self, uid: Uid) -> Option<&crate::pods::PodRow> {
        self.tables.pods.get(self.tables.pods.find(uid)?)
    }

    /// Asks for the lists that are needed: one at a time of a kind, and not too often.
    pub(crate) fn ask_for_lists(&mut self, now: Time) {
        for kind in KINDS {
            if self.tables.lists[kind as usize].ask_at().is_none_or(|at| at > now) {
                continue;
            }
            let mut overdue = std::mem::take(&mut self.tables.lists[kind as usize].overdue);
            overdue.retain(|wait, _| self.waits(*wait, now));
            let first = overdue.first_key_value().map(|(wait, _)| *wait);
            self.tables.lists[kind as usize].overdue = overdue;
            if let Some(first) = first {
                let limits = self.tables.limits;
                self.tables.lists[kind as usize].ask(&limits, now);
                self.ask_for_list(kind, first.daemonset());
            }
        }
    }

    fn ask_for_list(&mut self, kind: Kind, daemonset: DaemonSetId) {
        let daemonset = self.daemonsets.get(daemonset).map(|daemonset| daemonset.key.clone());
        let nobody = || DaemonSetRef { namespace: String::new(), name: String::new(), uid: Uid(0) };
        let daemonset = daemonset.unwrap_or_else(|| Arc::new(nobody()));
        let id = self.tables.next_id();
        self.tables.out.push(Action { id, daemonset, work: Work::Relist(kind) });
    }

    /// When a list is to be asked for without a further fact.
    pub(crate) fn next_list(&self) -> Option<Time> {
        self.tables.lists.iter().filter_map(Listing::ask_at).min()
    }

    /// A complete list has ended, and the rows are as it showed them: what has been overdue since before it began
    /// was not carried out, or is undone again.
    pub(crate) fn decide_overdue(&mut self, kind: Kind, version: u64, now: Time) {
        let listing = &mut self.tables.lists[kind as usize];
        listing.is_running = false;
        let begun = listing.begun;
        let overdue = std::mem::take(&mut listing.overdue);
        let (decided, mut left): (BTreeMap<Wait, u64>, BTreeMap<Wait, u64>) =
            overdue.into_iter().partition(|(_, since)| *since < begun);
        for (wait, since) in
            decided.into_iter().filter(|(wait, _)| self.waits(*wait, now)).collect::<Vec<_>>()
        {
            if self.is_newer_than(wait, version) {
                left.insert(wait, since);
            } else {
                self.give_up(wait);
            }
        }
        self.tables.lists[kind as usize].overdue = left;
    }

    /// A pod that is known to have been created after the state that a list shows.
    fn is_newer_than(&self, wait: Wait, version: u64) -> bool {
        let Wait::Creation(daemonset, node) = wait else { return false };
        let creating = self.daemonsets.get(daemonset).and_then(|daemonset| daemonset.creating.get(&node));
        let Some(Creating::Unseen { uid, .. }) = creating else { return false };
        version != 0 && self.tables.unseen.by_uid.get(uid).is_some_and(|(created, ..)| *created > version)
    }

    /// A write has no effect that could still become visible: what it was for is decided anew.
    fn give_up(&mut self, wait: Wait) {
        match wait {
            Wait::Creation(daemonset, node) => self.settle(daemonset, node),
            Wait::Unanswered(id, node) => {
                if let Some(daemonset) = self.daemonsets.get_mut(id) {
                    daemonset.unanswered.remove(&node);
                }
                self.touch(id, node);
            }
            Wait::Delete(_, uid) | Wait::Release(_, uid) => {
                let Some(id) = self.tables.pods.find(uid) else { return };
                if let Some(row) = self.tables.pods.get_mut(id) {
                    match wait {
                        Wait::Delete(..) => row.delete_sent = false,
                        _ => row.patching = false,
                    }
                }
                self.touch_pod(id);
            }
            Wait::Revision(daemonset, namespace, uid) => {
                if let Some(daemonset) = self.daemonsets.get_mut(daemonset) {
                    daemonset.cleanup_dirty = true;
                }
                let row =
                    self.tables.namespaces.get_mut(namespace).and_then(|row| row.revisions.get_mut(&uid));
                if let Some(row) = row {
                    row.delete_sent = false;
                }
                self.daemonsets.activate(daemonset);
                self.touch_revision(namespace, uid);
            }
            Wait::DaemonSet(daemonset, _) => {
                if let Some(daemonset) = self.daemonsets.get_mut(daemonset) {
                    daemonset.is_gone = false;
                }
                self.daemonsets.activate(daemonset);
            }
        }
    }
}

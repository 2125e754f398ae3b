//! Which policy is for which DaemonSet, and when its status is written.

use std::sync::Arc;

use everynode_api::PolicyStatus;

use crate::actions::{Action, DaemonSetRef, Work};
use crate::base::{Time, Uid};
use crate::engine::Engine;
use crate::facts::Outcome;
use crate::ids::{NodeId, SlotId};
use crate::slot::Slot;
use crate::timers::Wake;

use super::policies::PolicyWrite;
use super::spec::{PolicyFact, PolicyRef};
use super::{Conduct, report};

/// The shortest time between two writes of one policy's status, and the pause after one that failed.
const STATUS_PAUSE_MILLIS: i64 = 500;

/// The shortest time between two looks at what one policy's status should say.
const STATUS_LOOK_MILLIS: i64 = 100;

impl Engine {
    pub(crate) fn observe_policies(&mut self, policies: Vec<PolicyFact>) {
        let mut all: Vec<Arc<PolicyFact>> = policies.into_iter().map(Arc::new).collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        for policy in &mut all {
            let known = self.tables.policies.all.iter().find(|known| known.key == policy.key);
            match known {
                // Only their status differs: written by this engine.
                Some(known) if is_same(known, policy) => *policy = known.clone(),
                _ => self.tables.policies.changed(&policy.key),
            }
        }
        self.tables.policies.written.retain(|key, _| all.iter().any(|policy| policy.key == *key));
        self.tables.policies.changed.retain(|key| all.iter().any(|policy| policy.key == *key));
        (self.tables.policies.all, self.tables.policies.is_told) = (all, true);
        let slots: Vec<SlotId> =
            self.slots.iter().filter(|slot| slot.spec.is_some()).map(|slot| slot.id).collect();
        slots.into_iter().for_each(|slot| self.bind_policy(slot));
    }

    /// Finds the policy of a DaemonSet: one conducts its roll-outs; of several none does.
    pub(crate) fn bind_policy(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get(id) else { return };
        let found: Vec<Arc<PolicyFact>> = self.tables.policies.of(slot).cloned().collect();
        let before = slot.conduct.as_ref().map(|conduct| conduct.policy.clone());
        let was_contested = slot.is_contested;
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.is_contested = found.len() > 1;
        let policy = if let [one] = found.as_slice() { Some(one.clone()) } else { None };
        match (&mut slot.conduct, policy.clone()) {
            (Some(conduct), Some(policy)) if conduct.policy.key == policy.key => {
                if conduct.policy.spec != policy.spec {
                    conduct.roster.clear();
                }
                conduct.policy = policy;
            }
            (conduct, policy) => *conduct = policy.map(|policy| Box::new(Conduct::new(policy))),
        }
        if before != policy || was_contested != slot.is_contested {
            slot.touch_all();
            self.slots.activate(id);
            let concerned = before.iter().chain(&found).map(|policy| policy.key.clone());
            concerned.collect::<Vec<_>>().iter().for_each(|key| self.tables.policies.changed(key));
        }
    }

    /// Something of a node has changed that placement does not read.
    pub(crate) fn touch_conducted(&mut self, node: NodeId) {
        let mut concerned = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| slot.cells.contains_key(&node)) {
            if let Some(conduct) = &mut slot.conduct {
                conduct.roster.touch(node);
                concerned.push(slot.id);
            }
        }
        concerned.into_iter().for_each(|slot| self.slots.activate(slot));
    }

    /// Has all DaemonSets looked at whose roll-outs a policy conducts.
    pub(crate) fn activate_conducted(&mut self) {
        let conducted = self.slots.iter().filter(|slot| slot.conduct.is_some()).map(|slot| slot.id);
        conducted.collect::<Vec<_>>().into_iter().for_each(|slot| self.slots.activate(slot));
    }

    /// Writes the status of policies where it says something else now.
    pub(crate) fn write_policy_statuses(&mut self, now: Time) {
        for key in std::mem::take(&mut self.tables.policies.changed) {
            let Some(policy) = self.tables.policies.all.iter().find(|policy| policy.key == key).cloned()
            else {
                continue;
            };
            let written = self.tables.policies.written.get(&key);
            // The last look, or the end of the last write, has set a timer.
            if written.is_some_and(|last| last.in_flight || last.not_before.is_some_and(|at| at > now)) {
                self.tables.policies.changed.insert(key);
                continue;
            }
            let last = written.and_then(|written| written.status.as_ref()).unwrap_or(&policy.status);
            let status = self.policy_status(&policy, last, now);
            let patch = (status != *last).then(|| status.merge_patch(last));
            let written = self.tables.policies.written.entry(key.clone()).or_default();
            let Some(patch) = patch else {
                let next = now.plus_millis(STATUS_LOOK_MILLIS);
                written.not_before = Some(next);
                self.tables.timers.set(next, Wake::Policies);
                continue;
            };
            written.in_flight = true;
            let daemonset =
                DaemonSetRef { namespace: key.namespace.clone(), name: String::new(), uid: Uid(0) };
            let id = self.tables.next_id();
            self.tables.policies.pending.insert(id, PolicyWrite { policy: key.clone(), status });
            self.tables.out.push(Action {
                id,
                daemonset: Arc::new(daemonset),
                work: Work::WritePolicyStatus { policy: key, status: patch },
            });
        }
    }

    pub(crate) fn policy_written(&mut self, write: PolicyWrite, outcome: &Outcome, now: Time) {
        let PolicyWrite { policy, status } = write;
        let Some(written) = self.tables.policies.written.get_mut(&policy) else { return };
        written.in_flight = false;
        written.not_before = Some(now.plus_millis(STATUS_PAUSE_MILLIS));
        match outcome {
            Outcome::Done | Outcome::Gone => {
                written.status = Some(status);
                self.go_back_as_said(&policy);
            }
            _ => self.tables.policies.changed(&policy),
        }
        self.tables.timers.set(now.plus_millis(STATUS_PAUSE_MILLIS), Wake::Policies);
    }

    /// Has the roll-outs looked at that waited for a word in the status of their policy.
    fn go_back_as_said(&mut self, policy: &PolicyRef) {
        let waits = |slot: &&Slot| {
            let conduct = slot.conduct.as_ref().filter(|conduct| conduct.policy.key == *policy);
            conduct.is_some_and(|conduct| conduct.phase.is_back())
        };
        let waiting: Vec<SlotId> = self.slots.iter().filter(waits).map(|slot| slot.id).collect();
        waiting.into_iter().for_each(|slot| self.slots.activate(slot));
    }

    /// What a policy's status should say.
    fn policy_status(&self, policy: &PolicyFact, last: &PolicyStatus, now: Time) -> PolicyStatus {
        let mut slots: Vec<&Slot> = self
            .slots
            .iter()
            .filter(|slot| {
                slot.spec.is_some() && self.tables.policies.of(slot).any(|one| one.key == policy.key)
            })
            .collect();
        slots.sort_by(|a, b| a.key.name.cmp(&b.key.name));
        report::status(policy, &slots, last, self.tables.limits.policy_status_names, now)
    }
}

/// All but the status is the same.
fn is_same(known: &PolicyFact, told: &PolicyFact) -> bool {
    known.generation == told.generation && known.spec == told.spec && known.commands == told.commands
}

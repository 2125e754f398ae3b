//! Which policy is for which DaemonSet, and when its status is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use everynode_api::{PolicyStatus, RolloutStatus};

use crate::actions::{Action, DaemonSetRef, Work};
use crate::base::{Time, Uid};
use crate::engine::Engine;
use crate::facts::Outcome;
use crate::finished::Pending;
use crate::nodes::NodeId;
use crate::slot::{Slot, SlotId};
use crate::timers::Wake;

use super::spec::{PolicyFact, PolicyRef};
use super::{Conduct, report};

/// The shortest time between two writes of one policy's status, and the pause after one that failed.
const STATUS_PAUSE_MILLIS: i64 = 500;

/// The shortest time between two looks at what one policy's status should say.
const STATUS_LOOK_MILLIS: i64 = 100;

/// All policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    all: Vec<Arc<PolicyFact>>,
    /// They were told once.
    is_told: bool,
    /// Those whose status may have to be written.
    changed: BTreeSet<PolicyRef>,
    written: BTreeMap<PolicyRef, Written>,
}

/// What was written of a policy's status.
#[derive(Clone, Debug, Default)]
struct Written {
    status: Option<PolicyStatus>,
    in_flight: bool,
    not_before: Option<Time>,
}

impl Policies {
    /// They are known.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// What a policy's status says may have changed.
    pub fn changed(&mut self, policy: &PolicyRef) {
        if !self.changed.contains(policy) {
            self.changed.insert(policy.clone());
        }
    }

    /// The clock was set by so much.
    pub fn clock_was_set(&mut self, by_millis: i64) {
        let pauses = self.written.values_mut().filter_map(|written| written.not_before.as_mut());
        pauses.for_each(|at| *at = at.plus_millis(by_millis));
    }

    /// What the status of a policy says of a DaemonSet, as far as it is known to be written.
    pub fn said<'a>(&'a self, policy: &'a PolicyFact, daemonset: &str) -> Option<&'a RolloutStatus> {
        let written = self.written.get(&policy.key).and_then(|written| written.status.as_ref());
        written.unwrap_or(&policy.status).rollouts.get(daemonset)
    }

    fn of<'a>(&'a self, slot: &'a Slot) -> impl Iterator<Item = &'a Arc<PolicyFact>> {
        let fact = slot.spec.as_ref().map(|spec| &spec.fact);
        self.all.iter().filter(move |policy| fact.is_some_and(|fact| policy.selects(fact)))
    }
}

impl Engine {
    pub(crate) fn observe_policies(&mut self, policies: Vec<PolicyFact>) {
        let mut all: Vec<Arc<PolicyFact>> = policies.into_iter().map(Arc::new).collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        for policy in &mut all {
            let known = self.policies.all.iter().find(|known| known.key == policy.key);
            match known {
                // Only their status differs: written by this engine.
                Some(known) if is_same(known, policy) => *policy = known.clone(),
                _ => self.policies.changed(&policy.key),
            }
        }
        self.policies.written.retain(|key, _| all.iter().any(|policy| policy.key == *key));
        self.policies.changed.retain(|key| all.iter().any(|policy| policy.key == *key));
        (self.policies.all, self.policies.is_told) = (all, true);
        let slots: Vec<SlotId> =
            self.slots.iter().filter(|slot| slot.spec.is_some()).map(|slot| slot.id).collect();
        slots.into_iter().for_each(|slot| self.bind_policy(slot));
    }

    /// Finds the policy of a DaemonSet: one conducts its roll-outs; of several none does.
    pub(crate) fn bind_policy(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get(id) else { return };
        let found: Vec<Arc<PolicyFact>> = self.policies.of(slot).cloned().collect();
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
            self.activate(id);
            let concerned = before.iter().chain(&found).map(|policy| policy.key.clone());
            concerned.collect::<Vec<_>>().iter().for_each(|key| self.policies.changed(key));
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
        concerned.into_iter().for_each(|slot| self.activate(slot));
    }

    /// Has all DaemonSets looked at whose roll-outs a policy conducts.
    pub(crate) fn activate_conducted(&mut self) {
        let conducted = self.slots.iter().filter(|slot| slot.conduct.is_some()).map(|slot| slot.id);
        conducted.collect::<Vec<_>>().into_iter().for_each(|slot| self.activate(slot));
    }

    /// Writes the status of policies where it says something else now.
    pub(crate) fn write_policy_statuses(&mut self, now: Time) {
        for key in std::mem::take(&mut self.policies.changed) {
            let Some(policy) = self.policies.all.iter().find(|policy| policy.key == key).cloned() else {
                continue;
            };
            let written = self.policies.written.get(&key);
            // The last look, or the end of the last write, has set a timer.
            if written.is_some_and(|last| last.in_flight || last.not_before.is_some_and(|at| at > now)) {
                self.policies.changed.insert(key);
                continue;
            }
            let last = written.and_then(|written| written.status.as_ref()).unwrap_or(&policy.status);
            let status = self.policy_status(&policy, last, now);
            let patch = (status != *last).then(|| status.merge_patch(last));
            let written = self.policies.written.entry(key.clone()).or_default();
            let Some(patch) = patch else {
                let next = now.plus_millis(STATUS_LOOK_MILLIS);
                written.not_before = Some(next);
                self.timers.set(next, Wake::Policies);
                continue;
            };
            written.in_flight = true;
            let daemonset =
                DaemonSetRef { namespace: key.namespace.clone(), name: String::new(), uid: Uid(0) };
            let id = self.next_id();
            self.pending.insert(id, Pending::Policy { policy: key.clone(), status: Box::new(status) });
            self.out.push(Action {
                id,
                daemonset: Arc::new(daemonset),
                work: Work::WritePolicyStatus { policy: key, status: patch },
            });
        }
    }

    pub(crate) fn policy_written(
        &mut self,
        policy: &PolicyRef,
        status: PolicyStatus,
        outcome: &Outcome,
        now: Time,
    ) {
        let Some(written) = self.policies.written.get_mut(policy) else { return };
        written.in_flight = false;
        written.not_before = Some(now.plus_millis(STATUS_PAUSE_MILLIS));
        match outcome {
            Outcome::Done | Outcome::Gone => {
                written.status = Some(status);
                self.go_back_as_said(policy);
            }
            _ => self.policies.changed(policy),
        }
        self.timers.set(now.plus_millis(STATUS_PAUSE_MILLIS), Wake::Policies);
    }

    /// Has the roll-outs looked at that waited for a word in the status of their policy.
    fn go_back_as_said(&mut self, policy: &PolicyRef) {
        let waits = |slot: &&Slot| {
            let conduct = slot.conduct.as_ref().filter(|conduct| conduct.policy.key == *policy);
            conduct.is_some_and(|conduct| conduct.phase.is_back())
        };
        let waiting: Vec<SlotId> = self.slots.iter().filter(waits).map(|slot| slot.id).collect();
        waiting.into_iter().for_each(|slot| self.activate(slot));
    }

    /// What a policy's status should say.
    fn policy_status(&self, policy: &PolicyFact, last: &PolicyStatus, now: Time) -> PolicyStatus {
        let mut slots: Vec<&Slot> = self
            .slots
            .iter()
            .filter(|slot| slot.spec.is_some() && self.policies.of(slot).any(|one| one.key == policy.key))
            .collect();
        slots.sort_by(|a, b| a.key.name.cmp(&b.key.name));
        report::status(policy, &slots, last, self.limits.policy_status_names, now)
    }
}

/// All but the status is the same.
fn is_same(known: &PolicyFact, told: &PolicyFact) -> bool {
    known.generation == told.generation && known.spec == told.spec && known.commands == told.commands
}

//! Which policy is for which DaemonSet, and when its status is written.

use std::sync::Arc;

use everynode_api::PolicyStatus;

use crate::actions::{Action, DaemonSetRef, Work};
use crate::base::{Time, Uid};
use crate::daemonset::DaemonSetState;
use crate::engine::Engine;
use crate::facts::Outcome;
use crate::ids::{DaemonSetId, NodeId};
use crate::timers::Wake;

use super::policies::PolicyWrite;
use super::spec::{PolicyFact, PolicyRef};
use super::{RolloutState, report};

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
        let daemonsets: Vec<DaemonSetId> = self
            .daemonsets
            .iter()
            .filter(|daemonset| daemonset.spec.is_some())
            .map(|daemonset| daemonset.id)
            .collect();
        daemonsets.into_iter().for_each(|daemonset| self.bind_policy(daemonset));
    }

    /// Finds the policy of a DaemonSet: one conducts its roll-outs; of several none does.
    pub(crate) fn bind_policy(&mut self, id: DaemonSetId) {
        let Some((daemonset, rollout)) = self.daemonsets.with_rollout(id) else { return };
        let found: Vec<Arc<PolicyFact>> = self.tables.policies.of(daemonset).cloned().collect();
        let before = rollout.as_ref().map(|rollout| rollout.policy.clone());
        let was_contested = daemonset.is_contested;
        daemonset.is_contested = found.len() > 1;
        let policy = if let [one] = found.as_slice() { Some(one.clone()) } else { None };
        match (rollout, policy.clone()) {
            (Some(rollout), Some(policy)) if rollout.policy.key == policy.key => {
                rollout.set_policy(policy);
            }
            (rollout, policy) => *rollout = policy.map(|policy| Box::new(RolloutState::new(policy))),
        }
        if before != policy || was_contested != daemonset.is_contested {
            daemonset.touch_all();
            self.daemonsets.activate(id);
            let concerned = before.iter().chain(&found).map(|policy| policy.key.clone());
            concerned.collect::<Vec<_>>().iter().for_each(|key| self.tables.policies.changed(key));
        }
    }

    /// Something of a node has changed that placement does not read.
    pub(crate) fn touch_rollouts(&mut self, node: NodeId) {
        let mut concerned = Vec::new();
        for (daemonset, rollout) in self.daemonsets.rollouts_mut() {
            if daemonset.assignments.contains_key(&node) {
                rollout.nodes.touch(node);
                concerned.push(daemonset.id);
            }
        }
        concerned.into_iter().for_each(|daemonset| self.daemonsets.activate(daemonset));
    }

    /// Marks all DaemonSets under policies for the next decision.
    pub(crate) fn activate_rollouts(&mut self) {
        let concerned: Vec<DaemonSetId> =
            self.daemonsets.rollouts().map(|(daemonset, _)| daemonset.id).collect();
        concerned.into_iter().for_each(|daemonset| self.daemonsets.activate(daemonset));
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

    /// Marks the DaemonSets whose roll-outs waited for a word in the status of their policy.
    fn go_back_as_said(&mut self, policy: &PolicyRef) {
        let rollouts = self.daemonsets.rollouts();
        let waiting: Vec<DaemonSetId> = rollouts
            .filter(|(_, rollout)| rollout.policy.key == *policy && rollout.phase.is_back())
            .map(|(daemonset, _)| daemonset.id)
            .collect();
        waiting.into_iter().for_each(|daemonset| self.daemonsets.activate(daemonset));
    }

    /// What a policy's status should say.
    fn policy_status(&self, policy: &PolicyFact, last: &PolicyStatus, now: Time) -> PolicyStatus {
        let mut daemonsets: Vec<(&DaemonSetState, Option<&RolloutState>)> = self
            .daemonsets
            .iter()
            .filter(|daemonset| {
                daemonset.spec.is_some()
                    && self.tables.policies.of(daemonset).any(|one| one.key == policy.key)
            })
            .map(|daemonset| (daemonset, self.daemonsets.rollout(daemonset.id)))
            .collect();
        daemonsets.sort_by(|(a, _), (b, _)| a.key.name.cmp(&b.key.name));
        report::status(policy, &daemonsets, last, self.tables.limits.policy_status_names, now)
    }
}

/// All but the status is the same.
fn is_same(known: &PolicyFact, told: &PolicyFact) -> bool {
    known.generation == told.generation && known.spec == told.spec && known.commands == told.commands
}

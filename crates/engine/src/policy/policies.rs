//! The policies that are known, and the writes of their status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use everynode_api::{PolicyStatus, RolloutStatus};
use hashbrown::HashMap;

use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::ids::ActionId;

use super::spec::{PolicyFact, PolicyRef};

/// All policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub all: Vec<Arc<PolicyFact>>,
    /// They were told once.
    pub is_told: bool,
    /// Those whose status may have to be written.
    pub changed: BTreeSet<PolicyRef>,
    pub written: BTreeMap<PolicyRef, Written>,
    /// Writes whose outcome is awaited.
    pub pending: HashMap<ActionId, PolicyWrite>,
}

/// A write of a policy's status.
#[derive(Clone, Debug)]
pub(crate) struct PolicyWrite {
    pub policy: PolicyRef,
    pub status: PolicyStatus,
}

/// What was written of a policy's status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub status: Option<PolicyStatus>,
    pub in_flight: bool,
    pub not_before: Option<Time>,
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

    /// The write that an outcome is of, if it is one of a policy's status.
    pub fn take_pending(&mut self, id: ActionId) -> Option<PolicyWrite> {
        self.pending.remove(&id)
    }

    /// How many writes have not ended.
    pub fn writes(&self) -> usize {
        self.pending.len()
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

    pub fn of<'a>(&'a self, daemonset: &'a DaemonSetState) -> impl Iterator<Item = &'a Arc<PolicyFact>> {
        let fact = daemonset.spec.as_ref().map(|spec| &spec.fact);
        self.all.iter().filter(move |policy| fact.is_some_and(|fact| policy.selects(fact)))
    }
}

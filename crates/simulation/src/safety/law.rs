//! What holds for the roll-outs of one DaemonSet: what somebody wrote of it, and the policies of that time.

use std::sync::Arc;

use everynode_model::Value;

use crate::model::{Change, Moved, Store, name, namespace};
use crate::naive::{conducting, has_revision, place, scaled};

/// One version of a DaemonSet, with the policies that select it.
pub(super) struct Law<'a> {
    daemonset: &'a Value,
    policies: Vec<&'a Value>,
}

impl<'a> Law<'a> {
    pub(super) fn new(daemonset: &'a Value, policies: &'a [Arc<Value>], is_beside: bool) -> Law<'a> {
        let policies = conducting(daemonset, policies.iter().map(|policy| &**policy), is_beside);
        Law { daemonset, policies }
    }

    /// Whether the DaemonSet wants a pod on a node.
    pub(super) fn wants(&self, node: &Value) -> bool {
        place(&self.daemonset["spec"]["template"], node).should_run
    }

    fn policy(&self) -> Option<&'a Value> {
        if let [one] = self.policies.as_slice() { Some(one) } else { None }
    }

    /// A policy has a say.
    pub(super) fn has_policy(&self) -> bool {
        !self.policies.is_empty()
    }

    /// From how many of all nodes a pod that serves may be taken at a time.
    pub(super) fn may_take(&self, nodes: i64) -> i64 {
        let strategy = &self.daemonset["spec"]["updateStrategy"];
        let own = &strategy["rollingUpdate"]["maxUnavailable"];
        let rolls = strategy["type"] == "RollingUpdate";
        match self.policy() {
            Some(policy) if policy["spec"]["paused"] == true => 0,
            Some(policy) => match (&policy["spec"]["maxUnavailable"], rolls) {
                (Value::Null, false) => 1,
                (Value::Null, true) => scaled(own, nodes),
                (budget, _) => scaled(budget, nodes),
            },
            // Of several policies none acts, and nothing else does.
            None if self.has_policy() => 0,
            None if rolls => scaled(own, nodes).max(1),
            None => 0,
        }
    }

    /// The label of failure domains, and how many nodes of one may be without at a time.
    pub(super) fn domain(&self) -> Option<(&'a str, i64)> {
        let domain = &self.policy()?["spec"]["domain"];
        Some((domain["label"].as_str()?, domain["maxUnavailable"].as_i64()?))
    }

    /// Pods of the current template may be taken: nodes go back.
    pub(super) fn may_go_back(&self) -> bool {
        self.policy().is_some_and(|policy| {
            policy["spec"]["failure"]["action"] == "Rollback"
                || policy["metadata"]["annotations"]["everynode.dev/abort"].is_string()
        })
    }

    /// The roll-out of the current template was halted, by the status of its policy, and nobody has it tried again: a
    /// leader that comes later does that before the status says so.
    pub(super) fn is_halted(&self, store: &Store) -> bool {
        let Some(policy) = self.policy() else { return false };
        let entry = &policy["status"]["daemonSets"][name(self.daemonset)];
        let retry = policy["metadata"]["annotations"]["everynode.dev/retry"].as_str();
        let is_retried = retry.and_then(|text| text.split_once('/')).is_some_and(|(revision, attempt)| {
            entry["revision"] == revision && attempt.parse::<i64>().ok() > entry["attempt"].as_i64()
        });
        entry["phase"] == "Halted" && !is_retried && has_revision(store, self.daemonset, &entry["revision"])
    }
}

/// Somebody has said something else by a policy: its status does not count.
pub(super) fn is_said(change: &Change) -> bool {
    let differs = |old: &Arc<Value>| {
        let annotations = |policy: &Value| policy["metadata"]["annotations"].clone();
        old["spec"] != change.new["spec"] || annotations(old) != annotations(&change.new)
    };
    change.moved != Moved::Modified || change.old.as_ref().is_none_or(differs)
}

/// The policy is of the namespace of this object.
pub(super) fn is_beside(policy: &Value, object: &Value) -> bool {
    namespace(policy) == namespace(object)
}

//! Creating and deleting pods: specification 1.D, with the bounds and the slow start of 1.C.

use std::sync::Arc;

use crate::actions::{NewPod, PodRef, Work};
use crate::assignment::{Creating, FailedBackoff};
use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::ids::{NodeId, PodId};
use crate::mark;
use crate::pending::{Creation, Write};
use crate::policy::RolloutState;
use crate::tables::Tables;
use crate::view::Why;

/// The next node that lacks a pod.
pub(crate) fn next_create(daemonset: &DaemonSetState) -> Option<NodeId> {
    daemonset.next_to_create(mark::CREATE)
}

impl Tables {
    /// Deletes what the assignments ask to delete, by node name, as many at once as are allowed.
    pub(crate) fn manage_deletes(
        &mut self,
        daemonset: &mut DaemonSetState,
        mut rollout: Option<&mut RolloutState>,
        now: Time,
    ) {
        while let Some(node) = daemonset.first(mark::DELETE) {
            if !self.may_delete(daemonset, now) {
                return;
            }
            let allows_surge = daemonset.spec.as_ref().is_some_and(|spec| spec.fact.strategy.allows_surge());
            let (_, deletes) = self.view(daemonset, node, now).manage(allows_surge);
            for (pod, why) in deletes {
                if !self.may_delete(daemonset, now) {
                    break;
                }
                self.tell_why(daemonset, node, pod, why, now);
                self.delete(daemonset, pod);
            }
            self.evaluate(daemonset, rollout.as_deref_mut(), node, now);
        }
    }

    /// Another deletion may be asked for.
    pub(crate) fn may_delete(&mut self, daemonset: &mut DaemonSetState, now: Time) -> bool {
        daemonset.in_flight.deletes < self.limits.deletes_in_flight
            && !self.must_wait(daemonset, |daemonset| &daemonset.retries.deletes, now)
    }

    /// Asks for the deletion of a pod.
    pub(crate) fn delete(&mut self, daemonset: &mut DaemonSetState, id: PodId) {
        if let Some((pod, _)) = self.marks_deleted(daemonset, id) {
            let write = Write::Delete { pod: pod.clone(), as_known: false };
            self.ask(daemonset, Work::DeletePod(pod), write);
        }
    }

    /// Asks for the deletion of a pod, unless it has changed meanwhile.
    pub(crate) fn delete_as_known(&mut self, daemonset: &mut DaemonSetState, id: PodId) {
        if let Some((pod, resource_version)) = self.marks_deleted(daemonset, id) {
            let write = Write::Delete { pod: pod.clone(), as_known: true };
            self.ask(daemonset, Work::DeletePodAsKnown { pod, resource_version }, write);
        }
    }

    fn marks_deleted(&mut self, daemonset: &mut DaemonSetState, id: PodId) -> Option<(PodRef, u64)> {
        if !self.is_deletable(daemonset, id) {
            return None;
        }
        let row = self.pods.get_mut(id)?;
        row.delete_sent = true;
        daemonset.in_flight.deletes += 1;
        Some((PodRef { name: row.name.clone(), uid: row.uid }, row.resource_version))
    }

    /// The event for a pod that ended ([L2](crate::spec#l2)), and the node's backoff ([D6](crate::spec#d6)).
    fn tell_why(&mut self, daemonset: &mut DaemonSetState, node: NodeId, pod: PodId, why: Why, now: Time) {
        let Some(row) = self.pods.get(pod) else { return };
        let place = format!("{}/{} on node {}", daemonset.key.namespace, row.name, self.nodes.name(node));
        match why {
            Why::Failed => {
                self.record(
                    daemonset,
                    true,
                    "FailedDaemonPod",
                    format!("Found failed daemon pod {place}, will try to kill it"),
                );
                self.arm_backoff(daemonset, node, now);
            }
            Why::Succeeded => {
                let message = format!("Found succeeded daemon pod {place}, will try to delete it");
                self.record(daemonset, false, "SucceededDaemonPod", message);
            }
            Why::Unwanted => {}
        }
    }

    fn arm_backoff(&mut self, daemonset: &mut DaemonSetState, node: NodeId, now: Time) {
        let generation = daemonset.stored.observed_generation;
        let (first, last) = (self.limits.failed_pod_first_millis, self.limits.failed_pod_last_millis);
        let old = daemonset
            .failed
            .get(&node)
            .filter(|old| old.generation == generation && now.millis_since(old.updated) <= 2 * last);
        let delay_millis = old.map_or(first, |old| old.delay_millis.saturating_mul(2).min(last));
        daemonset.failed.insert(node, FailedBackoff { generation, delay_millis, updated: now });
    }

    /// Asks for the next batch of creations, on the nodes that `next` names, and says whether there were any.
    /// Batches of 1, 2, 4, ... follow each other as long as none fails ([C8](crate::spec#c8)); nodes are
    /// taken by name, those whose creations fail after all others.
    pub(crate) fn create(
        &mut self,
        daemonset: &mut DaemonSetState,
        mut rollout: Option<&mut RolloutState>,
        next: fn(&DaemonSetState) -> Option<NodeId>,
        now: Time,
    ) -> bool {
        if daemonset.in_flight.creates > 0 {
            return false;
        }
        let mut asked = 0;
        while asked < daemonset.batch {
            let Some(node) = next(daemonset) else { break };
            if self.must_wait(daemonset, |daemonset| &daemonset.retries.creates, now) {
                break;
            }
            if !self.create_on(daemonset, rollout.as_deref(), node, now) {
                break;
            }
            self.evaluate(daemonset, rollout.as_deref_mut(), node, now);
            asked += 1;
        }
        asked > 0
    }

    /// Asks for a pod on a node; false when there cannot be one.
    pub(crate) fn create_on(
        &mut self,
        daemonset: &mut DaemonSetState,
        rollout: Option<&RolloutState>,
        node: NodeId,
        now: Time,
    ) -> bool {
        if !self.is_creatable(daemonset, node, now) {
            return false;
        }
        let made_of = daemonset.spec.as_ref().zip(daemonset.current.as_ref());
        let is_known = "a pod is created once the revision of its template is known";
        let Some((spec, current)) = self.violations.found(made_of, is_known) else { return false };
        let earlier = rollout.and_then(|rollout| self.revision_for(daemonset, rollout, node));
        // The label of the generation stands for the current template (F1).
        let template_generation = spec.fact.template_generation.filter(|_| earlier.is_none());
        let (template, hash) = earlier.unwrap_or_else(|| (spec.fact.template.clone(), current.hash.clone()));
        let name = spec.fact.pod_name(self.nodes.name(node), &hash).map(Arc::<str>::from);
        let pod = NewPod {
            node: self.nodes.name(node).clone(),
            name: name.clone(),
            template,
            hash,
            template_generation,
        };
        let earlier = daemonset.creating.insert(node, Creating::InFlight);
        let is_repeated = matches!(earlier, Some(Creating::Unknown { .. }));
        daemonset.in_flight.creates += 1;
        self.ask(daemonset, Work::CreatePod(pod), Write::Create(Creation { node, name, is_repeated }));
        true
    }
}

//! The engine's writes, answered at once.

use std::rc::Rc;

use everynode_admission::check_new;
use everynode_engine::pod_body::{self, GENERATION_LABEL, HASH_LABEL};
use everynode_engine::{
    DaemonSetRef, Failure, NewPod, NewRevision, Outcome, Phase, PodController, RevisionFact, Status, Uid,
    Work,
};

use everynode_apimachinery::status::Status as ApiStatus;
use everynode_model::Value;
use serde_json::json;

use super::{Event, Labels, MadeFrom, PodState, Refusal, Refused, World};
use crate::model::Model;
use crate::standing::Standing;

impl World<'_> {
    /// Carries a write of the engine out.
    pub fn carry_out(&mut self, daemonset: &DaemonSetRef, work: &Work) -> Outcome {
        match work {
            Work::CreatePod(new) => self.create_pod(new),
            Work::DeletePod(pod) | Work::DeletePodAsKnown { pod, .. } => self.delete_pod(pod.uid),
            Work::AdoptPod(pod) => {
                self.patch(pod.uid, |one| one.controller = PodController::DaemonSet(daemonset.uid))
            }
            Work::ReleasePod(pod) => {
                match self.patch(pod.uid, |one| one.controller = PodController::Nobody) {
                    Outcome::PodPatched { .. } => Outcome::Done,
                    other => other,
                }
            }
            Work::LabelPod { pod, hash, .. } => self.patch(pod.uid, |one| {
                let known = one.labels.pairs().iter().filter(|(key, _)| key != HASH_LABEL);
                let added = [(HASH_LABEL.to_owned(), hash.to_string())];
                one.labels = Labels::New(known.cloned().chain(added).collect());
            }),
            Work::WriteStatus { status } => {
                let collision_count = self.daemonset.status.collision_count;
                self.daemonset.status = Status { collision_count, ..*status };
                Outcome::StatusWritten { resource_version: self.daemonset_version() }
            }
            Work::BumpCollisionCount { next, .. } => {
                self.daemonset.status.collision_count = Some(*next);
                Outcome::CollisionCount { count: *next, resource_version: self.daemonset_version() }
            }
            Work::WritePolicyStatus { policy, status } => self.write_policy_status(policy, status),
            Work::RecordEvent(_) | Work::Relist(_) => Outcome::Done,
            _ => self.write_revision(daemonset, work),
        }
    }

    fn daemonset_version(&mut self) -> u64 {
        self.version += 1;
        self.daemonset.resource_version = self.version;
        self.daemonset_changed = true;
        self.version
    }

    fn patch(&mut self, uid: Uid, change: impl FnOnce(&mut PodState)) -> Outcome {
        let Some(&index) = self.by_uid.get(&uid) else { return Outcome::Gone };
        change(&mut self.pods[index as usize]);
        self.changed(index);
        Outcome::PodPatched { resource_version: self.version }
    }

    fn create_pod(&mut self, new: &NewPod) -> Outcome {
        let node = self.model.node_by_name.get(&*new.node).copied();
        let made_from = self.made_from(new);
        let made = match made_from.made {
            Ok(made) => made,
            Err(message) => return self.refuse(Refused::Pod, message),
        };
        if let Err(message) = self.quotas.admit(&made.charge) {
            return self.refuse(Refused::ByQuota, message);
        }
        if node.is_some_and(|node| self.model.stands(node, Standing::NotCreated)) {
            return Outcome::Failed { failure: Failure::Refused, message: String::new() };
        }
        self.last_uid += 1;
        let (uid, index) = (Uid(self.last_uid), self.pods.len() as u32);
        let made_name = || format!("{}-{:x}", self.daemonset.name, self.last_uid - (1 << 64));
        let name = new.name.as_ref().map_or_else(made_name, |name| name.to_string());
        self.pods.push(PodState {
            name: name.as_str().into(),
            uid,
            version: 0,
            labels: Labels::New(made_from.labels),
            controller: PodController::DaemonSet(self.daemonset.uid),
            node,
            absent_node: None,
            bound: false,
            phase: Phase::Pending,
            ready: false,
            ready_since: None,
            deleting: false,
            created: Model::api_time(self.now),
            demand: made.demand.clone(),
            charge: made.charge.clone(),
            made: Some(made),
            available: false,
            is_new: true,
            is_current: made_from.is_current,
            fails: false,
            trouble: None,
            is_gone: false,
            counted: false,
        });
        self.by_uid.insert(uid, index);
        self.changed(index);
        let resource_version = self.version;
        self.tally.progress += 1;
        match node {
            Some(node) if made_from.is_current => self.update(node),
            Some(node) => self.restart(node),
            None => {}
        }
        self.bind(index);
        Outcome::PodCreated { name, uid, resource_version }
    }

    fn refuse(&mut self, of: Refused, message: String) -> Outcome {
        self.tally.refused = Some(Refusal { of, message: message.clone() });
        Outcome::Failed { failure: Failure::Refused, message }
    }

    /// All pods of a run have the same labels and needs, unless its revision changes.
    fn made_from(&mut self, new: &NewPod) -> MadeFrom {
        if let Some(known) = self.made_from.as_ref().filter(|known| known.hash == new.hash) {
            return known.clone();
        }
        let mut labels = new.template.labels().to_vec();
        labels.push((HASH_LABEL.to_owned(), new.hash.to_string()));
        labels.extend(new.template_generation.map(|one| (GENERATION_LABEL.to_owned(), one.to_string())));
        let is_current = new.template.value() == self.daemonset.template.value();
        let made_from = MadeFrom {
            hash: new.hash.clone(),
            labels: labels.into(),
            made: match is_current {
                true => self.model.made.clone(),
                false => self.model.make(new),
            }
            .map(Rc::new),
            is_current,
        };
        self.made_from = Some(made_from.clone());
        made_from
    }

    /// As the API server and the kubelet: pods that are not bound or have ended go at once, others when their node
    /// has ended them, which a node that is down does not.
    fn delete_pod(&mut self, uid: Uid) -> Outcome {
        let Some(&index) = self.by_uid.get(&uid) else { return Outcome::Gone };
        let pod = &self.pods[index as usize];
        let node = pod.node;
        let is_up = node.is_some_and(|node| self.model.nodes[node as usize].is_up);
        let at_once = !pod.bound || pod.phase.is_terminal();
        if let Some(node) = node {
            self.touch(node);
        }
        self.tally.progress += 1;
        if at_once {
            self.remove(index);
            return Outcome::Done;
        }
        self.goes(index);
        self.changed(index);
        if is_up {
            let has_started = self.pods[index as usize].phase == Phase::Running;
            let delay = self.model.assumptions.stop.draw(&mut self.random);
            self.after(if has_started { delay } else { 0 }, Event::Gone(index));
        }
        Outcome::Done
    }

    fn write_revision(&mut self, daemonset: &DaemonSetRef, work: &Work) -> Outcome {
        if let Work::CreateRevision(new) = work
            && let Err(refused) = check_revision(daemonset, new)
        {
            return self.refuse(Refused::Revision, refused.message);
        }
        let (mut fact, is_kept) = match work {
            Work::CreateRevision(new) => {
                if let Some(taken) = self.revisions.values().find(|one| one.name == new.name) {
                    return Outcome::RevisionExists(Box::new(taken.clone()));
                }
                self.last_uid += 1;
                let fact = RevisionFact {
                    namespace: daemonset.namespace.clone(),
                    name: new.name.clone(),
                    uid: Uid(self.last_uid),
                    resource_version: 0,
                    labels: new.labels.clone(),
                    controller: PodController::DaemonSet(daemonset.uid),
                    deleting: false,
                    revision: new.revision,
                    data: new.data.to_vec().into_boxed_slice(),
                };
                (fact, true)
            }
            Work::UpdateRevision { revision, number, hash } => {
                let Some(mut fact) = self.revisions.get(&revision.uid).cloned() else { return Outcome::Gone };
                fact.revision = number.unwrap_or(fact.revision);
                if let Some(hash) = hash {
                    fact.labels.retain(|(key, _)| key != HASH_LABEL);
                    fact.labels.push((HASH_LABEL.to_owned(), hash.clone()));
                }
                (fact, true)
            }
            Work::DeleteRevision(revision) => {
                let Some(fact) = self.revisions.remove(&revision.uid) else { return Outcome::Gone };
                (fact, false)
            }
            Work::AdoptRevision(revision) | Work::ReleaseRevision(revision) => {
                let Some(mut fact) = self.revisions.get(&revision.uid).cloned() else { return Outcome::Gone };
                fact.controller = match work {
                    Work::AdoptRevision(_) => PodController::DaemonSet(daemonset.uid),
                    _ => PodController::Nobody,
                };
                (fact, true)
            }
            _ => return Outcome::Done,
        };
        self.version += 1;
        fact.resource_version = self.version;
        self.told_revisions.push(fact.uid);
        if !is_kept {
            return Outcome::Done;
        }
        self.revisions.insert(fact.uid, fact.clone());
        Outcome::Revision(Box::new(fact))
    }
}

/// Checks a revision as the API server does. Its annotations are those of the DaemonSet, which were checked with it.
fn check_revision(daemonset: &DaemonSetRef, new: &NewRevision) -> Result<(), ApiStatus> {
    let resource = everynode_apimachinery::resource_for_kind("apps", "v1", "ControllerRevision")
        .ok_or_else(|| ApiStatus::internal("ControllerRevisions are not known"))?;
    let labels = new.labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    let object = json!({
        "metadata": {
            "namespace": daemonset.namespace,
            "name": new.name,
            "labels": labels.collect::<Value>(),
            "ownerReferences": [pod_body::owner_reference(daemonset)],
        },
        "data": {},
        "revision": new.revision,
    });
    check_new(resource, &object)
}

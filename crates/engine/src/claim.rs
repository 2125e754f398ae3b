//! Which DaemonSet a pod belongs to: adoption and release (specification 1.G).

use crate::actions::{PodRef, Work};
use crate::base::Time;
use crate::daemonset::DaemonSetState;
use crate::engine::Engine;
use crate::facts::PodController;
use crate::ids::{DaemonSetId, NodeId, PodId};
use crate::pending::{Patch, Write};
use crate::pods::Place;
use crate::tables::Tables;

impl Engine {
    /// Puts a pod that is nowhere where it belongs.
    pub(crate) fn attach(&mut self, id: PodId, controller: PodController) {
        let place = self.place_for(id, controller);
        let Some(row) = self.tables.pods.get_mut(id) else { return };
        row.place = place;
        let (node, labels, namespace) = (row.node, row.labels, row.namespace);
        match place {
            Place::Orphan => {
                if let Some(namespace) = self.tables.namespaces.get_mut(namespace) {
                    namespace.orphans.insert(id);
                }
            }
            Place::Unselected(owner) => {
                if let Some(daemonset) = self.daemonsets.get_mut(owner) {
                    daemonset.unselected.insert(id);
                    // Its name is taken, as long as it is not released.
                    daemonset.touch_known(node);
                }
                self.daemonsets.activate(owner);
            }
            Place::Member(owner) | Place::Adopting(owner) => {
                let Some(daemonset) = self.daemonsets.get_mut(owner) else { return };
                if matches!(place, Place::Adopting(_)) {
                    daemonset.adopting.insert(id);
                }
                daemonset.add_live(labels);
                let assignment = daemonset.assignment(&mut self.tables.nodes, node);
                row.next = std::mem::replace(&mut assignment.first, id);
                self.touch(owner, node);
            }
        }
    }

    /// Takes a pod out of where it is.
    pub(crate) fn detach(&mut self, id: PodId) {
        let Some(row) = self.tables.pods.get_mut(id) else { return };
        let next = std::mem::replace(&mut row.next, PodId::NONE);
        let place = std::mem::replace(&mut row.place, Place::Orphan);
        let (node, labels, namespace) = (row.node, row.labels, row.namespace);
        match place {
            Place::Orphan => {
                if let Some(namespace) = self.tables.namespaces.get_mut(namespace) {
                    namespace.orphans.remove(&id);
                }
            }
            Place::Unselected(owner) => {
                if let Some(daemonset) = self.daemonsets.get_mut(owner) {
                    daemonset.unselected.remove(&id);
                    // Its name is free for a new pod.
                    daemonset.touch_known(node);
                }
                self.daemonsets.activate(owner);
            }
            Place::Member(owner) | Place::Adopting(owner) => {
                let Some(daemonset) = self.daemonsets.get_mut(owner) else { return };
                daemonset.adopting.remove(&id);
                daemonset.remove_live(labels);
                self.unlink(owner, node, id, next);
                self.touch(owner, node);
            }
        }
    }

    /// Takes a pod out of its assignment's list.
    fn unlink(&mut self, owner: DaemonSetId, node: NodeId, id: PodId, next: PodId) {
        let daemonset = self.daemonsets.get_mut(owner);
        let assignment = daemonset.and_then(|daemonset| daemonset.assignments.get_mut(&node));
        let listed = "a pod is in the list of its assignment";
        let Some(assignment) = self.tables.violations.found(assignment, listed) else { return };
        if assignment.first == id {
            assignment.first = next;
            return;
        }
        let mut at = assignment.first;
        while let Some(row) = self.tables.pods.get_mut(at) {
            if row.next == id {
                row.next = next;
                return;
            }
            at = row.next;
        }
        self.tables.violations.expect(false, listed);
    }

    fn place_for(&mut self, id: PodId, controller: PodController) -> Place {
        let Some(row) = self.tables.pods.get(id) else { return Place::Orphan };
        let (namespace, labels, deleting) = (row.namespace, row.labels, row.deleting);
        match controller {
            PodController::DaemonSet(uid) => {
                let owner = self.daemonsets.acquire(&mut self.tables.namespaces, namespace, uid);
                let spec = self.daemonsets.get(owner).and_then(|daemonset| daemonset.spec.as_ref());
                let released = spec.is_some_and(|spec| {
                    !spec.fact.deleting
                        && !spec.fact.selector.matches(|key| self.tables.labels.get(labels, key))
                });
                if released { Place::Unselected(owner) } else { Place::Member(owner) }
            }
            PodController::Nobody if !deleting => {
                let daemonsets = self.tables.namespaces.get(namespace).map_or(&[][..], |row| &row.daemonsets);
                let daemonsets = daemonsets.iter().filter_map(|daemonset| self.daemonsets.get(*daemonset));
                let adopting = daemonsets
                    .filter(|daemonset| daemonset.adopts(|key| self.tables.labels.get(labels, key)));
                // More than one is a user's error (A16); the first by name has it.
                let first = adopting.min_by(|a, b| a.key.name.cmp(&b.key.name));
                first.map_or(Place::Orphan, |daemonset| Place::Adopting(daemonset.id))
            }
            _ => Place::Orphan,
        }
    }

    /// Places every pod anew that a DaemonSet has, could release or could adopt: it has changed what it selects.
    pub(crate) fn claim_again(&mut self, id: DaemonSetId) {
        let Some(daemonset) = self.daemonsets.get(id) else { return };
        let mut all: Vec<PodId> = daemonset.unselected.iter().copied().collect();
        for assignment in daemonset.assignments.values() {
            let mut next = assignment.first;
            while let Some(row) = self.tables.pods.get(next) {
                all.push(next);
                next = row.next;
            }
        }
        if let Some(namespace) = self.tables.namespaces.get(daemonset.namespace) {
            all.extend(&namespace.orphans);
        }
        let uid = daemonset.key.uid;
        for pod in all {
            let Some(row) = self.tables.pods.get(pod) else { continue };
            let controller = match row.place {
                Place::Member(_) | Place::Unselected(_) => PodController::DaemonSet(uid),
                Place::Orphan | Place::Adopting(_) => PodController::Nobody,
            };
            self.detach(pod);
            self.attach(pod, controller);
        }
    }
}

impl Tables {
    /// Asks for the adoptions and releases that are due.
    pub(crate) fn claim(&mut self, daemonset: &mut DaemonSetState, now: Time) {
        if daemonset.adopting.is_empty() && daemonset.unselected.is_empty() {
            return;
        }
        if self.must_wait(daemonset, |daemonset| &daemonset.retries.patches, now) {
            return;
        }
        let room = self.limits.patches_in_flight.saturating_sub(daemonset.in_flight.patches);
        let idle = |id: &&PodId| self.pods.get(**id).is_some_and(|row| !row.patching && !row.delete_sent);
        let adopt = daemonset.adopting.iter().filter(idle).map(|&id| (id, Patch::Adopt));
        let release = daemonset.unselected.iter().filter(idle).map(|&id| (id, Patch::Release));
        let due: Vec<(PodId, Patch)> = adopt.chain(release).take(room).collect();
        for (id, patch) in due {
            self.patch_pod(daemonset, id, patch);
        }
    }

    /// Asks for a patch of a pod.
    pub(crate) fn patch_pod(&mut self, daemonset: &mut DaemonSetState, id: PodId, patch: Patch) {
        let Some(row) = self.pods.get_mut(id) else { return };
        row.patching = true;
        daemonset.in_flight.patches += 1;
        let uid = row.uid;
        let (pod, resource_version) = (PodRef { name: row.name.clone(), uid }, row.resource_version);
        let work = match &patch {
            Patch::Adopt => Work::AdoptPod(pod),
            Patch::Release => Work::ReleasePod(pod),
            Patch::Label(hash) => Work::LabelPod { pod, resource_version, hash: hash.clone() },
        };
        self.ask(daemonset, work, Write::Patch { pod: uid, patch });
    }
}

//! Garbage collection by owner references: when an owner is gone its dependents go too; foreground and orphan
//! deletions wait for what they promise.

mod circle;
mod survey;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use everynode_client::{Error, Method, content_type};
use everynode_model::{AnyObject, Metadata};
use serde_json::json;
use survey::Surveys;

use crate::core::{Core, Fact, Now, Outbox, Write, retry_at};
use crate::kinds::ResourceKind;

type Uid = Arc<str>;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// Owners that are known to be gone; more are forgotten, and asked for again.
const ABSENT_LIMIT: usize = 10_000;

/// The collector's state: all objects with their owners, and the way back.
pub(crate) struct Collector {
    /// The kinds by their source number.
    kinds: Vec<ResourceKind>,
    unlisted: HashSet<usize>,
    objects: HashMap<Uid, ObjectRow>,
    /// In order, so that the same happens in the same order every time.
    dependents: HashMap<Uid, BTreeSet<Uid>>,
    absent: HashSet<Uid>,
    /// Owners that are being asked for, and who waits for the answer.
    verifying: HashMap<Uid, Vec<Uid>>,
    surveys: Surveys,
    /// Objects to look at.
    queue: VecDeque<Uid>,
    timers: BinaryHeap<Reverse<(u64, Uid)>>,
    outbox: Outbox<Ticket>,
    random: fastrand::Rng,
}

struct ObjectRow {
    source: usize,
    namespace: Arc<str>,
    name: Box<str>,
    resource_version: Box<str>,
    owners: Box<[Owner]>,
    deleting: bool,
    finalizers: Box<[Box<str>]>,
    queued: bool,
    /// A request about the object is under way.
    busy: bool,
    failures: u32,
}

#[derive(Clone, PartialEq, Eq)]
struct Owner {
    api_version: Arc<str>,
    kind: Arc<str>,
    name: Arc<str>,
    uid: Uid,
    blocks: bool,
}

enum Ticket {
    Verify(Uid),
    /// A page of what may depend on owners that are to be let go.
    Survey(survey::List),
    Delete(Uid),
    /// The finalizer was taken out of the object.
    Finalize(Uid, &'static str),
    /// The object does not keep its owners any more.
    Unblock(Uid),
    /// The owners were taken out of the object as it was at this version.
    Strip(Uid, Vec<Uid>, Box<str>),
}

/// What is known about an owner.
enum Standing {
    Solid,
    Gone,
    /// It waits for its dependents to go before it goes itself.
    Waiting,
    Unknown,
}

impl Collector {
    /// A collector for the kinds of these sources.
    pub(crate) fn new(kinds: Arc<[ResourceKind]>, random: fastrand::Rng) -> Collector {
        Collector {
            unlisted: (0..kinds.len()).collect(),
            kinds: kinds.to_vec(),
            objects: HashMap::new(),
            dependents: HashMap::new(),
            absent: HashSet::new(),
            verifying: HashMap::new(),
            surveys: Surveys::default(),
            queue: VecDeque::new(),
            timers: BinaryHeap::new(),
            outbox: Outbox::default(),
            random,
        }
    }

    fn applied(&mut self, source: usize, metadata: &Metadata<'_>) {
        let uid: Uid = match self.objects.get_key_value(&*metadata.uid) {
            Some((uid, _)) => uid.clone(),
            None => (*metadata.uid).into(),
        };
        let owners_changed = match self.objects.get_mut(&uid) {
            Some(row) => {
                row.resource_version = (*metadata.resource_version).into();
                row.deleting = metadata.deletion_timestamp.is_some();
                let same = row.owners.len() == metadata.owner_references.len()
                    && row.owners.iter().zip(&metadata.owner_references).all(|(owner, reference)| {
                        *owner.uid == *reference.uid
                            && owner.blocks == (reference.block_owner_deletion == Some(true))
                    });
                row.finalizers = metadata.finalizers.iter().map(|finalizer| (**finalizer).into()).collect();
                if !same {
                    self.set_owners(&uid, metadata);
                }
                !same
            }
            None => {
                self.added(&uid, source, metadata);
                true
            }
        };
        let Some(row) = self.objects.get(&uid) else { return };
        let must_finish = row.deleting && !row.finalizers.is_empty();
        if must_finish || owners_changed && !row.owners.is_empty() {
            self.enqueue(&uid);
        }
    }

    fn added(&mut self, uid: &Uid, source: usize, metadata: &Metadata<'_>) {
        let row = ObjectRow {
            source,
            namespace: (*metadata.namespace).into(),
            name: (*metadata.name).into(),
            resource_version: (*metadata.resource_version).into(),
            owners: Box::default(),
            deleting: metadata.deletion_timestamp.is_some(),
            finalizers: metadata.finalizers.iter().map(|finalizer| (**finalizer).into()).collect(),
            queued: false,
            busy: false,
            failures: 0,
        };
        self.objects.insert(uid.clone(), row);
        self.set_owners(uid, metadata);
    }

    /// Keeps the owners, and the way back from each.
    fn set_owners(&mut self, uid: &Uid, metadata: &Metadata<'_>) {
        let owners: Box<[Owner]> = metadata
            .owner_references
            .iter()
            .map(|reference| Owner {
                api_version: (*reference.api_version).into(),
                kind: (*reference.kind).into(),
                name: (*reference.name).into(),
                uid: self.shared_uid(&reference.uid),
                blocks: reference.block_owner_deletion == Some(true),
            })
            .collect();
        self.unlink(uid);
        for owner in &owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        if let Some(row) = self.objects.get_mut(uid) {
            row.owners = owners;
        }
    }

    fn shared_uid(&self, uid: &str) -> Uid {
        let known = self.objects.get_key_value(uid).map(|(uid, _)| uid);
        known
            .or_else(|| self.dependents.get_key_value(uid).map(|(uid, _)| uid))
            .cloned()
            .unwrap_or_else(|| uid.into())
    }

    /// Takes the object out of its owners' dependents; owners that wait for that are looked at.
    fn unlink(&mut self, uid: &Uid) {
        let Some(row) = self.objects.get_mut(uid) else { return };
        let owners = std::mem::take(&mut row.owners);
        for owner in &owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
            if self.objects.get(&owner.uid).is_some_and(|row| row.deleting) {
                self.enqueue(&owner.uid.clone());
            }
        }
    }

    fn gone(&mut self, uid: &str) {
        let Some((uid, _)) = self.objects.get_key_value(uid) else { return };
        let uid = uid.clone();
        self.unlink(&uid);
        self.objects.remove(&uid);
        self.now_absent(&uid);
    }

    fn now_absent(&mut self, uid: &Uid) {
        if let Some(dependents) = self.dependents.get(uid) {
            if self.absent.len() >= ABSENT_LIMIT {
                self.absent.clear();
            }
            self.absent.insert(uid.clone());
            for dependent in dependents.iter().cloned().collect::<Vec<_>>() {
                self.enqueue(&dependent);
            }
        }
    }

    fn enqueue(&mut self, uid: &Uid) {
        if let Some(row) = self.objects.get_mut(uid)
            && !std::mem::replace(&mut row.queued, true)
        {
            self.queue.push_back(uid.clone());
        }
    }

    /// Does what is to be done about one object.
    fn look(&mut self, uid: &Uid) {
        let Some(row) = self.objects.get_mut(uid) else { return };
        row.queued = false;
        if row.busy {
            return;
        }
        match row.deleting {
            true if row.has(ORPHAN) => self.orphan_dependents(uid),
            true if row.has(FOREGROUND) => self.finish_foreground(uid),
            true => {}
            false => self.consider(uid),
        }
    }

    /// Strips the owner from its dependents, then lets it go.
    fn orphan_dependents(&mut self, owner: &Uid) {
        let dependents: Vec<Uid> = self.dependents.get(owner).into_iter().flatten().cloned().collect();
        if dependents.is_empty() {
            return self.let_go(owner, ORPHAN);
        }
        for dependent in dependents {
            if self.objects.get(&dependent).is_some_and(|row| !row.busy) {
                self.strip(&dependent, vec![owner.clone()]);
            }
        }
    }

    /// Lets the owner go when nothing that blocks it is left; deletes what is.
    fn finish_foreground(&mut self, owner: &Uid) {
        let dependents: Vec<Uid> = self.dependents.get(owner).into_iter().flatten().cloned().collect();
        let blocks = |dependent: &Uid| {
            let row = self.objects.get(dependent);
            row.is_some_and(|row| row.owners.iter().any(|one| one.uid == *owner && one.blocks))
        };
        let blocking: Vec<&Uid> = dependents.iter().filter(|dependent| blocks(dependent)).collect();
        if blocking.is_empty() {
            self.let_go(owner, FOREGROUND);
        }
        for dependent in blocking {
            if self.waits_for(owner, dependent) {
                self.unblock(dependent);
            }
        }
        for dependent in dependents {
            if self.objects.get(&dependent).is_some_and(|row| !row.deleting) {
                self.enqueue(&dependent);
            }
        }
    }

    /// Deletes the object when none of its owners is left.
    fn consider(&mut self, uid: &Uid) {
        let Some(row) = self.objects.get(uid) else { return };
        let (mut solid, mut waiting, mut lost, mut unknown) = (false, false, Vec::new(), Vec::new());
        for owner in &row.owners {
            match self.standing(row, owner) {
                Standing::Solid => solid = true,
                Standing::Gone => lost.push(owner.uid.clone()),
                Standing::Waiting => {
                    waiting = true;
                    lost.push(owner.uid.clone());
                }
                Standing::Unknown => unknown.push(owner.clone()),
            }
        }
        if !unknown.is_empty() {
            let namespace = row.namespace.clone();
            for owner in unknown {
                self.verify(&owner, &namespace, uid);
            }
        } else if !lost.is_empty() && solid {
            self.strip(uid, lost);
        } else if !lost.is_empty() {
            let foreground = waiting && self.dependents.contains_key(uid);
            self.delete(uid, foreground);
        }
    }

    fn standing(&self, dependent: &ObjectRow, owner: &Owner) -> Standing {
        match self.objects.get(&owner.uid) {
            Some(row) if row.deleting && row.has(FOREGROUND) && owner.blocks => Standing::Waiting,
            Some(_) => Standing::Solid,
            None if self.absent.contains(&owner.uid) => Standing::Gone,
            // An owner of a kind that is not served may exist elsewhere.
            None => match self.kind_of(owner) {
                Some(kind) if !kind.namespaced || !dependent.namespace.is_empty() => Standing::Unknown,
                _ => Standing::Solid,
            },
        }
    }

    fn kind_of(&self, owner: &Owner) -> Option<&ResourceKind> {
        let group = |api_version: &str| api_version.rsplit_once('/').map(|(group, _)| group.to_owned());
        let wanted = group(&owner.api_version);
        // The latest one: a kind that went and came again has a new place.
        self.kinds.iter().rev().find(|kind| *kind.kind == *owner.kind && group(&kind.api_version) == wanted)
    }

    /// Looks again at objects whose owners are of a kind that was not served before, so that they were believed in.
    fn doubt(&mut self, kind: &str) {
        let owned = |row: &ObjectRow| row.owners.iter().any(|owner| *owner.kind == *kind);
        let mut found: Vec<Uid> =
            self.objects.iter().filter(|(_, row)| owned(row)).map(|(uid, _)| uid.clone()).collect();
        found.sort();
        for uid in found {
            self.enqueue(&uid);
        }
    }

    /// Asks the server itself whether an owner that the watches do not show is gone.
    fn verify(&mut self, owner: &Owner, namespace: &str, dependent: &Uid) {
        let waiting = self.verifying.entry(owner.uid.clone()).or_default();
        waiting.push(dependent.clone());
        if waiting.len() > 1 {
            return;
        }
        if let Some(kind) = self.kind_of(owner) {
            let path = kind.path_of(namespace, &owner.name);
            self.outbox.push(Ticket::Verify(owner.uid.clone()), Method::GET, path, content_type::JSON, "");
        }
    }

    fn strip(&mut self, uid: &Uid, owners: Vec<Uid>) {
        let Some(row) = self.objects.get(uid) else { return };
        let (patch, body) = if self.kinds[row.source].is_built_in() {
            let references: Vec<_> =
                owners.iter().map(|owner| json!({ "$patch": "delete", "uid": &**owner })).collect();
            let body = json!({ "metadata": { "uid": &**uid, "ownerReferences": references } });
            (content_type::STRATEGIC_MERGE_PATCH, body)
        } else {
            (content_type::JSON_PATCH, row.without(uid, &owners))
        };
        let ticket = Ticket::Strip(uid.clone(), owners, row.resource_version.clone());
        self.change(uid, ticket, Method::PATCH, patch, body.to_string());
    }

    fn delete(&mut self, uid: &Uid, foreground: bool) {
        let Some(row) = self.objects.get(uid) else { return };
        let policy = match (foreground || row.has(FOREGROUND), row.has(ORPHAN)) {
            (_, true) => "Orphan",
            (true, false) => "Foreground",
            (false, false) => "Background",
        };
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            // The version guards against owners that were changed meanwhile.
            "preconditions": { "uid": &**uid, "resourceVersion": row.resource_version },
            "propagationPolicy": policy,
        });
        self.change(uid, Ticket::Delete(uid.clone()), Method::DELETE, content_type::JSON, body.to_string());
    }

    fn remove_finalizer(&mut self, uid: &Uid, finalizer: &'static str) {
        let Some(row) = self.objects.get(uid) else { return };
        let rest: Vec<&str> =
            row.finalizers.iter().map(|one| &**one).filter(|one| *one != finalizer).collect();
        let metadata = json!({ "uid": &**uid, "resourceVersion": row.resource_version, "finalizers": rest });
        let body = json!({ "metadata": metadata }).to_string();
        let ticket = Ticket::Finalize(uid.clone(), finalizer);
        self.change(uid, ticket, Method::PATCH, content_type::MERGE_PATCH, body);
    }

    fn change(
        &mut self,
        uid: &Uid,
        ticket: Ticket,
        method: Method,
        content_type: &'static str,
        body: String,
    ) {
        let Some(row) = self.objects.get_mut(uid) else { return };
        row.busy = true;
        let path = self.kinds[row.source].path_of(&row.namespace, &row.name);
        self.outbox.push(ticket, method, path, content_type, body);
    }

    fn verified(&mut self, owner: &Uid, result: Result<Bytes, Error>, now: Now) {
        let waiting = self.verifying.remove(owner).unwrap_or_default();
        let exists = match result {
            Ok(body) => match serde_json::from_slice::<AnyObject<'_>>(&body) {
                // Another object has its name now.
                Ok(object) => *object.metadata.uid == **owner,
                Err(_) => true,
            },
            Err(error) if error.is_not_found() => false,
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether an owner is gone");
                for uid in waiting {
                    self.again(&uid, now);
                }
                return;
            }
        };
        match exists {
            // Its watch will show it, and its end.
            true => {
                for uid in waiting {
                    self.again(&uid, now);
                }
            }
            false => self.now_absent(owner),
        }
    }

    fn again(&mut self, uid: &Uid, now: Now) {
        if let Some(row) = self.objects.get_mut(uid) {
            row.failures += 1;
            let at = retry_at(now, row.failures, &mut self.random);
            self.timers.push(Reverse((at, uid.clone())));
        }
    }

    fn changed(&mut self, uid: &Uid, result: Result<Bytes, Error>, now: Now) -> bool {
        let Some(row) = self.objects.get_mut(uid) else { return false };
        row.busy = false;
        match result {
            Ok(_) => {
                row.failures = 0;
                // What was seen of it meanwhile was not acted on.
                self.enqueue(uid);
                true
            }
            Err(error) if error.is_not_found() => {
                // The watch will say so too.
                true
            }
            Err(error) => {
                if !error.is_conflict() {
                    tracing::warn!(object = %row.name, %error, "garbage was not collected");
                }
                self.again(uid, now);
                false
            }
        }
    }

    fn stripped(&mut self, uid: &Uid, owners: &[Uid], version: &str) {
        let Some(row) = self.objects.get_mut(uid) else { return };
        if *row.resource_version != *version {
            // The watch has shown what came of it or of a later write, which may have put the owners back.
            return owners.iter().for_each(|owner| self.enqueue(owner));
        }
        row.owners = row.owners.iter().filter(|owner| !owners.contains(&owner.uid)).cloned().collect();
        for owner in owners {
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                }
            }
            self.enqueue(&owner.clone());
        }
    }
}

impl ObjectRow {
    /// A JSON patch that takes these owners out. Custom resources take no strategic merge patch, so owners are named
    /// by their places, the last one first.
    fn without(&self, uid: &Uid, owners: &[Uid]) -> serde_json::Value {
        let mut steps = vec![json!({ "op": "test", "path": "/metadata/uid", "value": &**uid })];
        let places = self.owners.iter().enumerate().rev().filter(|(_, owner)| owners.contains(&owner.uid));
        for (at, owner) in places {
            let path = format!("/metadata/ownerReferences/{at}");
            steps.push(json!({ "op": "test", "path": format!("{path}/uid"), "value": &*owner.uid }));
            steps.push(json!({ "op": "remove", "path": path }));
        }
        steps.into()
    }

    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|one| **one == *finalizer)
    }
}

impl Core for Collector {
    fn observe(&mut self, fact: &Fact<'_>, _now: Now) {
        match fact {
            Fact::Object { source, metadata } => self.applied(*source, metadata),
            Fact::ObjectGone(metadata) => self.gone(&metadata.uid),
            Fact::Listed { source, .. } => {
                self.unlisted.remove(source);
            }
            Fact::KindAdded { source, resource } => {
                debug_assert_eq!(*source, self.kinds.len(), "sources are numbered in their order");
                self.kinds.push((*resource).clone());
                self.unlisted.insert(*source);
                self.doubt(&resource.kind);
            }
            Fact::KindGone { source } => {
                self.unlisted.remove(source);
            }
            _ => {}
        }
    }

    fn next_wake(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn wake(&mut self, now: Now) {
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now.millis)
            && let Some(Reverse((_, uid))) = self.timers.pop()
        {
            self.enqueue(&uid);
        }
    }

    fn next_write(&mut self, _now: Now) -> Option<Write> {
        // An owner counts as missing only when all kinds have been listed.
        while self.unlisted.is_empty() && self.outbox.is_empty() {
            match self.queue.pop_front() {
                Some(uid) => self.look(&uid),
                None if self.begin_survey() => {}
                None => return None,
            }
        }
        self.outbox.pop()
    }

    fn done(&mut self, ticket: u64, result: Result<Bytes, Error>, now: Now) {
        match self.outbox.answered(ticket) {
            Some(Ticket::Verify(owner)) => self.verified(&owner, result, now),
            Some(Ticket::Survey(list)) => self.surveyed(list, result, now),
            Some(Ticket::Delete(uid)) => {
                if self.changed(&uid, result, now)
                    && let Some(row) = self.objects.get_mut(&uid)
                {
                    // The watch will say so too.
                    row.deleting = true;
                }
            }
            Some(Ticket::Finalize(uid, finalizer)) => {
                if self.changed(&uid, result, now)
                    && let Some(row) = self.objects.get_mut(&uid)
                {
                    row.finalizers =
                        row.finalizers.iter().filter(|one| ***one != *finalizer).cloned().collect();
                    self.enqueue(&uid);
                }
            }
            // The watch will show what came of it.
            Some(Ticket::Unblock(uid)) => drop(self.changed(&uid, result, now)),
            Some(Ticket::Strip(uid, owners, version)) => {
                match self.changed(&uid, result, now) {
                    true => self.stripped(&uid, &owners, &version),
                    // An owner that waits to be let go asks again; the dependent alone would not.
                    false => owners.iter().for_each(|owner| self.again(owner, now)),
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
#[path = "gc_tests.rs"]
mod tests;

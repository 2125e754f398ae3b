//! A cluster in memory for the tests: it keeps objects, carries out the engine's writes, and tells what a watch would.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod fleet;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use everynode_engine::placement::{Effect, Taint};
use everynode_engine::pod_body::{GENERATION_LABEL, HASH_LABEL};
use everynode_engine::policy::PolicyFact;
use everynode_engine::{
    Action, DaemonSetFact, DaemonSetRef, Engine, Fact, Failure, Kind, Limits, NodeFact, Outcome, Phase,
    PodController, PodFact, RevisionFact, Template, Time, Uid, Work,
};
use serde_json::{Value, json};

/// A node in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Node {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub taints: Vec<(String, String, Effect)>,
    pub not_ready_since: Option<Time>,
}

/// A pod in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: Uid,
    pub resource_version: u64,
    pub labels: Vec<(String, String)>,
    pub controller: PodController,
    pub node: Option<String>,
    pub bound: bool,
    pub phase: Phase,
    pub ready: bool,
    pub ready_since: Option<Time>,
    pub deleting: bool,
    pub created: Time,
    pub trouble: Option<everynode_engine::Trouble>,
    /// How often its container was started again, and whether memory ran out the last time.
    pub restarts: u32,
    pub is_oom: bool,
    /// Since when its container runs.
    pub started: Option<Time>,
}

impl Pod {
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str())
    }

    /// The container statuses that tell so; nothing where there is nothing to tell.
    fn statuses(&self) -> String {
        if self.restarts == 0 && self.started.is_none() {
            return "{}".to_owned();
        }
        let reason = if self.is_oom { "OOMKilled" } else { "Error" };
        let last = json!({"terminated": {"exitCode": 1, "reason": reason}});
        let running =
            self.started.map(|at| json!({"startedAt": everynode_model::time::format(at.seconds())}));
        let status = json!({"restartCount": self.restarts, "state": {"running": running}, "lastState": last});
        json!({"status": {"containerStatuses": [status]}}).to_string()
    }

    fn set_label(&mut self, key: &str, value: &str) {
        self.labels.retain(|(one, _)| one != key);
        self.labels.push((key.to_owned(), value.to_owned()));
        self.labels.sort();
    }
}

/// What a watch tells, owning its text.
#[derive(Clone, Debug)]
pub enum Told {
    Node(Node),
    NodeGone(String),
    DaemonSet(DaemonSetFact),
    DaemonSetGone(Uid),
    Pod(Pod),
    PodGone(Uid, u64),
    Revision(RevisionFact),
    RevisionGone(Uid),
}

impl Told {
    /// The kind whose watch tells it.
    pub fn kind(&self) -> Kind {
        match self {
            Told::Node(_) | Told::NodeGone(_) => Kind::Node,
            Told::DaemonSet(_) | Told::DaemonSetGone(_) => Kind::DaemonSet,
            Told::Pod(_) | Told::PodGone(..) => Kind::Pod,
            Told::Revision(_) | Told::RevisionGone(_) => Kind::Revision,
        }
    }

    /// Tells an engine.
    pub fn tell(&self, engine: &mut Engine, now: Time) {
        match self {
            Told::Node(node) => {
                let labels = pairs(&node.labels);
                let taints: Vec<Taint<'_>> = node
                    .taints
                    .iter()
                    .map(|(key, value, effect)| Taint { key, value, effect: *effect })
                    .collect();
                let fact = NodeFact {
                    name: &node.name,
                    labels: &labels,
                    taints: &taints,
                    not_ready_since: node.not_ready_since,
                };
                engine.observe(Fact::Node(fact), now);
            }
            Told::NodeGone(name) => engine.observe(Fact::NodeGone(name), now),
            Told::DaemonSet(fact) => engine.observe(Fact::DaemonSet(Box::new(fact.clone())), now),
            Told::DaemonSetGone(uid) => engine.observe(Fact::DaemonSetGone(*uid), now),
            Told::Pod(pod) => {
                let labels = pairs(&pod.labels);
                let text = pod.statuses();
                let served: everynode_model::Pod<'_> = serde_json::from_str(&text).unwrap_or_default();
                let fact = PodFact {
                    namespace: &pod.namespace,
                    name: &pod.name,
                    uid: pod.uid,
                    resource_version: pod.resource_version,
                    labels: &labels,
                    controller: pod.controller,
                    node: pod.node.as_deref(),
                    bound: pod.bound,
                    phase: pod.phase,
                    ready: pod.ready,
                    ready_since: pod.ready_since,
                    deleting: pod.deleting,
                    created: pod.created,
                    trouble: pod.trouble,
                    statuses: served.status.statuses(),
                };
                engine.observe(Fact::Pod(fact), now);
            }
            Told::PodGone(uid, version) => {
                engine.observe(Fact::PodGone { uid: *uid, resource_version: *version }, now);
            }
            Told::Revision(fact) => engine.observe(Fact::Revision(Box::new(fact.clone())), now),
            Told::RevisionGone(uid) => engine.observe(Fact::RevisionGone(*uid), now),
        }
    }
}

fn pairs(owned: &[(String, String)]) -> Vec<(&str, &str)> {
    owned.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// The objects of a cluster, and what its watches have still to tell.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub version: u64,
    pub next_uid: u128,
    pub nodes: BTreeMap<String, Node>,
    pub daemonsets: BTreeMap<Uid, DaemonSetFact>,
    pub pods: BTreeMap<Uid, Pod>,
    pub revisions: BTreeMap<Uid, RevisionFact>,
    pub told: VecDeque<Told>,
    /// Deleted pods stay, terminating, until somebody removes them.
    pub graceful: bool,
    /// The images of all pods that were created, in the order of their creation.
    pub images_made: Vec<String>,
    /// Further pod creations are refused after so many.
    pub creations_left: Option<usize>,
    /// Revisions to which nothing can be written, and how often it was tried.
    pub frozen: BTreeSet<Uid>,
    pub refused_claims: usize,
    /// The controller may not change DaemonSets.
    pub protects_templates: bool,
    /// Nodes whose pods are refused.
    pub refusing: Vec<String>,
}

impl Objects {
    /// Tells an engine a complete list of pods or revisions.
    pub fn list(&self, kind: Kind, engine: &mut Engine, now: Time) {
        engine.observe(Fact::RelistBegun(kind), now);
        match kind {
            Kind::Pod => self.pods.values().for_each(|one| Told::Pod(one.clone()).tell(engine, now)),
            Kind::DaemonSet => {
                self.daemonsets.values().for_each(|one| Told::DaemonSet(one.clone()).tell(engine, now));
            }
            Kind::Node => self.nodes.values().for_each(|one| Told::Node(one.clone()).tell(engine, now)),
            Kind::Revision => {
                self.revisions.values().for_each(|one| Told::Revision(one.clone()).tell(engine, now))
            }
        }
        engine.observe(Fact::RelistEnded { kind, resource_version: self.version }, now);
    }

    /// The image that a pod was made from, by the revision that its hash names.
    pub fn image(&self, pod: &Pod) -> String {
        let hash = pod.label(HASH_LABEL).unwrap_or_default();
        let has_it =
            |one: &&RevisionFact| one.labels.iter().any(|(key, value)| key == HASH_LABEL && value == hash);
        let made_from = self.revisions.values().find(has_it);
        let data = made_from.map(|one| String::from_utf8_lossy(&one.data).into_owned()).unwrap_or_default();
        let image = data.split("\"image\":\"").nth(1).and_then(|rest| rest.split('"').next());
        image.unwrap_or_default().to_owned()
    }

    pub fn bump(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub fn new_uid(&mut self) -> Uid {
        self.next_uid += 1;
        Uid(self.next_uid)
    }

    pub fn set_node(&mut self, node: Node) {
        self.bump();
        self.nodes.insert(node.name.clone(), node.clone());
        self.told.push_back(Told::Node(node));
    }

    pub fn remove_node(&mut self, name: &str) {
        if self.nodes.remove(name).is_some() {
            self.bump();
            self.told.push_back(Told::NodeGone(name.to_owned()));
        }
    }

    /// Changes a DaemonSet; `spec` says whether its generation rises.
    pub fn change_daemonset(&mut self, uid: Uid, spec: bool, change: impl FnOnce(&mut DaemonSetFact)) {
        let version = self.bump();
        let Some(daemonset) = self.daemonsets.get_mut(&uid) else { return };
        let template = daemonset.template.clone();
        change(daemonset);
        daemonset.resource_version = version;
        daemonset.generation += i64::from(spec);
        if *daemonset.template != *template {
            let generation = daemonset.template_generation.unwrap_or(0) + 1;
            daemonset.template_generation = Some(generation);
        }
        self.told.push_back(Told::DaemonSet(daemonset.clone()));
    }

    pub fn add_daemonset(&mut self, mut fact: DaemonSetFact) -> Uid {
        fact.resource_version = self.bump();
        let uid = fact.uid;
        self.daemonsets.insert(uid, fact.clone());
        self.told.push_back(Told::DaemonSet(fact));
        uid
    }

    pub fn remove_daemonset(&mut self, uid: Uid) {
        if self.daemonsets.remove(&uid).is_some() {
            self.bump();
            self.told.push_back(Told::DaemonSetGone(uid));
        }
    }

    pub fn change_pod(&mut self, uid: Uid, change: impl FnOnce(&mut Pod)) {
        let version = self.bump();
        let Some(pod) = self.pods.get_mut(&uid) else { return };
        change(pod);
        pod.resource_version = version;
        self.told.push_back(Told::Pod(pod.clone()));
    }

    pub fn add_pod(&mut self, mut pod: Pod) -> Uid {
        pod.resource_version = self.bump();
        pod.labels.sort();
        let uid = pod.uid;
        self.pods.insert(uid, pod.clone());
        self.told.push_back(Told::Pod(pod));
        uid
    }

    pub fn remove_pod(&mut self, uid: Uid) {
        if self.pods.remove(&uid).is_some() {
            let version = self.bump();
            self.told.push_back(Told::PodGone(uid, version));
        }
    }

    pub fn put_revision(&mut self, mut fact: RevisionFact) -> RevisionFact {
        fact.resource_version = self.bump();
        self.revisions.insert(fact.uid, fact.clone());
        self.told.push_back(Told::Revision(fact.clone()));
        fact
    }

    pub fn remove_revision(&mut self, uid: Uid) {
        if self.revisions.remove(&uid).is_some() {
            self.bump();
            self.told.push_back(Told::RevisionGone(uid));
        }
    }

    /// Carries a write out.
    pub fn carry_out(&mut self, daemonset: &DaemonSetRef, work: &Work, now: Time) -> Outcome {
        match work {
            Work::CreatePod(_) => self.create_pod(daemonset, work, now),
            Work::DeletePod(pod) => self.delete_pod(pod.uid),
            Work::DeletePodAsKnown { pod, resource_version } => {
                match self.pods.get(&pod.uid).is_some_and(|one| one.resource_version != *resource_version) {
                    true => refused("it has changed"),
                    false => self.delete_pod(pod.uid),
                }
            }
            Work::AdoptPod(pod) => match self.daemonsets.get(&daemonset.uid).map(|one| one.deleting) {
                Some(false) if self.pods.contains_key(&pod.uid) => {
                    self.change_pod(pod.uid, |one| one.controller = PodController::DaemonSet(daemonset.uid));
                    Outcome::PodPatched { resource_version: self.version }
                }
                Some(false) => Outcome::Gone,
                _ => refused("the DaemonSet is being deleted"),
            },
            Work::ReleasePod(pod) if self.pods.contains_key(&pod.uid) => {
                self.change_pod(pod.uid, |one| one.controller = PodController::Nobody);
                Outcome::Done
            }
            Work::LabelPod { pod, resource_version, .. }
                if self.pods.get(&pod.uid).is_some_and(|one| one.resource_version != *resource_version) =>
            {
                refused("the object has been modified")
            }
            Work::LabelPod { pod, hash, .. } if self.pods.contains_key(&pod.uid) => {
                self.change_pod(pod.uid, |one| one.set_label(HASH_LABEL, hash));
                Outcome::PodPatched { resource_version: self.version }
            }
            Work::ReleasePod(_) | Work::LabelPod { .. } => Outcome::Gone,
            Work::WriteStatus { status } => {
                if !self.daemonsets.contains_key(&daemonset.uid) {
                    return Outcome::Gone;
                }
                let status = *status;
                self.change_daemonset(daemonset.uid, false, |one| {
                    one.status =
                        everynode_engine::Status { collision_count: one.status.collision_count, ..status };
                });
                Outcome::StatusWritten { resource_version: self.version }
            }
            Work::BumpCollisionCount { expected, next } => {
                match self.daemonsets.get(&daemonset.uid).map(|one| one.status.collision_count) {
                    Some(count) if count == *expected => {
                        self.change_daemonset(daemonset.uid, false, |one| {
                            one.status.collision_count = Some(*next)
                        });
                        Outcome::CollisionCount { count: *next, resource_version: self.version }
                    }
                    _ => refused("the collision count is another one"),
                }
            }
            Work::RewriteTemplate { data, resource_version } => {
                self.rewrite_template(daemonset.uid, data, *resource_version)
            }
            Work::RecordEvent(_) | Work::Relist(_) => Outcome::Done,
            _ => self.write_revision(daemonset, work),
        }
    }

    fn rewrite_template(&mut self, uid: Uid, data: &[u8], resource_version: u64) -> Outcome {
        let Some(daemonset) = self.daemonsets.get(&uid) else { return Outcome::Gone };
        if daemonset.resource_version != resource_version {
            let message = "the object has been modified".to_owned();
            return Outcome::Failed { failure: Failure::Conflict, message };
        }
        if self.protects_templates {
            let message = "daemonsets.apps \"ds\" is forbidden".to_owned();
            return Outcome::Failed { failure: Failure::Forbidden, message };
        }
        let mut data: Value = serde_json::from_slice(data).unwrap_or_default();
        let mut template = data["spec"]["template"].take();
        template.as_object_mut().and_then(|template| template.remove("$patch"));
        self.change_daemonset(uid, true, |one| one.template = Arc::new(Template::new(template)));
        Outcome::Done
    }

    fn create_pod(&mut self, daemonset: &DaemonSetRef, work: &Work, now: Time) -> Outcome {
        let Work::CreatePod(new) = work else { return refused("no pod") };
        if self.creations_left == Some(0) {
            return refused("quota exceeded");
        }
        if self.refusing.iter().any(|node| **node == *new.node) {
            return refused("denied by a webhook");
        }
        let known = |one: &&Pod| {
            one.namespace == daemonset.namespace && Some(one.name.as_str()) == new.name.as_deref()
        };
        if let Some(known) = self.pods.values().find(known) {
            return match known.controller == PodController::DaemonSet(daemonset.uid) && !known.deleting {
                true => Outcome::PodCreated {
                    name: known.name.clone(),
                    uid: known.uid,
                    resource_version: known.resource_version,
                },
                false => Outcome::Failed {
                    failure: Failure::AlreadyExists,
                    message: format!("pod {} exists already", known.name),
                },
            };
        }
        self.creations_left = self.creations_left.map(|left| left - 1);
        let image = &new.template.value()["spec"]["containers"][0]["image"];
        self.images_made.push(image.as_str().unwrap_or_default().to_owned());
        let uid = self.new_uid();
        let mut labels = new.template.labels().to_vec();
        labels.push((HASH_LABEL.to_owned(), new.hash.to_string()));
        labels.extend(new.template_generation.map(|one| (GENERATION_LABEL.to_owned(), one.to_string())));
        let random_name = || format!("{}-{:05}", daemonset.name, uid.0);
        let name = new.name.as_ref().map_or_else(random_name, |name| name.to_string());
        self.add_pod(Pod {
            namespace: daemonset.namespace.clone(),
            name: name.clone(),
            uid,
            resource_version: 0,
            labels,
            controller: PodController::DaemonSet(daemonset.uid),
            node: Some(new.node.to_string()),
            bound: false,
            phase: Phase::Pending,
            ready: false,
            ready_since: None,
            deleting: false,
            created: Time(now.0 / 1000 * 1000),
            trouble: None,
            restarts: 0,
            is_oom: false,
            started: None,
        });
        Outcome::PodCreated { name, uid, resource_version: self.version }
    }

    /// As the API server: pods that are not bound or have ended go at once, others become terminating.
    fn delete_pod(&mut self, uid: Uid) -> Outcome {
        let Some(pod) = self.pods.get(&uid) else { return Outcome::Gone };
        if self.graceful && pod.bound && !pod.phase.is_terminal() {
            self.change_pod(uid, |pod| pod.deleting = true);
        } else {
            self.remove_pod(uid);
        }
        Outcome::Done
    }

    fn write_revision(&mut self, daemonset: &DaemonSetRef, work: &Work) -> Outcome {
        let known = |uid: &Uid| self.revisions.get(uid).cloned();
        match work {
            Work::CreateRevision(new) => {
                let mut same = self.revisions.values().filter(|one| one.namespace == daemonset.namespace);
                if let Some(taken) = same.find(|one| one.name == new.name) {
                    return Outcome::RevisionExists(Box::new(taken.clone()));
                }
                let fact = RevisionFact {
                    namespace: daemonset.namespace.clone(),
                    name: new.name.clone(),
                    uid: self.new_uid(),
                    resource_version: 0,
                    labels: new.labels.clone(),
                    controller: PodController::DaemonSet(daemonset.uid),
                    deleting: false,
                    revision: new.revision,
                    data: new.data.to_vec().into_boxed_slice(),
                };
                Outcome::Revision(Box::new(self.put_revision(fact)))
            }
            Work::UpdateRevision { revision, number, hash } => {
                let Some(mut fact) = known(&revision.uid) else { return Outcome::Gone };
                if fact.resource_version != revision.resource_version {
                    return refused("the object has been modified");
                }
                fact.revision = number.unwrap_or(fact.revision);
                fact.labels.extend(hash.clone().map(|hash| (HASH_LABEL.to_owned(), hash)));
                Outcome::Revision(Box::new(self.put_revision(fact)))
            }
            Work::AdoptRevision(revision) | Work::ReleaseRevision(revision) => {
                let Some(mut fact) = known(&revision.uid) else { return Outcome::Gone };
                if self.frozen.contains(&revision.uid) {
                    self.refused_claims += 1;
                    return refused("field is immutable");
                }
                let adopt = matches!(work, Work::AdoptRevision(_));
                fact.controller =
                    if adopt { PodController::DaemonSet(daemonset.uid) } else { PodController::Nobody };
                Outcome::Revision(Box::new(self.put_revision(fact)))
            }
            Work::DeleteRevision(revision) => {
                if !self.revisions.contains_key(&revision.uid) {
                    return Outcome::Gone;
                }
                self.remove_revision(revision.uid);
                Outcome::Done
            }
            _ => refused("no such write"),
        }
    }
}

pub fn refused(message: &str) -> Outcome {
    Outcome::Failed { failure: Failure::Refused, message: message.to_owned() }
}

/// A DaemonSet `ds` in namespace `default` that selects `app=ds`, as the API server serves it.
pub fn daemonset(uid: Uid, name: &str, change: impl FnOnce(&mut Value)) -> DaemonSetFact {
    let mut object = json!({
        "metadata": {
            "namespace": "default", "name": name, "uid": uid.to_string(), "generation": 1,
            "annotations": {"deprecated.daemonset.template.generation": "1"},
        },
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "revisionHistoryLimit": 10,
        },
        "status": {},
    });
    change(&mut object);
    match DaemonSetFact::from_json(&object) {
        Some(fact) => fact,
        None => panic!("not a proper DaemonSet: {object}"),
    }
}

/// A JSON merge patch.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        match value {
            Value::Null => drop(target.as_object_mut().and_then(|target| target.remove(key))),
            value => merge(&mut target[key], value),
        }
    }
}

/// The template with another image.
pub fn with_image(template: &Template, image: &str) -> Arc<Template> {
    let mut value = template.value().clone();
    value["spec"]["containers"][0]["image"] = image.into();
    Arc::new(Template::new(value))
}

/// An engine and a cluster that carries out what it asks at once.
pub struct Cluster {
    pub engine: Engine,
    pub objects: Objects,
    pub now: Time,
    pub events: Vec<(&'static str, String)>,
    pub creates: usize,
    pub deletes: usize,
    pub statuses: usize,
    pub policies: Vec<Value>,
}

impl Cluster {
    /// An empty cluster with a number of plain nodes.
    pub fn new(nodes: usize) -> Self {
        let mut cluster = Cluster {
            engine: Engine::new(Limits::default()),
            objects: Objects { next_uid: 1000, ..Objects::default() },
            now: Time::from_seconds(1_000_000),
            events: Vec::new(),
            creates: 0,
            deletes: 0,
            statuses: 0,
            policies: Vec::new(),
        };
        for kind in [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision] {
            cluster.engine.observe(Fact::RelistBegun(kind), cluster.now);
            cluster.engine.observe(Fact::RelistEnded { kind, resource_version: 0 }, cluster.now);
        }
        for index in 0..nodes {
            cluster.objects.set_node(plain_node(index));
        }
        cluster
    }

    /// Adds a DaemonSet.
    pub fn add(&mut self, name: &str, change: impl FnOnce(&mut Value)) -> Uid {
        let uid = self.objects.new_uid();
        self.objects.add_daemonset(daemonset(uid, name, change))
    }

    /// Tells what the watches have to tell.
    pub fn tell(&mut self) {
        while let Some(told) = self.objects.told.pop_front() {
            told.tell(&mut self.engine, self.now);
        }
    }

    /// Lets the engine decide once and carries out what it asks; how much that was.
    pub fn step(&mut self) -> usize {
        self.tell();
        let actions = self.engine.decide(self.now);
        let count = actions.len();
        for action in actions {
            self.count(&action);
            let outcome = match &action.work {
                Work::WritePolicyStatus { policy, status } => self.write_policy_status(&policy.name, status),
                work => self.objects.carry_out(&action.daemonset, work, self.now),
            };
            self.engine.observe(Fact::Finished { id: action.id, outcome }, self.now);
            if let Work::Relist(kind) = action.work {
                self.objects.list(kind, &mut self.engine, self.now);
            }
        }
        count
    }

    /// Adds or replaces a policy, or changes it.
    pub fn set_policy(&mut self, name: &str, spec: Value) {
        let uid = self.objects.new_uid();
        self.policies.retain(|one| one["metadata"]["name"] != *name);
        self.policies.push(json!({
            "metadata": {"name": name, "namespace": "default", "uid": uid.to_string(), "generation": 1},
            "spec": spec,
        }));
        self.tell_policies();
    }

    /// Tells the engine all policies.
    pub fn tell_policies(&mut self) {
        let policies = self.policies.iter().filter_map(PolicyFact::from_json).collect();
        self.engine.observe(Fact::Policies(policies), self.now);
    }

    fn write_policy_status(&mut self, name: &str, status: &Value) -> Outcome {
        let Some(policy) = self.policies.iter_mut().find(|one| one["metadata"]["name"] == *name) else {
            return Outcome::Gone;
        };
        merge(&mut policy["status"], status);
        self.tell_policies();
        Outcome::Done
    }

    fn count(&mut self, action: &Action) {
        match &action.work {
            Work::CreatePod(_) => self.creates += 1,
            Work::DeletePod(_) | Work::DeletePodAsKnown { .. } => self.deletes += 1,
            Work::WriteStatus { .. } => self.statuses += 1,
            Work::RecordEvent(event) => self.events.push((event.reason, event.message.clone())),
            _ => {}
        }
    }

    /// Steps at one moment until nothing is asked for any more.
    pub fn settle_now(&mut self) {
        for _ in 0..10_000 {
            if self.step() == 0 && self.objects.told.is_empty() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Steps until nothing is asked for, letting a second pass each time so that retries and status writes come due.
    pub fn settle(&mut self) {
        for _ in 0..5 {
            self.settle_now();
            self.now = self.now.plus_millis(1000);
        }
        self.settle_now();
    }

    /// Settles, and returns the numbers of creations and deletions that it took.
    pub fn run(&mut self) -> (usize, usize) {
        let before = (self.creates, self.deletes);
        self.settle();
        (self.creates - before.0, self.deletes - before.1)
    }

    /// As a kubelet: every pod that is not terminating is bound, running and ready.
    pub fn make_ready(&mut self) {
        let now = Time(self.now.0 / 1000 * 1000);
        let waiting =
            self.objects.pods.values().filter(|pod| !pod.ready && !pod.deleting && !pod.phase.is_terminal());
        for uid in waiting.map(|pod| pod.uid).collect::<Vec<_>>() {
            self.objects.change_pod(uid, |pod| {
                (pod.bound, pod.phase, pod.ready, pod.ready_since) = (true, Phase::Running, true, Some(now));
            });
        }
    }

    /// Adds a pod of a DaemonSet `ds`, made from its first template and bound to a node.
    pub fn add_pod(&mut self, owner: Uid, node: &str, change: impl FnOnce(&mut Pod)) -> Uid {
        let uid = self.objects.new_uid();
        let mut pod = Pod {
            namespace: "default".to_owned(),
            name: format!("pod-{:05}", uid.0),
            uid,
            resource_version: 0,
            labels: vec![("app".to_owned(), "ds".to_owned()), (GENERATION_LABEL.to_owned(), "1".to_owned())],
            controller: PodController::DaemonSet(owner),
            node: Some(node.to_owned()),
            bound: true,
            phase: Phase::Running,
            ready: false,
            ready_since: None,
            deleting: false,
            created: Time(self.now.0 / 1000 * 1000),
            trouble: None,
            restarts: 0,
            is_oom: false,
            started: None,
        };
        change(&mut pod);
        self.objects.add_pod(pod)
    }

    /// The DaemonSet as the cluster has it.
    pub fn daemonset(&self, uid: Uid) -> &DaemonSetFact {
        &self.objects.daemonsets[&uid]
    }
}

/// Node `n000`, `n001`, ... with a label or two.
pub fn plain_node(index: usize) -> Node {
    Node {
        name: node_name(index),
        labels: vec![("kubernetes.io/os".to_owned(), "linux".to_owned())],
        taints: Vec::new(),
        not_ready_since: None,
    }
}

pub fn node_name(index: usize) -> String {
    format!("n{index:03}")
}

/// An edit that sets the budget of a rolling update.
pub fn rolling(max_unavailable: impl Into<Value>, max_surge: impl Into<Value>) -> impl FnOnce(&mut Value) {
    let value = json!({"maxUnavailable": max_unavailable.into(), "maxSurge": max_surge.into()});
    move |object| object["spec"]["updateStrategy"]["rollingUpdate"] = value
}

/// A cluster with a saturated DaemonSet whose pods are all ready.
pub fn saturated(nodes: usize, edit: impl FnOnce(&mut Value)) -> (Cluster, Uid) {
    let mut cluster = Cluster::new(nodes);
    let uid = cluster.add("ds", edit);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    (cluster, uid)
}

/// Edits the image of the template.
pub fn change_image(cluster: &mut Cluster, uid: Uid, image: &str) {
    cluster.objects.change_daemonset(uid, true, |one| one.template = with_image(&one.template, image));
}

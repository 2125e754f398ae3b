//! What `up` shows: DaemonSets, nodes and events, kept current from watch events.
//!
//! Pure state: objects go in as JSON, a [`Snapshot`] comes out. Nothing here waits or draws.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use everynode_engine::Status;
use everynode_model::{self as model, Phase};
use serde::Deserialize;

/// How many events a snapshot keeps.
const EVENTS_KEPT: usize = 6;

/// How many reasons are named for one DaemonSet.
const REASONS_NAMED: usize = 4;

/// Everything that a view needs at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// DaemonSets by namespace and name.
    pub daemonsets: Vec<DaemonSetRow>,
    /// Nodes by name.
    pub nodes: Vec<NodeCell>,
    /// The last events, oldest first.
    pub events: Vec<EventLine>,
}

impl Snapshot {
    /// Whether `nodes` nodes are there and `ready` of them are ready, and there is a DaemonSet, and each is fully
    /// available.
    pub fn all_available(&self, nodes: usize, ready: usize) -> bool {
        let are_ready = self.nodes.iter().filter(|cell| cell.state != NodeState::NotReady).count();
        self.nodes.len() >= nodes
            && are_ready >= ready
            && !self.daemonsets.is_empty()
            && self.daemonsets.iter().all(DaemonSetRow::is_available)
    }
}

/// One DaemonSet, in the numbers of its status.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DaemonSetRow {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// Nodes that should run the daemon.
    pub desired: i64,
    /// Nodes that have at least one of its pods.
    pub current: i64,
    /// Nodes whose pod is ready.
    pub ready: i64,
    /// Nodes whose pod has the current template.
    pub up_to_date: i64,
    /// Nodes whose pod has been ready for `minReadySeconds`.
    pub available: i64,
    /// Nodes that have a pod and should not.
    pub misscheduled: i64,
    /// Why it is not fully available, most frequent reason first; empty where it is.
    pub reasons: Vec<String>,
}

impl DaemonSetRow {
    /// Whether the status is current and every eligible node runs an available pod of the current template.
    pub fn is_available(&self) -> bool {
        self.observed_generation >= self.generation
            && self.current >= self.desired
            && self.up_to_date >= self.desired
            && self.available >= self.desired
    }
}

/// State of one node in the strip of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// Ready, and all its daemon pods are.
    Available,
    /// A daemon pod is on its way.
    Progressing,
    /// A daemon pod fails: it crashes, or its image cannot be pulled.
    Failing,
    /// Ready, without any daemon pod.
    Empty,
    /// The node itself is not ready.
    NotReady,
}

/// One node in the strip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCell {
    /// Name.
    pub name: Arc<str>,
    /// Its state.
    pub state: NodeState,
}

/// One event, as a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLine {
    /// Whether it is a warning.
    pub warning: bool,
    /// Kind and name of the object, such as `DaemonSet/agent`.
    pub object: String,
    /// Reason, such as `SuccessfulCreate`.
    pub reason: String,
    /// The sentence.
    pub message: String,
}

/// The kinds that the model follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// `apps/v1` DaemonSets.
    DaemonSets,
    /// Nodes.
    Nodes,
    /// Pods.
    Pods,
    /// Core events.
    Events,
}

#[derive(Debug)]
struct PodRow {
    owner: Option<Arc<str>>,
    node: Option<Arc<str>>,
    state: PodState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PodState {
    Ready,
    Progressing(Cow<'static, str>),
    Failing(String),
}

/// The state behind the snapshots.
#[derive(Debug, Default)]
pub struct Model {
    daemonsets: BTreeMap<(String, String), (Arc<str>, DaemonSetRow)>,
    nodes: BTreeMap<Arc<str>, bool>,
    pods: HashMap<String, PodRow>,
    events: VecDeque<EventLine>,
    /// Why pods could not be created, by namespace and name of the DaemonSet; only of those in `daemonsets`.
    refusals: HashMap<(String, String), String>,
}

impl Model {
    /// Takes over one object. Objects that cannot be read are passed over: the view is not the judge of them.
    pub fn apply(&mut self, followed: Followed, object: &[u8]) {
        match followed {
            Followed::DaemonSets => self.apply_daemonset(object),
            Followed::Nodes => self.apply_node(object),
            Followed::Pods => self.apply_pod(object),
            Followed::Events => self.apply_event(object),
        }
    }

    /// Removes one object.
    pub fn delete(&mut self, followed: Followed, object: &[u8]) {
        let Ok(object) = serde_json::from_slice::<model::AnyObject<'_>>(object) else { return };
        match followed {
            Followed::DaemonSets => {
                let key = (object.metadata.namespace.to_string(), object.metadata.name.to_string());
                self.daemonsets.remove(&key);
                self.refusals.remove(&key);
            }
            Followed::Nodes => {
                self.nodes.remove(&*object.metadata.name);
            }
            Followed::Pods => {
                self.pods.remove(&*object.metadata.uid);
            }
            Followed::Events => {}
        }
    }

    /// Forgets everything of one kind, before a new list of it arrives.
    pub fn reset(&mut self, followed: Followed) {
        match followed {
            Followed::DaemonSets => self.daemonsets.clear(),
            Followed::Nodes => self.nodes.clear(),
            Followed::Pods => self.pods.clear(),
            Followed::Events => {}
        }
    }

    fn apply_daemonset(&mut self, object: &[u8]) {
        let Ok(object) = serde_json::from_slice::<DaemonSet<'_>>(object) else { return };
        let status = Status::from_json(&object.status);
        let row = DaemonSetRow {
            namespace: object.metadata.namespace.to_string(),
            name: object.metadata.name.to_string(),
            generation: object.metadata.generation,
            observed_generation: status.observed_generation,
            desired: status.desired_number_scheduled.into(),
            current: status.current_number_scheduled.into(),
            ready: status.number_ready.into(),
            up_to_date: status.updated_number_scheduled.into(),
            available: status.number_available.into(),
            misscheduled: status.number_misscheduled.into(),
            reasons: Vec::new(),
        };
        let uid = Arc::from(&*object.metadata.uid);
        self.daemonsets.insert((row.namespace.clone(), row.name.clone()), (uid, row));
    }

    fn apply_node(&mut self, object: &[u8]) {
        let Ok(object) = serde_json::from_slice::<model::Node<'_>>(object) else { return };
        let ready = object.is_ready();
        match self.nodes.get_mut(&*object.metadata.name) {
            Some(entry) => *entry = ready,
            None => {
                self.nodes.insert(Arc::from(&*object.metadata.name), ready);
            }
        }
    }

    fn apply_pod(&mut self, object: &[u8]) {
        let Ok(object) = serde_json::from_slice::<model::Pod<'_>>(object) else { return };
        let owner = object.metadata.controller().filter(|owner| owner.kind == "DaemonSet");
        let owner = owner.map(|owner| self.owner_name(&owner.uid));
        let node = object.bound_to().map(|name| self.node_name(name));
        let row = PodRow { owner, node, state: pod_state(&object) };
        match self.pods.get_mut(&*object.metadata.uid) {
            Some(entry) => *entry = row,
            None => {
                self.pods.insert(object.metadata.uid.to_string(), row);
            }
        }
    }

    fn apply_event(&mut self, object: &[u8]) {
        let Ok(object) = serde_json::from_slice::<Event<'_>>(object) else { return };
        if object.reason == "FailedCreate" {
            let key = (object.involved_object.namespace.to_string(), object.involved_object.name.to_string());
            if object.involved_object.kind == "DaemonSet" && self.daemonsets.contains_key(&key) {
                self.refusals.insert(key, object.message.to_string());
            }
        }
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(EventLine {
            warning: object.kind == "Warning",
            object: format!("{}/{}", object.involved_object.kind, object.involved_object.name),
            reason: object.reason.into_owned(),
            message: object.message.into_owned(),
        });
    }

    fn owner_name(&self, uid: &str) -> Arc<str> {
        let known = self.daemonsets.values().find(|(known, _)| known.as_ref() == uid);
        known.map_or_else(|| Arc::from(uid), |(known, _)| known.clone())
    }

    fn node_name(&self, name: &str) -> Arc<str> {
        self.nodes.get_key_value(name).map_or_else(|| Arc::from(name), |(name, _)| name.clone())
    }

    /// The present state. Costs one pass over the pods.
    pub fn snapshot(&self) -> Snapshot {
        let mut worst: HashMap<&str, NodeState> = HashMap::new();
        let mut reasons: HashMap<&str, BTreeMap<String, (usize, &str)>> = HashMap::new();
        for pod in self.pods.values() {
            let Some(owner) = &pod.owner else { continue };
            let (state, reason) = match &pod.state {
                PodState::Ready => (NodeState::Available, None),
                PodState::Progressing(reason) => (NodeState::Progressing, Some(reason.to_string())),
                PodState::Failing(reason) => (NodeState::Failing, Some(reason.clone())),
            };
            let node = pod.node.as_deref().unwrap_or_default();
            let entry = worst.entry(node).or_insert(state);
            *entry = (*entry).max(state);
            if let Some(reason) = reason {
                reasons.entry(owner).or_default().entry(reason).or_insert((0, node)).0 += 1;
            }
        }
        Snapshot {
            daemonsets: self
                .daemonsets
                .iter()
                .map(|(key, (uid, row))| with_reasons(row, reasons.get(uid.as_ref()), self.refusals.get(key)))
                .collect(),
            nodes: self
                .nodes
                .iter()
                .map(|(name, ready)| cell(name, *ready, worst.get(name.as_ref())))
                .collect(),
            events: self.events.iter().cloned().collect(),
        }
    }
}

fn cell(name: &Arc<str>, ready: bool, worst: Option<&NodeState>) -> NodeCell {
    let state = match (ready, worst) {
        (false, _) => NodeState::NotReady,
        (true, Some(state)) => *state,
        (true, None) => NodeState::Empty,
    };
    NodeCell { name: name.clone(), state }
}

fn with_reasons(
    row: &DaemonSetRow,
    pods: Option<&BTreeMap<String, (usize, &str)>>,
    refusal: Option<&String>,
) -> DaemonSetRow {
    let mut row = row.clone();
    if row.is_available() {
        return row;
    }
    if row.observed_generation < row.generation {
        row.reasons.push("the controller has not seen the latest change yet".into());
    }
    let mut counted: Vec<_> = pods.into_iter().flatten().collect();
    counted.sort_by_key(|(reason, (count, _))| (std::cmp::Reverse(*count), reason.as_str()));
    for (reason, (count, node)) in counted.into_iter().take(REASONS_NAMED) {
        let place = if node.is_empty() { String::new() } else { format!(", for example on {node}") };
        row.reasons.push(format!("{count} {}: {reason}{place}", if *count == 1 { "pod" } else { "pods" }));
    }
    if row.current < row.desired {
        let missing = row.desired - row.current;
        let nodes = if missing == 1 { "node has" } else { "nodes have" };
        let why = refusal.map_or_else(String::new, |message| format!(": {message}"));
        row.reasons.push(format!("{missing} {nodes} no pod yet{why}"));
    } else if row.up_to_date < row.desired {
        row.reasons.push(format!("{} pods have an older template", row.desired - row.up_to_date));
    }
    row
}

#[derive(Deserialize)]
struct DaemonSet<'a> {
    #[serde(borrow)]
    metadata: model::Metadata<'a>,
    #[serde(default)]
    status: serde_json::Value,
}

fn pod_state(pod: &model::Pod<'_>) -> PodState {
    let status = &pod.status;
    if pod.is_terminating() {
        return PodState::Progressing("terminating".into());
    }
    if pod.is_ready() {
        return PodState::Ready;
    }
    if pod.phase().is_terminal() {
        return PodState::Failing(format!("phase {}", &*status.phase));
    }
    if let Some(reason) = pod.waiting_reason() {
        return PodState::Failing(reason);
    }
    if let Some(scheduled) = status.conditions.scheduled.as_ref().filter(|one| one.status == "False") {
        return PodState::Failing(format!("{}: {}", &*scheduled.reason, &*scheduled.message));
    }
    match (pod.phase(), pod.bound_to()) {
        (Phase::Running, _) => PodState::Progressing("running, not ready".into()),
        (_, Some(_)) => PodState::Progressing("starting".into()),
        (_, None) => PodState::Progressing("waiting for its node".into()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    reason: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    involved_object: InvolvedObject<'a>,
}

#[derive(Deserialize)]
struct InvolvedObject<'a> {
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn apply(model: &mut Model, followed: Followed, object: serde_json::Value) {
        model.apply(followed, object.to_string().as_bytes());
    }

    fn fleet() -> Model {
        let mut model = Model::default();
        apply(
            &mut model,
            Followed::DaemonSets,
            json!({"metadata": {"name": "agent", "namespace": "n", "uid": "d", "generation": 2},
                   "status": {"observedGeneration": 2, "desiredNumberScheduled": 2,
                              "currentNumberScheduled": 2, "updatedNumberScheduled": 2, "numberReady": 1,
                              "numberAvailable": 1}}),
        );
        for (name, ready) in [("a", "True"), ("b", "True"), ("c", "False"), ("d", "True")] {
            let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
            apply(&mut model, Followed::Nodes, json!({"metadata": {"name": name}, "status": status}));
        }
        model
    }

    fn pod(uid: &str, node: &str, status: serde_json::Value) -> serde_json::Value {
        json!({"metadata": {"name": uid, "uid": uid, "ownerReferences": [{"kind": "DaemonSet", "uid": "d", "controller": true}]},
               "spec": {"nodeName": node}, "status": status})
    }

    #[test]
    fn a_node_shows_the_worst_of_its_daemon_pods() {
        let mut model = fleet();
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let pulling = json!({"phase": "Pending", "containerStatuses": [
            {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
        apply(&mut model, Followed::Pods, pod("p1", "a", ready.clone()));
        apply(&mut model, Followed::Pods, pod("p2", "b", pulling));
        apply(&mut model, Followed::Pods, pod("p3", "b", ready));
        let states: Vec<_> = model.snapshot().nodes.iter().map(|cell| cell.state).collect();
        let expected = [NodeState::Available, NodeState::Failing, NodeState::NotReady, NodeState::Empty];
        assert_eq!(states, expected);
    }

    /// Statement A15.
    #[test]
    fn a_pod_counts_for_the_daemonset_that_controls_it() {
        let mut model = fleet();
        let mut failed = pod("p1", "a", json!({"phase": "Failed", "conditions": null}));
        failed["metadata"]["ownerReferences"][0]["controller"] = false.into();
        apply(&mut model, Followed::Pods, failed.clone());
        assert_eq!(model.snapshot().nodes[0].state, NodeState::Empty);
        failed["metadata"]["ownerReferences"][0]["controller"] = true.into();
        apply(&mut model, Followed::Pods, failed);
        assert_eq!(model.snapshot().nodes[0].state, NodeState::Failing);
    }

    #[test]
    fn a_daemonset_that_is_not_available_says_why() {
        let mut model = fleet();
        let pulling = json!({"phase": "Pending", "containerStatuses": [
            {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
        apply(&mut model, Followed::Pods, pod("p2", "b", pulling));
        let snapshot = model.snapshot();
        assert!(!snapshot.all_available(3, 3));
        assert_eq!(snapshot.daemonsets[0].reasons, ["1 pod: ImagePullBackOff, for example on b"]);
    }

    #[test]
    fn a_fleet_without_its_nodes_is_not_available_yet() {
        let mut model = fleet();
        let status = json!({"observedGeneration": 2});
        let metadata = json!({"name": "agent", "namespace": "n", "uid": "d", "generation": 2});
        apply(&mut model, Followed::DaemonSets, json!({"metadata": metadata, "status": status}));
        assert!(model.snapshot().all_available(3, 3), "nothing is desired, and the ready nodes are there");
        assert!(!model.snapshot().all_available(4, 4), "a node that is to be ready may want a pod");
        assert!(!model.snapshot().all_available(5, 3), "a node that is to come may want a pod");
    }

    #[test]
    fn a_refused_pod_is_the_reason_of_a_missing_one() {
        let mut model = fleet();
        let status =
            json!({"observedGeneration": 2, "desiredNumberScheduled": 2, "currentNumberScheduled": 0});
        let metadata = json!({"name": "agent", "namespace": "n", "uid": "d", "generation": 2});
        apply(&mut model, Followed::DaemonSets, json!({"metadata": metadata, "status": status}));
        let involved = json!({"kind": "DaemonSet", "namespace": "n", "name": "agent"});
        let event = json!({"reason": "FailedCreate", "message": "forbidden", "involvedObject": involved});
        apply(&mut model, Followed::Events, event);
        let reasons = &model.snapshot().daemonsets[0].reasons;
        assert!(reasons.contains(&"2 nodes have no pod yet: forbidden".to_owned()), "{reasons:?}");
    }

    #[test]
    fn a_deleted_object_leaves_the_snapshot() {
        let mut model = fleet();
        let object = json!({"metadata": {"name": "agent", "namespace": "n"}}).to_string();
        model.delete(Followed::DaemonSets, object.as_bytes());
        assert!(model.snapshot().daemonsets.is_empty());
    }
}

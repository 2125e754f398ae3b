//! What a model of a fleet is made of, once for all its runs.

use std::collections::HashMap;
use std::sync::Arc;

use everynode_engine::fit::{Demand, Room};
use everynode_engine::placement::{Effect, NodeView, Placement, Taint, Verdict};
use everynode_engine::policy::PolicyFact;
use everynode_engine::{DaemonSetFact, PodController, PodSelector, RevisionFact, Time, Uid};

use crate::change::Change;
use crate::fleet::Fleet;
use crate::policy::selects;
use crate::record::{Node, Pod, Quota};
use crate::spread::{Spread, whole_second};
use crate::standing::{self, Standing};

/// What is assumed about the time to come.
#[derive(Clone, Debug)]
pub struct Assumptions {
    /// From a pod's creation to Ready.
    pub start: Spread,
    /// From a pod's deletion to its end.
    pub stop: Spread,
    /// The share of new pods that never become ready, from 0 to 1.
    pub failure_rate: f64,
    /// Nodes on which something goes wrong.
    pub failing: Vec<Failing>,
    /// Waves of a policy that wait for somebody are promoted at once.
    pub promote: bool,
}

/// A node on which something goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The node.
    pub node: String,
    /// Not before its pod is updated; the new pod never becomes ready. Otherwise the node is down from the start.
    pub after_update: bool,
}

/// A node in all runs.
#[derive(Clone, Debug)]
pub struct ModelNode {
    /// metadata.name.
    pub name: String,
    /// metadata.labels.
    pub labels: Vec<(String, String)>,
    /// spec.taints: key, value, effect.
    pub taints: Vec<(String, String, Effect)>,
    /// Its kubelet is well: it starts pods and ends them.
    pub is_up: bool,
    /// Since when it does so or does not, in Unix seconds.
    pub ready_since: Option<i64>,
    /// Since when it is not ready, if it is not.
    pub not_ready_since: Option<Time>,
    /// New pods never become ready here.
    pub fails_new: bool,
    /// What keeps pods from it as the DaemonSet is before the change.
    pub standing: Option<Standing>,
    /// What the new template makes of it.
    pub verdict: Verdict,
    /// What other pods leave of it.
    pub room: Room,
    /// Other pods that a pod of higher priority can push out: priority, number, need.
    pub others: Vec<(i32, i64, Demand)>,
}

impl NodeView for ModelNode {
    fn name(&self) -> &str {
        &self.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str())
    }

    fn taints(&self) -> impl Iterator<Item = Taint<'_>> {
        self.taints.iter().map(|(key, value, effect)| Taint { key, value, effect: *effect })
    }
}

/// A pod that exists before the change.
#[derive(Clone, Debug)]
pub struct ModelPod {
    /// As recorded.
    pub pod: Pod,
    /// metadata.uid.
    pub uid: Uid,
    /// Who controls it.
    pub controller: PodController,
    /// metadata.labels.
    pub labels: Arc<[(String, String)]>,
    /// Its node, if that is known.
    pub node: Option<u32>,
    /// What it needs.
    pub demand: Arc<Demand>,
    /// It is on its way: it will become ready by itself.
    pub is_starting: bool,
}

/// A fleet and a change of one of its DaemonSets.
#[derive(Clone, Debug)]
pub struct Model {
    /// When the runs begin.
    pub begin: Time,
    /// The nodes, by name.
    pub nodes: Vec<ModelNode>,
    /// Where to find them.
    pub node_by_name: HashMap<String, u32>,
    /// The pods of the DaemonSet, and those that it could adopt.
    pub pods: Vec<ModelPod>,
    /// The DaemonSet after the change.
    pub daemonset: DaemonSetFact,
    /// Its template is that from before the change.
    pub is_unchanged: bool,
    /// Its revisions.
    pub revisions: Vec<RevisionFact>,
    /// What a pod of the new template needs.
    pub demand: Arc<Demand>,
    /// The priority of new pods, and whether they may push others out.
    pub priority: i32,
    /// New pods may push pods of lower priority out.
    pub preempts: bool,
    /// Why the API server makes no pod of the new template at all.
    pub refusal: Option<String>,
    /// Quotas that count new pods.
    pub quotas: Vec<Quota>,
    /// The roll-out policies that select the DaemonSet.
    pub policies: Vec<PolicyFact>,
    /// What is assumed.
    pub assumptions: Assumptions,
}

impl Model {
    /// Builds the model; `None` when the DaemonSet of the change has no proper name or uid.
    pub fn new(fleet: &Fleet, change: &Change, assumptions: Assumptions) -> Option<Model> {
        let daemonset = DaemonSetFact::from_json(&change.new)?;
        let template = &daemonset.template;
        let mut nodes: Vec<ModelNode> = {
            let begin = Time(fleet.taken_at_millis);
            let node = |node| model_node(node, template.placement(), &assumptions, begin);
            fleet.nodes.iter().map(node).collect()
        };
        let node_by_name: HashMap<String, u32> =
            nodes.iter().enumerate().map(|(index, node)| (node.name.clone(), index as u32)).collect();
        for taken in &fleet.taken {
            let Some(node) = node_by_name.get(&taken.node).and_then(|index| nodes.get_mut(*index as usize))
            else {
                continue;
            };
            let demand = Demand::from(&taken.need);
            node.room.add(&demand);
            node.room.add_pods(taken.pods - 1);
            node.others.push((taken.priority, taken.pods, demand));
        }
        if let Some(live) = &change.live {
            standing::mark(&mut nodes, fleet, live);
        }
        let mut model = Model {
            begin: Time(fleet.taken_at_millis),
            nodes,
            node_by_name,
            pods: Vec::new(),
            revisions: fleet.revisions.iter().filter_map(revision).collect(),
            demand: Arc::new(Demand::of_pod(&template.value()["spec"])),
            priority: 0,
            preempts: true,
            refusal: None,
            quotas: fleet.quotas.iter().filter(|one| one.namespace == daemonset.namespace).cloned().collect(),
            policies: fleet.policies.iter().filter(|one| selects(one, &daemonset)).cloned().collect(),
            is_unchanged: change.is_of_same_template(),
            daemonset,
            assumptions,
        };
        model.revisions.retain(|one| one.controller == PodController::DaemonSet(model.daemonset.uid));
        (model.priority, model.preempts) = model.new_priority(fleet);
        model.refusal = model.unknown_class(fleet);
        model.take_pods(fleet);
        Some(model)
    }

    /// The priority of pods of the new template, and whether they push others out.
    fn new_priority(&self, fleet: &Fleet) -> (i32, bool) {
        let spec = &self.daemonset.template.value()["spec"];
        let name = spec["priorityClassName"].as_str().unwrap_or_default();
        let class = match name {
            "" => fleet.classes.iter().find(|class| class.global_default),
            name => fleet.classes.iter().find(|class| class.name == name),
        };
        let never = spec["preemptionPolicy"] == "Never" || class.is_some_and(|class| class.never_preempts);
        let value = match (class, name) {
            (Some(class), _) => class.value,
            (None, "system-node-critical") => 2_000_001_000,
            (None, "system-cluster-critical") => 2_000_000_000,
            _ => 0,
        };
        (value, !never)
    }

    /// Pods are refused whose PriorityClass does not exist.
    fn unknown_class(&self, fleet: &Fleet) -> Option<String> {
        let name = self.daemonset.template.value()["spec"]["priorityClassName"].as_str().unwrap_or_default();
        let is_known = matches!(name, "" | "system-node-critical" | "system-cluster-critical")
            || fleet.classes.iter().any(|class| class.name == name);
        let is_unseen = fleet.unseen.iter().any(|unseen| unseen.what == "priorityclasses");
        (!is_known && !is_unseen).then(|| format!("there is no PriorityClass {name}"))
    }

    fn take_pods(&mut self, fleet: &Fleet) {
        let is_ours = |labels: &Pod| {
            let label = |key: &str| labels.labels.get(key).map(String::as_str);
            self.daemonset.selector.matches(label) && self.daemonset.selector != PodSelector::Everything
        };
        let uid = self.daemonset.uid.to_string();
        let longest_start = 2 * self.assumptions.start.percentile(99);
        let mut pods = Vec::new();
        for pod in &fleet.pods {
            let node = pod.node.as_ref().and_then(|node| self.node_by_name.get(node)).copied();
            let demand = Demand::from(&pod.need);
            let is_ours = pod.namespace == self.daemonset.namespace
                && (pod.daemon_set.as_ref() == Some(&uid) || pod.daemon_set.is_none() && is_ours(pod));
            let Some(pod_uid) = Uid::parse(&pod.uid).filter(|_| is_ours) else {
                let has_ended = matches!(pod.phase.as_str(), "Succeeded" | "Failed");
                if let Some(node) = node.filter(|_| pod.bound && !has_ended) {
                    self.nodes[node as usize].room.add(&demand);
                    self.nodes[node as usize].others.push((pod.priority, 1, demand));
                }
                continue;
            };
            let age = self.begin.millis_since(Time::from_seconds(pod.created));
            pods.push(ModelPod {
                uid: pod_uid,
                controller: match &pod.daemon_set {
                    Some(_) => PodController::DaemonSet(self.daemonset.uid),
                    None => PodController::Nobody,
                },
                labels: pod.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
                node,
                demand: Arc::new(demand),
                is_starting: !pod.ready
                    && pod.restarts == 0
                    && matches!(pod.phase.as_str(), "" | "Pending" | "Running")
                    && matches!(pod.waiting.as_str(), "" | "ContainerCreating" | "PodInitializing")
                    && age <= longest_start,
                pod: pod.clone(),
            });
        }
        self.pods = pods;
    }

    /// Whether new pods never become ready on a node.
    pub fn fails_new(&self, node: u32) -> bool {
        self.nodes.get(node as usize).is_some_and(|one| one.fails_new) || self.stands(node, Standing::Fails)
    }

    /// Whether pods are not bound to a node although they fit there.
    pub fn is_never_bound(&self, node: u32) -> bool {
        self.stands(node, Standing::NotScheduled) || self.stands(node, Standing::Unschedulable)
    }

    /// Whether pods go on being kept from a node in this way: what a change of the template mends is not known.
    pub fn stands(&self, node: u32, standing: Standing) -> bool {
        self.is_unchanged && self.nodes.get(node as usize).is_some_and(|one| one.standing == Some(standing))
    }

    /// How many nodes should run a pod after the change.
    pub fn desired(&self) -> usize {
        self.nodes.iter().filter(|node| node.verdict.should_run).count()
    }

    /// minReadySeconds, in milliseconds.
    pub fn min_ready_millis(&self) -> i64 {
        i64::from(self.daemonset.min_ready_seconds) * 1000
    }

    /// The time of a pod's Ready transition as the API would tell it.
    pub(crate) fn api_time(time: Time) -> Time {
        whole_second(time)
    }
}

/// For how long a node has been down that is assumed to be so from the start.
const DOWN_FOR_MILLIS: i64 = 60_000;

fn model_node(node: &Node, placement: &Placement, assumptions: &Assumptions, begin: Time) -> ModelNode {
    let taint =
        |taint: &crate::record::Taint| (taint.key.clone(), taint.value.clone(), Effect::parse(&taint.effect));
    let failing = assumptions.failing.iter().find(|one| one.node == node.name);
    let is_down = failing.is_some_and(|one| !one.after_update);
    let mut room = Room::default();
    room.set_allocatable(&node.allocatable);
    let mut result = ModelNode {
        name: node.name.clone(),
        labels: node.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        taints: node.taints.iter().map(taint).collect(),
        is_up: node.is_up() && !is_down,
        ready_since: node.ready_since,
        not_ready_since: match is_down && node.is_up() {
            true => Some(begin.plus_millis(-DOWN_FOR_MILLIS)),
            false => node.not_ready_since(begin.0.div_euclid(1000)).map(Time::from_seconds),
        },
        fails_new: failing.is_some_and(|one| one.after_update),
        standing: None,
        verdict: Verdict::AWAY,
        room,
        others: Vec::new(),
    };
    result.verdict = placement.verdict(&result);
    result
}

fn revision(revision: &crate::record::Revision) -> Option<RevisionFact> {
    Some(RevisionFact {
        namespace: revision.namespace.clone(),
        name: revision.name.clone(),
        uid: Uid::parse(&revision.uid)?,
        resource_version: 1,
        labels: revision.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        controller: PodController::DaemonSet(Uid::parse(&revision.daemon_set)?),
        deleting: false,
        revision: revision.revision,
        data: revision.data.as_bytes().into(),
    })
}

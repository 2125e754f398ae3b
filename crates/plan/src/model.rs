//! What a model of a fleet is made of, once for all its runs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use everynode_admission::{Charge, Kind, Quotas, View};
use everynode_engine::fit::{Demand, Misfit, Room, exclusion};
use everynode_engine::placement::{Effect, NodeView, Placement, Taint, Verdict};
use everynode_engine::pod_body::HASH_LABEL;
use everynode_engine::policy::PolicyFact;
use everynode_engine::{
    DaemonSetFact, DaemonSetRef, NewPod, PodController, RevisionFact, Template, Time, Uid, revision,
};
use everynode_model::{Phase, is_being_started};
use serde_json::json;

use crate::change::Change;
use crate::fleet::Fleet;
use crate::made::Made;
use crate::read::DEFAULT_SCHEDULER;
use crate::record::{Node, Pod};
use crate::spread::Spread;
use crate::standing::{self, Standing};
use crate::surroundings::Surroundings;

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
    /// spec.unschedulable.
    pub is_cordoned: bool,
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
    /// metadata.labels.
    pub labels: Arc<[(String, String)]>,
    /// Its node, if that is known.
    pub node: Option<u32>,
    /// What it needs.
    pub demand: Arc<Demand>,
    /// What it takes of quotas.
    pub charge: Arc<Charge>,
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
    /// The DaemonSet before it, as the controller has seen it.
    pub before: Option<DaemonSetFact>,
    /// Its template is that from before the change.
    pub is_unchanged: bool,
    /// Its revisions, and those that it could adopt.
    pub revisions: Vec<RevisionFact>,
    /// The objects that decide about new pods.
    pub surroundings: Surroundings,
    /// What the API server makes of a pod of the new template, or why it makes none.
    pub made: Result<Made, String>,
    /// All revisions of the namespace could be seen.
    pub sees_revisions: bool,
    /// What a pod of the new template needs, or would need if it were made.
    pub demand: Arc<Demand>,
    /// The quotas of the namespace.
    pub quotas: Quotas,
    /// Schedulers beside the default one that put pods on nodes.
    pub schedulers: BTreeSet<String>,
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
        let mut surroundings = fleet.view();
        if !surroundings.has_namespace(&daemonset.namespace) {
            let made = json!({"metadata": {"name": daemonset.namespace}});
            surroundings.insert(Kind::Namespace, made);
        }
        let mut model = Model {
            begin: Time(fleet.taken_at_millis),
            nodes,
            node_by_name,
            pods: Vec::new(),
            revisions: fleet.revisions.iter().filter_map(|one| one.fact(1)).collect(),
            quotas: Quotas::new(&surroundings.list(Kind::ResourceQuota, &daemonset.namespace)),
            surroundings,
            made: Err(String::new()),
            sees_revisions: fleet.sees("controllerrevisions"),
            demand: Arc::new(Demand::of_pod(&template.value()["spec"])),
            schedulers: fleet.schedulers.clone(),
            policies: fleet.policies.iter().filter(|one| one.selects(&daemonset)).cloned().collect(),
            is_unchanged: change.is_of_same_template(),
            before: change.live.as_ref().and_then(DaemonSetFact::from_json),
            daemonset,
            assumptions,
        };
        let own = PodController::DaemonSet(model.daemonset.uid);
        model.revisions.retain(|one| {
            one.namespace == model.daemonset.namespace
                && [own, PodController::Nobody].contains(&one.controller)
        });
        model.made = model.make(&model.current());
        if let Ok(made) = &model.made {
            model.demand = made.demand.clone();
        }
        model.take_pods(fleet);
        Some(model)
    }

    /// A pod of the template that the change brings, as the controller asks for it.
    fn current(&self) -> NewPod {
        let daemonset = &self.daemonset;
        let data = revision::data(daemonset.template.value());
        let hash = revision::hash(&data, daemonset.status.collision_count);
        self.new_pod(daemonset.template.clone(), &hash)
    }

    fn new_pod(&self, template: Arc<Template>, hash: &str) -> NewPod {
        NewPod {
            node: self.nodes.first().map_or("", |node| &node.name).into(),
            name: None,
            template,
            hash: hash.into(),
            template_generation: self.daemonset.template_generation,
        }
    }

    /// What the API server makes of a pod that the controller asks for.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn make(&self, new: &NewPod) -> Result<Made, String> {
        let DaemonSetFact { namespace, name, uid, .. } = &self.daemonset;
        let daemonset = DaemonSetRef { namespace: namespace.clone(), name: name.clone(), uid: *uid };
        Made::of(self, &daemonset, new, self.begin).map_err(|status| status.message)
    }

    /// The pods of earlier revisions, as they would be made now, by the hash that theirs carry: what they take of
    /// quotas. Without quotas nobody asks.
    fn charges(&self) -> HashMap<String, Arc<Charge>> {
        let mut charges = HashMap::new();
        for revision in self.revisions.iter().filter(|_| !self.quotas.is_empty()) {
            let hash = revision.labels.iter().find(|(key, _)| key == HASH_LABEL).map(|(_, hash)| hash);
            let template = revision::template(&revision.data).map(Template::new);
            let (Some(hash), Some(template)) = (hash, template) else { continue };
            if let Ok(made) = self.make(&self.new_pod(Arc::new(template), hash)) {
                charges.insert(hash.clone(), made.charge);
            }
        }
        charges
    }

    /// Why a pod cannot be on a node for what it asks of it.
    pub(crate) fn exclusion(&self, node: u32, placement: &Placement) -> Option<Misfit> {
        let node = self.nodes.get(node as usize)?;
        exclusion(node, node.is_cordoned, placement)
    }

    /// The scheduler of new pods, when there are none that it has put on a node.
    pub fn missing_scheduler(&self) -> Option<&str> {
        let wanted = self.made.as_ref().ok()?.scheduler.as_str();
        (!self.is_run(wanted)).then_some(wanted)
    }

    /// Somebody runs a scheduler: the default one, or one that has put a pod on a node.
    pub(crate) fn is_run(&self, scheduler: &str) -> bool {
        scheduler == DEFAULT_SCHEDULER || self.schedulers.contains(scheduler)
    }

    fn take_pods(&mut self, fleet: &Fleet) {
        let is_ours = |labels: &Pod| {
            let label = |key: &str| labels.labels.get(key);
            self.daemonset.selector.matches(label)
        };
        let uid = self.daemonset.uid.to_string();
        let charges = self.charges();
        let longest_start = 2 * self.assumptions.start.percentile(99);
        let mut pods = Vec::new();
        for pod in &fleet.pods {
            let node = pod.node.as_ref().and_then(|node| self.node_by_name.get(&**node)).copied();
            let demand = Demand::from(&*pod.need);
            let is_ours = *pod.namespace == self.daemonset.namespace
                && (pod.daemon_set.as_deref() == Some(&*uid) || pod.daemon_set.is_none() && is_ours(pod));
            let Some(pod_uid) = Uid::parse(&pod.uid).filter(|_| is_ours) else {
                if let Some(node) = node.filter(|_| pod.bound && !pod.phase().is_terminal()) {
                    self.nodes[node as usize].room.add(&demand);
                    self.nodes[node as usize].others.push((pod.priority, 1, demand));
                }
                continue;
            };
            let charge = pod.labels.get(HASH_LABEL).and_then(|hash| charges.get(hash)).cloned();
            let age = self.begin.millis_since(Time::from_seconds(pod.created));
            pods.push(ModelPod {
                uid: pod_uid,
                labels: pod.labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                node,
                charge: charge
                    .unwrap_or_else(|| Arc::new(Charge::of_requests(&demand.amounts.cpu_and_memory()))),
                demand: Arc::new(demand),
                is_starting: !pod.ready
                    && pod.restarts == 0
                    && matches!(pod.phase(), Phase::Pending | Phase::Running)
                    && (pod.waiting.is_empty() || is_being_started(&pod.waiting))
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

    /// The time of a pod's Ready transition as the API would tell it.
    pub(crate) fn api_time(time: Time) -> Time {
        time.second()
    }
}

impl View for Model {
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<serde_json::Value> {
        self.surroundings.get(kind, namespace, name)
    }

    fn list(&self, kind: Kind, namespace: &str) -> Vec<serde_json::Value> {
        self.surroundings.list(kind, namespace)
    }

    fn node_label(&self, node: &str, key: &str) -> Option<String> {
        let node = self.nodes.get(*self.node_by_name.get(node)? as usize)?;
        node.label(key).map(str::to_owned)
    }
}

/// For how long a node has been down that is assumed to be so from the start, or of which it is not known since when.
const DOWN_FOR_MILLIS: i64 = 60_000;

/// Since when a node is down that no taint calls so: the node lifecycle is about to taint it.
fn down_since(node: &Node, is_assumed: bool, begin: Time) -> Option<Time> {
    let long_ago = begin.plus_millis(-DOWN_FOR_MILLIS);
    match node.is_up() {
        true => is_assumed.then_some(long_ago),
        false => Some(node.ready_since.map_or(long_ago, Time::from_seconds)),
    }
}

fn model_node(node: &Node, placement: &Placement, assumptions: &Assumptions, begin: Time) -> ModelNode {
    let taint = |taint: &crate::record::Taint| {
        (taint.key.to_string(), taint.value.to_string(), Effect::parse(&taint.effect))
    };
    let failing = assumptions.failing.iter().find(|one| *one.node == *node.name);
    let is_down = failing.is_some_and(|one| !one.after_update);
    let mut room = Room::default();
    room.set_allocatable(&node.allocatable);
    let mut result = ModelNode {
        name: node.name.to_string(),
        labels: node.labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        taints: node.taints.iter().map(taint).collect(),
        is_up: node.is_up() && !is_down,
        ready_since: node.ready_since,
        not_ready_since: node.not_ready_since().or_else(|| down_since(node, is_down, begin)),
        is_cordoned: node.unschedulable,
        fails_new: failing.is_some_and(|one| one.after_update),
        standing: None,
        verdict: Verdict::AWAY,
        room,
        others: Vec::new(),
    };
    result.verdict = placement.verdict(&result);
    result
}

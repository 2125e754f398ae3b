//! A fleet under a policy, for the tests of policies.

use std::collections::BTreeSet;

use everynode_engine::placement::Effect;
use everynode_engine::{
    ActionId, Engine, EngineConfig, Fact, Kind, Outcome, Phase, Time, Trouble, Uid, Work,
};
use serde_json::{Value, json};

use super::{Cluster, Node, Pod, node_name, plain_node, saturated};

/// A fleet under a policy, its kubelets, and the judge of the budget.
pub struct Fleet {
    pub cluster: Cluster,
    pub uid: Uid,
    /// Nodes that were down before anything else happened.
    pub dead: BTreeSet<String>,
    /// So many nodes that are well may be without a ready pod at a time.
    pub budget: usize,
    pub worst: usize,
}

/// What an image does on a node.
#[derive(Clone, Copy, PartialEq)]
pub enum Image {
    Runs,
    CannotBePulled,
    PanicsTheKernel,
    NeverReady,
}

pub fn not_ready(index: usize, since: Time) -> Node {
    let taint = |effect| ("node.kubernetes.io/unreachable".to_owned(), String::new(), effect);
    Node {
        taints: vec![taint(Effect::NoSchedule), taint(Effect::NoExecute)],
        not_ready_since: Some(since),
        ..plain_node(index)
    }
}

impl Fleet {
    pub fn new(nodes: usize, edit: impl FnOnce(&mut Value)) -> Fleet {
        let (cluster, uid) = saturated(nodes, |object| {
            // As vendors' daemons do, so that a node that is not ready stays eligible.
            object["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
            edit(object);
        });
        Fleet { cluster, uid, dead: BTreeSet::new(), budget: usize::MAX, worst: 0 }
    }

    /// A fleet on which the DaemonSet is new.
    pub fn bare(nodes: usize, policy: Value) -> Fleet {
        let mut cluster = Cluster::new(nodes);
        cluster.set_policy("p", with_selector(policy));
        let uid = cluster.add("ds", |_| {});
        Fleet { cluster, uid, dead: BTreeSet::new(), budget: usize::MAX, worst: 0 }
    }

    pub fn with_policy(mut self, spec: Value) -> Fleet {
        self.cluster.set_policy("p", with_selector(spec));
        self
    }

    /// Nodes from this number on go dark.
    pub fn kill(&mut self, from: usize, count: usize) {
        let now = self.cluster.now;
        for index in from..from + count {
            self.cluster.objects.set_node(not_ready(index, now));
            self.dead.insert(node_name(index));
        }
        let on_dead = |pod: &&Pod| pod.node.as_ref().is_some_and(|node| self.dead.contains(node));
        let pods: Vec<Uid> = self.cluster.objects.pods.values().filter(on_dead).map(|pod| pod.uid).collect();
        for uid in pods {
            self.cluster.objects.change_pod(uid, |pod| (pod.ready, pod.ready_since) = (false, Some(now)));
        }
        self.cluster.settle();
    }

    pub fn entry(&self) -> &Value {
        &self.cluster.policies[0]["status"]["daemonSets"]["ds"]
    }

    pub fn phase(&self) -> &str {
        self.entry()["phase"].as_str().unwrap_or("none")
    }

    pub fn hash(&self) -> String {
        self.entry()["revision"].as_str().unwrap_or("none").to_owned()
    }

    /// How many pods are of an image.
    pub fn pods_with(&self, image: &str) -> usize {
        self.cluster.objects.pods.values().filter(|pod| self.cluster.objects.image(pod) == image).count()
    }

    /// One step of the controller after another, the budget checked after each; kubelets work when it rests.
    pub fn roll(&mut self, behaviour: impl Fn(&str) -> Image) {
        for _ in 0..50_000 {
            let asked = self.cluster.step();
            self.check_budget();
            if asked > 0 || !self.cluster.objects.told.is_empty() || self.work(&behaviour) {
                continue;
            }
            match self.cluster.engine.next_deadline() {
                Some(at) if at.millis_since(self.cluster.now) < 3_600_000 => {
                    self.cluster.now = self.cluster.now.max(at);
                }
                _ => return,
            }
        }
        panic!("it does not come to rest: {:#}", self.entry());
    }

    pub fn check_budget(&mut self) {
        let served: BTreeSet<&str> = self
            .cluster
            .objects
            .pods
            .values()
            .filter(|pod| pod.ready && !pod.deleting)
            .filter_map(|pod| pod.node.as_deref())
            .collect();
        let nodes = self.cluster.objects.nodes.values();
        let well = nodes.filter(|node| node.not_ready_since.is_none() && !self.dead.contains(&node.name));
        let missing = well.filter(|node| !served.contains(node.name.as_str())).count();
        self.worst = self.worst.max(missing);
        assert!(missing <= self.budget, "{missing} nodes without a ready pod: {:#}", self.entry());
    }

    /// Kubelets do what is theirs to do; whether there was anything.
    pub fn work(&mut self, behaviour: &impl Fn(&str) -> Image) -> bool {
        let mut acted = false;
        for uid in self.cluster.objects.pods.keys().copied().collect::<Vec<_>>() {
            let pod = self.cluster.objects.pods[&uid].clone();
            let Some(name) = pod.node.clone() else { continue };
            let Some(node) = self.cluster.objects.nodes.get(&name) else { continue };
            if pod.ready || node.not_ready_since.is_some() || self.dead.contains(&name) {
                continue;
            }
            let now = Time(self.cluster.now.0 / 1000 * 1000);
            match behaviour(&self.cluster.objects.image(&pod)) {
                Image::Runs => self.cluster.objects.change_pod(uid, |pod| {
                    (pod.bound, pod.phase, pod.ready, pod.ready_since) =
                        (true, Phase::Running, true, Some(now));
                }),
                Image::CannotBePulled if pod.trouble.is_none() => {
                    self.cluster.objects.change_pod(uid, |pod| {
                        (pod.bound, pod.trouble) = (true, Some(Trouble::ImagePullBackOff));
                    });
                }
                Image::PanicsTheKernel => {
                    let index: usize = name[1..].parse().unwrap();
                    self.cluster.now = self.cluster.now.plus_millis(20_000);
                    self.cluster.objects.set_node(not_ready(index, self.cluster.now));
                }
                Image::CannotBePulled | Image::NeverReady => continue,
            }
            acted = true;
        }
        acted
    }

    /// Lets the engine decide, and carries out all but what is held back.
    pub fn step_without(&mut self, held: impl Fn(&Work) -> bool) -> Vec<(ActionId, Work)> {
        self.cluster.tell();
        let mut left = Vec::new();
        for action in self.cluster.engine.decide(self.cluster.now) {
            if held(&action.work) {
                left.push((action.id, action.work));
                continue;
            }
            let outcome = match &action.work {
                Work::WritePolicyStatus { .. } | Work::RecordEvent(_) => Outcome::Done,
                work => self.cluster.objects.carry_out(&action.daemonset, work, self.cluster.now),
            };
            self.cluster.engine.observe(Fact::Finished { id: action.id, outcome }, self.cluster.now);
        }
        left
    }

    pub fn annotate(&mut self, command: &str, value: String) {
        self.cluster.policies[0]["metadata"]["annotations"] =
            json!({format!("everynode.dev/{command}"): value});
        self.cluster.tell_policies();
    }

    pub fn promote(&mut self, wave: usize) {
        self.annotate("promote", format!("{}/{wave}", self.hash()));
    }

    /// Another leader: an engine that knows only what the API server has.
    pub fn fail_over(&mut self) {
        let config = EngineConfig { waits_for_policies: true, ..EngineConfig::default() };
        self.cluster.engine = Engine::new(config);
        self.cluster.objects.told.clear();
        for kind in [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision] {
            self.cluster.objects.list(kind, &mut self.cluster.engine, self.cluster.now);
        }
        assert_eq!(self.cluster.engine.decide(self.cluster.now).len(), 0, "policies are not known yet");
        self.cluster.tell_policies();
    }
}

pub fn with_selector(mut spec: Value) -> Value {
    spec["selector"] = json!({});
    spec
}

pub fn runs(_: &str) -> Image {
    Image::Runs
}

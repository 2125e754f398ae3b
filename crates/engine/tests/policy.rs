//! Roll-outs under a policy, from the recorded incidents to what may change while one is under way.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use std::collections::BTreeSet;

use common::{Cluster, Node, change_image, merge, node_name, plain_node, rolling, saturated};
use everynode_engine::placement::Effect;
use everynode_engine::policy::PolicyFact;
use everynode_engine::{
    Engine, EngineConfig, Fact, Kind, Outcome, Phase, Scope, Strategy, Time, Trouble, Uid, Work,
};
use serde_json::{Value, json};

/// A fleet under a policy, its kubelets, and the judge of the budget.
struct Fleet {
    cluster: Cluster,
    uid: Uid,
    /// Nodes that were down before anything else happened.
    dead: BTreeSet<String>,
    /// So many nodes that are well may be without a ready pod at a time.
    budget: usize,
    worst: usize,
}

/// What an image does on a node.
#[derive(Clone, Copy, PartialEq)]
enum Image {
    Runs,
    CannotBePulled,
    PanicsTheKernel,
    NeverReady,
}

fn not_ready(index: usize, since: Time) -> Node {
    let taint = |effect| ("node.kubernetes.io/unreachable".to_owned(), String::new(), effect);
    Node {
        taints: vec![taint(Effect::NoSchedule), taint(Effect::NoExecute)],
        not_ready_since: Some(since),
        ..plain_node(index)
    }
}

impl Fleet {
    fn new(nodes: usize, edit: impl FnOnce(&mut Value)) -> Fleet {
        let (cluster, uid) = saturated(nodes, |object| {
            // As vendors' daemons do, so that a node that is not ready stays eligible.
            object["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
            edit(object);
        });
        Fleet { cluster, uid, dead: BTreeSet::new(), budget: usize::MAX, worst: 0 }
    }

    /// A fleet on which the DaemonSet is new.
    fn bare(nodes: usize, policy: Value) -> Fleet {
        let mut cluster = Cluster::new(nodes);
        cluster.set_policy("p", with_selector(policy));
        let uid = cluster.add("ds", |_| {});
        Fleet { cluster, uid, dead: BTreeSet::new(), budget: usize::MAX, worst: 0 }
    }

    fn with_policy(mut self, spec: Value) -> Fleet {
        self.cluster.set_policy("p", with_selector(spec));
        self
    }

    /// Nodes from this number on go dark.
    fn kill(&mut self, from: usize, count: usize) {
        let now = self.cluster.now;
        for index in from..from + count {
            self.cluster.objects.set_node(not_ready(index, now));
            self.dead.insert(node_name(index));
        }
        let on_dead = |pod: &&common::Pod| pod.node.as_ref().is_some_and(|node| self.dead.contains(node));
        let pods: Vec<Uid> = self.cluster.objects.pods.values().filter(on_dead).map(|pod| pod.uid).collect();
        for uid in pods {
            self.cluster.objects.change_pod(uid, |pod| (pod.ready, pod.ready_since) = (false, Some(now)));
        }
        self.cluster.settle();
    }

    fn entry(&self) -> &Value {
        &self.cluster.policies[0]["status"]["daemonSets"]["ds"]
    }

    fn phase(&self) -> &str {
        self.entry()["phase"].as_str().unwrap_or("none")
    }

    fn hash(&self) -> String {
        self.entry()["revision"].as_str().unwrap_or("none").to_owned()
    }

    /// How many pods are of an image.
    fn pods_with(&self, image: &str) -> usize {
        self.cluster.objects.pods.values().filter(|pod| self.cluster.objects.image(pod) == image).count()
    }

    /// One step of the controller after another, the budget checked after each; kubelets work when it rests.
    fn roll(&mut self, behaviour: impl Fn(&str) -> Image) {
        for _ in 0..5_000 {
            for _ in 0..10_000 {
                let asked = self.cluster.step();
                self.check_budget();
                if asked == 0 && self.cluster.objects.told.is_empty() {
                    break;
                }
            }
            if self.work(&behaviour) {
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

    fn check_budget(&mut self) {
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
    fn work(&mut self, behaviour: &impl Fn(&str) -> Image) -> bool {
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

    fn annotate(&mut self, command: &str, value: String) {
        self.cluster.policies[0]["metadata"]["annotations"] =
            json!({format!("everynode.dev/{command}"): value});
        self.cluster.tell_policies();
    }

    fn promote(&mut self, wave: usize) {
        self.annotate("promote", format!("{}/{wave}", self.hash()));
    }

    /// Another leader: an engine that knows only what the API server has.
    fn fail_over(&mut self) {
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

fn with_selector(mut spec: Value) -> Value {
    spec["selector"] = json!({});
    spec
}

fn runs(_: &str) -> Image {
    Image::Runs
}

/// NVSentinel#1764: 288 nodes, 20 of them dead, a budget of 14: nothing was ever replaced.
#[test]
fn dead_racks_neither_block_a_roll_out_nor_use_its_budget_up() {
    let mut fleet = Fleet::new(288, rolling("5%", 0)).with_policy(json!({"maxUnavailable": 14}));
    fleet.kill(100, 20);
    fleet.budget = 14;
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.pods_with("i:2"), fleet.phase(), fleet.worst), (268, "Complete", 14));
    assert_eq!(fleet.entry()["message"], "all nodes have the revision, but for 20 that are down");
    // The rack comes back, and is updated.
    (100..120).for_each(|index| fleet.cluster.objects.set_node(plain_node(index)));
    fleet.dead.clear();
    fleet.budget = usize::MAX;
    fleet.roll(runs);
    assert_eq!(fleet.pods_with("i:2"), 288);
    assert_eq!(fleet.entry()["message"], "all nodes have the revision");
}

/// The same without a policy: only the pods that serve nobody are replaced.
#[test]
fn without_a_policy_dead_racks_use_the_budget_up() {
    let mut fleet = Fleet::new(288, rolling(14, 0));
    fleet.kill(100, 20);
    fleet.cluster.policies.push(json!({}));
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!(fleet.pods_with("i:2"), 20);
}

/// kubernetes#117658: an agent that brings each node down must stop, although dead nodes must not stop a roll-out.
#[test]
fn a_revision_that_kills_nodes_halts_and_goes_back() {
    let policy = json!({"maxUnavailable": 5, "failure": {"budget": 3, "action": "Rollback"}});
    let mut fleet = Fleet::new(60, rolling(5, 0)).with_policy(policy);
    fleet.kill(50, 4);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(|image| if image == "i:2" { Image::PanicsTheKernel } else { Image::Runs });
    assert_eq!(fleet.phase(), "RolledBack");
    assert_eq!(fleet.entry()["failedNodes"][0]["reason"], "NodeNotReady");
    let lost = fleet.cluster.objects.nodes.values().filter(|node| node.not_ready_since.is_some()).count();
    assert!(lost - 4 <= 5, "{lost}");
    assert_eq!(fleet.cluster.events.iter().filter(|(reason, _)| *reason == "RolloutHalted").count(), 1);
    let template = fleet.cluster.daemonset(fleet.uid).template.value().clone();
    assert_eq!(template["spec"]["containers"][0]["image"], "i:2", "the template is the user's");
}

#[test]
fn an_image_that_cannot_be_pulled_stops_at_the_canary() {
    let waves = json!([{"name": "canary", "nodes": 2, "bakeSeconds": 60}, {"nodes": "100%"}]);
    let policy = json!({"waves": waves, "maxUnavailable": 3, "failure": {"action": "Rollback"}});
    let mut fleet = Fleet::new(20, rolling(3, 0)).with_policy(policy);
    fleet.budget = 2;
    change_image(&mut fleet.cluster, fleet.uid, "none");
    fleet.roll(|image| if image == "none" { Image::CannotBePulled } else { Image::Runs });
    assert_eq!((fleet.phase(), fleet.pods_with("i:1")), ("RolledBack", 20));
    // The next template starts afresh.
    fleet.budget = 3;
    change_image(&mut fleet.cluster, fleet.uid, "i:3");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:3")), ("Complete", 20));
}

/// kruise#1323: pods that were just replaced are not available yet, and a second update took others.
#[test]
fn two_updates_within_min_ready_seconds_keep_the_budget() {
    let edit = |object: &mut Value| {
        rolling(2, 0)(object);
        object["spec"]["minReadySeconds"] = 30.into();
    };
    let mut fleet = Fleet::new(10, edit);
    fleet.cluster.now = fleet.cluster.now.plus_millis(60_000);
    fleet.cluster.settle();
    fleet = fleet.with_policy(json!({"maxUnavailable": 2}));
    fleet.budget = 2;
    for image in ["i:2", "i:3", "i:4"] {
        change_image(&mut fleet.cluster, fleet.uid, image);
        for _ in 0..3 {
            fleet.cluster.step();
            fleet.check_budget();
            fleet.work(&runs);
        }
    }
    let replaced = 10 - fleet.pods_with("i:1");
    assert!(replaced <= 2, "{replaced} nodes were taken although none of the first was available");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:4")), ("Complete", 10));
}

#[test]
fn waves_come_one_after_the_other_and_wait_for_their_gates() {
    let waves = json!([
        {"name": "canary", "nodes": 1, "bakeSeconds": 300, "gate": "Manual"},
        {"name": "half", "nodes": "50%", "bakeSeconds": 10},
        {"name": "all", "nodes": "100%"},
    ]);
    let mut fleet = Fleet::new(10, rolling(1, 0)).with_policy(json!({"waves": waves, "maxUnavailable": 2}));
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    let begun = fleet.cluster.now;
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("WaitingForPromotion", 1));
    assert!(fleet.cluster.now.millis_since(begun) >= 300_000);
    fleet.annotate("promote", "somethingelse/1".to_owned());
    fleet.roll(runs);
    assert_eq!(fleet.pods_with("i:2"), 1, "a promotion of another revision is none");
    fleet.promote(1);
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Complete", 10));
    let said: Vec<&String> = fleet.cluster.events.iter().map(|(_, message)| message).collect();
    assert!(said.iter().any(|message| message.contains("wave 2 of 3 (half)")), "{said:?}");
}

#[test]
fn a_clock_that_is_set_makes_no_roll_out_wait_longer_or_shorter() {
    for hours in [-1, 1] {
        let waves = json!([{"nodes": 1, "bakeSeconds": 300}, {"nodes": "100%"}]);
        let policy = json!({"waves": waves, "failure": {"readyWithinSeconds": 60}});
        let mut fleet = Fleet::new(4, rolling(1, 0)).with_policy(policy);
        let set_clock = |fleet: &mut Fleet| {
            fleet.cluster.now = fleet.cluster.now.plus_millis(hours * 3_600_000);
            fleet.cluster.engine.clock_was_set(hours * 3_600_000);
        };
        change_image(&mut fleet.cluster, fleet.uid, "i:2");
        while fleet.phase() != "Baking" {
            fleet.cluster.settle_now();
            fleet.work(&runs);
            fleet.cluster.now = fleet.cluster.now.plus_millis(1_000);
        }
        set_clock(&mut fleet);
        let set_at = fleet.cluster.now;
        // What the status says of it follows soon.
        for _ in 0..3 {
            fleet.cluster.settle_now();
            fleet.cluster.now = fleet.cluster.now.plus_millis(500);
        }
        let done_at = fleet.entry()["waveDoneAt"].as_str().unwrap_or_default();
        let done_at = Time::from_seconds(everynode_wire::time::parse(done_at).unwrap());
        assert!((0..10_000).contains(&set_at.millis_since(done_at)), "{hours} hours: {done_at:?}");
        // The bake time lasts as long as it would have.
        fleet.cluster.now = set_at.plus_millis(280_000);
        fleet.cluster.settle_now();
        assert_eq!(fleet.phase(), "Baking", "{hours} hours");
        fleet.cluster.now = set_at.plus_millis(302_000);
        fleet.cluster.settle_now();
        assert_eq!(fleet.phase(), "Progressing", "{hours} hours");
        // A pod that is made now is of this roll-out, and late when it is late by the clock as it is now.
        fleet.roll(|image| if image == "i:2" { Image::NeverReady } else { Image::Runs });
        assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Halted", 2), "{hours} hours");
    }
}

#[test]
fn nodes_are_taken_in_the_order_of_labels_and_by_selectors() {
    let mut fleet = Fleet::new(6, rolling(1, 0));
    for index in 0..6 {
        let mut node = plain_node(index);
        node.labels.push(("zone".to_owned(), ["c", "a", "b"][index % 3].to_owned()));
        fleet.cluster.objects.set_node(node);
    }
    let waves =
        json!([{"nodeSelector": {"matchLabels": {"zone": "b"}}, "gate": "Manual"}, {"nodes": "100%"}]);
    fleet = fleet.with_policy(json!({"waves": waves, "order": ["zone"], "maxUnavailable": 1}));
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    let updated = |fleet: &Fleet| -> Vec<String> {
        let pods =
            fleet.cluster.objects.pods.values().filter(|pod| fleet.cluster.objects.image(pod) == "i:2");
        pods.filter_map(|pod| pod.node.clone()).collect()
    };
    assert_eq!(updated(&fleet), ["n002", "n005"]);
    fleet.promote(1);
    fleet.roll(runs);
    assert_eq!(updated(&fleet), ["n002", "n005", "n001", "n004", "n000", "n003"]);
}

#[test]
fn a_domain_has_a_bound_of_its_own() {
    let mut fleet = Fleet::new(8, rolling(1, 0));
    for index in 0..8 {
        let mut node = plain_node(index);
        node.labels.push(("rack".to_owned(), (index / 4).to_string()));
        fleet.cluster.objects.set_node(node);
    }
    let policy = json!({"maxUnavailable": 4, "domain": {"label": "rack", "maxUnavailable": 1}});
    fleet = fleet.with_policy(policy);
    fleet.budget = 2;
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.worst), ("Complete", 2));
}

#[test]
fn a_surge_keeps_its_bound_and_goes_in_waves() {
    let waves = json!([{"nodes": 2, "gate": "Manual"}, {"nodes": "100%"}]);
    let mut fleet = Fleet::new(8, rolling(0, 3)).with_policy(json!({"waves": waves}));
    fleet.budget = 0;
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.cluster.settle_now();
    assert_eq!((fleet.cluster.objects.pods.len(), fleet.pods_with("i:2")), (10, 2));
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("WaitingForPromotion", 2));
    fleet.promote(1);
    fleet.cluster.settle_now();
    assert_eq!((fleet.cluster.objects.pods.len(), fleet.pods_with("i:2")), (11, 5));
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Complete", 8));
}

#[test]
fn a_host_port_lets_no_second_pod_beside_the_first() {
    let edit = |object: &mut Value| {
        rolling(0, 2)(object);
        object["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"hostPort": 9100}]);
    };
    let mut fleet = Fleet::new(4, edit).with_policy(json!({}));
    fleet.budget = 2;
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2"), fleet.worst), ("Complete", 4, 2));
}

#[test]
fn a_paused_roll_out_replaces_nothing_and_goes_on_when_it_is_not_paused() {
    let mut fleet = Fleet::new(5, rolling(1, 0)).with_policy(json!({"paused": true}));
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.pods_with("i:2"), fleet.cluster.deletes), (0, 0));
    fleet.cluster.policies[0]["spec"]["paused"] = false.into();
    fleet.cluster.tell_policies();
    fleet.roll(runs);
    assert_eq!((fleet.pods_with("i:2"), fleet.phase()), (5, "Complete"));
}

#[test]
fn a_halted_roll_out_goes_on_when_it_is_tried_again_and_back_when_it_is_aborted() {
    let policy = json!({"failure": {"readyWithinSeconds": 60}});
    let mut fleet = Fleet::new(5, rolling(1, 0)).with_policy(policy);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(|image| if image == "i:2" { Image::NeverReady } else { Image::Runs });
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Halted", 1));
    assert_eq!(fleet.entry()["failedNodes"][0]["reason"], "NotReadyInTime");
    fleet.annotate("retry", format!("{}/1", fleet.hash()));
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Complete", 5));

    let waves = json!([{"nodes": 2, "gate": "Manual"}, {"nodes": "100%"}]);
    let mut fleet = Fleet::new(5, rolling(1, 0)).with_policy(json!({"waves": waves}));
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("WaitingForPromotion", 2));
    fleet.annotate("abort", fleet.hash());
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:1")), ("RolledBack", 5));
}

#[test]
fn nodes_that_join_get_the_last_good_revision_until_their_wave_comes() {
    let waves = json!([{"nodes": 1, "gate": "Manual"}, {"nodes": "100%"}]);
    let mut fleet = Fleet::new(4, rolling(1, 0)).with_policy(json!({"waves": waves}));
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    (4..8).for_each(|index| fleet.cluster.objects.set_node(plain_node(index)));
    fleet.roll(runs);
    assert_eq!((fleet.pods_with("i:1"), fleet.pods_with("i:2")), (7, 1));
    fleet.promote(1);
    fleet.roll(runs);
    assert_eq!(fleet.pods_with("i:2"), 8);
}

#[test]
fn a_first_roll_out_goes_in_waves_and_within_the_budget() {
    let waves = json!([{"nodes": 2, "gate": "Manual"}, {"nodes": "100%"}]);
    let policy = json!({"waves": waves, "maxUnavailable": 3, "firstRollout": "Waves"});
    let mut fleet = Fleet::bare(20, policy);
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.cluster.objects.pods.len()), ("WaitingForPromotion", 2));
    assert_eq!(fleet.entry()["waiting"], 18);
    fleet.promote(1);
    fleet.cluster.settle_now();
    let starting = fleet.cluster.objects.pods.values().filter(|pod| !pod.ready).count();
    assert_eq!(starting, 3);
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.cluster.objects.pods.len()), ("Complete", 20));
    // Many nodes that join at once are served in the same measure.
    (20..40).for_each(|index| fleet.cluster.objects.set_node(plain_node(index)));
    fleet.cluster.settle_now();
    assert_eq!(fleet.cluster.objects.pods.values().filter(|pod| !pod.ready).count(), 3);
    fleet.roll(runs);
    assert_eq!(fleet.cluster.objects.pods.len(), 40);
}

#[test]
fn a_first_roll_out_that_asks_for_no_waves_waits_for_nobody() {
    let waves = json!([{"nodes": 2, "gate": "Manual"}, {"nodes": "100%"}]);
    let mut fleet = Fleet::bare(6, json!({"waves": waves}));
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.cluster.objects.pods.len()), ("Complete", 6));
    assert_eq!(fleet.entry()["lastGoodRevision"], fleet.entry()["revision"]);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("WaitingForPromotion", 2));
}

#[test]
fn in_scope_rollouts_only_daemonsets_with_on_delete_are_conducted() {
    let mut fleet = Fleet::new(3, rolling(1, 0));
    let config = EngineConfig { scope: Scope::Rollouts, ..EngineConfig::default() };
    fleet.cluster.engine = Engine::new(config);
    for kind in [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision] {
        fleet.cluster.objects.list(kind, &mut fleet.cluster.engine, fleet.cluster.now);
    }
    fleet = fleet.with_policy(json!({}));
    let deletes = fleet.cluster.deletes;
    fleet.cluster.settle();
    let status = &fleet.cluster.policies[0]["status"];
    assert_eq!((status["phase"].as_str(), fleet.cluster.deletes), (Some("Stalled"), deletes));
    assert!(status["message"].as_str().unwrap().contains("OnDelete"), "{status}");
    let uid = fleet.uid;
    fleet.cluster.objects.change_daemonset(uid, true, |one| one.strategy = Strategy::OnDelete);
    fleet.cluster.settle();
    assert_eq!(fleet.phase(), "Complete");
}

/// A cluster whose own controller makes the pods, and an engine of scope rollouts beside it.
struct Beside {
    fleet: Fleet,
    conductor: Engine,
}

impl Beside {
    fn new(nodes: usize, policy: Value) -> Beside {
        let fleet = Fleet::new(nodes, |object| {
            object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        });
        let mut beside = Beside { conductor: conductor(&fleet), fleet };
        beside.fleet.cluster.policies.push(json!({
            "metadata": {"name": "p", "namespace": "default", "uid": Uid(7).to_string(), "generation": 1},
            "spec": with_selector(policy),
        }));
        beside.tell_policies();
        beside.roll(runs);
        beside
    }

    fn tell_policies(&mut self) {
        let policies = self.fleet.cluster.policies.iter().filter_map(PolicyFact::from_json).collect();
        self.conductor.observe(Fact::Policies(policies), self.fleet.cluster.now);
    }

    fn step(&mut self) -> usize {
        let cluster = &mut self.fleet.cluster;
        for told in &cluster.objects.told {
            told.tell(&mut self.conductor, cluster.now);
        }
        let mut asked = cluster.step();
        for action in self.conductor.decide(cluster.now) {
            asked += 1;
            let outcome = match &action.work {
                Work::WritePolicyStatus { status, .. } => {
                    merge(&mut cluster.policies[0]["status"], status);
                    Outcome::Done
                }
                Work::RecordEvent(event) => {
                    cluster.events.push((event.reason, event.message.clone()));
                    Outcome::Done
                }
                work => cluster.objects.carry_out(&action.daemonset, work, cluster.now),
            };
            self.conductor.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
        }
        asked
    }

    /// As [`Fleet::roll`], of both.
    fn roll(&mut self, behaviour: impl Fn(&str) -> Image) {
        for _ in 0..10_000 {
            if self.step() > 0 || !self.fleet.cluster.objects.told.is_empty() || self.fleet.work(&behaviour) {
                continue;
            }
            let cluster = &mut self.fleet.cluster;
            let engines = [&cluster.engine, &self.conductor];
            match engines.iter().filter_map(|engine| engine.next_deadline()).min() {
                Some(at) if at.millis_since(cluster.now) < 900_000 => cluster.now = cluster.now.max(at),
                _ => return,
            }
        }
        panic!("it does not come to rest: {:#}", self.fleet.entry());
    }

    fn message(&self) -> &str {
        self.fleet.entry()["message"].as_str().unwrap_or_default()
    }

    fn image_of_template(&self) -> String {
        let template = self.fleet.cluster.daemonset(self.fleet.uid).template.value();
        template["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
    }
}

fn conductor(fleet: &Fleet) -> Engine {
    let mut engine = Engine::new(EngineConfig { scope: Scope::Rollouts, ..EngineConfig::default() });
    for kind in [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision] {
        fleet.cluster.objects.list(kind, &mut engine, fleet.cluster.now);
    }
    engine
}

fn none_cannot_be_pulled(image: &str) -> Image {
    if image == "none" { Image::CannotBePulled } else { Image::Runs }
}

const REWRITES: &str = "rewriteTemplate";

#[test]
fn in_scope_rollouts_a_halt_writes_the_template_back_when_that_is_asked_for() {
    for (action, aborts) in [("Rollback", false), ("Pause", true)] {
        let waves = json!([{"nodes": 2, "gate": "Manual"}, {"nodes": "100%"}]);
        let failure = json!({"action": action, REWRITES: true, "budget": 2});
        let mut beside = Beside::new(8, json!({"waves": waves, "maxUnavailable": 2, "failure": failure}));
        assert_eq!((beside.fleet.phase(), beside.fleet.pods_with("i:1")), ("Complete", 8));
        let good = beside.fleet.hash();
        let image = if aborts { "i:2" } else { "none" };
        change_image(&mut beside.fleet.cluster, beside.fleet.uid, image);
        beside.roll(none_cannot_be_pulled);
        if aborts {
            assert_eq!((beside.fleet.phase(), beside.fleet.pods_with(image)), ("WaitingForPromotion", 2));
            let hash = beside.fleet.hash();
            beside.fleet.cluster.policies[0]["metadata"]["annotations"] =
                json!({"everynode.dev/abort": hash});
            beside.tell_policies();
            beside.roll(none_cannot_be_pulled);
        }
        assert_eq!((beside.fleet.phase(), beside.fleet.pods_with("i:1")), ("Complete", 8), "{action}");
        assert_eq!((beside.fleet.hash(), beside.image_of_template()), (good.clone(), "i:1".to_owned()));
        assert_eq!(beside.fleet.entry()["lastGoodRevision"], good);
        let count =
            |reason: &str| beside.fleet.cluster.events.iter().filter(|(one, _)| *one == reason).count();
        assert_eq!((count("RolloutHalted"), count("TemplateRewritten")), (1, 1));
        // Only what had the bad revision was touched: two nodes, twice.
        assert_eq!(beside.fleet.cluster.objects.pods.values().filter(|pod| pod.created > BEGIN).count(), 2);
    }
}

/// Nothing of the first roll-out is later.
const BEGIN: Time = Time::from_seconds(1_000_000);

#[test]
fn the_way_back_is_neither_halted_nor_taken_back() {
    let failure = json!({"action": "Rollback", REWRITES: true, "readyWithinSeconds": 60});
    let mut beside = Beside::new(6, json!({"maxUnavailable": 1, "failure": failure}));
    change_image(&mut beside.fleet.cluster, beside.fleet.uid, "none");
    // The old image cannot be had either by now.
    beside.roll(|_| Image::CannotBePulled);
    assert_eq!((beside.image_of_template(), beside.fleet.pods_with("none")), ("i:1".to_owned(), 0));
    assert_ne!(beside.fleet.phase(), "Halted", "{}", beside.message());
    let ready = beside.fleet.cluster.objects.pods.values().filter(|pod| pod.ready).count();
    assert_eq!(ready, 5);
}

#[test]
fn what_somebody_writes_while_the_template_is_written_back_wins() {
    let failure = json!({"action": "Rollback", REWRITES: true});
    let mut beside = Beside::new(6, json!({"maxUnavailable": 1, "failure": failure}));
    change_image(&mut beside.fleet.cluster, beside.fleet.uid, "none");
    while beside.fleet.phase() != "Halted" {
        if beside.step() == 0 && !beside.fleet.work(&none_cannot_be_pulled) {
            beside.fleet.cluster.now = beside.fleet.cluster.now.plus_millis(100);
        }
        if beside.fleet.cluster.events.iter().any(|(reason, _)| *reason == "RolloutNodeFailed") {
            break;
        }
    }
    // The write is on its way, or comes later: it is for the object before this edit.
    change_image(&mut beside.fleet.cluster, beside.fleet.uid, "i:3");
    beside.roll(none_cannot_be_pulled);
    assert_eq!((beside.fleet.phase(), beside.fleet.pods_with("i:3")), ("Complete", 6));
    assert_eq!(beside.image_of_template(), "i:3");
}

#[test]
fn a_template_that_may_not_be_written_is_named_with_what_to_grant() {
    let failure = json!({"action": "Rollback", REWRITES: true});
    let mut beside = Beside::new(6, json!({"maxUnavailable": 1, "failure": failure}));
    beside.fleet.cluster.objects.protects_templates = true;
    change_image(&mut beside.fleet.cluster, beside.fleet.uid, "none");
    for _ in 0..200 {
        beside.step();
        beside.fleet.work(&none_cannot_be_pulled);
        beside.fleet.cluster.now = beside.fleet.cluster.now.plus_millis(500);
    }
    assert_eq!((beside.fleet.phase(), beside.image_of_template()), ("Halted", "none".to_owned()));
    let said = beside.message();
    assert!(said.contains("is forbidden; the role of the controller needs the verb patch"), "{said}");
    assert_eq!(said.matches("could not be written").count(), 1, "{said}");
    // Another leader goes on trying, and it is granted.
    beside.conductor = conductor(&beside.fleet);
    beside.tell_policies();
    beside.fleet.cluster.objects.protects_templates = false;
    beside.roll(none_cannot_be_pulled);
    assert_eq!((beside.fleet.phase(), beside.fleet.pods_with("i:1")), ("Complete", 6));
}

#[test]
fn a_template_is_written_back_only_where_that_is_needed_and_asked_for() {
    let mut beside = Beside::new(4, json!({"failure": {"action": "Rollback"}}));
    change_image(&mut beside.fleet.cluster, beside.fleet.uid, "none");
    beside.roll(none_cannot_be_pulled);
    assert_eq!((beside.fleet.phase(), beside.image_of_template()), ("Halted", "none".to_owned()));
    assert!(beside.message().contains("only failure.rewriteTemplate leads back"), "{}", beside.message());

    let policy = json!({"failure": {"action": "Rollback", REWRITES: true}});
    let mut fleet = Fleet::new(4, rolling(1, 0)).with_policy(policy);
    change_image(&mut fleet.cluster, fleet.uid, "none");
    fleet.roll(none_cannot_be_pulled);
    let template = fleet.cluster.daemonset(fleet.uid).template.value().clone();
    assert_eq!((fleet.phase(), &template["spec"]["containers"][0]["image"]), ("RolledBack", &json!("none")));
    let said = fleet.entry()["message"].as_str().unwrap_or_default();
    assert!(said.contains("failure.rewriteTemplate is for scope rollouts"), "{said}");
}

#[test]
fn a_first_roll_out_that_does_not_come_up_stops() {
    let policy = json!({"maxUnavailable": 3, "firstRollout": "Waves", "failure": {"budget": 2}});
    let mut fleet = Fleet::bare(20, policy);
    fleet.roll(|_| Image::CannotBePulled);
    assert_eq!((fleet.phase(), fleet.cluster.objects.pods.len()), ("Halted", 3));
}

#[test]
fn of_two_policies_none_acts_and_both_say_so() {
    let mut fleet = Fleet::new(3, rolling(1, 0)).with_policy(json!({}));
    fleet.cluster.set_policy("q", with_selector(json!({})));
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!(fleet.pods_with("i:2"), 0);
    for policy in &fleet.cluster.policies {
        assert_eq!(policy["status"]["phase"], "Conflict", "{policy:#}");
    }
    fleet.cluster.policies.pop();
    fleet.cluster.tell_policies();
    fleet.roll(runs);
    assert_eq!((fleet.pods_with("i:2"), fleet.phase()), (3, "Complete"));
}

#[test]
fn a_canary_that_fails_halts_whatever_the_failure_budget_is() {
    let waves = json!([{"nodes": 1}, {"nodes": "100%"}]);
    let policy = json!({"waves": waves, "maxUnavailable": 3, "failure": {"budget": 4}});
    let mut fleet = Fleet::new(9, rolling(1, 0)).with_policy(policy);
    change_image(&mut fleet.cluster, fleet.uid, "none");
    fleet.roll(|image| if image == "none" { Image::CannotBePulled } else { Image::Runs });
    assert_eq!((fleet.phase(), fleet.pods_with("none")), ("Halted", 1));
    assert_eq!(fleet.entry()["message"], "no node of wave 1 came up: n000 (ImagePullBackOff)");
}

#[test]
fn what_cannot_go_on_says_why() {
    let check = |spec: Value, message: &str| {
        let mut fleet = Fleet::new(4, rolling(1, 0)).with_policy(spec);
        change_image(&mut fleet.cluster, fleet.uid, "i:2");
        fleet.roll(runs);
        let said = fleet.entry()["message"].as_str().unwrap_or_default();
        assert_eq!(fleet.phase(), "Stalled", "{said}");
        assert!(said.contains(message), "{said}");
    };
    check(json!({"maxUnavailable": 0}), "maxUnavailable is 0");
    check(json!({"waves": [{"nodes": 2}]}), "leave 2 nodes out");
    let nothing =
        json!([{"name": "gpu", "nodeSelector": {"matchLabels": {"gpu": "yes"}}}, {"nodes": "100%"}]);
    check(json!({"waves": nothing}), "wave gpu matches no further node");
}

#[test]
fn without_its_policy_a_roll_out_goes_on_as_the_daemonset_says() {
    let waves = json!([{"nodes": 1, "gate": "Manual"}, {"nodes": "100%"}]);
    let mut fleet = Fleet::new(5, rolling(1, 0)).with_policy(json!({"waves": waves}));
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!(fleet.pods_with("i:2"), 1);
    fleet.cluster.policies.clear();
    fleet.cluster.tell_policies();
    fleet.cluster.policies.push(json!({}));
    fleet.roll(runs);
    assert_eq!(fleet.pods_with("i:2"), 5);
}

#[test]
fn another_leader_goes_on_at_any_point() {
    let waves = json!([{"nodes": 2, "bakeSeconds": 30}, {"nodes": "100%"}]);
    let policy = json!({"waves": waves, "maxUnavailable": 2, "failure": {"budget": 2, "action": "Rollback"}});
    for (image, end) in [("i:2", "Complete"), ("none", "RolledBack")] {
        let behaviour = |image: &str| if image == "none" { Image::CannotBePulled } else { Image::Runs };
        let mut fleet = Fleet::new(8, rolling(2, 0)).with_policy(policy.clone());
        fleet.budget = 2;
        fleet.roll(behaviour);
        change_image(&mut fleet.cluster, fleet.uid, image);
        for step in 0..60 {
            fleet.fail_over();
            for _ in 0..step % 7 {
                fleet.cluster.step();
                fleet.check_budget();
            }
            fleet.work(&behaviour);
            fleet.cluster.now = fleet.cluster.now.plus_millis(1_000);
        }
        fleet.roll(behaviour);
        assert_eq!(fleet.phase(), end, "{:#}", fleet.entry());
    }
}

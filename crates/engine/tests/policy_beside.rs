//! Scope rollouts: roll-outs under a policy beside a controller that makes the pods.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::fleet::{Fleet, Image, runs, with_selector};
use common::{change_image, merge, rolling};
use everynode_engine::policy::PolicyFact;
use everynode_engine::{Engine, EngineConfig, Fact, Kind, Outcome, Scope, Strategy, Time, Uid, Work};
use serde_json::{Value, json};

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

#[test]
fn pods_of_an_equal_revision_are_of_the_current_template_until_the_other_controller_has_made_one_of_both() {
    let mut beside = Beside::new(4, json!({"maxUnavailable": 4}));
    let before: Vec<Uid> = beside.fleet.cluster.objects.pods.keys().copied().collect();
    let objects = &mut beside.fleet.cluster.objects;
    let mut twin = objects.revisions.values().next().unwrap().clone();
    twin.uid = objects.new_uid();
    twin.name = "twin".to_owned();
    twin.revision += 1;
    let hash = twin.labels.iter_mut().find(|(key, _)| key == "controller-revision-hash").unwrap();
    hash.1 = "twin".into();
    objects.put_revision(twin);
    // A leader that begins before the other controller has given the pods the hash of the one that stays.
    beside.conductor = conductor(&beside.fleet);
    beside.tell_policies();
    beside.roll(runs);
    let pods = |beside: &Beside| beside.fleet.cluster.objects.pods.keys().copied().collect::<Vec<Uid>>();
    assert_eq!((&before, beside.fleet.phase()), (&pods(&beside), "Complete"));
    // It looks at its revisions again with the next change, and the twin is the one that stays.
    change_image(&mut beside.fleet.cluster, beside.fleet.uid, "i:2");
    beside.roll(runs);
    assert_eq!((beside.fleet.phase(), beside.fleet.pods_with("i:2")), ("Complete", 4));
}

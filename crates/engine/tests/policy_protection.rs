//! What a policy must protect from: a leader that forgets, a first roll-out that never ended, waves that say nothing of
//! the revision, and a fleet that loses its readiness while it is rolled.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::fleet::{Fleet, Image, not_ready, runs};
use common::{change_image, node_name, plain_node, rolling};
use everynode_engine::{Phase, Time, Uid};
use everynode_testkit::number;
use serde_json::{Value, json};

impl Fleet {
    /// The pods of these nodes have not been ready for a while, and none that comes will be.
    fn break_pods(&mut self, nodes: impl Iterator<Item = usize>) {
        let since = self.cluster.now;
        self.dead.extend(nodes.map(node_name));
        let broken = self.dead.clone();
        self.lose_readiness(since, |name| broken.contains(name));
        self.cluster.now = since.plus_millis(60_000);
        self.cluster.settle();
    }

    fn lose_readiness(&mut self, since: Time, is_lost: impl Fn(&str) -> bool) {
        let pods = self.cluster.objects.pods.values();
        let lost = pods.filter(|pod| pod.node.as_deref().is_some_and(&is_lost)).map(|pod| pod.uid);
        for uid in lost.collect::<Vec<Uid>>() {
            self.cluster.objects.change_pod(uid, |pod| (pod.ready, pod.ready_since) = (false, Some(since)));
        }
    }

    fn pause(&mut self, is_paused: bool) {
        self.cluster.policies[0]["spec"]["paused"] = is_paused.into();
        self.cluster.tell_policies();
    }

    /// Until the status says what is known; it is not written more often than twice a second.
    fn settle_status(&mut self) {
        for _ in 0..2 {
            self.cluster.settle_now();
            self.cluster.now = self.cluster.now.plus_millis(600);
        }
        self.cluster.settle_now();
    }

    fn message(&self) -> &str {
        self.entry()["message"].as_str().unwrap_or_default()
    }

    /// The nodes with pods of an image.
    fn nodes_with(&self, image: &str) -> Vec<&str> {
        let pods = self.cluster.objects.pods.values();
        let mut nodes: Vec<&str> = pods
            .filter(|pod| self.cluster.objects.image(pod) == image)
            .filter_map(|pod| pod.node.as_deref())
            .collect();
        nodes.sort_unstable();
        nodes
    }
}

/// More broken nodes than a status names: the next leader takes them for what they are all the same.
#[test]
fn a_leader_that_comes_later_knows_all_nodes_that_were_broken_before() {
    for (broken, action) in [(400, "Pause"), (520, "Pause"), (520, "Rollback")] {
        let policy = json!({"maxUnavailable": 10, "failure": {"budget": 3, "action": action}});
        let mut fleet = Fleet::new(broken + 100, rolling(10, 0)).with_policy(policy);
        fleet.cluster.settle();
        fleet.break_pods(0..broken);
        change_image(&mut fleet.cluster, fleet.uid, "i:2");
        // Until all that is broken has a new pod, and some of the others; then long enough to be late.
        while fleet.pods_with("i:2") < broken + 20 {
            fleet.cluster.step();
            fleet.work(&runs);
            fleet.cluster.now = fleet.cluster.now.plus_millis(100);
        }
        fleet.pause(true);
        fleet.roll(runs);
        fleet.cluster.now = fleet.cluster.now.plus_millis(700_000);
        assert_eq!(fleet.entry()["exempt"], broken, "{action}");
        fleet.fail_over();
        fleet.pause(false);
        fleet.roll(runs);
        assert_eq!((fleet.phase(), fleet.message()), ("Complete", ALL_HAVE_IT), "{action}");
        assert_eq!((fleet.pods_with("i:2"), &fleet.entry()["failed"]), (broken + 100, &json!(0)));
    }
}

/// `EVERYNODE_BROKEN_NODES` says of how many nodes; 20,000 take six seconds in a release build.
#[test]
fn a_leader_that_comes_later_knows_thousands_of_nodes_that_were_broken_before() {
    let broken: usize = number("EVERYNODE_BROKEN_NODES", 3_000);
    let policy = json!({"maxUnavailable": 1, "failure": {"budget": 3, "action": "Rollback"}});
    let mut fleet = Fleet::new(broken + 10, rolling(1, 0)).with_policy(policy);
    fleet.cluster.settle();
    fleet.break_pods(0..broken);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    for _ in 0..3 {
        fleet.cluster.settle();
    }
    assert_eq!(fleet.entry()["exempt"], broken);
    fleet.cluster.now = fleet.cluster.now.plus_millis(700_000);
    fleet.fail_over();
    for _ in 0..3 {
        fleet.cluster.settle();
    }
    // The one node that was taken and never came up has failed; the others are known for what they were.
    assert_eq!((&fleet.entry()["failed"], &fleet.entry()["exempt"]), (&json!(1), &json!(broken)));
}

const ALL_HAVE_IT: &str = "all nodes have the revision";

/// A status that is cut, as a leader of another version or a hand may leave it, is not taken for the whole.
#[test]
fn what_a_cut_status_does_not_say_is_not_held_against_the_revision() {
    let policy = json!({"maxUnavailable": 4, "failure": {"budget": 1, "action": "Rollback"}});
    let mut fleet = Fleet::new(20, rolling(4, 0)).with_policy(policy);
    fleet.cluster.settle();
    fleet.break_pods(0..10);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.message()), ("Complete", ALL_HAVE_IT));
    change_image(&mut fleet.cluster, fleet.uid, "i:3");
    fleet.settle_status();
    let entry = &mut fleet.cluster.policies[0]["status"]["daemonSets"]["ds"];
    assert_eq!(entry["exempt"], 10);
    entry["exemptNodes"] = json!(["n000"]);
    fleet.cluster.now = fleet.cluster.now.plus_millis(700_000);
    fleet.fail_over();
    fleet.roll(runs);
    // Who is not known to have been broken counts against the budget, and nobody against the revision.
    assert_eq!((fleet.phase(), &fleet.entry()["failed"]), ("Progressing", &json!(0)), "{:#}", fleet.entry());
    fleet.dead.clear();
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:3")), ("Complete", 20), "{:#}", fleet.entry());
}

/// What the first roll-out left behind.
#[test]
fn the_second_template_has_all_of_the_policy_however_the_first_ended() {
    let waves = json!([{"name": "canary", "nodes": 1, "bakeSeconds": 60}, {"nodes": "100%"}]);
    let check = |what: &str, first: &dyn Fn(&mut Fleet)| {
        for action in ["Pause", "Rollback"] {
            let failure = json!({"budget": 3, "action": action});
            let policy = json!({"waves": waves, "maxUnavailable": 2, "failure": failure});
            let mut fleet = Fleet::bare(6, policy);
            first(&mut fleet);
            for _ in 0..20 {
                fleet.cluster.step();
                fleet.work(&runs);
            }
            assert_ne!(fleet.pods_with("i:1"), 0, "{what}");
            let bad = |image: &str| if image == "none" { Image::CannotBePulled } else { Image::Runs };
            change_image(&mut fleet.cluster, fleet.uid, "none");
            for _ in 0..30 {
                fleet.cluster.step();
                fleet.work(&bad);
                assert!(fleet.pods_with("none") <= 1, "{what}: {:#}", fleet.entry());
            }
            fleet.roll(bad);
            let end = if action == "Pause" { "Halted" } else { "RolledBack" };
            assert_eq!(fleet.phase(), end, "{what}: {:#}", fleet.entry());
        }
    };
    check("all is well", &|_| {});
    check("one node is never ready", &|fleet| fleet.dead.extend([node_name(3)]));
    check("the first node is never ready", &|fleet| fleet.dead.extend([node_name(0)]));
    check("all but one are never ready", &|fleet| fleet.dead.extend((1..6).map(node_name)));
    check("a node is down from the start", &|fleet| {
        let now = fleet.cluster.now;
        fleet.cluster.objects.set_node(not_ready(5, now));
    });
}

/// A wave of one node; where the nodes are down, cordoned or broken.
#[test]
fn a_canary_is_a_node_that_can_show_what_the_revision_is_worth() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Ill {
        Down,
        Cordoned,
        Broken,
    }
    let check = |ill: Ill, nodes: &[usize], canary: &str| {
        let waves = json!([{"name": "canary", "nodes": 1, "gate": "Manual"}, {"nodes": "100%"}]);
        let mut fleet = Fleet::new(6, rolling(1, 0)).with_policy(json!({"waves": waves}));
        fleet.cluster.settle();
        match ill {
            Ill::Broken => fleet.break_pods(nodes.iter().copied()),
            Ill::Down => nodes.iter().for_each(|&node| fleet.kill(node, 1)),
            Ill::Cordoned => {
                let taint = ("node.kubernetes.io/unschedulable".to_owned(), String::new());
                let taint = (taint.0, taint.1, everynode_engine::placement::Effect::NoSchedule);
                for &index in nodes {
                    let node = common::Node { taints: vec![taint.clone()], ..plain_node(index) };
                    fleet.cluster.objects.set_node(node);
                }
            }
        }
        change_image(&mut fleet.cluster, fleet.uid, "i:2");
        fleet.roll(runs);
        assert_eq!(fleet.phase(), "WaitingForPromotion", "{ill:?} {nodes:?}: {}", fleet.message());
        assert_eq!(fleet.nodes_with("i:2"), [canary], "{ill:?} {nodes:?}");
    };
    for ill in [Ill::Down, Ill::Cordoned, Ill::Broken] {
        check(ill, &[0], "n001");
        check(ill, &[0, 1, 2], "n003");
        check(ill, &[0, 1, 2, 3, 4], "n005");
        check(ill, &[3], "n000");
    }
}

#[test]
fn a_wave_of_which_no_node_serves_waits_and_says_so() {
    let waves = json!([{"name": "canary", "nodes": 2}, {"nodes": "100%"}]);
    let mut fleet = Fleet::new(4, rolling(1, 0)).with_policy(json!({"waves": waves}));
    fleet.cluster.settle();
    fleet.break_pods(0..4);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Stalled", 2));
    let said = "the revision serves on none of the 2 nodes of wave canary; to go on: everynode.dev/promote=";
    assert!(fleet.message().starts_with(said), "{}", fleet.message());
    fleet.promote(1);
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.message()), ("Stalled", "the revision serves on no node"));
    // The first that serves is enough.
    fleet.dead.remove("n002");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.message()), ("Complete", ALL_HAVE_IT));
}

#[test]
fn nodes_that_were_named_for_a_wave_and_are_all_down_hold_it_up() {
    let selector = json!({"matchLabels": {"kubernetes.io/hostname": "n001"}});
    let waves = json!([{"name": "named", "nodeSelector": selector}, {"nodes": "100%"}]);
    let mut fleet = Fleet::new(4, rolling(1, 0));
    for index in 0..4 {
        let mut node = plain_node(index);
        node.labels.push(("kubernetes.io/hostname".to_owned(), node_name(index)));
        fleet.cluster.objects.set_node(node);
    }
    let mut fleet = fleet.with_policy(json!({"waves": waves}));
    fleet.cluster.settle();
    fleet.kill(1, 1);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Stalled", 0), "{}", fleet.message());
    fleet.promote(1);
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Complete", 3));
}

#[test]
fn a_canary_that_goes_down_while_it_is_watched_is_not_replaced_by_the_next_node() {
    let waves = json!([{"name": "canary", "nodes": 1, "bakeSeconds": 3600}, {"nodes": "100%"}]);
    let mut fleet = Fleet::new(4, rolling(1, 0)).with_policy(json!({"waves": waves}));
    fleet.cluster.settle();
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    while fleet.phase() != "Baking" {
        fleet.cluster.settle_now();
        fleet.work(&runs);
        fleet.cluster.now = fleet.cluster.now.plus_millis(1_000);
    }
    // Too late for its going down to be laid to the revision.
    fleet.cluster.now = fleet.cluster.now.plus_millis(600_000);
    fleet.cluster.settle_now();
    fleet.kill(0, 1);
    fleet.cluster.settle_now();
    fleet.cluster.now = fleet.cluster.now.plus_millis(7_200_000);
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Stalled", 1), "{}", fleet.message());
}

/// All old pods lose their readiness while the first nodes are rolled, as when the new revision overloads what all of
/// them need.
#[test]
fn a_fleet_that_loses_its_readiness_in_the_middle_is_taken_within_the_budget() {
    for (budget, surge, with_failover) in [(1, 0, false), (3, 0, true), (2, 2, false)] {
        let unavailable = if surge > 0 { 0 } else { budget };
        let policy = json!({"maxUnavailable": budget, "failure": {"budget": 100}});
        let mut fleet = Fleet::new(12, rolling(unavailable, surge)).with_policy(policy);
        fleet.cluster.settle();
        fleet.cluster.now = fleet.cluster.now.plus_millis(60_000);
        change_image(&mut fleet.cluster, fleet.uid, "i:2");
        fleet.cluster.settle_now();
        let since = Time(fleet.cluster.now.0 / 1000 * 1000);
        fleet.lose_readiness(since, |_| true);
        // Nothing that comes is ready until all have come to rest.
        for step in 0..60 {
            fleet.cluster.settle_now();
            if with_failover && step % 10 == 9 {
                fleet.fail_over();
            }
            fleet.cluster.now = fleet.cluster.now.plus_millis(1_000);
            let starting = fleet.pods_with("i:2");
            assert!(starting <= budget, "{starting} at once, the budget is {budget}: {:#}", fleet.entry());
        }
        fleet.roll(runs);
        assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Complete", 12), "{:#}", fleet.entry());
    }
}

#[test]
fn what_was_broken_before_the_roll_out_costs_nothing() {
    let mut fleet = Fleet::new(12, rolling(1, 0)).with_policy(json!({"maxUnavailable": 1}));
    fleet.cluster.settle();
    fleet.break_pods(2..9);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.cluster.settle_now();
    let starting = fleet.cluster.objects.pods.values().filter(|pod| pod.phase == Phase::Pending).count();
    assert_eq!((fleet.pods_with("i:2"), starting), (8, 8));
    fleet.settle_status();
    let exempt: Vec<Value> = (2..9).map(|index| node_name(index).into()).collect();
    assert_eq!(fleet.entry()["exemptNodes"], json!(exempt));
}

//! Roll-outs under a policy, from the recorded incidents to what may change while one is under way.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::fleet::{Fleet, Image, runs, with_selector};
use common::{change_image, merge, plain_node, rolling};
use everynode_engine::{Time, Trouble, Uid, Work};
use serde_json::{Value, json};

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
        let done_at = Time::from_seconds(everynode_model::time::parse(done_at).unwrap());
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
    let check = |spec: Value| {
        let edit = |object: &mut Value| {
            rolling(0, 2)(object);
            let template = &mut object["spec"]["template"]["spec"];
            template["containers"][0]["ports"] = spec["ports"].clone();
            template["hostNetwork"] = spec["hostNetwork"].clone();
        };
        let mut fleet = Fleet::new(4, edit).with_policy(json!({}));
        fleet.budget = 2;
        change_image(&mut fleet.cluster, fleet.uid, "i:2");
        fleet.roll(runs);
        assert_eq!((fleet.phase(), fleet.pods_with("i:2"), fleet.worst), ("Complete", 4, 2), "{spec}");
    };
    check(json!({"ports": [{"hostPort": 9100}]}));
    // On the host's network every port of a container is the node's.
    check(json!({"ports": [{"containerPort": 9100}], "hostNetwork": true}));
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

    change_image(&mut fleet.cluster, fleet.uid, "i:3");
    fleet.roll(|image| if image == "i:3" { Image::NeverReady } else { Image::Runs });
    assert_eq!((fleet.phase(), fleet.pods_with("i:3")), ("Halted", 1));
    fleet.annotate("abort", fleet.hash());
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("RolledBack", 5));

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

#[test]
fn nodes_go_back_when_the_status_says_so_and_not_before() {
    let policy = json!({"maxUnavailable": 2, "failure": {"action": "Rollback"}});
    let mut fleet = Fleet::new(6, rolling(1, 0)).with_policy(policy);
    fleet.roll(runs);
    change_image(&mut fleet.cluster, fleet.uid, "none");
    let behaviour = |image: &str| if image == "none" { Image::CannotBePulled } else { Image::Runs };
    let is_halt = |work: &Work| match work {
        Work::WritePolicyStatus { status, .. } => status["daemonSets"]["ds"]["phase"] == "RollingBack",
        _ => false,
    };
    let mut written = Vec::new();
    for _ in 0..100 {
        if written.is_empty() {
            written = fleet.step_without(is_halt);
            fleet.work(&behaviour);
            fleet.cluster.now = fleet.cluster.now.plus_millis(100);
        }
    }
    assert_eq!((written.len(), fleet.pods_with("none")), (1, 1), "{:#}", fleet.entry());
    // It is on its way, and a leader that comes now would not know: the pods that tell of the failure stay.
    for _ in 0..50 {
        fleet.step_without(is_halt);
        fleet.cluster.now = fleet.cluster.now.plus_millis(100);
    }
    assert_eq!(fleet.pods_with("none"), 1);
    fleet.fail_over();
    fleet.roll(behaviour);
    assert_eq!((fleet.phase(), fleet.pods_with("i:1")), ("RolledBack", 6));
}

#[test]
fn another_leader_replaces_what_had_failed_before_a_retry() {
    let policy = json!({"maxUnavailable": 2, "failure": {"budget": 1}});
    let mut fleet = Fleet::new(4, rolling(1, 0)).with_policy(policy);
    fleet.roll(runs);
    change_image(&mut fleet.cluster, fleet.uid, "none");
    fleet.roll(|image| if image == "none" { Image::CannotBePulled } else { Image::Runs });
    assert_eq!((fleet.phase(), fleet.pods_with("none")), ("Halted", 2));
    fleet.cluster.now = fleet.cluster.now.plus_millis(10_000);
    fleet.annotate("retry", format!("{}/1", fleet.hash()));
    // It has said so, and dies before it does anything.
    let is_deletion = |work: &Work| matches!(work, Work::DeletePodAsKnown { .. } | Work::DeletePod(_));
    for (id, work) in
        fleet.step_without(|work| is_deletion(work) || matches!(work, Work::WritePolicyStatus { .. }))
    {
        if let Work::WritePolicyStatus { status, .. } = work {
            merge(&mut fleet.cluster.policies[0]["status"], &status);
            assert_eq!((fleet.phase(), &fleet.entry()["attempt"]), ("Progressing", &json!(1)), "{id:?}");
        }
    }
    fleet.fail_over();
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("none")), ("Complete", 4));
    assert!(fleet.cluster.objects.pods.values().all(|pod| pod.trouble.is_none()), "these were made anew");
}

#[test]
fn a_halted_roll_out_replaces_nothing_when_the_budget_has_room_again() {
    let mut fleet = Fleet::new(10, rolling(1, 0)).with_policy(json!({"maxUnavailable": 3}));
    fleet.roll(runs);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.cluster.settle_now();
    let gone: Vec<Uid> =
        fleet.cluster.objects.pods.values().filter(|pod| pod.deleting).map(|pod| pod.uid).collect();
    gone.into_iter().for_each(|uid| fleet.cluster.objects.remove_pod(uid));
    fleet.cluster.settle_now();
    let new = |fleet: &Fleet| {
        fleet.cluster.objects.pods.values().filter(|pod| !pod.ready).map(|pod| pod.uid).collect::<Vec<_>>()
    };
    let [bad, ..] = new(&fleet)[..] else { panic!("three are new: {:#}", fleet.entry()) };
    fleet.cluster.objects.change_pod(bad, |pod| pod.trouble = Some(Trouble::ErrImagePull));
    fleet.cluster.settle();
    assert_eq!((fleet.phase(), fleet.pods_with("i:2")), ("Halted", 3));
    // The two others come up, and so does the bad one in the end.
    fleet.roll(runs);
    assert_eq!((fleet.phase(), fleet.pods_with("i:2"), fleet.pods_with("i:1")), ("Halted", 3, 7));
}

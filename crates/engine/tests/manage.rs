//! Which pods are created and deleted: specification 1.C and 1.D.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, Node, node_name};
use everynode_engine::placement::Effect;
use everynode_engine::{Phase, PodController, Uid};
use serde_json::{Value, json};

fn on_delete(object: &mut Value) {
    object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
}

fn rolling(_: &mut Value) {}

fn surge(object: &mut Value) {
    object["spec"]["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": 0, "maxSurge": 1});
}

/// Runs a world under the strategies without surge: so many creations and deletions are expected.
fn check(what: &str, expected: (usize, usize), world: impl Fn(&mut Cluster, Uid)) {
    for strategy in [on_delete, rolling] {
        check_with(what, strategy, expected, &world);
    }
}

fn check_with(
    what: &str,
    edit: impl FnOnce(&mut Value),
    expected: (usize, usize),
    world: impl Fn(&mut Cluster, Uid),
) {
    let mut cluster = Cluster::new(0);
    let uid = cluster.add("ds", edit);
    world(&mut cluster, uid);
    cluster.settle_now();
    assert_eq!((cluster.creates, cluster.deletes), expected, "{what}");
}

fn nodes(cluster: &mut Cluster, count: usize) {
    (0..count).for_each(|index| cluster.objects.set_node(common::plain_node(index)));
}

fn tainted(cluster: &mut Cluster, effect: Effect) {
    let taints = vec![("key".to_owned(), String::new(), effect)];
    cluster.objects.set_node(Node { taints, ..common::plain_node(0) });
}

/// Statements D3, I5.
#[test]
fn every_node_gets_one_pod_and_then_there_is_rest() {
    for strategy in [on_delete, rolling, surge] {
        let mut cluster = Cluster::new(5);
        let uid = cluster.add("ds", strategy);
        assert_eq!(cluster.run(), (5, 0));
        cluster.make_ready();
        assert_eq!(cluster.run(), (0, 0));
        let status = cluster.daemonset(uid).status;
        assert_eq!(
            (status.desired_number_scheduled, status.number_available, status.observed_generation),
            (5, 5, 1)
        );
        assert_eq!((status.updated_number_scheduled, status.number_unavailable), (5, 0));
    }
}

#[test]
fn d8_surplus_pods_go_and_pods_that_match_nothing_are_not_touched() {
    check("TestDealsWithExistingPods", (2, 5), |cluster, uid| {
        nodes(cluster, 5);
        for (node, count) in [(1, 1), (2, 2), (3, 5)] {
            for _ in 0..count {
                cluster.add_pod(uid, &node_name(node), |_| {});
            }
        }
        for node in [1, 2] {
            cluster.add_pod(uid, &node_name(node), |pod| {
                pod.controller = PodController::Other;
            });
        }
    });
}

#[test]
fn d8_the_oldest_bound_pod_stays() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", rolling);
    let at = |seconds| everynode_engine::Time::from_seconds(seconds);
    cluster.add_pod(uid, "n000", |pod| (pod.bound, pod.created) = (false, at(1)));
    cluster.add_pod(uid, "n000", |pod| pod.created = at(3));
    let oldest = cluster.add_pod(uid, "n000", |pod| pod.created = at(2));
    cluster.settle_now();
    assert_eq!(cluster.objects.pods.keys().copied().collect::<Vec<_>>(), [oldest]);
}

/// Statements D2, D10.
#[test]
fn d3_d4_a_terminating_pod_holds_its_place_until_it_ends() {
    check("TestDaemonSetRespectsTermination", (0, 0), |cluster, uid| {
        nodes(cluster, 1);
        cluster.add_pod(uid, "n000", |pod| pod.deleting = true);
    });
    check("D2: terminating and terminal", (1, 0), |cluster, uid| {
        nodes(cluster, 1);
        cluster.add_pod(uid, "n000", |pod| (pod.deleting, pod.phase) = (true, Phase::Failed));
    });
    check_with("D10: surge creates at once", surge, (1, 0), |cluster, uid| {
        nodes(cluster, 1);
        cluster.add_pod(uid, "n000", |pod| pod.deleting = true);
    });
}

/// Statement D9.
#[test]
fn d5_ended_pods_are_deleted_and_the_next_comes_when_they_are_gone() {
    for (failed, running, expected) in [(0, 1, (0, 0)), (0, 0, (1, 0)), (1, 0, (0, 1)), (1, 3, (0, 3))] {
        let mut cluster = Cluster::new(1);
        cluster.objects.graceful = true;
        let uid = cluster.add("ds", on_delete);
        for _ in 0..failed {
            cluster.add_pod(uid, "n000", |pod| pod.phase = Phase::Failed);
        }
        for _ in 0..running {
            cluster.add_pod(uid, "n000", |_| {});
        }
        // The first decision creates the revision, the second one concerns pods; what they lead to is not told.
        for _ in 0..2 {
            cluster.step();
        }
        assert_eq!((cluster.creates, cluster.deletes), expected, "{failed} failed, {running} running");
    }
}

#[test]
fn d6_failed_pods_wait_longer_each_time() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", rolling);
    cluster.settle();
    let fail = |cluster: &mut Cluster| {
        let pod = *cluster.objects.pods.keys().next().unwrap();
        cluster.objects.change_pod(pod, |pod| (pod.phase, pod.bound) = (Phase::Failed, true));
        cluster.settle_now();
        pod
    };
    let first = fail(&mut cluster);
    assert!(!cluster.objects.pods.contains_key(&first), "the first goes at once");
    for seconds in [1, 2, 4, 8] {
        let next = fail(&mut cluster);
        cluster.now = cluster.now.plus_millis(seconds * 1000 - 1);
        cluster.settle_now();
        assert!(cluster.objects.pods.contains_key(&next), "{seconds} s are not over");
        assert_eq!(cluster.engine.next_deadline(), Some(cluster.now.plus_millis(1)));
        cluster.now = cluster.now.plus_millis(1);
        cluster.settle_now();
        assert!(!cluster.objects.pods.contains_key(&next), "{seconds} s are over");
    }
    cluster.settle();
    let told = cluster.events.iter().filter(|(reason, _)| *reason == "FailedDaemonPod").count();
    assert_eq!((told, cluster.daemonset(uid).status.current_number_scheduled), (5, 1));
}

/// Statements L1, L2.
#[test]
fn d5_a_succeeded_pod_goes_without_backoff_and_says_so() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", rolling);
    let pod =
        cluster.add_pod(uid, "n000", |pod| (pod.phase, pod.name) = (Phase::Succeeded, "done".to_owned()));
    cluster.settle_now();
    assert!(!cluster.objects.pods.contains_key(&pod));
    let message = "Found succeeded daemon pod default/done on node n000, will try to delete it";
    assert!(cluster.events.contains(&("SucceededDaemonPod", message.to_owned())), "{:?}", cluster.events);
    assert!(cluster.events.contains(&("SuccessfulDelete", "Deleted pod: done".to_owned())));
}

/// Statement D12.
#[test]
fn b7_taints_keep_away_and_evict_by_effect() {
    let with_pod = |effect| {
        move |cluster: &mut Cluster, uid| {
            tainted(cluster, effect);
            cluster.add_pod(uid, "n000", |_| {});
        }
    };
    check("NoSchedule keeps the pod", (0, 0), with_pod(Effect::NoSchedule));
    check("NoExecute evicts it", (0, 1), with_pod(Effect::NoExecute));
    check("NoSchedule keeps new ones away", (0, 0), |cluster, _| tainted(cluster, Effect::NoSchedule));
    check("PreferNoSchedule does nothing", (1, 0), |cluster, _| tainted(cluster, Effect::PreferNoSchedule));
}

/// Statements B1, B10, B11.
#[test]
fn c1_the_default_tolerations_admit_nodes_in_trouble() {
    let keys = [
        ("not-ready", Effect::NoExecute),
        ("unschedulable", Effect::NoSchedule),
        ("disk-pressure", Effect::NoSchedule),
    ];
    for (key, effect) in keys {
        check(key, (1, 0), |cluster, _| {
            let taints = vec![(format!("node.kubernetes.io/{key}"), String::new(), effect)];
            cluster.objects.set_node(Node { taints, ..common::plain_node(0) });
        });
    }
    check("B10", (0, 0), |cluster, _| {
        let taints = vec![("node.kubernetes.io/not-ready".to_owned(), String::new(), Effect::NoSchedule)];
        cluster.objects.set_node(Node { taints, ..common::plain_node(0) });
    });
}

#[test]
fn b3_pods_leave_nodes_that_the_selector_does_not_match() {
    let select =
        |object: &mut Value| object["spec"]["template"]["spec"]["nodeSelector"] = json!({"color": "blue"});
    let labelled = |cluster: &mut Cluster, blue: usize| {
        for index in 0..5 {
            let mut node = common::plain_node(index);
            node.labels.extend((index < blue).then(|| ("color".to_owned(), "blue".to_owned())));
            cluster.objects.set_node(node);
        }
    };
    check_with("TestSelectorDaemonLaunchesPods", select, (3, 0), |cluster, _| labelled(cluster, 3));
    check_with("TestSelectorDaemonDeletesUnselectedPods", select, (2, 3), |cluster, uid| {
        labelled(cluster, 2);
        for node in 2..5 {
            cluster.add_pod(uid, &node_name(node), |_| {});
        }
    });
    check_with("TestBadSelectorDaemonDoesNothing", select, (0, 0), |cluster, _| labelled(cluster, 0));
}

#[test]
fn b2_a_template_that_names_a_node_runs_there_only() {
    let name = |object: &mut Value| object["spec"]["template"]["spec"]["nodeName"] = json!("n001");
    check_with("TestNameDaemonSetLaunchesPods", name, (1, 0), |cluster, _| nodes(cluster, 3));
    check_with("TestBadNameDaemonSetDoesNothing", name, (0, 0), |cluster, _| nodes(cluster, 1));
}

#[test]
fn d13_pods_on_missing_nodes_go_only_when_they_are_not_bound() {
    check("TestDeleteUnscheduledPodForNotExistingNode", (0, 1), |cluster, uid| {
        nodes(cluster, 1);
        cluster.add_pod(uid, "n000", |pod| pod.ready = true);
        cluster.add_pod(uid, "gone", |pod| pod.bound = false);
        cluster.add_pod(uid, "gone-too", |_| {});
    });
}

#[test]
fn d1_pods_without_a_target_are_left_alone() {
    check("D1", (1, 0), |cluster, uid| {
        nodes(cluster, 1);
        cluster.add_pod(uid, "", |pod| (pod.node, pod.bound) = (None, false));
    });
}

#[test]
fn m6_an_empty_selector_touches_nothing_and_says_so() {
    let empty = |object: &mut Value| object["spec"]["selector"] = json!({});
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", empty);
    cluster.add_pod(uid, "n000", |_| {});
    cluster.settle();
    assert_eq!((cluster.creates, cluster.deletes, cluster.statuses), (0, 0, 0));
    let message = "This daemon set is selecting all pods. A non-empty selector is required.";
    assert_eq!(cluster.events, [("SelectingAll", message.to_owned())]);
}

#[test]
fn m3_nothing_is_done_for_a_daemonset_that_is_being_deleted() {
    let mut cluster = Cluster::new(3);
    let uid = cluster.add("ds", rolling);
    cluster.settle();
    cluster.objects.change_daemonset(uid, true, |one| one.deleting = true);
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.remove_pod(pod);
    let statuses = cluster.statuses;
    assert_eq!(cluster.run(), (0, 0));
    assert_eq!(cluster.statuses, statuses);
}

/// Statements G3, J1.
#[test]
fn m4_a_daemonset_that_is_created_again_adopts_what_the_old_one_left() {
    let mut cluster = Cluster::new(3);
    let uid = cluster.add("ds", rolling);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    cluster.objects.remove_daemonset(uid);
    let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
    for pod in pods {
        cluster.objects.change_pod(pod, |pod| pod.controller = PodController::Nobody);
    }
    let revisions: Vec<_> = cluster.objects.revisions.values().cloned().collect();
    for mut revision in revisions {
        revision.controller = PodController::Nobody;
        cluster.objects.put_revision(revision);
    }
    let again = cluster.add("ds", rolling);
    assert_eq!(cluster.run(), (0, 0));
    assert!(cluster.objects.pods.values().all(|pod| pod.controller == PodController::DaemonSet(again)));
    assert_eq!(
        (cluster.objects.revisions.len(), cluster.daemonset(again).status.updated_number_scheduled),
        (1, 3)
    );
}

#[test]
fn g2_a_pod_whose_labels_no_longer_match_is_released_and_replaced() {
    let mut cluster = Cluster::new(2);
    cluster.add("ds", rolling);
    cluster.settle();
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.change_pod(pod, |pod| pod.labels = vec![("app".to_owned(), "debug".to_owned())]);
    assert_eq!(cluster.run(), (1, 0));
    assert_eq!(cluster.objects.pods[&pod].controller, PodController::Nobody);
    assert_eq!(cluster.objects.pods.len(), 3);
}

#[test]
fn c8_creations_start_slowly_and_stop_at_the_first_failure() {
    let mut cluster = Cluster::new(100);
    cluster.objects.creations_left = Some(10);
    let uid = cluster.add("ds", rolling);
    let mut batches = Vec::new();
    for _ in 0..6 {
        let before = cluster.creates;
        cluster.step();
        batches.push(cluster.creates - before);
    }
    assert_eq!(
        batches,
        [0, 1, 2, 4, 8, 0],
        "the first decision creates the revision, the last one backs off"
    );
    cluster.objects.creations_left = None;
    cluster.settle();
    assert_eq!(cluster.daemonset(uid).status.current_number_scheduled, 100);
    assert_eq!(cluster.objects.pods.len(), 100);
}

#[test]
fn i6_status_tells_of_failing_creations() {
    let mut cluster = Cluster::new(100);
    cluster.objects.creations_left = Some(10);
    let uid = cluster.add("ds", rolling);
    cluster.settle();
    let status = cluster.daemonset(uid).status;
    assert_eq!((status.desired_number_scheduled, status.current_number_scheduled), (100, 10));
    assert_eq!((status.updated_number_scheduled, status.observed_generation), (10, 1));
}

#[test]
fn d11_surge_keeps_one_old_and_one_new_pod() {
    check_with("TestSurgeDealsWithExistingPods", surge, (2, 5), |cluster, uid| {
        nodes(cluster, 5);
        for (node, count) in [(1, 1), (2, 2), (3, 5)] {
            for _ in 0..count {
                cluster.add_pod(uid, &node_name(node), |_| {});
            }
        }
    });
}

#[test]
fn a_world_that_is_emptied_leaves_nothing_behind() {
    let mut cluster = Cluster::new(20);
    let blue = |object: &mut Value| {
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"})
    };
    let sets = [cluster.add("ds", blue), cluster.add("other", surge)];
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    sets.into_iter().for_each(|uid| cluster.objects.remove_daemonset(uid));
    let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
    pods.into_iter().for_each(|uid| cluster.objects.remove_pod(uid));
    let revisions: Vec<Uid> = cluster.objects.revisions.keys().copied().collect();
    revisions.into_iter().for_each(|uid| cluster.objects.remove_revision(uid));
    (0..20).for_each(|index| cluster.objects.remove_node(&node_name(index)));
    cluster.settle();
    // The label keys that were read last stay known until others are read.
    let footprint = cluster.engine.footprint();
    assert!(footprint.names <= 1, "{footprint:?}");
    assert_eq!(everynode_engine::Footprint { names: 0, ..footprint }, everynode_engine::Footprint::default());
}

#[test]
fn c10_a_pod_that_is_gone_already_is_no_failure() {
    let mut cluster = Cluster::new(2);
    cluster.add("ds", rolling);
    cluster.settle();
    (0..2).for_each(|index| {
        let taints = vec![("key".to_owned(), String::new(), Effect::NoExecute)];
        cluster.objects.set_node(Node { taints, ..common::plain_node(index) });
    });
    // The server has lost them, and the watch is late.
    let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
    pods.into_iter().for_each(|pod| cluster.objects.remove_pod(pod));
    cluster.objects.told.retain(|told| told.kind() != everynode_engine::Kind::Pod);
    assert_eq!(cluster.run(), (0, 2), "each is deleted once, both at a time");
    assert!(cluster.events.iter().all(|(reason, _)| !reason.ends_with("Delete")), "{:?}", cluster.events);
}

#[test]
fn c12_no_more_creations_and_deletions_are_under_way_than_the_limit_allows() {
    let mut cluster = Cluster::new(600);
    cluster.add("ds", rolling);
    cluster.settle_now();
    assert_eq!((cluster.creates, cluster.objects.pods.len()), (600, 600));
    (0..600).for_each(|index| cluster.objects.remove_node(&node_name(index)));
    let unbound: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
    unbound.iter().for_each(|pod| cluster.objects.change_pod(*pod, |pod| pod.bound = false));
    let deletes: Vec<usize> = (0..4)
        .map(|_| {
            let before = cluster.deletes;
            cluster.step();
            cluster.deletes - before
        })
        .collect();
    assert_eq!(deletes, [250, 250, 100, 0], "D13: what is not bound to a missing node goes, no slow start");
}

#[test]
fn d7_a_failed_pod_beyond_the_limit_keeps_its_turn() {
    let mut cluster = Cluster::new(300);
    let uid = cluster.add("ds", on_delete);
    for node in 0..300 {
        cluster.add_pod(uid, &node_name(node), |pod| pod.phase = Phase::Failed);
    }
    cluster.objects.creations_left = Some(0);
    cluster.settle_now();
    assert_eq!((cluster.deletes, cluster.objects.pods.len()), (300, 0), "none waits for another window");
}

#[test]
fn d10_with_surge_a_failed_pod_in_backoff_does_not_keep_the_next_one_from_coming() {
    let mut cluster = Cluster::new(1);
    cluster.add("ds", surge);
    let fail_all = |cluster: &mut Cluster| {
        let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
        for pod in pods {
            cluster.objects.change_pod(pod, |pod| (pod.phase, pod.bound) = (Phase::Failed, true));
        }
    };
    cluster.settle_now();
    // The first failure arms a window; those within it do not end, and each has a successor at once.
    for expected in [2, 3, 4] {
        fail_all(&mut cluster);
        cluster.settle_now();
        assert_eq!(cluster.creates, expected);
    }
    assert_eq!((cluster.deletes, cluster.objects.pods.len()), (1, 3));
}

#[test]
fn d11_with_surge_only_the_hash_tells_old_from_new() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", surge);
    cluster.settle_now();
    cluster.make_ready();
    cluster.settle_now();
    // Updated by its generation (F1), but not by its hash.
    let by_generation = cluster.add_pod(uid, "n000", |pod| {
        (pod.ready, pod.created) = (true, everynode_engine::Time(0));
    });
    cluster.settle_now();
    assert!(
        !cluster.objects.pods.contains_key(&by_generation),
        "it counts as old beside an available new one"
    );
}

#[test]
fn l1_l2_l3_events_tell_what_happened_to_pods_and_nothing_of_placement() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", |object| {
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "where"});
    });
    cluster.settle();
    assert_eq!(cluster.events, [], "FailedPlacement is never told");
    cluster.objects.remove_daemonset(uid);
    let uid = cluster.add("ds", rolling);
    cluster.add_pod(uid, "n000", |pod| (pod.phase, pod.name) = (Phase::Failed, "bad".to_owned()));
    cluster.settle();
    let created = cluster.objects.pods.values().next().unwrap().name.clone();
    let expected = [
        (
            "FailedDaemonPod",
            "Found failed daemon pod default/bad on node n000, will try to kill it".to_owned(),
        ),
        ("SuccessfulDelete", "Deleted pod: bad".to_owned()),
        ("SuccessfulCreate", format!("Created pod: {created}")),
    ];
    assert_eq!(cluster.events, expected);
}

#[test]
fn d10_with_surge_no_pod_is_created_while_a_deletion_is_not_confirmed() {
    let mut cluster = Cluster::new(1);
    cluster.objects.graceful = true;
    let uid = cluster.add("ds", surge);
    cluster.settle();
    let first = *cluster.objects.pods.keys().next().unwrap();
    let change_image = |cluster: &mut Cluster, image| {
        cluster.objects.change_daemonset(uid, true, |one| {
            one.template = common::with_image(&one.template, image);
        });
        cluster.tell();
    };
    // The first pod is not ready: it has a successor at once, beside which it goes (D11). Its deletion is under way
    // when the template changes back, so that the successor is the old one.
    change_image(&mut cluster, "i:2");
    let mut deletion = None;
    while deletion.is_none() {
        cluster.tell();
        for action in cluster.engine.decide(cluster.now) {
            if matches!(action.work, everynode_engine::Work::DeletePod(_)) {
                deletion = Some(action);
                continue;
            }
            let outcome = cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
            cluster.engine.observe(everynode_engine::Fact::Finished { id: action.id, outcome }, cluster.now);
        }
        cluster.now = cluster.now.plus_millis(100);
    }
    change_image(&mut cluster, "i:1");
    assert_eq!(cluster.run(), (0, 0), "the first pod may live on");
    let deletion = deletion.unwrap();
    let outcome = cluster.objects.carry_out(&deletion.daemonset, &deletion.work, cluster.now);
    cluster.engine.observe(everynode_engine::Fact::Finished { id: deletion.id, outcome }, cluster.now);
    cluster.objects.change_pod(first, |pod| pod.deleting = true);
    assert_eq!(cluster.run().0, 1);
}

//! Mistakes that others made, as their threads tell them; each test names its thread.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, Node, Objects, change_image, node_name, plain_node, rolling, saturated};
use everynode_engine::placement::Effect;
use everynode_engine::{
    Engine, Fact, Failure, Kind, Limits, Outcome, POD_NAMES, Phase, PodController, Time, Uid, Work,
};
use serde_json::Value;

fn plain(_: &mut Value) {}

fn tainted(index: usize, effect: Effect) -> Node {
    Node { taints: vec![("x".to_owned(), String::new(), effect)], ..plain_node(index) }
}

/// How many pods are ready.
fn ready(cluster: &Cluster) -> usize {
    cluster.objects.pods.values().filter(|pod| pod.ready && !pod.deleting).count()
}

/// Makes every pod ready that is not on one of these nodes, round after round; how many rounds it takes until nothing
/// is left to do.
fn roll_out(cluster: &mut Cluster, broken: &[&str]) -> usize {
    for round in 0..100 {
        let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
        for uid in pods {
            let pod = &cluster.objects.pods[&uid];
            let is_broken = pod.node.as_deref().is_some_and(|node| broken.contains(&node));
            if !is_broken && !pod.ready && !pod.deleting {
                let since = Some(Time(cluster.now.0 / 1000 * 1000));
                cluster.objects.change_pod(uid, |pod| {
                    (pod.bound, pod.phase, pod.ready, pod.ready_since) = (true, Phase::Running, true, since);
                });
            }
        }
        if cluster.run() == (0, 0) {
            return round;
        }
    }
    panic!("the roll-out does not end");
}

/// kubernetes#14528: the list of nodes failed halfway, and thousands of pods without a node were created.
#[test]
fn a_list_of_nodes_that_breaks_off_creates_and_deletes_nothing() {
    let (mut cluster, _) = saturated(4, plain);
    for _ in 0..10 {
        cluster.engine.observe(Fact::RelistBegun(Kind::Node), cluster.now);
        common::Told::Node(plain_node(0)).tell(&mut cluster.engine, cluster.now);
        assert_eq!(cluster.run(), (0, 0));
    }
    assert!(cluster.objects.pods.values().all(|pod| pod.node.is_some()));
}

/// kubernetes#22545: pods of a node that was deleted came again and again, Pending for ever.
#[test]
fn no_pod_is_created_for_a_node_that_is_gone() {
    let (mut cluster, _) = saturated(2, plain);
    cluster.objects.remove_node(&node_name(1));
    let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
    cluster.objects.remove_pod(pods[1]);
    assert_eq!(cluster.run(), (0, 0));
    let pending = cluster.add_pod(Uid(0), "n001", |pod| (pod.bound, pod.phase) = (false, Phase::Pending));
    let owner = cluster.objects.pods[&pods[0]].controller;
    cluster.objects.change_pod(pending, |pod| pod.controller = owner);
    assert_eq!(cluster.run(), (0, 1), "one that waits for the node goes");
}

/// kubernetes#23013: a node that had been out of order got no pod when it was well again.
#[test]
fn a_node_that_is_well_again_gets_its_pod() {
    let (mut cluster, _) = saturated(1, plain);
    for effect in [Effect::NoSchedule, Effect::NoExecute] {
        cluster.objects.set_node(tainted(1, effect));
        assert_eq!(cluster.run().0, 0);
        cluster.objects.set_node(plain_node(1));
        assert_eq!(cluster.run(), (1, 0), "{effect:?}");
        cluster.objects.set_node(tainted(1, Effect::NoExecute));
        cluster.settle();
    }
}

/// kubernetes#36482: after a reboot the kubelet refused pods, and the failed pods were never replaced.
#[test]
fn a_pod_that_its_kubelet_refuses_is_replaced() {
    let (mut cluster, uid) = saturated(3, plain);
    for pod in cluster.objects.pods.keys().copied().collect::<Vec<_>>() {
        cluster.objects.change_pod(pod, |pod| (pod.phase, pod.ready) = (Phase::Failed, false));
    }
    assert_eq!(cluster.run(), (3, 3));
    assert_eq!(roll_out(&mut cluster, &[]), 0);
    assert_eq!(cluster.daemonset(uid).status.number_available, 3);
}

/// An engine that has listed these objects.
fn restarted(objects: &Objects, now: Time) -> Engine {
    let mut engine = Engine::new(Limits::default());
    for kind in [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision] {
        engine.observe(Fact::RelistBegun(kind), now);
        match kind {
            Kind::Node => {
                objects.nodes.values().for_each(|one| common::Told::Node(one.clone()).tell(&mut engine, now));
            }
            Kind::DaemonSet => objects.daemonsets.values().for_each(|one| {
                common::Told::DaemonSet(one.clone()).tell(&mut engine, now);
            }),
            _ => {
                objects.list(kind, &mut engine, now);
                continue;
            }
        }
        engine.observe(Fact::RelistEnded { kind, resource_version: objects.version }, now);
    }
    engine
}

/// kubernetes#54096: the creation of a leader that died reached the server after the next one had listed.
#[test]
fn a_late_creation_of_a_former_leader_leaves_one_pod() {
    for by_node in [true, false] {
        let mut cluster = Cluster::new(1);
        cluster.add("ds", |object| {
            if by_node {
                object["metadata"]["annotations"][POD_NAMES] = "node".into();
            }
        });
        cluster.step();
        cluster.tell();
        let actions = cluster.engine.decide(cluster.now);
        let late = actions.into_iter().find(|one| matches!(one.work, Work::CreatePod(_))).unwrap();
        cluster.engine = restarted(&cluster.objects, cluster.now);
        cluster.settle_now();
        assert_eq!(cluster.objects.pods.len(), 1);
        cluster.objects.carry_out(&late.daemonset, &late.work, cluster.now);
        let most = if by_node { 1 } else { 2 };
        assert_eq!(cluster.objects.pods.len(), most, "a name of its own is what keeps the second one out");
        cluster.settle();
        assert_eq!(cluster.objects.pods.len(), 1, "D8");
    }
}

/// kubernetes#61387: a pod that was not bound yet was not seen as its node's, and thousands were created.
#[test]
fn a_pod_that_is_not_bound_counts_for_its_node() {
    let mut cluster = Cluster::new(1);
    cluster.add("ds", plain);
    cluster.settle();
    assert!(cluster.objects.pods.values().all(|pod| !pod.bound));
    for round in 0..10 {
        let mut node = plain_node(0);
        node.labels.push(("round".to_owned(), round.to_string()));
        cluster.objects.set_node(node);
        assert_eq!(cluster.run(), (0, 0));
    }
}

/// kubernetes#63465: one pod that stayed terminating stopped the whole roll-out.
#[test]
fn a_pod_that_stays_terminating_uses_the_budget_and_no_more() {
    let (mut cluster, uid) = saturated(10, rolling("20%", 0));
    cluster.objects.graceful = true;
    change_image(&mut cluster, uid, "i:2");
    for _ in 0..30 {
        cluster.settle();
        let leaving = cluster.objects.pods.values().filter(|pod| pod.deleting);
        let gone: Vec<Uid> =
            leaving.filter(|pod| pod.node.as_deref() != Some("n000")).map(|pod| pod.uid).collect();
        gone.into_iter().for_each(|pod| cluster.objects.remove_pod(pod));
        cluster.settle();
        cluster.make_ready();
    }
    assert_eq!(cluster.daemonset(uid).status.updated_number_scheduled, 9);
}

/// kubernetes#73011, kubernetes#117204: nodes that are down use the budget up. So it is by default (F4); what matters
/// is that it goes on when they are back, or gone.
#[test]
fn a_roll_out_that_waits_for_broken_nodes_goes_on_without_them() {
    for is_removed in [false, true] {
        let (mut cluster, uid) = saturated(6, rolling(1, 0));
        let down = ["n004", "n005"];
        for pod in cluster.objects.pods.values().cloned().collect::<Vec<_>>() {
            if down.contains(&pod.node.as_deref().unwrap()) {
                cluster.objects.change_pod(pod.uid, |pod| pod.ready = false);
            }
        }
        change_image(&mut cluster, uid, "i:2");
        roll_out(&mut cluster, &down);
        assert_eq!(cluster.daemonset(uid).status.updated_number_scheduled, 2, "only those that are down");
        if is_removed {
            down.iter().for_each(|node| cluster.objects.remove_node(node));
        }
        roll_out(&mut cluster, &[]);
        assert_eq!(cluster.daemonset(uid).status.updated_number_scheduled, if is_removed { 4 } else { 6 });
    }
}

/// kubernetes#75836: deleting a pod that was gone already stopped the DaemonSet for five minutes.
#[test]
fn a_pod_that_was_gone_already_stops_nothing() {
    let (mut cluster, _) = saturated(2, plain);
    cluster.objects.set_node(tainted(0, Effect::NoExecute));
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.remove_pod(pod);
    // The watch has not shown the end of the pod when another node joins.
    cluster.objects.told.pop_back();
    cluster.objects.set_node(plain_node(2));
    cluster.settle_now();
    assert_eq!((cluster.creates, cluster.deletes), (3, 1));
}

/// kubernetes#106417: with a host port the new pod of a surge never starts beside the old one.
#[test]
fn a_surge_whose_pods_cannot_start_takes_no_old_pod_and_no_more_nodes() {
    let (mut cluster, uid) = saturated(5, rolling(0, 2));
    change_image(&mut cluster, uid, "i:2");
    for _ in 0..5 {
        cluster.settle();
        cluster.now = cluster.now.plus_millis(600_000);
    }
    assert_eq!((ready(&cluster), cluster.objects.pods.len()), (5, 7));
    change_image(&mut cluster, uid, "i:1");
    cluster.settle();
    assert_eq!((ready(&cluster), cluster.objects.pods.len()), (5, 5), "the way back costs no ready pod");
}

/// kubernetes#123232: three updates in a row, none of which came up, left no ready pod.
#[test]
fn updates_that_do_not_come_up_replace_each_other_and_no_healthy_pod() {
    let (mut cluster, uid) = saturated(3, rolling(1, 0));
    for image in ["i:2", "i:3", "i:4"] {
        change_image(&mut cluster, uid, image);
        cluster.settle();
        assert_eq!((ready(&cluster), cluster.objects.pods.len()), (2, 3), "{image}");
    }
}

/// kubernetes#140984: a pod that fits nowhere waited for days.
#[test]
fn a_pod_that_does_not_fit_is_left_to_the_scheduler() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", plain);
    for _ in 0..20 {
        cluster.settle();
        cluster.now = cluster.now.plus_millis(3_600_000);
    }
    assert_eq!((cluster.creates, cluster.deletes), (2, 0));
    assert_eq!(cluster.daemonset(uid).status.number_unavailable, 2);
}

/// kruise#898, kruise#1323: pods that are not available are replaced at once, whatever the budget. So it is by default
/// (F5); pods that are available are safe.
#[test]
fn pods_that_are_available_are_within_the_budget_and_others_are_not() {
    let minimum = |object: &mut Value| {
        rolling(1, 0)(object);
        object["spec"]["minReadySeconds"] = 30.into();
    };
    for (seconds, replaced) in [(29, 4), (60, 1)] {
        let (mut cluster, uid) = saturated(4, minimum);
        let since = cluster.objects.pods.values().next().unwrap().ready_since.unwrap();
        cluster.now = since.plus_millis(seconds * 1000);
        cluster.settle_now();
        let before = cluster.deletes;
        change_image(&mut cluster, uid, "i:2");
        cluster.settle_now();
        assert_eq!(cluster.deletes - before, replaced, "ready for {seconds} s");
    }
}

/// kruise#1012: old pods stayed beside new ones that were ready, until something else happened.
#[test]
fn an_old_pod_goes_when_the_new_one_is_available_without_another_event() {
    let minimum = |object: &mut Value| {
        rolling(0, 1)(object);
        object["spec"]["minReadySeconds"] = 10.into();
    };
    let (mut cluster, uid) = saturated(1, minimum);
    cluster.now = cluster.now.plus_millis(60_000);
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    cluster.settle_now();
    cluster.make_ready();
    cluster.settle_now();
    assert_eq!(cluster.objects.pods.len(), 2);
    while let Some(at) = cluster.engine.next_deadline() {
        cluster.now = cluster.now.max(at);
        cluster.settle_now();
    }
    assert_eq!(cluster.objects.pods.len(), 1);
}

/// kubernetes#77203: the node's clock goes before the controller's, so that the time at which a pod became ready is yet
/// to come; the roll-out waited for another event.
#[test]
fn a_roll_out_ends_although_the_clocks_of_the_nodes_are_ahead() {
    let minimum = |object: &mut Value| {
        rolling(1, 0)(object);
        object["spec"]["minReadySeconds"] = 10.into();
    };
    let (mut cluster, uid) = saturated(3, minimum);
    cluster.now = cluster.now.plus_millis(60_000);
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    for _ in 0..50 {
        cluster.settle_now();
        cluster.make_ready();
        let ahead = cluster.now.plus_millis(3_000);
        for pod in cluster.objects.pods.keys().copied().collect::<Vec<_>>() {
            if cluster.objects.pods[&pod].ready_since == Some(cluster.now) {
                cluster.objects.change_pod(pod, |pod| pod.ready_since = Some(ahead));
            }
        }
        cluster.settle_now();
        let Some(at) = cluster.engine.next_deadline() else { break };
        cluster.now = cluster.now.max(at);
    }
    cluster.settle();
    let status = cluster.objects.daemonsets[&uid].status;
    assert_eq!((status.updated_number_scheduled, status.number_available), (3, 3));
}

/// slurm-operator#259: after a cordoned node's pod was lost, none came again.
#[test]
fn a_cordoned_node_gets_its_pod_again() {
    let (mut cluster, _) = saturated(2, rolling(1, 0));
    let cordon = ("node.kubernetes.io/unschedulable".to_owned(), String::new(), Effect::NoSchedule);
    cluster.objects.set_node(Node { name: node_name(0), taints: vec![cordon], ..Node::default() });
    cluster.settle();
    assert_eq!((ready(&cluster), cluster.deletes), (2, 0));
    let lost = cluster.objects.pods.values().find(|pod| pod.node.as_deref() == Some("n000")).unwrap().uid;
    cluster.objects.remove_pod(lost);
    cluster.settle();
    assert!(cluster.objects.pods.values().any(|pod| pod.node.as_deref() == Some("n000")));
}

/// kruise#2387, nomad#27262, nomad#27497, nomad#27571, nomad#27604: the set of eligible nodes changes during a
/// roll-out.
#[test]
fn a_roll_out_whose_nodes_change_ends_in_the_same_state() {
    for (unavailable, surge) in [(2, 0), (0, 2)] {
        let (mut cluster, uid) = saturated(6, rolling(unavailable, surge));
        change_image(&mut cluster, uid, "i:2");
        cluster.settle();
        cluster.objects.set_node(tainted(0, Effect::NoExecute));
        cluster.objects.set_node(tainted(1, Effect::NoSchedule));
        cluster.objects.set_node(plain_node(6));
        cluster.settle();
        cluster.make_ready();
        cluster.settle();
        cluster.objects.set_node(plain_node(0));
        cluster.objects.set_node(plain_node(1));
        cluster.objects.remove_node(&node_name(5));
        // What collects the pods of nodes that are gone.
        let orphaned = cluster.objects.pods.values().filter(|pod| pod.node.as_deref() == Some("n005"));
        let orphaned: Vec<Uid> = orphaned.map(|pod| pod.uid).collect();
        orphaned.into_iter().for_each(|pod| cluster.objects.remove_pod(pod));
        roll_out(&mut cluster, &[]);
        let status = cluster.daemonset(uid).status;
        assert_eq!((status.updated_number_scheduled, status.number_available), (6, 6), "surge {surge}");
        assert_eq!((cluster.objects.pods.len(), status.number_misscheduled), (6, 0));
    }
}

/// moby#42875: a task that failed within its monitoring time counted as good.
#[test]
fn a_pod_that_is_ready_for_a_moment_moves_no_roll_out() {
    let minimum = |object: &mut Value| {
        rolling(1, 0)(object);
        object["spec"]["minReadySeconds"] = 30.into();
    };
    let (mut cluster, uid) = saturated(3, minimum);
    cluster.now = cluster.now.plus_millis(60_000);
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    cluster.settle();
    for _ in 0..10 {
        cluster.make_ready();
        cluster.now = cluster.now.plus_millis(20_000);
        cluster.settle();
        let fresh = cluster.objects.pods.keys().copied().next_back().unwrap();
        cluster.objects.change_pod(fresh, |pod| (pod.ready, pod.ready_since) = (false, None));
        cluster.now = cluster.now.plus_millis(20_000);
        cluster.settle();
    }
    assert_eq!(cluster.daemonset(uid).status.updated_number_scheduled, 1);
}

/// moby#43081: a rollback replaced tasks that were healthy.
#[test]
fn a_rollback_touches_no_pod_that_is_already_there() {
    for (unavailable, surge) in [(1, 0), (0, 1)] {
        let (mut cluster, uid) = saturated(4, rolling(unavailable, surge));
        let before: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
        change_image(&mut cluster, uid, "i:bad");
        cluster.settle();
        change_image(&mut cluster, uid, "i:1");
        roll_out(&mut cluster, &[]);
        let kept = before.iter().filter(|pod| cluster.objects.pods.contains_key(pod)).count();
        assert_eq!(kept, if surge > 0 { 4 } else { 3 });
    }
}

/// slurm-operator#229: with an image that cannot be pulled every pass took another healthy pod.
#[test]
fn an_update_that_does_not_come_up_stops_at_its_budget() {
    let (mut cluster, uid) = saturated(3, rolling(1, 0));
    change_image(&mut cluster, uid, "i:none");
    for _ in 0..50 {
        cluster.settle();
        cluster.now = cluster.now.plus_millis(60_000);
    }
    assert_eq!((ready(&cluster), cluster.deletes), (2, 1));
}

/// slurm-operator#249: a patch of a pod that was gone held up all creations for ever.
#[test]
fn a_patch_of_a_pod_that_is_gone_holds_nothing_up() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", plain);
    let orphan = cluster.add_pod(uid, "n000", |pod| pod.controller = PodController::Nobody);
    cluster.tell();
    let adoption = cluster.engine.decide(cluster.now);
    cluster.objects.remove_pod(orphan);
    cluster.objects.told.clear();
    for action in adoption {
        let outcome = cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
        cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    }
    cluster.settle();
    assert_eq!((cluster.creates, cluster.objects.pods.len()), (1, 1), "the other node waits for nothing");
    // Nothing shows that the pod is gone, but a list.
    cluster.now = cluster.now.plus_millis(31_000);
    cluster.settle();
    assert_eq!((cluster.creates, cluster.objects.pods.len()), (2, 2));
}

/// A DaemonSet whose deletion the watch does not show: nothing more is made for it once a write has found it gone.
#[test]
fn a_daemonset_that_a_write_found_gone_is_left_alone() {
    let (mut cluster, uid) = saturated(3, rolling(1, 0));
    let fact = cluster.objects.daemonsets[&uid].clone();
    cluster.objects.remove_daemonset(uid);
    cluster.objects.told.clear();
    // A kubelet's report makes the controller write status, which answers that there is none.
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.change_pod(pod, |pod| pod.ready = false);
    cluster.settle();
    let creates = cluster.creates;
    for uid in cluster.objects.pods.keys().copied().collect::<Vec<_>>() {
        cluster.objects.remove_pod(uid);
    }
    cluster.settle();
    assert_eq!((cluster.creates, cluster.objects.pods.len()), (creates, 0));
    // A list that shows it all the same decides otherwise.
    cluster.objects.daemonsets.insert(uid, fact);
    cluster.now = cluster.now.plus_millis(31_000);
    cluster.settle();
    assert_eq!(cluster.objects.pods.len(), 3);
}

/// kubernetes#72155: creations that timed out were not tried again, neither at once nor later.
#[test]
fn a_creation_that_timed_out_and_was_not_carried_out_is_made_after_a_list() {
    let mut cluster = Cluster::new(1);
    cluster.add("ds", plain);
    cluster.step();
    cluster.tell();
    for action in cluster.engine.decide(cluster.now) {
        let outcome = match action.work {
            Work::CreatePod(_) => {
                Outcome::Failed { failure: Failure::Unknown, message: "timeout".to_owned() }
            }
            work => cluster.objects.carry_out(&action.daemonset, &work, cluster.now),
        };
        cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    }
    cluster.now = cluster.now.plus_millis(31_000);
    cluster.settle();
    assert_eq!(cluster.objects.pods.len(), 1);
}

//! The numbers of status, and when they are written: specification 1.I.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, Node, Pod, node_name, plain_node, refused, with_image};
use everynode_engine::placement::Effect;
use everynode_engine::{Action, Fact, Phase, Status, Time, Uid, Work};
use serde_json::{Value, json};

fn plain(_: &mut Value) {}

fn surge(object: &mut Value) {
    object["spec"]["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": 0, "maxSurge": 1});
}

fn ready(pod: &mut Pod) {
    (pod.ready, pod.ready_since) = (true, Some(pod.created));
}

/// desired, current, ready, available, updated, misscheduled, unavailable.
fn numbers(status: &Status) -> [i32; 7] {
    [
        status.desired_number_scheduled,
        status.current_number_scheduled,
        status.number_ready,
        status.number_available,
        status.updated_number_scheduled,
        status.number_misscheduled,
        status.number_unavailable,
    ]
}

/// The status for pods on one node that may be tainted.
fn check(what: &str, taint: Option<Effect>, pods: &[fn(&mut Pod)], expected: [i32; 7]) {
    let mut cluster = Cluster::new(0);
    let taints = taint.map(|effect| ("x".to_owned(), String::new(), effect)).into_iter().collect();
    cluster.objects.set_node(Node { taints, ..plain_node(0) });
    cluster.objects.graceful = true;
    let uid = cluster.add("ds", |object| {
        object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        object["spec"]["minReadySeconds"] = 30.into();
    });
    for (index, change) in pods.iter().enumerate() {
        cluster.add_pod(uid, "n000", |pod| {
            pod.created = Time::from_seconds(index as i64);
            change(pod);
        });
    }
    cluster.objects.creations_left = Some(0);
    cluster.settle();
    assert_eq!(numbers(&cluster.daemonset(uid).status), expected, "{what}");
}

#[test]
fn i1_i2_a_node_counts_by_its_first_pod() {
    check("no pod", None, &[], [1, 0, 0, 0, 0, 0, 1]);
    check("not ready", None, &[|_| {}], [1, 1, 0, 0, 1, 0, 1]);
    check(
        "pending and not bound",
        None,
        &[|pod| (pod.bound, pod.phase) = (false, Phase::Pending)],
        [1, 1, 0, 0, 1, 0, 1],
    );
    check("available", None, &[ready], [1, 1, 1, 1, 1, 0, 0]);
    check(
        "ready for a moment",
        None,
        &[|pod| (pod.ready, pod.ready_since) = (true, None)],
        [1, 1, 1, 0, 1, 0, 1],
    );
    let old: fn(&mut Pod) = |pod| {
        ready(pod);
        pod.labels.retain(|(key, _)| key == "app");
    };
    check("of another template", None, &[old], [1, 1, 1, 1, 0, 0, 0]);
    check("the older one of two stands for the node", None, &[|_| {}, ready], [1, 1, 0, 0, 1, 0, 1]);
    check(
        "ended and terminating",
        None,
        &[|pod| (pod.phase, pod.deleting) = (Phase::Failed, true)],
        [1, 0, 0, 0, 0, 0, 1],
    );
    check("kept by a taint", Some(Effect::NoSchedule), &[ready], [0, 0, 0, 0, 0, 1, 0]);
    check("evicted by a taint", Some(Effect::NoExecute), &[ready], [0, 0, 0, 0, 0, 1, 0]);
    check("no pod and a taint", Some(Effect::NoSchedule), &[], [0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn i3_pods_on_unknown_nodes_count_nowhere() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    cluster.add_pod(uid, "n000", ready);
    cluster.add_pod(uid, "unknown", ready);
    cluster.settle();
    assert_eq!(numbers(&cluster.daemonset(uid).status), [1, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn i4_during_a_surge_the_old_pod_stands_for_the_node_and_a_terminating_one_counts() {
    let mut cluster = Cluster::new(1);
    cluster.objects.graceful = true;
    let uid = cluster.add("ds", surge);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    let old = *cluster.objects.pods.keys().next().unwrap();
    let template = with_image(&cluster.daemonset(uid).template.clone(), "i:2");
    cluster.objects.change_daemonset(uid, true, |one| one.template = template);
    cluster.settle();
    assert_eq!(cluster.objects.pods.len(), 2);
    assert_eq!(numbers(&cluster.daemonset(uid).status), [1, 1, 1, 1, 0, 0, 0]);
    cluster.make_ready();
    cluster.settle();
    assert!(cluster.objects.pods[&old].deleting);
    assert_eq!(numbers(&cluster.daemonset(uid).status), [1, 1, 1, 1, 0, 0, 0], "it is leaving, and ready");
    cluster.objects.remove_pod(old);
    cluster.settle();
    assert_eq!(numbers(&cluster.daemonset(uid).status), [1, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn i5_nothing_is_written_when_no_number_changes_and_the_generation_is_observed() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    let before = cluster.statuses;
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.change_pod(pod, |pod| pod.phase = Phase::Running);
    cluster.settle();
    assert_eq!(cluster.statuses, before);
    // Equal numbers, and a generation that was not observed.
    cluster.objects.change_daemonset(uid, true, |one| one.revision_history_limit = 3);
    cluster.settle();
    assert_eq!((cluster.statuses, cluster.daemonset(uid).status.observed_generation), (before + 1, 2));
}

#[test]
fn i6_the_generation_is_not_observed_while_history_fails() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    let mut statuses = 0;
    for _ in 0..20 {
        cluster.tell();
        for Action { id, daemonset, work } in cluster.engine.decide(cluster.now) {
            statuses += usize::from(matches!(work, Work::WriteStatus { .. }));
            let outcome = match work {
                Work::CreateRevision(_) => refused("quota"),
                work => cluster.objects.carry_out(&daemonset, &work, cluster.now),
            };
            cluster.engine.observe(Fact::Finished { id, outcome }, cluster.now);
        }
        cluster.now = cluster.now.plus_millis(100);
    }
    assert_eq!((statuses, cluster.objects.pods.len()), (0, 0));
    cluster.now = cluster.now.plus_millis(60_000);
    cluster.settle();
    assert_eq!((cluster.daemonset(uid).status.observed_generation, cluster.objects.pods.len()), (1, 1));
}

/// A DaemonSet with minReadySeconds 30 whose pods are ready since now.
fn just_ready(nodes: usize) -> (Cluster, Uid) {
    let mut cluster = Cluster::new(nodes);
    let uid = cluster.add("ds", |object| object["spec"]["minReadySeconds"] = 30.into());
    cluster.settle();
    cluster.make_ready();
    cluster.settle_now();
    (cluster, uid)
}

#[test]
fn i9_i10_availability_is_noticed_when_it_comes_and_for_each_pod() {
    let (mut cluster, uid) = just_ready(2);
    let start = Time(cluster.now.0 / 1000 * 1000);
    let last = cluster.objects.pods.keys().copied().next_back().unwrap();
    cluster.objects.change_pod(last, |pod| pod.ready_since = Some(start.plus_millis(20_000)));
    let mut noticed = Vec::new();
    for seconds in [29, 30, 49, 50] {
        cluster.now = start.plus_millis(seconds * 1000);
        cluster.settle_now();
        noticed.push(cluster.daemonset(uid).status.number_available);
    }
    assert_eq!(noticed, [0, 1, 1, 2]);
}

#[test]
fn i11_a_pod_counts_when_the_watch_has_shown_it() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    let mut seen_in_status = Vec::new();
    for _ in 0..6 {
        cluster.step();
        seen_in_status.push(cluster.daemonset(uid).status.current_number_scheduled);
        cluster.now = cluster.now.plus_millis(200);
    }
    assert_eq!(
        seen_in_status[..3],
        [0, 0, 1],
        "revision, then pod and a status without it, then the pod counts"
    );
    assert_eq!(cluster.objects.pods.values().next().unwrap().node, Some(node_name(0)));
}

#[test]
fn h2_status_follows_while_own_writes_are_not_visible() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    let template = with_image(&cluster.daemonset(uid).template.clone(), "i:2");
    cluster.objects.change_daemonset(uid, true, |one| one.template = template);
    cluster.tell();
    // The revision is made, then one pod is deleted; the watch of pods shows nothing of that.
    for _ in 0..4 {
        for Action { id, daemonset, work } in cluster.engine.decide(cluster.now) {
            let outcome = cluster.objects.carry_out(&daemonset, &work, cluster.now);
            cluster.engine.observe(Fact::Finished { id, outcome }, cluster.now);
        }
        cluster.objects.told.retain(|told| told.kind() == everynode_engine::Kind::Pod);
        cluster.now = cluster.now.plus_millis(200);
    }
    assert_eq!(cluster.objects.pods.len(), 1, "one is gone, and no second one as long as that is not seen");
    let status = cluster.daemonset(uid).status;
    assert_eq!((status.observed_generation, status.updated_number_scheduled), (2, 0));
}

//! Nodes whose pods are refused while others' are not: as by a webhook that knows some nodes only.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, node_name, plain_node, with_image};
use everynode_engine::Uid;
use serde_json::{Value, json};

fn plain(_: &mut Value) {}

fn refuse(cluster: &mut Cluster, nodes: std::ops::Range<usize>) {
    cluster.objects.refusing = nodes.map(node_name).collect();
}

/// Lets time pass in steps of what the engine waits for; how many creations it asked for meanwhile.
fn pass(cluster: &mut Cluster, millis: i64) -> usize {
    let (until, before) = (cluster.now.plus_millis(millis), cluster.creates);
    loop {
        cluster.settle_now();
        match cluster.engine.next_deadline().filter(|at| *at <= until) {
            Some(at) => cluster.now = cluster.now.max(at),
            None => break,
        }
    }
    cluster.now = until;
    cluster.creates - before
}

fn current(cluster: &Cluster, uid: Uid) -> i32 {
    cluster.daemonset(uid).status.current_number_scheduled
}

#[test]
fn nodes_that_refuse_hold_up_no_others_wherever_they_stand_in_line() {
    for refusing in [0..1, 0..30, 35..65, 70..100] {
        let mut cluster = Cluster::new(100);
        refuse(&mut cluster, refusing.clone());
        let uid = cluster.add("ds", plain);
        pass(&mut cluster, 10_000);
        assert_eq!(current(&cluster, uid), 100 - refusing.len() as i32, "{refusing:?}");
    }
}

#[test]
fn a_node_that_joins_gets_its_pod_at_once_although_another_one_refuses() {
    let mut cluster = Cluster::new(5);
    refuse(&mut cluster, 0..1);
    let uid = cluster.add("ds", plain);
    pass(&mut cluster, 600_000);
    cluster.objects.set_node(plain_node(5));
    cluster.settle_now();
    cluster.now = cluster.now.plus_millis(100);
    cluster.settle_now();
    assert_eq!(current(&cluster, uid), 5);
}

#[test]
fn a_node_that_refuses_no_longer_gets_its_pod_within_a_minute() {
    let mut cluster = Cluster::new(20);
    refuse(&mut cluster, 3..13);
    let uid = cluster.add("ds", plain);
    pass(&mut cluster, 600_000);
    refuse(&mut cluster, 3..12);
    pass(&mut cluster, 60_100);
    assert_eq!(current(&cluster, uid), 11);
    cluster.objects.refusing.clear();
    pass(&mut cluster, 60_100);
    assert_eq!(current(&cluster, uid), 20);
}

#[test]
fn a_change_of_the_daemonset_tries_them_at_once() {
    let mut cluster = Cluster::new(5);
    refuse(&mut cluster, 0..3);
    let uid = cluster.add("ds", plain);
    pass(&mut cluster, 600_000);
    cluster.objects.refusing.clear();
    cluster.objects.change_daemonset(uid, true, |one| one.min_ready_seconds = 1);
    cluster.settle_now();
    assert_eq!(cluster.objects.pods.len(), 5);
}

#[test]
fn many_nodes_that_refuse_cost_few_writes() {
    let mut cluster = Cluster::new(1000);
    refuse(&mut cluster, 0..1000);
    cluster.add("ds", plain);
    let first_hour = pass(&mut cluster, 3_600_000);
    assert!((60..6000).contains(&first_hour), "{first_hour} attempts in an hour");
    // Here the refusals are known of one by one, among others that go well.
    let mut cluster = Cluster::new(1000);
    refuse(&mut cluster, 1..1000);
    cluster.add("ds", plain);
    for _ in 0..2000 {
        pass(&mut cluster, 1000);
        let pod = cluster.objects.pods.keys().next().copied();
        pod.into_iter().for_each(|pod| cluster.objects.remove_pod(pod));
    }
    let minute = pass(&mut cluster, 60_000);
    assert!(minute < 600, "{minute} attempts in a minute");
}

#[test]
fn c13_a_roll_out_goes_on_beside_a_node_that_refuses_within_its_budget() {
    for (budget, updated) in [(json!({"maxUnavailable": 1}), 0), (json!({"maxUnavailable": 2}), 4)] {
        let mut cluster = Cluster::new(4);
        let uid =
            cluster.add("ds", |object| object["spec"]["updateStrategy"]["rollingUpdate"] = budget.clone());
        cluster.settle();
        cluster.make_ready();
        cluster.objects.set_node(plain_node(9));
        refuse(&mut cluster, 9..10);
        cluster.settle();
        cluster.objects.change_daemonset(uid, true, |one| one.template = with_image(&one.template, "i:2"));
        for _ in 0..10 {
            pass(&mut cluster, 5000);
            cluster.make_ready();
        }
        pass(&mut cluster, 1000);
        let status = cluster.daemonset(uid).status;
        assert_eq!((status.updated_number_scheduled, status.number_available), (updated, 4), "{budget}");
    }
}

#[test]
fn a_surge_goes_round_a_node_that_refuses() {
    let mut cluster = Cluster::new(4);
    let uid = cluster.add("ds", |object| {
        object["spec"]["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": 0, "maxSurge": 1});
    });
    cluster.settle();
    cluster.make_ready();
    refuse(&mut cluster, 0..1);
    cluster.objects.change_daemonset(uid, true, |one| one.template = with_image(&one.template, "i:2"));
    for _ in 0..10 {
        pass(&mut cluster, 2000);
        cluster.make_ready();
    }
    pass(&mut cluster, 1000);
    let status = cluster.daemonset(uid).status;
    assert_eq!((status.updated_number_scheduled, status.number_available), (3, 4));
}

#[test]
fn a_clock_that_is_set_makes_nothing_wait_longer_or_shorter() {
    for hours in [-1, 1] {
        let by_millis = hours * 3_600_000;
        let mut cluster = Cluster::new(3);
        refuse(&mut cluster, 0..3);
        let uid = cluster.add("ds", plain);
        pass(&mut cluster, 600_000);
        let due = cluster.engine.next_deadline().unwrap().millis_since(cluster.now);
        cluster.now = cluster.now.plus_millis(by_millis);
        cluster.engine.clock_was_set(by_millis);
        // The nodes are looked at again: what holds one up may be a time that others have written.
        assert_eq!(cluster.engine.decide(cluster.now).len(), 0, "{hours} hours");
        let due_now = cluster.engine.next_deadline().unwrap().millis_since(cluster.now);
        assert_eq!(due_now, due, "{hours} hours");
        cluster.objects.refusing.clear();
        pass(&mut cluster, 60_200);
        assert_eq!(current(&cluster, uid), 3, "{hours} hours");
    }
}

//! Pods whose names derive from the DaemonSet and the node.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, node_name, with_image};
use everynode_engine::{
    Action, Fact, Failure, IntOrPercent, NewPod, Outcome, POD_NAMES, PodController, Strategy, Uid, Work,
    pod_body, pod_name,
};
use serde_json::{Value, json};

fn by_node(object: &mut Value) {
    object["metadata"]["annotations"][POD_NAMES] = "node".into();
}

fn by_node_with_surge(object: &mut Value) {
    by_node(object);
    object["spec"]["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": 0, "maxSurge": 1});
}

fn names(cluster: &Cluster) -> Vec<String> {
    let mut all: Vec<String> = cluster.objects.pods.values().map(|pod| pod.name.clone()).collect();
    all.sort();
    all
}

fn change_image(cluster: &mut Cluster, uid: Uid, image: &str) {
    let template = with_image(&cluster.daemonset(uid).template.clone(), image);
    cluster.objects.change_daemonset(uid, true, |one| one.template = template);
}

fn decide(cluster: &mut Cluster) -> Vec<Action> {
    cluster.engine.decide(cluster.now)
}

fn creation(actions: Vec<Action>) -> Option<(Action, NewPod)> {
    actions.into_iter().find_map(|action| match action.work.clone() {
        Work::CreatePod(pod) => Some((action, pod)),
        _ => None,
    })
}

/// A cluster with one node, and the creation that it asks for.
fn first_creation(edit: impl FnOnce(&mut Value)) -> (Cluster, Uid, Action) {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", edit);
    cluster.step();
    cluster.tell();
    let (action, _) = creation(decide(&mut cluster)).unwrap();
    (cluster, uid, action)
}

fn fail(cluster: &mut Cluster, action: &Action, failure: Failure) {
    let outcome = Outcome::Failed { failure, message: "so".to_owned() };
    cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
}

#[test]
fn a_pod_is_named_after_its_node() {
    let mut cluster = Cluster::new(3);
    let uid = cluster.add("ds", by_node);
    cluster.settle();
    let expected: Vec<String> = (0..3).map(|node| pod_name("ds", &node_name(node), None)).collect();
    assert_eq!(names(&cluster), expected);
    change_image(&mut cluster, uid, "i:2");
    for _ in 0..5 {
        cluster.settle();
        cluster.make_ready();
    }
    cluster.settle();
    assert_eq!(names(&cluster), expected, "their successors have the same names");
    assert_eq!(cluster.daemonset(uid).status.updated_number_scheduled, 3);
}

#[test]
fn under_surge_the_revision_tells_old_and_new_apart() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", by_node_with_surge);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    let before = names(&cluster);
    change_image(&mut cluster, uid, "i:2");
    for _ in 0..5 {
        cluster.settle();
        cluster.make_ready();
    }
    cluster.settle();
    let after = names(&cluster);
    assert!(after.len() == 2 && after.iter().all(|name| !before.contains(name)), "{before:?} {after:?}");
    assert_eq!(cluster.daemonset(uid).status.number_available, 2);
}

#[test]
fn a_pod_is_not_created_while_its_predecessor_of_the_same_name_is_terminating() {
    let (mut cluster, _, action) = first_creation(by_node);
    cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
    let uid = *cluster.objects.pods.keys().next().unwrap();
    // It has ended and does not count any more (D2), but it is there.
    cluster.objects.change_pod(uid, |pod| {
        (pod.phase, pod.deleting) = (everynode_engine::Phase::Succeeded, true);
    });
    fail(&mut cluster, &action, Failure::Unknown);
    cluster.tell();
    cluster.now = cluster.now.plus_millis(60_000);
    assert!(creation(decide(&mut cluster)).is_none());
    cluster.objects.remove_pod(uid);
    cluster.tell();
    assert!(creation(decide(&mut cluster)).is_some());
}

#[test]
fn a_creation_without_an_answer_is_repeated_soon_and_finds_the_pod() {
    let (mut cluster, _, action) = first_creation(by_node);
    cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
    fail(&mut cluster, &action, Failure::Unknown);
    cluster.now = cluster.now.plus_millis(5);
    let (again, pod) = creation(decide(&mut cluster)).unwrap();
    assert_eq!(pod.name.as_deref(), Some(pod_name("ds", "n000", None).as_str()));
    let outcome = cluster.objects.carry_out(&again.daemonset, &again.work, cluster.now);
    assert!(matches!(outcome, Outcome::PodCreated { .. }), "{outcome:?}");
    cluster.engine.observe(Fact::Finished { id: again.id, outcome }, cluster.now);
    cluster.settle();
    assert_eq!(cluster.objects.pods.len(), 1);
}

#[test]
fn under_surge_a_creation_without_an_answer_is_not_repeated_before_a_list() {
    let (mut cluster, _, action) = first_creation(by_node_with_surge);
    fail(&mut cluster, &action, Failure::Unknown);
    cluster.now = cluster.now.plus_millis(60_000);
    assert!(creation(decide(&mut cluster)).is_none(), "it may be made later, when its name is free again");
    cluster.objects.list(everynode_engine::Kind::Pod, &mut cluster.engine, cluster.now);
    assert!(creation(decide(&mut cluster)).is_some());
}

#[test]
fn a_creation_without_an_answer_is_not_repeated_under_another_name() {
    let (mut cluster, uid, action) = first_creation(by_node);
    fail(&mut cluster, &action, Failure::Unknown);
    cluster.now = cluster.now.plus_millis(5);
    // The next attempt is refused, which says nothing about the first one.
    let (again, _) = creation(decide(&mut cluster)).unwrap();
    fail(&mut cluster, &again, Failure::Refused);
    cluster.objects.change_daemonset(uid, true, |one| {
        one.pod_names = everynode_engine::PodNames::Random;
        one.annotations.clear();
    });
    cluster.tell();
    cluster.now = cluster.now.plus_millis(1000);
    assert!(creation(decide(&mut cluster)).is_none());
    cluster.now = cluster.now.plus_millis(60_000);
    assert!(creation(decide(&mut cluster)).is_none(), "not because time has passed");
    cluster.objects.list(everynode_engine::Kind::Pod, &mut cluster.engine, cluster.now);
    let (_, pod) = creation(decide(&mut cluster)).unwrap();
    assert_eq!(pod.name, None);
}

#[test]
fn a_creation_whose_repetition_was_carried_out_may_still_come_and_no_other_name_is_asked_for() {
    let (mut cluster, uid, action) = first_creation(by_node);
    fail(&mut cluster, &action, Failure::Unknown);
    cluster.now = cluster.now.plus_millis(5);
    let (again, _) = creation(decide(&mut cluster)).unwrap();
    let outcome = cluster.objects.carry_out(&again.daemonset, &again.work, cluster.now);
    cluster.engine.observe(Fact::Finished { id: again.id, outcome }, cluster.now);
    cluster.tell();
    // Its pod is taken away, and pods have other names: the first request would make a second pod.
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.remove_pod(pod);
    cluster.objects.change_daemonset(uid, true, |one| {
        one.strategy = Strategy::RollingUpdate {
            max_unavailable: IntOrPercent::Int(0),
            max_surge: IntOrPercent::Int(1),
        };
    });
    cluster.tell();
    assert!(creation(decide(&mut cluster)).is_none());
    cluster.now = cluster.now.plus_millis(60_000);
    assert!(creation(decide(&mut cluster)).is_none(), "not because time has passed");
    cluster.objects.list(everynode_engine::Kind::Pod, &mut cluster.engine, cluster.now);
    let (_, pod) = creation(decide(&mut cluster)).unwrap();
    assert_eq!(pod.name, Some(pod_name("ds", "n000", Some(&pod.hash)).into()));
}

#[test]
fn an_answer_that_comes_after_its_daemonset_went_leaves_nothing_to_wait_for() {
    let (mut cluster, uid, action) = first_creation(by_node);
    fail(&mut cluster, &action, Failure::Unknown);
    cluster.now = cluster.now.plus_millis(5);
    let (again, pod) = creation(decide(&mut cluster)).unwrap();
    cluster.objects.remove_daemonset(uid);
    cluster.tell();
    let name = pod.name.unwrap().to_string();
    let outcome = Outcome::PodCreated { name, uid: Uid(7), resource_version: cluster.objects.bump() };
    cluster.engine.observe(Fact::Finished { id: again.id, outcome }, cluster.now);
    cluster.now = cluster.now.plus_millis(60_000);
    let asked: Vec<Work> = decide(&mut cluster).into_iter().map(|action| action.work).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_name_that_is_another_pod_s_holds_up_its_own_node_only() {
    let mut cluster = Cluster::new(3);
    let squatter = cluster.add_pod(Uid(1), "n000", |pod| {
        pod.name = pod_name("ds", "n000", None);
        pod.controller = PodController::Other;
    });
    cluster.add("ds", by_node);
    cluster.settle();
    assert_eq!(cluster.objects.pods.len(), 3);
    let failures = cluster.events.iter().filter(|(reason, _)| *reason == "FailedCreate").count();
    assert_eq!(failures, 1, "{:?}", cluster.events);
    cluster.objects.remove_pod(squatter);
    cluster.now = cluster.now.plus_millis(10_000);
    cluster.settle();
    assert_eq!(names(&cluster).len(), 3);
}

#[test]
fn an_unknown_value_is_told_once_and_gives_random_names() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", |object| {
        object["metadata"]["annotations"][POD_NAMES] = "nodes".into();
    });
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    cluster.settle();
    let warnings: Vec<&String> = cluster
        .events
        .iter()
        .filter_map(|(reason, message)| (*reason == "InvalidPodNames").then_some(message))
        .collect();
    assert_eq!(
        warnings,
        ["everynode.dev/pod-names must be \"node\" and not \"nodes\": pods get random names"]
    );
    assert!(names(&cluster).iter().all(|name| !name.contains("n00")));
}

#[test]
fn the_body_has_the_name_instead_of_a_prefix() {
    let (_, _, action) = first_creation(by_node);
    let Work::CreatePod(pod) = &action.work else { unreachable!() };
    let metadata = &pod_body::body(&action.daemonset, pod)["metadata"];
    assert_eq!(metadata["name"].as_str(), pod.name.as_deref());
    assert_eq!(metadata["generateName"], Value::Null);
}

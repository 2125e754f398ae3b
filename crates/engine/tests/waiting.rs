//! What the engine waits for: complete lists (A5), its own writes (1.H), retries, and what it can say about it.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, node_name, refused};
use everynode_engine::placement::{Reason, Verdict};
use everynode_engine::{Action, Engine, Fact, Failure, Kind, Limits, Outcome, Standing, Time, Work};
use serde_json::Value;

fn plain(_: &mut Value) {}

/// A cluster with a DaemonSet whose revision is there, and the first creation that it asks for.
fn first_creation(nodes: usize) -> (Cluster, Action) {
    let mut cluster = Cluster::new(nodes);
    cluster.add("ds", plain);
    cluster.step();
    cluster.tell();
    let actions = cluster.engine.decide(cluster.now);
    let creation = actions.into_iter().find(|one| matches!(one.work, Work::CreatePod(_)));
    (cluster, creation.unwrap())
}

fn creations(cluster: &mut Cluster) -> usize {
    let actions = cluster.engine.decide(cluster.now);
    actions.iter().filter(|one| matches!(one.work, Work::CreatePod(_))).count()
}

#[test]
fn a5_nothing_is_decided_before_every_kind_was_listed() {
    let mut engine = Engine::new(Limits::default());
    let now = Time::from_seconds(1);
    let mut source = Cluster::new(2);
    source.add("ds", plain);
    for told in source.objects.told.drain(..) {
        told.tell(&mut engine, now);
    }
    for kind in [Kind::Node, Kind::DaemonSet, Kind::Pod] {
        engine.observe(Fact::RelistEnded { kind, resource_version: 0 }, now);
        // What was told outside of a list counts as listed.
        assert!(engine.decide(now).is_empty(), "{kind:?}");
    }
    engine.observe(Fact::RelistEnded { kind: Kind::Revision, resource_version: 0 }, now);
    assert_eq!(engine.decide(now).len(), 1, "the revision is created");
}

#[test]
fn h3_a_node_is_left_alone_until_the_created_pod_is_seen() {
    let (mut cluster, action) = first_creation(1);
    let outcome = cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
    cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    // The watch is late; the pod is deleted before it comes.
    assert_eq!(creations(&mut cluster), 0);
    cluster.tell();
    assert_eq!(creations(&mut cluster), 0, "it is there");
}

#[test]
fn h3_a_created_pod_that_the_watch_has_passed_is_gone_again() {
    for by_list in [false, true] {
        let (mut cluster, action) = first_creation(1);
        let outcome = cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
        cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
        let resource_version = cluster.objects.version;
        let kind = Kind::Pod;
        if by_list {
            cluster.engine.observe(Fact::RelistBegun(kind), cluster.now);
            cluster.engine.observe(Fact::RelistEnded { kind, resource_version }, cluster.now);
        } else {
            cluster.engine.observe(Fact::Progress { kind, resource_version }, cluster.now);
        }
        assert_eq!(creations(&mut cluster), 1);
    }
}

/// What the next decision asks for: creations, and lists.
fn asked(cluster: &mut Cluster) -> (usize, usize) {
    let actions = cluster.engine.decide(cluster.now);
    let count = |is: fn(&Work) -> bool| actions.iter().filter(|one| is(&one.work)).count();
    (count(|work| matches!(work, Work::CreatePod(_))), count(|work| matches!(work, Work::Relist(Kind::Pod))))
}

/// A creation that ended so and that the watch does not show, until just before a list is asked for.
fn unseen_creation(is_known: bool) -> Cluster {
    let (mut cluster, action) = first_creation(1);
    let outcome = match is_known {
        true => cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now),
        false => Outcome::Failed { failure: Failure::Unknown, message: "timeout".to_owned() },
    };
    cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    cluster.now = cluster.now.plus_millis(29_999);
    assert_eq!(asked(&mut cluster), (0, 0));
    assert_eq!(cluster.engine.next_deadline(), Some(cluster.now.plus_millis(1)));
    cluster
}

#[test]
fn h1_no_second_pod_is_created_because_time_has_passed() {
    for is_known in [true, false] {
        let mut cluster = unseen_creation(is_known);
        let (start, mut at) = (cluster.now.plus_millis(1), Vec::new());
        while cluster.now.millis_since(start) < 3_600_000 {
            cluster.now = cluster.engine.next_deadline().unwrap();
            let (created, lists) = asked(&mut cluster);
            assert_eq!(created, 0, "known {is_known}");
            at.extend((lists > 0).then(|| cluster.now.millis_since(start) / 1000));
        }
        assert_eq!(at[..7], [0, 30, 90, 210, 450, 750, 1050], "seconds between are 30, doubled, up to 300");
    }
}

#[test]
fn h1_only_a_list_that_began_after_the_limit_decides() {
    for is_known in [true, false] {
        let mut cluster = unseen_creation(is_known);
        // Somebody has removed the pod, and the watch has shown neither that nor the pod.
        let pods: Vec<_> = cluster.objects.pods.keys().copied().collect();
        pods.into_iter().for_each(|uid| cluster.objects.remove_pod(uid));
        let (kind, version) = (Kind::Pod, cluster.objects.version);
        cluster.engine.observe(Fact::RelistBegun(kind), cluster.now);
        cluster.now = cluster.now.plus_millis(1);
        assert_eq!(asked(&mut cluster), (0, 0), "one list at a time");
        // The state that this list shows is older than what it would have to decide.
        cluster.engine.observe(Fact::RelistEnded { kind, resource_version: 1 }, cluster.now);
        assert_eq!(asked(&mut cluster), (0, 1), "known {is_known}");
        cluster.engine.observe(Fact::RelistBegun(kind), cluster.now);
        assert_eq!(asked(&mut cluster), (0, 0));
        cluster.engine.observe(Fact::RelistEnded { kind, resource_version: version }, cluster.now);
        assert_eq!(asked(&mut cluster), (1, 0), "known {is_known}");
    }
}

#[test]
fn h3_a_list_says_nothing_before_it_is_complete() {
    let (mut cluster, action) = first_creation(2);
    let outcome = cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
    cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    let created = cluster.objects.told.pop_back().unwrap();
    let stray = cluster.objects.new_uid();
    cluster.add_pod(stray, "elsewhere", |_| {});
    cluster.engine.observe(Fact::RelistBegun(Kind::Pod), cluster.now);
    // Lists come by name: the first that is named may be newer than the pod that is still to come.
    cluster.tell();
    let actions = cluster.engine.decide(cluster.now);
    let first = &action.work;
    let Work::CreatePod(first) = first else { unreachable!() };
    let again = |one: &Action| matches!(&one.work, Work::CreatePod(new) if new.node == first.node);
    assert!(!actions.iter().any(again), "the pod that was created is still to come");
    created.tell(&mut cluster.engine, cluster.now);
    let resource_version = cluster.objects.version;
    cluster.engine.observe(Fact::RelistEnded { kind: Kind::Pod, resource_version }, cluster.now);
    assert!(!cluster.engine.decide(cluster.now).iter().any(again));
}

#[test]
fn h3_a_list_that_is_older_than_a_creation_says_nothing_about_it() {
    let mut cluster = unseen_creation(true);
    cluster.now = cluster.now.plus_millis(1);
    assert_eq!(asked(&mut cluster), (0, 1));
    let (kind, version) = (Kind::Pod, cluster.objects.version - 1);
    cluster.engine.observe(Fact::RelistBegun(kind), cluster.now);
    cluster.engine.observe(Fact::RelistEnded { kind, resource_version: version }, cluster.now);
    assert_eq!(asked(&mut cluster), (0, 0));
    cluster.now = cluster.now.plus_millis(30_000);
    assert_eq!(asked(&mut cluster), (0, 1), "it is asked for again");
    cluster.objects.list(kind, &mut cluster.engine, cluster.now);
    assert_eq!(asked(&mut cluster), (0, 0), "the pod is there");
}

#[test]
fn a_creation_without_an_answer_ends_with_the_pod_that_it_made() {
    let (mut cluster, action) = first_creation(1);
    cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
    let outcome = Outcome::Failed { failure: Failure::Unknown, message: "timeout".to_owned() };
    cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    cluster.tell();
    cluster.now = cluster.now.plus_millis(60_000);
    assert_eq!(asked(&mut cluster), (0, 0));
    let uid = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.remove_pod(uid);
    cluster.tell();
    assert_eq!(asked(&mut cluster), (1, 0));
}

#[test]
fn h1_a_deletion_that_is_never_seen_is_repeated_after_a_list_has_shown_the_pod() {
    let mut cluster = Cluster::new(1);
    cluster.add("ds", plain);
    cluster.settle();
    cluster.make_ready();
    let pod = cluster.objects.pods.values().next().unwrap().clone();
    cluster.objects.remove_node(&node_name(0));
    cluster.tell();
    cluster.objects.set_node(common::Node {
        taints: vec![("full".to_owned(), String::new(), everynode_engine::placement::Effect::NoExecute)],
        ..common::plain_node(0)
    });
    cluster.tell();
    let deletes = |cluster: &mut Cluster| {
        let actions = cluster.engine.decide(cluster.now);
        actions.into_iter().find(|one| matches!(one.work, Work::DeletePod(_)))
    };
    let delete = deletes(&mut cluster).unwrap();
    cluster.engine.observe(Fact::Finished { id: delete.id, outcome: Outcome::Done }, cluster.now);
    cluster.now = cluster.now.plus_millis(30_000);
    assert!(deletes(&mut cluster).is_none());
    cluster.objects.list(Kind::Pod, &mut cluster.engine, cluster.now);
    let Work::DeletePod(again) = deletes(&mut cluster).unwrap().work else { unreachable!() };
    assert_eq!(again.uid, pod.uid);
}

#[test]
fn c9_a_namespace_that_is_going_away_gets_no_pods_and_no_event() {
    let (mut cluster, action) = first_creation(2);
    let outcome = Outcome::Failed { failure: Failure::NamespaceTerminating, message: "x".to_owned() };
    cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    let actions = cluster.engine.decide(cluster.now);
    assert!(!actions.iter().any(|one| matches!(one.work, Work::CreatePod(_) | Work::RecordEvent(_))));
    cluster.now = cluster.now.plus_millis(300_000);
    assert_eq!(creations(&mut cluster), 1);
}

#[test]
fn a3_failures_wait_twice_as_long_each_time_up_to_a_limit() {
    let (mut cluster, mut action) = first_creation(1);
    let mut waits = Vec::new();
    for _ in 0..16 {
        cluster.engine.observe(Fact::Finished { id: action.id, outcome: refused("no") }, cluster.now);
        let failed_at = cluster.now;
        action = loop {
            let actions = cluster.engine.decide(cluster.now);
            if let Some(found) = actions.into_iter().find(|one| matches!(one.work, Work::CreatePod(_))) {
                break found;
            }
            cluster.now = cluster.engine.next_deadline().unwrap();
        };
        waits.push(cluster.now.millis_since(failed_at));
    }
    assert_eq!(waits[..5], [5, 10, 20, 40, 80]);
    assert_eq!(waits[14..], [60_000, 60_000]);
}

#[test]
fn l1_failures_are_told_as_events() {
    let (mut cluster, action) = first_creation(1);
    cluster.engine.observe(Fact::Finished { id: action.id, outcome: refused("quota") }, cluster.now);
    let actions = cluster.engine.decide(cluster.now);
    let event = actions.iter().find_map(|one| match &one.work {
        Work::RecordEvent(event) => Some(event.clone()),
        _ => None,
    });
    let event = event.unwrap();
    assert_eq!(
        (event.warning, event.reason, event.message.as_str()),
        (true, "FailedCreate", "Error creating: quota")
    );
}

#[test]
fn a_list_takes_away_what_it_does_not_name() {
    let mut cluster = Cluster::new(3);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    cluster.engine.observe(Fact::RelistBegun(Kind::Node), cluster.now);
    for index in 0..2 {
        common::Told::Node(common::plain_node(index)).tell(&mut cluster.engine, cluster.now);
    }
    cluster.engine.observe(Fact::RelistEnded { kind: Kind::Node, resource_version: 0 }, cluster.now);
    cluster.settle();
    assert_eq!(cluster.daemonset(uid).status.desired_number_scheduled, 2);
}

#[test]
fn status_is_written_no_more_often_than_the_limit_allows() {
    let mut cluster = Cluster::new(10);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    let before = cluster.statuses;
    for pod in cluster.objects.pods.keys().copied().collect::<Vec<_>>() {
        cluster.objects.change_pod(pod, |pod| pod.ready = true);
        cluster.settle_now();
        cluster.now = cluster.now.plus_millis(10);
    }
    cluster.settle();
    assert_eq!((cluster.statuses - before, cluster.daemonset(uid).status.number_ready), (2, 10));
}

#[test]
fn it_can_be_asked_why() {
    let mut cluster = Cluster::new(1);
    cluster.add("ds", |object| {
        object["spec"]["template"]["spec"]["nodeSelector"] = serde_json::json!({"color": "blue"});
    });
    let mut blue = common::plain_node(1);
    blue.labels.push(("color".to_owned(), "blue".to_owned()));
    cluster.objects.set_node(blue);
    cluster.settle();
    let explain = |node: &str| cluster.engine.explain("default", "ds", node, cluster.now).unwrap();
    let plain = explain(&node_name(0));
    assert_eq!((plain.standing, plain.verdict, plain.pods.len()), (Standing::Known, Verdict::AWAY, 0));
    let wanted = Reason::NodeSelector { key: "color".to_owned(), wanted: "blue".to_owned(), actual: None };
    assert_eq!(plain.reason, Some(wanted));
    let blue = explain(&node_name(1));
    assert_eq!((blue.verdict, blue.reason), (Verdict::RUN, Some(Reason::Eligible)));
    assert!(blue.pods[0].updated && !blue.pods[0].ready);
    assert_eq!(explain("nowhere").standing, Standing::NodeMissing);
    assert_eq!(cluster.engine.explain("default", "other", "n000", cluster.now), None);
}

#[test]
fn its_figures_are_those_of_the_counters() {
    let mut cluster = Cluster::new(3);
    let uid = cluster.add("ds", |object| {
        object["metadata"]["creationTimestamp"] = "2001-09-09T01:46:40Z".into();
    });
    cluster.settle();
    cluster.make_ready();
    cluster.tell();
    cluster.engine.decide(cluster.now);
    let figures: Vec<_> = cluster.engine.daemonsets().collect();
    let [one] = figures[..] else { panic!("{figures:?}") };
    assert_eq!((one.namespace, one.name, one.uid, one.generation), ("default", "ds", uid, 1));
    assert_eq!(one.created, Some(Time::from_seconds(1_000_000_000)));
    assert_eq!((one.status.number_ready, one.status.observed_generation), (3, 1));
    assert_eq!(cluster.daemonset(uid).status.number_ready, 0, "the status is not written yet");
    assert_eq!(one.revision.unwrap(), format!("ds-{}", one.hash.unwrap()));
    assert!(!one.is_rolling);
    let template = common::with_image(&cluster.daemonset(uid).template.clone(), "i:2");
    cluster.objects.change_daemonset(uid, true, |one| one.template = template);
    cluster.settle();
    assert!(cluster.engine.daemonsets().all(|one| one.is_rolling));
}

#[test]
fn it_counts_what_it_passes_over_because_an_own_write_is_not_visible() {
    let (mut cluster, action) = first_creation(1);
    let before = cluster.engine.stale_skips().pods;
    let outcome = cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
    cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    cluster.engine.decide(cluster.now);
    assert_eq!(cluster.engine.stale_skips().pods, before + 1);
    cluster.tell();
    cluster.engine.decide(cluster.now);
    assert_eq!(cluster.engine.stale_skips().pods, before + 1, "it is visible");
}

#[test]
fn h4_a_version_that_cannot_be_compared_is_not_waited_for_and_the_pod_is() {
    let (mut cluster, action) = first_creation(1);
    let outcome = match cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now) {
        Outcome::PodCreated { name, uid, .. } => Outcome::PodCreated { name, uid, resource_version: 0 },
        other => other,
    };
    cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
    // Progress of the watch cannot say that the pod is gone again; the pod itself, or a list, can.
    cluster.engine.observe(Fact::Progress { kind: Kind::Pod, resource_version: u64::MAX / 2 }, cluster.now);
    assert_eq!(creations(&mut cluster), 0);
    cluster.now = cluster.now.plus_millis(30_000);
    assert_eq!(asked(&mut cluster), (0, 1));
    cluster.objects.list(Kind::Pod, &mut cluster.engine, cluster.now);
    assert_eq!(asked(&mut cluster), (0, 0), "it is there");
}

#[test]
fn h1_a_pod_whose_deletion_has_no_answer_counts_as_leaving_until_a_list_decides() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    cluster
        .objects
        .change_daemonset(uid, true, |one| one.template = common::with_image(&one.template, "i:2"));
    let mut deletions = 0;
    for _ in 0..100 {
        cluster.tell();
        for action in cluster.engine.decide(cluster.now) {
            let outcome = match &action.work {
                Work::DeletePod(_) => {
                    deletions += 1;
                    Outcome::Failed { failure: Failure::Unknown, message: "timeout".to_owned() }
                }
                Work::Relist(_) => Outcome::Done,
                work => cluster.objects.carry_out(&action.daemonset, work, cluster.now),
            };
            cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
        }
        cluster.now = cluster.now.plus_millis(500);
    }
    assert_eq!(deletions, 1, "neither that one again nor the other one");
    cluster.objects.list(Kind::Pod, &mut cluster.engine, cluster.now);
    assert_eq!(cluster.run(), (1, 1), "it was not carried out, and is now");
}

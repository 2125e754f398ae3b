//! What makes the engine look again at a DaemonSet: specification 1.A.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, Node, Pod, node_name, plain_node, with_image};
use everynode_engine::placement::Effect;
use everynode_engine::{Failure, Limits, Outcome, PodController, Uid, Work};
use serde_json::{Value, json};

fn plain(_: &mut Value) {}

/// A cluster with a DaemonSet `ds` whose pods are all ready, and that rests.
fn saturated(nodes: usize) -> (Cluster, Uid) {
    let mut cluster = Cluster::new(nodes);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    (cluster, uid)
}

fn taint(key: &str, effect: Effect) -> Vec<(String, String, Effect)> {
    vec![(key.to_owned(), String::new(), effect)]
}

/// A pod that nobody controls, or whom it says.
fn stray(cluster: &mut Cluster, node: &str, change: impl FnOnce(&mut Pod)) -> Uid {
    cluster.add_pod(Uid(1), node, |pod| {
        pod.controller = PodController::Nobody;
        change(pod);
    })
}

#[test]
fn a2_the_limits_are_the_built_in_controller_s() {
    let limits = Limits::default();
    assert_eq!((limits.creates_in_flight, limits.deletes_in_flight), (250, 250));
    assert_eq!((limits.failed_pod_first_millis, limits.failed_pod_last_millis), (1_000, 15 * 60_000));
    assert_eq!(limits.retry_first_millis, 5);
    assert_eq!(limits.terminating_millis, 5 * 60_000, "a namespace that goes away is left alone as long");
}

#[test]
fn a6_a_change_of_a_daemonset_is_acted_on_and_its_own_status_write_leads_to_nothing() {
    let (mut cluster, uid) = saturated(2);
    let statuses = cluster.statuses;
    assert!(cluster.daemonset(uid).status.number_available == 2);
    // What the API server answered to the write comes by the watch as well.
    cluster.objects.change_daemonset(uid, false, |_| {});
    assert_eq!((cluster.run(), cluster.statuses), ((0, 0), statuses));
    cluster.objects.change_daemonset(uid, true, |one| one.template = with_image(&one.template, "i:2"));
    assert_eq!(cluster.run(), (1, 1));
}

#[test]
fn a7_a_daemonset_of_the_same_name_and_another_uid_is_another_one() {
    for watch_collapses_both in [true, false] {
        let (mut cluster, old) = saturated(2);
        let told_before = cluster.objects.told.len();
        cluster.objects.remove_daemonset(old);
        if watch_collapses_both {
            cluster.objects.told.truncate(told_before);
        }
        let new = cluster.add("ds", plain);
        cluster.settle();
        // The garbage collector takes what the old one left; until then a pod of it is no pod of the new one.
        let count = |uid| {
            let of = |pod: &&Pod| pod.controller == PodController::DaemonSet(uid);
            cluster.objects.pods.values().filter(of).count()
        };
        assert_eq!((count(new), count(old)), (2, 2), "collapsed {watch_collapses_both}");
    }
}

#[test]
fn a8_nothing_is_done_for_a_daemonset_that_is_gone() {
    let (mut cluster, uid) = saturated(2);
    cluster.objects.remove_daemonset(uid);
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.remove_pod(pod);
    let statuses = cluster.statuses;
    assert_eq!((cluster.run(), cluster.statuses), ((0, 0), statuses));
}

#[test]
fn a9_j1_an_orphaned_revision_is_adopted_and_one_that_matches_nothing_is_not() {
    let (mut cluster, uid) = saturated(1);
    let mut orphan = cluster.objects.revisions.values().next().unwrap().clone();
    (orphan.uid, orphan.controller, orphan.revision) = (cluster.objects.new_uid(), PodController::Nobody, 7);
    orphan.name = "ds-orphan".to_owned();
    orphan.data = b"{\"spec\":{}}".to_vec().into_boxed_slice();
    let mut stranger = orphan.clone();
    (stranger.uid, stranger.name) = (cluster.objects.new_uid(), "stranger".to_owned());
    stranger.labels = vec![("app".to_owned(), "other".to_owned())];
    let (orphan, stranger) = (cluster.objects.put_revision(orphan), cluster.objects.put_revision(stranger));
    cluster.settle();
    let controller = |of: Uid| cluster.objects.revisions[&of].controller;
    assert_eq!(controller(orphan.uid), PodController::DaemonSet(uid));
    assert_eq!(controller(stranger.uid), PodController::Nobody);
    assert_eq!(
        cluster.objects.revisions.values().map(|one| one.revision).max(),
        Some(8),
        "J9: it comes last"
    );
}

#[test]
fn a10_a_revision_that_is_taken_from_its_owner_is_made_again_and_one_whose_labels_change_is_released() {
    let (mut cluster, uid) = saturated(1);
    let mut taken = cluster.objects.revisions.values().next().unwrap().clone();
    taken.controller = PodController::Other;
    cluster.objects.put_revision(taken.clone());
    assert_eq!(cluster.run(), (0, 0), "K3: the pods are of the current generation");
    let of_ours = |cluster: &Cluster| {
        let all = cluster.objects.revisions.values();
        all.filter(|one| one.controller == PodController::DaemonSet(uid)).cloned().collect::<Vec<_>>()
    };
    // The name is taken by equal data, which is used as it is (J7).
    assert_eq!((cluster.objects.revisions.len(), of_ours(&cluster).len()), (1, 0));
    taken.controller = PodController::DaemonSet(uid);
    taken.labels = vec![("app".to_owned(), "other".to_owned())];
    let released = cluster.objects.put_revision(taken);
    cluster.settle();
    assert_eq!(cluster.objects.revisions[&released.uid].controller, PodController::Nobody);
}

#[test]
fn a11_a_deleted_revision_is_made_again() {
    let (mut cluster, uid) = saturated(1);
    let revision = *cluster.objects.revisions.keys().next().unwrap();
    cluster.objects.remove_revision(revision);
    assert_eq!(cluster.run(), (0, 0));
    let again = cluster.objects.revisions.values().next().unwrap();
    assert_eq!((again.controller, again.revision), (PodController::DaemonSet(uid), 1));
}

#[test]
fn a12_g3_an_orphan_that_matches_is_adopted_and_takes_the_place_of_a_pod() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    let pod = stray(&mut cluster, "n000", |_| {});
    let leaving = stray(&mut cluster, "n000", |pod| pod.deleting = true);
    let elsewhere = stray(&mut cluster, "n000", |pod| pod.namespace = "other".to_owned());
    cluster.settle();
    let controller = |pod| cluster.objects.pods[&pod].controller;
    assert_eq!((cluster.creates, controller(pod)), (0, PodController::DaemonSet(uid)));
    assert_eq!((controller(leaving), controller(elsewhere)), (PodController::Nobody, PodController::Nobody));
}

#[test]
fn a13_a_state_of_a_pod_that_was_told_before_is_nothing_new() {
    let (mut cluster, uid) = saturated(1);
    let pod = cluster.objects.pods.values().next().unwrap().clone();
    let known = Pod { ready: false, ..pod.clone() };
    common::Told::Pod(known).tell(&mut cluster.engine, cluster.now);
    assert_eq!((cluster.run(), cluster.daemonset(uid).status.number_ready), ((0, 0), 1));
    cluster.objects.change_pod(pod.uid, |pod| pod.ready = false);
    assert_eq!((cluster.run(), cluster.daemonset(uid).status.number_ready), ((0, 0), 0));
}

#[test]
fn a13_a_pod_that_changes_hands_concerns_both() {
    let (mut cluster, _) = saturated(1);
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.change_pod(pod, |pod| pod.controller = PodController::Other);
    assert_eq!(cluster.run(), (1, 0), "the former owner has none any more");
    cluster.objects.change_pod(pod, |pod| pod.controller = PodController::Nobody);
    assert_eq!(cluster.run(), (0, 1), "it comes back, and is one too many (D8)");
    let stray = stray(&mut cluster, "n000", |pod| pod.labels = vec![("app".to_owned(), "x".to_owned())]);
    assert_eq!(cluster.run(), (0, 0));
    cluster.objects.change_pod(stray, |pod| pod.labels = vec![("app".to_owned(), "ds".to_owned())]);
    cluster.settle();
    assert_eq!(cluster.objects.pods.len(), 1, "it matches now, is adopted, and is one too many");
}

#[test]
fn a14_a_deleted_pod_is_replaced_and_an_orphan_s_end_is_of_no_concern() {
    let (mut cluster, _) = saturated(1);
    let orphan = stray(&mut cluster, "n000", |pod| pod.labels.clear());
    cluster.settle();
    cluster.objects.remove_pod(orphan);
    assert_eq!(cluster.run(), (0, 0));
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.remove_pod(pod);
    assert_eq!(cluster.run(), (1, 0));
}

#[test]
fn a15_an_owner_is_known_by_its_uid() {
    let (mut cluster, _) = saturated(1);
    cluster.add_pod(Uid(77), "n000", |pod| pod.ready = true);
    assert_eq!(cluster.run(), (0, 0), "the pod of a DaemonSet of another uid is not counted and not touched");
    assert_eq!(cluster.objects.pods.len(), 2);
}

#[test]
fn a16_an_orphan_goes_to_one_of_those_that_select_it_and_to_no_one_whose_selector_is_empty() {
    let mut cluster = Cluster::new(1);
    let select = |selector: Value| {
        move |object: &mut Value| {
            object["spec"]["selector"] = selector;
            object["spec"]["template"]["metadata"]["labels"]["app"] = "ds".into();
        }
    };
    cluster.add("every", select(json!({})));
    cluster.add("invalid", select(json!({"matchExpressions": [{"key": "app", "operator": "Near"}]})));
    let both = json!({"matchLabels": {"app": "ds"}});
    let (second, first) = (cluster.add("b", select(both.clone())), cluster.add("a", select(both)));
    let shared = stray(&mut cluster, "n000", |_| {});
    let bare = stray(&mut cluster, "n000", |pod| pod.labels.clear());
    cluster.settle();
    assert_eq!(cluster.objects.pods[&shared].controller, PodController::DaemonSet(first));
    assert_eq!(cluster.objects.pods[&bare].controller, PodController::Nobody);
    let of_second =
        cluster.objects.pods.values().filter(|pod| pod.controller == PodController::DaemonSet(second));
    assert_eq!((cluster.objects.pods.len(), of_second.count()), (3, 1), "the other one has made its own");
}

#[test]
fn a17_a18_a_node_counts_by_its_labels_and_taints() {
    let (mut cluster, uid) = saturated(1);
    cluster.objects.set_node(plain_node(1));
    assert_eq!(cluster.run(), (1, 0), "a new node gets its pod");
    cluster.make_ready();
    cluster.settle();
    let statuses = cluster.statuses;
    cluster.objects.set_node(plain_node(1));
    cluster.tell();
    assert!(cluster.engine.decide(cluster.now).is_empty(), "a heartbeat changes neither");
    assert_eq!(cluster.statuses, statuses);
    cluster.objects.set_node(Node { taints: taint("x", Effect::NoExecute), ..plain_node(1) });
    assert_eq!(cluster.run(), (0, 1));
    cluster.objects.set_node(plain_node(1));
    assert_eq!(cluster.run(), (1, 0));
    cluster.objects.set_node(Node { taints: taint("x", Effect::NoSchedule), ..plain_node(1) });
    cluster.settle();
    assert_eq!(cluster.daemonset(uid).status.number_misscheduled, 1);
    cluster.objects.set_node(plain_node(1));
    assert_eq!(cluster.run(), (0, 0));
    assert_eq!(cluster.daemonset(uid).status.number_misscheduled, 0);
}

#[test]
fn a17_a19_status_follows_at_once_when_a_node_goes_or_is_tainted() {
    let (mut cluster, uid) = saturated(3);
    cluster.objects.set_node(Node { taints: taint("x", Effect::NoSchedule), ..plain_node(0) });
    cluster.objects.remove_node(&node_name(1));
    assert_eq!(cluster.run(), (0, 0));
    let status = cluster.daemonset(uid).status;
    assert_eq!((status.desired_number_scheduled, status.number_misscheduled), (1, 1));
}

#[test]
fn a20_a_failure_is_tried_again_and_forgotten_after_success() {
    let (mut cluster, _) = saturated(3);
    let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
    // Returns how long the next deletion waits after `failures` of them.
    let mut wait_after = |pod: usize, failures: usize| {
        let node = Node { taints: taint("x", Effect::NoExecute), ..plain_node(pod) };
        cluster.objects.set_node(node);
        cluster.tell();
        let mut failed_at = cluster.now;
        for _ in 0..failures {
            let action = loop {
                let actions = cluster.engine.decide(cluster.now);
                match actions.into_iter().find(|one| matches!(one.work, Work::DeletePod(_))) {
                    Some(found) => break found,
                    None => cluster.now = cluster.engine.next_deadline().unwrap(),
                }
            };
            failed_at = cluster.now;
            let outcome = Outcome::Failed { failure: Failure::Refused, message: "no".to_owned() };
            cluster.engine.observe(everynode_engine::Fact::Finished { id: action.id, outcome }, cluster.now);
        }
        while cluster.objects.pods.contains_key(&pods[pod]) {
            cluster.settle_now();
            if cluster.objects.pods.contains_key(&pods[pod]) {
                cluster.now = cluster.engine.next_deadline().unwrap();
            }
        }
        cluster.now.millis_since(failed_at)
    };
    assert_eq!([wait_after(0, 3), wait_after(1, 1), wait_after(2, 2)], [20, 5, 10]);
}

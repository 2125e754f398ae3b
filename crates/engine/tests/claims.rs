//! Which pods a DaemonSet takes in and lets go: specification 1.G.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, Pod, node_name, refused};
use everynode_engine::{Fact, PodController, Uid, Work};
use serde_json::Value;

fn plain(_: &mut Value) {}

fn other_labels(pod: &mut Pod) {
    pod.labels = vec![("app".to_owned(), "other".to_owned())];
}

/// What becomes of a pod on the one node of a cluster with a DaemonSet `ds`.
fn check(
    what: &str,
    expected: fn(Uid) -> PodController,
    deleting: bool,
    change: impl FnOnce(&mut Pod, PodController),
) {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    cluster.objects.change_daemonset(uid, true, |one| one.deleting = deleting);
    let pod = cluster.add_pod(uid, "n000", |pod| {
        pod.created = everynode_engine::Time(0);
        change(pod, PodController::DaemonSet(uid));
    });
    cluster.settle();
    assert_eq!(cluster.objects.pods[&pod].controller, expected(uid), "{what}");
}

#[test]
fn g1_g2_g3_a_pod_belongs_to_whom_its_owner_and_labels_say() {
    let ours = PodController::DaemonSet;
    let nobody = |_| PodController::Nobody;
    check("owned and selected", ours, false, |_, _| {});
    check("owned and not selected", nobody, false, |pod, _| other_labels(pod));
    check("owned, not selected, going away", ours, true, |pod, _| other_labels(pod));
    check("an orphan", ours, false, |pod, _| pod.controller = PodController::Nobody);
    check("an orphan that is not selected", nobody, false, |pod, _| {
        pod.controller = PodController::Nobody;
        other_labels(pod);
    });
    check("an orphan, the DaemonSet going away", nobody, true, |pod, _| {
        pod.controller = PodController::Nobody;
    });
    check("an orphan that goes away", nobody, false, |pod, _| {
        (pod.controller, pod.deleting) = (PodController::Nobody, true);
    });
    check("an orphan of another namespace", nobody, false, |pod, _| {
        pod.controller = PodController::Nobody;
        pod.namespace = "other".to_owned();
    });
    check("somebody else's", |_| PodController::Other, false, |pod, _| pod.controller = PodController::Other);
}

#[test]
fn g8_an_adoption_that_fails_is_repeated_and_holds_up_its_own_node_only() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", plain);
    let orphan = cluster.add_pod(uid, "n000", |pod| pod.controller = PodController::Nobody);
    let mut created = Vec::new();
    for _ in 0..10 {
        cluster.tell();
        for action in cluster.engine.decide(cluster.now) {
            let outcome = match &action.work {
                Work::AdoptPod(_) => refused("not now"),
                work => cluster.objects.carry_out(&action.daemonset, work, cluster.now),
            };
            if let Work::CreatePod(pod) = &action.work {
                created.push(pod.node.to_string());
            }
            cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
        }
        cluster.now = cluster.now.plus_millis(10);
    }
    assert_eq!(created, [node_name(1)]);
    cluster.now = cluster.now.plus_millis(60_000);
    cluster.settle();
    assert_eq!(cluster.objects.pods[&orphan].controller, PodController::DaemonSet(uid));
    assert_eq!(cluster.objects.pods.len(), 2);
}

#[test]
fn g4_nothing_is_adopted_for_a_daemonset_that_is_gone_on_the_server() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", plain);
    cluster.settle();
    // The watch is late: the server says no when it is asked about the DaemonSet itself.
    cluster.objects.change_daemonset(uid, true, |one| one.deleting = true);
    let late = cluster.objects.told.pop_back();
    let orphan = cluster.add_pod(uid, "n000", |pod| pod.controller = PodController::Nobody);
    cluster.settle();
    assert_eq!(cluster.objects.pods[&orphan].controller, PodController::Nobody);
    cluster.objects.told.extend(late);
    cluster.settle();
    assert_eq!(cluster.objects.pods[&orphan].controller, PodController::Nobody);
}

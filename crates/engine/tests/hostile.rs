//! What people can do who may write ControllerRevisions, pods' labels or policies in a namespace, and not DaemonSets.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::fleet::{Fleet, runs};
use common::{Cluster, change_image, plain_node, rolling};
use everynode_engine::{Phase, PodController, RevisionFact, revision};
use serde_json::json;

const FORGED: &str = "forged";

/// A fleet whose roll-out to `i:2` waits after its canary.
fn at_the_canary() -> Fleet {
    let waves = json!([{"nodes": 1, "gate": "Manual"}, {"nodes": "100%"}]);
    let policy = json!({"waves": waves, "failure": {"action": "Rollback"}});
    let mut fleet = Fleet::new(4, rolling(1, 0)).with_policy(policy);
    fleet.cluster.settle();
    fleet.cluster.now = fleet.cluster.now.plus_millis(10_000);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    assert_eq!(fleet.phase(), "WaitingForPromotion");
    fleet
}

/// A pod was made of an image.
fn made(fleet: &Fleet, image: &str) -> bool {
    fleet.cluster.objects.images_made.iter().any(|one| one == image)
}

/// Puts a revision with a template of their own in the place of the one of the old pods.
fn forge(fleet: &mut Fleet, labels: serde_json::Value) -> RevisionFact {
    let good = fleet.entry()["lastGoodRevision"].as_str().unwrap().to_owned();
    let hash = |one: &RevisionFact| one.labels.iter().any(|(_, value)| *value == good);
    let old = fleet.cluster.objects.revisions.values().find(|one| hash(one)).cloned().unwrap();
    fleet.cluster.objects.remove_revision(old.uid);
    let template = json!({
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": FORGED}], "hostPID": true},
    });
    let data = revision::data(&template).to_vec().into_boxed_slice();
    let uid = fleet.cluster.objects.new_uid();
    let forged = RevisionFact { uid, resource_version: 0, data, ..old };
    fleet.cluster.objects.put_revision(forged)
}

#[test]
fn no_pod_is_made_of_a_revision_that_was_put_in_the_place_of_the_last_good_one() {
    // Known to the leader, and to the next one by the status.
    for fails_over in [false, true] {
        let mut fleet = at_the_canary();
        forge(&mut fleet, json!({"app": "ds"}));
        if fails_over {
            fleet.fail_over();
        }
        fleet.annotate("abort", fleet.hash());
        (4..6).for_each(|index| fleet.cluster.objects.set_node(plain_node(index)));
        fleet.roll(runs);
        assert!(!made(&fleet, FORGED), "{:#}", fleet.entry());
        let message = fleet.entry()["message"].as_str().unwrap_or_default();
        match fails_over {
            // It had read the true one before.
            false => assert_eq!((fleet.phase(), made(&fleet, "i:1")), ("RolledBack", true)),
            true => {
                assert_eq!(fleet.phase(), "Halted");
                assert!(message.ends_with("there is no revision to go back to"), "{message}");
            }
        }
    }
}

#[test]
fn a_way_back_that_no_status_tells_of_is_one_that_the_leader_has_seen() {
    for (fails_over, is_forged, made_again) in
        [(false, false, true), (false, true, false), (true, false, false), (true, true, false)]
    {
        let mut fleet = at_the_canary();
        if is_forged {
            forge(&mut fleet, json!({"app": "ds"}));
        }
        // The policy is made anew, and so has no status.
        fleet.cluster.policies[0]["metadata"]["uid"] = json!("00000000-0000-4000-8000-00000000ffff");
        fleet.cluster.policies[0]["status"] = json!(null);
        fleet.cluster.tell_policies();
        if fails_over {
            fleet.fail_over();
        }
        fleet.roll(runs);
        fleet.cluster.objects.images_made.clear();
        fleet.annotate("abort", fleet.hash());
        fleet.roll(runs);
        let case = format!("fails over {fails_over}, forged {is_forged}: {:#}", fleet.entry());
        assert!(!made(&fleet, FORGED), "{case}");
        assert_eq!(made(&fleet, "i:1"), made_again, "{case}");
    }
}

/// Pods that lose their labels as soon as they are made, or are gone.
#[test]
fn creations_on_a_node_are_bounded_whoever_takes_the_pods_away() {
    for is_released in [true, false] {
        let mut cluster = Cluster::new(3);
        let uid = cluster.add("ds", |_| {});
        let (begun, mut made) = (cluster.now, 0);
        while cluster.now.millis_since(begun) < 300_000 {
            cluster.step();
            let fresh: Vec<_> = cluster
                .objects
                .pods
                .values()
                .filter(|pod| pod.controller == PodController::DaemonSet(uid) && pod.label("app").is_some())
                .map(|pod| pod.uid)
                .collect();
            made += fresh.len();
            for pod in fresh {
                match is_released {
                    true => cluster.objects.change_pod(pod, |pod| pod.labels.clear()),
                    false => cluster.objects.remove_pod(pod),
                }
            }
            cluster.now = cluster.now.plus_millis(50);
        }
        // Five at once and then after 1, 2, 4, ... seconds: 13 on each of three nodes.
        assert!((30..=42).contains(&made), "{made} pods, released: {is_released}");
        assert_eq!(cluster.events.iter().filter(|(reason, _)| *reason == "DaemonPodsDoNotStay").count(), 3);
    }
}

/// One ready pod that is released and given back makes room for a new one each time, and is nothing new itself.
#[test]
fn a_pod_that_is_taken_away_and_given_back_does_not_let_the_brake_go() {
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", |_| {});
    cluster.settle();
    let (old, labels) =
        cluster.objects.pods.values().map(|pod| (pod.uid, pod.labels.clone())).next().unwrap();
    let (begun, mut seen) = (cluster.now, std::collections::BTreeSet::new());
    let mut is_given = true;
    while cluster.now.millis_since(begun) < 300_000 {
        is_given = !is_given;
        cluster.objects.change_pod(old, |pod| {
            pod.labels = if is_given { labels.clone() } else { Vec::new() };
            pod.controller = PodController::DaemonSet(uid);
            (pod.phase, pod.bound, pod.ready) = (Phase::Running, true, true);
        });
        cluster.step();
        let pods = cluster.objects.pods.values().filter(|pod| pod.uid != old);
        let fresh: Vec<_> = pods.map(|pod| pod.uid).collect();
        seen.extend(fresh.iter().copied());
        if is_given {
            fresh.into_iter().for_each(|pod| cluster.objects.remove_pod(pod));
        }
        cluster.now = cluster.now.plus_millis(50);
    }
    assert!((2..=14).contains(&seen.len()), "{} pods", seen.len());
}

/// The largest number that there is.
#[test]
fn a_revision_of_the_largest_number_keeps_nobody_from_the_next_template() {
    let mut cluster = Cluster::new(2);
    let uid = cluster.add("ds", |_| {});
    cluster.settle();
    let first = cluster.objects.revisions.values().next().unwrap().clone();
    cluster.objects.put_revision(RevisionFact { revision: i64::MAX, resource_version: 0, ..first });
    change_image(&mut cluster, uid, "i:2");
    cluster.settle();
    assert!(cluster.objects.images_made.iter().any(|image| image == "i:2"));
    assert!(cluster.objects.revisions.values().all(|one| one.revision >= 0));
}

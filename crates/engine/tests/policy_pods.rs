//! What a roll-out under a policy does with the pods of one node.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::fleet::{Fleet, Image, runs};
use common::{change_image, rolling};
use everynode_engine::{Fact, PodController, Uid, Work};
use serde_json::{Value, json};

fn is_deletion(work: &Work) -> bool {
    matches!(work, Work::DeletePod(_) | Work::DeletePodAsKnown { .. })
}

fn live_pods_on(fleet: &Fleet, node: &str) -> Vec<Uid> {
    let pods = fleet.cluster.objects.pods.values();
    pods.filter(|pod| pod.node.as_deref() == Some(node) && !pod.deleting).map(|pod| pod.uid).collect()
}

#[test]
fn an_orphan_is_adopted_before_it_is_replaced() {
    let mut fleet = Fleet::new(2, rolling(1, 0)).with_policy(json!({"maxUnavailable": 2}));
    fleet.roll(runs);
    // Something is left to do for the roll-out.
    let other = live_pods_on(&fleet, "n001")[0];
    fleet.cluster.objects.change_pod(other, |pod| pod.ready = false);
    // It has the labels of the DaemonSet, and no owner yet.
    let owner = fleet.uid;
    let orphan = fleet.cluster.add_pod(owner, "n000", |pod| {
        pod.controller = PodController::Nobody;
        pod.labels = vec![("app".to_owned(), "ds".to_owned())];
    });
    let adoptions = fleet.step_without(|work| matches!(work, Work::AdoptPod(_)) || is_deletion(work));
    let asked: Vec<&Work> = adoptions.iter().map(|(_, work)| work).collect();
    assert!(matches!(asked.as_slice(), [Work::AdoptPod(pod)] if pod.uid == orphan), "{asked:?}");
}

#[test]
fn no_third_pod_comes_while_one_of_two_may_stay() {
    // Whether the deletion has no answer yet, or was refused.
    for is_refused in [false, true] {
        let mut fleet = Fleet::new(1, |object| {
            object["spec"]["minReadySeconds"] = 30.into();
            rolling(0, 1)(object);
        });
        fleet = fleet.with_policy(json!({}));
        fleet.roll(runs);
        change_image(&mut fleet.cluster, fleet.uid, "i:2");
        for _ in 0..20 {
            fleet.cluster.step();
            fleet.work(&runs);
        }
        assert_eq!(live_pods_on(&fleet, "n000").len(), 2, "the second one is not available yet");
        change_image(&mut fleet.cluster, fleet.uid, "i:3");
        for _ in 0..20 {
            for (id, work) in fleet.step_without(is_deletion) {
                if is_refused {
                    fleet
                        .cluster
                        .engine
                        .observe(Fact::Finished { id, outcome: common::refused("no") }, fleet.cluster.now);
                }
                assert!(is_deletion(&work));
            }
            fleet.cluster.now = fleet.cluster.now.plus_millis(10);
            assert!(live_pods_on(&fleet, "n000").len() <= 2, "refused: {is_refused}");
        }
        fleet.roll(runs);
        assert_eq!(fleet.pods_with("i:3"), usize::from(is_refused), "nothing else comes before an answer");
    }
}

#[test]
fn an_equal_revision_under_another_name_restarts_no_pod() {
    let mut fleet = Fleet::new(3, rolling(1, 0)).with_policy(json!({}));
    fleet.roll(runs);
    let before: Vec<Uid> = fleet.cluster.objects.pods.keys().copied().collect();
    let (uid, mut twin) =
        fleet.cluster.objects.revisions.iter().map(|(uid, one)| (*uid, one.clone())).next().unwrap();
    twin.uid = fleet.cluster.objects.new_uid();
    twin.name = "twin".to_owned();
    twin.revision += 1;
    twin.labels
        .iter_mut()
        .filter(|(key, _)| key == "controller-revision-hash")
        .for_each(|(_, hash)| *hash = "twin".into());
    fleet.cluster.objects.put_revision(twin);
    fleet.cluster.objects.remove_revision(uid);
    fleet.roll(runs);
    let after: Vec<Uid> = fleet.cluster.objects.pods.keys().copied().collect();
    assert_eq!((before, fleet.phase(), fleet.hash()), (after, "Complete", "twin".to_owned()));
}

#[test]
fn a_roll_out_without_nodes_waits_for_them_and_passes_no_deadline() {
    let policy = json!({"maxUnavailable": "50%", "progressDeadlineSeconds": 60, "waves": [{"nodes": 1}, {"nodes": "100%"}]});
    let mut fleet = Fleet::new(2, rolling(1, 0)).with_policy(policy);
    fleet.roll(runs);
    let nodes: Vec<_> = fleet.cluster.objects.nodes.values().cloned().collect();
    nodes.iter().for_each(|node| fleet.cluster.objects.remove_node(&node.name));
    fleet
        .cluster
        .objects
        .pods
        .keys()
        .copied()
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|uid| fleet.cluster.objects.remove_pod(uid));
    change_image(&mut fleet.cluster, fleet.uid, "none");
    fleet.roll(runs);
    fleet.cluster.now = fleet.cluster.now.plus_millis(3_600_000);
    fleet.cluster.settle();
    let said = |fleet: &Fleet| {
        (fleet.phase().to_owned(), fleet.entry()["message"].clone(), condition(fleet, "Progressing"))
    };
    assert_eq!(said(&fleet), ("Progressing".to_owned(), json!("no node is eligible"), json!("RollingOut")));
    // They join, and it goes in waves: the first one shows that the image cannot be pulled.
    nodes.into_iter().for_each(|node| fleet.cluster.objects.set_node(node));
    fleet.roll(|image| if image == "none" { Image::CannotBePulled } else { Image::Runs });
    assert_eq!((fleet.phase(), fleet.pods_with("none"), fleet.pods_with("i:1")), ("Halted", 1, 1));
}

fn condition(fleet: &Fleet, kind: &str) -> Value {
    let conditions = fleet.cluster.policies[0]["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|one| one["type"] == kind).unwrap()["reason"].clone()
}

//! Roll-outs: specification 1.E and 1.F.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::{Cluster, change_image, node_name, rolling, saturated};
use everynode_engine::placement::Effect;
use everynode_engine::pod_body::{GENERATION_LABEL, HASH_LABEL};
use everynode_engine::{Fact, IntOrPercent, Phase, PodRef, Strategy, Uid, Work};
use serde_json::{Value, json};

/// How many pods carry the hash of the newest revision.
fn updated(cluster: &Cluster) -> usize {
    let newest = cluster.objects.revisions.values().max_by_key(|one| one.revision).unwrap();
    let hash = newest.labels.iter().find(|(key, _)| key == HASH_LABEL).map(|(_, value)| value.as_str());
    cluster.objects.pods.values().filter(|pod| pod.label(HASH_LABEL) == hash).count()
}

#[test]
fn f6_old_pods_go_in_waves_within_the_budget() {
    let (mut cluster, uid) = saturated(5, rolling(2, 0));
    change_image(&mut cluster, uid, "i:2");
    for (wave, total) in [(2, 2), (2, 4), (1, 5), (0, 5)] {
        assert_eq!(cluster.run(), (wave, wave));
        assert_eq!(updated(&cluster), total);
        cluster.make_ready();
    }
    let status = cluster.daemonset(uid).status;
    assert_eq!((status.updated_number_scheduled, status.number_available), (5, 5));
}

#[test]
fn f6_nodes_are_taken_by_name() {
    let (mut cluster, uid) = saturated(5, rolling(2, 0));
    change_image(&mut cluster, uid, "i:2");
    cluster.run();
    let fresh = cluster.objects.pods.values().filter(|pod| !pod.ready);
    let nodes: Vec<&str> = fresh.filter_map(|pod| pod.node.as_deref()).collect();
    assert_eq!(nodes, ["n000", "n001"]);
}

#[test]
fn f4_an_update_stalls_while_the_new_pods_are_not_ready() {
    let (mut cluster, uid) = saturated(5, rolling(3, 0));
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run(), (3, 3));
    assert_eq!(cluster.run(), (0, 0));
    assert_eq!(cluster.daemonset(uid).status.number_unavailable, 3);
}

#[test]
fn f5_old_pods_that_are_not_available_go_outside_the_budget() {
    let (mut cluster, uid) = saturated(20, rolling(3, 0));
    let sick: Vec<Uid> = cluster.objects.pods.keys().copied().take(10).collect();
    for pod in sick {
        cluster.objects.change_pod(pod, |pod| pod.ready = false);
    }
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run(), (10, 10), "ten unavailable ones exceed the budget, so no healthy one goes");
    assert_eq!(cluster.run(), (0, 0));
}

#[test]
fn f5_all_pods_go_at_once_when_none_is_available() {
    let mut cluster = Cluster::new(5);
    let uid = cluster.add("ds", rolling(3, 0));
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run(), (5, 5));
}

/// An old pod that came back is the older one, so that manage deletes the new one beside it (D8). Both deletions at once
/// may arrive in the other order, and would take the pod that stays first.
#[test]
fn h2_one_pod_of_a_node_goes_at_a_time() {
    let (mut cluster, uid) = saturated(1, rolling(1, 0));
    let old = *cluster.objects.pods.keys().next().unwrap();
    change_image(&mut cluster, uid, "i:2");
    cluster.objects.change_pod(old, |pod| pod.labels.retain(|(key, _)| key != "app"));
    cluster.settle();
    cluster.make_ready();
    cluster.settle();
    assert_eq!(cluster.objects.pods.len(), 2, "one of them is not the DaemonSet's");
    cluster.objects.change_pod(old, |pod| pod.labels.push(("app".to_owned(), "ds".to_owned())));
    cluster.tell();
    let writes = deletions_until_one_is_seen(&mut cluster);
    assert!(writes.len() == 1 && writes[0].uid != old, "{writes:?}");
    assert_eq!(
        (cluster.run().1, updated(&cluster)),
        (1, 1),
        "the old one goes when the other one is seen to"
    );
}

/// Has all writes carried out but deletions, until some are asked for; they are carried out too, and not seen yet.
fn deletions_until_one_is_seen(cluster: &mut Cluster) -> Vec<PodRef> {
    for _ in 0..10 {
        let actions = cluster.engine.decide(cluster.now);
        let mut deleted = Vec::new();
        for action in actions {
            if let Work::DeletePod(pod) = &action.work {
                deleted.push(pod.clone());
            }
            let outcome = cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
            cluster.engine.observe(Fact::Finished { id: action.id, outcome }, cluster.now);
        }
        if !deleted.is_empty() {
            let more = cluster.engine.decide(cluster.now);
            deleted.extend(more.into_iter().filter_map(|action| match action.work {
                Work::DeletePod(pod) => Some(pod),
                _ => None,
            }));
            return deleted;
        }
        cluster.tell();
        cluster.now = cluster.now.plus_millis(1000);
    }
    panic!("nothing is deleted");
}

#[test]
fn f5_a_failed_old_pod_goes_although_it_is_in_backoff() {
    let (mut cluster, uid) = saturated(1, rolling(1, 0));
    for _ in 0..4 {
        let pod = *cluster.objects.pods.keys().next().unwrap();
        cluster.objects.change_pod(pod, |pod| (pod.phase, pod.ready) = (Phase::Failed, false));
        cluster.now = cluster.now.plus_millis(8000);
        cluster.settle_now();
    }
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.change_pod(pod, |pod| (pod.phase, pod.bound) = (Phase::Failed, true));
    cluster.settle_now();
    assert!(cluster.objects.pods.contains_key(&pod), "it is kept in backoff");
    change_image(&mut cluster, uid, "i:2");
    cluster.settle_now();
    assert!(!cluster.objects.pods.contains_key(&pod));
}

#[test]
fn f15_on_delete_replaces_nothing_and_uses_the_new_template_afterwards() {
    let (mut cluster, uid) =
        saturated(3, |object| object["spec"]["updateStrategy"] = json!({"type": "OnDelete"}));
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run(), (0, 0));
    assert_eq!(
        (cluster.objects.revisions.len(), cluster.daemonset(uid).status.updated_number_scheduled),
        (2, 0)
    );
    let pod = *cluster.objects.pods.keys().next().unwrap();
    cluster.objects.remove_pod(pod);
    assert_eq!(cluster.run(), (1, 0));
    assert_eq!((updated(&cluster), cluster.daemonset(uid).status.updated_number_scheduled), (1, 1));
}

#[test]
fn f12_surge_adds_new_pods_before_old_ones_go() {
    let (mut cluster, uid) = saturated(5, rolling(0, 2));
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run(), (2, 0));
    assert_eq!(cluster.objects.pods.len(), 7);
    assert_eq!(cluster.run(), (0, 0), "the new ones are not ready");
    cluster.make_ready();
    assert_eq!(cluster.run(), (2, 2));
    cluster.make_ready();
    assert_eq!(cluster.run(), (1, 2));
    cluster.make_ready();
    assert_eq!(cluster.run(), (0, 1));
    assert_eq!((updated(&cluster), cluster.objects.pods.len()), (5, 5));
}

#[test]
fn f10_surge_is_not_limited_where_the_old_pod_is_not_available() {
    let mut cluster = Cluster::new(5);
    let uid = cluster.add("ds", rolling(0, 1));
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    // D11 then deletes the old ones, as they are not ready.
    assert_eq!(cluster.run(), (5, 5));
    assert_eq!(updated(&cluster), 5);
}

/// Statement F3.
#[test]
fn d11_an_old_ready_pod_stays_until_the_new_one_is_available() {
    let minimum = |object: &mut Value| {
        rolling(0, 1)(object);
        object["spec"]["minReadySeconds"] = 30.into();
    };
    let mut cluster = Cluster::new(1);
    let uid = cluster.add("ds", minimum);
    cluster.settle();
    cluster.make_ready();
    cluster.now = cluster.now.plus_millis(60_000);
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    cluster.settle_now();
    cluster.make_ready();
    let ready_at = cluster.now;
    cluster.settle_now();
    assert_eq!(cluster.objects.pods.len(), 2);
    cluster.now = common_floor(ready_at).plus_millis(29_999);
    cluster.settle_now();
    assert_eq!(cluster.objects.pods.len(), 2, "not available yet");
    cluster.now = cluster.now.plus_millis(1);
    cluster.settle_now();
    assert_eq!(cluster.objects.pods.len(), 1, "available to the millisecond");
    assert_eq!(updated(&cluster), 1);
}

fn common_floor(time: everynode_engine::Time) -> everynode_engine::Time {
    everynode_engine::Time(time.0 / 1000 * 1000)
}

#[test]
fn f13_available_pods_on_nodes_that_should_not_run_them_go_when_others_are_available() {
    let (mut cluster, uid) = saturated(4, rolling(0, 2));
    for index in 0..2 {
        let mut node = common::plain_node(index);
        node.taints.push(("dedicated".to_owned(), String::new(), Effect::NoSchedule));
        cluster.objects.set_node(node);
    }
    assert_eq!(cluster.run(), (0, 0), "shouldContinueRunning keeps them");
    assert_eq!(cluster.daemonset(uid).status.number_misscheduled, 2);
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run(), (2, 2), "two surge, two surplus available ones go");
    cluster.make_ready();
    assert_eq!(cluster.run(), (0, 2));
    assert_eq!((updated(&cluster), cluster.objects.pods.len()), (2, 2));
}

#[test]
fn f10_a_surge_stops_while_an_old_pod_sits_on_a_missing_node() {
    let (mut cluster, uid) = saturated(3, rolling(0, 1));
    cluster.objects.remove_node(&node_name(2));
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run(), (0, 0));
    let lost = cluster.objects.pods.values().find(|pod| pod.node.as_deref() == Some("n002")).unwrap().uid;
    cluster.objects.remove_pod(lost);
    assert_eq!(cluster.run(), (1, 0));
}

#[test]
fn f7_an_available_old_pod_on_a_missing_node_is_a_candidate_without_surge() {
    let (mut cluster, uid) = saturated(1, rolling(1, 0));
    cluster.objects.remove_node(&node_name(0));
    cluster.objects.set_node(common::plain_node(1));
    cluster.settle();
    cluster.make_ready();
    change_image(&mut cluster, uid, "i:2");
    cluster.settle();
    let nodes: Vec<_> = cluster.objects.pods.values().filter_map(|pod| pod.node.clone()).collect();
    assert_eq!(nodes, ["n001"]);
}

/// Statement J9.
#[test]
fn f16_a_rollback_restarts_no_pod_that_is_already_there() {
    let (mut cluster, uid) = saturated(4, rolling(1, 0));
    change_image(&mut cluster, uid, "i:non-existent");
    assert_eq!(cluster.run(), (1, 1));
    change_image(&mut cluster, uid, "i:1");
    assert_eq!(cluster.run(), (1, 1), "only the pod of the bad image is replaced");
    let mut numbers: Vec<i64> = cluster.objects.revisions.values().map(|one| one.revision).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3], "J9");
}

#[test]
fn f0_no_roll_out_while_creations_fail() {
    let (mut cluster, uid) = saturated(4, rolling(1, 0));
    cluster.objects.creations_left = Some(0);
    cluster.objects.set_node(common::plain_node(4));
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    cluster.settle();
    assert_eq!(cluster.deletes, 0);
}

#[test]
fn e2_percentages_are_rounded_up() {
    for (percent, total, expected) in
        [(50, 1, 1), (50, 2, 1), (50, 3, 2), (100, 2, 2), (1, 1000, 10), (34, 0, 0)]
    {
        assert_eq!(IntOrPercent::Percent(percent).scaled(total), expected, "{percent}% of {total}");
    }
}

#[test]
fn e1_any_percentage_allows_surge() {
    let strategy = |max_surge| Strategy::RollingUpdate { max_unavailable: IntOrPercent::Int(0), max_surge };
    assert!(strategy(IntOrPercent::Percent(1)).allows_surge());
    assert!(!strategy(IntOrPercent::Percent(0)).allows_surge());
    assert!(!Strategy::OnDelete.allows_surge());
}

/// Statement F1.
#[test]
fn k3_pods_of_the_current_generation_are_not_restarted_when_the_history_is_lost() {
    let (mut cluster, uid) = saturated(3, rolling(1, 0));
    for pod in cluster.objects.pods.keys().copied().collect::<Vec<_>>() {
        cluster.objects.change_pod(pod, |pod| {
            pod.labels.retain(|(key, _)| key != HASH_LABEL);
            pod.labels.push((HASH_LABEL.to_owned(), "foreign".to_owned()));
            pod.labels.sort();
        });
    }
    let revision = *cluster.objects.revisions.keys().next().unwrap();
    cluster.objects.remove_revision(revision);
    assert_eq!(cluster.run(), (0, 0));
    assert_eq!(
        (cluster.objects.revisions.len(), cluster.daemonset(uid).status.updated_number_scheduled),
        (1, 3)
    );
}

#[test]
fn e3_what_is_no_complete_rolling_update_rolls_nothing() {
    let whole = json!({"maxUnavailable": 1, "maxSurge": 0});
    for (strategy, rolls) in [
        (json!({"type": "RollingUpdate", "rollingUpdate": whole}), true),
        (json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}), true),
        (json!({"type": "OnDelete", "rollingUpdate": whole}), false),
        (json!({"type": "RollingUpdate"}), false),
        (json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}), false),
        (json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "1"}}), false),
    ] {
        assert_eq!(Strategy::from_json(&strategy) != Strategy::OnDelete, rolls, "{strategy}");
    }
}

#[test]
fn e4_when_both_numbers_are_zero_one_node_may_be_unavailable() {
    for (unavailable, surge) in [(json!(0), json!(0)), (json!("0%"), json!("0%"))] {
        let (mut cluster, uid) = saturated(3, rolling(unavailable, surge));
        change_image(&mut cluster, uid, "i:2");
        assert_eq!(cluster.run(), (1, 1));
    }
}

#[test]
fn e5_a_node_without_a_pod_uses_the_budget() {
    let (mut cluster, uid) = saturated(4, rolling(1, 0));
    cluster.objects.refusing = vec![node_name(4)];
    cluster.objects.set_node(common::plain_node(4));
    cluster.settle();
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run().1, 0);
}

#[test]
fn e6_where_no_node_should_run_a_pod_a_surge_in_percent_is_none() {
    for (max_surge, deleted) in [(json!("50%"), 1), (json!(1), 2)] {
        let (mut cluster, uid) = saturated(2, rolling(0, max_surge.clone()));
        for index in 0..2 {
            let mut node = common::plain_node(index);
            node.taints.push(("dedicated".to_owned(), String::new(), Effect::NoSchedule));
            cluster.objects.set_node(node);
        }
        let sick = *cluster.objects.pods.keys().next().unwrap();
        cluster.objects.change_pod(sick, |pod| pod.ready = false);
        cluster.settle();
        change_image(&mut cluster, uid, "i:2");
        // In percent of no node: F5 without surge, where only the unavailable one goes. As a number: F13.
        assert_eq!(cluster.run(), (0, deleted), "{max_surge}");
        assert!(!cluster.objects.pods.contains_key(&sick));
    }
}

#[test]
fn f1_a_pod_is_updated_by_its_hash_or_by_its_generation() {
    for (hash, generation, is_updated) in [
        ("current", "1", true),
        ("current", "9", true),
        ("other", "1", true),
        ("other", "9", false),
        ("other", "", false),
        ("", "", false),
    ] {
        let (mut cluster, uid) = saturated(1, rolling(1, 0));
        let pod = *cluster.objects.pods.keys().next().unwrap();
        cluster.objects.change_pod(pod, |pod| {
            for (key, value) in &mut pod.labels {
                match key.as_str() {
                    HASH_LABEL if hash != "current" => value.replace_range(.., hash),
                    GENERATION_LABEL => value.replace_range(.., generation),
                    _ => {}
                }
            }
        });
        let restarted = cluster.run() != (0, 0);
        assert_eq!(restarted, !is_updated, "{hash} {generation}");
        assert_eq!(cluster.daemonset(uid).status.updated_number_scheduled, 1);
    }
}

#[test]
fn f2_f8_a_node_with_two_pods_of_one_template_counts_as_surging() {
    for (max_surge, created) in [(1, 0), (2, 1)] {
        let (mut cluster, uid) = saturated(2, rolling(0, max_surge));
        let relabel = |cluster: &mut Cluster, pod: Uid, hash: &str, generation: &str| {
            cluster.objects.change_pod(pod, |pod| {
                for (key, value) in &mut pod.labels {
                    match key.as_str() {
                        HASH_LABEL => value.replace_range(.., hash),
                        GENERATION_LABEL => value.replace_range(.., generation),
                        _ => {}
                    }
                }
            });
        };
        let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
        let labels = cluster.objects.pods[&pods[0]].labels.clone();
        // By the hash the first node has an old and a new pod, which stay (D11); by F1 both are new.
        relabel(&mut cluster, pods[0], "foreign", "1");
        cluster.add_pod(uid, "n000", |pod| (pod.labels, pod.name) = (labels, "z".to_owned()));
        relabel(&mut cluster, pods[1], "foreign", "9");
        assert_eq!(cluster.run(), (created, 0), "{max_surge}");
    }
}

#[test]
fn f3_a_pod_is_available_when_it_has_been_ready_for_long_enough() {
    for (min_ready_seconds, ready_since, expected) in
        [(0, None, 1), (0, Some(0), 1), (10, None, 0), (10, Some(10), 1), (10, Some(9), 0), (10, Some(60), 1)]
    {
        let mut cluster = Cluster::new(1);
        let uid = cluster.add("ds", |object| object["spec"]["minReadySeconds"] = min_ready_seconds.into());
        let now = cluster.now;
        cluster.add_pod(uid, "n000", |pod| {
            pod.ready = true;
            pod.ready_since = ready_since.map(|ago: i64| now.plus_millis(-ago * 1000));
        });
        cluster.settle_now();
        cluster.now = cluster.now.plus_millis(100);
        cluster.settle_now();
        let available = cluster.daemonset(uid).status.number_available;
        assert_eq!(available, expected, "{min_ready_seconds} {ready_since:?}");
    }
}

#[test]
fn f9_f11_f14_a_surge_creates_and_deletes_in_one_round() {
    let (mut cluster, uid) = saturated(3, rolling(0, 1));
    change_image(&mut cluster, uid, "i:2");
    assert_eq!(cluster.run(), (1, 0));
    // F11: a new pod that is not available counts as surging.
    assert_eq!(cluster.run(), (0, 0));
    cluster.make_ready();
    assert_eq!(cluster.run(), (1, 1), "an old one goes, the next new one comes");
    cluster.make_ready();
    assert_eq!(cluster.run(), (1, 1));
    cluster.make_ready();
    assert_eq!(cluster.run(), (0, 1));
    // F9: where no old pod is, nothing is to be done.
    assert_eq!((cluster.run(), updated(&cluster)), ((0, 0), 3));
}

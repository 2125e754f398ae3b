//! How long nodes were served.
//!
//! `EVERYNODE_ORACLE_SEED` sets the first seed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panic, and says its seed")]

mod common;

use common::{Cluster, Node, Pod, change_image, node_name, plain_node, rolling, saturated};
use everynode_engine::placement::Effect;
use everynode_engine::{Coverage, Phase, Service, Trouble, Uid};
use everynode_testkit::set_number;

fn coverage(cluster: &Cluster) -> Coverage {
    *cluster.engine.coverage().next().unwrap().1
}

/// The states that nodes are in, and how many.
fn states(cluster: &Cluster) -> Vec<(&'static str, u32)> {
    let coverage = coverage(cluster);
    let all = Service::ALL.map(|state| (state.name(), coverage.nodes(state)));
    all.into_iter().filter(|(_, nodes)| *nodes > 0).collect()
}

fn pod_on(cluster: &Cluster, node: &str) -> Uid {
    cluster.objects.pods.values().find(|pod| pod.node.as_deref() == Some(node)).unwrap().uid
}

fn first_pod(cluster: &Cluster) -> Uid {
    *cluster.objects.pods.keys().next().unwrap()
}

#[test]
fn a_node_is_served_or_the_cause_is_named() {
    let check = |what: &str, expected: &[(&str, u32)], happens: &dyn Fn(&mut Cluster)| {
        let (mut cluster, _) = saturated(3, rolling(1, 0));
        happens(&mut cluster);
        cluster.settle_now();
        assert_eq!(states(&cluster), expected, "{what}");
    };
    let one_is = |state| [("served", 2), (state, 1)];
    let pod = |change: fn(&mut Pod)| {
        move |cluster: &mut Cluster| {
            let pod = first_pod(cluster);
            cluster.objects.change_pod(pod, change);
        }
    };
    check("all serve", &[("served", 3)], &|_| {});
    check(
        "a container ends again and again",
        &one_is("crashing"),
        &pod(|pod| {
            (pod.ready, pod.trouble) = (false, Some(Trouble::CrashLoopBackOff));
        }),
    );
    check("its pod is not ready any more", &one_is("crashing"), &pod(|pod| pod.ready = false));
    check(
        "an image is missing",
        &one_is("imagePull"),
        &pod(|pod| {
            (pod.ready, pod.trouble) = (false, Some(Trouble::ErrImagePull));
        }),
    );
    check("the new pod waits for the scheduler", &one_is("unschedulable"), &|cluster| {
        let pod = first_pod(cluster);
        cluster.objects.remove_pod(pod);
    });
    check("the new pod comes up", &one_is("starting"), &|cluster| {
        let pod = first_pod(cluster);
        cluster.objects.remove_pod(pod);
        cluster.settle_now();
        let new = cluster.objects.pods.values().find(|pod| !pod.bound).unwrap().uid;
        cluster.objects.change_pod(new, |pod| pod.bound = true);
    });
    let goes_down = |taints: &'static [&'static str]| {
        move |cluster: &mut Cluster| {
            let taint = |key: &&str| ((*key).to_owned(), String::new(), Effect::NoSchedule);
            let taints: Vec<_> = taints.iter().map(taint).collect();
            let not_ready_since = Some(cluster.now).filter(|_| taints.is_empty());
            cluster.objects.set_node(Node { taints, not_ready_since, ..plain_node(0) });
            let pod = pod_on(cluster, "n000");
            cluster.objects.change_pod(pod, |pod| pod.ready = false);
        }
    };
    check("the node is down", &one_is("nodeDown"), &goes_down(&[]));
    check("... and takes no pods", &one_is("nodeDown"), &goes_down(&["node.kubernetes.io/unreachable"]));
    check("its pod is refused", &one_is("held"), &|cluster| {
        cluster.objects.refusing.push(node_name(0));
        let pod = pod_on(cluster, "n000");
        cluster.objects.remove_pod(pod);
    });
    check("a node that is gone is nobody's", &[("served", 2)], &|cluster| {
        cluster.objects.remove_node(&node_name(0));
    });
}

#[test]
fn what_a_roll_out_takes_is_its_own_until_a_pod_is_ready_again() {
    let (mut cluster, uid) = saturated(2, rolling(1, 0));
    cluster.objects.graceful = true;
    change_image(&mut cluster, uid, "i:2");
    cluster.settle_now();
    assert_eq!(states(&cluster), [("served", 2)], "the old pod is terminating, and ready");
    let old = cluster.objects.pods.values().find(|pod| pod.deleting).unwrap().uid;
    cluster.objects.remove_pod(old);
    cluster.settle_now();
    assert_eq!(states(&cluster), [("served", 1), ("unschedulable", 1)]);
    let new = cluster.objects.pods.values().find(|pod| !pod.bound).unwrap().uid;
    cluster.objects.change_pod(new, |pod| pod.bound = true);
    cluster.settle_now();
    assert_eq!(states(&cluster), [("served", 1), ("rollout", 1)]);
    cluster.now = cluster.now.plus_millis(7_000);
    cluster.objects.change_pod(new, |pod| (pod.ready, pod.phase) = (true, Phase::Running));
    cluster.step();
    let unserved = *coverage(&cluster).unserved();
    assert_eq!((unserved.millis, unserved.nodes), (7_000, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), "10 s at most");
    assert_eq!(coverage(&cluster).node_millis(Service::Rollout, cluster.now), 7_000);
}

/// Somebody who looks at the pods of the API all the time comes to the same time.
#[test]
fn the_time_that_nodes_were_served_is_what_an_observer_of_the_api_counts() {
    let first = set_number("EVERYNODE_ORACLE_SEED").unwrap_or_else(|| fastrand::u64(0..1 << 40));
    println!("EVERYNODE_ORACLE_SEED={first}");
    for seed in first..first + 20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut cluster, uid) = saturated(6, rolling(2, 0));
        let began = cluster.now;
        let in_state = |cluster: &Cluster, state| coverage(cluster).node_millis(state, cluster.now);
        let in_all =
            |cluster: &Cluster| Service::ALL.map(|state| in_state(cluster, state)).iter().sum::<u64>();
        let (served_before, all_before) = (in_state(&cluster, Service::Served), in_all(&cluster));
        let mut served_millis = 0;
        for _ in 0..200 {
            match random.u32(0..10) {
                0 => change_image(&mut cluster, uid, &format!("i:{}", random.u32(0..3))),
                1..4 => cluster.make_ready(),
                4 => {
                    let pods: Vec<Uid> = cluster.objects.pods.keys().copied().collect();
                    if let Some(pod) = random.choice(pods) {
                        cluster.objects.change_pod(pod, |pod| pod.ready = false);
                    }
                }
                _ => {}
            }
            cluster.settle_now();
            let is_served = |index: &usize| {
                let node = node_name(*index);
                cluster.objects.pods.values().any(|pod| pod.ready && pod.node.as_deref() == Some(&node))
            };
            let millis = random.u32(0..3_000);
            served_millis += (0..6).filter(is_served).count() as u64 * u64::from(millis);
            cluster.now = cluster.now.plus_millis(i64::from(millis));
        }
        assert_eq!(in_state(&cluster, Service::Served) - served_before, served_millis, "seed {seed}");
        let all_millis = u64::try_from(6 * cluster.now.millis_since(began)).unwrap();
        assert_eq!(in_all(&cluster) - all_before, all_millis, "each node is in one state, seed {seed}");
    }
}

//! Storms: everything at once, by chance; safety throughout, and peace in the end.

use std::time::Duration;

use crate::chaos::{Chaos, Hostile};
use crate::cluster::{Cluster, NAMESPACES, Report, Setup, in_virtual_time};
use crate::faults::Faults;
use crate::model::Kind;
use crate::world::lock;

/// After the faults have ended, the desired state is reached within this time ...
const SETTLES_WITHIN: Duration = Duration::from_secs(1_200);
/// ... and for this time nothing is written.
const STAYS_FOR: Duration = Duration::from_secs(240);

/// A controller that was behind has seen by then what was put right: a watch that is silent is given up after 150 s,
/// and the pause before the next one is at most 30 s.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(200);
/// So long nobody does anything before the last roll-out under a policy: what the faults did to nodes is over.
const RESTS_FOR: Duration = Duration::from_secs(120);

/// Runs the world of a seed.
pub fn run(seed: u64, is_traced: bool) -> Report {
    in_virtual_time(seed, world(seed, is_traced, Cast::Storm))
}

/// Worlds of seeds from here on have nodes that are never ready, pods that hold their node, statuses that name one node
/// of many, and fleets that lose their readiness. Those of smaller seeds, which were kept, stay what they were.
pub const FIRST_GROWN_SEED: u64 = 1 << 32;

/// In worlds of seeds from here on policies may have roll-outs analysed.
pub const FIRST_ANALYSED_SEED: u64 = 1 << 48;

/// Who takes part in a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    Storm,
    /// Policies too, and those who write them.
    Policies,
    /// Policies too, and a hostile user of one namespace.
    Hostile,
}

/// A storm with this cast.
pub(super) async fn world(seed: u64, is_traced: bool, cast: Cast) -> Report {
    let serves_policies = cast != Cast::Storm;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut faults = Faults::draw(&mut random);
    let replicas = if random.u8(..3) == 0 { 2 } else { 1 };
    let mut chaos = Chaos::new(random.u64(..), faults.steps_clocks);
    // Beside a controller that makes the pods, in one world of four.
    let is_beside = serves_policies && seed % 4 == 3;
    chaos.favours_on_delete = is_beside;
    let mut daemonsets: Vec<_> = (0..random.usize(1..=3))
        .map(|number| chaos.daemonset(NAMESPACES[number % 2], &format!("d{number}")))
        .collect();
    // What a crashed controller has sent may be made after its successor has looked: with names that the API server
    // makes up nobody can tell, with names by node it can.
    let takes_writes_along = !daemonsets.iter().all(|daemonset| daemonset.names_by_node);
    if replicas > 1 && takes_writes_along {
        faults.late_millis = 2_000;
    }
    chaos.analyses = seed >= FIRST_ANALYSED_SEED;
    let mut policy_status_names = 500;
    if seed >= FIRST_GROWN_SEED {
        chaos.loses_readiness = true;
        policy_status_names = chaos.status_names();
        daemonsets.iter_mut().for_each(|daemonset| chaos.trouble(daemonset));
    }
    let setup = Setup {
        seed,
        policy_status_names,
        is_beside,
        nodes: random.usize(2..=6),
        replicas,
        takes_writes_along,
        pod_start_millis: random.choice([0, 1_000, 10_000]).unwrap_or(0),
        serves_policies,
        is_traced,
        faults,
    };
    let mut cluster = Cluster::start(&setup);
    lock(&cluster.shared).note(format_args!("seed {seed}: {setup:?}"));
    for daemonset in &daemonsets {
        cluster.create(Kind::DaemonSet, &daemonset.object());
    }
    for daemonset in daemonsets.iter().filter(|_| serves_policies) {
        // Two of one namespace may select the same DaemonSet.
        let mut policy = chaos.policy(&daemonset.namespace, &daemonset.name, &daemonset.name);
        if is_beside && seed % 8 == 3 {
            policy["spec"]["failure"]["rewriteTemplate"] = true.into();
        }
        cluster.create(Kind::Policy, &policy);
    }
    for replica in &mut cluster.replicas {
        replica.start(&cluster.shared);
    }
    let mut hostile = (cast == Cast::Hostile).then(|| Hostile::new(random.u64(..), NAMESPACES[0]));
    lock(&cluster.shared).safety.lawless = hostile.as_ref().map(|_| NAMESPACES[0]);
    let result = live(&mut cluster, &mut chaos, hostile.as_mut()).await;
    cluster.end(result).await
}

async fn live(
    cluster: &mut Cluster,
    chaos: &mut Chaos,
    mut hostile: Option<&mut Hostile>,
) -> Result<(), String> {
    while !lock(&cluster.shared).is_calm() {
        let pause = chaos.pause();
        match &mut hostile {
            Some(hostile) => assail(cluster, hostile, pause).await,
            None => cluster.pass(pause).await,
        }
        if let Some(violation) = cluster.violation() {
            return Err(violation);
        }
        // What cannot be done, for want of an object, is left.
        let _ = chaos.act(cluster);
    }
    lock(&cluster.shared).note(format_args!("the faults are over"));
    chaos.heal(cluster);
    if let Some(hostile) = hostile {
        hostile.heal(cluster);
    }
    if lock(&cluster.shared).serves_policies {
        cluster.pass(RESTS_FOR).await;
        chaos.roll_out_well(cluster);
    }
    cluster.pass(CATCHES_UP_WITHIN).await;
    chaos.delete_stuck_pods_under_on_delete(cluster);
    cluster.settle(SETTLES_WITHIN).await?;
    cluster.stay(STAYS_FOR).await
}

/// Lets time pass, and the hostile user act.
async fn assail(cluster: &mut Cluster, hostile: &mut Hostile, time: Duration) {
    let until = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < until && cluster.violation().is_none() {
        cluster.pass(hostile.pause()).await;
        // What cannot be done, for want of an object, is left.
        let _ = hostile.act(cluster);
    }
}

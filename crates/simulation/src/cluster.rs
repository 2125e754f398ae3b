//! A running world: the model, the kubelets, the loops, and the controllers.

use std::sync::Arc;
use std::time::Duration;

use everynode_controller::Limits;
use everynode_local::LoopsConfig;
use everynode_model::Value;
use everynode_node::{Fleet, FleetConfig, NodeSpec};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actor, Part, Role};
use crate::faults::Faults;
use crate::model::{Key, Kind, Verb, name, namespace};
use crate::naive;
use crate::network;
use crate::objects;
use crate::replica::Replica;
use crate::world::{Counts, Shared, World, lock};

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// What went wrong, if anything.
    pub failure: Option<String>,
    /// The last events, or all of them.
    pub lines: Vec<String>,
    /// The same for two runs only when the same happened.
    pub hash: u64,
    /// Figures.
    pub counts: Counts,
    /// Seconds of virtual time.
    pub seconds: u64,
}

/// The namespaces of every world.
pub(crate) const NAMESPACES: [&str; 2] = ["alpha", "beta"];

/// So often the desired state is found before it counts as reached, two seconds apart.
const HOLDS: u32 = 30;

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    pub(crate) nodes: usize,
    pub(crate) replicas: usize,
    /// There are two controllers, one of which does what the built-in one does, and the other conducts roll-outs.
    pub(crate) is_beside: bool,
    /// What a crashed controller has sent is not made any more.
    pub(crate) takes_writes_along: bool,
    pub(crate) pod_start_millis: u64,
    /// The kind RolloutPolicy is defined.
    pub(crate) serves_policies: bool,
    /// How many nodes a list in the status of a policy names.
    pub(crate) policy_status_names: usize,
    pub(crate) is_traced: bool,
}

/// A world that runs.
pub(crate) struct Cluster {
    pub(crate) shared: Shared,
    pub(crate) replicas: Vec<Replica>,
    tasks: JoinSet<()>,
}

impl Cluster {
    /// Starts all but the controllers.
    pub(crate) fn start(setup: &Setup) -> Cluster {
        let mut world = World::new(setup.seed, setup.faults.clone(), setup.is_traced);
        world.serves_policies = setup.serves_policies;
        world.safety.is_beside = setup.is_beside;
        let shared: Shared = Arc::new(std::sync::Mutex::new(world));
        for name in NAMESPACES.into_iter().chain(["kube-system", "kube-node-lease"]) {
            let key = Key::new(Kind::Namespace, "", name);
            lock(&shared).user(Verb::Create, &key, "", &objects::namespace(name));
        }
        let (mut tasks, never) = (JoinSet::new(), CancellationToken::new());
        let nodes = network::client(&shared, &Actor::new(Role::Nodes, "nodes"));
        let start = Duration::from_millis(setup.pod_start_millis);
        let fleet = FleetConfig {
            pod_start: (start / 2, start),
            lease_interval: Duration::from_secs(20),
            lease_duration: Duration::from_secs(60),
            events_per_second: 0.01,
            seed: Some(setup.seed),
            ..FleetConfig::new(NodeSpec::numbered("node-", setup.nodes))
        };
        tasks.spawn(Fleet::run(nodes, fleet, never.clone()));
        let loops = network::client(&shared, &Actor::new(Role::Loops, "loops"));
        let config = LoopsConfig {
            seed: Some(setup.seed),
            node_grace: Duration::from_secs(60),
            ..LoopsConfig::new("CA")
        };
        tasks.spawn(everynode_local::loops(loops, config, never));
        let (elects, along) = (setup.replicas > 1, setup.takes_writes_along);
        let parts = match setup.is_beside {
            true => vec![(false, Part::Placement), (false, Part::Rollouts)],
            false => vec![(elects, Part::All); setup.replicas],
        };
        let limits = Limits { policy_status_names: setup.policy_status_names, ..Limits::default() };
        let replica = |(number, (elects, part))| Replica::new(number, elects, along, part, limits);
        let replicas = (1..).zip(parts).map(replica).collect();
        Cluster { shared, replicas, tasks }
    }

    /// Creates an object.
    pub(crate) fn create(&self, kind: Kind, object: &Value) -> bool {
        let key = Key::new(kind, namespace(object), name(object));
        lock(&self.shared).user(Verb::Create, &key, "", object)
    }

    /// Merges a patch into an object.
    pub(crate) fn patch(&self, key: &Key, patch: &Value) -> bool {
        lock(&self.shared).user(Verb::Patch, key, "", patch)
    }

    /// Merges a patch into an object's status.
    pub(crate) fn patch_status(&self, key: &Key, patch: &Value) -> bool {
        lock(&self.shared).user(Verb::Patch, key, "status", patch)
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, key: &Key, options: &Value) -> bool {
        lock(&self.shared).user(Verb::Delete, key, "", options)
    }

    /// The names of the objects of a kind.
    pub(crate) fn keys(&self, kind: Kind) -> Vec<Key> {
        let world = lock(&self.shared);
        world.store.all(kind).map(|object| Key::new(kind, namespace(object), name(object))).collect()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        lock(&self.shared).store.get(key).cloned()
    }

    pub(crate) fn violation(&self) -> Option<String> {
        lock(&self.shared).violation.clone()
    }

    /// Lets time pass; ends early when something is wrong. A controller that was crashed on purpose comes back.
    pub(crate) async fn pass(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        let alarm = lock(&self.shared).alarm.clone();
        while tokio::time::timeout_at(until, alarm.notified()).await.is_ok() {
            if self.violation().is_some() {
                return;
            }
            if std::mem::take(&mut lock(&self.shared).injected.crash) {
                self.restart().await;
            }
        }
    }

    async fn restart(&mut self) {
        for replica in &mut self.replicas {
            replica.crash(&self.shared);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        for replica in &mut self.replicas {
            replica.start(&self.shared);
        }
    }

    /// What is missing of the desired state.
    pub(crate) fn missing(&self) -> Option<String> {
        let world = lock(&self.shared);
        let now_seconds = everynode_client::Clock::unix_millis(&*world.clock).div_euclid(1000);
        naive::missing(&world.store, world.safety.is_beside, now_seconds)
    }

    /// Waits until the desired state is reached, and holds for a while: what is on its way may change it once more.
    ///
    /// # Errors
    /// What is missing after this time, or what was violated.
    pub(crate) async fn settle(&mut self, limit: Duration) -> Result<(), String> {
        let begun = tokio::time::Instant::now();
        let until = begun + limit;
        let mut looked_at = false;
        let mut holds = 0;
        loop {
            if let Some(violation) = self.violation() {
                return Err(violation);
            }
            match self.missing() {
                None if holds == HOLDS => return Ok(()),
                None => {
                    holds += 1;
                    self.pass(Duration::from_secs(2)).await;
                    continue;
                }
                Some(what) if tokio::time::Instant::now() >= until => {
                    return Err(format!("not settled after {} s: {what}", limit.as_secs()));
                }
                Some(_) if !looked_at && begun.elapsed() > limit / 2 => {
                    looked_at = true;
                    self.annotate_those_with_revisions_that_wait();
                }
                Some(_) => {
                    self.promote_what_waits();
                    self.pass(Duration::from_secs(2)).await;
                }
            }
            holds = 0;
        }
    }

    /// People promote the waves that wait for it.
    fn promote_what_waits(&self) {
        for key in self.keys(Kind::Policy) {
            let Some(policy) = self.get(&key) else { continue };
            let entries = policy["status"]["daemonSets"].as_object().into_iter().flatten();
            for (_, entry) in entries
                .filter(|(_, entry)| entry["phase"] == "WaitingForPromotion" || entry["phase"] == "Stalled")
            {
                let wave = format!("{}/{}", entry["revision"].as_str().unwrap_or_default(), entry["wave"]);
                self.patch(
                    &key,
                    &serde_json::json!({"metadata": {"annotations": {"everynode.dev/promote": wave}}}),
                );
            }
        }
    }

    /// Something happens to DaemonSets that only wait for the next reason to be looked at (A9).
    fn annotate_those_with_revisions_that_wait(&self) {
        let keys = naive::with_revisions_that_wait(&lock(&self.shared).store);
        for key in keys {
            self.patch(&key, &serde_json::json!({"metadata": {"annotations": {"looked-at": "yes"}}}));
        }
    }

    /// Waits, and sees that controllers write nothing and the desired state stays.
    ///
    /// # Errors
    /// What was written.
    pub(crate) async fn stay(&mut self, time: Duration) -> Result<(), String> {
        // What was decided before may be under way.
        self.pass(Duration::from_secs(5)).await;
        let before = lock(&self.shared).counts.writes;
        self.pass(time).await;
        if let Some(violation) = self.violation() {
            return Err(violation);
        }
        let writes = lock(&self.shared).counts.writes - before;
        if writes > 0 {
            return Err(format!("{writes} writes of controllers after everything had settled"));
        }
        self.missing().map_or(Ok(()), |what| Err(format!("settled, and then {what}")))
    }

    /// Ends the world.
    pub(crate) async fn end(mut self, result: Result<(), String>) -> Report {
        for replica in &mut self.replicas {
            replica.crash(&self.shared);
        }
        self.tasks.shutdown().await;
        let mut world = lock(&self.shared);
        let failure = result.err().or_else(|| world.violation.take());
        if let Some(failure) = &failure {
            for line in crate::naive::describe(&world.store) {
                world.note(format_args!("{line}"));
            }
            world.note(format_args!("FAILED: {failure}"));
        }
        let trace = std::mem::take(&mut world.trace);
        let (hash, seconds) = (trace.hash(), world.now_millis() / 1000);
        Report { failure, lines: trace.into_lines(), hash, counts: world.counts.clone(), seconds }
    }
}

/// Runs a world in a runtime of its own, in virtual time, with this seed for all that is drawn by chance.
///
/// # Panics
/// When the runtime cannot be made.
pub(crate) fn in_virtual_time<F: Future>(seed: u64, world: F) -> F::Output {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match runtime {
        Ok(runtime) => runtime.block_on(world),
        Err(error) => panic!("no runtime: {error}"),
    }
}

//! Never two live pods of one DaemonSet on one node: whatever happens to answers, watches and lists.
//!
//! `EVERYNODE_ORACLE_SEED` sets the first seed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panic, and says its seed")]

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::{Cluster, Told, refused};
use everynode_engine::{Action, Fact, Failure, Kind, Outcome, POD_NAMES, Time, Work};
use everynode_testkit::set_number;

/// The longest time between the loss of an answer and the write itself. The engine waits longer.
const LATEST_MILLIS: i64 = 29_000;

struct World {
    random: fastrand::Rng,
    cluster: Cluster,
    /// What a list of pods that is arriving has still to name, and its version.
    list: Option<(Vec<Told>, u64)>,
    /// What the pods' watch has still to tell after that.
    watch: VecDeque<Told>,
    writes: Vec<Action>,
    /// Writes without an answer that are still carried out.
    late: Vec<(Time, Action)>,
    created: usize,
}

impl World {
    fn new(seed: u64, by_node: bool) -> Self {
        let mut cluster = Cluster::new(4);
        cluster.add("ds", |object| {
            if by_node {
                object["metadata"]["annotations"][POD_NAMES] = "node".into();
            }
        });
        let random = fastrand::Rng::with_seed(seed);
        World {
            random,
            cluster,
            list: None,
            watch: VecDeque::new(),
            writes: Vec::new(),
            late: Vec::new(),
            created: 0,
        }
    }

    fn happen(&mut self) -> Result<(), String> {
        match self.random.u32(0..100) {
            0..30 => self.write_ends()?,
            30..55 => {
                for _ in 0..self.random.usize(0..6) {
                    self.deliver();
                }
            }
            55..70 => self.pod_happens(),
            70..74 => self.list(),
            _ => self.time_passes()?,
        }
        self.sort_events();
        let actions = self.cluster.engine.decide(self.cluster.now);
        self.writes.extend(actions.into_iter().filter(|one| !matches!(one.work, Work::RecordEvent(_))));
        Ok(())
    }

    /// The watches of other kinds tell at once.
    fn sort_events(&mut self) {
        while let Some(told) = self.cluster.objects.told.pop_front() {
            match told.kind() {
                Kind::Pod => self.watch.push_back(told),
                _ => told.tell(&mut self.cluster.engine, self.cluster.now),
            }
        }
    }

    fn time_passes(&mut self) -> Result<(), String> {
        let until = self.cluster.now.plus_millis(self.random.i64(1..20_000));
        self.late.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        while let Some((at, action)) = self.late.pop_if(|(at, _)| *at <= until) {
            self.cluster.now = at;
            self.carry_out(&action)?;
        }
        self.cluster.now = until;
        Ok(())
    }

    fn write_ends(&mut self) -> Result<(), String> {
        if self.writes.is_empty() {
            return Ok(());
        }
        let action = self.writes.swap_remove(self.random.usize(0..self.writes.len()));
        if matches!(action.work, Work::Relist(_)) {
            // Requests for lists get lost as well.
            if self.random.u32(0..3) > 0 {
                self.list();
            }
            return Ok(());
        }
        let lost = || Outcome::Failed { failure: Failure::Unknown, message: "no answer".to_owned() };
        let is_creation = matches!(action.work, Work::CreatePod(_));
        let outcome = match self.random.u32(0..10) {
            0 => refused("no"),
            1 if is_creation => lost(),
            2 if is_creation => {
                let at = self.cluster.now.plus_millis(self.random.i64(0..LATEST_MILLIS));
                self.late.push((at, action.clone()));
                lost()
            }
            3 if is_creation => {
                self.carry_out(&action)?;
                lost()
            }
            _ => self.carry_out(&action)?,
        };
        self.cluster.engine.observe(Fact::Finished { id: action.id, outcome }, self.cluster.now);
        Ok(())
    }

    /// A write reaches the API server.
    fn carry_out(&mut self, action: &Action) -> Result<Outcome, String> {
        let cluster = &mut self.cluster;
        let outcome = cluster.objects.carry_out(&action.daemonset, &action.work, cluster.now);
        self.created += usize::from(matches!(outcome, Outcome::PodCreated { .. }));
        let mut live: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in cluster.objects.pods.values().filter(|pod| !pod.deleting && !pod.phase.is_terminal()) {
            *live.entry(pod.node.as_deref().unwrap_or_default()).or_default() += 1;
        }
        match live.values().all(|count| *count == 1) {
            true => Ok(outcome),
            false => Err(format!("live pods by node: {live:?}")),
        }
    }

    fn list(&mut self) {
        self.sort_events();
        self.watch.clear();
        let objects = &self.cluster.objects;
        let mut named: Vec<Told> = objects.pods.values().map(|pod| Told::Pod(pod.clone())).collect();
        self.random.shuffle(&mut named);
        self.list = Some((named, objects.version));
        self.cluster.engine.observe(Fact::RelistBegun(Kind::Pod), self.cluster.now);
    }

    /// The list or, after it, the watch tells one thing.
    fn deliver(&mut self) {
        let Cluster { engine, now, .. } = &mut self.cluster;
        match &mut self.list {
            Some((named, version)) => match named.pop() {
                Some(told) => told.tell(engine, *now),
                None => {
                    let ended = Fact::RelistEnded { kind: Kind::Pod, resource_version: *version };
                    engine.observe(ended, *now);
                    self.list = None;
                }
            },
            None => {
                if let Some(told) = self.watch.pop_front() {
                    told.tell(engine, *now);
                }
            }
        }
    }

    /// Pods become ready, or are removed by others.
    fn pod_happens(&mut self) {
        let all: Vec<_> = self.cluster.objects.pods.keys().copied().collect();
        match self.random.choice(&all) {
            Some(uid) if self.random.bool() => self.cluster.objects.remove_pod(*uid),
            _ => self.cluster.make_ready(),
        }
    }
}

#[test]
fn there_are_never_two_live_pods_on_a_node() {
    let first = set_number("EVERYNODE_ORACLE_SEED").unwrap_or_else(|| fastrand::u64(0..1 << 40));
    println!("EVERYNODE_ORACLE_SEED={first}");
    for seed in first..first + 40 {
        let mut world = World::new(seed, seed % 2 == 0);
        for step in 0..1000 {
            world.happen().unwrap_or_else(|why| panic!("EVERYNODE_ORACLE_SEED={seed}, step {step}: {why}"));
        }
        assert!(world.created > 10, "EVERYNODE_ORACLE_SEED={seed}: only {} pods were created", world.created);
    }
}

//! The engine against the specification written plainly: on random streams of facts, failures and delays both must
//! ask for the same writes.
//!
//! `EVERYNODE_ORACLE_STEPS` sets the number of steps (default 6,000), `EVERYNODE_ORACLE_SEED` the first seed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panic, and says its seed")]

mod common;
mod naive;

use std::collections::VecDeque;

use common::{Node, Objects, Pod, Told, daemonset, node_name, refused};
use everynode_engine::placement::Effect;
use everynode_engine::pod_body::HASH_LABEL;
use everynode_engine::{
    ActionId, DaemonSetFact, DaemonSetRef, Engine, EngineConfig, Fact, Failure, Figures, Footprint,
    IntOrPercent, Kind, Limits, Outcome, POD_NAMES, Phase, PodController, PodNames, RevisionFact, Scope,
    Strategy, Template, Time, Uid, Work, pod_name, revision,
};
use everynode_testkit::number;
use naive::Naive;
use serde_json::json;

const KINDS: [Kind; 4] = [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision];

struct Write {
    engine: ActionId,
    naive: u64,
    daemonset: std::sync::Arc<DaemonSetRef>,
    work: Work,
}

struct World {
    random: fastrand::Rng,
    objects: Objects,
    engine: Engine,
    /// Sees all that the engine sees, and leaves everything to it.
    follower: Engine,
    naive: Naive,
    now: Time,
    watches: [VecDeque<Told>; 4],
    writes: Vec<Write>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let limits = Limits {
            creates_in_flight: random.usize(1..6),
            deletes_in_flight: random.usize(1..4),
            ..Limits::default()
        };
        let mut engine = Engine::new(limits);
        let mut follower =
            Engine::new(EngineConfig { limits, scope: Scope::Rollouts, ..EngineConfig::default() });
        let now = Time::from_seconds(1_000_000);
        for engine in [&mut engine, &mut follower] {
            for kind in KINDS {
                engine.observe(Fact::RelistBegun(kind), now);
                engine.observe(Fact::RelistEnded { kind, resource_version: 0 }, now);
            }
        }
        let refusing = if random.u32(0..3) == 0 { vec![node_name(0), node_name(3)] } else { Vec::new() };
        let objects = Objects { next_uid: 1000, graceful: random.bool(), refusing, ..Objects::default() };
        let watches = Default::default();
        let naive = Naive::new(limits);
        World { random, objects, engine, follower, naive, now, watches, writes: Vec::new() }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.random.usize(0..from.len())])
    }

    /// One random thing happens.
    fn happen(&mut self) {
        match self.random.u32(0..100) {
            0..12 => self.node_happens(),
            12..20 => self.daemonset_happens(),
            20..45 => self.pod_happens(),
            45..48 => self.revision_happens(),
            48..68 => self.write_happens(),
            68..92 => self.deliver(),
            92..99 => self.now = self.now.plus_millis(self.step_millis()),
            _ if self.random.bool() => self.relist(Kind::Pod),
            _ if self.random.bool() => self.relist(Kind::DaemonSet),
            _ => self.relist(Kind::Revision),
        }
        while let Some(told) = self.objects.told.pop_front() {
            self.watches[told.kind() as usize].push_back(told);
        }
    }

    fn step_millis(&self) -> i64 {
        [1, 5, 50, 100, 1000, 5000, 29_000, 60_000, 310_000, 2_000_000][self.random.clone().usize(0..10)]
    }

    fn node_happens(&mut self) {
        let index = self.random.usize(0..8);
        if self.random.u32(0..5) == 0 {
            self.objects.remove_node(&node_name(index));
            return;
        }
        let mut node = Node { name: node_name(index), ..Node::default() };
        if self.random.bool() {
            let color = if self.random.bool() { "blue" } else { "green" };
            node.labels.push(("color".to_owned(), color.to_owned()));
        }
        node.labels.push(("noise".to_owned(), self.random.u32(0..3).to_string()));
        let effect =
            [Effect::NoSchedule, Effect::NoExecute, Effect::PreferNoSchedule][self.random.usize(0..3)];
        if self.random.u32(0..3) == 0 {
            let key = if self.random.bool() { "dedicated" } else { "node.kubernetes.io/not-ready" };
            node.taints.push((key.to_owned(), self.random.u32(0..2).to_string(), effect));
        }
        self.objects.set_node(node);
    }

    fn template(&mut self, name: &str) -> std::sync::Arc<Template> {
        let image = format!("i:{}", self.random.u32(0..3));
        let mut spec = json!({"containers": [{"name": "c", "image": image}]});
        match self.random.u32(0..8) {
            0 => spec["nodeSelector"] = json!({"color": "blue"}),
            1 => spec["tolerations"] = json!([{"key": "dedicated", "operator": "Equal", "value": "1"}]),
            2 => spec["tolerations"] = json!([{"operator": "Exists"}]),
            3 => spec["nodeName"] = json!("n003"),
            _ => {}
        }
        Template::new(json!({"metadata": {"labels": {"app": name}}, "spec": spec})).into()
    }

    fn strategy(&mut self) -> Strategy {
        let small = IntOrPercent::Int(self.random.i32(1..4));
        let some = if self.random.bool() { small } else { IntOrPercent::Percent(self.random.i32(1..100)) };
        match self.random.u32(0..5) {
            0 => Strategy::OnDelete,
            1 | 2 => Strategy::RollingUpdate { max_unavailable: some, max_surge: IntOrPercent::Int(0) },
            _ => Strategy::RollingUpdate { max_unavailable: IntOrPercent::Int(0), max_surge: some },
        }
    }

    fn daemonset_happens(&mut self) {
        let all: Vec<Uid> = self.objects.daemonsets.keys().copied().collect();
        let missing = ["ds", "other"]
            .iter()
            .copied()
            .find(|name| !self.objects.daemonsets.values().any(|one| one.name == *name));
        if let Some(name) = missing {
            let uid = self.objects.new_uid();
            let mut fact = daemonset(uid, name, |_| {});
            fact.template = self.template(name);
            fact.strategy = self.strategy();
            set_pod_names(&mut fact, self.random.u32(0..5));
            self.objects.add_daemonset(fact);
            return;
        }
        let Some(uid) = self.pick(&all) else { return };
        let name = self.objects.daemonsets[&uid].name.clone();
        let strategy = self.strategy();
        let template = self.template(&name);
        let (seconds, limit) = (self.random.i32(0..3) * 5, self.random.i32(0..3));
        let names = self.random.u32(0..5);
        match self.random.u32(0..13) {
            12 => self.objects.change_daemonset(uid, true, |one| set_pod_names(one, names)),
            0..5 => self.objects.change_daemonset(uid, true, |one| one.template = template),
            5..8 => self.objects.change_daemonset(uid, true, |one| one.strategy = strategy),
            8 => self.objects.change_daemonset(uid, true, |one| one.min_ready_seconds = seconds),
            9 => self.objects.change_daemonset(uid, true, |one| one.revision_history_limit = limit),
            10 => self.objects.change_daemonset(uid, true, |one| one.deleting = true),
            _ => self.objects.remove_daemonset(uid),
        }
        // A DaemonSet that is being deleted goes some time.
        if self.objects.daemonsets.get(&uid).is_some_and(|one| one.deleting) && self.random.bool() {
            self.objects.remove_daemonset(uid);
        }
    }

    fn pod_happens(&mut self) {
        let all: Vec<Uid> = self.objects.pods.keys().copied().collect();
        let Some(uid) = self.pick(&all).filter(|_| self.random.u32(0..12) != 0) else {
            self.stray_pod();
            return;
        };
        let second = Time(self.now.0 / 1000 * 1000);
        let lost = match self.objects.pods[&uid].controller {
            PodController::DaemonSet(owner) => !self.objects.daemonsets.contains_key(&owner),
            _ => false,
        };
        match self.random.u32(0..20) {
            0..8 => self.objects.change_pod(uid, |pod| {
                if !pod.phase.is_terminal() {
                    (pod.bound, pod.phase, pod.ready, pod.ready_since) =
                        (true, Phase::Running, true, Some(second));
                }
            }),
            8 => self.objects.change_pod(uid, |pod| (pod.ready, pod.ready_since) = (false, Some(second))),
            9 | 10 => self.objects.change_pod(uid, |pod| (pod.phase, pod.ready) = (Phase::Failed, false)),
            11 => self.objects.change_pod(uid, |pod| (pod.phase, pod.ready) = (Phase::Succeeded, false)),
            12 => self.objects.change_pod(uid, |pod| pod.deleting = true),
            13 if lost => self.objects.change_pod(uid, |pod| pod.controller = PodController::Nobody),
            14 => self.objects.change_pod(uid, |pod| {
                let old = std::mem::take(&mut pod.labels);
                let changed = |(key, value): (String, String)| match key.as_str() {
                    "app" if value == "away" => (key, "ds".to_owned()),
                    "app" => (key, "away".to_owned()),
                    _ => (key, value),
                };
                pod.labels = old.into_iter().map(changed).collect();
            }),
            _ if self.objects.pods[&uid].deleting || self.random.u32(0..3) == 0 => {
                self.objects.remove_pod(uid)
            }
            _ => {}
        }
    }

    /// An orphan, or a pod of a controller of another kind.
    fn stray_pod(&mut self) {
        let uid = self.objects.new_uid();
        let app = ["ds", "other", "alien"][self.random.usize(0..3)];
        let hash = ["x", "y"][self.random.usize(0..2)];
        let node = self.random.usize(0..9);
        let squatted = pod_name(app, &node_name(node), None);
        let is_free = self.objects.pods.values().all(|one| one.name != squatted);
        self.objects.add_pod(Pod {
            namespace: if self.random.u32(0..5) == 0 { "elsewhere" } else { "default" }.to_owned(),
            name: if is_free && self.random.u32(0..4) == 0 {
                squatted
            } else {
                format!("stray-{:05}", uid.0)
            },
            uid,
            resource_version: 0,
            labels: vec![("app".to_owned(), app.to_owned()), (HASH_LABEL.to_owned(), hash.to_owned())],
            controller: if self.random.u32(0..4) == 0 { PodController::Other } else { PodController::Nobody },
            node: (node < 8).then(|| node_name(node)),
            bound: node < 8 && self.random.bool(),
            phase: Phase::Running,
            ready: self.random.bool(),
            ready_since: Some(Time(self.now.0 / 1000 * 1000)),
            deleting: false,
            created: Time(self.now.0 / 1000 * 1000),
            trouble: None,
            restarts: 0,
            is_oom: false,
            started: None,
        });
    }

    fn revision_happens(&mut self) {
        let all: Vec<Uid> = self.objects.revisions.keys().copied().collect();
        let sets: Vec<Uid> = self.objects.daemonsets.keys().copied().collect();
        let Some(owner) = self.pick(&sets) else { return };
        let owner = self.objects.daemonsets[&owner].clone();
        match (self.random.u32(0..5), self.pick(&all)) {
            (0, _) => self.twin(&owner),
            (1, Some(uid)) => self.objects.remove_revision(uid),
            (2, Some(uid)) => {
                let mut fact = self.objects.revisions[&uid].clone();
                fact.controller = PodController::Nobody;
                self.objects.put_revision(fact);
            }
            (_, Some(uid)) => {
                let mut fact = self.objects.revisions[&uid].clone();
                fact.revision += self.random.i64(0..2);
                self.objects.put_revision(fact);
            }
            _ => {}
        }
    }

    /// A second revision of equal data; it comes without an owner, because one with an owner wakes nobody (A9).
    fn twin(&mut self, owner: &everynode_engine::DaemonSetFact) {
        let uid = self.objects.new_uid();
        let name = format!("t{}", uid.0);
        let mut labels = vec![("app".to_owned(), owner.name.clone())];
        labels.extend(self.random.bool().then(|| (HASH_LABEL.to_owned(), name.clone())));
        self.objects.put_revision(RevisionFact {
            namespace: owner.namespace.clone(),
            name: format!("{}-{name}", owner.name),
            uid,
            resource_version: 0,
            labels,
            controller: PodController::Nobody,
            deleting: false,
            revision: self.random.i64(0..5),
            data: revision::data(owner.template.value()).to_vec().into_boxed_slice(),
        });
    }

    /// One of the writes under way ends, well or not.
    fn write_happens(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.writes.len());
        let write = self.writes.swap_remove(index);
        if let Work::Relist(kind) = write.work {
            return self.relist(kind);
        }
        let outcome = match self.random.u32(0..30) {
            0 | 1 => refused("no"),
            2 => Outcome::Failed { failure: Failure::Unknown, message: "no answer".to_owned() },
            // A revision that comes later with its owner wakes nobody (A9): the reference has no such delay.
            3 if !matches!(write.work, Work::CreateRevision(_)) => {
                self.objects.carry_out(&write.daemonset, &write.work, self.now);
                Outcome::Failed { failure: Failure::Unknown, message: "no answer".to_owned() }
            }
            4 if matches!(write.work, Work::CreatePod(_)) && self.random.u32(0..4) == 0 => {
                Outcome::Failed { failure: Failure::NamespaceTerminating, message: "gone soon".to_owned() }
            }
            _ => self.objects.carry_out(&write.daemonset, &write.work, self.now),
        };
        self.finish(write, outcome);
    }

    fn finish(&mut self, write: Write, outcome: Outcome) {
        self.engine.observe(Fact::Finished { id: write.engine, outcome: outcome.clone() }, self.now);
        self.naive.finished(write.naive, outcome, self.now);
    }

    /// A watch tells some of what it has.
    fn deliver(&mut self) {
        let kind = self.random.usize(0..4);
        for _ in 0..self.random.usize(1..6) {
            let Some(told) = self.watches[kind].pop_front() else { return };
            self.tell(&told);
        }
    }

    fn tell(&mut self, told: &Told) {
        told.tell(&mut self.engine, self.now);
        told.tell(&mut self.follower, self.now);
        self.naive.tell(told, self.now);
    }

    /// A watch broke, or a list was asked for: it starts again with a complete list.
    fn relist(&mut self, kind: Kind) {
        while let Some(told) = self.objects.told.pop_front() {
            self.watches[told.kind() as usize].push_back(told);
        }
        self.watches[kind as usize].clear();
        self.objects.list(kind, &mut self.engine, self.now);
        self.objects.list(kind, &mut self.follower, self.now);
        let version = self.objects.version;
        match kind {
            Kind::DaemonSet => self.naive.relist_daemonsets(&self.objects.daemonsets, self.now),
            Kind::Revision => self.naive.relist_revisions(&self.objects.revisions, version, self.now),
            _ => self.naive.relist_pods(&self.objects.pods, version, self.now),
        }
    }

    /// Both decide, and must ask for the same.
    fn decide(&mut self) -> Result<usize, String> {
        if let [first, ..] = &self.follower.decide(self.now)[..] {
            return Err(format!("an engine for roll-outs asks for {first:?}"));
        }
        let mut engine: Vec<_> = self
            .engine
            .decide(self.now)
            .into_iter()
            .map(|action| (render(&action.daemonset, &action.work), action))
            .collect();
        let mut naive: Vec<_> = self
            .naive
            .decide(self.now)
            .into_iter()
            .map(|(id, daemonset, work)| (render(&daemonset, &work), id))
            .collect();
        engine.sort_by(|a, b| a.0.cmp(&b.0));
        naive.sort();
        let (ours, theirs): (Vec<&String>, Vec<&String>) =
            (engine.iter().map(|one| &one.0).collect(), naive.iter().map(|one| &one.0).collect());
        if ours != theirs {
            return Err(format!("engine {ours:#?}\nnaive {theirs:#?}"));
        }
        let count = engine.len();
        for ((_, action), (_, naive)) in engine.into_iter().zip(naive) {
            if matches!(action.work, Work::RecordEvent(_)) {
                continue;
            }
            let (daemonset, work) = (action.daemonset, action.work);
            self.writes.push(Write { engine: action.id, naive, daemonset, work });
        }
        Ok(count)
    }

    /// Disturbance ends: everything is told and carried out until nobody asks for anything.
    fn heal(&mut self) -> Result<(), String> {
        self.objects.refusing.clear();
        for _ in 0..3000 {
            while let Some(told) = self.objects.told.pop_front() {
                self.watches[told.kind() as usize].push_back(told);
            }
            for kind in KINDS {
                while let Some(told) = self.watches[kind as usize].pop_front() {
                    self.tell(&told);
                }
            }
            let writes = std::mem::take(&mut self.writes);
            let is_idle = writes.is_empty();
            for write in writes {
                if let Work::Relist(kind) = write.work {
                    self.relist(kind);
                    continue;
                }
                let outcome = self.objects.carry_out(&write.daemonset, &write.work, self.now);
                self.finish(write, outcome);
            }
            let asked = self.decide()?;
            if is_idle && asked == 0 && self.objects.told.is_empty() {
                self.free_names();
                match self.engine.next_deadline() {
                    Some(at) if at.millis_since(self.now) < 600_000 => self.now = self.now.max(at),
                    _ if self.tidy_up() => {}
                    _ => return Ok(()),
                }
            }
        }
        Err("it does not come to rest".to_owned())
    }

    /// Pods that hold the names of others' pods go.
    fn free_names(&mut self) {
        let sets = &self.objects.daemonsets;
        let holds = |pod: &&Pod| match pod.controller {
            PodController::DaemonSet(owner) => sets
                .get(&owner)
                .is_none_or(|set| !pod.name.starts_with("stray") && !pod.name.starts_with(&set.name)),
            _ => !pod.name.starts_with("stray"),
        };
        let holders: Vec<Uid> = self.objects.pods.values().filter(holds).map(|pod| pod.uid).collect();
        holders.into_iter().for_each(|uid| self.objects.remove_pod(uid));
    }

    /// As kubelets and the garbage collector; whether there was something to do.
    fn tidy_up(&mut self) -> bool {
        let second = Time(self.now.0 / 1000 * 1000);
        let mut acted = false;
        for uid in self.objects.pods.keys().copied().collect::<Vec<_>>() {
            let pod = &self.objects.pods[&uid];
            let lost = matches!(pod.controller, PodController::DaemonSet(one) if !self.objects.daemonsets.contains_key(&one));
            let has_node = pod.node.as_ref().is_some_and(|node| self.objects.nodes.contains_key(node));
            if pod.deleting || lost || pod.bound && !has_node {
                self.objects.remove_pod(uid);
                acted = true;
            } else if !pod.ready && !pod.phase.is_terminal() && has_node {
                self.objects.change_pod(uid, |pod| {
                    (pod.bound, pod.phase, pod.ready, pod.ready_since) =
                        (true, Phase::Running, true, Some(second));
                });
                acted = true;
            }
        }
        acted
    }

    /// What must hold when all is at rest.
    fn check_rest(&self) -> Result<(), String> {
        let ours: Vec<Figures<'_>> =
            figures(&self.engine).into_iter().filter(|one| self.owns_its_revision(one)).collect();
        let mut theirs = figures(&self.follower);
        theirs.retain(|one| ours.iter().any(|our| our.uid == one.uid));
        if ours != theirs {
            return Err(format!("engine {ours:#?}\nfollower {theirs:#?}"));
        }
        for set in self.objects.daemonsets.values().filter(|set| !set.deleting) {
            let status = set.status;
            if status.observed_generation != set.generation {
                return Err(format!("{} is observed at {} only", set.name, status.observed_generation));
            }
            let current = status.desired_number_scheduled == status.current_number_scheduled;
            if !current {
                return Err(format!("{} is not saturated: {status:?}", set.name));
            }
            for node in self.objects.nodes.keys() {
                let live = self.objects.pods.values().filter(|pod| {
                    pod.controller == PodController::DaemonSet(set.uid)
                        && pod.node.as_ref() == Some(node)
                        && pod.label("app") == Some(set.name.as_str())
                        && !pod.phase.is_terminal()
                });
                let count = live.count();
                if count > if set.strategy.allows_surge() { 2 } else { 1 } {
                    return Err(format!("{count} live pods of {} on {node}", set.name));
                }
            }
        }
        Ok(())
    }
}

impl World {
    /// The revision in use is its own, and not one that it has found under the name that it wanted to give (J7):
    /// of several such, who did not choose cannot tell which it is.
    fn owns_its_revision(&self, one: &Figures<'_>) -> bool {
        let mut own = self
            .objects
            .revisions
            .values()
            .filter(|revision| revision.controller == PodController::DaemonSet(one.uid));
        own.any(|revision| Some(revision.name.as_str()) == one.revision)
    }
}

fn figures(engine: &Engine) -> Vec<Figures<'_>> {
    let mut all: Vec<Figures<'_>> = engine.daemonsets().filter(|one| !one.deleting).collect();
    all.sort_by_key(|one| one.uid);
    all
}

/// Everything goes: nothing of it may stay in the engine.
fn check_empty(world: &mut World) -> Result<(), String> {
    let objects = &mut world.objects;
    objects
        .daemonsets
        .keys()
        .copied()
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|uid| objects.remove_daemonset(uid));
    objects.pods.keys().copied().collect::<Vec<_>>().into_iter().for_each(|uid| objects.remove_pod(uid));
    objects
        .revisions
        .keys()
        .copied()
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|uid| objects.remove_revision(uid));
    objects.nodes.keys().cloned().collect::<Vec<_>>().iter().for_each(|name| objects.remove_node(name));
    world.heal()?;
    for engine in [&world.engine, &world.follower] {
        let footprint = engine.footprint();
        // The keys that were read last stay known until others are read.
        if footprint.names > 3 || (Footprint { names: 0, ..footprint }) != Footprint::default() {
            return Err(format!("left behind: {footprint:?}"));
        }
    }
    Ok(())
}

fn set_pod_names(fact: &mut DaemonSetFact, choice: u32) {
    let value = ["node", "node", "nodes"].get(choice as usize).copied();
    fact.annotations.retain(|(key, _)| key != POD_NAMES);
    fact.annotations.extend(value.map(|value| (POD_NAMES.to_owned(), value.to_owned())));
    fact.pod_names = PodNames::parse(value);
}

/// A write as text, without its id.
fn render(daemonset: &DaemonSetRef, work: &Work) -> String {
    let work = match work {
        Work::Relist(kind) => return format!("Relist {kind:?}"),
        Work::CreatePod(new) => format!(
            "CreatePod {} {:?} {} {:?} {}",
            new.node,
            new.name,
            new.hash,
            new.template_generation,
            new.template.value()["spec"]
        ),
        Work::CreateRevision(new) => format!("CreateRevision {} {} {:?}", new.name, new.revision, new.labels),
        other => format!("{other:?}"),
    };
    format!("{}/{} {work}", daemonset.name, daemonset.uid)
}

fn run(seed: u64, steps: usize) -> Result<(), String> {
    let mut world = World::new(seed);
    for step in 0..steps {
        world.happen();
        world.decide().map_err(|difference| format!("step {step}: {difference}"))?;
    }
    world.heal().map_err(|difference| format!("while healing: {difference}"))?;
    world.check_rest()?;
    check_empty(&mut world)
}

#[test]
fn the_engine_asks_for_what_the_plain_specification_asks_for() {
    const STEPS_PER_SEED: u64 = 300;
    let steps: u64 = number("EVERYNODE_ORACLE_STEPS", 6_000);
    let first = number("EVERYNODE_ORACLE_SEED", fastrand::u64(0..1 << 40));
    println!("EVERYNODE_ORACLE_SEED={first}");
    for seed in first..first + steps.div_ceil(STEPS_PER_SEED) {
        if let Err(difference) = run(seed, STEPS_PER_SEED as usize) {
            panic!("EVERYNODE_ORACLE_SEED={seed}: {difference}");
        }
    }
}

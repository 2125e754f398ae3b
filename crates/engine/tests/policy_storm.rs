//! Roll-outs under a policy in all weathers: watches that lag, answers that are lost, leaders that change, nodes that
//! die or were never ready, fleets that lose their readiness, statuses that name one node of many, people who edit,
//! pause, promote, abort and try again. At every moment the budget holds and what is halted deletes nothing; when the
//! weather ends, every roll-out ends.
//!
//! Each run draws the first seed, and prints it. `EVERYNODE_POLICY_SEEDS` sets how many there are (default 300),
//! `EVERYNODE_POLICY_SEED` the first one, and `EVERYNODE_POLICY_TRACE` has all that happens printed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panic, and says its seed")]

mod common;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use common::{Node, Objects, Pod, Told, daemonset, merge, node_name, plain_node, refused, with_image};
use everynode_engine::placement::Effect;
use everynode_engine::policy::PolicyFact;
use everynode_engine::{
    ActionId, DaemonSetRef, Engine, EngineConfig, Fact, Failure, Kind, Limits, Outcome, Phase, Time, Trouble,
    Uid, Work,
};
use everynode_testkit::number;
use serde_json::{Value, json};

const KINDS: [Kind; 4] = [Kind::Node, Kind::DaemonSet, Kind::Pod, Kind::Revision];
const BAD: &str = "none";
/// What the images begin with that only nodes of rack 0 have.
const HALF_BAD: &str = "half:";

struct Write {
    id: ActionId,
    daemonset: Arc<DaemonSetRef>,
    work: Work,
    /// It takes a pod from a node that is not well, as far as the controller has been told.
    is_free: bool,
}

struct World {
    random: fastrand::Rng,
    objects: Objects,
    engine: Engine,
    policy: Value,
    uid: Uid,
    now: Time,
    watches: [VecDeque<Told>; 4],
    /// Nodes that the controller knows, and whether they are well.
    known: BTreeMap<String, bool>,
    /// Pods as the controller knows them, and those that it has deleted.
    known_pods: BTreeMap<Uid, Pod>,
    deleted: BTreeSet<Uid>,
    writes: Vec<Write>,
    budget: usize,
    /// The same for each rack.
    rack_budget: Option<usize>,
    /// Nodes from which the controller has taken a pod that served, and where none serves yet.
    taken: BTreeSet<String>,
    /// The leader has said something of the roll-out.
    has_spoken: bool,
    /// The roll-out was halted, and nobody has said anything since.
    is_halted: bool,
    /// When the roll-out began, as far as is known.
    begun: Time,
    /// Nodes on which no pod becomes ready.
    sick: BTreeSet<String>,
    is_traced: bool,
    images: u32,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let nodes = random.usize(1..9);
        let budget = random.usize(1..4);
        let mut objects = Objects { next_uid: 1000, graceful: random.bool(), ..Objects::default() };
        (0..nodes).for_each(|index| objects.set_node(well_node(index, index)));
        let uid = objects.new_uid();
        let min_ready_seconds = random.i32(0..3) * 10;
        let surges = random.u32(0..4) == 0;
        let holds = random.u32(0..6);
        let rack_budget = (random.u32(0..3) == 0).then(|| random.usize(1..3));
        objects.add_daemonset(daemonset(uid, "ds", |object| {
            object["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
            object["spec"]["minReadySeconds"] = min_ready_seconds.into();
            if surges {
                object["spec"]["updateStrategy"]["rollingUpdate"] =
                    json!({"maxUnavailable": 0, "maxSurge": 2});
            }
            hold_the_node(&mut object["spec"]["template"]["spec"], holds);
        }));
        let gate = |random: &mut fastrand::Rng| if random.bool() { "Manual" } else { "Automatic" };
        let mut waves = Vec::new();
        for count in [1, 50, 100] {
            if count < 100 && random.bool() {
                continue;
            }
            let nodes: Value = if count == 1 { 1.into() } else { format!("{count}%").into() };
            let bake_seconds = random.i32(0..3) * 20;
            waves.push(json!({"nodes": nodes, "bakeSeconds": bake_seconds, "gate": gate(&mut random)}));
        }
        if random.u32(0..4) == 0 {
            let selector = json!({"matchLabels": {"zone": "b"}});
            waves.insert(0, json!({"nodeSelector": selector, "bakeSeconds": 20, "gate": gate(&mut random)}));
        }
        let mut policy = json!({
            "metadata": {"namespace": "default", "name": "p", "uid": Uid(7).to_string(), "generation": 1},
            "spec": {
                "selector": {}, "maxUnavailable": budget, "waves": waves,
                "firstRollout": if random.bool() { "Waves" } else { "AtOnce" },
                "failure": {
                    "budget": random.usize(1..4), "readyWithinSeconds": 120,
                    "action": if random.bool() { "Rollback" } else { "Pause" },
                },
            },
        });
        if random.bool() {
            policy["spec"]["order"] = json!(["zone"]);
        }
        if let Some(budget) = rack_budget {
            policy["spec"]["domain"] = json!({"label": "rack", "maxUnavailable": budget});
        }
        let sick = (0..nodes).filter(|_| random.u32(0..8) == 0).map(node_name).collect();
        let mut world = World {
            sick,
            is_traced: std::env::var_os("EVERYNODE_POLICY_TRACE").is_some(),
            begun: Time(0),
            random,
            objects,
            engine: Engine::new(EngineConfig::default()),
            policy,
            uid,
            now: Time::from_seconds(1_000_000),
            watches: Default::default(),
            known: BTreeMap::new(),
            known_pods: BTreeMap::new(),
            deleted: BTreeSet::new(),
            writes: Vec::new(),
            // Of two pods on one node the built-in rules (D11) choose, by what is known of them.
            budget: if surges && holds > 2 { usize::MAX } else { budget },
            rack_budget: rack_budget.filter(|_| !surges || holds <= 2),
            taken: BTreeSet::new(),
            has_spoken: false,
            is_halted: false,
            images: 1,
        };
        world.lead();
        world
    }

    /// Another leader begins: it knows what the API server has.
    fn lead(&mut self) {
        // A status that names one node of many.
        let limits = Limits { policy_status_names: 1, ..Limits::default() };
        self.engine =
            Engine::new(EngineConfig { waits_for_policies: true, limits, ..EngineConfig::default() });
        (self.is_halted, self.has_spoken) = (false, false);
        // A leader that died can have taken a pod from a node that died too, without a word in the status.
        let nodes = &self.objects.nodes;
        self.taken.retain(|name| nodes.get(name).is_some_and(|node| node.taints.is_empty()));
        // One that died before its first word left nothing by which its roll-out is told from what was broken before.
        if self.policy["status"]["daemonSets"]["ds"].is_null() {
            self.taken.clear();
        }
        self.objects.told.clear();
        for kind in KINDS {
            self.watches[kind as usize].clear();
            self.objects.list(kind, &mut self.engine, self.now);
        }
        self.known_pods = self.objects.pods.clone();
        let nodes = self.objects.nodes.values();
        self.known = nodes.map(|node| (node.name.clone(), node.taints.is_empty())).collect();
        self.tell_policy();
    }

    fn tell_policy(&mut self) {
        let policies = PolicyFact::from_json(&self.policy).into_iter().collect();
        self.engine.observe(Fact::Policies(policies), self.now);
    }

    fn happen(&mut self) {
        match self.random.u32(0..100) {
            0..3 => self.edit(),
            3..6 => self.people(),
            6..9 => self.node_happens(),
            9..35 => self.kubelet(),
            35..60 => self.write_happens(),
            60..85 => self.deliver(),
            85..96 => self.now = self.now.plus_millis([10, 1000, 5_000, 30_000][self.random.usize(0..4)]),
            96 => self.fail_over(),
            97 if self.random.bool() => self.lose_a_pod(),
            97 => self.lose_readiness(),
            _ => self.relist(Kind::Pod),
        }
        self.queue();
    }

    fn queue(&mut self) {
        while let Some(told) = self.objects.told.pop_front() {
            self.watches[told.kind() as usize].push_back(told);
        }
    }

    fn edit(&mut self) {
        self.is_halted = false;
        self.images += 1;
        let image = match self.random.u32(0..3) {
            0 => BAD.to_owned(),
            1 => format!("{HALF_BAD}{}", self.images),
            _ => format!("i:{}", self.images),
        };
        self.objects.change_daemonset(self.uid, true, |one| one.template = with_image(&one.template, &image));
    }

    /// Somebody pauses, promotes, aborts or has it tried again.
    fn people(&mut self) {
        self.is_halted = false;
        let entry = self.policy["status"]["daemonSets"]["ds"].clone();
        let hash = entry["revision"].as_str().unwrap_or_default();
        let command = match self.random.u32(0..5) {
            0 => {
                let is_paused = self.policy["spec"]["paused"] == true;
                self.policy["spec"]["paused"] = (!is_paused).into();
                return self.tell_policy();
            }
            1 => json!({"everynode.dev/abort": hash}),
            2 => {
                self.begun = self.now;
                let attempt = entry["attempt"].as_i64().unwrap_or_default() + 1;
                json!({"everynode.dev/retry": format!("{hash}/{attempt}")})
            }
            _ => json!({"everynode.dev/promote": format!("{hash}/{}", entry["wave"])}),
        };
        self.policy["metadata"]["annotations"] = command;
        self.tell_policy();
    }

    fn node_happens(&mut self) {
        let index = self.random.usize(0..9);
        let known = self.objects.nodes.get(&node_name(index)).cloned();
        let taint = |key: &str| (key.to_owned(), String::new(), Effect::NoSchedule);
        let zone = self.random.usize(0..3);
        let node = match (known, self.random.u32(0..6)) {
            (Some(_), 0) => return self.objects.remove_node(&node_name(index)),
            (Some(node), 1 | 2) if node.not_ready_since.is_none() => Node {
                taints: vec![taint("node.kubernetes.io/unreachable")],
                not_ready_since: Some(Time(self.now.0 / 1000 * 1000)),
                ..node
            },
            (Some(_), 3) => {
                Node { taints: vec![taint("node.kubernetes.io/unschedulable")], ..well_node(index, zone) }
            }
            _ => well_node(index, zone),
        };
        let is_down = node.not_ready_since.is_some();
        // Until it takes the roll-out up, a leader cannot tell what its predecessor took there from what others drained.
        if is_down || !self.has_spoken && !node.taints.is_empty() {
            self.taken.remove(&node.name);
        }
        self.objects.set_node(node);
        let here = |pod: &&Pod| pod.node.as_deref() == Some(node_name(index).as_str());
        let pods: Vec<Uid> = self.objects.pods.values().filter(here).map(|pod| pod.uid).collect();
        for uid in pods.into_iter().filter(|_| is_down) {
            self.objects.change_pod(uid, |pod| pod.ready = false);
        }
    }

    fn is_well(&self, name: &str) -> bool {
        self.objects.nodes.get(name).is_some_and(|node| node.taints.is_empty())
    }

    /// The kubelet of one pod's node does what is to be done; whether there was anything.
    fn kubelet_of(&mut self, uid: Uid) -> bool {
        let pod = self.objects.pods[&uid].clone();
        let node = pod.node.clone().and_then(|name| self.objects.nodes.get(&name));
        let is_down = node.is_none_or(|node| node.not_ready_since.is_some());
        match () {
            () if pod.node.as_ref().is_some_and(|name| !self.objects.nodes.contains_key(name)) => {
                self.objects.remove_pod(uid);
            }
            () if is_down => return false,
            () if pod.deleting => self.objects.remove_pod(uid),
            () if pod.ready || pod.node.as_ref().is_some_and(|name| self.sick.contains(name)) => {
                return false;
            }
            () if self.is_bad(&pod) => {
                if pod.trouble.is_some() {
                    return false;
                }
                self.objects.change_pod(uid, |pod| {
                    (pod.bound, pod.trouble) = (true, Some(Trouble::ErrImagePull));
                });
            }
            () => {
                let second = Time(self.now.0 / 1000 * 1000);
                self.objects.change_pod(uid, |pod| {
                    (pod.bound, pod.phase, pod.ready, pod.ready_since) =
                        (true, Phase::Running, true, Some(second));
                });
            }
        }
        true
    }

    /// Its image cannot be pulled where it is.
    fn is_bad(&self, pod: &Pod) -> bool {
        let image = self.objects.image(pod);
        let in_rack_1 = |node: &Node| node.labels.contains(&("rack".to_owned(), "1".to_owned()));
        let node = pod.node.as_ref().and_then(|name| self.objects.nodes.get(name));
        image == BAD || image.starts_with(HALF_BAD) && node.is_some_and(in_rack_1)
    }

    fn kubelet(&mut self) {
        let all: Vec<Uid> = self.objects.pods.keys().copied().collect();
        if !all.is_empty() {
            let index = self.random.usize(0..all.len());
            self.kubelet_of(all[index]);
        }
    }

    /// What all pods of a revision need fails for a moment.
    fn lose_readiness(&mut self) {
        let second = Time(self.now.0 / 1000 * 1000);
        let ready: Vec<Uid> = self.objects.pods.values().filter(|pod| pod.ready).map(|pod| pod.uid).collect();
        for uid in ready.into_iter().filter(|_| self.random.u32(0..4) > 0) {
            self.objects.change_pod(uid, |pod| (pod.ready, pod.ready_since) = (false, Some(second)));
        }
    }

    /// A pod serves, or has lost its readiness since the roll-out began, and not longer ago than a new pod may take. On
    /// the way back what does not serve goes first.
    fn counts(&self, pod: &Pod) -> bool {
        // What happened within that second may have been before.
        let is_lost = |at: Time| at > self.begun && self.now.millis_since(at) < 120_000;
        let has_lost = pod.ready_since.is_some_and(is_lost);
        let phase = &self.policy["status"]["daemonSets"]["ds"]["phase"];
        let is_back = phase == "RollingBack" || phase == "RolledBack";
        !pod.deleting && (pod.ready || has_lost && pod.trouble.is_none() && !is_back)
    }

    /// Somebody else deletes a pod.
    fn lose_a_pod(&mut self) {
        let all: Vec<Uid> = self.objects.pods.keys().copied().collect();
        if !all.is_empty() {
            let uid = all[self.random.usize(0..all.len())];
            self.objects.change_pod(uid, |pod| pod.deleting = true);
            // From now on it is not the controller's doing that nothing serves there.
            self.objects.pods[&uid].node.as_ref().map(|node| self.taken.remove(node));
        }
    }

    fn write_happens(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.writes.len());
        let write = self.writes.swap_remove(index);
        let outcome = match self.random.u32(0..20) {
            0 => refused("no"),
            1 => Outcome::Failed { failure: Failure::Unknown, message: "no answer".to_owned() },
            2 if !matches!(write.work, Work::CreateRevision(_)) => {
                self.carry_out(&write);
                Outcome::Failed { failure: Failure::Unknown, message: "no answer".to_owned() }
            }
            _ => self.carry_out(&write),
        };
        self.engine.observe(Fact::Finished { id: write.id, outcome }, self.now);
    }

    fn trace(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>9} {}", self.now.0 - 1_000_000_000, what());
        }
    }

    fn carry_out(&mut self, write: &Write) -> Outcome {
        self.trace(|| format!("carried out: {:?}", brief(&write.work)));
        match &write.work {
            Work::WritePolicyStatus { status, .. } => {
                merge(&mut self.policy["status"], status);
                self.has_spoken = true;
                return Outcome::Done;
            }
            Work::DeletePod(pod) | Work::DeletePodAsKnown { pod, .. } => {
                let served = self.objects.pods.get(&pod.uid).filter(|pod| self.counts(pod)).cloned();
                self.trace(|| format!("begun at {:?}: {served:?}", self.begun));
                let outcome = self.objects.carry_out(&write.daemonset, &write.work, self.now);
                let is_gone = self.objects.pods.get(&pod.uid).is_none_or(|pod| pod.deleting);
                if is_gone {
                    self.deleted.insert(pod.uid);
                }
                let node = served.and_then(|pod| pod.node).filter(|name| is_gone && self.is_well(name));
                self.trace(|| format!("takes {node:?}, free: {}", write.is_free));
                self.taken.extend(node.filter(|_| !write.is_free));
                return outcome;
            }
            Work::Relist(kind) => {
                self.queue();
                self.relist(*kind);
            }
            _ => {}
        }
        self.objects.carry_out(&write.daemonset, &write.work, self.now)
    }

    fn relist(&mut self, kind: Kind) {
        self.trace(|| format!("a list: {kind:?}"));
        self.queue();
        self.watches[kind as usize].clear();
        if kind == Kind::Pod {
            self.known_pods = self.objects.pods.clone();
        }
        self.objects.list(kind, &mut self.engine, self.now);
    }

    fn fail_over(&mut self) {
        self.trace(|| "another leader".to_owned());
        for write in std::mem::take(&mut self.writes) {
            if self.random.bool() {
                self.carry_out(&write);
            }
        }
        self.lead();
    }

    fn deliver(&mut self) {
        let kind = self.random.usize(0..4);
        for _ in 0..self.random.usize(1..6) {
            let Some(told) = self.watches[kind].pop_front() else { return };
            self.tell(&told);
        }
    }

    fn tell(&mut self, told: &Told) {
        self.trace(|| format!("told: {told:?}"));
        match told {
            Told::Node(node) => drop(self.known.insert(node.name.clone(), node.taints.is_empty())),
            Told::NodeGone(name) => drop(self.known.remove(name)),
            Told::Pod(pod) => drop(self.known_pods.insert(pod.uid, pod.clone())),
            Told::PodGone(uid, _) => drop(self.known_pods.remove(uid)),
            _ => {}
        }
        told.tell(&mut self.engine, self.now);
    }

    fn decide(&mut self) -> Result<usize, String> {
        let actions = self.engine.decide(self.now);
        let count = actions.len();
        for action in actions {
            match &action.work {
                Work::RecordEvent(event) => {
                    self.trace(|| format!("event: {event:?}"));
                    // A new template starts afresh.
                    self.is_halted &= event.reason != "RolloutStarted";
                    if event.reason == "RolloutStarted" {
                        self.begun = self.now;
                    }
                    self.is_halted |= event.reason == "RolloutHalted" && self.has_pause_only();
                    continue;
                }
                Work::DeletePod(pod) | Work::DeletePodAsKnown { pod, .. }
                    if self.is_halted && !self.surges() =>
                {
                    // Pods of nodes that are gone, or that are too many, go all the same.
                    let node = self.objects.pods.get(&pod.uid).and_then(|pod| pod.node.clone());
                    let here = self.objects.pods.values().filter(|pod| pod.node == node).count();
                    if node.is_some_and(|node| self.known.contains_key(&node)) && here < 2 {
                        return Err(format!("halted, and yet {:?}", action.work));
                    }
                }
                _ => {}
            }
            let (id, daemonset, work) = (action.id, action.daemonset, action.work);
            let pod = match &work {
                Work::DeletePod(pod) | Work::DeletePodAsKnown { pod, .. } => self.objects.pods.get(&pod.uid),
                _ => None,
            };
            let node = pod.and_then(|pod| pod.node.as_ref()).and_then(|node| self.known.get(node));
            let is_free = node != Some(&true);
            self.writes.push(Write { id, daemonset, work, is_free });
        }
        let before = self.taken.clone();
        let judged = self.judge();
        if before != self.taken {
            self.trace(|| format!("taken: {before:?}, then {:?}", self.taken));
        }
        judged?;
        self.judge_status()?;
        Ok(count)
    }

    /// A pod is available.
    fn serves(&self, pod: &Pod) -> bool {
        let seconds = i64::from(self.objects.daemonsets[&self.uid].min_ready_seconds);
        let at = pod.ready_since.map(|since| since.plus_millis(seconds * 1000));
        pod.ready && !pod.deleting && (seconds == 0 || at.is_some_and(|at| at <= self.now))
    }

    /// Two pods may be on one node.
    fn surges(&self) -> bool {
        self.budget == usize::MAX
    }

    /// No list of the status names a node that another one of it excludes.
    fn judge_status(&self) -> Result<(), String> {
        let entry = &self.policy["status"]["daemonSets"]["ds"];
        let names = |key: &str| entry[key].as_array().cloned().unwrap_or_default();
        let exempt = names("exemptNodes");
        match names("failedNodes").iter().find(|one| exempt.contains(&one["node"])) {
            Some(both) => Err(format!("failed and exempt: {both}")),
            None => Ok(()),
        }
    }

    /// A halt deletes nothing, unless it goes back.
    fn has_pause_only(&self) -> bool {
        self.policy["spec"]["failure"]["action"] == "Pause"
            && self.policy["metadata"]["annotations"]["everynode.dev/abort"].is_null()
    }

    fn judge(&mut self) -> Result<(), String> {
        // That a pod has lost its readiness since may not be known yet.
        let known = self.known_pods.values().filter(|pod| !self.deleted.contains(&pod.uid));
        let all = self.objects.pods.values().chain(known);
        let serving = all.filter(|pod| self.serves(pod));
        let served: BTreeSet<&str> = serving.filter_map(|pod| pod.node.as_deref()).collect();
        let nodes = &self.objects.nodes;
        // A node that is gone, as far as is known, is another one when it comes again.
        let is_there = |name: &String| nodes.contains_key(name) && self.known.contains_key(name);
        self.taken.retain(|name| is_there(name) && !served.contains(name.as_str()));
        for rack in ["0", "1"] {
            let is_of_rack = |name: &&String| {
                nodes
                    .get(*name)
                    .is_some_and(|node| node.labels.contains(&("rack".to_owned(), rack.to_owned())))
            };
            let taken: Vec<&String> = self.taken.iter().filter(is_of_rack).collect();
            if self.rack_budget.is_some_and(|budget| taken.len() > budget) {
                return Err(format!(
                    "{taken:?} of rack {rack} are taken, the budget is {:?}",
                    self.rack_budget
                ));
            }
        }
        match self.taken.len() > self.budget {
            true => Err(format!("{:?} are taken, the budget is {}", self.taken, self.budget)),
            false => Ok(()),
        }
    }

    /// The weather ends, and one more template comes, which is good; people promote what waits for them.
    fn heal(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.objects.nodes.keys().cloned().collect();
        names.iter().for_each(|name| {
            let index = name[1..].parse().unwrap();
            self.objects.set_node(well_node(index, index));
        });
        self.sick.clear();
        self.images += 1;
        self.is_halted = false;
        let image = format!("i:{}", self.images);
        self.objects.change_daemonset(self.uid, true, |one| one.template = with_image(&one.template, &image));
        self.policy["spec"]["paused"] = false.into();
        self.tell_policy();
        for _ in 0..5_000 {
            self.queue();
            for kind in KINDS {
                while let Some(told) = self.watches[kind as usize].pop_front() {
                    self.tell(&told);
                }
            }
            let mut acted = false;
            for write in std::mem::take(&mut self.writes) {
                acted = true;
                let outcome = self.carry_out(&write);
                self.engine.observe(Fact::Finished { id: write.id, outcome }, self.now);
            }
            acted |= self.decide()? > 0;
            if acted || !self.objects.told.is_empty() {
                continue;
            }
            for uid in self.objects.pods.keys().copied().collect::<Vec<_>>() {
                acted |= self.kubelet_of(uid);
            }
            let entry = &self.policy["status"]["daemonSets"]["ds"];
            if !acted && (entry["phase"] == "WaitingForPromotion" || entry["phase"] == "Stalled") {
                let text = format!("{}/{}", entry["revision"].as_str().unwrap_or_default(), entry["wave"]);
                let annotations = json!({"everynode.dev/promote": text});
                if self.policy["metadata"]["annotations"] != annotations {
                    self.policy["metadata"]["annotations"] = annotations;
                    self.tell_policy();
                    acted = true;
                }
            }
            if acted {
                continue;
            }
            match self.engine.next_deadline() {
                Some(at) if at.millis_since(self.now) < 1_000_000 => self.now = self.now.max(at),
                _ => return self.check_end(&image),
            }
        }
        Err("it does not come to rest".to_owned())
    }

    fn check_end(&self, image: &str) -> Result<(), String> {
        let entry = &self.policy["status"]["daemonSets"]["ds"];
        let with_it =
            self.objects.pods.values().filter(|pod| self.objects.image(pod) == image && pod.ready).count();
        let nodes = self.objects.nodes.len();
        match nodes == 0
            || entry["phase"] == "Complete" && with_it == nodes && self.objects.pods.len() == nodes
        {
            true => Ok(()),
            false => Err(format!("{with_it} of {nodes} nodes have {image}: {entry:#}")),
        }
    }
}

/// A write without its templates.
fn brief(work: &Work) -> String {
    match work {
        Work::CreatePod(new) => format!("CreatePod on {} of {}", new.node, new.hash),
        Work::WritePolicyStatus { status, .. } => status["daemonSets"]["ds"].to_string(),
        work => format!("{work:?}"),
    }
}

/// A node of one of three zones, and of one of two racks.
fn well_node(index: usize, zone: usize) -> Node {
    let mut node = plain_node(index);
    node.labels.push(("rack".to_owned(), (index % 2).to_string()));
    node.labels.push(("zone".to_owned(), ["a", "b", "c"][zone % 3].to_owned()));
    node
}

/// The ways in which a pod keeps a second one of its template from its node; with others it does not.
fn hold_the_node(spec: &mut Value, way: u32) {
    let container = &mut spec["containers"][0];
    match way {
        0 => container["ports"] = json!([{"containerPort": 9100, "hostPort": 9100}]),
        1 => {
            container["ports"] = json!([{"containerPort": 9100}]);
            spec["hostNetwork"] = true.into();
        }
        2 => spec["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
        _ => {}
    }
}

/// Seeds that have found something. As the generator has grown since, they may be other worlds now.
const FINDERS: [u64; 2] = [12652, 924_148_849_008];

fn run(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    for step in 0..400 {
        world.happen();
        world.decide().map_err(|error| format!("step {step}: {error}"))?;
    }
    world.heal().map_err(|error| format!("after the weather: {error}"))
}

#[test]
fn the_budget_holds_what_is_halted_deletes_nothing_and_every_roll_out_ends() {
    let first = number("EVERYNODE_POLICY_SEED", fastrand::u64(0..1 << 40));
    println!("EVERYNODE_POLICY_SEED={first}");
    for seed in (first..first + number("EVERYNODE_POLICY_SEEDS", 300)).chain(FINDERS) {
        if let Err(error) = run(seed) {
            panic!("EVERYNODE_POLICY_SEED={seed}: {error}");
        }
    }
}

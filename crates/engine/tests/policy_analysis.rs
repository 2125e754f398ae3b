//! Roll-outs that are judged by what their nodes show: what halts them, what does not, and what survives a leader.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod common;

use common::fleet::{Fleet, Image, runs};
use common::{Pod, change_image, rolling};
use everynode_engine::{Fact, Sample, Samples, Uid};
use serde_json::{Value, json};

/// What pods take: by node, image and second.
type Level = fn(u64, &str, i64) -> f64;

/// A fleet whose pods somebody measures.
struct Watched {
    fleet: Fleet,
    cpu: Level,
    memory: fn(&Pod, &str, i64) -> f64,
    /// The share of samples that are not there, in per cent.
    missing_percent: u64,
    /// Pods take some ticks to get ready.
    is_slow: bool,
    /// So many pods are measured at most.
    cohort_limit: usize,
}

const TICK_SECONDS: i64 = 10;

/// A number that nobody has chosen.
fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0xcbf2_9ce4_8422_2325, |hash, part| {
        let mixed = (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 29
    })
}

/// Nodes differ by half, and each varies by a tenth.
fn usual(node: u64, _: &str, second: i64) -> f64 {
    let level = 0.1 + 0.1 * (hash(&[node]) % 100) as f64 / 100.0;
    level * (0.9 + 0.2 * (hash(&[node, second as u64]) % 100) as f64 / 100.0)
}

/// The same, and twice as much with the new image.
fn doubled(node: u64, image: &str, second: i64) -> f64 {
    usual(node, image, second) * if image == "i:2" { 2.0 } else { 1.0 }
}

fn waves() -> Value {
    json!([{"name": "canary", "nodes": 10}, {"name": "some", "nodes": 40}, {"name": "all", "nodes": "100%"}])
}

fn policy(analysis: Value) -> Value {
    let mut all = json!({"beforeSeconds": 120, "settleSeconds": 10, "afterSeconds": 60, "mode": "Halt"});
    all.as_object_mut().unwrap().extend(analysis.as_object().unwrap().clone());
    let failure = json!({"budget": 5, "action": "Rollback"});
    json!({"waves": waves(), "maxUnavailable": 10, "failure": failure, "analysis": all})
}

impl Watched {
    fn new(nodes: usize, analysis: Value, cpu: Level) -> Watched {
        Watched::measured(nodes, analysis, cpu, nodes)
    }

    fn measured(nodes: usize, analysis: Value, cpu: Level, cohort_limit: usize) -> Watched {
        let fleet = Fleet::new(nodes, rolling(10, 0)).with_policy(policy(analysis));
        let memory: fn(&Pod, &str, i64) -> f64 = |_, _, _| 1e8;
        let mut watched = Watched { fleet, cpu, memory, missing_percent: 0, is_slow: false, cohort_limit };
        watched.pass(200, &|_, _| {});
        watched
    }

    fn update(&mut self) {
        change_image(&mut self.fleet.cluster, self.fleet.uid, "i:2");
    }

    /// Time passes; `live` is what else pods do in each tick.
    fn pass(&mut self, seconds: i64, live: &dyn Fn(&mut Watched, i64)) {
        let asked = std::cell::Cell::new(self.fleet.cluster.now.0 as u64);
        for _ in 0..seconds / TICK_SECONDS {
            let now = self.fleet.cluster.now.plus_millis(TICK_SECONDS * 1000);
            self.fleet.cluster.now = now;
            self.sample();
            live(self, now.seconds());
            while self.fleet.cluster.step() > 0
                || !self.fleet.cluster.objects.told.is_empty()
                || self.fleet.work(&|_: &str| {
                    asked.set(asked.get() + 1);
                    let is_late = self.is_slow && !hash(&[asked.get()]).is_multiple_of(4);
                    if is_late { Image::NeverReady } else { Image::Runs }
                })
            {}
        }
    }

    /// Until it is over, for two hours at most.
    fn roll(&mut self, live: &dyn Fn(&mut Watched, i64)) {
        self.update();
        for _ in 0..720 {
            self.pass(TICK_SECONDS, live);
            if ["Complete", "RolledBack", "Halted"].contains(&self.fleet.phase()) {
                return;
            }
        }
        panic!("it does not end: {:#}", self.fleet.entry());
    }

    fn sample(&mut self) {
        let now = self.fleet.cluster.now;
        let seen = hash(&[now.0 as u64]);
        let objects = &self.fleet.cluster.objects;
        let cohort = self.fleet.cluster.engine.cohort(self.fleet.uid, self.cohort_limit);
        let cohort: std::collections::BTreeSet<&str> = cohort.iter().map(|one| one.pod.as_str()).collect();
        let measured = objects
            .pods
            .values()
            .filter(|pod| pod.ready && cohort.contains(pod.name.as_str()))
            .filter(|pod| hash(&[seen, pod.uid.0 as u64]) % 100 >= self.missing_percent);
        let value = |pod: &Pod| {
            let image = objects.image(pod);
            let cpu = (self.cpu)(node_of(pod), &image, now.seconds());
            (pod.name.clone(), cpu, (self.memory)(pod, &image, now.seconds()))
        };
        let values: Vec<(String, f64, f64)> = measured.map(value).collect();
        let pods: Vec<Sample<'_>> = values
            .iter()
            .map(|(pod, cpu, memory)| {
                let (cpu_cores, memory_bytes) = (Some(*cpu), Some(*memory));
                // What the daemon does is what it takes.
                Sample { pod, at: now, cpu_cores, memory_bytes, metric: Some(*cpu) }
            })
            .collect();
        let samples = Samples { daemonset: self.fleet.uid, pods: &pods };
        self.fleet.cluster.engine.observe(Fact::Samples(samples), now);
    }

    fn analysis(&self) -> &Value {
        &self.fleet.entry()["analysis"]
    }

    fn verdict(&self) -> &str {
        self.analysis()["verdict"].as_str().unwrap_or("none")
    }

    fn has_new(&self) -> usize {
        self.fleet.pods_with("i:2")
    }
}

fn node_of(pod: &Pod) -> u64 {
    pod.node.as_ref().unwrap()[1..].parse().unwrap()
}

/// Everything but CPU is left out: nobody measures it here.
fn only(name: &str) -> Value {
    json!({"signals": [{"name": name}]})
}

fn with(mut analysis: Value, key: &str, value: Value) -> Value {
    analysis[key] = value;
    analysis
}

#[test]
fn a_revision_that_takes_twice_the_cpu_halts_at_the_canary_and_goes_back() {
    let mut watched = Watched::new(100, only("cpu"), doubled);
    watched.roll(&|_, _| {});
    assert_eq!((watched.fleet.phase(), watched.verdict(), watched.has_new()), ("RolledBack", "Worse", 0));
    let message = watched.fleet.entry()["message"].as_str().unwrap();
    assert!(message.starts_with("the revision is worse: cpu is higher by"), "{message}");
    assert_eq!(watched.analysis()["basis"], "Randomised");
    let events = &watched.fleet.cluster.events;
    let told: Vec<&String> =
        events.iter().filter(|(reason, _)| *reason == "RolloutWorse").map(|(_, message)| message).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_good_revision_is_not_halted_while_load_rises_by_half() {
    fn stepped(node: u64, image: &str, second: i64) -> f64 {
        usual(node, image, second) * if second % 400 < 200 { 1.5 } else { 1.0 }
    }
    let mut watched = Watched::new(100, only("cpu"), stepped);
    watched.roll(&|_, _| {});
    assert_eq!((watched.fleet.phase(), watched.has_new()), ("Complete", 100));
    assert_ne!(watched.verdict(), "Worse");
}

#[test]
fn what_is_only_observed_is_said_and_does_nothing() {
    let mut watched = Watched::new(100, with(only("cpu"), "mode", "Observe".into()), doubled);
    watched.roll(&|_, _| {});
    assert_eq!((watched.fleet.phase(), watched.verdict(), watched.has_new()), ("Complete", "Worse", 100));
}

#[test]
fn without_a_measure_it_is_blind_which_is_no_success() {
    let check = |undecided: &str, expected: (&str, &str, usize)| {
        let mut watched = Watched::new(100, with(only("cpu"), "undecided", undecided.into()), usual);
        watched.missing_percent = 100;
        watched.pass(300, &|_, _| {});
        watched.roll(&|_, _| {});
        assert_eq!((watched.fleet.phase(), watched.verdict(), watched.has_new()), expected, "{undecided}");
    };
    check("Proceed", ("Complete", "Blind", 100));
    check("Halt", ("RolledBack", "Blind", 0));
}

/// Containers of the new image end now and then, on half of the nodes.
fn restart_some(watched: &mut Watched, second: i64) {
    let objects = &mut watched.fleet.cluster.objects;
    let new: Vec<Uid> =
        objects.pods.values().filter(|pod| objects.image(pod) == "i:2").map(|pod| pod.uid).collect();
    for uid in new {
        let node = node_of(&objects.pods[&uid]);
        if node.is_multiple_of(2) && hash(&[node, second as u64]).is_multiple_of(4) {
            objects.change_pod(uid, |pod| pod.restarts += 1);
        }
    }
}

#[test]
fn containers_that_end_now_and_then_are_found_without_any_measure() {
    let mut watched = Watched::new(100, only("restarts"), usual);
    watched.missing_percent = 100;
    watched.roll(&restart_some);
    assert_eq!((watched.fleet.phase(), watched.verdict()), ("RolledBack", "Worse"));
    let message = watched.fleet.entry()["message"].as_str().unwrap();
    assert!(message.starts_with("the revision is worse: restarts happened on"), "{message}");
}

#[test]
fn a_leader_that_goes_takes_the_open_block_with_it_and_nothing_else() {
    // A change that a canary alone does not show.
    fn higher(node: u64, image: &str, second: i64) -> f64 {
        usual(node, image, second) * if image == "i:2" { 1.35 } else { 1.0 }
    }
    let evidence = |fails_over: bool| {
        let mut watched = Watched::new(100, with(only("cpu"), "mode", "Observe".into()), higher);
        watched.update();
        while watched.fleet.entry()["wave"] != json!(2) {
            watched.pass(TICK_SECONDS, &|_, _| {});
        }
        let said = watched.analysis().clone();
        if fails_over {
            watched.fleet.fail_over();
            watched.pass(TICK_SECONDS, &|_, _| {});
        }
        (said.clone(), watched.analysis().clone())
    };
    let (said, goes_on) = evidence(true);
    assert_eq!(said["signals"][0]["evidence"], goes_on["signals"][0]["evidence"]);
    assert_eq!(said["frontier"], goes_on["frontier"]);
    assert_eq!(said["verdict"], evidence(false).1["verdict"]);
    assert!(!said["signals"][0]["evidence"].as_str().unwrap().is_empty());
}

/// What is said at the end of a roll-out over 200 nodes whose leader is killed once in each wave from the given one on, at
/// moments that the seed says; how often that was.
fn said_at_the_end(cpu: Level, first_wave: u64, seed: u64) -> (String, usize) {
    let mut watched = Watched::new(200, with(only("cpu"), "mode", "Observe".into()), cpu);
    watched.update();
    let (mut known_wave, mut kill_at, mut killed) = (Value::Null, u64::MAX, 0);
    for tick in 0..720 {
        let wave = watched.fleet.entry()["wave"].clone();
        if wave != known_wave {
            let is_deadly = wave.as_u64().is_some_and(|wave| wave >= first_wave);
            kill_at = if is_deadly { tick + hash(&[seed, tick]) % 4 } else { u64::MAX };
            known_wave = wave;
        }
        if tick == kill_at {
            let said = watched.analysis().clone();
            watched.fleet.fail_over();
            watched.pass(TICK_SECONDS, &|_, _| {});
            for key in ["frontier", "poolEnd"] {
                assert_eq!(watched.analysis()[key], said[key], "{key} after leader {killed} of seed {seed}");
            }
            let shown = |analysis: &Value| {
                let verdict = analysis["verdict"].as_str().unwrap_or_default();
                ["Worse", "NoWorse"].into_iter().find(|shown| *shown == verdict)
            };
            assert_eq!(shown(watched.analysis()), shown(&said), "leader {killed} of seed {seed}");
            let evidence = |analysis: &Value| analysis["signals"][0]["evidence"].clone();
            assert_eq!(evidence(watched.analysis()), evidence(&said), "leader {killed} of seed {seed}");
            killed += 1;
        }
        watched.pass(TICK_SECONDS, &|_, _| {});
        if watched.fleet.phase() == "Complete" {
            return (watched.verdict().to_owned(), killed);
        }
    }
    panic!("it does not end with seed {seed}: {:#}", watched.fleet.entry());
}

#[test]
fn a_leader_that_is_killed_in_each_wave_changes_no_verdict() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    for seed in seed..seed + 4 {
        let (verdict, killed) = said_at_the_end(doubled, 2, seed);
        assert_eq!(verdict, "Worse", "what the canary has shown stays shown: seed {seed}");
        assert!(killed >= 1, "{killed} killed with seed {seed}");
        let (verdict, killed) = said_at_the_end(usual, 1, seed);
        assert_ne!(verdict, "Worse", "seed {seed}");
        assert!(killed >= 2, "{killed} killed with seed {seed}");
    }
}

#[test]
fn a_figure_of_the_daemons_own_is_judged_as_cpu_is() {
    let signal = json!({"name": "metricRate", "metric": "work_total", "port": "metrics", "floor": "10m"});
    let mut watched = Watched::new(100, json!({"signals": [signal]}), doubled);
    let sampled = watched.fleet.cluster.engine.sampled();
    assert!(!sampled[0].wants_usage);
    assert_eq!(sampled[0].metric.as_ref().unwrap().name, "work_total");
    watched.roll(&|_, _| {});
    assert_eq!((watched.fleet.phase(), watched.verdict()), ("RolledBack", "Worse"));
    let message = watched.fleet.entry()["message"].as_str().unwrap();
    assert!(message.starts_with("the revision is worse: metricRate is higher by"), "{message}");
}

#[test]
fn a_part_of_the_pods_is_enough_to_judge_what_comes_after_the_canary() {
    let check = |cpu: Level, expected: (&str, bool)| {
        let mut watched = Watched::measured(200, only("cpu"), cpu, 80);
        watched.roll(&|_, _| {});
        let is_worse = watched.verdict() == "Worse";
        assert_eq!((watched.fleet.phase(), is_worse), expected, "{:#}", watched.analysis());
    };
    check(doubled, ("RolledBack", true));
    check(usual, ("Complete", false));
}

#[test]
fn of_many_pods_those_are_measured_that_are_compared_now_or_next() {
    let mut watched = Watched::measured(100, only("cpu"), usual, 60);
    let cohort = |watched: &Watched, limit: usize| -> std::collections::BTreeSet<u64> {
        let pods = watched.fleet.cluster.engine.cohort(watched.fleet.uid, limit);
        pods.iter().map(|one| one.node[1..].parse().unwrap()).collect()
    };
    let updated = |watched: &Watched| -> std::collections::BTreeSet<u64> {
        let objects = &watched.fleet.cluster.objects;
        objects.pods.values().filter(|pod| objects.image(pod) == "i:2").map(node_of).collect()
    };
    assert_eq!(cohort(&watched, 100).len(), 100, "all where there is room");
    assert!(cohort(&watched, 60).is_empty(), "nobody in peace");
    watched.update();
    watched.pass(60, &|_, _| {});
    assert_eq!(updated(&watched).len(), 10, "the canary");
    let before = cohort(&watched, 60);
    assert_eq!(
        (before.len(), updated(&watched).is_disjoint(&before)),
        (60, true),
        "what they were is not known"
    );
    while updated(&watched).len() < 30 {
        watched.pass(TICK_SECONDS, &|_, _| {});
    }
    // Of those that are updated next, and of those that they are compared with, it is known what they were before.
    let (during, updated) = (cohort(&watched, 60), updated(&watched));
    assert!(updated.intersection(&before).count() >= 20, "{updated:?} of {before:?}");
    let controls = during.intersection(&before).filter(|node| !updated.contains(node)).count();
    assert!(controls >= 10, "{during:?} of {before:?}");
}

#[test]
fn who_comes_first_is_chance_and_the_same_for_every_leader() {
    let first = |analysis: Value| {
        let mut watched = Watched::new(100, analysis, usual);
        watched.update();
        watched.pass(60, &|_, _| {});
        let objects = &watched.fleet.cluster.objects;
        let new = objects.pods.values().filter(|pod| objects.image(pod) == "i:2");
        let mut nodes: Vec<u64> = new.map(node_of).collect();
        nodes.sort_unstable();
        nodes
    };
    let nodes = first(only("cpu"));
    assert_eq!(nodes.len(), 10);
    assert_ne!(nodes, (0..10).collect::<Vec<u64>>());
    assert_eq!(nodes, first(only("restarts")), "the order hangs on nothing but the names");
}

#[test]
fn a_wave_that_waits_for_a_verdict_is_watched_for_longer_and_not_for_ever() {
    let analysis = with(with(only("cpu"), "undecided", "Wait".into()), "maxBakeSeconds", 400.into());
    let mut watched = Watched::new(100, analysis, usual);
    watched.missing_percent = 100;
    watched.pass(300, &|_, _| {});
    watched.update();
    let mut watched_for = 0;
    while watched.fleet.entry()["wave"] != json!(2) {
        watched.pass(TICK_SECONDS, &|_, _| {});
        watched_for += TICK_SECONDS;
        assert!(watched_for < 700, "{:#}", watched.fleet.entry());
    }
    assert!(watched_for >= 400, "{watched_for}");
}

#[test]
fn only_nodes_of_one_stratum_are_compared() {
    // All nodes of one kind get hotter while the canary runs, whatever they run.
    fn shocked(node: u64, image: &str, second: i64) -> f64 {
        usual(node, image, second) * if node.is_multiple_of(3) && second % 100_000 > 350 { 3.0 } else { 1.0 }
    }
    let analysis = with(only("cpu"), "strata", json!(["kind"]));
    let mut watched = Watched::new(90, analysis, shocked);
    for index in 0..90 {
        let mut node = common::plain_node(index);
        node.labels.push(("kind".to_owned(), (index % 3).to_string()));
        node.labels.sort();
        watched.fleet.cluster.objects.set_node(node);
    }
    watched.roll(&|_, _| {});
    assert_eq!(watched.fleet.phase(), "Complete");
}

#[test]
fn another_try_after_a_verdict_is_judged_anew() {
    let mut watched = Watched::new(100, only("cpu"), doubled);
    watched.roll(&|_, _| {});
    let hash = watched.fleet.hash();
    watched.fleet.annotate("retry", format!("{hash}/1"));
    watched.cpu = usual;
    for _ in 0..200 {
        watched.pass(TICK_SECONDS, &|_, _| {});
    }
    assert_eq!((watched.fleet.phase(), watched.has_new()), ("Complete", 100), "{:#}", watched.fleet.entry());
}

#[test]
fn without_an_analysis_nodes_come_by_name_and_nothing_is_said() {
    let waves = json!([{"nodes": 10, "gate": "Manual"}, {"nodes": "100%"}]);
    let policy = json!({"waves": waves, "maxUnavailable": 10});
    let mut fleet = Fleet::new(30, rolling(10, 0)).with_policy(policy);
    change_image(&mut fleet.cluster, fleet.uid, "i:2");
    fleet.roll(runs);
    let objects = &fleet.cluster.objects;
    let new = objects.pods.values().filter(|pod| objects.image(pod) == "i:2");
    let nodes: std::collections::BTreeSet<u64> = new.map(node_of).collect();
    assert_eq!(nodes, (0..10).collect());
    assert_eq!(fleet.entry()["analysis"], Value::Null);
}

/// Of memory old pods have more than fresh ones, whatever they run.
fn aged(pod: &Pod, image: &str, now: i64) -> f64 {
    let age = (now - pod.created.seconds()).min(3600) as f64;
    let varied = 0.95 + 0.1 * (hash(&[node_of(pod), now as u64]) % 100) as f64 / 100.0;
    let worse = if image == "i:2" { 1.8 } else { 1.0 };
    (1e8 + age * 1e5) * varied * worse
}

/// Pods of the old image that are younger than the roll-out.
fn fresh_of_the_old(watched: &Watched) -> usize {
    let objects = &watched.fleet.cluster.objects;
    let Some(begun) = watched.fleet.entry()["startedAt"].as_str() else { return 0 };
    let is_fresh = |pod: &&Pod| everynode_model::time::format(pod.created.seconds()).as_str() >= begun;
    objects.pods.values().filter(is_fresh).filter(|pod| objects.image(pod) == "i:1").count()
}

#[test]
fn memory_is_compared_with_fresh_pods_of_the_old_revision_within_the_budget() {
    let analysis = with(only("memory"), "baseline", json!({"nodes": 20}));
    let mut watched = Watched::new(100, analysis, usual);
    watched.fleet.cluster.policies[0]["spec"]["maxUnavailable"] = 15.into();
    watched.fleet.cluster.tell_policies();
    watched.memory = aged;
    watched.is_slow = true;
    watched.fleet.budget = 15;
    watched.pass(3600, &|_, _| {});
    watched.update();
    let mut restarted = 0;
    while watched.verdict() == "none" {
        restarted = fresh_of_the_old(&watched);
        watched.pass(TICK_SECONDS, &|_, _| {});
        assert!(watched.fleet.phase() != "Complete", "{:#}", watched.fleet.entry());
    }
    assert_eq!(restarted, 20);
    assert_eq!((watched.verdict(), watched.fleet.phase()), ("Worse", "RollingBack"));
    watched.pass(300, &|_, _| {});
    assert_eq!((watched.fleet.phase(), watched.fleet.pods_with("i:1")), ("RolledBack", 100));
}

#[test]
fn a_good_revision_is_no_worse_than_fresh_pods_of_the_old_one() {
    fn fresh_alike(pod: &Pod, _: &str, now: i64) -> f64 {
        aged(pod, "i:1", now)
    }
    let mut watched = Watched::new(100, with(only("memory"), "baseline", json!({"nodes": 20})), usual);
    watched.memory = fresh_alike;
    watched.fleet.budget = 10;
    watched.pass(3600, &|_, _| {});
    watched.roll(&|_, _| {});
    assert_eq!((watched.fleet.phase(), watched.has_new()), ("Complete", 100));
    assert_ne!(watched.verdict(), "Worse", "{:#}", watched.analysis());
}

#[test]
fn where_it_is_worse_is_named_with_the_label_that_explains_it() {
    fn on_one_kind(node: u64, image: &str, second: i64) -> f64 {
        usual(node, image, second) * if image == "i:2" && node.is_multiple_of(4) { 3.0 } else { 1.0 }
    }
    let mut watched = Watched::new(200, only("cpu"), on_one_kind);
    for index in 0..200 {
        let mut node = common::plain_node(index);
        node.labels.push(("kind".to_owned(), (index % 4).to_string()));
        node.labels.sort();
        watched.fleet.cluster.objects.set_node(node);
    }
    watched.roll(&|_, _| {});
    assert_eq!((watched.fleet.phase(), watched.verdict()), ("RolledBack", "Worse"));
    let common = watched.analysis()["common"].as_str().unwrap();
    assert!(common.contains("have kind=0"), "{common}");
    let named = watched.analysis()["worstNodes"].as_array().unwrap();
    let number = |node: &Value| node.as_str().unwrap()[1..].parse::<u64>().unwrap();
    assert!(named.len() == 3 && named.iter().all(|node| number(node) % 4 == 0), "{named:?}");
    let message = watched.fleet.entry()["message"].as_str().unwrap();
    assert!(message.contains("of the nodes with harm"), "{message}");
}

//! `everynode controller --scope rollouts` beside the DaemonSet controller that makes the pods: waves in their order
//! within the budget while it is killed at every step; halts, a pause, and what happens without it.
//!
//! `EVERYNODE_TEST_NATIVE_KUBECONFIG` names a cluster whose own DaemonSet controller is on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Deref;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::agent::{Agent, counts};
use common::bare::Bare;
use common::native::Native;
use common::{LIMIT, eventually, everynode, get};
use everynode_client::{Client, Event, ListWatch, content_type};
use everynode_testkit::number;
use futures::StreamExt;
use serde_json::{Value, json};

const NODES: usize = 12;
const BUDGET: usize = 2;
const POOL: &str = "example.com/pool";
/// How long nothing may happen before it counts as nothing.
const CALM: Duration = Duration::from_secs(2);
/// The longest time from a step to the kill.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Created,
    Ready,
    Deleted,
}

/// Something that happened to a pod.
#[derive(Clone, Debug)]
struct Step {
    what: What,
    node: String,
    image: String,
    /// Nodes without a ready pod, after this.
    unserved: usize,
}

/// What happens to the pods of the agent, in order.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Vec<Step>>>);

impl Steps {
    fn follow(bare: &Bare) -> Steps {
        let steps = Steps::default();
        tokio::spawn(follow(bare.client.clone(), bare.pods(), steps.clone()));
        steps
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn since(&self, count: usize) -> Vec<Step> {
        self.0.lock().unwrap()[count..].to_vec()
    }

    /// Nothing is replaced for a while.
    async fn rest(&self, when: &str) {
        let before = self.count();
        tokio::time::sleep(CALM).await;
        let mut steps = self.since(before);
        steps.retain(|step| step.what != What::Ready);
        assert!(steps.is_empty(), "{when}: {steps:?}");
    }
}

struct Pod {
    node: String,
    image: String,
    ready: bool,
}

async fn follow(client: Client, path: String, steps: Steps) {
    let mut pods: HashMap<String, Pod> = HashMap::new();
    let mut gone: HashSet<String> = HashSet::new();
    let mut listed: HashSet<String> = HashSet::new();
    let mut events = ListWatch::new(path).run(client);
    while let Some(event) = events.next().await {
        let (objects, is_gone) = match event {
            Event::InitialObject(pod) | Event::Applied(pod) => (vec![pod], false),
            Event::Deleted(pod) => (vec![pod], true),
            Event::Restarted => {
                listed.clear();
                continue;
            }
            Event::InitialDone(_) => {
                assert!(pods.keys().all(|uid| listed.contains(uid)), "the watch has missed a deletion");
                continue;
            }
            Event::Bookmark(_) | Event::Interrupted(_) => continue,
        };
        for object in objects {
            let object: Value = serde_json::from_slice(&object).unwrap();
            let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
            listed.insert(uid.clone());
            if gone.contains(&uid) {
                continue;
            }
            let is_gone = is_gone || !object["metadata"]["deletionTimestamp"].is_null();
            let is_new = !pods.contains_key(&uid);
            let pod = pods.entry(uid.clone()).or_insert_with(|| read(&object));
            let is_ready = is_ready(&object);
            let becomes_ready = is_ready && !std::mem::replace(&mut pod.ready, is_ready);
            let (node, image) = (pod.node.clone(), pod.image.clone());
            let whats = [
                is_new.then_some(What::Created),
                (becomes_ready && !is_gone).then_some(What::Ready),
                is_gone.then_some(What::Deleted),
            ];
            if is_gone {
                pods.remove(&uid);
                gone.insert(uid);
            }
            let served: BTreeSet<&str> =
                pods.values().filter(|pod| pod.ready).map(|pod| pod.node.as_str()).collect();
            let unserved = NODES - served.len();
            let new = whats.into_iter().flatten();
            let new = new.map(|what| Step { what, node: node.clone(), image: image.clone(), unserved });
            steps.0.lock().unwrap().extend(new);
        }
    }
}

fn read(pod: &Value) -> Pod {
    let (_, node) = common::doubles::live_on(pod).unwrap_or_default();
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    Pod { node, image, ready: false }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// The process under test.
struct Controller<'a> {
    bare: &'a Bare,
    process: Option<Child>,
    kills: usize,
}

impl Controller<'_> {
    fn start(&mut self) {
        let mut command = self.bare.controller("rollouts");
        command.args(["--scope=rollouts", "--leader-elect=false"]);
        if std::env::var_os("EVERYNODE_TEST_LOGS").is_none() {
            command.stderr(Stdio::null());
        }
        self.process = Some(command.spawn().unwrap());
    }

    /// SIGKILL.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
            self.kills += 1;
        }
    }
}

impl Drop for Controller<'_> {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

struct World<'a> {
    bare: &'a Bare,
    agent: Agent,
    steps: Steps,
    controller: Controller<'a>,
    /// Which wave each node is of, from 0.
    waves: BTreeMap<String, usize>,
    random: fastrand::Rng,
}

impl Deref for World<'_> {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl World<'_> {
    /// The status tells of the revision that comes after this one.
    async fn begun_after(&self, revision: &Value) {
        eventually("it has begun", LIMIT, async || {
            let entry = self.entry().await;
            if entry["revision"] == *revision { Err(entry.to_string()) } else { Ok(()) }
        })
        .await;
    }

    /// Kills the controller once for each step, soon after it, until the roll-out has this phase.
    async fn killed_until(&mut self, revision: &Value, phase: &str) -> Value {
        let mut seen = self.steps.count();
        let deadline = Instant::now() + 3 * LIMIT;
        loop {
            let entry = self.entry().await;
            if entry["phase"] == phase && entry["revision"] != *revision {
                return entry;
            }
            assert!(Instant::now() < deadline, "it is not {phase}: {entry}; {:#?}", self.steps.since(0));
            while self.steps.count() > seen {
                seen += 1;
                // The random moment is what this test is about.
                tokio::time::sleep(LONGEST_WAIT.mul_f64(self.random.f64())).await;
                self.controller.kill();
                self.controller.start();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A controller that was started anew has looked at the policy.
    async fn looked_at(&self, seconds: u32) {
        self.merge(&self.policies("careful"), json!({"spec": {"progressDeadlineSeconds": seconds}})).await;
        eventually("the policy is looked at", LIMIT, async || {
            let policy = get(&self.bare.client, &self.policies("careful")).await;
            let is_seen = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
            if is_seen { Ok(()) } else { Err(policy["status"].to_string()) }
        })
        .await;
    }

    fn rollout(&self, command: &str) {
        let mut process = everynode();
        process.args(["rollout", command, "-n", &self.bare.namespace, "--kubeconfig"]);
        let output = process.arg(&self.bare.kubeconfig).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Nodes in the order in which they got a pod of this image; each of them lost one pod and got one, after the
    /// nodes of all earlier waves were served by the image, and never were more nodes unserved than the budget has.
    fn check_order(&self, steps: &[Step], image: &str) -> Vec<String> {
        let (mut order, mut lost, mut served) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (at, step) in steps.iter().enumerate() {
            let told = || format!("step {at}, {step:?}, of {steps:#?}");
            assert!(step.unserved <= BUDGET, "the budget is {BUDGET}: {}", told());
            match step.what {
                What::Created => {
                    assert_eq!(step.image, image, "{}", told());
                    assert!(lost.contains(&step.node) && !order.contains(&step.node), "{}", told());
                    order.push(step.node.clone());
                }
                What::Ready if step.image == image => drop(served.insert(step.node.clone())),
                What::Ready => {}
                What::Deleted => {
                    assert!(step.image != image && lost.insert(step.node.clone()), "{}", told());
                    let wave = self.waves[&step.node];
                    let before = self.waves.iter().filter(|(_, number)| **number < wave);
                    for (node, _) in before {
                        assert!(served.contains(node), "{node} is of an earlier wave: {}", told());
                    }
                }
            }
        }
        order
    }
}

/// Labels the nodes with pools, and tells the wave of each, from 0: the first of pool a, the rest of it, pool b.
async fn waves(bare: &Bare) -> BTreeMap<String, usize> {
    let names: BTreeSet<&String> = bare.nodes.iter().collect();
    let mut waves = BTreeMap::new();
    for (index, name) in names.into_iter().enumerate() {
        let (pool, wave) = match index {
            0 => ("a", 0),
            1..4 => ("a", 1),
            _ => ("b", 2),
        };
        let patch = json!({"metadata": {"labels": {POOL: pool}}}).to_string();
        let path = format!("/api/v1/nodes/{name}");
        bare.client.patch(&path, content_type::MERGE_PATCH, patch).await.unwrap();
        waves.insert(name.clone(), wave);
    }
    waves
}

#[tokio::test(flavor = "multi_thread")]
async fn waves_go_in_order_within_the_budget_though_the_controller_is_killed_at_every_step() {
    let seed = number("EVERYNODE_SEED", 42);
    let native = Native::start(NODES).await;
    let bare = &native.bare;
    println!("the controller of {} makes the pods; seed {seed}", native.whose);
    bare.create_daemonset("agent", json!({"type": "OnDelete"})).await;
    bare.rolled_out("agent", LIMIT).await;
    let waves = waves(bare).await;
    let mut world = World {
        bare,
        agent: Agent { client: bare.client.clone(), namespace: bare.namespace.clone() },
        steps: Steps::follow(bare),
        controller: Controller { bare, process: None, kills: 0 },
        waves,
        random: fastrand::Rng::with_seed(seed),
    };
    let spec = json!({
        "selector": {}, "maxUnavailable": BUDGET, "order": [POOL], "failure": {"budget": 2},
        "waves": [
            {"name": "canary", "nodes": 1},
            {"name": "pool-a", "nodeSelector": {"matchLabels": {POOL: "a"}}},
            {"name": "rest", "nodes": "100%"},
        ],
    });
    world.policy("careful", spec).await;
    world.controller.start();
    let first = world.phase_after(&Value::Null, "Complete").await["revision"].clone();
    world.controller.kill();

    // Nobody conducts: nothing is replaced.
    world.template("example/agent:2", Value::Null).await;
    bare.observed("agent").await;
    world.steps.rest("no controller runs").await;

    let second = world.goes_to_all(&first, "example/agent:2").await;
    let second = world.halts(&second).await;
    world.resumes(&second).await;
    world.writes_the_template_back().await;
}

impl World<'_> {
    /// A roll-out while the controller is killed at every step.
    async fn goes_to_all(&mut self, before: &Value, image: &str) -> Value {
        let (began, at, kills) = (Instant::now(), self.steps.count(), self.controller.kills);
        self.controller.start();
        let entry = self.killed_until(before, "Complete").await;
        let order = self.check_order(&self.steps.since(at), image);
        assert_eq!(order.len(), NODES, "{order:?}");
        assert_eq!(self.counts().await, counts(&[(image, NODES)]));
        let (kills, seconds) = (self.controller.kills - kills, began.elapsed().as_secs_f64());
        println!("{image}: {kills} kills in {seconds:.1} s; nodes: {order:?}");
        assert!(kills >= 3 * NODES, "{kills} kills are not one at every step");
        entry["revision"].clone()
    }

    /// An image that cannot be pulled stops at the canary, and a revision that breaks the nodes of pool b when so
    /// many have failed as the budget has. Controllers that come later delete nothing either.
    async fn halts(&mut self, before: &Value) -> Value {
        let bad = "example/agent:non-existent";
        self.template(bad, Value::Null).await;
        self.begun_after(before).await;
        let entry = self.killed_until(before, "Halted").await;
        self.stays_halted(&entry, &[("example/agent:2", NODES - 1), (bad, 1)]).await;
        println!("{bad}: {}", entry["message"]);

        let crashes = json!({
            "simulate.everynode.dev/crash": "true",
            "simulate.everynode.dev/fail-on-nodes": format!("{POOL}=b"),
        });
        self.template("example/agent:3", crashes).await;
        self.begun_after(&entry["revision"]).await;
        let entry = self.killed_until(&entry["revision"], "Halted").await;
        let pool_b = self.waves.values().filter(|wave| **wave == 2).count();
        let with_it = NODES - pool_b + BUDGET;
        self.stays_halted(&entry, &[("example/agent:2", pool_b - BUDGET), ("example/agent:3", with_it)])
            .await;
        println!("example/agent:3: {}", entry["message"]);
        // Nodes that are taken come first.
        let canary = entry["failedNodes"][0]["node"].as_str().unwrap();
        self.waves.values_mut().filter(|wave| **wave == 0).for_each(|wave| *wave = 1);
        self.waves.insert(canary.to_owned(), 0);
        entry["revision"].clone()
    }

    async fn stays_halted(&mut self, entry: &Value, expected: &[(&str, usize)]) {
        let halted = self.steps.count();
        for seconds in [1000, 1001] {
            self.controller.kill();
            self.controller.start();
            self.looked_at(seconds).await;
            self.steps.rest("it is halted").await;
        }
        let now = self.entry().await;
        for field in ["phase", "revision", "failed", "failedNodes", "wave"] {
            assert_eq!(now[field], entry[field], "{field} of {now}");
        }
        assert_eq!(self.counts().await, counts(expected), "after {:?}", self.steps.since(halted));
    }

    /// A good image goes on from there, and is paused and resumed on its way.
    async fn resumes(&mut self, before: &Value) {
        let image = "example/agent:4";
        let at = self.steps.count();
        // Pods take their time, so that there is a middle.
        let slow = json!({
            "simulate.everynode.dev/crash": null,
            "simulate.everynode.dev/fail-on-nodes": null,
            "simulate.everynode.dev/start-delay": "500ms",
        });
        self.template(image, slow).await;
        eventually("the second wave is under way", LIMIT, async || {
            let entry = self.entry().await;
            let is_so = entry["revision"] != *before && entry["wave"].as_u64() >= Some(2);
            if is_so { Ok(()) } else { Err(entry.to_string()) }
        })
        .await;
        self.rollout("pause");
        self.looked_at(1002).await;
        eventually("what was begun is done", LIMIT, async || {
            let entry = self.entry().await;
            let is_so = entry["message"] == "paused" && entry["updated"] == entry["available"];
            if is_so { Ok(()) } else { Err(entry.to_string()) }
        })
        .await;
        self.controller.kill();
        self.controller.start();
        self.looked_at(1003).await;
        self.steps.rest("it is paused").await;
        let has_it = self.counts().await[image];
        assert!(has_it < NODES, "it was paused too late to be seen");
        self.rollout("resume");
        self.phase_after(before, "Complete").await;
        assert_eq!(self.counts().await, counts(&[(image, NODES)]));
        let order = self.check_order(&self.steps.since(at), image);
        assert_eq!(order.len(), NODES, "{order:?}");
        println!(
            "{image}: paused with {has_it} nodes, resumed, and complete; {} kills in all",
            self.controller.kills
        );
    }

    /// Where the policy asks for it, a halt writes the last good template back; the other controller makes the pods.
    async fn writes_the_template_back(&self) {
        let (good, bad) = ("example/agent:4", "example/agent:non-existent");
        let failure = json!({"failure": {"budget": 2, "action": "Rollback", "rewriteTemplate": true}});
        self.merge(&self.policies("careful"), json!({"spec": failure})).await;
        let revision = self.entry().await["revision"].clone();
        self.image(bad).await;
        self.begun_after(&revision).await;
        eventually("all nodes are back", LIMIT, async || {
            let (entry, counts) = (self.entry().await, self.counts().await);
            let is_back = entry["phase"] == "Complete" && entry["revision"] == revision;
            if is_back && counts[good] == NODES { Ok(()) } else { Err(format!("{entry}; {counts:?}")) }
        })
        .await;
        let template = get(&self.client, &self.daemonset()).await["spec"]["template"].clone();
        assert_eq!(template["spec"]["containers"][0]["image"], good);
        println!("{bad}: the template of {good} is written back, and all nodes have it");
    }
}

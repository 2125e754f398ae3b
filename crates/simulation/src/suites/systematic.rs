//! Systematic faults, after Sieve: a few reference scenarios, each with every single fault of a kind.
//!
//! A scenario runs once undisturbed, which counts the writes of the controller and the events that it was shown.
//! Then it runs again for each of them: with a crash right after that write, before or after its answer came back;
//! with a crash and a new life that sees nothing new for a while; with that event and all after it withheld until
//! the watch has to be listed anew, for a short and for a long time; and with that event alone dropped. The end must
//! be the same, and the pods created and deleted no more.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::chaos::set_image;
use crate::cluster::{Cluster, NAMESPACES, Report, Setup, in_virtual_time};
use crate::faults::Faults;
use crate::injected::Fault;
use crate::model::{Key, Kind, Verb, controller_uid, name, target_node};
use crate::naive::image as image_of;
use crate::objects::{BAD_IMAGE, NewDaemonSet, image, orphan, policy, rolling};
use crate::world::lock;

/// The seed of every run: what differs is the fault.
const SEED: u64 = 7;
const NAME: &str = "agent";
/// The time between the steps of a scenario.
const STEP: Duration = Duration::from_secs(60);
const SETTLES_WITHIN: Duration = Duration::from_secs(900);
/// Short enough that the watch catches up before anybody misses it, and longer than a controller waits (30 s).
const SILENCES: [u64; 2] = [3, 45];

/// A reference scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A DaemonSet is created.
    Install,
    /// Nodes join.
    ScaleUp,
    /// A node falls silent, is deleted, and comes back.
    NodeLost,
    /// A new template, one node at a time.
    RollingUpdate,
    /// A new template, with surge.
    SurgeUpdate,
    /// A new template under OnDelete; pods are deleted by hand.
    OnDelete,
    /// A new template and back.
    Rollback,
    /// Pods without an owner are there already.
    Adoption,
    /// Labels and taints of nodes change.
    Relabel,
    /// The DaemonSet is deleted and created again.
    Recreate,
    /// A new template in the waves of a policy, one of which has to be promoted.
    Waves,
    /// A new template that does not come up: its canary halts it and it goes back; and the next one, which does.
    Halt,
}

impl Scenario {
    /// All scenarios.
    pub const ALL: [Scenario; 12] = [
        Scenario::Install,
        Scenario::ScaleUp,
        Scenario::NodeLost,
        Scenario::RollingUpdate,
        Scenario::SurgeUpdate,
        Scenario::OnDelete,
        Scenario::Rollback,
        Scenario::Adoption,
        Scenario::Relabel,
        Scenario::Recreate,
        Scenario::Waves,
        Scenario::Halt,
    ];

    fn daemonset(self) -> NewDaemonSet {
        let new = NewDaemonSet::new(NAMESPACES[0], NAME);
        match self {
            Scenario::SurgeUpdate => NewDaemonSet { strategy: rolling(json!(0), json!(1)), ..new },
            Scenario::OnDelete => NewDaemonSet { strategy: json!({"type": "OnDelete"}), ..new },
            _ => new,
        }
    }

    /// The policy that its roll-outs go by.
    fn policy(self) -> Option<Value> {
        let gate = match self {
            Scenario::Waves => "Manual",
            Scenario::Halt => "Automatic",
            _ => return None,
        };
        let spec = json!({
            "selector": {},
            "maxUnavailable": 1,
            "waves": [{"nodes": 1, "bakeSeconds": 5, "gate": gate}, {"nodes": "100%"}],
            "failure": {"action": "Rollback"},
        });
        Some(policy(NAMESPACES[0], NAME, spec))
    }

    /// What people do, step by step; a minute passes after each.
    fn steps(self) -> Vec<Step> {
        use Step::*;
        match self {
            Scenario::Install => vec![],
            Scenario::ScaleUp => vec![AddNode("node-3"), AddNode("node-4")],
            Scenario::NodeLost => vec![Silence(true), DeleteNode, Wait, Silence(false), AddNode("node-2")],
            Scenario::RollingUpdate | Scenario::SurgeUpdate => vec![SetImage(2)],
            Scenario::OnDelete => vec![SetImage(2), DeletePods],
            Scenario::Rollback => vec![SetImage(2), SetImage(1)],
            Scenario::Adoption => vec![Orphan("early-1", "node-1"), Orphan("early-2", "node-2")],
            Scenario::Relabel => {
                vec![Select, Label(json!("a")), Taint("NoExecute"), Taint(""), Label(Value::Null)]
            }
            Scenario::Recreate => vec![Delete, Create],
            Scenario::Waves => vec![SetImage(2)],
            Scenario::Halt => vec![SetBadImage, SetImage(3)],
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    SetImage(u32),
    SetBadImage,
    AddNode(&'static str),
    Silence(bool),
    DeleteNode,
    Wait,
    DeletePods,
    Orphan(&'static str, &'static str),
    Select,
    Label(Value),
    Taint(&'static str),
    Delete,
    Create,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    /// The images of the pods of each node.
    pods: BTreeMap<String, Vec<String>>,
    /// The revisions, oldest first: their images.
    revisions: Vec<String>,
    status: String,
}

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Writes of the controller when undisturbed.
    pub writes: u64,
    /// Events that it was shown.
    pub events: u64,
    /// Runs with a fault.
    pub runs: u64,
    /// Each with the fault and what was wrong.
    pub failures: Vec<String>,
}

/// Runs a scenario undisturbed, and then with each fault, or with every `stride`th.
pub fn run(scenario: Scenario, stride: usize) -> Outcome {
    let calm = once(scenario, None, false);
    let mut outcome =
        Outcome { writes: calm.injected.0, events: calm.injected.1, runs: 0, failures: Vec::new() };
    if let Some(failure) = &calm.report.failure {
        outcome.failures.push(format!("{scenario:?} undisturbed: {failure}"));
        return outcome;
    }
    for fault in faults(outcome.writes, outcome.events).into_iter().step_by(stride.max(1)) {
        outcome.runs += 1;
        let run = once(scenario, Some(fault), false);
        if let Some(wrong) = compare(&calm, &run, fault) {
            outcome.failures.push(format!("{scenario:?} with {fault:?}: {wrong}"));
        }
    }
    outcome
}

/// Runs a scenario with one fault and gives every event of it.
pub fn trace(scenario: Scenario, fault: Option<Fault>) -> Report {
    once(scenario, fault, true).report
}

fn faults(writes: u64, events: u64) -> Vec<Fault> {
    let mut all = Vec::new();
    for number in 1..=writes {
        all.push(Fault::CrashBeforeAnswer(number));
        all.push(Fault::CrashAfterWrite(number));
        all.extend(SILENCES.map(|seconds| Fault::StaleRestart(number, seconds)));
    }
    for number in 1..=events {
        all.extend(SILENCES.map(|seconds| Fault::Hide(number, seconds)));
        all.push(Fault::Drop(number, 60));
    }
    all
}

struct Run {
    report: Report,
    end: End,
    injected: (u64, u64),
    hidden: Option<Kind>,
}

fn compare(calm: &Run, run: &Run, fault: Fault) -> Option<String> {
    if let Some(failure) = &run.report.failure {
        return Some(failure.clone());
    }
    if run.end != calm.end {
        return Some(format!("it ends as {:?} and not as {:?}", run.end, calm.end));
    }
    // When an event vanishes that an API server never loses, a pod that was made may count as gone. And who is not
    // told that a node has changed or that a DaemonSet is gone goes on with what is known: what others remove because
    // of it is made again, until it is told.
    let goes_on = run.hidden.is_some_and(|kind| matches!(kind, Kind::Node | Kind::DaemonSet));
    if goes_on || matches!(fault, Fault::Drop(..)) {
        return None;
    }
    let (made, usual) = (&run.report.counts, &calm.report.counts);
    let more = |what: &str, made: u64, usual: u64| {
        (made > usual).then(|| format!("{made} pods {what} where {usual} were when undisturbed"))
    };
    more("created", made.pods_created, usual.pods_created)
        .or_else(|| more("deleted", made.pods_deleted, usual.pods_deleted))
}

fn once(scenario: Scenario, fault: Option<Fault>, is_traced: bool) -> Run {
    in_virtual_time(SEED, async {
        let setup = Setup {
            seed: SEED,
            faults: Faults::calm(),
            nodes: if scenario == Scenario::ScaleUp { 4 } else { 2 },
            replicas: 1,
            is_beside: false,
            takes_writes_along: true,
            pod_start_millis: 1_000,
            policy_status_names: 500,
            serves_policies: scenario.policy().is_some(),
            is_traced,
        };
        let mut cluster = Cluster::start(&setup);
        if let Some(Fault::Drop(..)) = fault {
            lock(&cluster.shared).safety.is_off = true;
        }
        lock(&cluster.shared).injected.fault = fault;
        let result = play(&mut cluster, scenario).await;
        let end = end_of(&cluster);
        let (injected, hidden) = {
            let world = lock(&cluster.shared);
            ((world.injected.writes, world.injected.events), world.injected.hidden)
        };
        Run { report: cluster.end(result).await, end, injected, hidden }
    })
}

async fn play(cluster: &mut Cluster, scenario: Scenario) -> Result<(), String> {
    // The nodes are ready before anything else, as on a cluster that runs.
    cluster.pass(Duration::from_secs(20)).await;
    if scenario == Scenario::ScaleUp {
        for name in ["node-3", "node-4"] {
            cluster.delete(&Key::new(Kind::Node, "", name), &json!({}));
        }
    }
    let daemonset = scenario.daemonset().object();
    let key = Key::new(Kind::DaemonSet, NAMESPACES[0], NAME);
    if scenario == Scenario::Adoption {
        for step in scenario.steps() {
            act(cluster, &key, &daemonset, &step);
        }
        cluster.pass(STEP).await;
    }
    if let Some(policy) = scenario.policy() {
        cluster.create(Kind::Policy, &policy);
    }
    cluster.create(Kind::DaemonSet, &daemonset);
    for replica in &mut cluster.replicas {
        replica.start(&cluster.shared);
    }
    cluster.pass(STEP).await;
    if scenario != Scenario::Adoption {
        for step in scenario.steps() {
            cluster.settle(SETTLES_WITHIN).await.or_else(|what| lenient(scenario, what))?;
            act(cluster, &key, &daemonset, &step);
            cluster.pass(STEP).await;
        }
    }
    cluster.settle(SETTLES_WITHIN).await?;
    // What was withheld is shown by then.
    cluster.pass(Duration::from_secs(90)).await;
    cluster.settle(SETTLES_WITHIN).await?;
    cluster.stay(Duration::from_secs(120)).await
}

/// Between its steps, a scenario that takes a node away, or a roll-out back, has not what its DaemonSet asks for.
fn lenient(scenario: Scenario, what: String) -> Result<(), String> {
    let is_between = matches!(scenario, Scenario::NodeLost | Scenario::Halt);
    if is_between && what.starts_with("not settled") { Ok(()) } else { Err(what) }
}

fn act(cluster: &Cluster, key: &Key, daemonset: &Value, step: &Step) {
    let node = |name: &str| Key::new(Kind::Node, "", name);
    match step {
        Step::SetImage(version) => {
            set_image(cluster, key, &image(*version));
        }
        Step::SetBadImage => {
            set_image(cluster, key, BAD_IMAGE);
        }
        Step::AddNode(name) => {
            let labels = json!({"kubernetes.io/hostname": name});
            let ready = json!([{"type": "Ready", "status": "True"}]);
            cluster.create(
                Kind::Node,
                &json!({"metadata": {"name": name, "labels": labels}, "status": {"conditions": ready,
                    "allocatable": {"cpu": "32", "memory": "256Gi", "pods": "250"}}}),
            );
        }
        Step::Silence(silent) => {
            let value = if *silent { json!("true") } else { Value::Null };
            let patch = json!({"metadata": {"annotations": {"simulate.everynode.dev/silent": value}}});
            cluster.patch(&node("node-2"), &patch);
        }
        Step::DeleteNode => {
            cluster.delete(&node("node-2"), &json!({}));
        }
        Step::Wait => {}
        Step::DeletePods => {
            for pod in cluster.keys(Kind::Pod) {
                cluster.delete(&pod, &json!({}));
            }
        }
        Step::Orphan(pod, on) => {
            cluster.create(Kind::Pod, &orphan(NAMESPACES[0], pod, on, NAME, &image(1)));
        }
        Step::Select => {
            cluster.patch(key, &json!({"spec": {"template": {"spec": {"nodeSelector": {"pool": "a"}}}}}));
        }
        Step::Label(value) => {
            for name in ["node-1", "node-2"] {
                cluster.patch(&node(name), &json!({"metadata": {"labels": {"pool": value}}}));
            }
        }
        Step::Taint(effect) => {
            let taints = match *effect {
                "" => json!([]),
                effect => json!([{"key": "dedicated", "effect": effect}]),
            };
            cluster.patch(&node("node-1"), &json!({"spec": {"taints": taints}}));
        }
        Step::Delete => {
            cluster.delete(key, &json!({"propagationPolicy": "Background"}));
        }
        Step::Create => {
            lock(&cluster.shared).user(Verb::Create, key, "", daemonset);
        }
    }
}

fn end_of(cluster: &Cluster) -> End {
    let world = lock(&cluster.shared);
    let mut pods: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in world.store.all(Kind::Pod).filter(|pod| controller_uid(pod).is_some()) {
        let node = target_node(pod).unwrap_or_default().to_owned();
        pods.entry(node).or_default().push(image_of(&pod["spec"]).to_owned());
    }
    let mut revisions: Vec<_> = world.store.all(Kind::Revision).collect();
    revisions.sort_by_key(|revision| revision["revision"].as_i64());
    let revisions = revisions
        .into_iter()
        .map(|revision| image_of(&revision["data"]["spec"]["template"]["spec"]).to_owned())
        .collect();
    let status = world.store.all(Kind::DaemonSet).map(|one| {
        let mut numbers = one["status"].as_object().cloned().unwrap_or_default();
        // How often a name was taken is no part of what was asked for.
        numbers.shift_remove("collisionCount");
        numbers.sort_keys();
        format!("{} {}", name(one), Value::from(numbers))
    });
    let phases = world.store.all(Kind::Policy).map(|one| format!("{} {}", name(one), one["status"]["phase"]));
    End { pods, revisions, status: status.chain(phases).collect() }
}

//! What a plan says is what happens: random fleets and changes, planned, then made on the embedded server with the
//! controller, the loops and simulated nodes, all with the same delays.
//!
//! EVERYNODE_PLAN_FLEETS sets how many fleets are tried, EVERYNODE_PLAN_SEED the first one. Order, waves, the worst
//! moment and the end must be the same; how long it takes may differ by a tenth, or by what a busy machine adds.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use everynode_apiserver::Config;
use everynode_client::{Event, ListWatch};
use everynode_controller::ControllerConfig;
use everynode_local::up::{Document, apply};
use everynode_node::{FleetConfig, NodeSpec};
use everynode_plan::spread::Spread;
use everynode_plan::{Change, Fleet, Manifest, Options, Plan};
use everynode_testkit::cluster::Cluster;
use everynode_testkit::number;
use futures::StreamExt;
use serde_json::{Value, json};

/// How long pods take from being bound to Ready, unless EVERYNODE_PLAN_START_MILLIS says otherwise.
const START_MILLIS: u64 = 1500;
/// Nothing more happens when nothing has happened for so long beyond the start of a pod.
const QUIET: Duration = Duration::from_millis(1000);
/// What a busy machine may add.
const SLACK_MILLIS: f64 = 300.0;
/// Fleets at a time.
const AT_ONCE: usize = 6;

/// A fleet and a change.
struct Case {
    nodes: Vec<Value>,
    before: Value,
    after: Value,
}

impl Case {
    fn random(seed: u64) -> Case {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(3..=8);
        let down = if random.u8(..3) == 0 { random.usize(1..=2) } else { 0 };
        let nodes: Vec<Value> = (0..count).map(|index| node(index, index < down, &mut random)).collect();
        let mut before = manifest("agent:1", strategy(&mut random));
        if random.bool() {
            before["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        }
        let mut after = before.clone();
        let template = |object: &mut Value, change: Value| {
            lay_over(&mut object["spec"]["template"]["spec"], &change);
        };
        after["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:2".into();
        match random.u8(..12) {
            0 => template(&mut after, json!({"nodeSelector": {"pool": "a"}})),
            1 => template(&mut before, json!({"nodeSelector": {"pool": "a"}})),
            2 => {
                let resources = json!({"requests": {"cpu": "1500m"}});
                after["spec"]["template"]["spec"]["containers"][0]["resources"] = resources;
            }
            3 => after["spec"]["updateStrategy"] = strategy(&mut random),
            4 => {
                let ports = json!([{"containerPort": 9100, "hostPort": 9100, "protocol": "TCP"}]);
                before["spec"]["template"]["spec"]["containers"][0]["ports"] = ports.clone();
                after["spec"]["template"]["spec"]["containers"][0]["ports"] = ports;
            }
            5 => {
                // Ports of pods on the host's network are the node's.
                let ports = json!([{"containerPort": 9100, "protocol": "TCP"}]);
                for one in [&mut before, &mut after] {
                    template(one, json!({"hostNetwork": true}));
                    one["spec"]["template"]["spec"]["containers"][0]["ports"] = ports.clone();
                }
            }
            6 => {
                let resources = json!({"limits": {"cpu": "1500m"}});
                after["spec"]["template"]["spec"]["containers"][0]["resources"] = resources;
            }
            7 => template(&mut after, json!({"serviceAccountName": "nobody"})),
            8 => template(&mut after, json!({"resources": {"limits": {"cpu": "1500m"}}})),
            _ => {}
        }
        Case { nodes, before, after }
    }
}

/// Lays an object over another one.
fn lay_over(target: &mut Value, change: &Value) {
    for (key, value) in change.as_object().expect("an object") {
        target[key] = value.clone();
    }
}

fn node(index: usize, is_down: bool, random: &mut fastrand::Rng) -> Value {
    let cpu = if random.u8(..6) == 0 { "1" } else { "4" };
    let ready = if is_down { "False" } else { "True" };
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": format!("n{index}"),
            "labels": {"kubernetes.io/os": "linux", "pool": if random.bool() { "a" } else { "b" }},
        },
        "status": {
            "capacity": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
            "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    })
}

fn strategy(random: &mut fastrand::Rng) -> Value {
    let rolling = match random.u8(..5) {
        0 => json!({"maxUnavailable": "40%", "maxSurge": 0}),
        1 => json!({"maxUnavailable": 0, "maxSurge": random.u8(1..=2)}),
        _ => json!({"maxUnavailable": random.u8(1..=3), "maxSurge": 0}),
    };
    json!({"type": "RollingUpdate", "rollingUpdate": rolling})
}

fn manifest(image: &str, strategy: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": strategy,
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    })
}

/// A whole cluster with these nodes.
async fn start_with(nodes: &[Value]) -> Cluster {
    let mut cluster = Cluster::start(Config::default()).await;
    cluster.run_loops(|config| config.seed = Some(1));
    let specs = nodes.iter().map(|node| NodeSpec::from_object(node.clone()).expect("a node")).collect();
    cluster.run_nodes(FleetConfig {
        pod_start: (start(), start()),
        seed: Some(1),
        ..FleetConfig::new(specs)
    });
    // One write at a time, so that what comes first is what was decided first.
    cluster.run_controller(ControllerConfig { workers: 1, ..ControllerConfig::default() });
    cluster
}

async fn apply_to(cluster: &Cluster, manifest: &Value) {
    let document = Document { place: "test".into(), object: manifest.clone(), warnings: Vec::new() };
    apply(&cluster.client, &document, "test").await.expect("the manifest is applied");
}

async fn read_fleet(cluster: &Cluster) -> Fleet {
    let wanted = [("default".to_owned(), "agent".to_owned())];
    Fleet::from_cluster(&cluster.client, &wanted, "").await.expect("the cluster is read")
}

/// Waits until all nodes are there, as they are meant to be.
async fn all_there(cluster: &Cluster, nodes: &[Value]) {
    let ready = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array()?;
        conditions.iter().find(|one| one["type"] == "Ready").map(|one| one["status"].clone())
    };
    let is_as_meant = |list: &Value, node: &Value| {
        let mut shown = list["items"].as_array().into_iter().flatten();
        let shown = shown.find(|one| one["metadata"]["name"] == node["metadata"]["name"]);
        shown.is_some_and(|one| ready(one) == ready(node))
    };
    let all = |list: &Value| nodes.iter().all(|node| is_as_meant(list, node));
    cluster.until("/api/v1/nodes", "the nodes come", all).await;
}

/// What came of a change, planned or made.
#[derive(Debug, PartialEq, Eq, Default)]
struct Course {
    order: Vec<String>,
    waves: usize,
    worst: usize,
    /// The nodes with an available pod of the new template in the end.
    updated: BTreeSet<String>,
}

/// A pod as its watch shows it.
#[derive(Clone, PartialEq, Debug)]
struct Pod {
    node: String,
    is_new: bool,
    is_available: bool,
    is_leaving: bool,
}

/// Follows the pods of the DaemonSet.
struct Observer {
    pods: HashMap<String, Pod>,
    /// Nodes that should run a pod.
    desired: BTreeSet<String>,
    waves: BTreeMap<String, usize>,
    finished: usize,
    course: Course,
    last: Instant,
    born: HashMap<String, Instant>,
    /// How long pods took from their creation to Ready.
    starts: Vec<Duration>,
}

impl Observer {
    fn pod(&self, object: &Value, is_new: bool) -> Pod {
        let node = object["spec"]["nodeName"].as_str();
        let term = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
        let pinned = object.pointer(term).and_then(Value::as_str);
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        let is_leaving = object["metadata"]["deletionTimestamp"].is_string();
        Pod {
            node: node.or(pinned).unwrap_or_default().to_owned(),
            is_new,
            is_available: is_ready && !is_leaving,
            is_leaving,
        }
    }

    fn take(&mut self, object: &Value, is_gone: bool, is_initial: bool) {
        let uid = object["metadata"]["uid"].as_str().expect("a uid").to_owned();
        let before = self.pods.get(&uid).cloned();
        let is_new = before.as_ref().map_or(!is_initial, |before| before.is_new);
        let pod = self.pod(object, is_new);
        let comes = before.is_none() && !is_initial;
        let leaves = !is_initial && (pod.is_leaving || is_gone);
        if (comes || leaves) && !self.waves.contains_key(&pod.node) {
            self.waves.insert(pod.node.clone(), self.finished + 1);
            self.course.order.push(pod.node.clone());
        }
        let was_available = before.as_ref().is_some_and(|before| before.is_available);
        if !is_initial && (is_gone || pod.is_available && !was_available) {
            self.last = Instant::now();
        }
        if comes {
            self.born.insert(uid.clone(), Instant::now());
        }
        if pod.is_available
            && let Some(born) = self.born.remove(&uid)
        {
            self.starts.push(born.elapsed());
        }
        if pod.is_available && pod.is_new {
            let wave = self.waves.get(&pod.node).copied().unwrap_or_default();
            self.finished = self.finished.max(wave);
        }
        match is_gone {
            true => drop(self.pods.remove(&uid)),
            false => drop(self.pods.insert(uid, pod)),
        }
        if !is_initial {
            self.course.worst = self.course.worst.max(self.unavailable());
        }
    }

    fn unavailable(&self) -> usize {
        let available: BTreeSet<&String> =
            self.pods.values().filter(|pod| pod.is_available).map(|pod| &pod.node).collect();
        self.desired.iter().filter(|node| !available.contains(node)).count()
    }

    fn finish(mut self) -> Course {
        self.course.waves = self.waves.values().copied().max().unwrap_or(0);
        let updated = self.pods.values().filter(|pod| pod.is_available && pod.is_new);
        self.course.updated = updated.map(|pod| pod.node.clone()).collect();
        self.course
    }
}

/// What came of a change that was made.
struct Made {
    course: Course,
    took: Duration,
    /// How long a pod took from its creation to Ready, on average.
    start: Duration,
}

/// Makes the change and tells what came of it.
async fn make(cluster: &Cluster, after: &Value, desired: BTreeSet<String>) -> Made {
    let mut events = ListWatch::new("/api/v1/namespaces/default/pods").run(cluster.client.clone());
    let mut observer = Observer {
        pods: HashMap::new(),
        desired,
        waves: BTreeMap::new(),
        finished: 0,
        course: Course::default(),
        last: Instant::now(),
        born: HashMap::new(),
        starts: Vec::new(),
    };
    let mut begin = None;
    let json = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).expect("JSON") };
    loop {
        match tokio::time::timeout(start() + QUIET, events.next()).await {
            Err(_) if begin.is_some() => break,
            Err(_) | Ok(None) => panic!("the watch shows nothing"),
            Ok(Some(Event::InitialObject(object))) => observer.take(&json(&object), false, true),
            Ok(Some(Event::InitialDone(_))) => {
                observer.course.worst = observer.unavailable();
                apply_to(cluster, after).await;
                begin = Some(Instant::now());
            }
            Ok(Some(Event::Applied(object))) => observer.take(&json(&object), false, false),
            Ok(Some(Event::Deleted(object))) => observer.take(&json(&object), true, false),
            Ok(Some(_)) => {}
        }
    }
    let took = observer.last.saturating_duration_since(begin.expect("it was applied"));
    let count = u32::try_from(observer.starts.len()).unwrap_or(0).max(1);
    let start = observer.starts.iter().sum::<Duration>() / count;
    Made { course: observer.finish(), took, start }
}

fn planned(plan: &Plan, fleet: &Fleet) -> Course {
    let left: BTreeSet<&str> = plan.left.iter().map(String::as_str).collect();
    let is_desired = |name: &&String| plan.desired.contains(*name);
    let names: Vec<String> = fleet.nodes.iter().map(|node| node.name.to_string()).collect();
    Course {
        order: plan.waves.iter().flat_map(|wave| wave.nodes.clone()).collect(),
        waves: plan.waves.len(),
        worst: plan.unavailable.worst as usize,
        updated: names
            .iter()
            .filter(is_desired)
            .filter(|name| !left.contains(name.as_str()))
            .cloned()
            .collect(),
    }
}

/// Plans a change, makes it, and compares.
async fn check(seed: u64) {
    let case = Case::random(seed);
    let cluster = start_with(&case.nodes).await;
    all_there(&cluster, &case.nodes).await;
    let first = make(&cluster, &case.before, BTreeSet::new()).await;
    let fleet = read_fleet(&cluster).await;
    let manifest = Manifest::read("new.yaml", &case.after.to_string(), "default");
    let change = Change::of(&manifest.daemonsets[0], &fleet).expect("a good change");
    // As a plan learns it, but finer than the API's seconds.
    let learned = if first.start.is_zero() { start() } else { first.start };
    let start = Spread::Fixed(i64::try_from(learned.as_millis()).unwrap_or_default());
    let options = Options { start: Some(start), stop: Spread::Fixed(0), ..Options::default() };
    let plan = Plan::make(&fleet, &change, &options).expect("a plan");
    let desired = plan.desired.iter().cloned().collect();
    let Made { course: made, took, .. } = make(&cluster, &case.after, desired).await;
    cluster.stop().await;
    let planned = planned(&plan, &fleet);
    let told = plan.to_text();
    assert_eq!(planned, made, "seed {seed}: planned and made differ\n{told}\n{:#}", case.after);
    let (expected, took) = (plan.duration.typical_millis as f64, took.as_millis() as f64);
    let allowed = (expected * 0.1).max(SLACK_MILLIS);
    assert!((expected - took).abs() <= allowed, "seed {seed}: planned {expected} ms, took {took} ms\n{told}");
    println!(
        "seed {seed}: {} nodes, {} waves, {expected} ms planned, {took} ms",
        made.order.len(),
        made.waves
    );
}

fn start() -> Duration {
    Duration::from_millis(number("EVERYNODE_PLAN_START_MILLIS", START_MILLIS))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planned_is_what_happens() {
    let first = number("EVERYNODE_PLAN_SEED", fastrand::u64(0..1 << 40));
    println!("EVERYNODE_PLAN_SEED={first}");
    let seeds = first..first + number("EVERYNODE_PLAN_FLEETS", 4);
    let checks = futures::stream::iter(seeds).map(|seed| async move {
        // What is wrong has been told by the panic itself.
        tokio::spawn(check(seed)).await.is_err().then_some(seed)
    });
    let failed: Vec<u64> =
        checks.buffer_unordered(AT_ONCE).filter_map(|failed| async move { failed }).collect().await;
    assert_eq!(failed, Vec::<u64>::new(), "these seeds failed");
}

//! Edits in any order, after Acto: whatever was edited on the way, the end is that of a fresh installation of the
//! last version.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, NAMESPACES, Report, Setup, in_virtual_time};
use crate::faults::Faults;
use crate::model::{Key, Kind, controller_uid, target_node};
use crate::objects::{NewDaemonSet, image, rolling};
use crate::world::lock;

const NAME: &str = "agent";
const NODES: usize = 3;
const SETTLES_WITHIN: Duration = Duration::from_secs(900);

/// One edit of the DaemonSet, or of a node.
#[derive(Clone, Debug)]
enum Edit {
    DaemonSet(Value),
    Node(String, Value),
    /// The labels of a pod of this node: its DaemonSet selects it no more.
    Release(String),
}

/// Plays a random row of edits, and an installation of the result; compares what they end in.
pub fn run(seed: u64) -> Report {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = random.usize(2..=8);
    let edits: Vec<(Edit, u64)> = (0..count)
        .map(|_| (draw(&mut random), random.choice([0, 50, 500, 3_000, 20_000]).unwrap_or(0)))
        .collect();
    let (mut edited, end, last) = in_virtual_time(seed, edited(seed, &edits));
    if edited.failure.is_some() {
        return edited;
    }
    let (fresh, fresh_end) = in_virtual_time(seed, installed(seed, &last));
    edited.failure = match fresh.failure {
        Some(failure) => Some(format!("the fresh installation: {failure}")),
        None if end != fresh_end => Some(format!("it ends as {end:?} and not as {fresh_end:?}")),
        None => None,
    };
    if let Some(failure) = &edited.failure {
        edited.lines.push(format!("edits: {edits:?}"));
        edited.lines.push(failure.clone());
    }
    edited
}

fn draw(random: &mut fastrand::Rng) -> Edit {
    let node = format!("node-{}", random.usize(1..=NODES));
    let template = |spec: Value| Edit::DaemonSet(json!({"spec": {"template": {"spec": spec}}}));
    match random.u8(..10) {
        0..3 => {
            let image = image(random.u32(1..=4));
            template(json!({"containers": [{"name": "daemon", "image": image, "resources": {}}]}))
        }
        3 => template(json!({"nodeSelector": random.choice([json!({"pool": "a"}), Value::Null])})),
        4 => template(json!({"tolerations":
            random.choice([json!([{"key": "dedicated", "operator": "Exists"}]), Value::Null])})),
        5 => {
            let strategy = random.choice([
                rolling(json!(1), json!(0)),
                rolling(json!(0), json!(1)),
                rolling(json!("100%"), json!(0)),
            ]);
            Edit::DaemonSet(json!({"spec": {"updateStrategy": strategy}}))
        }
        6 => Edit::DaemonSet(json!({"spec": {"minReadySeconds": random.choice([0, 3])}})),
        7 => Edit::Node(
            node,
            json!({"metadata": {"labels": {"pool": random.choice([json!("a"), Value::Null])}}}),
        ),
        8 => {
            let effect = random.choice(["NoSchedule", "NoExecute", ""]).unwrap_or("");
            let taints =
                if effect.is_empty() { json!([]) } else { json!([{"key": "dedicated", "effect": effect}]) };
            Edit::Node(node, json!({"spec": {"taints": taints}}))
        }
        _ => Edit::Release(node),
    }
}

fn setup(seed: u64) -> Setup {
    Setup {
        seed,
        faults: Faults::calm(),
        nodes: NODES,
        replicas: 1,
        is_beside: false,
        takes_writes_along: true,
        pod_start_millis: 500,
        serves_policies: false,
        policy_status_names: 500,
        is_traced: false,
    }
}

fn key() -> Key {
    Key::new(Kind::DaemonSet, NAMESPACES[0], NAME)
}

/// What people left: the DaemonSet, and the labels and taints of the nodes.
struct Last {
    daemonset: Value,
    nodes: Vec<(String, Value)>,
}

type End = (BTreeMap<String, Vec<Value>>, Value);

async fn edited(seed: u64, edits: &[(Edit, u64)]) -> (Report, End, Last) {
    let mut cluster = Cluster::start(&setup(seed));
    cluster.pass(Duration::from_secs(20)).await;
    let daemonset = NewDaemonSet::new(NAMESPACES[0], NAME).object();
    cluster.create(Kind::DaemonSet, &daemonset);
    for replica in &mut cluster.replicas {
        replica.start(&cluster.shared);
    }
    for (edit, pause) in edits {
        cluster.pass(Duration::from_millis(*pause)).await;
        apply(&cluster, edit);
    }
    let result = settle(&mut cluster).await;
    let (end, last) = (end_of(&cluster), last_of(&cluster, &daemonset));
    (cluster.end(result).await, end, last)
}

fn apply(cluster: &Cluster, edit: &Edit) {
    match edit {
        Edit::DaemonSet(patch) => {
            cluster.patch(&key(), patch);
        }
        Edit::Node(node, patch) => {
            cluster.patch(&Key::new(Kind::Node, "", node), patch);
        }
        Edit::Release(node) => {
            let pods = cluster.keys(Kind::Pod).into_iter();
            let there =
                pods.filter(|key| cluster.get(key).is_some_and(|pod| target_node(&pod) == Some(node)));
            for key in there {
                cluster.patch(&key, &json!({"metadata": {"labels": {"app": "released"}}}));
            }
        }
    }
}

async fn installed(seed: u64, last: &Last) -> (Report, End) {
    let mut cluster = Cluster::start(&setup(seed));
    cluster.pass(Duration::from_secs(20)).await;
    for (node, patch) in &last.nodes {
        cluster.patch(&Key::new(Kind::Node, "", node), patch);
    }
    cluster.create(Kind::DaemonSet, &last.daemonset);
    for replica in &mut cluster.replicas {
        replica.start(&cluster.shared);
    }
    let result = settle(&mut cluster).await;
    let end = end_of(&cluster);
    (cluster.end(result).await, end)
}

async fn settle(cluster: &mut Cluster) -> Result<(), String> {
    cluster.pass(Duration::from_secs(30)).await;
    cluster.settle(SETTLES_WITHIN).await?;
    cluster.stay(Duration::from_secs(60)).await
}

fn last_of(cluster: &Cluster, first: &Value) -> Last {
    let world = lock(&cluster.shared);
    let mut daemonset = first.clone();
    if let Some(now) = world.store.get(&key()) {
        daemonset["spec"] = now["spec"].clone();
    }
    let nodes = world.store.all(Kind::Node).map(|node| {
        let pool = node["metadata"]["labels"].get("pool").cloned().unwrap_or_default();
        let taints = node["spec"].get("taints").cloned().unwrap_or_else(|| json!([]));
        let patch = json!({"metadata": {"labels": {"pool": pool}}, "spec": {"taints": taints}});
        (crate::model::name(node).to_owned(), patch)
    });
    Last { daemonset, nodes: nodes.collect() }
}

/// The pods by node, without what is drawn by chance, and the status. Pods on nodes where none should run may be
/// there or not: it depends on whether they were before the taint.
fn end_of(cluster: &Cluster) -> End {
    let world = lock(&cluster.shared);
    let mut pods: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let Some(daemonset) = world.store.get(&key()) else { return Default::default() };
    for pod in world.store.all(Kind::Pod).filter(|pod| controller_uid(pod).is_some()) {
        let Some(node) = target_node(pod) else { continue };
        let there = world.store.all(Kind::Node).find(|one| crate::model::name(one) == node);
        let runs =
            there.is_some_and(|there| crate::naive::place(&daemonset["spec"]["template"], there).should_run);
        if runs {
            let hash = &pod["metadata"]["labels"]["controller-revision-hash"];
            pods.entry(node.to_owned()).or_default().push(json!([pod["spec"], hash]));
        }
    }
    let mut status = daemonset["status"].clone();
    for dropped in ["observedGeneration", "collisionCount", "numberMisscheduled"] {
        status.as_object_mut().and_then(|status| status.shift_remove(dropped));
    }
    (pods, status)
}

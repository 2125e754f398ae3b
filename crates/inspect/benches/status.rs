//! How long `status` takes for 20 DaemonSets on 5,000 nodes, with a roll-out under way in two of them, and `why` for
//! one of them on a node: `cargo bench -p everynode-inspect`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark reports")]

use std::time::Instant;

use everynode_engine::Time;
use everynode_inspect::Look;
use everynode_inspect::status::{Filter, Status};
use everynode_inspect::why::WhyNode;
use everynode_plan::record::{Node, Pod, Record, Revision};
use everynode_plan::{Fleet, Wanted};
use everynode_testkit::fleets::{self, NOW, node_name};
use serde_json::{Value, json};

const NODES: usize = 5_000;
const DAEMONSETS: usize = 20;
/// So many DaemonSets are rolling.
const ROLLING: usize = 2;

fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let fleet = Fleet::from_records(records(), Wanted::All("default"), NOW * 1000);
    let begin = Instant::now();
    let look = Look::of(&fleet, Time::from_seconds(NOW));
    let status = Status::of(&look, &Filter::default());
    let seconds = begin.elapsed().as_secs_f64();
    let rolling = status.daemonsets.iter().filter(|row| row.estimate.is_some()).count();
    let pods = fleet.pods.len();
    println!(
        "status of {} DaemonSets, {rolling} of them rolling, on {NODES} nodes with {pods} pods: {seconds:.2} s",
        status.daemonsets.len()
    );
    let begin = Instant::now();
    let look = Look::of(&fleet, Time::from_seconds(NOW));
    let why = WhyNode::of(&look, "default", "agent-1", "n04001").expect("it is there");
    println!("why agent-1 on n04001 ({:?}): {:.2} s", why.reason.kind, begin.elapsed().as_secs_f64());
}

fn records() -> Vec<Record> {
    let mut records: Vec<Record> = (0..DAEMONSETS).map(|index| Record::DaemonSet(daemonset(index))).collect();
    records.extend((0..DAEMONSETS).map(|index| Record::Revision(revision(index))));
    records.extend((0..NODES).map(|node| Record::Node(self::node(node))));
    let pods = (0..DAEMONSETS).flat_map(|daemonset| (0..NODES).map(move |node| pod(daemonset, node)));
    records.extend(pods.map(|pod| Record::Pod(Box::new(pod))));
    records
}

fn uid(index: usize) -> String {
    format!("11111111-1111-4111-8111-{index:012x}")
}

fn template(index: usize) -> Value {
    json!({
        "metadata": {"labels": {"app": format!("agent-{index}")}},
        "spec": {"containers": [{"name": "main", "image": "agent:1"}], "tolerations": [{"operator": "Exists"}]},
    })
}

fn daemonset(index: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {
            "name": format!("agent-{index}"), "namespace": "default", "uid": uid(index), "generation": 1,
            "annotations": {"deprecated.daemonset.template.generation": "1"},
        },
        "spec": {
            "selector": {"matchLabels": {"app": format!("agent-{index}")}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%", "maxSurge": 0}},
            "template": template(index),
        },
        "status": {"observedGeneration": 1},
    })
}

fn revision(index: usize) -> Revision {
    let mut data = json!({"spec": {"template": template(index)}});
    data["spec"]["template"]["$patch"] = "replace".into();
    let labels = [("app", format!("agent-{index}")), ("controller-revision-hash", "new".to_owned())];
    Revision {
        namespace: "default".into(),
        name: format!("agent-{index}-new"),
        uid: format!("33333333-3333-4333-8333-{index:012x}"),
        labels: labels.into(),
        daemon_set: uid(index),
        deleting: false,
        revision: 1,
        data: String::from_utf8(everynode_model::encode::canonical(&data)).expect("text"),
        data_sha256: String::new(),
    }
}

fn node(index: usize) -> Node {
    Node { allocatable: json!({"cpu": "32", "memory": "256Gi", "pods": "250"}).into(), ..fleets::node(index) }
}

/// Of a DaemonSet that is rolling, every fifth pod is new.
fn pod(daemonset: usize, node: usize) -> Pod {
    let is_old = daemonset < ROLLING && !node.is_multiple_of(5);
    let hash = if is_old { "old" } else { "new" };
    let generation = if is_old { "0" } else { "1" };
    let labels = [
        ("app", format!("agent-{daemonset}")),
        ("controller-revision-hash", hash.to_owned()),
        ("pod-template-generation", generation.to_owned()),
    ];
    Pod {
        name: format!("agent-{daemonset}-{node:05}"),
        uid: format!("22222222-2222-4222-{daemonset:04x}-{node:012x}"),
        labels: labels.into(),
        daemon_set: Some(uid(daemonset).into()),
        ..fleets::pod(node, &node_name(node))
    }
}

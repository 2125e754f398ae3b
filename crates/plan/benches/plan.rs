//! How long a plan takes from a snapshot, at 5,000 and 100,000 nodes: `cargo bench -p everynode-plan`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark reports")]

use std::time::Instant;

use everynode_plan::file::{Header, VERSION, Writer};
use everynode_plan::record::{Node, Pod, Record, Taken};
use everynode_plan::{Change, Fleet, Manifest, Options, Plan};
use serde_json::{Value, json};

const NOW: i64 = 1_790_000_000;
const UID: &str = "11111111-1111-4111-8111-111111111111";

fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    for nodes in [5_000, 100_000] {
        for budget in [json!(1), json!("10%")] {
            measure(nodes, &budget, false);
        }
        measure(nodes, &json!("10%"), true);
    }
}

fn measure(nodes: usize, budget: &Value, under_policy: bool) {
    let wanted = [("default".to_owned(), "agent".to_owned())];
    let file = file(nodes, budget, under_policy);
    let begin = Instant::now();
    let fleet = Fleet::from_file(&file[..], &wanted).expect("a good file");
    let read_seconds = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let read = Manifest::read("new.yaml", &manifest("agent:2", budget).to_string(), "default");
    let change = Change::of(&read.daemonsets[0], &fleet).expect("a good manifest");
    let plan = Plan::make(&fleet, &change, &Options::default()).expect("a plan");
    let seconds = begin.elapsed().as_secs_f64();
    let policy = if under_policy { ", under a policy" } else { "" };
    println!(
        "{nodes} nodes, maxUnavailable {budget}{policy}: read in {read_seconds:.2} s, planned in {seconds:.2} s ({} waves, {} runs, safe: {})",
        plan.waves.len(),
        plan.duration.runs,
        plan.safe
    );
}

fn file(nodes: usize, budget: &Value, under_policy: bool) -> Vec<u8> {
    let header = Header { format: VERSION, taken_at: NOW, salt: "s".into(), writer: "bench".into() };
    let mut writer = Writer::new(Vec::new(), header).expect("a file");
    let policy = under_policy.then(|| Record::RolloutPolicy(policy()));
    for record in records(nodes, budget).into_iter().chain(policy) {
        writer.write(&record).expect("a file");
    }
    writer.finish(Vec::new()).expect("a file").0
}

fn policy() -> Value {
    json!({
        "apiVersion": "everynode.dev/v1alpha1", "kind": "RolloutPolicy",
        "metadata": {
            "name": "careful", "namespace": "default", "uid": "33333333-3333-4333-8333-333333333333", "generation": 1,
        },
        "spec": {
            "selector": {}, "maxUnavailable": "10%", "order": ["topology.kubernetes.io/zone"],
            "waves": [{"nodes": 1, "bakeSeconds": 300}, {"nodes": "25%"}, {"nodes": "100%"}],
        },
    })
}

fn manifest(image: &str, budget: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": budget}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{
                    "name": "main", "image": image, "resources": {"requests": {"cpu": "100m"}},
                }]},
            },
        },
    })
}

fn records(nodes: usize, budget: &Value) -> Vec<Record> {
    let empty = Fleet::from_records([], &[], NOW * 1000);
    let read = Manifest::read("old.yaml", &manifest("agent:1", budget).to_string(), "default");
    let mut served = Change::of(&read.daemonsets[0], &empty).expect("a good manifest").new;
    served["metadata"]["uid"] = UID.into();
    served["metadata"]["resourceVersion"] = "7".into();
    let mut records = vec![Record::DaemonSet(served)];
    for index in 0..nodes {
        let name = format!("node-{index:06}");
        let labels = [
            ("kubernetes.io/arch", "amd64"),
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("topology.kubernetes.io/zone", ["a", "b", "c"][index % 3]),
        ];
        records.push(Record::Node(Node {
            name: name.as_str().into(),
            labels: labels.into(),
            allocatable: json!({"cpu": "8", "memory": "32Gi", "pods": "110"}).into(),
            ready: "True".into(),
            ..Node::default()
        }));
        records.push(Record::Pod(Box::new(Pod {
            namespace: "default".into(),
            name: format!("agent-{index:06}"),
            uid: format!("22222222-2222-4222-8222-{index:012x}"),
            labels: [("app", "agent"), ("controller-revision-hash", "old")].into(),
            daemon_set: Some(UID.into()),
            node: Some(name.as_str().into()),
            bound: true,
            phase: "Running".into(),
            ready: true,
            ready_since: Some(NOW - 3_600),
            created: NOW - 3_600 - 10 - (index as i64 * 7 % 50),
            ..Pod::default()
        })));
        records.push(Record::Taken(Taken { node: name, pods: 20, ..Taken::default() }));
    }
    records
}

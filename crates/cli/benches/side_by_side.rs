//! The controller and the built-in one at the same work on the same cluster, one after the other.
//!
//! `EVERYNODE_KUBE_CONTROLLER_MANAGER=PATH cargo bench -p everynode-cli --bench side_by_side [-- NODES [DAEMONSETS]]`
//! prints both and the ratios; without a path, the figures of everynode alone. 5,000 nodes and 10 DaemonSets unless
//! given. The cluster is `everynode up --no-controller`, or that of `EVERYNODE_TEST_KUBECONFIG`, whose own DaemonSet
//! controller must be off. API limits are raised for both. Linux only: CPU time and memory are read from /proc.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark may panic, and says what it found"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::bare::Bare;
use common::{eventually, everynode, get};
use everynode_client::content_type;
use futures::StreamExt;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(1_800);
/// Nodes that join one after another.
const JOINING: usize = 10;
/// Updates of nodes that concern no DaemonSet.
const UPDATES: usize = 3_000;
/// CPU ticks per second of /proc; the same on every Linux that matters.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let nodes = numbers.first().copied().unwrap_or(5_000);
    let daemonsets = numbers.get(1).copied().unwrap_or(10);
    let built_in = std::env::var_os("EVERYNODE_KUBE_CONTROLLER_MANAGER").map(PathBuf::from);
    let theirs = match &built_in {
        Some(path) => Some(measure(Contestant::BuiltIn(path.clone()), nodes, daemonsets).await),
        None => None,
    };
    let ours = measure(Contestant::Everynode, nodes, daemonsets).await;
    println!("\n{nodes} nodes, {daemonsets} DaemonSets; wall and CPU seconds of the controller's process\n");
    println!(
        "| phase | built-in: wall | CPU | everynode: wall | CPU | CPU ratio |\n|---|---|---|---|---|---|"
    );
    for (index, phase) in ours.phases.iter().enumerate() {
        let their = theirs.as_ref().map(|theirs| &theirs.phases[index]);
        let text = |value: Option<f64>, digits: usize| value.map_or("-".into(), |v| format!("{v:.digits$}"));
        println!(
            "| {} | {} | {} | {:.1} | {:.2} | {} |",
            phase.name,
            text(their.map(|p| p.wall), 1),
            text(their.map(|p| p.cpu), 2),
            phase.wall,
            phase.cpu,
            text(their.map(|p| p.cpu / phase.cpu.max(1.0 / TICKS_PER_SECOND)), 1),
        );
    }
    let total = |measured: &Measured| measured.phases.iter().map(|p| p.cpu).sum::<f64>();
    println!("\nCPU in all: everynode {:.1} s, peak memory {} MB", total(&ours), ours.peak_mb);
    if let Some(theirs) = &theirs {
        println!("built-in {:.1} s, peak memory {} MB", total(theirs), theirs.peak_mb);
        println!(
            "ratios: CPU {:.1}, peak memory {:.1}",
            total(theirs) / total(&ours),
            theirs.peak_mb as f64 / ours.peak_mb as f64
        );
    }
}

enum Contestant {
    BuiltIn(PathBuf),
    Everynode,
}

impl Contestant {
    fn start(&self, bare: &Bare) -> Child {
        let mut command = match self {
            Contestant::BuiltIn(path) => {
                let mut command = Command::new(path);
                command.arg("--kubeconfig").arg(&bare.kubeconfig).args([
                    "--controllers=daemonset-controller",
                    "--leader-elect=false",
                    "--use-service-account-credentials=false",
                    "--kube-api-qps=10000",
                    "--kube-api-burst=10000",
                    "--bind-address=127.0.0.1",
                    "--secure-port=16999",
                ]);
                command
            }
            Contestant::Everynode => {
                let mut command = everynode();
                command.args(["controller", "--listen", "127.0.0.1:0", "--kubeconfig"]).arg(&bare.kubeconfig);
                command.args(["--leader-elect=false", "--workers=64"]);
                command.args(["--kube-api-qps=10000", "--kube-api-burst=10000"]);
                command
            }
        };
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the controller starts")
    }
}

struct Phase {
    name: String,
    wall: f64,
    cpu: f64,
}

struct Measured {
    phases: Vec<Phase>,
    peak_mb: u64,
}

struct Run {
    bare: Bare,
    process: Child,
    phases: Vec<Phase>,
}

async fn measure(contestant: Contestant, nodes: usize, daemonsets: usize) -> Measured {
    let bare = Bare::start(nodes).await;
    let process = contestant.start(&bare);
    let mut run = Run { bare, process, phases: Vec::new() };
    run.phase("start, nodes listed", async |_| {}).await;
    run.phase("first DaemonSet saturates", async |bare| {
        create(bare, 0).await;
        available(bare, nodes, 1).await;
    })
    .await;
    run.phase("10 % rolling update", async |bare| {
        bare.change_template(&name(0), "2").await;
        bare.rolled_out(&name(0), LIMIT).await;
    })
    .await;
    run.phase(&format!("{} more DaemonSets saturate", daemonsets - 1), async |bare| {
        for number in 1..daemonsets {
            create(bare, number).await;
        }
        available(bare, nodes, daemonsets).await;
    })
    .await;
    run.phase(&format!("{UPDATES} unrelated node updates"), update_nodes).await;
    run.phase(&format!("{JOINING} nodes join"), async |bare| {
        for number in 0..JOINING {
            join(bare, number).await;
            has_pods(bare, &joined(bare, number), daemonsets).await;
        }
    })
    .await;
    let peak_mb = peak_mb(run.process.id());
    run.process.kill().unwrap();
    run.process.wait().unwrap();
    for number in 0..JOINING {
        let _ = run.bare.client.delete(&format!("/api/v1/nodes/{}", joined(&run.bare, number)), "").await;
    }
    Measured { phases: run.phases, peak_mb }
}

impl Run {
    async fn phase(&mut self, name: &str, work: impl AsyncFnOnce(&Bare)) {
        let (began, before) = (Instant::now(), cpu_seconds(self.process.id()));
        work(&self.bare).await;
        let wall = began.elapsed().as_secs_f64();
        let cpu = at_rest(self.process.id()).await - before;
        eprintln!("{name}: {wall:.1} s, {cpu:.2} CPU s, {} MB", peak_mb(self.process.id()));
        self.phases.push(Phase { name: name.to_owned(), wall, cpu });
    }
}

fn name(number: usize) -> String {
    format!("agent-{number}")
}

/// A DaemonSet for every node, as most are.
async fn create(bare: &Bare, number: usize) {
    let labels = json!({"app": name(number)});
    let daemonset = json!({
        "metadata": {"name": name(number)},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": "main", "image": "example/agent:1"}],
                },
            },
        },
    });
    bare.client.post(&bare.daemonsets(""), daemonset.to_string()).await.unwrap();
}

async fn available(bare: &Bare, nodes: usize, daemonsets: usize) {
    status(bare, "numberAvailable", nodes, daemonsets).await;
}

/// Waits until a node has this many pods.
async fn has_pods(bare: &Bare, node: &str, count: usize) {
    let path = format!("{}?fieldSelector=spec.nodeName%3D{node}", bare.pods());
    eventually(&format!("{node} has its pods"), LIMIT, async || {
        let pods = get(&bare.client, &path).await["items"].as_array().map_or(0, Vec::len);
        if pods == count { Ok(()) } else { Err(pods.to_string()) }
    })
    .await;
}

/// Waits until this number of this many DaemonSets is at least that.
async fn status(bare: &Bare, field: &str, least: usize, daemonsets: usize) {
    eventually(&format!("{field} reaches {least}"), LIMIT, async || {
        let list = get(&bare.client, &bare.daemonsets("")).await;
        let numbers: Vec<u64> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|daemonset| daemonset["status"][field].as_u64().unwrap_or_default())
            .collect();
        let done = numbers.len() == daemonsets && numbers.iter().all(|number| *number >= least as u64);
        if done { Ok(()) } else { Err(format!("{numbers:?}")) }
    })
    .await;
}

fn joined(bare: &Bare, number: usize) -> String {
    format!("joined-{}-{number}", bare.namespace)
}

/// A node without a kubelet: its pods are made and bound, and stay pending.
async fn join(bare: &Bare, number: usize) {
    let name = joined(bare, number);
    let labels = json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"});
    let resources = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""});
    let status = json!({"capacity": resources, "allocatable": resources, "conditions": [ready]});
    let node = json!({"metadata": {"name": name, "labels": labels}, "status": status});
    bare.client.post("/api/v1/nodes", node.to_string()).await.unwrap();
}

/// Labels that no DaemonSet reads.
async fn update_nodes(bare: &Bare) {
    let updates = (0..UPDATES).map(|number| async move {
        let path = format!("/api/v1/nodes/{}", bare.nodes[number % bare.nodes.len()]);
        let patch = json!({"metadata": {"labels": {"unrelated": number.to_string()}}}).to_string();
        bare.client.patch(&path, content_type::MERGE_PATCH, patch).await.unwrap();
    });
    futures::stream::iter(updates).buffer_unordered(32).collect::<Vec<()>>().await;
}

/// The CPU seconds of a process once it has been at rest for a second.
async fn at_rest(id: u32) -> f64 {
    let mut last = cpu_seconds(id);
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = cpu_seconds(id);
        if now - last < 0.03 {
            return now;
        }
        last = now;
    }
    last
}

/// User and system time, from the 14th and 15th field of /proc/PID/stat.
fn cpu_seconds(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the controller runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

fn peak_mb(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the controller runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

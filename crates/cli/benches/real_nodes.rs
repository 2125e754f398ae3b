//! The figures of real nodes in BENCHMARKS.md: with a node exporter on each, measured on the built binary from outside.
//!
//! `cargo bench -p everynode-cli --bench real_nodes` prints a table. Needs root, containerd and Debian's
//! prometheus-node-exporter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs;
use std::time::Instant;

use common::real::{RealCluster, command, family, fetch, node_exporter, prepare};
use serde_json::json;

/// How often what takes place on a running node is measured.
const ROUNDS: usize = 10;

#[tokio::main]
async fn main() {
    println!("| what | figure |\n|---|---|");
    for count in [1, 3, 10] {
        let mut begun = Vec::new();
        for _ in 0..3 {
            let Some(measured) = from_nothing(count).await else { return };
            begun.push(measured);
        }
        begun.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, memory_mb, programs_mb) = begun[1];
        println!("| {count} nodes from nothing, each with a node exporter that answers | {seconds:.2} s |");
        println!("| memory of each beside its daemon | {memory_mb:.0} MB |");
        println!("| of that, programs as they are on disk, which nodes share | {programs_mb:.0} MB |");
    }
    running_node().await;
}

/// Seconds from the start of `up` until the exporter of each node answers, the memory of a node in MB, and how much of
/// that are files.
async fn from_nothing(count: usize) -> Option<(f64, f64, f64)> {
    let directory = prepare()?;
    let (container, more) = node_exporter(directory.path())?;
    let begin = Instant::now();
    let mut cluster = RealCluster::start_in(directory, count, 0).await;
    cluster.run(container, more).await;
    cluster.available(count).await;
    let seconds = begin.elapsed().as_secs_f64();
    for node in cluster.nodes() {
        assert!(fetch(node, "http://127.0.0.1:9100/metrics").unwrap().contains("node_uname_info"));
    }
    let own = cluster.process.id();
    let is_node = |pid: u32| pid != own && !command(pid).contains("node_exporter");
    let processes: Vec<u32> =
        family(own).into_iter().map(|(pid, _)| pid).filter(|pid| is_node(*pid)).collect();
    let each_mb = |what: &str| {
        let bytes: u64 = processes.iter().map(|pid| memory_bytes(*pid, what)).sum();
        bytes as f64 / count as f64 / 1e6
    };
    let (memory_mb, programs_mb) = (each_mb("Pss:"), each_mb("Pss_File:"));
    cluster.stop();
    Some((seconds, memory_mb, programs_mb))
}

/// A process' part of the memory that it shares, and its own: all of it, or one kind.
fn memory_bytes(pid: u32, what: &str) -> u64 {
    let table = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = table.lines().find_map(|line| line.strip_prefix(what));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1_024
}

/// What takes place on a node that runs.
async fn running_node() {
    let Some(directory) = prepare() else { return };
    let Some((container, more)) = node_exporter(directory.path()) else { return };
    let mut cluster = RealCluster::start_in(directory, 1, 0).await;
    let (mut applied, mut replaced) = (Vec::new(), Vec::new());
    // The first time the image is pulled.
    for round in 0..=ROUNDS {
        let begin = Instant::now();
        cluster.run(container.clone(), more.clone()).await;
        cluster.available(1).await;
        applied.push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        let annotations = json!({"round": round.to_string()});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        cluster.agent.merge(&cluster.agent.daemonset(), patch).await;
        cluster.available(1).await;
        replaced.push(begin.elapsed().as_secs_f64());
        cluster.remove().await;
    }
    println!(
        "| from apply to available on a running node, median of {ROUNDS} | {:.2} s |",
        median(&mut applied[1..])
    );
    println!("| a roll-out step, median of {ROUNDS} | {:.2} s |", median(&mut replaced[1..]));
    cluster.stop();
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

//! What a decision costs: a block in a fleet of 1,000 and of 100,000 nodes, all six signals.
//!
//! `cargo bench -p everynode-analysis`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark reports")]

use std::time::{Duration, Instant};

use everynode_analysis::{Basis, Block, FalseHalts, Group, Judge, Node, Plan, Reading, Signal, Turn};

/// Of so many the median and the shortest are told: others use the machine too.
const DECISIONS: usize = 31;

fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    println!(
        "| fleet | updated in the block | restarted | groups | median | shortest |\n|---|---|---|---|---|---|"
    );
    for (fleet, updated, restarted, groups) in [
        (1_000, 10, 20, 1),
        (1_000, 50, 20, 1),
        (1_000, 200, 20, 1),
        (100_000, 10, 20, 1),
        (100_000, 64, 20, 1),
        (100_000, 64, 400, 20),
        (100_000, 1_000, 500, 1),
        (100_000, 20_000, 500, 1),
    ] {
        let block = block(fleet, updated, restarted, groups);
        let mut took: Vec<Duration> = (0..DECISIONS).map(|_| decide(&block)).collect();
        took.sort_unstable();
        let [median, shortest] = [DECISIONS / 2, 0].map(|place| took[place].as_secs_f64() * 1e3);
        println!("| {fleet} | {updated} | {restarted} | {groups} | {median:.2} ms | {shortest:.2} ms |");
    }
}

/// One decision.
fn decide(block: &Block) -> Duration {
    let five = FalseHalts::from_percent(5.0).expect("5 % is a chance");
    let mut judge = Judge::new(Plan::usual(five, Basis::Randomised));
    let begin = Instant::now();
    std::hint::black_box(judge.close(block));
    begin.elapsed()
}

fn block(fleet: u64, updated: u64, restarted: u64, groups: u64) -> Block {
    let mut random = fastrand::Rng::with_seed(fleet + updated);
    let mut node = |turn: u64| {
        let change = 1.0 + random.f64();
        let level = |floor: f64| Reading::of_single(1.0, change, floor);
        let count = Reading::of_count(u32::from(random.u8(..50) == 0));
        let counted = [Signal::Restarts, Signal::OomKills, Signal::ReadinessFlaps];
        let node = Node::new(Turn(turn)).with(Signal::Cpu, level(0.02)).with(Signal::Memory, level(0.1));
        let node = node.with(Signal::TimeToReady, level(0.5));
        counted.into_iter().fold(node, |node, signal| node.with(signal, count))
    };
    let mut of: Vec<Group> = (0..groups).map(|_| Group::default()).collect();
    for turn in 0..fleet {
        let group = &mut of[(turn % groups) as usize];
        let side = match turn {
            _ if turn < updated => &mut group.updated,
            _ if turn >= fleet - restarted => &mut group.restarted,
            _ => &mut group.untouched,
        };
        side.push(node(turn));
    }
    Block { frontier: Turn(updated), groups: of }
}

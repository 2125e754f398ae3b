//! How well outliers are found on synthetic fleets, beside what rules over one window find.
//!
//! `cargo run --release -p everynode-analysis --example outliers -- --runs 20`. Seeds are new each time and printed;
//! `--seed N` runs the same fleets again.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "an example reports, and may panic")]

use std::collections::HashSet;

use everynode_analysis::{Outliers, Pair, outliers};
use fastrand::Rng;

const NODES: usize = 5_000;
const DAEMONS: usize = 8;
const COHORTS: usize = 5;
/// Samples of a window: 30 minutes, one each 30 seconds.
const SAMPLES: usize = 60;
/// Windows before, as a name, samples, and how many times 30 seconds are between them.
const BEFORE: [(&str, usize, i32); 2] = [("half an hour", 60, 1), ("8 hours", 120, 8)];
/// How much of its deviation a level keeps from one sample to the next: 10 minutes are its memory.
const KEPT: f64 = 0.951_229;
const BAD_PAIRS: usize = 20;
const BAD_NODES: usize = 10;

/// What happens to nodes between the windows, beside what is bad.
#[derive(Clone, Copy)]
struct Weather {
    name: &'static str,
    /// The share of pairs whose load jumps.
    jumps: f64,
    /// The deviation of what the load of each kind of node is multiplied by.
    load: f64,
}

const WEATHERS: [Weather; 3] = [
    Weather { name: "quiet", jumps: 0.0, load: 0.0 },
    Weather { name: "load differs by kind of node", jumps: 0.0, load: 0.3 },
    Weather { name: "and jumps on 1 % of pairs", jumps: 0.01, load: 0.3 },
];

struct Fleet {
    before: Vec<Vec<f64>>,
    now: Vec<Vec<f64>>,
    bad_pairs: HashSet<usize>,
    bad_nodes: HashSet<usize>,
}

fn normal(random: &mut Rng) -> f64 {
    (-2.0 * random.f64().max(f64::MIN_POSITIVE).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

impl Fleet {
    fn new(weather: Weather, (samples, pause): (usize, i32), seed: u64) -> Fleet {
        let mut random = Rng::with_seed(seed);
        let bad_pairs: HashSet<usize> = (0..BAD_PAIRS).map(|_| random.usize(..NODES * DAEMONS)).collect();
        let bad_nodes: HashSet<usize> = (0..BAD_NODES).map(|_| random.usize(..NODES)).collect();
        let load: Vec<f64> = (0..COHORTS * DAEMONS).map(|_| weather.load * normal(&mut random)).collect();
        let (mut before, mut now) = (Vec::new(), Vec::new());
        for place in 0..NODES * DAEMONS {
            let (node, daemon) = (place / DAEMONS, place % DAEMONS);
            let level = 0.4 * normal(&mut random);
            let noise = 0.15 * (0.4 * normal(&mut random)).exp();
            before.push(window((samples, pause), level, noise, &mut random));
            let mut level = level + load[node % COHORTS * DAEMONS + daemon];
            if random.f64() < weather.jumps {
                level += 0.35 * normal(&mut random);
            }
            level += if bad_pairs.contains(&place) { 2_f64.ln() } else { 0.0 };
            level += if bad_nodes.contains(&node) { 1.6_f64.ln() } else { 0.0 };
            now.push(window((SAMPLES, 1), level, noise, &mut random));
        }
        Fleet { before, now, bad_pairs, bad_nodes }
    }

    fn pairs(&self) -> Vec<Pair<'_>> {
        let all = self.before.iter().zip(&self.now).enumerate();
        all.map(|(place, (before, now))| {
            let node = place / DAEMONS;
            Pair { node, daemon: place % DAEMONS, cohort: node % COHORTS, before, now, floor: 1e-3 }
        })
        .collect()
    }

    /// Pairs that a rule names, as a row: found of those that are bad by themselves, named on bad nodes, named wrongly.
    fn row(&self, named: &HashSet<usize>, sums: &mut [usize; 4]) {
        let on_bad_node = |place: &&usize| self.bad_nodes.contains(&(**place / DAEMONS));
        let right = named.intersection(&self.bad_pairs).count();
        let of_nodes =
            named.iter().filter(on_bad_node).filter(|place| !self.bad_pairs.contains(place)).count();
        for (sum, more) in sums.iter_mut().zip([named.len(), right, of_nodes, named.len() - right - of_nodes])
        {
            *sum += more;
        }
    }
}

/// The logarithm of a level with noise, as samples.
fn window((samples, pause): (usize, i32), level: f64, noise: f64, random: &mut Rng) -> Vec<f64> {
    let kept = KEPT.powi(pause);
    let mut state = normal(random);
    let step = |random: &mut Rng, state: &mut f64| {
        *state = kept * *state + (1.0 - kept * kept).sqrt() * normal(random);
        (level + noise * *state).exp()
    };
    (0..samples).map(|_| step(random, &mut state)).collect()
}

fn log_median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2].ln()
}

/// Pairs whose level is more than so many deviations from the mean of their daemon, on all nodes or on those of a kind.
fn z_scores(levels: &[f64], by_cohort: bool, is_robust: bool, most: f64) -> HashSet<usize> {
    let group = |place: usize| {
        let cohort = if by_cohort { place / DAEMONS % COHORTS } else { 0 };
        cohort * DAEMONS + place % DAEMONS
    };
    let mut groups = vec![Vec::new(); COHORTS * DAEMONS];
    levels.iter().enumerate().for_each(|(place, level)| groups[group(place)].push(*level));
    let middle = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    let figures: Vec<(f64, f64)> = groups
        .iter()
        .map(|values| match is_robust {
            true => {
                let median = middle(values);
                let distances: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
                (median, 1.4826 * middle(&distances))
            }
            false => {
                let count = values.len().max(1) as f64;
                let mean = values.iter().sum::<f64>() / count;
                (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
            }
        })
        .collect();
    let is_out = |(place, level): &(usize, &f64)| {
        let (mean, deviation) = figures[group(*place)];
        (*level - mean).abs() > most * deviation
    };
    levels.iter().enumerate().filter(is_out).map(|(place, _)| place).collect()
}

fn main() {
    let (mut runs, mut first) = (20, fastrand::u64(..1 << 40));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().expect("a value").parse().expect("a number");
        match argument.as_str() {
            "--runs" => runs = value,
            "--seed" => first = value,
            other => panic!("{other} is not known"),
        }
    }
    println!(
        "{NODES} nodes x {DAEMONS} daemons, {BAD_PAIRS} pairs x2, {BAD_NODES} nodes x1.6, at one instant"
    );
    println!("mean of {runs} fleets: --runs {runs} --seed {first}");
    for ((name, samples, pause), weather) in
        BEFORE.into_iter().flat_map(|one| WEATHERS.map(|other| (one, other)))
    {
        println!("\n{}, {name} before\n", weather.name);
        println!(
            "| rule | pairs named | of the {BAD_PAIRS} bad ones | on bad nodes | wrongly | bad nodes | nodes wrongly |"
        );
        println!("|---|---|---|---|---|---|---|");
        compare(weather, (samples, pause), first, runs);
    }
}

const RULES: [&str; 5] = [
    "levels, z-score 3",
    "levels, z-score 3 by kind",
    "levels, MAD 3 by kind",
    "changes, MAD 3 by kind",
    "everynode",
];

fn compare(weather: Weather, before: (usize, i32), first: u64, runs: u64) {
    let mut sums = [[0; 4]; RULES.len()];
    let mut nodes = [0; 2];
    for seed in first..first + runs {
        let fleet = Fleet::new(weather, before, seed);
        let levels: Vec<f64> = fleet.now.iter().map(|samples| log_median(samples)).collect();
        let changes: Vec<f64> =
            fleet.before.iter().zip(&levels).map(|(before, now)| now - log_median(before)).collect();
        let Outliers { nodes: odd, pairs, .. } = outliers(&fleet.pairs());
        let right = odd.iter().filter(|odd| fleet.bad_nodes.contains(&odd.node)).count();
        (nodes[0], nodes[1]) = (nodes[0] + right, nodes[1] + odd.len() - right);
        let named = [
            z_scores(&levels, false, false, 3.0),
            z_scores(&levels, true, false, 3.0),
            z_scores(&levels, true, true, 3.0),
            z_scores(&changes, true, true, 3.0),
            pairs.iter().map(|odd| odd.place).collect(),
        ];
        named.iter().zip(&mut sums).for_each(|(named, sums)| fleet.row(named, sums));
    }
    let mean = |sum: usize| sum as f64 / runs as f64;
    for (rule, [named, right, of_nodes, wrong]) in RULES.iter().zip(sums) {
        let of_rule = match *rule {
            "everynode" => format!("{:.1} of {BAD_NODES} | {:.2}", mean(nodes[0]), mean(nodes[1])),
            _ => " | ".to_owned(),
        };
        println!(
            "| {rule} | {:.1} | {:.1} | {:.1} | {:.2} | {of_rule} |",
            mean(named),
            mean(right),
            mean(of_nodes),
            mean(wrong)
        );
    }
}

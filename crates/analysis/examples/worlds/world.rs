//! Synthetic fleets: nodes that differ, vary and jump, in weather that nobody ordered.

use everynode_analysis::{Reading, Signal};
use fastrand::Rng;

/// Samples of a window: 12.5 minutes, one each 30 seconds.
pub const SAMPLES: usize = 25;

/// How much of its deviation a node's level keeps from one sample to the next: 10 minutes are its memory.
const KEPT: f64 = 0.951_229;

/// Below this no CPU is told from another.
pub const CPU_FLOOR: f64 = 0.02;

/// What happens to all nodes, whoever is updated.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub name: &'static str,
    /// A node's noise, in times of the usual one.
    pub noise: f64,
    /// The share of nodes whose load jumps between the windows of a block.
    pub jumps: f64,
    /// The logarithm of what the fleet's load is multiplied by between the windows of a block.
    pub load: f64,
    /// The deviation of what each of three zones is multiplied by in each block.
    pub zones: f64,
    /// The chance that the API is away in a block: daemons restart, flap, and burn CPU.
    pub outage: f64,
}

pub const QUIET: Weather =
    Weather { name: "quiet", noise: 0.5, jumps: 0.02, load: 0.0, zones: 0.0, outage: 0.0 };
pub const BUSY: Weather = Weather { name: "busy", noise: 1.0, jumps: 0.1, ..QUIET };
pub const WEATHERS: [Weather; 6] = [
    QUIET,
    BUSY,
    Weather { name: "load +20 %", load: 0.182, ..BUSY },
    Weather { name: "load -20 %", load: -0.223, ..BUSY },
    Weather { name: "zone shocks", zones: 0.12, ..BUSY },
    Weather { name: "API outage", outage: 0.1, ..BUSY },
];

/// What the new revision does.
#[derive(Clone, Copy, Debug)]
pub struct Revision {
    /// The logarithm of what a node's CPU is multiplied by, on this share of the nodes.
    pub cpu: f64,
    pub share: f64,
    /// The logarithm of what the memory of a fresh pod is multiplied by.
    pub memory: f64,
    /// The chance that a container ends in a window, on top of what it was.
    pub restarts: f64,
    /// The first node, by turn, on which it does any of that.
    pub from: usize,
}

pub const GOOD: Revision = Revision { cpu: 0.0, share: 1.0, memory: 0.0, restarts: 0.0, from: 0 };

impl Revision {
    /// Whether it does no more than is tolerated.
    pub fn is_good(&self) -> bool {
        self.cpu <= 0.096 && self.memory <= 0.0 && self.restarts <= 0.0
    }
}

/// What a node is like.
#[derive(Clone, Copy, Debug)]
struct Traits {
    level: f64,
    noise: f64,
    zone: usize,
    /// The chance that a container ends in a window.
    restarts: f64,
    is_sensitive: bool,
}

/// One node's windows around an update of some.
#[derive(Clone, Debug)]
pub struct Windows {
    pub turn: usize,
    pub zone: usize,
    pub before: Vec<f64>,
    pub after: Vec<f64>,
    pub restarts_before: u32,
    pub restarts: u32,
    flaps: u32,
}

impl Windows {
    /// What they show of a signal.
    pub fn reading(&self, signal: Signal) -> Reading {
        match signal {
            Signal::Cpu => Reading::of_levels(&self.before, &self.after, CPU_FLOOR),
            Signal::Restarts => Reading::of_count(self.restarts),
            Signal::OomKills => Reading::of_count(self.restarts / 2),
            Signal::ReadinessFlaps => Reading::of_count(self.flaps),
            Signal::Memory | Signal::TimeToReady | Signal::MetricLevel | Signal::MetricRate => {
                Reading::MISSING
            }
        }
    }
}

/// A fleet in the order in which it is updated.
pub struct Fleet {
    nodes: Vec<Traits>,
    weather: Weather,
    revision: Revision,
    quantiles: Vec<f64>,
    pub random: Rng,
}

/// What happens to all nodes in one block.
struct Shocks {
    zones: [f64; 3],
    is_outage: bool,
}

impl Fleet {
    pub fn new(nodes: usize, weather: Weather, revision: Revision, seed: u64) -> Fleet {
        let mut random = Rng::with_seed(seed);
        let quantiles = quantiles();
        let traits = |random: &mut Rng| Traits {
            level: (0.1_f64).ln() + 0.4 * normal(&quantiles, random),
            noise: 0.15 * weather.noise * (0.4 * normal(&quantiles, random)).exp(),
            zone: random.usize(..3),
            restarts: if random.f64() < 0.02 { 0.3 } else { 0.005 },
            is_sensitive: random.f64() < revision.share,
        };
        let nodes = (0..nodes).map(|_| traits(&mut random)).collect();
        Fleet { nodes, weather, revision, quantiles, random }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Sorts nodes by zone, as their names might be.
    pub fn sort_by_zone(&mut self) {
        self.nodes.sort_by_key(|node| node.zone);
    }

    /// The windows of one block: of the nodes that are updated in it, and of those that come later.
    pub fn block(&mut self, updated: std::ops::Range<usize>) -> (Vec<Windows>, Vec<Windows>) {
        let zones = std::array::from_fn(|_| self.weather.zones * self.normal());
        let shocks = Shocks { zones, is_outage: self.random.f64() < self.weather.outage };
        let ours = updated.clone().map(|turn| self.windows(turn, true, &shocks)).collect();
        let others = (updated.end..self.len()).map(|turn| self.windows(turn, false, &shocks)).collect();
        (ours, others)
    }

    /// How a fresh pod's memory and time to get ready have changed against those of the pod before.
    pub fn fresh_pod(&mut self, is_new: bool) -> [Reading; 2] {
        let change = -0.1 + 0.12 * self.normal() + if is_new { self.revision.memory } else { 0.0 };
        let slower = 0.3 * self.normal();
        [
            Reading::of_single(1.0, change.exp(), 0.1),
            Reading::of_single(4.0, (4.0 * slower.exp()).round(), 1.0),
        ]
    }

    fn windows(&mut self, turn: usize, is_updated: bool, shocks: &Shocks) -> Windows {
        let node = self.nodes[turn];
        let is_hit = is_updated && node.is_sensitive && turn >= self.revision.from;
        let mut after = self.weather.load + shocks.zones[node.zone];
        if self.random.f64() < self.weather.jumps {
            // Heavy tails: one jump of twelve is a factor of two or more.
            after += 0.2 * self.normal() / self.random.f64().max(0.01).sqrt();
        }
        after += if shocks.is_outage { 0.26 } else { 0.0 };
        after += if is_hit { self.revision.cpu } else { 0.0 };
        let extra = if is_hit { self.revision.restarts } else { 0.0 };
        let outage = if shocks.is_outage { 0.5 } else { 0.0 };
        let mut noise = self.normal();
        let (mut windows, step) = ([Vec::new(), Vec::new()], (1.0 - KEPT * KEPT).sqrt());
        for (window, shift) in windows.iter_mut().zip([0.0, after]) {
            window.reserve(SAMPLES);
            for _ in 0..SAMPLES {
                noise = KEPT * noise + step * self.normal();
                window.push((node.level + shift + node.noise * noise).exp());
            }
        }
        let [before, after] = windows;
        Windows {
            turn,
            zone: node.zone,
            before,
            after,
            restarts_before: self.happens(node.restarts),
            restarts: self.happens(node.restarts) + self.happens(extra) + self.happens(outage),
            flaps: self.happens(0.02) + self.happens(outage),
        }
    }

    fn happens(&mut self, chance: f64) -> u32 {
        u32::from(self.random.f64() < chance)
    }

    fn normal(&mut self) -> f64 {
        normal(&self.quantiles, &mut self.random)
    }
}

/// A normal number, by a table: its tails end at 3.3, which is what jumps are for.
fn normal(quantiles: &[f64], random: &mut Rng) -> f64 {
    quantiles[random.usize(..quantiles.len())]
}

fn quantiles() -> Vec<f64> {
    // Sums of twelve uniform numbers are nearly normal; sorting is not needed.
    let mut random = Rng::with_seed(12);
    (0..8192).map(|_| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0).collect()
}

//! What simulated nodes and their pods use: a function of the pod, its node and the time. So nothing is kept, and 100,000
//! pods cost nothing until somebody asks.
//!
//! A container's level is half of what it requests, or what the pod's annotations say, times a factor of its node and
//! daemon: log-normal with a median of 1 and a deviation of 0.39, of which 0.30 are the node's, for all its pods, and
//! 0.25 the daemon's on that node, for all its revisions. CPU strays from it log-normally, by `noise` (0.15), of which
//! the larger part has a memory of ten minutes; memory by a fifth of that. What the annotations mean is told in
//! [`faults`](crate::faults).

use everynode_model::quantity::Quantity;
use everynode_model::{ContainerUsage, Node, NodeSample, Pod, Usage};

use crate::facts::{self, ContainerSpec};
use crate::faults::{NodeFaults, OnNode, PodFaults};
use crate::load::{self, Draw, Load, factor, normal, smooth_normal};

/// How often a node measures, and over how long a window.
pub const WINDOW_SECONDS: u32 = 15;

/// What a container uses that requests nothing.
const CPU_NANOCORES: u64 = 50_000_000;
const MEMORY_BYTES: u64 = 64 << 20;
/// What a node uses beside its pods.
const NODE_CPU_NANOCORES: u64 = 250_000_000;
const NODE_MEMORY_BYTES: u64 = 1 << 30;

/// How far levels of nodes, and of a daemon on them, are apart, as logarithms.
const NODE_DEVIATION: f64 = 0.30;
const PAIR_DEVIATION: f64 = 0.25;
const NOISE: f64 = 0.15;
/// Memory strays by this part of the noise.
const MEMORY_NOISE: f64 = 0.2;
/// The parts of the noise with a memory, and without; their squares add up to 1.
const SMOOTH: f64 = 0.8;
const ROUGH: f64 = 0.6;
const NOISE_MEMORY_SECONDS: i64 = 600;
const HOUR_SECONDS: f64 = 3_600.0;

/// What a node and these pods of it used in the last window that is complete. The node's own figure is right if these
/// are all its pods. A pod whose containers have not run for a whole window has no figures yet. None if the agent of the
/// node does nothing.
pub fn sample(node: &Node<'_>, pods: &[Pod<'_>], now_seconds: i64) -> Option<NodeSample> {
    let annotations = facts::annotations(facts::fault_text(&node.metadata)).unwrap_or_default();
    let (faults, _) = NodeFaults::read(&annotations);
    if faults.silent || node.ready().is_none_or(|ready| &*ready.status == "Unknown") {
        return None;
    }
    let labels: Vec<(String, String)> =
        node.metadata.labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let on = OnNode { name: &node.metadata.name, labels: &labels };
    // Each node measures in its own rhythm.
    let window = i64::from(WINDOW_SECONDS);
    let phase = (load::uniform(Draw::new("phase").of(on.name)) * window as f64) as i64;
    let taken_seconds = now_seconds - (now_seconds - phase).rem_euclid(window);
    let step = factor(&faults.steps, taken_seconds);
    let pods: Vec<_> = pods.iter().map(|pod| of_pod(pod, on, step, taken_seconds)).collect();
    let mut whole = varied(
        Usage { cpu_nanocores: NODE_CPU_NANOCORES, memory_bytes: NODE_MEMORY_BYTES },
        Chance::of(on.name, "", NOISE, taken_seconds),
    );
    pods.iter().flatten().for_each(|container| whole += container.usage);
    Some(NodeSample { taken_seconds, window_seconds: WINDOW_SECONDS, node: whole, pods })
}

fn of_pod(pod: &Pod<'_>, on: OnNode<'_>, node_step: f64, taken_seconds: i64) -> Vec<ContainerUsage> {
    let annotations = facts::annotations(facts::fault_text(&pod.metadata)).unwrap_or_default();
    let (faults, _) = PodFaults::read(&annotations, on);
    let load = faults.load.unwrap_or_default();
    let containers = facts::containers(pod.spec.containers);
    let owner = pod.metadata.controller().map_or(&*pod.metadata.uid, |owner| &*owner.uid);
    let chance = Chance::of(on.name, owner, load.noise.unwrap_or(NOISE), taken_seconds);
    let step = node_step * factor(&load.steps, taken_seconds);
    let statuses = pod.status.containers();
    let measured = statuses.iter().filter_map(|status| {
        let since = status.running_since_seconds()?;
        let age = u64::try_from(taken_seconds - since).ok().filter(|age| *age >= WINDOW_SECONDS.into())?;
        let level = level(&load, &containers, &status.name)?;
        let mut usage = varied(level, chance);
        usage.cpu_nanocores = scaled(usage.cpu_nanocores, step);
        let leak = load.leak_bytes_per_hour as f64 / containers.len() as f64 * age as f64 / HOUR_SECONDS;
        usage.memory_bytes = usage.memory_bytes.saturating_add(leak as u64);
        Some(ContainerUsage { name: status.name.to_string(), usage })
    });
    measured.collect()
}

/// What a container uses in the middle: of what the annotations say of the pod, its part.
fn level(load: &Load, containers: &[ContainerSpec<'_>], name: &str) -> Option<Usage> {
    let own = default_level(containers.iter().find(|container| &*container.name == name)?);
    let mut all = Usage::default();
    containers.iter().for_each(|container| all += default_level(container));
    let part = |whole: Option<u64>, own: u64, all: u64| match whole {
        Some(whole) => scaled(whole, own as f64 / all as f64),
        None => own,
    };
    Some(Usage {
        cpu_nanocores: part(load.cpu_nanocores, own.cpu_nanocores, all.cpu_nanocores),
        memory_bytes: part(load.memory_bytes, own.memory_bytes, all.memory_bytes),
    })
}

/// Half of what a container requests.
fn default_level(container: &ContainerSpec<'_>) -> Usage {
    let requested = |text: &str| Quantity::parse(text).ok().filter(|amount| !amount.is_zero());
    let requests = container.resources().requests();
    let half = |amount: i64| amount.unsigned_abs() / 2;
    Usage {
        cpu_nanocores: requested(&requests.cpu).map_or(CPU_NANOCORES, |amount| half(amount.nanos())).max(1),
        memory_bytes: requested(&requests.memory).map_or(MEMORY_BYTES, |amount| half(amount.value())).max(1),
    }
}

/// By which factors a daemon on a node differs from the middle now.
#[derive(Debug, Clone, Copy)]
struct Chance {
    cpu: f64,
    memory: f64,
}

impl Chance {
    fn of(node: &str, owner: &str, noise: f64, now_seconds: i64) -> Chance {
        let factor = |what: &str, noise: f64| {
            let of_node = Draw::new(what).of(node);
            let of_pair = of_node.of(owner);
            let level = NODE_DEVIATION * normal(of_node) + PAIR_DEVIATION * normal(of_pair);
            let smooth = smooth_normal(of_pair.of("smooth"), now_seconds, NOISE_MEMORY_SECONDS);
            let rough = normal(of_pair.of("rough").number(now_seconds));
            (level + noise * (SMOOTH * smooth + ROUGH * rough)).exp()
        };
        Chance { cpu: factor("cpu", noise), memory: factor("memory", noise * MEMORY_NOISE) }
    }
}

fn varied(level: Usage, chance: Chance) -> Usage {
    Usage {
        cpu_nanocores: scaled(level.cpu_nanocores, chance.cpu),
        memory_bytes: scaled(level.memory_bytes, chance.memory),
    }
}

fn scaled(amount: u64, factor: f64) -> u64 {
    (amount as f64 * factor).round() as u64
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;

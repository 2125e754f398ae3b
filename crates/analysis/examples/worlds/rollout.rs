//! A roll-out over a synthetic fleet, watched by our judge and by the rules of others.

use everynode_analysis::{
    Basis, Block, FalseHalts, Group, Judge, Node, Plan, Reading, Signal, Turn, Verdict,
};

use crate::ports::{CanaryJudge, Class, is_above_before, is_higher_by_t, mean, restart_thresholds};
use crate::world::{Fleet, SAMPLES, Windows};

/// How a fleet is rolled out.
#[derive(Clone, Debug)]
pub struct Course {
    /// Nodes that are updated by the end of each wave.
    pub waves: Vec<usize>,
    /// Nodes that are updated at a time, each time with windows of their own.
    pub batch: usize,
    /// Nodes from the end of the order that get a fresh pod of the old revision with the first batch.
    pub restarted: usize,
    /// Whether others' rules are run beside.
    pub ports: bool,
    pub order: Order,
    /// The chance that an updated node has no samples of the CPU.
    pub missing: f64,
}

/// Who comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Shuffled,
    /// One zone after the other, all compared with all.
    ByZone,
    /// One zone after the other, and compared within each.
    WithinZones,
}

/// Others' rules.
pub const PORTS: [&str; 7] = [
    "before/after > 1.2",
    "canary judge",
    "canary judge, ratio 1.2",
    "t-test each look",
    "any restart",
    "2 restarts",
    "3x restarts",
];

/// By how many updated nodes something was called worse; none when it never was.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub ours: Option<usize>,
    pub ports: [Option<usize>; PORTS.len()],
    /// Whether there was nothing to judge the CPU by in the end.
    pub is_blind: bool,
    pub sentence: String,
}

/// What others' rules have gathered.
#[derive(Default)]
struct Gathered {
    before: Vec<f64>,
    after: Vec<f64>,
    control_points: Vec<f64>,
    canary_points: Vec<f64>,
    changes: Vec<f64>,
    other_changes: Vec<f64>,
}

/// Turns are spread over the whole range, as hashes are.
pub fn turn(place: usize) -> Turn {
    Turn((place as u64 + 1) << 32)
}

pub fn plan() -> Plan {
    let five = FalseHalts::from_percent(5.0).expect("5 % is a chance");
    Plan::usual(five, Basis::Randomised)
}

/// Rolls out until the waves are over.
pub fn roll(fleet: &mut Fleet, course: &Course) -> Outcome {
    let mut judge = Judge::new(plan());
    if course.order != Order::Shuffled {
        fleet.sort_by_zone();
    }
    let mut outcome = Outcome::default();
    let mut gathered = Gathered::default();
    let end = course.waves.last().copied().unwrap_or(0).min(fleet.len());
    let mut done = 0;
    while done < end {
        let next = course.waves.iter().copied().find(|wave| *wave > done).unwrap_or(end);
        let updated = done..(done + course.batch).min(next).min(end);
        done = updated.end;
        let (ours, others) = fleet.block(updated);
        let report = judge.close(&block(fleet, &ours, &others, course, done));
        if report.verdict == Verdict::Worse && outcome.ours.is_none() {
            outcome.ours = Some(done);
            let worse = report.signals.iter().find(|signal| signal.verdict == Verdict::Worse);
            outcome.sentence = worse.map(ToString::to_string).unwrap_or_default();
        }
        outcome.is_blind = report.signals[0].verdict == Verdict::Blind;
        if course.ports {
            gathered.take(&ours, &others);
            let says = gathered.judge(&ours, course.waves.contains(&done));
            for (port, says) in outcome.ports.iter_mut().zip(says) {
                if says {
                    port.get_or_insert(done);
                }
            }
            if course.waves.contains(&done) {
                gathered.end_wave();
            }
        }
    }
    outcome
}

fn block(fleet: &mut Fleet, ours: &[Windows], others: &[Windows], course: &Course, done: usize) -> Block {
    let fresh_from = fleet.len() - course.restarted;
    let is_missing = |fleet: &mut Fleet| fleet.random.f64() < course.missing;
    let with_samples = |windows: &Windows, fleet: &mut Fleet| match is_missing(fleet) {
        true => node(windows).with(Signal::Cpu, Reading::MISSING),
        false => node(windows),
    };
    let mut updated: Vec<Node> = ours.iter().map(|windows| with_samples(windows, fleet)).collect();
    let is_compared = |windows: &&Windows| {
        let is_alike = course.order != Order::WithinZones || ours.iter().any(|our| our.zone == windows.zone);
        windows.turn < fresh_from && is_alike
    };
    let untouched = others.iter().filter(is_compared).map(node).collect();
    let mut restarted = Vec::new();
    if done <= course.batch && course.restarted > 0 {
        updated = updated.into_iter().map(|node| fresh(node, fleet.fresh_pod(true))).collect();
        let old = (fresh_from..fleet.len()).map(|place| Node::new(turn(place)));
        restarted = old.map(|node| fresh(node, fleet.fresh_pod(false))).collect();
    }
    Block { frontier: turn(done), groups: vec![Group { updated, untouched, restarted }] }
}

fn node(windows: &Windows) -> Node {
    let signals = [Signal::Cpu, Signal::Restarts, Signal::OomKills, Signal::ReadinessFlaps];
    let node = Node::new(turn(windows.turn));
    signals.into_iter().fold(node, |node, signal| node.with(signal, windows.reading(signal)))
}

fn fresh(node: Node, [memory, time]: [Reading; 2]) -> Node {
    node.with(Signal::Memory, memory).with(Signal::TimeToReady, time)
}

impl Gathered {
    fn take(&mut self, ours: &[Windows], others: &[Windows]) {
        for windows in ours {
            self.before.push(mean(&windows.before));
            self.after.push(mean(&windows.after));
        }
        self.changes.extend(ours.iter().map(change));
        // Every block has hundreds of others: the first ones stand for all.
        self.other_changes.extend(others.iter().take(100).map(change));
        for point in 0..SAMPLES {
            let at = |windows: &[Windows]| {
                windows.iter().map(|windows| windows.after[point]).sum::<f64>() / windows.len() as f64
            };
            self.canary_points.push(at(ours));
            if !others.is_empty() {
                self.control_points.push(at(others));
            }
        }
    }

    fn judge(&self, ours: &[Windows], is_wave_over: bool) -> [bool; PORTS.len()] {
        let was: Vec<u32> = ours.iter().map(|windows| windows.restarts_before).collect();
        let is: Vec<u32> = ours.iter().map(|windows| windows.restarts).collect();
        let [any, two, three_times] = restart_thresholds(&was, &is);
        let is_high =
            |judge: CanaryJudge| judge.classify(&self.control_points, &self.canary_points) == Class::High;
        let by_default = is_wave_over && is_high(CanaryJudge::DEFAULT);
        [
            is_wave_over && is_above_before(&self.before, &self.after),
            by_default,
            by_default && is_high(CanaryJudge::RATIO),
            is_higher_by_t(&self.changes, &self.other_changes),
            any,
            two,
            three_times,
        ]
    }

    /// The next wave is compared by itself, but for the t-test, which keeps all.
    fn end_wave(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let other_changes = std::mem::take(&mut self.other_changes);
        *self = Gathered { changes, other_changes, ..Gathered::default() };
    }
}

fn change(windows: &Windows) -> f64 {
    (mean(&windows.after) / mean(&windows.before)).ln()
}

//! The evidence about a level, by the ranks of its changes.

use crate::amounts::{Change, Rise};
use crate::block::{Sides, Turn};
use crate::evidence::{LANES, Lanes, NO_WORSE, STRICTER, TESTS, Test, log_marks, log_mean, log_mixture};
use crate::reading::{Reading, Shown};
use crate::scores::{Ranked, hash, normal_scores, ranks};
use crate::signal::LevelRule;
use crate::subsets::log_sum;
use crate::verdict::Harmed;

/// Tests by ranks.
pub(crate) const RANKED: usize = 3;

/// The tests: by ranks for a change of all nodes, small to great, and by nodes that are harmed.
pub(crate) const LEVEL_TESTS: [Test; TESTS] = [
    Test { tilt: 0.5, weight: 0.2 },
    Test { tilt: 1.2, weight: 0.2 },
    Test { tilt: 2.5, weight: 0.2 },
    Test { tilt: 1.5, weight: 0.2 },
    Test { tilt: 2.5, weight: 0.2 },
];

/// The stricter tolerance is a rise by so much on top of the one that is tolerated.
const STRICTER_FACTOR: f64 = 1.15;

/// Steps by which a root is found: to less than a thousandth.
const BISECTIONS: usize = 15;

/// One block's readings of a level.
pub(crate) struct Level<'a> {
    rule: &'a LevelRule,
    groups: Vec<LevelGroup>,
}

/// A node's change.
struct NodeLevel {
    /// Infinite when it has failed.
    log: f64,
    noise: f64,
    tie: u64,
}

struct LevelGroup {
    updated: Vec<NodeLevel>,
    /// In units of each one's noise, sorted.
    others: Vec<Ranked>,
    others_harmed: usize,
    /// As they are, sorted.
    other_logs: Vec<f64>,
    updated_logs: Vec<f64>,
    scores: Vec<f64>,
    /// What the tests by ranks are divided by.
    log_means: [f64; RANKED],
}

impl LevelGroup {
    fn new(sides: &Sides, rule: &LevelRule) -> LevelGroup {
        let read = |(turn, reading): &(Turn, Reading)| match reading.0 {
            Shown::Value { value, noise } => NodeLevel { log: value, noise, tie: hash(turn.0) },
            // Sides hold what is known.
            Shown::Failed | Shown::Missing | Shown::NotAsked => {
                NodeLevel { log: f64::INFINITY, noise: 1.0, tie: hash(turn.0) }
            }
        };
        let updated: Vec<NodeLevel> = sides.updated.iter().map(read).collect();
        let others: Vec<NodeLevel> = sides.others.iter().map(read).collect();
        let sorted = |nodes: &[NodeLevel]| {
            let mut logs: Vec<f64> = nodes.iter().map(|node| node.log).collect();
            logs.sort_unstable_by(f64::total_cmp);
            logs
        };
        let (updated_logs, other_logs) = (sorted(&updated), sorted(&others));
        let others_harmed = others.iter().filter(|other| other.is_harmed(0.0, rule)).count();
        let mut others: Vec<Ranked> = others.iter().map(|other| other.ranked(0.0)).collect();
        others.sort_unstable_by(Ranked::cmp);
        let scores = normal_scores(updated.len() + others.len());
        let log_means = std::array::from_fn(|test| log_mean(LEVEL_TESTS[test].tilt, &scores, updated.len()));
        LevelGroup { updated, others, others_harmed, other_logs, updated_logs, scores, log_means }
    }

    /// The ranks of the updated nodes, from 0, when a change is taken off them.
    fn ranks(&self, log_tolerated: f64) -> Vec<usize> {
        ranks(self.updated.iter().map(|node| node.ranked(log_tolerated)).collect(), &self.others)
    }

    /// Tests by ranks of what is more than tolerated.
    fn ranked(&self, log_tolerated: f64) -> [f64; RANKED] {
        let ranks = self.ranks(log_tolerated);
        std::array::from_fn(|test| {
            let chosen: f64 = ranks.iter().map(|rank| self.scores[*rank]).sum();
            LEVEL_TESTS[test].tilt * chosen - self.log_means[test]
        })
    }

    /// The first tests by ranks, turned round: evidence that a change is smaller. Scores are symmetric, so that they
    /// are divided by the same.
    fn mirrored(&self, log_change: f64) -> [f64; 2] {
        let ranks = self.ranks(log_change);
        std::array::from_fn(|test| {
            let chosen: f64 = ranks.iter().map(|rank| -self.scores[*rank]).sum();
            LEVEL_TESTS[test].tilt * chosen - self.log_means[test]
        })
    }

    fn harmed(&self, rule: &LevelRule) -> Harmed {
        Harmed {
            updated: self.updated.iter().filter(|node| node.is_harmed(rule.log_tolerated(), rule)).count(),
            nodes: self.updated.len(),
            others: self.others_harmed,
            controls: self.others.len(),
        }
    }

    /// How many of the differences between an updated node and another one are at most so much. Two that failed do
    /// not differ.
    fn differences_up_to(&self, log: f64) -> usize {
        let (mut below, mut up_to) = (0, 0);
        for ours in &self.updated_logs {
            if ours.is_infinite() && log < 0.0 {
                break;
            }
            while below < self.other_logs.len() && self.other_logs[below] < ours - log {
                below += 1;
            }
            up_to += self.other_logs.len() - below;
        }
        up_to
    }
}

impl NodeLevel {
    /// Whether it has risen by more than is harm, and by more than it varies by itself.
    fn is_harmed(&self, log_tolerated: f64, rule: &LevelRule) -> bool {
        rule.exceeds_harm(self.log - log_tolerated, self.noise)
    }

    fn ranked(&self, log_tolerated: f64) -> Ranked {
        // Adding 0 makes one zero of two.
        Ranked { value: (self.log - log_tolerated) / self.noise + 0.0, tie: self.tie }
    }
}

impl<'a> Level<'a> {
    pub fn new(rule: &'a LevelRule, sides: &[Sides]) -> Level<'a> {
        Level { rule, groups: sides.iter().map(|sides| LevelGroup::new(sides, rule)).collect() }
    }

    /// What the block multiplies each lane by; `past` is what the lanes are before.
    pub fn lanes(&self, past: &Lanes) -> Lanes {
        let mut lanes = [0.0; LANES];
        lanes[..RANKED].copy_from_slice(&self.ranked(self.rule.log_tolerated()));
        for (test, lane) in lanes[..TESTS].iter_mut().enumerate().skip(RANKED) {
            *lane = self.groups.iter().map(|group| self.log_harm(group, LEVEL_TESTS[test].tilt)).sum();
        }
        lanes[STRICTER] = log_mixture(&believed(past), &self.ranked(self.log_stricter()));
        let no_worse = self.rule.no_worse.log();
        let mirrored = sums(self.groups.iter().map(|group| group.mirrored(no_worse)));
        lanes[NO_WORSE] = log_sum(mirrored.iter().map(|log| log - 2.0_f64.ln()));
        lanes
    }

    fn ranked(&self, log_tolerated: f64) -> [f64; RANKED] {
        sums(self.groups.iter().map(|group| group.ranked(log_tolerated)))
    }

    fn log_harm(&self, group: &LevelGroup, tilt: f64) -> f64 {
        let harmed = group.harmed(self.rule);
        let (marked, all) = (harmed.updated + harmed.others, harmed.nodes + harmed.controls);
        log_marks(tilt, 0.0, harmed.updated, marked, harmed.nodes, all)
    }

    fn log_stricter(&self) -> f64 {
        self.rule.log_tolerated() + STRICTER_FACTOR.ln()
    }

    /// The greatest rise that is worse than tolerated would be if it was tolerated: `past` is what the lanes are
    /// before, `log_weight` the block's part in them. Evidence falls when more is tolerated, so what earlier blocks
    /// had at the stricter tolerance is taken up to that, and nothing above.
    pub fn at_least(&self, past: Option<&Lanes>, log_weight: f64, log_worse: f64) -> Option<Rise> {
        let tests = believed(past.unwrap_or(&[0.0; LANES]));
        let log_past = past.map_or(0.0, |past| past[STRICTER]);
        let is_worse = |log: f64| log_mixture(&tests, &self.ranked(log)) + log_past + log_weight >= log_worse;
        let (mut low, mut high) = (self.rule.log_tolerated(), 100.0_f64.ln());
        if past.is_some() {
            high = self.log_stricter();
        }
        if !is_worse(low) {
            return None;
        }
        if is_worse(high) {
            return Some(Rise::from_log(high));
        }
        for _ in 0..BISECTIONS {
            let middle = f64::midpoint(low, high);
            if is_worse(middle) { low = middle } else { high = middle }
        }
        Some(Rise::from_log(low))
    }

    /// Nodes that are harmed.
    pub fn harmed(&self) -> Harmed {
        let none = Harmed { updated: 0, nodes: 0, others: 0, controls: 0 };
        self.groups.iter().map(|group| group.harmed(self.rule)).fold(none, |sum, one| Harmed {
            updated: sum.updated + one.updated,
            nodes: sum.nodes + one.nodes,
            others: sum.others + one.others,
            controls: sum.controls + one.controls,
        })
    }

    /// The median difference between an updated node and another one of its group (Hodges and Lehmann).
    pub fn change(&self) -> Change {
        let pairs: usize = self.groups.iter().map(|group| group.updated.len() * group.others.len()).sum();
        let up_to =
            |log: f64| -> usize { self.groups.iter().map(|group| group.differences_up_to(log)).sum() };
        let (mut low, mut high) = (-1000.0_f64.ln(), 1000.0_f64.ln());
        for _ in 0..BISECTIONS {
            let middle = f64::midpoint(low, high);
            if 2 * up_to(middle) < pairs { low = middle } else { high = middle }
        }
        Change::from_log(high)
    }
}

/// The tests by ranks, each with the weight that what it has shown before gives it.
fn believed(past: &Lanes) -> [Test; RANKED] {
    let logs = |test: usize| LEVEL_TESTS[test].weight.ln() + past[test];
    let sum = log_sum((0..RANKED).map(logs));
    std::array::from_fn(|test| Test { tilt: LEVEL_TESTS[test].tilt, weight: (logs(test) - sum).exp() })
}

/// Sums, place by place.
fn sums<const N: usize>(rows: impl Iterator<Item = [f64; N]>) -> [f64; N] {
    rows.fold([0.0; N], |sum, row| std::array::from_fn(|place| sum[place] + row[place]))
}

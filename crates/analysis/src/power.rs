//! What a roll-out could find, before it is made.

use crate::amounts::{Rise, Share};
use crate::evidence::{TESTS, log_marks, log_mean, log_mixture};
use crate::level::{LEVEL_TESTS, RANKED};
use crate::plan::Plan;
use crate::scores::{normal_distribution, normal_scores};
use crate::signal::LevelRule;

/// The part of the whole that the test has which sees a change of all nodes best: what the others cost.
const BEST_TEST: f64 = 0.2;

/// No fleet has more nodes than this.
const NODES_LIMIT: usize = 10_000_000;

/// What can be found of a change of a level that is alike on all nodes, as a function of how nodes vary.
#[derive(Clone, Copy, Debug)]
pub struct Power {
    log_worse: f64,
    log_tolerated: f64,
    deviation: f64,
}

impl Power {
    /// For a level whose changes, where nothing is updated, have this standard deviation among nodes, as logarithms of
    /// factors: 0.1 where nodes vary by 10 %.
    pub fn new(plan: &Plan, rule: &LevelRule, deviation: f64) -> Power {
        let deviation = if deviation.is_finite() { deviation.clamp(1e-3, 1e3) } else { 1e3 };
        Power { log_worse: plan.log_worse(), log_tolerated: rule.log_tolerated(), deviation }
    }

    /// The change beyond what is tolerated, in standard deviations.
    fn effect(&self, change: Rise) -> f64 {
        (change.log() - self.log_tolerated) / self.deviation
    }

    /// How many updated nodes it takes to find a change as often as not, when there are many more to compare with;
    /// none when it is tolerated.
    pub fn nodes(&self, change: Rise) -> Option<usize> {
        let effect = self.effect(change);
        let nodes = 2.0 * (self.log_worse - BEST_TEST.ln()) / (effect * effect);
        (effect > 0.0 && nodes < NODES_LIMIT as f64).then_some(nodes.ceil() as usize)
    }

    /// How likely a change is found by the time when so many nodes are updated.
    pub fn chance(&self, change: Rise, updated: usize) -> Share {
        let effect = self.effect(change);
        if effect <= 0.0 || updated == 0 {
            return Share::from_fraction(0.0);
        }
        // The evidence of one node is normal, its logarithm's mean half the square of the effect.
        let mean = updated as f64 * effect * effect / 2.0;
        let spread = (updated as f64).sqrt() * effect;
        let log_needed = self.log_worse - BEST_TEST.ln();
        Share::from_fraction(normal_distribution((mean - log_needed) / spread))
    }
}

impl Plan {
    /// Whether one block of so many updated nodes and others could be worse at all, if the updated ones were the worst
    /// in each respect.
    pub fn can_decide(&self, updated: usize, others: usize) -> bool {
        log_strongest(updated, others) >= self.log_worse()
    }

    /// The fewest updated nodes of one block that could be worse at all against so many others; none where no number
    /// could.
    pub fn fewest_nodes(&self, others: usize) -> Option<usize> {
        (1..=crate::subsets::EXACT_LIMIT).find(|updated| self.can_decide(*updated, others))
    }
}

/// The logarithm of the most evidence that one block can have about a level.
fn log_strongest(updated: usize, others: usize) -> f64 {
    if updated == 0 || others == 0 {
        return 0.0;
    }
    let others = others.min(crate::block::CONTROLS_LIMIT);
    let scores = normal_scores(updated + others);
    let logs: [f64; TESTS] = std::array::from_fn(|test| {
        let tilt = LEVEL_TESTS[test].tilt;
        if test < RANKED {
            tilt * scores[others..].iter().sum::<f64>() - log_mean(tilt, &scores, updated)
        } else {
            log_marks(tilt, 0.0, updated, updated, updated, updated + others)
        }
    });
    log_mixture(&LEVEL_TESTS, &logs)
}

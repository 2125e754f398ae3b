//! The evidence of one block: what it is multiplied by, test by test.
//!
//! A test gives each node a score that grows with its value, and compares the product of `exp(tilt * score)` over the
//! updated nodes with its mean over all ways to choose as many. The mean of that ratio over these ways is 1, whatever
//! the scores are; it is large where the updated nodes are those with high scores.

use crate::subsets;

/// Tests by which a signal may be worse. They are watched together, each with a weight.
pub(crate) const TESTS: usize = 5;

/// What is remembered of a signal's evidence: that of each test, and of two more questions.
pub(crate) const LANES: usize = TESTS + 2;

/// The lane of a tolerance that is stricter, for saying by how much it is worse.
pub(crate) const STRICTER: usize = TESTS;

/// The lane of the opposite question: whether it is no worse.
pub(crate) const NO_WORSE: usize = TESTS + 1;

/// The logarithms of what a block multiplies each lane by.
pub(crate) type Lanes = [f64; LANES];

/// A test's part in the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Test {
    pub tilt: f64,
    pub weight: f64,
}

/// The logarithm of the mean that evidence is divided by.
pub(crate) fn log_mean(tilt: f64, scores: &[f64], updated: usize) -> f64 {
    let log_weights: Vec<f64> = scores.iter().map(|score| tilt * score).collect();
    subsets::log_mean(&log_weights, updated)
}

/// The logarithm of the evidence that marks are more likely on updated nodes than the odds that are tolerated: `ours`
/// of `n` updated nodes are marked, and `marked` of all. If nothing changes, its mean is 1 or less.
pub(crate) fn log_marks(
    tilt: f64,
    log_tolerated: f64,
    ours: usize,
    marked: usize,
    n: usize,
    all: usize,
) -> f64 {
    let log_mean = |tilt: f64| subsets::log_mean_of_marked(tilt, marked, all, n);
    tilt * ours as f64 - log_mean(log_tolerated + tilt) + log_mean(log_tolerated)
}

/// The logarithm of what tests say together, each with its weight.
pub(crate) fn log_mixture(tests: &[Test], logs: &[f64]) -> f64 {
    let parts = tests.iter().zip(logs).map(|(test, log)| test.weight.ln() + log);
    subsets::log_sum(parts)
}

//! What others do, written anew from what they publish: not their code, and judged on our worlds only.

/// Whether the new revision is worse, by a rule of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Pass,
    High,
    Low,
}

/// A canary judge's classifier: the interval of the difference by Mann and Whitney, against a quarter of the
/// difference itself.
#[derive(Clone, Copy, Debug)]
pub struct CanaryJudge {
    /// The quantile of the normal distribution for its confidence: 2.326 for 98 %.
    pub quantile: f64,
    /// The part of the estimated difference that the interval has to keep away from 0.
    pub fraction: f64,
    /// High only when the ratio of means is above this.
    pub allowed_increase: f64,
}

impl CanaryJudge {
    pub const DEFAULT: CanaryJudge = CanaryJudge { quantile: 2.326, fraction: 0.25, allowed_increase: 1.0 };
    pub const RATIO: CanaryJudge = CanaryJudge { allowed_increase: 1.2, ..CanaryJudge::DEFAULT };

    /// Compares points in time, as if each was a measurement by itself.
    pub fn classify(&self, control: &[f64], experiment: &[f64]) -> Class {
        if control.is_empty() || experiment.is_empty() {
            return Class::Pass;
        }
        let [low, estimate, high] = self.interval(control, experiment);
        let critical = self.fraction * estimate.abs();
        if low > critical && mean(experiment) / mean(control) >= self.allowed_increase {
            Class::High
        } else if high < -critical {
            Class::Low
        } else {
            Class::Pass
        }
    }
}

impl CanaryJudge {
    /// The median of all differences, between the ends of its interval of confidence.
    fn interval(&self, control: &[f64], experiment: &[f64]) -> [f64; 3] {
        let mut differences: Vec<f64> = Vec::with_capacity(control.len() * experiment.len());
        for ours in experiment {
            differences.extend(control.iter().map(|theirs| ours - theirs));
        }
        let (n, m) = (experiment.len() as f64, control.len() as f64);
        let half = self.quantile * (n * m * (n + m + 1.0) / 12.0).sqrt();
        [(n * m / 2.0 - half).floor(), n * m / 2.0, (n * m / 2.0 + half).ceil()].map(|place| {
            let place = (place.max(0.0) as usize).min(differences.len() - 1);
            *differences.select_nth_unstable_by(place, f64::total_cmp).1
        })
    }
}

/// Whether what is after is more than a fifth above what was before, on the updated nodes alone.
pub fn is_above_before(before: &[f64], after: &[f64]) -> bool {
    mean(after) > 1.2 * mean(before)
}

/// Whether a t-test (Welch, one-sided, 5 %) says that changes of updated nodes are higher.
pub fn is_higher_by_t(updated: &[f64], others: &[f64]) -> bool {
    if updated.len() < 3 || others.len() < 3 {
        return false;
    }
    let error = variance(updated) / updated.len() as f64 + variance(others) / others.len() as f64;
    // Quantiles of t for 2, 4, 9, 19 and more degrees of freedom.
    let quantile = match updated.len() {
        3 => 2.92,
        4..=5 => 2.13,
        6..=10 => 1.83,
        11..=20 => 1.73,
        _ => 1.66,
    };
    mean(updated) - mean(others) > quantile * error.sqrt()
}

/// Thresholds on restarts of updated nodes: any, two on a node, three times as many as before.
pub fn restart_thresholds(before: &[u32], after: &[u32]) -> [bool; 3] {
    let (was, is): (u32, u32) = (before.iter().sum(), after.iter().sum());
    let most = after.iter().copied().max().unwrap_or(0);
    [most >= 1, most >= 2, is >= 3 && is > 3 * was]
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (values.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thirty numbers around a mean, spread by two.
    fn around(mean: f64, seed: u64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        let normal = |random: &mut fastrand::Rng| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        (0..30).map(|_| mean + 2.0 * normal(&mut random)).collect()
    }

    #[test]
    fn the_canary_judge_tells_high_from_low_from_alike() {
        let judge = CanaryJudge { quantile: 1.96, fraction: 0.1, allowed_increase: 1.0 };
        for seed in 0..20 {
            let (low, high) = (around(10.0, seed), around(20.0, seed + 200));
            assert_eq!(judge.classify(&low, &high), Class::High, "{seed}");
            assert_eq!(judge.classify(&high, &low), Class::Low, "{seed}");
            assert_eq!(judge.classify(&low, &low), Class::Pass, "{seed}");
            assert_eq!(judge.classify(&low, &[]), Class::Pass, "no data is a success there");
        }
    }

    #[test]
    fn a_t_test_needs_more_than_noise() {
        assert!(is_higher_by_t(&around(20.0, 1), &around(10.0, 2)));
        assert!(!is_higher_by_t(&around(10.0, 1), &around(20.0, 2)));
    }

    #[test]
    fn thresholds_are_those_that_are_published() {
        assert_eq!(restart_thresholds(&[0, 0], &[0, 0]), [false; 3]);
        assert_eq!(restart_thresholds(&[1, 0], &[1, 0]), [true, false, false]);
        assert_eq!(restart_thresholds(&[0, 0], &[3, 0]), [true; 3]);
    }
}

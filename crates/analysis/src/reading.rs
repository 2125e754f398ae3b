//! What one node has shown of one signal.

use crate::signal::Rule;

/// A window of fewer samples says nothing.
const SAMPLES_LEAST: usize = 3;

/// Of longer windows the latest samples are read.
const SAMPLES_LIMIT: usize = 2_000;

/// No node is taken for quieter than this, as a part of its level: what was measured once, or in steps, would weigh too
/// much.
const NOISE_LEAST: f64 = 0.05;

/// From so many on a count says the same: it is out of order.
const COUNT_LIMIT: u32 = 3;

/// The median absolute deviation of normal noise, times this, is its standard deviation.
const DEVIATION_OF_MAD: f64 = 1.4826;

/// What one node has shown of one signal, updated or not: the same rule makes both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading(pub(crate) Shown);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shown {
    /// How the level has changed, as the logarithm of the factor, and how much it varied before; or a count, and 1.
    Value { value: f64, noise: f64 },
    /// The node does not serve: worse than any value.
    Failed,
    /// Nothing is known.
    Missing,
    /// It was not to be compared.
    NotAsked,
}

/// What a level was before: a window of samples in two numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Before {
    /// The logarithm of the median.
    log: f64,
    /// How much it varied, as the logarithm of a factor.
    noise: f64,
}

impl Before {
    /// From samples, as [`Reading::of_levels`] takes them; none when there are too few.
    pub fn of(samples: &[f64], floor: f64) -> Option<Before> {
        let mut logs = logs(samples, floor)?;
        let log = median(&mut logs);
        logs.iter_mut().for_each(|one| *one = (*one - log).abs());
        Some(Before { log, noise: (DEVIATION_OF_MAD * median(&mut logs)).max(NOISE_LEAST) })
    }
}

impl Reading {
    /// The node's daemon does not serve: worse than any value. The same must hold of a node that was not updated.
    pub const FAILED: Reading = Reading(Shown::Failed);

    /// Nothing is known of it.
    pub const MISSING: Reading = Reading(Shown::Missing);

    /// It was not to be compared, as was known before anything was updated: nobody has measured what it was before. It is
    /// left out whatever becomes of it, and is not missed.
    pub const NOT_ASKED: Reading = Reading(Shown::NotAsked);

    /// How a level has changed, from samples before and after. Samples that are no number of 0 or more are left out,
    /// levels below `floor` count as `floor`; fewer than three on a side are none.
    pub fn of_levels(before: &[f64], after: &[f64], floor: f64) -> Reading {
        Reading::of_change(Before::of(before, floor), after, floor)
    }

    /// The same, where what was before was read earlier.
    pub fn of_change(before: Option<Before>, after: &[f64], floor: f64) -> Reading {
        let (Some(before), Some(mut after)) = (before, logs(after, floor)) else {
            return Reading::MISSING;
        };
        Reading(Shown::Value { value: median(&mut after) - before.log, noise: before.noise })
    }

    /// How something has changed that is measured once before and once after, such as the time to get ready.
    pub fn of_single(before: f64, after: f64, floor: f64) -> Reading {
        Reading::of_levels(&[before; SAMPLES_LEAST], &[after; SAMPLES_LEAST], floor)
    }

    /// How often something happened after.
    pub fn of_count(count: u32) -> Reading {
        Reading(Shown::Value { value: f64::from(count.min(COUNT_LIMIT)), noise: 1.0 })
    }

    /// The node alone shows as much as the rule looks for on a part of the nodes: a level that rose by more than is
    /// harm and by more than it varies by itself, something that happened, or a daemon that does not serve.
    pub fn is_raised(self, rule: &Rule) -> bool {
        match (self.0, rule) {
            (Shown::Missing | Shown::NotAsked, _) => false,
            (Shown::Failed, _) => true,
            (Shown::Value { value, .. }, Rule::Count(_)) => value >= 1.0,
            (Shown::Value { value, noise }, Rule::Level(rule)) => rule.is_harm(value, noise),
        }
    }

    /// Whether anything is known.
    pub(crate) fn is_known(self) -> bool {
        !matches!(self.0, Shown::Missing | Shown::NotAsked)
    }

    /// Whether something should be known.
    pub(crate) fn is_asked(self) -> bool {
        self.0 != Shown::NotAsked
    }

    /// The value as a count: of a node that does not serve the highest.
    pub(crate) fn count(self) -> f64 {
        match self.0 {
            Shown::Value { value, .. } => value.clamp(0.0, f64::from(COUNT_LIMIT)),
            Shown::Failed => f64::from(COUNT_LIMIT),
            Shown::Missing | Shown::NotAsked => 0.0,
        }
    }
}

/// The logarithms of samples; none when there are too few.
fn logs(samples: &[f64], floor: f64) -> Option<Vec<f64>> {
    let floor = if floor.is_finite() { floor.max(f64::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
    let latest = &samples[samples.len().saturating_sub(SAMPLES_LIMIT)..];
    let known = latest.iter().filter(|sample| sample.is_finite() && **sample >= 0.0);
    let logs: Vec<f64> = known.map(|sample| sample.max(floor).ln()).collect();
    (logs.len() >= SAMPLES_LEAST).then_some(logs)
}

/// The median, the upper one of two, of what is not empty.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(reading: Reading) -> (f64, f64) {
        match reading.0 {
            Shown::Value { value, noise } => (value, noise),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_level_is_the_logarithm_of_the_factor_between_medians() {
        let (change, noise) = value(Reading::of_levels(&[1.0, 100.0, 1.0], &[2.0, 2.0, 0.5], 0.0));
        assert!((change - 2_f64.ln()).abs() < 1e-12, "{change}");
        assert!((noise - NOISE_LEAST).abs() < 1e-12, "{noise}");
    }

    #[test]
    fn what_is_below_the_floor_has_not_changed() {
        assert_eq!(value(Reading::of_levels(&[0.001; 5], &[0.019; 5], 0.02)).0, 0.0);
    }

    #[test]
    fn what_is_no_sample_is_left_out_and_few_samples_are_none() {
        let bad = [f64::NAN, f64::INFINITY, -1.0];
        let check =
            |before: &[f64], after: &[f64]| Reading::of_levels(before, after, 0.0) == Reading::MISSING;
        assert!(check(&bad, &[1.0; 5]));
        assert!(check(&[1.0; 5], &[]));
        assert!(check(&[1.0; 2], &[1.0; 5]));
        assert!(!check(&[1.0, 1.0, 1.0, f64::NAN], &[1.0; 3]));
        assert!(!check(&[0.0; 3], &[0.0; 3]), "an idle daemon is known");
        assert_eq!(value(Reading::of_levels(&[1.0; 3], &[2.0; 3], f64::NAN)).0, 2_f64.ln());
    }

    #[test]
    fn a_node_that_fails_counts_as_the_highest_count() {
        assert_eq!(Reading::FAILED.count(), Reading::of_count(u32::MAX).count());
        assert_eq!(Reading::of_count(2).count(), 2.0);
    }
}

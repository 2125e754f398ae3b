//! The mean of a product over all subsets of a size: what evidence is divided by, so that on average over all ways to
//! choose the nodes it is 1.

/// Subsets of up to so many are averaged exactly; above, a bound is taken that is never below the mean.
pub const EXACT_LIMIT: usize = 64;

/// Steps by which the bound is made tight. Each of them is a bound already.
const TIGHTENING_STEPS: usize = 8;

/// The logarithm of the mean, over all subsets of `n` of the given elements, of the product of their weights; or of a
/// bound above it where `n` and what is left are more than [`EXACT_LIMIT`]. `n` must not be more than there are.
pub fn log_mean(log_weights: &[f64], n: usize) -> f64 {
    let rest = log_weights.len() - n;
    if n == 0 {
        return 0.0;
    }
    // Choosing n is leaving out the rest: the product of all, divided by that of the rest.
    if rest < n && rest <= EXACT_LIMIT {
        let all: f64 = log_weights.iter().sum();
        let inverse: Vec<f64> = log_weights.iter().map(|log| -log).collect();
        return all + log_mean(&inverse, rest);
    }
    let exact = if n <= EXACT_LIMIT { exact(log_weights, n) } else { f64::NAN };
    if exact.is_finite() { exact } else { bound(log_weights, n) }
}

/// The same where `marked` of `all` elements weigh `exp(tilt)` and the others 1: exact for any number.
pub fn log_mean_of_marked(tilt: f64, marked: usize, all: usize, n: usize) -> f64 {
    let fewest = (marked + n).saturating_sub(all);
    // What so many marked ones among n are worth, and how many ways there are, both relative to the fewest.
    let (mut ways, mut logs) = (0.0, Vec::with_capacity(marked.min(n) + 1 - fewest));
    for k in fewest..=marked.min(n) {
        logs.push(ways);
        ways += (((marked - k) * (n - k)) as f64 / ((k + 1) * (all + k + 1 - marked - n)) as f64).ln();
    }
    let with = logs.iter().enumerate().map(|(more, log)| log + tilt * (fewest + more) as f64);
    log_sum(with) - log_sum(logs.iter().copied())
}

/// The logarithm of the sum of what is given by logarithms.
pub(crate) fn log_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let highest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return highest;
    }
    highest + logs.map(|log| (log - highest).exp()).sum::<f64>().ln()
}

/// The logarithm of the mean weight.
fn log_mean_weight(log_weights: &[f64]) -> f64 {
    log_sum(log_weights.iter().copied()) - (log_weights.len() as f64).ln()
}

/// By the means over subsets of the first `j` elements: those of `k` that lack the last one, and those that have it.
/// Weights are divided by their mean, so that the means stay below 1; it is not finite where they vanish.
pub(crate) fn exact(log_weights: &[f64], n: usize) -> f64 {
    let scale = log_mean_weight(log_weights);
    let mut means = vec![0.0; n + 1];
    means[0] = 1.0;
    for (index, log) in log_weights.iter().enumerate() {
        let (weight, of) = ((log - scale).exp(), 1.0 / (index + 1) as f64);
        for k in (1..=n.min(index + 1)).rev() {
            let (without, with) = ((index + 1 - k) as f64 * of, k as f64 * of);
            means[k] = means[k] * without + with * weight * means[k - 1];
        }
    }
    if means[n] < f64::MIN_POSITIVE { f64::NAN } else { means[n].ln() + n as f64 * scale }
}

/// The lower of two bounds. The mean weight to the power of `n` (Maclaurin) is close where weights differ little. The
/// coefficient of a polynomial with no negative one is at most its value at `t`, divided by `t` to the power of `n`:
/// for the best `t` that is above the mean by a factor of about the square root of `2 pi n`, whatever the weights.
pub(crate) fn bound(log_weights: &[f64], n: usize) -> f64 {
    let maclaurin = n as f64 * log_mean_weight(log_weights);
    let at = |log_t: f64| -> f64 {
        let value: f64 = log_weights.iter().map(|log| softplus(log + log_t)).sum();
        value - n as f64 * log_t
    };
    // The expected number of elements, each chosen with the odds t * weight, is n at the best t.
    let expected = |log_t: f64| {
        let chances = log_weights.iter().map(|log| 1.0 / (1.0 + (-log - log_t).exp()));
        chances.fold((0.0, 0.0), |(sum, slope), chance| (sum + chance, slope + chance * (1.0 - chance)))
    };
    let widest = log_weights.iter().fold(0.0_f64, |widest, log| widest.max(log.abs()));
    let reach = widest + (log_weights.len() as f64).ln() + 1.0;
    let (mut low, mut high) = (-reach, reach);
    let mut log_t = (n as f64 / (log_weights.len() - n).max(1) as f64).ln() - log_mean_weight(log_weights);
    for _ in 0..TIGHTENING_STEPS {
        let (sum, slope) = expected(log_t);
        if sum < n as f64 {
            low = log_t
        } else {
            high = log_t
        }
        let newton = log_t + (n as f64 - sum) / slope;
        log_t = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
    }
    maclaurin.min(at(log_t) - log_choices(log_weights.len(), n))
}

/// `ln(1 + e^x)`.
fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

/// The logarithm of the number of subsets of `n` of `all`.
fn log_choices(all: usize, n: usize) -> f64 {
    (1..=n).map(|k| ((all - n + k) as f64 / k as f64).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean by all subsets, one by one.
    fn brute_force(log_weights: &[f64], n: usize) -> f64 {
        let of_size = (0_u32..1 << log_weights.len()).filter(|set| set.count_ones() as usize == n);
        let product = |set: u32| -> f64 {
            let chosen = log_weights.iter().enumerate().filter(|(index, _)| set >> index & 1 == 1);
            chosen.map(|(_, log)| log).sum::<f64>().exp()
        };
        let products: Vec<f64> = of_size.map(product).collect();
        (products.iter().sum::<f64>() / products.len() as f64).ln()
    }

    #[test]
    fn the_mean_of_marked_ones_is_that_of_all_subsets() {
        for (all, tilt) in [(1, 1.0), (5, 0.3), (9, 3.0), (12, -2.0)] {
            for marked in 0..=all {
                let weights: Vec<f64> = (0..all).map(|at| if at < marked { tilt } else { 0.0 }).collect();
                for n in 0..=all {
                    let (mean, expected) =
                        (log_mean_of_marked(tilt, marked, all, n), brute_force(&weights, n));
                    assert!((mean - expected).abs() < 1e-9, "{marked}, {n} of {all}: {mean}, not {expected}");
                }
            }
        }
        assert!(log_mean_of_marked(3.0, 1500, 4000, 2000).is_finite());
    }

    fn weights(random: &mut fastrand::Rng, len: usize) -> Vec<f64> {
        let spread = [0.1, 1.0, 4.0][random.usize(..3)];
        (0..len).map(|_| (random.f64() - 0.5) * spread * 2.0).collect()
    }

    #[test]
    fn the_mean_is_that_of_all_subsets_and_the_bound_is_above_it() {
        let seed = everynode_testkit::number("EVERYNODE_SEED", fastrand::u64(..1 << 40));
        println!("EVERYNODE_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for len in (1..=13).cycle().take(130) {
            let weights = weights(&mut random, len);
            for n in 0..=len {
                let (mean, expected) = (log_mean(&weights, n), brute_force(&weights, n));
                assert!((mean - expected).abs() < 1e-9, "{n} of {weights:?}: {mean}, not {expected}");
                if n > 0 {
                    let bound = bound(&weights, n);
                    assert!(bound > expected - 1e-9, "{n} of {weights:?}: {bound} is below {expected}");
                }
            }
        }
    }

    #[test]
    fn the_bound_of_large_subsets_is_above_the_mean_by_little() {
        // The exact mean of more than 64 is at hand where it does not vanish.
        let mut random = fastrand::Rng::with_seed(1);
        for (all, n) in [(500, 100), (1000, 200), (2000, 300)] {
            for spread in [0.2, 1.0, 2.0] {
                let weights: Vec<f64> = (0..all).map(|_| (random.f64() - 0.5) * 4.0 * spread).collect();
                let (above, mean) = (bound(&weights, n), exact(&weights, n));
                assert!(above > mean - 1e-9, "{n} of {all}: {above} is below {mean}");
                assert!(above < mean + 4.0, "{n} of {all}: {above} is far above {mean}");
            }
        }
    }

    #[test]
    fn weights_far_apart_are_no_trouble() {
        let weights: Vec<f64> = (0..3000).map(|index| if index < 30 { 60.0 } else { -60.0 }).collect();
        for n in [1, 30, 64, 65, 1500, 2935, 2936, 2999, 3000] {
            assert!(log_mean(&weights, n).is_finite(), "{n}");
        }
    }
}

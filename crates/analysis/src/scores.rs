//! Ranks and what they are worth. Scores are fixed numbers that grow with the rank, so that whose rank is raised has
//! more evidence against it, whatever the values are.

use std::cmp::Ordering;

/// A value in its order among others. Equal ones are in the order of hashes that know nothing of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranked {
    pub value: f64,
    pub tie: u64,
}

impl Ranked {
    pub fn cmp(&self, other: &Ranked) -> Ordering {
        self.value.total_cmp(&other.value).then(self.tie.cmp(&other.tie))
    }
}

/// Normal scores: quantiles of the normal distribution, for so many values. They are symmetric about 0.
pub(crate) fn normal_scores(count: usize) -> Vec<f64> {
    (0..count).map(|rank| normal_quantile((rank as f64 + 0.5) / count as f64)).collect()
}

/// The ranks, from 0, of some values among these and others that are sorted.
pub(crate) fn ranks(mut some: Vec<Ranked>, others: &[Ranked]) -> Vec<usize> {
    some.sort_unstable_by(Ranked::cmp);
    let below = |one: &Ranked| others.partition_point(|other| other.cmp(one).is_lt());
    some.iter().enumerate().map(|(index, one)| index + below(one)).collect()
}

/// A number that is anybody's guess (SplitMix64), for the order of equal values.
pub(crate) fn hash(of: u64) -> u64 {
    let mut bits = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The normal distribution function, to seven digits (Abramowitz and Stegun 26.2.17).
pub(crate) fn normal_distribution(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] =
        [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let tail = series * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// The quantile of the normal distribution, to three digits (Abramowitz and Stegun 26.2.23). It never falls.
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    let tail = probability.min(1.0 - probability).max(f64::MIN_POSITIVE);
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let quantile = (t - above / below).max(0.0);
    if probability < 0.5 { -quantile } else { quantile }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_grow_with_the_rank_and_are_symmetric() {
        for count in [1, 2, 3, 10, 64, 1000, 4000] {
            let scores = normal_scores(count);
            assert!(scores.is_sorted(), "{count}");
            let is_symmetric =
                scores.iter().zip(scores.iter().rev()).all(|(low, high)| (low + high).abs() < 1e-9);
            assert!(is_symmetric, "{count}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        for (probability, quantile) in
            [(0.5, 0.0), (0.975, 1.959_964), (0.01, -2.326_348), (0.999, 3.090_232)]
        {
            assert!((normal_quantile(probability) - quantile).abs() < 5e-4, "{probability}");
            assert!((normal_distribution(quantile) - probability).abs() < 1e-6, "{quantile}");
        }
    }

    #[test]
    fn ranks_are_places_among_all() {
        let ranked = |value| Ranked { value, tie: 0 };
        let others: Vec<_> = [1.0, 2.0, 3.0].map(ranked).into();
        assert_eq!(ranks([2.5, f64::INFINITY, 0.0].map(ranked).into(), &others), [0, 3, 5]);
    }
}

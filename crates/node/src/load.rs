//! What annotations say of what simulated pods use, and the chance in it: numbers that are drawn by a hash, so that they
//! are the same whenever somebody asks.

use std::f64::consts::{FRAC_PI_2, TAU};

use everynode_model::quantity::Quantity;
use everynode_model::time;

use crate::faults::share;

/// The keys on pods that [`Load`] reads.
pub(crate) const KEYS: &[&str] = &["cpu", "memory", "noise", "leak", "step"];

/// Steps of one annotation, at most.
const MOST_STEPS: usize = 100;
/// A step multiplies by this at most.
const LARGEST_STEP: f64 = 1_000.0;

/// What annotations say of what a pod uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    /// CPU in the middle, in billionths of a core.
    pub cpu_nanocores: Option<u64>,
    /// Memory in the middle, in bytes.
    pub memory_bytes: Option<u64>,
    /// How far CPU strays from it: a standard deviation, as a logarithm.
    pub noise: Option<f64>,
    /// Memory that it gains, in bytes an hour.
    pub leak_bytes_per_hour: u64,
    /// What it does more, or less, from some times on.
    pub steps: Vec<Step>,
}

/// More or less load from a time on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// What CPU is multiplied by.
    pub factor: f64,
    /// From when on, in Unix seconds; always, without.
    pub since_seconds: Option<i64>,
}

impl Load {
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "cpu" => self.cpu_nanocores = Some(amount(value)?.nanos().unsigned_abs()),
            "memory" => self.memory_bytes = Some(amount(value)?.value().unsigned_abs()),
            "noise" => self.noise = Some(share(value)?),
            "leak" => self.leak_bytes_per_hour = amount(value)?.value().unsigned_abs(),
            "step" => self.steps = steps(value)?,
            _ => {}
        }
        Ok(())
    }
}

fn amount(text: &str) -> Result<Quantity, String> {
    let read = Quantity::parse(text).ok().filter(|amount| !amount.is_negative());
    read.ok_or_else(|| "must be a quantity that is not negative, such as \"100m\" or \"64Mi\"".to_owned())
}

/// Reads `1.5`, or `1.5@2026-01-01T00:00:00Z,1@2026-01-01T01:00:00Z`.
pub(crate) fn steps(text: &str) -> Result<Vec<Step>, String> {
    let problem = "must be factors with times, such as \"1.5\" or \"1.5@2026-01-01T00:00:00Z\"";
    let step = |part: &str| {
        let (factor, since) = part.split_once('@').map_or((part, None), |(factor, at)| (factor, Some(at)));
        let factor = factor.trim().parse().ok().filter(|factor| (0.0..=LARGEST_STEP).contains(factor))?;
        let since_seconds = match since {
            Some(at) => Some(time::parse(at.trim()).ok()?),
            None => None,
        };
        Some(Step { factor, since_seconds })
    };
    let steps: Option<Vec<Step>> = text.split(',').take(MOST_STEPS).map(step).collect();
    steps.ok_or_else(|| problem.to_owned())
}

/// The factor of the last step that has begun.
pub(crate) fn factor(steps: &[Step], now_seconds: i64) -> f64 {
    let begun = steps.iter().filter(|step| step.since_seconds.is_none_or(|since| since <= now_seconds));
    begun.max_by_key(|step| step.since_seconds).map_or(1.0, |step| step.factor)
}

/// Whether a node is in this share of all.
pub(crate) fn is_in_share(node: &str, share: f64) -> bool {
    uniform(Draw::new("share").of(node)) < share
}

/// What a number is drawn for. The same is drawn for the same words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(what: &str) -> Draw {
        Draw(0xcbf2_9ce4_8422_2325).of(what)
    }

    /// ... of this.
    pub(crate) fn of(self, word: &str) -> Draw {
        // FNV-1a, with an end to each word.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Draw(word.bytes().chain([0xff]).fold(self.0, step))
    }

    /// ... the one of this number.
    pub(crate) fn number(self, number: i64) -> Draw {
        Draw(mixed(self.0 ^ mixed(number.cast_unsigned())))
    }
}

/// Mixes the bits (the finalizer of SplitMix64).
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Between 0 and 1, never 0.
pub(crate) fn uniform(draw: Draw) -> f64 {
    ((mixed(draw.0) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// Normally distributed, with the deviation 1 (Box and Muller).
pub(crate) fn normal(draw: Draw) -> f64 {
    let angle = TAU * uniform(draw.number(1));
    (-2.0 * uniform(draw).ln()).sqrt() * angle.cos()
}

/// Normally distributed, and much the same for times that are near: within `memory_seconds`.
pub(crate) fn smooth_normal(draw: Draw, now_seconds: i64, memory_seconds: i64) -> f64 {
    let (knot, rest) = (now_seconds.div_euclid(memory_seconds), now_seconds.rem_euclid(memory_seconds));
    let angle = FRAC_PI_2 * rest as f64 / memory_seconds as f64;
    angle.cos() * normal(draw.number(knot)) + angle.sin() * normal(draw.number(knot + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_factors_from_times_on() {
        let at = |seconds| time::format(seconds);
        let read = |text: &str| steps(text).unwrap();
        let check = |text: &str, now, expected: f64| assert_eq!(factor(&read(text), now), expected, "{text}");
        check("1.5", 0, 1.5);
        let two = format!("2@{},1@{}", at(100), at(200));
        check(&two, 99, 1.0);
        check(&two, 100, 2.0);
        check(&two, 200, 1.0);
        check(&format!("0.5,2@{}", at(100)), 50, 0.5);
        for text in ["", "x", "-1", "1001", "1@noon", "2@", "nan", "1,,2"] {
            assert!(steps(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_drawn_has_the_mean_and_the_deviation_that_it_should_have() {
        let draws: Vec<f64> = (0..20_000).map(|at| normal(Draw::new("a").number(at))).collect();
        let smooth: Vec<f64> = (0..20_000).map(|at| smooth_normal(Draw::new("b"), at * 331, 600)).collect();
        for drawn in [draws, smooth] {
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let variance = drawn.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
            assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.06, "{mean} {variance}");
        }
        let in_share = (0..10_000).filter(|node| is_in_share(&format!("node-{node}"), 0.2)).count();
        assert!((1_800..2_200).contains(&in_share), "{in_share}");
    }
}

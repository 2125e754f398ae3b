//! How long something takes: always the same, or drawn from a distribution.

use std::sync::Arc;

/// The z-value of the 99th percentile of the normal distribution.
const Z99: f64 = 2.326;

/// A distribution of durations, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Spread {
    /// Always this long.
    Fixed(i64),
    /// Log-normal with this median and 99th percentile.
    LogNormal {
        /// Median.
        p50_millis: i64,
        /// 99th percentile.
        p99_millis: i64,
    },
    /// As observed; sorted, never empty.
    Observed(Arc<[i64]>),
}

impl Spread {
    /// Observed durations; `None` when there are none.
    pub fn observed(mut millis: Vec<i64>) -> Option<Spread> {
        millis.sort_unstable();
        (!millis.is_empty()).then(|| Spread::Observed(millis.into()))
    }

    /// Reads `20s` or `p50=20s,p99=2m`.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn parse(text: &str) -> Result<Spread, String> {
        let wrong = || format!("{text:?} is not a duration: write for example 20s, or p50=20s,p99=2m");
        let millis = |text: &str| millis(text).ok_or_else(wrong);
        let Some((first, second)) = text.split_once(',') else {
            return Ok(Spread::Fixed(millis(text.strip_prefix("p50=").unwrap_or(text))?));
        };
        let p50_millis = millis(first.strip_prefix("p50=").ok_or_else(wrong)?)?;
        let p99_millis = millis(second.strip_prefix("p99=").ok_or_else(wrong)?)?;
        match p50_millis {
            _ if p99_millis < p50_millis => Err(format!("{text:?}: p99 must not be below p50")),
            0 => Err(format!("{text:?}: p50 must be above zero when p99 is given")),
            _ => Ok(Spread::LogNormal { p50_millis, p99_millis }),
        }
    }

    /// Draws one.
    pub fn draw(&self, random: &mut fastrand::Rng) -> i64 {
        match self {
            Spread::Fixed(millis) => *millis,
            Spread::LogNormal { p50_millis, p99_millis } => {
                let (p50, p99) = (*p50_millis as f64, *p99_millis as f64);
                let sigma = (p99 / p50).ln() / Z99;
                (p50 * (sigma * normal(random)).exp()) as i64
            }
            Spread::Observed(millis) => millis[random.usize(..millis.len())],
        }
    }

    /// The duration that this share of draws does not exceed, in hundredths.
    pub fn percentile(&self, percent: usize) -> i64 {
        match self {
            Spread::Fixed(millis) => *millis,
            Spread::LogNormal { p50_millis, .. } if percent <= 50 => *p50_millis,
            Spread::LogNormal { p99_millis, .. } => *p99_millis,
            Spread::Observed(millis) => percentile(millis, percent),
        }
    }
}

/// A percentile of sorted values, which are not empty.
pub fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len().max(1));
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// A draw of the standard normal distribution, by Box and Muller.
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

/// Milliseconds of `500ms`, `20s`, `1m30s` or `2h`.
pub fn millis(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('0').filter(|rest| rest.is_empty()).map_or(text, |_| "0s");
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..number_end].parse().ok()?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit_end] {
                "ms" => 1.0,
                "s" => 1_000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    (total < 1e12).then_some(total as i64)
}

/// A duration as people read it: `350ms`, `20s`, `4m 10s`, `3h 20m`, `2d 4h`.
pub fn human(millis: i64) -> String {
    if millis == 0 {
        return "0s".to_owned();
    }
    let seconds = (millis + 500) / 1000;
    let two = |a: i64, unit: &str, b: i64, small: &str| match b {
        0 => format!("{a}{unit}"),
        b => format!("{a}{unit} {b}{small}"),
    };
    match seconds {
        _ if millis < 1000 => format!("{millis}ms"),
        s if s < 60 => format!("{s}s"),
        s if s < 3600 => two(s / 60, "m", s % 60, "s"),
        s if s < 86_400 => two(s / 3600, "h", s % 3600 / 60, "m"),
        s => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_people_do() {
        for (text, expected) in
            [("20s", Some(20_000)), ("1m30s", Some(90_000)), ("1.5h", Some(5_400_000)), ("0", Some(0))]
        {
            assert_eq!(millis(text), expected, "{text}");
        }
        for text in ["", "5", "s", "-1s", "5x", "1..2s"] {
            assert_eq!(millis(text), None, "{text}");
        }
        for (value, expected) in
            [(350, "350ms"), (20_000, "20s"), (250_000, "4m 10s"), (12_000_000, "3h 20m"), (86_400_000, "1d")]
        {
            assert_eq!(human(value), expected);
        }
    }

    #[test]
    fn draws_follow_the_percentiles_that_were_given() {
        let spread = Spread::parse("p50=20s,p99=2m").unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let mut draws: Vec<i64> = (0..10_000).map(|_| spread.draw(&mut random)).collect();
        draws.sort_unstable();
        let (p50, p99) = (percentile(&draws, 50), percentile(&draws, 99));
        assert!((19_000..21_000).contains(&p50) && (105_000..135_000).contains(&p99), "{p50} {p99}");
        for text in ["p50=2m,p99=20s", "p50=20s,p98=2m", "soon", "p50=0s,p99=1s"] {
            assert!(Spread::parse(text).is_err(), "{text}");
        }
    }
}

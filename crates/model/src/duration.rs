//! Durations as texts, as Go writes them.

/// Nanoseconds of each unit. Longer names come before those that begin like them.
const UNITS: &[(&str, f64)] =
    &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];

/// Reads a duration such as `1h30m` or `1.5s`; gives nanoseconds.
pub fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, scale) =
            UNITS.iter().filter(|(unit, _)| rest.starts_with(unit)).max_by_key(|(unit, _)| unit.len())?;
        nanos += number * scale;
        rest = &rest[unit.len()..];
    }
    let nanos = if negative { -nanos } else { nanos };
    (nanos.abs() < i64::MAX as f64).then_some(nanos as i64)
}

/// `10s`, `1m20s`, `2h0m5s`: whole seconds as Go prints a duration.
pub fn format_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m{}s", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_written_as_go_writes_them() {
        for (seconds, text) in [(0, "0s"), (10, "10s"), (80, "1m20s"), (300, "5m0s"), (7_205, "2h0m5s")] {
            assert_eq!(format_seconds(seconds), text);
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let check = |text: &str, nanos: Option<i64>| assert_eq!(parse(text), nanos, "{text}");
        check("1h30m", Some(5_400_000_000_000));
        check("1.5s", Some(1_500_000_000));
        check("-2ms", Some(-2_000_000));
        check("0", Some(0));
        check("5 parsecs", None);
        check("5", None);
        check("", None);
        check("s", None);
    }
}

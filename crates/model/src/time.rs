//! Times and ages: RFC 3339 as the API writes it, and ages as kubectl prints them.

use crate::Text;

/// Micros in a second.
const MICROS: i64 = 1_000_000;

/// The first moment of year 1, which stands for "no time": the API writes it as null.
const ZERO_SECONDS: i64 = -62_135_596_800;

/// Why a text is no time, in the words of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {} as \"{layout}\": {problem}", crate::go_quote(.text))]
pub struct TimeError {
    text: String,
    layout: &'static str,
    problem: String,
}

const SECONDS_LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICROS_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Reads an RFC 3339 time, with or without decimals; gives Unix time in whole seconds.
///
/// # Errors
/// The text is no such time.
pub fn parse(text: &str) -> Result<i64, TimeError> {
    parse_as(text, SECONDS_LAYOUT).map(|micros| micros.div_euclid(MICROS))
}

/// The time of a field that may be absent, in Unix seconds; what is no time is absent.
pub(crate) fn seconds(field: Option<&Text<'_>>) -> Option<i64> {
    field.and_then(|text| parse(text).ok())
}

/// Reads an RFC 3339 time with exactly six decimals, a `MicroTime`; gives Unix time in microseconds.
///
/// # Errors
/// The text is no such time.
pub fn parse_micros(text: &str) -> Result<i64, TimeError> {
    parse_as(text, MICROS_LAYOUT)
}

fn parse_as(text: &str, layout: &'static str) -> Result<i64, TimeError> {
    let fail = |problem: String| TimeError { text: text.into(), layout, problem };
    let mut reader = Reader { rest: text };
    let micros_wanted = layout == MICROS_LAYOUT;
    match reader.read(micros_wanted) {
        Ok(micros) if reader.rest.is_empty() => Ok(micros),
        Ok(_) => Err(fail(format!("extra text: {}", crate::go_quote(reader.rest)))),
        Err(Problem::Element(element)) => {
            let rest = crate::go_quote(reader.rest);
            Err(fail(format!("cannot parse {rest} as {}", crate::go_quote(element))))
        }
        Err(Problem::Range(what)) => Err(fail(format!("{what} out of range"))),
    }
}

/// What did not fit.
enum Problem {
    /// The element of the layout that the rest of the text does not begin with.
    Element(&'static str),
    /// The part whose number is too large or too small.
    Range(&'static str),
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn number(&mut self, digits: usize, element: &'static str) -> Result<i64, Problem> {
        let text = self.rest.get(..digits).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let number = text.and_then(|text| text.parse().ok()).ok_or(Problem::Element(element))?;
        self.rest = &self.rest[digits..];
        Ok(number)
    }

    fn mark(&mut self, mark: &'static str) -> Result<(), Problem> {
        self.rest = self.rest.strip_prefix(mark).ok_or(Problem::Element(mark))?;
        Ok(())
    }

    fn read(&mut self, micros_wanted: bool) -> Result<i64, Problem> {
        let year = self.number(4, "2006")?;
        self.mark("-")?;
        let month = self.number(2, "01")?;
        self.mark("-")?;
        let day = self.number(2, "02")?;
        self.mark("T")?;
        let hour = self.number(2, "15")?;
        self.mark(":")?;
        let minute = self.number(2, "04")?;
        self.mark(":")?;
        let second = self.number(2, "05")?;
        let micros = self.fraction(micros_wanted)?;
        let offset_seconds = self.offset()?;
        let in_range = |value: i64, low: i64, high: i64, what| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(Problem::Range(what)) }
        };
        in_range(month, 1, 12, "month")?;
        in_range(day, 1, days_in_month(year, month), "day")?;
        in_range(hour, 0, 23, "hour")?;
        in_range(minute, 0, 59, "minute")?;
        in_range(second, 0, 59, "second")?;
        let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Ok((seconds - offset_seconds) * MICROS + micros)
    }

    fn fraction(&mut self, wanted: bool) -> Result<i64, Problem> {
        let Some(rest) = self.rest.strip_prefix('.') else {
            return if wanted { Err(Problem::Element(".000000")) } else { Ok(0) };
        };
        let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if length == 0 || (wanted && length != 6) {
            return Err(Problem::Element(if wanted { ".000000" } else { "Z07:00" }));
        }
        let digits: String = rest[..length].chars().chain("000000".chars()).take(6).collect();
        self.rest = &rest[length..];
        Ok(digits.parse().unwrap_or(0))
    }

    fn offset(&mut self) -> Result<i64, Problem> {
        if self.mark("Z").is_ok() {
            return Ok(0);
        }
        let element = "Z07:00";
        let sign = match self.rest.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(Problem::Element(element)),
        };
        let mut inner = Reader { rest: &self.rest[1..] };
        let hours = inner.number(2, element);
        let minutes = inner.mark(":").and_then(|()| inner.number(2, element));
        let (Ok(hours @ 0..=24), Ok(minutes @ 0..=60)) = (hours, minutes) else {
            return Err(Problem::Element(element));
        };
        self.rest = inner.rest;
        Ok(sign * (hours * 3600 + minutes * 60))
    }
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to this date of the Gregorian calendar. Years start in March here, so that the leap
/// day is the last day of a year.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day counted from 1970-01-01; the inverse of [`days_from_epoch`].
fn date_of_day(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Unix seconds as the API writes them: `2026-01-02T03:04:05Z`.
pub fn format(seconds: i64) -> String {
    let (year, month, day) = date_of_day(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The last moment (Unix seconds) that can be written: the end of the year 9999.
pub const LAST_SECOND: i64 = 253_402_300_799;

/// Unix microseconds as the API writes a `MicroTime`: `2026-01-02T03:04:05.000006Z`.
pub fn format_micros(micros: i64) -> String {
    let mut text = format(micros.div_euclid(MICROS));
    text.pop();
    format!("{text}.{:06}Z", micros.rem_euclid(MICROS))
}

/// Whether this moment (Unix seconds) stands for "no time".
pub fn is_zero(seconds: i64) -> bool {
    seconds == ZERO_SECONDS
}

/// The age between two moments (Unix seconds) as kubectl prints it.
pub fn age(then_seconds: i64, now_seconds: i64) -> String {
    human_duration(now_seconds.saturating_sub(then_seconds))
}

/// A duration in seconds in at most two units, as kubectl prints it: `5m`, `3d4h`, `2y30d`.
pub fn human_duration(seconds: i64) -> String {
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit}{small}{small_unit}"),
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        // A clock that is a little behind is no reason to show nonsense.
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_with_offset_and_fraction_and_written_in_utc() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).map(format).as_deref(), Ok(expected));
        };
        check("2026-11-23T18:58:21Z", "2026-11-23T18:58:21Z");
        check("2026-11-23T18:58:21.999Z", "2026-11-23T18:58:21Z");
        check("2026-11-23T01:00:00+02:00", "2026-11-22T23:00:00Z");
        check("2024-02-29T00:00:00-00:30", "2024-02-29T00:30:00Z");
        check("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z");
        assert_eq!(format_micros(1_500_000), "1970-01-01T00:00:01.500000Z");
        assert_eq!(parse_micros("1970-01-01T00:00:01.500000Z"), Ok(1_500_000));
        assert_eq!(parse("0001-01-01T00:00:00Z").map(is_zero), Ok(true));
    }

    #[test]
    fn what_is_no_time_is_refused_in_the_words_of_the_api() {
        let check = |text: &str, problem: &str| {
            let message = parse(text).expect_err("no time").to_string();
            let start = format!("parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": ");
            assert_eq!(message, format!("{start}{problem}"));
        };
        check("x", "cannot parse \"x\" as \"2006\"");
        check("2026", "cannot parse \"\" as \"-\"");
        check("2026-13-01T00:00:00Z", "month out of range");
        check("2026-02-29T00:00:00Z", "day out of range");
        check("2026-02-01T00:00:00", "cannot parse \"\" as \"Z07:00\"");
        check("2026-02-01T00:00:00Zz", "extra text: \"z\"");
    }

    #[test]
    fn ages_are_printed_as_kubectl_prints_them() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_071_999, "729d"),
            (63_072_000, "2y"),
            (65_000_000, "2y22d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(human_duration(seconds), expected, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn a_written_time_reads_back(seconds in -62_135_596_800i64..253_402_300_799) {
            prop_assert_eq!(parse(&format(seconds)), Ok(seconds));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}

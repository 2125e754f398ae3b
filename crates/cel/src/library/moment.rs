//! Parts of moments and durations.

use everynode_model::time;

use crate::value::{Evaluated, Val, fail};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// A part of a moment or a duration; none where there is no such method.
pub fn method<'a>(name: &str, all: &[Val<'a>]) -> Option<Evaluated<'a>> {
    if let [Val::Duration(nanos)] = all {
        let unit = match name {
            "getHours" => 3_600 * SECOND,
            "getMinutes" => 60 * SECOND,
            "getSeconds" => SECOND,
            "getMilliseconds" => 1_000_000,
            _ => return None,
        };
        return Some(Ok(Val::Int(nanos / unit)));
    }
    let (nanos, zone) = match all {
        [Val::Moment(nanos)] => (*nanos, "UTC"),
        [Val::Moment(nanos), Val::Text(zone)] => (*nanos, &**zone),
        _ => return None,
    };
    let Some(offset) = offset(zone) else { return Some(fail(format!("unknown time zone {zone}"))) };
    let seconds = nanos.div_euclid(i128::from(SECOND)) as i64 + offset;
    // `2026-01-02T...`
    let text = time::format(seconds);
    let digits = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<i64>().ok());
    let year = text.split('-').next().and_then(|year| year.parse::<i64>().ok()).unwrap_or_default();
    let (day, of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let first_of_year =
        time::parse(&format!("{year:04}-01-01T00:00:00Z")).unwrap_or_default().div_euclid(DAY);
    Some(Ok(Val::Int(match name {
        "getFullYear" => year,
        "getMonth" => digits(5, 7).unwrap_or(1) - 1,
        "getDayOfYear" => day - first_of_year,
        "getDayOfMonth" => digits(8, 10).unwrap_or(1) - 1,
        "getDate" => digits(8, 10).unwrap_or(1),
        // The first day of 1970 was a Thursday.
        "getDayOfWeek" => (day + 4).rem_euclid(7),
        "getHours" => of_day / 3_600,
        "getMinutes" => of_day / 60 % 60,
        "getSeconds" => of_day % 60,
        "getMilliseconds" => (nanos.rem_euclid(i128::from(SECOND)) / 1_000_000) as i64,
        _ => return None,
    })))
}

/// Seconds that a zone is ahead. Zones with names are not known but for UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

//! When a cron job runs: the five fields, the names for common ones, and the time zone.

use everynode_model::duration;

use super::{Errors, Path, Report};

/// A field of a schedule: its smallest and largest number, and names for numbers from the smallest on.
struct Field {
    least: u64,
    most: u64,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Minute, hour, day of the month, month, day of the week.
const FIELDS: [Field; 5] = [
    Field { least: 0, most: 59, names: &[] },
    Field { least: 0, most: 23, names: &[] },
    Field { least: 1, most: 31, names: &[] },
    Field { least: 1, most: 12, names: MONTHS },
    Field { least: 0, most: 6, names: WEEKDAYS },
];

const DESCRIPTORS: &[&str] =
    &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Checks the schedule of a cron job.
pub(crate) fn schedule(text: &str, path: &Path<'_>, errors: &mut Errors) {
    if text.is_empty() {
        errors.required(path, "");
    } else if text.contains("TZ") {
        errors.invalid(path, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if let Err(why) = read(text) {
        errors.invalid(path, text, &why);
    }
}

/// Checks the name of a time zone. Whether there is such a zone is not known here.
pub(crate) fn time_zone(name: &str, path: &Path<'_>, errors: &mut Errors) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    if name.is_empty() {
        errors.invalid(path, name, "timeZone must be nil or non-empty string");
    } else if name.eq_ignore_ascii_case("local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(path, name, why);
    } else if !name.chars().all(is_plain) {
        errors.invalid(path, name, &format!("unknown time zone {name}"));
    }
}

fn read(text: &str) -> Result<(), String> {
    if text.starts_with('@') {
        return descriptor(text);
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", words.len(), words.join(" ")));
    }
    for (field, word) in FIELDS.iter().zip(words) {
        for item in word.split(',').filter(|item| !item.is_empty()) {
            range(item, field)?;
        }
    }
    Ok(())
}

fn descriptor(text: &str) -> Result<(), String> {
    if DESCRIPTORS.contains(&text) {
        return Ok(());
    }
    let Some(every) = text.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    match duration::parse(every) {
        Some(_) => Ok(()),
        None => Err(format!("failed to parse duration {text}: time: invalid duration {every:?}")),
    }
}

/// `*`, `5`, `1-5`, each with a step behind a slash.
fn range(text: &str, field: &Field) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let (start, mut end) = match ends.as_slice() {
        ["*" | "?", ..] => (field.least, field.most),
        [only] => (number(only, field)?, number(only, field)?),
        [start, end] => (number(start, field)?, number(end, field)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            if ends.len() == 1 {
                end = field.most;
            }
            plain_number(step)?
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    let Field { least, most, .. } = field;
    if start < *least {
        return Err(format!("beginning of range ({start}) below minimum ({least}): {text}"));
    }
    if end > *most {
        return Err(format!("end of range ({end}) above maximum ({most}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn number(text: &str, field: &Field) -> Result<u64, String> {
    match (field.least..).zip(field.names).find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        Some((number, _)) => Ok(number),
        None => plain_number(text),
    }
}

fn plain_number(text: &str) -> Result<u64, String> {
    let why = match text.parse() {
        Ok(number) => return Ok(number),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => "value out of range",
        Err(_) => "invalid syntax",
    };
    Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks against what a kube-apiserver 1.36.2 says.
    #[test]
    fn schedules_are_taken_and_refused_as_the_api_does() {
        let check = |text: &str, why: &str| {
            let mut errors = Errors::new();
            schedule(text, &Path::root("spec.schedule"), &mut errors);
            let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let before = format!("spec.schedule: Invalid value: {text:?}: {why}");
            assert_eq!(said, if why.is_empty() { Vec::new() } else { vec![before] }, "{text:?}");
        };
        for good in [
            "* * * * *",
            "@hourly",
            "@midnight",
            "@every 1h",
            "@every 1h30m",
            "@every -1h",
            "1-5/2 * * * *",
            "1/5 * * * *",
            "*/99 * * * *",
            "*-5 * * * *",
            "1,,2 * * * *",
            "* * * jan *",
            "* * * * sun-fri",
            "* * * * MON,tue",
            "? * ? * ?",
            "* * 31 2 *",
            " * * * * * ",
        ] {
            check(good, "");
        }
        check("bad", "expected exactly 5 fields, found 1: [bad]");
        check("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]");
        check("  ", "expected exactly 5 fields, found 0: []");
        check("@nope", "unrecognized descriptor: @nope");
        check("60 * * * *", "end of range (60) above maximum (59): 60");
        check("* 24 * * *", "end of range (24) above maximum (23): 24");
        check("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        check("* * * 13 *", "end of range (13) above maximum (12): 13");
        check("* * * * 7", "end of range (7) above maximum (6): 7");
        check("*/0 * * * *", "step of range should be a positive number: */0");
        check("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1");
        check("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax");
        check("-1 * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax");
        check("1/ * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax");
        check("1-2-3 * * * *", "too many hyphens: 1-2-3");
        check("1/2/3 * * * *", "too many slashes: 1/2/3");
        check("99999999999 * * * *", "end of range (99999999999) above maximum (59): 99999999999");
        check("TZ=UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    }

    #[test]
    fn a_time_zone_has_a_name_that_one_may_have() {
        let check = |name: &str, mistakes: usize| {
            let mut errors = Errors::new();
            time_zone(name, &Path::root("spec.timeZone"), &mut errors);
            assert_eq!(errors.len(), mistakes, "{name:?}: {errors:?}");
        };
        for (name, mistakes) in
            [("Europe/Berlin", 0), ("Etc/GMT+1", 0), ("", 1), ("Local", 1), (" UTC", 1), ("../x", 1)]
        {
            check(name, mistakes);
        }
    }
}

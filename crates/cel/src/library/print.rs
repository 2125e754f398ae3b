//! Values as texts: conversions, and `format`.

use everynode_model::time;

use crate::value::{Evaluated, Val, fail};

/// A value as `string` writes it; none for what it does not take.
pub fn text_of(value: &Val<'_>) -> Option<String> {
    Some(match value {
        Val::Text(text) => text.to_string(),
        Val::Bool(truth) => truth.to_string(),
        Val::Int(int) => int.to_string(),
        Val::Uint(int) => int.to_string(),
        Val::Double(double) => shortest(*double),
        Val::Duration(nanos) => format!("{}s", decimal(i128::from(*nanos))),
        Val::Moment(nanos) => moment(*nanos),
        _ => return None,
    })
}

/// Billionths as a decimal number without zeros at its end.
fn decimal(nanos: i128) -> String {
    let (whole, rest) = (nanos / 1_000_000_000, (nanos % 1_000_000_000).abs());
    let sign = if nanos < 0 && whole == 0 { "-" } else { "" };
    match rest {
        0 => whole.to_string(),
        rest => format!("{sign}{whole}.{}", format!("{rest:09}").trim_end_matches('0')),
    }
}

fn moment(nanos: i128) -> String {
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let text = time::format(seconds as i64);
    match rest {
        0 => text,
        rest => {
            let digits = format!("{rest:09}");
            format!("{}.{}Z", text.trim_end_matches('Z'), digits.trim_end_matches('0'))
        }
    }
}

/// A value within a list or a map that is formatted.
fn nested(value: &Val<'_>) -> Option<String> {
    let plain = shown(value)?;
    Some(match value {
        Val::Text(_) => everynode_model::go_quote(&plain),
        Val::Bytes(_) => format!("b{}", everynode_model::go_quote(&plain)),
        Val::Duration(_) => format!("duration({})", everynode_model::go_quote(&plain)),
        Val::Moment(_) => format!("timestamp({})", everynode_model::go_quote(&plain)),
        _ => plain,
    })
}

/// A value within a formatted text; none for what has no form there.
fn shown(value: &Val<'_>) -> Option<String> {
    Some(match value {
        Val::Null => "null".into(),
        Val::Double(double) if double.is_nan() => "NaN".into(),
        Val::Double(double) if double.is_infinite() => {
            if *double > 0.0 { "Infinity" } else { "-Infinity" }.into()
        }
        Val::Type(name) => (*name).to_owned(),
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        value if value.is_list() => {
            let items: Option<Vec<String>> = value.elements()?.iter().map(nested).collect();
            format!("[{}]", items?.join(", "))
        }
        value if value.is_map() => {
            let entry = |key: &Val<'_>| Some(format!("{}:{}", nested(key)?, nested(&value.entry(key)?)?));
            let mut entries: Vec<String> = value.elements()?.iter().map(entry).collect::<Option<_>>()?;
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        other => text_of(other)?,
    })
}

/// The text with a value for each of its clauses.
pub fn format<'a>(text: &str, values: &[Val<'a>]) -> Evaluated<'a> {
    let (mut out, mut rest, mut values) = (String::new(), text, values.iter());
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(behind) = behind.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let digits = behind.strip_prefix('.').map(|digits| {
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            (digits[..end].parse::<usize>().unwrap_or_default().min(100), &digits[end..])
        });
        let (precision, verb) = digits.map_or((None, behind), |(digits, verb)| (Some(digits), verb));
        let Some(kind) = verb.chars().next() else {
            return fail("could not parse formatting clause: unexpected end of string");
        };
        rest = &verb[kind.len_utf8()..];
        let Some(value) = values.next() else {
            return fail(format!("index {} out of range", out.len()));
        };
        match clause(kind, precision, value) {
            Some(shown) => out.push_str(&shown),
            None => {
                return fail(format!(
                    "error during formatting: clause '%{kind}' does not take values of type {}",
                    value.type_name()
                ));
            }
        }
    }
    out.push_str(rest);
    Ok(Val::text(out))
}

fn clause(kind: char, precision: Option<usize>, value: &Val<'_>) -> Option<String> {
    let whole = match value {
        Val::Int(int) => Some(i128::from(*int)),
        Val::Uint(int) => Some(i128::from(*int)),
        _ => None,
    };
    let in_base = |format: fn(u128) -> String| {
        let number = whole?;
        Some(format!("{}{}", if number < 0 { "-" } else { "" }, format(number.unsigned_abs())))
    };
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let double = match value {
        Val::Double(double) => Some(*double),
        _ => whole.map(|whole| whole as f64),
    };
    match (kind, value) {
        ('s', value) => shown(value),
        ('d', _) => whole.map(|number| number.to_string()),
        ('f', _) => double.map(|double| format!("{double:.*}", precision.unwrap_or(6))),
        ('e', _) => double.map(|double| exponential(double, precision.unwrap_or(6))),
        ('b', Val::Bool(truth)) => Some(u8::from(*truth).to_string()),
        ('b', _) => in_base(|number| format!("{number:b}")),
        ('o', _) => in_base(|number| format!("{number:o}")),
        ('x', Val::Text(text)) => Some(hexadecimal(text.as_bytes())),
        ('x', Val::Bytes(bytes)) => Some(hexadecimal(bytes)),
        ('x', _) => in_base(|number| format!("{number:x}")),
        ('X', value) => clause('x', precision, value).map(|text| text.to_uppercase()),
        _ => None,
    }
}

/// `1.500000 × 10⁰⁰`, with narrow spaces.
fn exponential(double: f64, precision: usize) -> String {
    let text = format!("{double:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let raised = |c: char| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(c.to_digit(10).unwrap_or_default() as usize);
    let sign = if exponent < 0 { "⁻" } else { "" };
    let digits: String = format!("{:02}", exponent.abs()).chars().filter_map(raised).collect();
    format!("{mantissa}\u{202f}\u{d7}\u{202f}10{sign}{digits}")
}

/// The shortest form of a number as Go writes it: with an exponent where that is below -4 or above 20.
fn shortest(double: f64) -> String {
    let exponential = format!("{double:e}");
    let Some((mantissa, exponent)) = exponential.split_once('e') else {
        return match double.is_nan() {
            true => "NaN".into(),
            false => if double > 0.0 { "+Inf" } else { "-Inf" }.into(),
        };
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    match (-4..21).contains(&exponent) {
        true => double.to_string(),
        false => format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

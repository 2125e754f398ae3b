//! What a plain scalar means by the YAML 1.1 rules that kubectl follows.

use everynode_model::Value;

/// The value of an unquoted scalar.
pub fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return text.into();
    }
    let plain = text.replace('_', "");
    integer(&plain).or_else(|| float(&plain)).unwrap_or_else(|| text.into())
}

/// Decimal, `0x`, `0o`, `0b`, and octal by a leading zero.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match prefix.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if !negative {
        return Some(magnitude.into());
    }
    i64::try_from(-i128::from(magnitude)).ok().map(Value::from)
}

/// A decimal number with fraction or exponent, written as JSON writes it.
fn float(text: &str) -> Option<Value> {
    let shape_fits = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    let number: f64 =
        text.parse().ok().filter(|_| shape_fits && text.contains(|c: char| c.is_ascii_digit()))?;
    number_value(number)
}

/// A number as Go's JSON writes it: a whole one without a fraction.
fn number_value(number: f64) -> Option<Value> {
    if number.fract() == 0.0 && number.abs() < 2_f64.powi(63) {
        return Some((number as i64).into());
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

/// Gives the numbers of a JSON value the form in which kubectl sends them on: `1.0` becomes `1`.
pub fn as_kubectl_sends(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_i64().is_none() => {
            if let Some(sent) = number.as_f64().and_then(number_value) {
                *value = sent;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(as_kubectl_sends),
        Value::Object(fields) => fields.values_mut().for_each(as_kubectl_sends),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_follow_yaml_1_1() {
        for (text, expected) in [
            ("0640", json!(416)),
            ("0o640", json!(416)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("10", json!(10)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("1_000", json!(1000)),
            ("0", json!(0)),
            ("08", json!(8)),
            ("1.0", json!(1)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("n", json!(false)),
            ("~", json!(null)),
            ("null", json!(null)),
            ("nUll", json!("nUll")),
            ("1.2.3", json!("1.2.3")),
            ("10m", json!("10m")),
            ("2026-01-02", json!("2026-01-02")),
            ("-", json!("-")),
            ("1:30", json!("1:30")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("0x", json!("0x")),
            ("e5", json!("e5")),
            ("-0x10", json!(-16)),
            ("inf", json!("inf")),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}

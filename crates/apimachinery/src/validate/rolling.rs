//! Numbers that may be percentages, as in roll-outs and budgets.

use everynode_model::{Value, names};

use super::{Errors, Path, Report};

/// A number that is not negative, or a percentage.
pub(crate) fn positive_or_percent(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    match value {
        Value::String(text) => {
            if let Some(message) = names::percent(text) {
                errors.invalid(path, text.as_str(), &message);
            }
        }
        number => errors.not_negative(path, number.as_i64().unwrap_or_default()),
    }
}

/// A percentage of at most 100.
pub(crate) fn at_most_all(value: &Value, path: &Path<'_>, errors: &mut Errors) {
    let is_percent = value.as_str().is_some_and(|text| names::percent(text).is_none());
    if is_percent && number(value) > 100 {
        errors.invalid(path, value.clone(), "must not be greater than 100%");
    }
}

/// The number, or that of the percentage or the text; 0 when the text has none.
pub(crate) fn number(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.strip_suffix('%').unwrap_or(text).parse().unwrap_or_default(),
        number => number.as_i64().unwrap_or_default(),
    }
}

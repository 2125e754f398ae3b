//! Operators between numbers, texts, moments, durations and lists.

use crate::budget::Budget;
use crate::value::{Evaluated, Val, compare, fail, no_overload};

/// `<`, `<=`, `>` and `>=`; none for values that have no order.
pub fn ordered<'a>(operator: &str, a: &Val<'_>, b: &Val<'_>) -> Option<Val<'a>> {
    let order = compare(a, b)?;
    Some(Val::Bool(match operator {
        "_<_" => order.is_lt(),
        "_<=_" => order.is_le(),
        "_>_" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

/// `-` before a value.
pub fn negative<'a>(all: &[Val<'a>]) -> Evaluated<'a> {
    match all {
        [Val::Int(int)] => or_overflow(int.checked_neg().map(Val::Int), "integer"),
        [Val::Double(double)] => Ok(Val::Double(-double)),
        _ => no_overload(),
    }
}

fn or_overflow<'a>(value: Option<Val<'a>>, what: &str) -> Evaluated<'a> {
    value.map_or_else(|| fail(format!("{what} overflow")), Ok)
}

/// Nanoseconds between the first and the last moment there is.
const MOMENTS: std::ops::RangeInclusive<i128> = -62_135_596_800_000_000_000..=253_402_300_799_999_999_999;

/// `+`, `-`, `*`, `/` and `%` between two values, by the names of their functions.
pub fn arithmetic<'a>(operator: &str, all: &[Val<'a>], budget: &mut Budget) -> Evaluated<'a> {
    let [a, b] = all else { return no_overload() };
    let duration = |nanos: Option<i64>| or_overflow(nanos.map(Val::Duration), "duration");
    let moment = |nanos: i128| match MOMENTS.contains(&nanos) {
        true => Ok(Val::Moment(nanos)),
        false => fail("timestamp overflow"),
    };
    match (operator, a, b) {
        ("_/_", Val::Int(_), Val::Int(0)) | ("_/_", Val::Uint(_), Val::Uint(0)) => fail("division by zero"),
        ("_%_", Val::Int(_), Val::Int(0)) | ("_%_", Val::Uint(_), Val::Uint(0)) => fail("modulus by zero"),
        (_, Val::Int(a), Val::Int(b)) => {
            let made = match operator {
                "_+_" => a.checked_add(*b),
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            or_overflow(made.map(Val::Int), "integer")
        }
        (_, Val::Uint(a), Val::Uint(b)) => {
            let made = match operator {
                "_+_" => a.checked_add(*b),
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            or_overflow(made.map(Val::Uint), "unsigned integer")
        }
        ("_+_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        ("_-_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a - b)),
        ("_*_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a * b)),
        ("_/_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a / b)),
        ("_+_", Val::Text(a), Val::Text(b)) => {
            budget.steps((a.len() + b.len()) as u64 / 10)?;
            Ok(Val::text(format!("{a}{b}")))
        }
        ("_+_", Val::Bytes(a), Val::Bytes(b)) => {
            budget.steps((a.len() + b.len()) as u64 / 10)?;
            Ok(Val::Bytes([&**a, &**b].concat().into()))
        }
        ("_+_", Val::Duration(a), Val::Duration(b)) => duration(a.checked_add(*b)),
        ("_-_", Val::Duration(a), Val::Duration(b)) => duration(a.checked_sub(*b)),
        ("_+_", Val::Moment(a), Val::Duration(b)) | ("_+_", Val::Duration(b), Val::Moment(a)) => {
            moment(a + i128::from(*b))
        }
        ("_-_", Val::Moment(a), Val::Duration(b)) => moment(a - i128::from(*b)),
        ("_-_", Val::Moment(a), Val::Moment(b)) => duration(i64::try_from(a - b).ok()),
        ("_+_", a, b) if a.is_list() && b.is_list() => a.joined(b, budget),
        _ => no_overload(),
    }
}

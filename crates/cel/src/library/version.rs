//! Functions of quantities and semantic versions.

use std::cmp::Ordering;

use everynode_model::quantity::{Format, Quantity};

use crate::named::Named;
use crate::named::version::Version;
use crate::value::{Evaluated, Val, fail};

/// Calls a function that takes a text or a quantity; none where there is no such one.
pub fn function<'a>(name: &str, all: &[Val<'a>]) -> Option<Evaluated<'a>> {
    if let ("sign", [Val::Named(named)]) = (name, all)
        && let Named::Quantity(quantity) = &**named
    {
        let sign = if quantity.is_negative() { -1 } else { i64::from(!quantity.is_zero()) };
        return Some(Ok(Val::Int(sign)));
    }
    let (text, tolerates) = match all {
        [Val::Text(text)] => (text, false),
        [Val::Text(text), Val::Bool(tolerates)] => (text, *tolerates),
        _ => return None,
    };
    let version = || if tolerates { Version::tolerant(text) } else { Version::parse(text) };
    Some(match name {
        "quantity" => {
            Quantity::parse(text).map_or_else(|why| fail(why.to_string()), |one| Ok(Val::named(one)))
        }
        "isQuantity" => Ok(Val::Bool(Quantity::parse(text).is_ok())),
        "semver" => version().map_or_else(fail, |one| Ok(Val::named(one))),
        "isSemver" => Ok(Val::Bool(version().is_ok())),
        _ => return None,
    })
}

fn compared<'a>(name: &str, order: Ordering) -> Option<Evaluated<'a>> {
    Some(Ok(match name {
        "isGreaterThan" => Val::Bool(order.is_gt()),
        "isLessThan" => Val::Bool(order.is_lt()),
        "compareTo" => Val::Int(order as i64),
        _ => return None,
    }))
}

/// Calls a method of a quantity.
pub fn of_quantity<'a>(name: &str, one: &Quantity, rest: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let other = match rest {
        [] => {
            let units = one.value();
            let is_whole = Quantity::from_units(units, Format::DecimalSi) == *one;
            return Some(match name {
                "asInteger" if is_whole => Ok(Val::Int(units)),
                "asInteger" => fail("cannot convert value to integer"),
                "isInteger" => Ok(Val::Bool(is_whole)),
                "asApproximateFloat" if is_whole => Ok(Val::Double(units as f64)),
                "asApproximateFloat" => Ok(Val::Double(one.nanos() as f64 / 1e9)),
                _ => return None,
            });
        }
        [Val::Int(units)] if matches!(name, "add" | "sub") => Quantity::from_units(*units, Format::DecimalSi),
        [Val::Named(named)] => match &**named {
            Named::Quantity(other) => other.clone(),
            _ => return None,
        },
        _ => return None,
    };
    match name {
        "add" => Some(Ok(Val::named(one.add(&other)))),
        "sub" => Some(Ok(Val::named(one.subtract(&other)))),
        _ => compared(name, one.cmp(&other)),
    }
}

/// Calls a method of a version.
pub fn of_version<'a>(name: &str, one: &Version, rest: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let place = match name {
        "major" => Some(0),
        "minor" => Some(1),
        "patch" => Some(2),
        _ => None,
    };
    match (place, rest) {
        (Some(place), []) => Some(Ok(Val::Int(one.numbers[place] as i64))),
        (None, [Val::Named(named)]) => match &**named {
            Named::Version(other) => compared(name, one.compare(other)),
            _ => None,
        },
        _ => None,
    }
}

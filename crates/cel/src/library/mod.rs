//! Functions of expressions.

mod address;
pub mod convert;
mod format;
mod list;
mod moment;
pub mod number;
mod print;
mod text;
mod url;
mod version;

use std::rc::Rc;

use crate::budget::{Budget, Failure};
use crate::named::Named;
use crate::regex::Regexes;
use crate::value::{Evaluated, Val, fail, is_among, no_overload};

/// What a function needs besides its arguments.
pub struct Context<'c> {
    /// What it may use.
    pub budget: &'c mut Budget,
    /// The patterns that are made already.
    pub regexes: &'c Regexes,
}

/// Calls a function; the first argument of a method is what it is called on.
pub fn call<'a>(name: &str, is_method: bool, all: &[Val<'a>], context: &mut Context<'_>) -> Evaluated<'a> {
    let work: usize = all
        .iter()
        .map(|one| match one {
            Val::Text(text) => text.len() / 10,
            one if name != "size" && is_method => one.size().unwrap_or(0),
            _ => 0,
        })
        .sum();
    context.budget.steps(1 + work as u64)?;
    let found = match name {
        "_+_" | "_-_" | "_*_" | "_/_" | "_%_" => Some(number::arithmetic(name, all, context.budget)?),
        "-_" => Some(number::negative(all)?),
        "_==_" | "_!=_" => match all {
            [a, b] => Some(Val::Bool(a.same(b, context.budget)? == (name == "_==_"))),
            _ => None,
        },
        "_<_" | "_<=_" | "_>_" | "_>=_" => match all {
            [a, b] => number::ordered(name, a, b),
            _ => None,
        },
        "@in" => match all {
            [a, b] => is_in(a, b, context.budget)?,
            _ => None,
        },
        "!_" => match all {
            [Val::Bool(truth)] => Some(Val::Bool(!truth)),
            _ => None,
        },
        "size" => all.first().and_then(Val::size).map(|size| Val::Int(size as i64)),
        "type" => all.first().map(|one| Val::Type(one.type_name())),
        "dyn" => all.first().cloned(),
        "cel.@mapInsert" => return map_insert(all, context.budget),
        _ => None,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let by_kind = match (is_method, all.first()) {
        (false, _) => convert::call(name, all)
            .or_else(|| optional(name, all))
            .or_else(|| address::function(name, all))
            .or_else(|| version::function(name, all))
            .or_else(|| url::function(name, all))
            .or_else(|| format::function(name, all))
            .or_else(|| list::function(name, all, context))
            .or_else(|| text::function(name, all, context)),
        (true, Some(Val::Text(target))) => text::method(name, target, &all[1..], context),
        (true, Some(list)) if list.is_list() => list::method(name, list, &all[1..], context),
        (true, Some(Val::Duration(_) | Val::Moment(_))) => moment::method(name, all),
        (true, Some(Val::Optional(_))) => optional(name, all),
        (true, Some(Val::Named(named))) => named_method(name, named, &all[1..]),
        _ => None,
    };
    by_kind.unwrap_or_else(no_overload)
}

fn named_method<'a>(name: &str, named: &Named, rest: &[Val<'a>]) -> Option<Evaluated<'a>> {
    match named {
        Named::Url(url) => url::method(name, url),
        Named::Ip(ip) => address::of_ip(name, *ip),
        Named::Cidr(cidr) => address::of_cidr(name, *cidr, rest),
        Named::Quantity(quantity) => version::of_quantity(name, quantity, rest),
        Named::Version(version) => version::of_version(name, version, rest),
        Named::Format(format) => format::method(name, format, rest),
    }
}

fn is_in<'a>(a: &Val<'a>, b: &Val<'a>, budget: &mut Budget) -> Result<Option<Val<'a>>, Failure> {
    if b.is_map() {
        return Ok(Some(Val::Bool(b.entry(a).is_some())));
    }
    let Some(items) = b.elements() else { return Ok(None) };
    budget.steps(items.len() as u64)?;
    is_among(a, &items, budget).map(|found| Some(Val::Bool(found)))
}

/// A map with one more entry, or with those of another one.
fn map_insert<'a>(all: &[Val<'a>], budget: &mut Budget) -> Evaluated<'a> {
    let (Val::Map(entries), more) = (match all {
        [map, key, value] => (map.clone(), vec![(key.clone(), value.clone())]),
        [map, Val::Map(more)] => (map.clone(), more.to_vec()),
        _ => return no_overload(),
    }) else {
        return no_overload();
    };
    let mut made = entries.to_vec();
    budget.steps(made.len() as u64)?;
    for (key, value) in more {
        if Val::Map(Rc::new(made.clone())).entry(&key).is_some() {
            let shown = match &key {
                Val::Text(text) => text.to_string(),
                other => print::text_of(other).unwrap_or_default(),
            };
            return fail(format!("insert failed: key {shown} already exists"));
        }
        made.push((key, value));
    }
    Ok(Val::Map(Rc::new(made)))
}

fn optional<'a>(name: &str, all: &[Val<'a>]) -> Option<Evaluated<'a>> {
    Some(Ok(match (name, all) {
        ("optional.of", [value]) => Val::some(value.clone()),
        ("optional.ofNonZeroValue", [value]) if value.is_zero() => Val::Optional(None),
        ("optional.ofNonZeroValue", [value]) => Val::some(value.clone()),
        ("optional.none", []) => Val::Optional(None),
        ("optional.unwrap", [list]) => return Some(list::unwrapped(list)),
        ("value", [Val::Optional(Some(value))]) => (**value).clone(),
        ("value", [Val::Optional(None)]) => return Some(fail("optional.none() dereference")),
        ("hasValue", [Val::Optional(value)]) => Val::Bool(value.is_some()),
        _ => return None,
    }))
}

/// What a call costs, as Kubernetes counts it.
pub fn cost(name: &str, is_method: bool, all: &[Val<'_>], result: &Val<'_>) -> u64 {
    let size = |at: usize| all.get(at).map_or(1, Val::cost_size);
    let looked_at = |size: u64, times: f64| (size as f64 * times * 0.1).ceil() as u64;
    let pattern = |text: u64, pattern: u64| {
        ((1.0 + text as f64) * 0.1).ceil() as u64 * (pattern as f64 * 0.25).ceil() as u64
    };
    let is_text = |one: &Val<'_>| matches!(one, Val::Text(_) | Val::Bytes(_));
    match name {
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => all.first().map_or(0, traversal),
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" => looked_at(size(0), 1.0),
        "replace" | "split" | "ip.isCanonical" => looked_at(size(0), 2.0),
        "join" => looked_at(result.cost_size(), 2.0),
        "find" | "findAll" => pattern(size(0), size(1)),
        "slice" | "lists.range" => result.cost_size() + 11,
        "reverse" if all.first().is_some_and(Val::is_list) => result.cost_size() + 11,
        "flatten" => match all.get(1) {
            Some(Val::Int(levels)) => (size(0) as f64 * *levels as f64) as u64 + 11,
            _ => size(0) + 11,
        },
        "distinct" | "sort" => compared(all.first()),
        "@sortByAssociatedKeys" => compared(all.get(1)),
        "sets.contains" | "sets.intersects" => size(0).saturating_mul(size(1)) + 1,
        "sets.equivalent" => size(0).saturating_mul(size(1)).saturating_mul(2) + 1,
        "ip" if is_method => 1,
        "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
            looked_at(size(0), 1.0)
        }
        "containsIP" | "containsCIDR" => {
            let mut cost = looked_at(size(0), 2.0);
            if name == "containsCIDR" {
                cost += looked_at(size(0), 1.0) + 1;
            }
            if all.get(1).is_some_and(is_text) {
                cost += looked_at(size(1), 1.0);
            }
            cost
        }
        "validate" => match all.first() {
            Some(Val::Named(named)) => match &**named {
                Named::Format(format) => pattern(size(1), format.pattern_size),
                _ => 1,
            },
            _ => 1,
        },
        "_==_" | "_!=_" if matches!(all.first(), Some(Val::Named(_))) => 1,
        "startsWith" | "endsWith" | "strings.quote" | "format" => looked_at(size(0), 1.0),
        "bytes" | "string" if matches!(result, Val::Text(_) | Val::Bytes(_)) && all.iter().all(is_text) => {
            let converts = all.first().is_some_and(|one| one.type_name() != result.type_name());
            if converts { looked_at(size(0), 1.0) } else { 1 }
        }
        "@in" if all.get(1).is_some_and(Val::is_list) => size(1),
        "_==_" | "_!=_" => looked_at(size(0).min(size(1)), 1.0),
        "_<_" | "_<=_" | "_>_" | "_>=_" if all.iter().all(is_text) => looked_at(size(0).min(size(1)), 1.0),
        "_+_" if all.iter().all(is_text) => looked_at(size(0).saturating_add(size(1)), 1.0),
        "matches" if is_method => pattern(size(0), size(1)),
        "contains" => looked_at(size(0), 1.0).saturating_mul(looked_at(size(1), 1.0)),
        _ => 1,
    }
}

/// What it costs to compare the elements of a list with each other.
fn compared(list: Option<&Val<'_>>) -> u64 {
    let Some(list) = list else { return 1 };
    let is_text = matches!(list.element(0), Some(Val::Text(_) | Val::Bytes(_)));
    let size = list.cost_size() as f64;
    (size * size * if is_text { 2.1 } else { 2.0 }) as u64 + 11
}

/// What it costs to look at all that is in a value.
fn traversal(value: &Val<'_>) -> u64 {
    match value {
        Val::Text(text) => (text.len() as f64 * 0.1) as u64,
        Val::Bytes(bytes) => (bytes.len() as f64 * 0.1) as u64,
        value if value.is_list() => value.elements().unwrap_or_default().iter().map(traversal).sum(),
        value if value.is_map() => {
            let keys = value.elements().unwrap_or_default();
            keys.iter().map(|key| traversal(key) + value.entry(key).map_or(0, |one| traversal(&one))).sum()
        }
        _ => 1,
    }
}

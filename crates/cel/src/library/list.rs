//! Functions of lists and sets.

use std::cmp::Ordering;

use super::{Context, number};
use crate::value::{Evaluated, Val, compare, fail, is_among, no_overload};

/// Elements of a list that a function makes of a number.
const MAX_RANGE: i64 = 1_000_000;

/// Calls a function that takes lists; none where there is no such one.
pub fn function<'a>(name: &str, all: &[Val<'a>], context: &mut Context<'_>) -> Option<Evaluated<'a>> {
    match (name, all) {
        ("lists.range", [Val::Int(count)]) => Some(range(*count, context)),
        ("sets.contains" | "sets.equivalent" | "sets.intersects", [one, other]) => {
            Some(sets(name, &one.elements()?, &other.elements()?, context))
        }
        _ => None,
    }
}

fn range<'a>(count: i64, context: &mut Context<'_>) -> Evaluated<'a> {
    if count > MAX_RANGE {
        return fail(format!("lists.range makes at most {MAX_RANGE} elements"));
    }
    context.budget.steps(count.max(0) as u64)?;
    Ok(Val::list((0..count).map(Val::Int).collect()))
}

fn sets<'a>(name: &str, one: &[Val<'a>], other: &[Val<'a>], context: &mut Context<'_>) -> Evaluated<'a> {
    let mut has_all = |all: &[Val<'a>], among: &[Val<'a>]| {
        for value in all {
            if !is_among(value, among, context.budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(Val::Bool(match name {
        "sets.contains" => has_all(other, one)?,
        "sets.equivalent" => has_all(one, other)? && has_all(other, one)?,
        _ => {
            for value in one {
                if is_among(value, other, context.budget)? {
                    return Ok(Val::Bool(true));
                }
            }
            false
        }
    }))
}

/// The values of the optionals of a list that have one.
pub fn unwrapped<'a>(list: &Val<'a>) -> Evaluated<'a> {
    let Some(items) = list.elements() else { return no_overload() };
    let value = |item: Val<'a>| match item {
        Val::Optional(value) => value.map(|value| (*value).clone()),
        other => Some(other),
    };
    Ok(Val::list(items.into_iter().filter_map(value).collect()))
}

/// Calls a method of a list; none where there is no such one.
pub fn method<'a>(
    name: &str,
    list: &Val<'a>,
    rest: &[Val<'a>],
    context: &mut Context<'_>,
) -> Option<Evaluated<'a>> {
    let items = list.elements()?;
    Some(match (name, rest) {
        ("isSorted", []) => {
            let orders = items.windows(2).map(|pair| compare(&pair[0], &pair[1]));
            Ok(Val::Bool(orders.into_iter().all(|order| order.is_some_and(Ordering::is_le))))
        }
        ("sum", []) => {
            let mut items = items.into_iter();
            let first = items.next().unwrap_or(Val::Int(0));
            items.try_fold(first, |sum, one| number::arithmetic("_+_", &[sum, one], context.budget))
        }
        ("min" | "max", []) => best(name, &items),
        ("indexOf" | "lastIndexOf", [wanted]) => index_of(name, &items, wanted, context),
        ("join", []) => join(&items, "", context),
        ("join", [Val::Text(between)]) => join(&items, between, context),
        ("slice", [Val::Int(from), Val::Int(to)]) => slice(&items, *from, *to),
        ("flatten", []) => flatten(items, 1),
        ("flatten", [Val::Int(levels)]) => flatten(items, *levels),
        ("sort", []) => sort(items.clone(), &items),
        ("@sortByAssociatedKeys", [keys]) => sort(items, &keys.elements()?),
        ("reverse", []) => Ok(Val::list(items.into_iter().rev().collect())),
        ("distinct", []) => distinct(items, context),
        ("first", []) => Ok(items.first().cloned().map_or(Val::Optional(None), Val::some)),
        ("last", []) => Ok(items.last().cloned().map_or(Val::Optional(None), Val::some)),
        ("unwrapOpt", []) => unwrapped(list),
        _ => return None,
    })
}

fn best<'a>(name: &str, items: &[Val<'a>]) -> Evaluated<'a> {
    let better = if name == "min" { Ordering::Less } else { Ordering::Greater };
    let mut items = items.iter();
    let Some(mut best) = items.next() else { return fail(format!("{name} called on empty list")) };
    for item in items {
        match compare(item, best) {
            Some(order) if order == better => best = item,
            Some(_) => {}
            None => return no_overload(),
        }
    }
    Ok(best.clone())
}

fn index_of<'a>(name: &str, items: &[Val<'a>], wanted: &Val<'a>, context: &mut Context<'_>) -> Evaluated<'a> {
    let mut found = -1;
    for (at, item) in items.iter().enumerate() {
        if item.same(wanted, context.budget)? {
            found = at as i64;
            if name == "indexOf" {
                break;
            }
        }
    }
    Ok(Val::Int(found))
}

fn join<'a>(items: &[Val<'a>], between: &str, context: &mut Context<'_>) -> Evaluated<'a> {
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        let Val::Text(text) = item else { return no_overload() };
        context.budget.steps((text.len() + between.len()) as u64 / 10)?;
        if at > 0 {
            out.push_str(between);
        }
        out.push_str(text);
    }
    Ok(Val::text(out))
}

fn slice<'a>(items: &[Val<'a>], from: i64, to: i64) -> Evaluated<'a> {
    let (Ok(start), Ok(end)) = (usize::try_from(from), usize::try_from(to)) else {
        return fail(format!("cannot slice({from}, {to}), negative indexes not supported"));
    };
    if start > end {
        return fail(format!(
            "cannot slice({from}, {to}), start index must be less than or equal to end index"
        ));
    }
    match items.get(start..end) {
        Some(part) => Ok(Val::list(part.to_vec())),
        None => fail(format!("cannot slice({from}, {to}), list is length {}", items.len())),
    }
}

fn flatten<'a>(items: Vec<Val<'a>>, levels: i64) -> Evaluated<'a> {
    if levels < 0 {
        return fail("level must be non-negative");
    }
    let mut flat = items;
    for _ in 0..levels.min(100) {
        if !flat.iter().any(Val::is_list) {
            break;
        }
        let inside = |item: Val<'a>| item.elements().filter(|_| item.is_list()).unwrap_or_else(|| vec![item]);
        flat = flat.into_iter().flat_map(inside).collect();
    }
    Ok(Val::list(flat))
}

/// The elements in the order of their keys.
fn sort<'a>(items: Vec<Val<'a>>, keys: &[Val<'a>]) -> Evaluated<'a> {
    if keys.windows(2).any(|pair| pair[0].type_name() != pair[1].type_name()) {
        return fail("list elements must have the same type");
    }
    let mut both: Vec<(&Val<'a>, Val<'a>)> = keys.iter().zip(items).collect();
    both.sort_by(|(one, _), (other, _)| compare(one, other).unwrap_or(Ordering::Equal));
    Ok(Val::list(both.into_iter().map(|(_, item)| item).collect()))
}

fn distinct<'a>(items: Vec<Val<'a>>, context: &mut Context<'_>) -> Evaluated<'a> {
    let mut seen: Vec<Val<'a>> = Vec::new();
    for item in items {
        if !is_among(&item, &seen, context.budget)? {
            seen.push(item);
        }
    }
    Ok(Val::list(seen))
}

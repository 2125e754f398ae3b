//! Functions of texts.

use super::{Context, print};
use crate::budget::Failure;
use crate::value::{Evaluated, Val, fail};

/// Calls a function that takes a text; none where there is no such one.
pub fn function<'a>(name: &str, all: &[Val<'a>], context: &mut Context<'_>) -> Option<Evaluated<'a>> {
    match (name, all) {
        ("matches", [Val::Text(text), Val::Text(_)]) => method("matches", text, &all[1..], context),
        ("strings.quote", [Val::Text(text)]) => Some(Ok(Val::text(everynode_model::go_quote(text)))),
        _ => None,
    }
}

/// Calls a method of a text; none where there is no such one.
pub fn method<'a>(
    name: &str,
    text: &str,
    rest: &[Val<'a>],
    context: &mut Context<'_>,
) -> Option<Evaluated<'a>> {
    let of_text = |text: String| Some(Ok(Val::text(text)));
    match (name, rest) {
        ("startsWith", [Val::Text(one)]) => Some(Ok(Val::Bool(text.starts_with(&**one)))),
        ("endsWith", [Val::Text(one)]) => Some(Ok(Val::Bool(text.ends_with(&**one)))),
        ("contains", [Val::Text(one)]) => Some(Ok(Val::Bool(text.contains(&**one)))),
        ("matches" | "find" | "findAll", [Val::Text(pattern), ..]) => {
            Some(found(name, text, pattern, &rest[1..], context))
        }
        ("lowerAscii", []) => of_text(text.to_ascii_lowercase()),
        ("upperAscii", []) => of_text(text.to_ascii_uppercase()),
        ("trim", []) => of_text(text.trim().to_owned()),
        ("charAt", [Val::Int(at)]) => Some(char_at(text, *at)),
        ("indexOf" | "lastIndexOf", [Val::Text(one), from @ ..]) => Some(index_of(name, text, one, from)),
        ("substring", [Val::Int(from)]) => Some(substring(text, *from, None)),
        ("substring", [Val::Int(from), Val::Int(to)]) => Some(substring(text, *from, Some(*to))),
        ("replace", [Val::Text(one), Val::Text(other), count @ ..]) => {
            Some(replace(text, one, other, count, context))
        }
        ("split", [Val::Text(one), count @ ..]) => Some(split(text, one, count, context)),
        ("format", [values]) => {
            let values = values.elements()?;
            Some(print::format(text, &values))
        }
        _ => None,
    }
}

fn found<'a>(
    name: &str,
    text: &str,
    pattern: &str,
    count: &[Val<'a>],
    context: &mut Context<'_>,
) -> Evaluated<'a> {
    // A pattern is looked for in time that grows with both lengths.
    context.budget.steps(pattern.len() as u64 * (1 + text.len() as u64 / 100))?;
    let made = context.regexes.get(pattern, context.budget);
    let regex = made.map_err(|failure| match failure {
        Failure::Error(why) if name == "matches" => Failure::Error(why),
        Failure::Error(why) => Failure::Error(format!("Illegal regex: {why}")),
        other => other,
    })?;
    let most = match count {
        [Val::Int(most)] if *most >= 0 => *most as usize,
        _ => usize::MAX,
    };
    Ok(match name {
        "matches" => Val::Bool(regex.is_match(text)),
        "find" => Val::text(regex.find(text).map_or(String::new(), |found| found.as_str().to_owned())),
        _ => Val::list(regex.find_iter(text).take(most).map(|one| Val::text(one.as_str())).collect()),
    })
}

fn out_of_range<'a>(at: i64) -> Evaluated<'a> {
    fail(format!("index out of range: {at}"))
}

fn char_at<'a>(text: &str, at: i64) -> Evaluated<'a> {
    let length = text.chars().count();
    match usize::try_from(at) {
        Ok(at) if at == length => Ok(Val::text("")),
        Ok(at) if at < length => Ok(Val::text(text.chars().nth(at).map(String::from).unwrap_or_default())),
        _ => out_of_range(at),
    }
}

/// The place of the first or last time that one text stands in another, -1 where it does not.
fn index_of<'a>(name: &str, text: &str, one: &str, from: &[Val<'a>]) -> Evaluated<'a> {
    let is_last = name == "lastIndexOf";
    let length = text.chars().count();
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    let from = match from {
        [Val::Int(from)] => match usize::try_from(*from) {
            Ok(at) if at < length => Some(at),
            Ok(_) if one.is_empty() => return Ok(Val::Int(length as i64)),
            Ok(_) => return Ok(Val::Int(-1)),
            Err(_) => return out_of_range(*from),
        },
        _ => None,
    };
    let found = match (is_last, from) {
        (false, from) => {
            let start = byte(from.unwrap_or(0));
            text[start..].find(one).map(|at| at + start)
        }
        (true, None) => text.rfind(one),
        (true, Some(from)) => {
            let end = (byte(from) + one.len()).min(text.len());
            text.get(..end).and_then(|before| before.rfind(one))
        }
    };
    Ok(Val::Int(found.map_or(-1, |at| text[..at].chars().count() as i64)))
}

fn substring<'a>(text: &str, from: i64, to: Option<i64>) -> Evaluated<'a> {
    let length = text.chars().count() as i64;
    let end = to.unwrap_or(length);
    if from > end && to.is_some() {
        return fail(format!("invalid substring range. start: {from}, end: {end}"));
    }
    for at in [from, end] {
        if !(0..=length).contains(&at) {
            return out_of_range(at);
        }
    }
    Ok(Val::text(text.chars().skip(from as usize).take((end - from) as usize).collect::<String>()))
}

fn replace<'a>(
    text: &str,
    one: &str,
    other: &str,
    count: &[Val<'a>],
    context: &mut Context<'_>,
) -> Evaluated<'a> {
    let places = if one.is_empty() { text.chars().count() + 1 } else { text.len() / one.len() };
    let most = match count {
        [Val::Int(most)] if *most >= 0 => *most as usize,
        _ => usize::MAX,
    };
    context.budget.steps((places.min(most) as u64).saturating_mul(other.len() as u64) / 10)?;
    Ok(Val::text(text.replacen(one, other, most)))
}

fn split<'a>(text: &str, one: &str, count: &[Val<'a>], context: &mut Context<'_>) -> Evaluated<'a> {
    context.budget.steps(text.len() as u64)?;
    let of = |part: &str| Val::text(part);
    let most = match count {
        [Val::Int(most)] if *most >= 0 => *most as usize,
        _ => usize::MAX,
    };
    let parts: Vec<Val<'a>> = match (most, one) {
        (0, _) => Vec::new(),
        (most, "") => {
            let mut parts: Vec<Val<'a>> = Vec::new();
            let mut rest = text;
            while let Some(c) = rest.chars().next() {
                if parts.len() + 1 >= most {
                    parts.push(of(rest));
                    break;
                }
                parts.push(of(&rest[..c.len_utf8()]));
                rest = &rest[c.len_utf8()..];
            }
            parts
        }
        (most, one) => text.splitn(most, one).map(of).collect(),
    };
    Ok(Val::list(parts))
}

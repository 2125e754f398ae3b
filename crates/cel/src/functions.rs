//! Functions and operators of expressions.

use std::cmp::Ordering;
use std::rc::Rc;

use everynode_model::{duration, time};
use regex::{Regex, RegexBuilder};

use crate::budget::{Budget, Failure};
use crate::value::{Evaluated, Val, fail, moment, no_overload};

/// Functions with the number of their arguments.
pub const FUNCTIONS: &[(&str, &[usize])] = &[
    ("size", &[1]),
    ("int", &[1]),
    ("uint", &[1]),
    ("double", &[1]),
    ("string", &[1]),
    ("bool", &[1]),
    ("dyn", &[1]),
    ("type", &[1]),
    ("duration", &[1]),
    ("timestamp", &[1]),
    ("matches", &[2]),
];

/// Methods with the number of their arguments.
pub const METHODS: &[(&str, &[usize])] = &[
    ("size", &[0]),
    ("startsWith", &[1]),
    ("endsWith", &[1]),
    ("contains", &[1]),
    ("matches", &[1]),
    ("find", &[1]),
    ("lowerAscii", &[0]),
    ("upperAscii", &[0]),
    ("trim", &[0]),
    ("charAt", &[1]),
    ("indexOf", &[1]),
    ("lastIndexOf", &[1]),
    ("substring", &[1, 2]),
    ("replace", &[2]),
    ("split", &[1]),
    ("join", &[0, 1]),
    ("isSorted", &[0]),
    ("sum", &[0]),
    ("min", &[0]),
    ("max", &[0]),
    ("getHours", &[0]),
    ("getMinutes", &[0]),
    ("getSeconds", &[0]),
    ("getMilliseconds", &[0]),
];

const SECOND: i64 = 1_000_000_000;

/// Steps that a regular expression costs before its text: it is made anew each time.
const REGEX_STEPS: u64 = 500;

/// Memory that a regular expression may take, in bytes.
const REGEX_BYTES: usize = 1 << 20;

/// Memory for what is found out while it runs, in bytes.
const REGEX_CACHE_BYTES: usize = 256 << 10;

fn conversion<'a>(from: &Val<'_>, to: &str) -> Evaluated<'a> {
    fail(format!("type conversion error from '{}' to '{to}'", from.type_name()))
}

/// Calls a function.
pub fn call<'a>(name: &str, arguments: &[Val<'a>], budget: &mut Budget) -> Evaluated<'a> {
    let Some(first) = arguments.first() else { return no_overload() };
    match (name, first) {
        ("size" | "matches", _) => method(name, arguments, budget),
        ("dyn", value) => Ok(value.clone()),
        ("type", value) => Ok(Val::Type(value.type_name())),
        ("int" | "uint", Val::Int(_)) => Ok(first.clone()),
        ("int" | "uint", Val::Double(double)) if double.abs() < 9.2e18 => Ok(Val::Int(*double as i64)),
        ("int" | "uint", Val::Text(text)) => {
            text.parse().map_or_else(|_| conversion(first, "int"), |int| Ok(Val::Int(int)))
        }
        ("int", Val::Moment(nanos)) => Ok(Val::Int((nanos / i128::from(SECOND)) as i64)),
        ("double", Val::Int(int)) => Ok(Val::Double(*int as f64)),
        ("double", Val::Double(_)) | ("string", Val::Text(_)) | ("bool", Val::Bool(_)) => Ok(first.clone()),
        ("double", Val::Text(text)) => {
            text.parse().map_or_else(|_| conversion(first, "double"), |double| Ok(Val::Double(double)))
        }
        ("string", Val::Int(int)) => Ok(Val::Text(int.to_string().into())),
        ("string", Val::Double(double)) => Ok(Val::Text(double.to_string().into())),
        ("string", Val::Bool(truth)) => Ok(Val::Text(truth.to_string().into())),
        ("string", Val::Duration(nanos)) => Ok(Val::Text(format!("{}s", *nanos as f64 / 1e9).into())),
        ("string", Val::Moment(nanos)) => {
            Ok(Val::Text(time::format((nanos / i128::from(SECOND)) as i64).into()))
        }
        ("bool", Val::Text(text)) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Val::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Val::Bool(false)),
            _ => conversion(first, "bool"),
        },
        ("duration", Val::Duration(_)) | ("timestamp", Val::Moment(_)) => Ok(first.clone()),
        ("duration", Val::Text(text)) => duration::parse(text).map_or_else(
            || fail(format!("time: invalid duration \"{text}\"")),
            |nanos| Ok(Val::Duration(nanos)),
        ),
        ("timestamp", Val::Text(text)) => {
            moment(text).map_or_else(|| conversion(first, "timestamp"), |nanos| Ok(Val::Moment(nanos)))
        }
        ("timestamp", Val::Int(seconds)) => Ok(Val::Moment(i128::from(*seconds) * i128::from(SECOND))),
        ("int" | "uint" | "double" | "string" | "bool" | "duration" | "timestamp", _) => {
            conversion(first, name)
        }
        _ => fail(format!("undeclared reference to '{name}'")),
    }
}

/// Calls a method; the first argument is what it is called on.
pub fn method<'a>(name: &str, arguments: &[Val<'a>], budget: &mut Budget) -> Evaluated<'a> {
    let weight = arguments
        .iter()
        .filter_map(|one| if let Val::Text(text) = one { Some(text.len()) } else { one.size() });
    budget.take(weight.sum::<usize>() as u64 / 10)?;
    match (name, arguments) {
        ("size", [value]) => value.size().map_or_else(no_overload, |size| Ok(Val::Int(size as i64))),
        (_, [Val::Text(text), rest @ ..]) => of_text(name, text, rest, budget),
        ("getHours", [Val::Duration(nanos)]) => Ok(Val::Int(nanos / (3_600 * SECOND))),
        ("getMinutes", [Val::Duration(nanos)]) => Ok(Val::Int(nanos / (60 * SECOND))),
        ("getSeconds", [Val::Duration(nanos)]) => Ok(Val::Int(nanos / SECOND)),
        ("getMilliseconds", [Val::Duration(nanos)]) => Ok(Val::Int(nanos / 1_000_000)),
        (_, [list, rest @ ..]) => match list.elements().filter(|_| list.type_name() == "list") {
            Some(items) => of_list(name, &items, rest, budget),
            None => no_overload(),
        },
        _ => no_overload(),
    }
}

fn of_text<'a>(name: &str, text: &str, rest: &[Val<'a>], budget: &mut Budget) -> Evaluated<'a> {
    let made = |text: String| Ok(Val::Text(text.into()));
    let place = |at: Option<usize>| at.map_or(-1, |at| text[..at].chars().count() as i64);
    match (name, rest) {
        ("startsWith", [Val::Text(one)]) => Ok(Val::Bool(text.starts_with(&**one))),
        ("endsWith", [Val::Text(one)]) => Ok(Val::Bool(text.ends_with(&**one))),
        ("contains", [Val::Text(one)]) => Ok(Val::Bool(text.contains(&**one))),
        ("matches", [Val::Text(pattern)]) => Ok(Val::Bool(regex(pattern, text, budget)?.is_match(text))),
        ("find", [Val::Text(pattern)]) => {
            let regex = regex(pattern, text, budget)?;
            made(regex.find(text).map_or(String::new(), |found| found.as_str().to_owned()))
        }
        ("lowerAscii", []) => made(text.to_ascii_lowercase()),
        ("upperAscii", []) => made(text.to_ascii_uppercase()),
        ("trim", []) => made(text.trim().to_owned()),
        ("charAt", [Val::Int(at)]) => {
            let found = usize::try_from(*at).ok().filter(|at| *at <= text.chars().count());
            let found = found.map(|at| text.chars().nth(at).map(String::from).unwrap_or_default());
            found.map_or_else(|| fail(format!("index out of range: {at}")), made)
        }
        ("indexOf", [Val::Text(one)]) => Ok(Val::Int(place(text.find(&**one)))),
        ("lastIndexOf", [Val::Text(one)]) => Ok(Val::Int(place(text.rfind(&**one)))),
        ("substring", [Val::Int(from)]) => substring(text, *from, text.chars().count() as i64),
        ("substring", [Val::Int(from), Val::Int(to)]) => substring(text, *from, *to),
        ("replace", [Val::Text(one), Val::Text(other)]) => {
            // The longest text that this can make.
            budget.take((text.len() as u64 + 1) * (other.len() as u64 + 1) / 10)?;
            made(text.replace(&**one, other))
        }
        ("split", [Val::Text(one)]) => {
            budget.take(text.len() as u64)?;
            let parts = text.split(&**one).map(|part| Val::Text(part.to_owned().into()));
            let parts: Vec<Val<'_>> = match one.is_empty() {
                true => text.chars().map(|c| Val::Text(c.to_string().into())).collect(),
                false => parts.collect(),
            };
            Ok(Val::List(Rc::new(parts)))
        }
        _ => no_overload(),
    }
}

fn regex(pattern: &str, text: &str, budget: &mut Budget) -> Result<Regex, Failure> {
    budget.take(REGEX_STEPS + (pattern.len() as u64) * (1 + text.len() as u64 / 10))?;
    let made = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_CACHE_BYTES).build();
    made.map_err(|why| Failure::Error(format!("error parsing regexp: {why}")))
}

fn substring<'a>(text: &str, from: i64, to: i64) -> Evaluated<'a> {
    let length = text.chars().count() as i64;
    if from < 0 || to > length || from > to {
        return fail(format!("invalid substring range. start: {from}, end: {to}"));
    }
    let taken: String = text.chars().skip(from as usize).take((to - from) as usize).collect();
    Ok(Val::Text(taken.into()))
}

fn of_list<'a>(name: &str, items: &[Val<'a>], rest: &[Val<'a>], budget: &mut Budget) -> Evaluated<'a> {
    budget.take(items.len() as u64)?;
    match (name, rest) {
        ("isSorted", []) => {
            let sorted =
                items.windows(2).all(|pair| compare(&pair[0], &pair[1]).is_some_and(Ordering::is_le));
            Ok(Val::Bool(sorted))
        }
        ("sum", []) => {
            let mut items = items.iter();
            let Some(first) = items.next() else { return Ok(Val::Int(0)) };
            items.try_fold(first.clone(), |sum, one| arithmetic("+", &sum, one, budget))
        }
        ("min" | "max", []) => {
            let better = if name == "min" { Ordering::Less } else { Ordering::Greater };
            let mut best: Option<&Val<'a>> = None;
            for item in items {
                match best.map(|best| compare(item, best)) {
                    None => best = Some(item),
                    Some(Some(order)) if order == better => best = Some(item),
                    Some(Some(_)) => {}
                    Some(None) => return no_overload(),
                }
            }
            best.map_or_else(|| fail(format!("{name} called on empty list")), |best| Ok(best.clone()))
        }
        ("indexOf" | "lastIndexOf", [wanted]) => {
            let mut found = -1;
            for (at, item) in items.iter().enumerate() {
                let same = item.same(wanted, budget)?;
                if same && (found < 0 || name == "lastIndexOf") {
                    found = at as i64;
                }
            }
            Ok(Val::Int(found))
        }
        ("join", []) => join(items, "", budget),
        ("join", [Val::Text(between)]) => join(items, between, budget),
        _ => no_overload(),
    }
}

fn join<'a>(items: &[Val<'a>], between: &str, budget: &mut Budget) -> Evaluated<'a> {
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        let Val::Text(text) = item else { return no_overload() };
        budget.take((text.len() + between.len()) as u64 / 10)?;
        if at > 0 {
            out.push_str(between);
        }
        out.push_str(text);
    }
    Ok(Val::Text(out.into()))
}

/// The order of two values; none for those that have none.
pub fn compare(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Int(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        (Val::Double(a), Val::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
        (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
        (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
        (Val::Moment(a), Val::Moment(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// `-` before a value.
pub fn minus<'a>(value: &Val<'a>) -> Evaluated<'a> {
    match value {
        Val::Int(int) => int.checked_neg().map_or_else(|| fail("integer overflow"), |int| Ok(Val::Int(int))),
        Val::Double(double) => Ok(Val::Double(-double)),
        Val::Duration(nanos) => {
            nanos.checked_neg().map_or_else(|| fail("duration overflow"), |nanos| Ok(Val::Duration(nanos)))
        }
        _ => no_overload(),
    }
}

/// `+`, `-`, `*`, `/` and `%` between two values.
pub fn arithmetic<'a>(operator: &str, a: &Val<'a>, b: &Val<'a>, budget: &mut Budget) -> Evaluated<'a> {
    let nanos = |nanos: Option<i64>| {
        nanos.map_or_else(|| fail("duration overflow"), |nanos| Ok(Val::Duration(nanos)))
    };
    match (operator, a, b) {
        ("/" | "%", Val::Int(_), Val::Int(0)) => {
            fail(if operator == "/" { "division by zero" } else { "modulus by zero" })
        }
        (_, Val::Int(a), Val::Int(b)) => {
            let made = match operator {
                "+" => a.checked_add(*b),
                "-" => a.checked_sub(*b),
                "*" => a.checked_mul(*b),
                "/" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            made.map_or_else(|| fail("integer overflow"), |int| Ok(Val::Int(int)))
        }
        ("+", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        ("-", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a - b)),
        ("*", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a * b)),
        ("/", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a / b)),
        ("+", Val::Text(a), Val::Text(b)) => {
            budget.take((a.len() + b.len()) as u64 / 10)?;
            Ok(Val::Text(format!("{a}{b}").into()))
        }
        ("+", Val::Duration(a), Val::Duration(b)) => nanos(a.checked_add(*b)),
        ("-", Val::Duration(a), Val::Duration(b)) => nanos(a.checked_sub(*b)),
        ("+", Val::Moment(a), Val::Duration(b)) | ("+", Val::Duration(b), Val::Moment(a)) => {
            Ok(Val::Moment(a + i128::from(*b)))
        }
        ("-", Val::Moment(a), Val::Duration(b)) => Ok(Val::Moment(a - i128::from(*b))),
        ("-", Val::Moment(a), Val::Moment(b)) => nanos(i64::try_from(a - b).ok()),
        ("+", a, b) if a.type_name() == "list" && b.type_name() == "list" => {
            let mut items = a.elements().unwrap_or_default();
            items.extend(b.elements().unwrap_or_default());
            budget.take(items.len() as u64)?;
            Ok(Val::List(Rc::new(items)))
        }
        _ => no_overload(),
    }
}

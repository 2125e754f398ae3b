//! What can be made of values that stand in an expression before there is an object.

use crate::ast::{Expr, Id, Literal, Node};
use crate::budget::Failure;
use crate::library::convert;
use crate::regex::{PatternError, Patterns, Regexes};
use crate::value::Val;

/// Makes the patterns that stand in an expression, and finds those that are none.
pub fn keep_patterns(
    expr: &Expr,
    patterns: &mut Patterns,
    regexes: &mut Regexes,
    mistakes: &mut Vec<(Id, String)>,
) {
    if let Node::Call { function, target, arguments } = &expr.node
        && matches!(function.as_str(), "matches" | "find" | "findAll")
        && let Some(argument) = arguments.get(usize::from(target.is_none()))
        && let Node::Literal(Literal::Text(text)) = &argument.node
    {
        match patterns.make(text) {
            Ok(made) => regexes.keep(text, made),
            Err(PatternError::Syntax(_)) => {
                mistakes.push((argument.id, format!("invalid {function} argument")));
            }
            // It is made anew each time.
            Err(PatternError::TooLarge(_)) => {}
        }
    }
    for part in expr.children() {
        keep_patterns(part, patterns, regexes, mistakes);
    }
}

/// Finds moments and durations that are none.
pub fn moments(expr: &Expr, mistakes: &mut Vec<(Id, String)>) {
    if let Some((function, argument, value)) = conversion(expr)
        && matches!(function, "timestamp" | "duration")
        && matches!(value, Val::Text(_))
        && convert::call(function, &[value]).is_some_and(|made| made.is_err())
    {
        mistakes.push((argument.id, format!("invalid {function} argument")));
    }
    for part in expr.children() {
        moments(part, mistakes);
    }
}

/// Tries the conversions of plain values.
///
/// # Errors
/// One of them cannot be converted.
pub fn conversions(expr: &Expr) -> Result<(), String> {
    if let Some((function, _, value)) = conversion(expr)
        && let Some(Err(Failure::Error(why))) = convert::call(function, &[value])
    {
        return Err(why);
    }
    expr.children().into_iter().try_for_each(conversions)
}

/// A function that is called with one plain value.
fn conversion(expr: &Expr) -> Option<(&str, &Expr, Val<'_>)> {
    let Node::Call { function, target: None, arguments } = &expr.node else { return None };
    let [argument] = arguments.as_slice() else { return None };
    let Node::Literal(literal) = &argument.node else { return None };
    Some((function, argument, literal.value()))
}

//! Functions of formats.

use crate::named::format::Format;
use crate::value::{Evaluated, Val};

/// Calls a function that gives a format; none where there is no such one.
pub fn function<'a>(name: &str, all: &[Val<'a>]) -> Option<Evaluated<'a>> {
    match (name.strip_prefix("format.")?, all) {
        ("named", [Val::Text(name)]) => {
            Some(Ok(Format::named(name).map_or(Val::Optional(None), |format| Val::some(Val::named(format)))))
        }
        (name, []) => Format::named(name).map(|format| Ok(Val::named(format))),
        _ => None,
    }
}

/// Calls a method of a format.
pub fn method<'a>(name: &str, format: &'static Format, rest: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let ("validate", [Val::Text(text)]) = (name, rest) else { return None };
    let mistakes = format.mistakes(text);
    Some(Ok(match mistakes.is_empty() {
        true => Val::Optional(None),
        false => Val::some(Val::list(mistakes.into_iter().map(Val::text).collect())),
    }))
}

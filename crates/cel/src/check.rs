//! What can be said of an expression before there is an object: names, functions and fields that there are not.

use crate::functions::{FUNCTIONS, METHODS};
use crate::names::{type_of_name, unescape};
use crate::parse::Expr;
use crate::types::{Field, Kind, Type};

/// What an expression must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `true` or `false`.
    Bool,
    /// A text.
    Text,
}

impl Outcome {
    fn type_name(self) -> &'static str {
        match self {
            Outcome::Bool => "bool",
            Outcome::Text => "string",
        }
    }
}

/// What is wrong with an expression.
pub enum Problem {
    /// It cannot be worked out.
    Compilation(String),
    /// It comes to something else than it must.
    Outcome(Outcome),
}

/// What is known of a value.
#[derive(Clone, Copy)]
enum Known<'a> {
    Anything,
    Of(&'a dyn Type),
    /// A value of the type with that name.
    Named(&'static str),
}

/// Checks an expression whose `self` is a value of the type. Gives whether it looks at `oldSelf`.
///
/// # Errors
/// It cannot be worked out, or not to the outcome that is wanted.
pub fn check(expr: &Expr, ty: &dyn Type, wanted: Outcome) -> Result<bool, Problem> {
    let own = Known::Of(ty);
    let mut checker = Checker { names: vec![("self", own), ("oldSelf", own)], old: false };
    let comes_to_it = match checker.known(expr).map_err(Problem::Compilation)? {
        Known::Anything => true,
        Known::Named(name) => name == wanted.type_name(),
        Known::Of(ty) => match ty.kind() {
            Kind::Unknown => true,
            Kind::Bool => wanted == Outcome::Bool,
            Kind::Text(_) => wanted == Outcome::Text,
            Kind::Int | Kind::Double | Kind::List | Kind::Map => false,
        },
    };
    if comes_to_it { Ok(checker.old) } else { Err(Problem::Outcome(wanted)) }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.type_name())
    }
}

struct Checker<'a> {
    names: Vec<(&'a str, Known<'a>)>,
    old: bool,
}

impl<'a> Checker<'a> {
    fn all(&mut self, exprs: impl IntoIterator<Item = &'a Expr>) -> Result<(), String> {
        exprs.into_iter().try_for_each(|expr| self.known(expr).map(drop))
    }

    fn known(&mut self, expr: &'a Expr) -> Result<Known<'a>, String> {
        Ok(match expr {
            Expr::Null => Known::Named("null_type"),
            Expr::Bool(_) => Known::Named("bool"),
            Expr::Int(_) => Known::Named("int"),
            Expr::Double(_) => Known::Named("double"),
            Expr::Text(_) => Known::Named("string"),
            Expr::List(items) => {
                self.all(items)?;
                Known::Named("list")
            }
            Expr::Map(entries) => {
                self.all(entries.iter().flat_map(|(key, value)| [key, value]))?;
                Known::Anything
            }
            Expr::Name(name) => self.name(name)?,
            Expr::Field(target, name) | Expr::Has(target, name) => {
                let target = self.known(target)?;
                let found = field(target, &unescape(name))?;
                if matches!(expr, Expr::Has(..)) { Known::Named("bool") } else { found }
            }
            Expr::Index(target, index) => {
                let target = self.known(target)?;
                self.known(index)?;
                element(target)
            }
            Expr::Not(inner) => {
                self.known(inner)?;
                Known::Named("bool")
            }
            Expr::Minus(inner) => self.known(inner)?,
            Expr::And(a, b) | Expr::Or(a, b) => {
                self.all([&**a, &**b])?;
                Known::Named("bool")
            }
            Expr::If(condition, yes, no) => {
                self.known(condition)?;
                self.known(no)?;
                self.known(yes)?
            }
            Expr::Binary(operator, a, b) => {
                let (a, b) = (self.known(a)?, self.known(b)?);
                binary(operator, a, b)?
            }
            Expr::Loop { kind, range, variable, filter, body } => {
                let range = self.known(range)?;
                self.names.push((variable, loop_variable(range)));
                self.all(filter.iter().chain([body]).map(Box::as_ref))?;
                self.names.pop();
                loop_result(kind, range)
            }
            Expr::Call(name, arguments) => {
                self.all(arguments)?;
                called(name, FUNCTIONS, arguments.len())?
            }
            Expr::Method(target, name, arguments) => {
                self.known(target)?;
                self.all(arguments)?;
                called(name, METHODS, arguments.len())?
            }
        })
    }

    fn name(&mut self, name: &str) -> Result<Known<'a>, String> {
        self.old |= name == "oldSelf";
        if let Some((_, known)) = self.names.iter().rev().find(|(one, _)| *one == name) {
            return Ok(*known);
        }
        match type_of_name(name) {
            Some(_) => Ok(Known::Anything),
            None => Err(format!("undeclared reference to '{name}' (in container '')")),
        }
    }
}

/// What a call of one of these functions comes to, with that many arguments.
fn called(name: &str, known: &[(&str, &[usize])], count: usize) -> Result<Known<'static>, String> {
    match known.iter().find(|(one, _)| *one == name) {
        None => return Err(format!("undeclared reference to '{name}' (in container '')")),
        Some((_, counts)) if counts.contains(&count) => {}
        Some(_) => return Err(format!("found no matching overload for '{name}' with {count} arguments")),
    }
    Ok(match name {
        "startsWith" | "endsWith" | "contains" | "matches" | "isSorted" | "bool" => Known::Named("bool"),
        "string" | "lowerAscii" | "upperAscii" | "trim" | "charAt" | "substring" | "replace" | "join"
        | "find" => Known::Named("string"),
        "size" | "int" | "indexOf" | "lastIndexOf" => Known::Named("int"),
        "double" => Known::Named("double"),
        _ => Known::Anything,
    })
}

fn field<'a>(target: Known<'a>, name: &str) -> Result<Known<'a>, String> {
    let ty = match target {
        Known::Of(ty) => ty,
        Known::Named("int" | "double" | "bool" | "string") => {
            return Err("type does not support field selection".into());
        }
        Known::Named(_) | Known::Anything => return Ok(Known::Anything),
    };
    match (ty.field(name), ty.kind()) {
        (Field::Typed(found), _) => Ok(Known::Of(found)),
        (_, kind @ (Kind::Bool | Kind::Int | Kind::Double | Kind::Text(_) | Kind::List)) => {
            Err(format!("type '{}' does not support field selection", kind.word()))
        }
        (Field::Undefined, _) => Err(format!("undefined field '{name}'")),
        (Field::Untyped, _) => Ok(Known::Anything),
    }
}

fn element(target: Known<'_>) -> Known<'_> {
    match target {
        Known::Of(ty) => ty.element().map_or(Known::Anything, Known::Of),
        _ => Known::Anything,
    }
}

/// What a loop goes over: the elements of a list, the keys of a map.
fn loop_variable(range: Known<'_>) -> Known<'_> {
    match range {
        Known::Of(ty) if ty.kind() == Kind::Map => Known::Named("string"),
        Known::Of(ty) if ty.kind() == Kind::List => element(range),
        _ => Known::Anything,
    }
}

fn loop_result<'a>(kind: &str, range: Known<'a>) -> Known<'a> {
    match kind {
        "map" => Known::Named("list"),
        "filter" => range,
        _ => Known::Named("bool"),
    }
}

/// The name of the type of a value, where that is known.
fn scalar(known: Known<'_>) -> Option<&'static str> {
    match known {
        Known::Named(name) => Some(name),
        Known::Of(ty) => ty.kind().type_name(),
        Known::Anything => None,
    }
}

fn binary<'a>(operator: &str, a: Known<'a>, b: Known<'a>) -> Result<Known<'a>, String> {
    if matches!(operator, "==" | "!=" | "in") {
        return Ok(Known::Named("bool"));
    }
    let is_number = |kind: &str| matches!(kind, "int" | "double");
    if let (Some(a), Some(b)) = (scalar(a), scalar(b))
        && a != b
        && !(is_number(a) && is_number(b))
    {
        return Err(format!("found no matching overload for '_{operator}_' applied to '({a}, {b})'"));
    }
    Ok(match operator {
        "<" | "<=" | ">" | ">=" => Known::Named("bool"),
        _ => scalar(a).map_or(Known::Anything, Known::Named),
    })
}

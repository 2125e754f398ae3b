//! What can be said of an expression before there is an object: names, functions and fields that there are not.

use super::functions::{FUNCTIONS, METHODS};
use super::parse::Expr;
use crate::custom::schema::{Additional, Schema};

/// What is known of a value.
#[derive(Clone, Copy)]
enum Known<'a> {
    Anything,
    /// A value of a schema; whether it is the root of an object of the API.
    Of(&'a Schema, bool),
    Kind(&'static str),
}

/// Checks an expression whose `self` is a value of the schema. Gives whether it looks at `oldSelf`.
///
/// # Errors
/// It cannot be worked out, or not to a value of the kind `wanted`.
pub fn check(expr: &Expr, schema: &Schema, is_root: bool, wanted: &str) -> Result<bool, String> {
    let is_root = is_root || schema.embedded;
    let own = Known::Of(schema, is_root);
    let mut checker = Checker { names: vec![("self", own), ("oldSelf", own)], old: false };
    let found = checker.kind(expr)?;
    let kind = match found {
        Known::Anything => wanted,
        Known::Kind(kind) => kind,
        Known::Of(schema, _) if schema.int_or_string || schema.kind.is_empty() => wanted,
        Known::Of(schema, _) => match schema.kind.as_str() {
            "boolean" => "bool",
            "string" => "string",
            _ => "",
        },
    };
    match kind == wanted {
        true => Ok(checker.old),
        false if wanted == "bool" => Err("cel expression must evaluate to a bool".into()),
        false => Err(format!("cel expression must evaluate to a {wanted}")),
    }
}

struct Checker<'a> {
    names: Vec<(&'a str, Known<'a>)>,
    old: bool,
}

impl<'a> Checker<'a> {
    fn all(&mut self, exprs: &'a [Expr]) -> Result<(), String> {
        for expr in exprs {
            self.kind(expr)?;
        }
        Ok(())
    }

    fn kind(&mut self, expr: &'a Expr) -> Result<Known<'a>, String> {
        Ok(match expr {
            Expr::Null => Known::Kind("null_type"),
            Expr::Bool(_) => Known::Kind("bool"),
            Expr::Int(_) => Known::Kind("int"),
            Expr::Double(_) => Known::Kind("double"),
            Expr::Text(_) => Known::Kind("string"),
            Expr::List(items) => {
                self.all(items)?;
                Known::Kind("list")
            }
            Expr::Map(entries) => {
                for (key, value) in entries {
                    self.kind(key)?;
                    self.kind(value)?;
                }
                Known::Anything
            }
            Expr::Name(name) => self.name(name)?,
            Expr::Field(target, name) | Expr::Has(target, name) => {
                let target = self.kind(target)?;
                let found = field(target, &super::unescape(name))?;
                if matches!(expr, Expr::Has(..)) { Known::Kind("bool") } else { found }
            }
            Expr::Index(target, index) => {
                let target = self.kind(target)?;
                self.kind(index)?;
                element(target)
            }
            Expr::Not(inner) => {
                self.kind(inner)?;
                Known::Kind("bool")
            }
            Expr::Minus(inner) => self.kind(inner)?,
            Expr::And(a, b) | Expr::Or(a, b) => {
                self.kind(a)?;
                self.kind(b)?;
                Known::Kind("bool")
            }
            Expr::If(condition, yes, no) => {
                self.kind(condition)?;
                self.kind(no)?;
                self.kind(yes)?
            }
            Expr::Binary(operator, a, b) => {
                let (a, b) = (self.kind(a)?, self.kind(b)?);
                binary(operator, a, b)?
            }
            Expr::Loop { kind, range, variable, filter, body } => {
                let range = self.kind(range)?;
                self.names.push((variable, loop_variable(range)));
                if let Some(filter) = filter {
                    self.kind(filter)?;
                }
                self.kind(body)?;
                self.names.pop();
                match kind.as_str() {
                    "map" => Known::Kind("list"),
                    "filter" => range,
                    _ => Known::Kind("bool"),
                }
            }
            Expr::Call(name, arguments) => {
                self.all(arguments)?;
                known_function(name, FUNCTIONS, arguments.len())?;
                result_of(name)
            }
            Expr::Method(target, name, arguments) => {
                self.kind(target)?;
                self.all(arguments)?;
                known_function(name, METHODS, arguments.len())?;
                result_of(name)
            }
        })
    }

    fn name(&mut self, name: &str) -> Result<Known<'a>, String> {
        self.old |= name == "oldSelf";
        if let Some((_, known)) = self.names.iter().rev().find(|(one, _)| *one == name) {
            return Ok(*known);
        }
        match super::TYPES.iter().any(|(one, _)| *one == name) {
            true => Ok(Known::Anything),
            false => Err(format!("undeclared reference to '{name}' (in container '')")),
        }
    }
}

fn known_function(name: &str, known: &[(&str, &[usize])], count: usize) -> Result<(), String> {
    match known.iter().find(|(one, _)| *one == name) {
        None => Err(format!("undeclared reference to '{name}' (in container '')")),
        Some((_, counts)) if counts.contains(&count) => Ok(()),
        Some(_) => Err(format!("found no matching overload for '{name}' with {count} arguments")),
    }
}

fn result_of(name: &str) -> Known<'static> {
    match name {
        "startsWith" | "endsWith" | "contains" | "matches" | "isSorted" | "bool" => Known::Kind("bool"),
        "string" | "lowerAscii" | "upperAscii" | "trim" | "charAt" | "substring" | "replace" | "join"
        | "find" => Known::Kind("string"),
        "size" | "int" | "indexOf" | "lastIndexOf" => Known::Kind("int"),
        "double" => Known::Kind("double"),
        _ => Known::Anything,
    }
}

fn field<'a>(target: Known<'a>, name: &str) -> Result<Known<'a>, String> {
    let Known::Of(schema, is_root) = target else {
        return match target {
            Known::Kind("int" | "double" | "bool" | "string") => {
                Err("type does not support field selection".into())
            }
            _ => Ok(Known::Anything),
        };
    };
    if is_root && matches!(name, "apiVersion" | "kind" | "metadata") {
        return Ok(Known::Anything);
    }
    if let Some(found) = schema.field(name) {
        return Ok(Known::Of(found, found.embedded));
    }
    let is_scalar = matches!(schema.kind.as_str(), "string" | "integer" | "number" | "boolean" | "array");
    let has_fields = schema.kind == "object" && !matches!(schema.additional, Additional::Any(true));
    match (is_scalar, has_fields) {
        (true, _) => Err(format!("type '{}' does not support field selection", schema.kind)),
        (false, true) => Err(format!("undefined field '{name}'")),
        (false, false) => Ok(Known::Anything),
    }
}

fn element(target: Known<'_>) -> Known<'_> {
    match target {
        Known::Of(Schema { items: Some(items), .. }, _) => Known::Of(items, items.embedded),
        Known::Of(Schema { additional: Additional::Of(schema), .. }, _) => Known::Of(schema, schema.embedded),
        _ => Known::Anything,
    }
}

/// What a loop goes over: the elements of a list, the keys of a map.
fn loop_variable(range: Known<'_>) -> Known<'_> {
    match range {
        Known::Of(Schema { items: Some(items), .. }, _) => Known::Of(items, items.embedded),
        Known::Of(schema, _) if schema.kind == "object" => Known::Kind("string"),
        _ => Known::Anything,
    }
}

/// The kind of a scalar, where that is known.
fn scalar(known: Known<'_>) -> Option<&'static str> {
    match known {
        Known::Kind(kind) => Some(kind),
        Known::Of(schema, _)
            if schema.int_or_string || !schema.format.is_empty() && schema.kind == "string" =>
        {
            None
        }
        Known::Of(schema, _) => match schema.kind.as_str() {
            "string" => Some("string"),
            "integer" => Some("int"),
            "number" => Some("double"),
            "boolean" => Some("bool"),
            "array" => Some("list"),
            _ => None,
        },
        Known::Anything => None,
    }
}

fn binary<'a>(operator: &str, a: Known<'a>, b: Known<'a>) -> Result<Known<'a>, String> {
    if matches!(operator, "==" | "!=" | "in") {
        return Ok(Known::Kind("bool"));
    }
    let is_number = |kind: &str| matches!(kind, "int" | "double");
    if let (Some(a), Some(b)) = (scalar(a), scalar(b))
        && a != b
        && !(is_number(a) && is_number(b))
    {
        return Err(format!("found no matching overload for '_{operator}_' applied to '({a}, {b})'"));
    }
    Ok(match operator {
        "<" | "<=" | ">" | ">=" => Known::Kind("bool"),
        _ => scalar(a).map_or(Known::Anything, Known::Kind),
    })
}

//! Validation rules: the part of the Common Expression Language that they are written in.
//!
//! An expression is read and checked once, with its definition. Working it out costs steps, which are limited for
//! each rule and for each object; nothing in it can wait, allocate without steps, or nest deeper than its text.

mod check;
mod eval;
mod functions;
mod parse;
mod value;

use std::borrow::Cow;

pub use eval::{Budget, Failure};

use super::schema::Schema;
use crate::Value;
use eval::Scope;
use parse::Expr;
use value::Val;

/// Steps of one rule for one value.
const RULE_STEPS: u64 = 200_000;

/// Steps of all rules for one object.
pub const OBJECT_STEPS: u64 = 2_000_000;

/// Names of types, and how values of them call theirs.
const TYPES: &[(&str, &str)] = &[
    ("int", "int"),
    ("double", "double"),
    ("string", "string"),
    ("bool", "bool"),
    ("list", "list"),
    ("map", "map"),
    ("null_type", "null_type"),
];

/// An expression that has been read and checked.
#[derive(Debug)]
pub struct Program {
    expr: Expr,
    /// Whether it compares with the object as it was.
    pub is_transition: bool,
}

impl Program {
    /// Reads an expression about values of a schema; `wanted` is what it must come to, `bool` or `string`.
    ///
    /// # Errors
    /// What is wrong with it, in the words of a refusal.
    pub fn new(text: &str, schema: &Schema, is_root: bool, wanted: &str) -> Result<Program, String> {
        let compiled = |column: usize, why: &str| {
            let line = text.lines().next().unwrap_or_default();
            let dots = ".".repeat(column.saturating_sub(1).min(line.len()));
            format!("compilation failed: ERROR: <input>:1:{column}: {why}\n | {line}\n | {dots}^")
        };
        let expr = parse::parse(text).map_err(|(column, why)| compiled(column, &why))?;
        let is_transition =
            check::check(&expr, schema, is_root, wanted).map_err(|why| match why.as_str() {
                why if why.starts_with("cel expression") => why.to_owned(),
                why => compiled(1, why),
            })?;
        Ok(Program { expr, is_transition })
    }

    /// Whether the rule holds.
    ///
    /// # Errors
    /// It makes no sense with these values, or takes too many steps.
    pub fn holds(
        &self,
        value: (&Value, &Schema),
        old: Option<&Value>,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        self.eval(value, old, budget, |result| match result {
            Val::Bool(truth) => Ok(truth),
            _ => Err(Failure::Error("cel expression must evaluate to a bool".into())),
        })
    }

    /// The text that the expression comes to.
    ///
    /// # Errors
    /// As for [`Program::holds`].
    pub fn text(
        &self,
        value: (&Value, &Schema),
        old: Option<&Value>,
        budget: &mut Budget,
    ) -> Result<String, Failure> {
        self.eval(value, old, budget, |result| match result {
            Val::Text(text) => Ok(text.into_owned()),
            _ => Err(Failure::Error("no text".into())),
        })
    }

    fn eval<T>(
        &self,
        (value, schema): (&Value, &Schema),
        old: Option<&Value>,
        total: &mut Budget,
        read: impl FnOnce(Val<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let granted = total.steps.min(RULE_STEPS);
        let mut budget = Budget { steps: granted };
        let mut names: Vec<(Cow<'_, str>, Val<'_>)> = vec![("self".into(), Val::of(value, Some(schema)))];
        if let Some(old) = old {
            names.push(("oldSelf".into(), Val::of(old, Some(schema))));
        }
        let mut scope = Scope { names, budget: &mut budget };
        let result = scope.eval(&self.expr).and_then(read);
        total.spend(granted - budget.steps);
        result
    }
}

/// A field name as the schema has it: what no name of the language can be is written out.
fn unescape(name: &str) -> Cow<'_, str> {
    if !name.contains("__") {
        return name.into();
    }
    let plain = name.replace("__dot__", ".").replace("__dash__", "-").replace("__slash__", "/");
    let reserved = plain.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    reserved.unwrap_or(&plain).replace("__underscores__", "__").into()
}

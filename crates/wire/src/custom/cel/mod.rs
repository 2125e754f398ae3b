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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custom::Patterns;
    use serde_json::json;

    fn eval(text: &str, value: &Value, old: Option<&Value>, steps: u64) -> Result<bool, String> {
        let raw = json!({"type": "object", "properties": {
            "when": {"type": "string", "format": "date-time"}, "ratio": {"type": "number"},
            "every": {"type": "string", "format": "duration"}, "n": {"type": "integer"},
            "text": {"type": "string"}, "none": {"type": "string", "nullable": true},
            "list": {"type": "array", "items": {"type": "integer"}}, "nothing": {"type": "integer"},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        }});
        let schema = Schema::parse(&raw, &mut Patterns::default())?;
        let program = Program::new(text, &schema, true, "bool")?;
        let held = program.holds((value, &schema), old, &mut Budget { steps });
        held.map_err(|failure| match failure {
            Failure::Error(why) => why,
            Failure::Budget => "budget".into(),
        })
    }

    #[test]
    fn expressions_come_to_what_the_language_says() {
        let value = json!({
            "n": 3, "text": "héllo", "list": [3, 1, 2], "map": {"a": 1, "b-c": 2}, "ratio": 2, "none": null,
            "when": "2026-01-02T03:04:05.5Z", "every": "90s",
        });
        let check = |text: &str, expected: Result<bool, &str>| {
            let found = eval(text, &value, Some(&json!({"n": 2})), 100_000);
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        };
        for text in [
            "self.n == 3 && self.n + 2 * 2 == 7 && -self.n < 0 && 7 % 4 == 3 && 7 / 2 == 3",
            "self.text.size() == 5 && size(self.list) == 3 && size(self.map) == 2",
            "self.text.startsWith('h') && self.text.endsWith('lo') && self.text.matches('^h.l+o$')",
            "self.text.substring(1, 3) == 'él' && self.text.indexOf('l') == 2 && 'a,b'.split(',') == ['a', 'b']",
            "['a', 'b'].join('-') == 'a-b' && ' x '.trim() == 'x' && 'aa'.replace('a', 'b') == 'bb'",
            "self.list.all(x, x > 0) && self.list.exists(x, x == 2) && self.list.exists_one(x, x > 2)",
            "self.list.map(x, x * 2) == [6, 2, 4] && self.list.map(x, x > 1, x) == [3, 2]",
            "self.list.filter(x, x > 1).size() == 2 && self.list.sum() == 6 && self.list.max() == 3",
            "!self.list.isSorted() && 2 in self.list && !(9 in self.list) && 'a' in self.map",
            "self.map.all(k, self.map[k] > 0) && self.map.b__dash__c == 2 && self.map['b-c'] == 2",
            "has(self.n) && !has(self.nothing) && self.none == null",
            "self.n > oldSelf.n ? true : false",
            "self.when < timestamp('2026-01-02T03:04:06Z') && self.every == duration('1m30s')",
            "self.when + self.every > self.when && self.every.getSeconds() == 90",
            "self.ratio == 2.0 && self.ratio / 4.0 == 0.5 && type(self.n) == int && type(self.text) == string",
            "int('3') == self.n && string(self.n) == '3' && double('1.5') == 1.5 && bool('true')",
            "{'a': [1, {'b': 2}]} == {'a': [1, {'b': 2}]} && [1, 2] != [2, 1]",
            "false && self.nothing == 1 || true",
            "self.nothing == 1 || true",
        ] {
            check(text, Ok(true));
        }
        check("self.nothing == 1", Err("no such key: nothing"));
        check("self.list[7] == 1", Err("index out of bounds: 7"));
        check("1 / (self.n - 3) == 1", Err("division by zero"));
        check("9223372036854775807 + self.n > 0", Err("integer overflow"));
        check("self.n", Err("cel expression must evaluate to a bool"));
    }

    #[test]
    fn what_cannot_be_worked_out_is_refused_beforehand() {
        let check = |text: &str, part: &str| {
            let why = eval(text, &json!({}), None, 1_000).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        };
        check("that == 1", "undeclared reference to 'that'");
        check("quantity('1') == 1", "undeclared reference to 'quantity'");
        check("'a'.shout()", "undeclared reference to 'shout'");
        check("1 + 'a' == 2", "found no matching overload for '_+_' applied to '(int, string)'");
        check("1 + 2", "must evaluate to a bool");
        check("self.", "Syntax error");
    }

    #[test]
    fn expressions_stop_when_their_steps_are_used_up() {
        let value = json!({"list": vec![1; 1_000], "text": "a".repeat(10_000)});
        let check = |text: &str| assert_eq!(eval(text, &value, None, 5_000), Err("budget".into()), "{text}");
        check("self.list.all(a, self.list.all(b, a + b > 0))");
        check("self.list.map(x, self.text + self.text).size() > 0");
        check("self.list.exists(x, self.text.matches('(a*)*b'))");
        check("self.text.replace('', self.text) == ''");
        check("self.list == self.list && self.list + self.list == self.list + self.list + self.list");
    }
}

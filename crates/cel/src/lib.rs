//! The part of the Common Expression Language in which validation rules are written.
//!
//! An expression is read and checked once, against the [`Type`] of what it is about; who describes that type is not
//! known here. Working it out costs steps. Nothing in it can wait, allocate without steps, or nest deeper than its
//! text. The limits:
//!
//! | of | limit |
//! |---|---|
//! | the text of an expression | 16 KiB |
//! | its nesting, and its operators, fields and indices | 48, and 400 |
//! | the steps of one evaluation | 200,000, and what is left of the [`Budget`] |
//! | the memory of a regular expression | 1 MiB, and 256 KiB while it runs |
//!
//! What there is: the operators and macros of the language, the functions of `functions.rs`, moments and durations.
//! There are no unsigned numbers (`uint` is `int`), no bytes, no optional values and no types of messages.

mod budget;
mod check;
mod eval;
mod functions;
mod names;
mod parse;
mod types;
mod value;

use serde_json::Value;

pub use budget::{Budget, Failure};
pub use check::Outcome;
pub use types::{Field, Kind, Meaning, Type};

use check::Problem;
use eval::Scope;
use parse::Expr;
use value::Val;

/// Steps of one evaluation.
const PROGRAM_STEPS: u64 = 200_000;

/// An expression that has been read and checked.
#[derive(Debug)]
pub struct Program {
    expr: Expr,
    /// Whether it compares with the value as it was.
    pub is_transition: bool,
}

/// What an expression is worked out about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The type of both values.
    pub ty: &'a dyn Type,
    /// `self`.
    pub value: &'a Value,
    /// `oldSelf`: the value as it was.
    pub old: Option<&'a Value>,
}

impl Program {
    /// Reads an expression about values of a type, which must come to `wanted`.
    ///
    /// # Errors
    /// What is wrong with it, in the words of a refusal.
    pub fn new(text: &str, ty: &dyn Type, wanted: Outcome) -> Result<Program, String> {
        let expr = parse::parse(text).map_err(|(column, why)| compilation(text, column, &why))?;
        match check::check(&expr, ty, wanted) {
            Ok(is_transition) => Ok(Program { expr, is_transition }),
            Err(Problem::Compilation(why)) => Err(compilation(text, 1, &why)),
            Err(Problem::Outcome(wanted)) => Err(format!("cel expression must evaluate to a {wanted}")),
        }
    }

    /// Whether the rule holds.
    ///
    /// # Errors
    /// It makes no sense with these values, or takes too many steps.
    pub fn holds(&self, subject: Subject<'_>, budget: &mut Budget) -> Result<bool, Failure> {
        self.eval(subject, budget, |result| match result {
            Val::Bool(truth) => Ok(truth),
            _ => Err(Failure::Error("cel expression must evaluate to a bool".into())),
        })
    }

    /// The text that the expression comes to.
    ///
    /// # Errors
    /// As for [`Program::holds`].
    pub fn text(&self, subject: Subject<'_>, budget: &mut Budget) -> Result<String, Failure> {
        self.eval(subject, budget, |result| match result {
            Val::Text(text) => Ok(text.into_owned()),
            _ => Err(Failure::Error("no text".into())),
        })
    }

    fn eval<T>(
        &self,
        Subject { ty, value, old }: Subject<'_>,
        total: &mut Budget,
        read: impl FnOnce(Val<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let granted = total.steps.min(PROGRAM_STEPS);
        let mut budget = Budget { steps: granted };
        let mut names = vec![("self".into(), Val::of(value, Some(ty)))];
        if let Some(old) = old {
            names.push(("oldSelf".into(), Val::of(old, Some(ty))));
        }
        let mut scope = Scope { names, budget: &mut budget };
        let result = scope.eval(&self.expr).and_then(read);
        total.spend(granted - budget.steps);
        result
    }
}

/// Whether an expression can be read, knows no values but those of these names, and may come to true or false. What the
/// values are, and which functions there are, is not looked at.
///
/// # Errors
/// What is wrong with it, in the words of a refusal.
pub fn check_condition(text: &str, names: &[&str]) -> Result<(), String> {
    let expr = parse::parse(text).map_err(|(column, why)| compilation(text, column, &why))?;
    match names::free(&expr, &mut names.to_vec()) {
        None => match names::literal_type(&expr) {
            Some(other) => Err(format!("must evaluate to bool but got {other}")),
            None => Ok(()),
        },
        Some(name) => {
            let why = format!("undeclared reference to '{name}' (in container '')");
            Err(compilation(text, text.find(name).map_or(1, |at| at + 1), &why))
        }
    }
}

/// What is wrong at a column of a text, which counts from 1.
fn compilation(text: &str, column: usize, why: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let dots = ".".repeat(column.saturating_sub(1).min(line.len()));
    format!("compilation failed: ERROR: <input>:1:{column}: {why}\n | {line}\n | {dots}^")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use serde_json::json;

    /// A kind, with the fields and elements of values of that kind.
    #[derive(Debug)]
    struct Described {
        kind: Kind,
        fields: BTreeMap<&'static str, Described>,
        element: Option<Box<Described>>,
    }

    impl Type for Described {
        fn kind(&self) -> Kind {
            self.kind
        }

        fn field(&self, name: &str) -> Field<'_> {
            let value = self.element.as_deref().filter(|_| self.kind == Kind::Map);
            let found = self.fields.get(name).or(value);
            found.map_or(Field::Undefined, |ty| Field::Typed(ty))
        }

        fn element(&self) -> Option<&dyn Type> {
            self.element.as_deref().map(|ty| ty as &dyn Type)
        }
    }

    fn of(kind: Kind) -> Described {
        Described { kind, fields: BTreeMap::new(), element: None }
    }

    fn object() -> Described {
        let many = |kind, element| Described { element: Some(Box::new(of(element))), ..of(kind) };
        let fields = BTreeMap::from([
            ("when", of(Kind::Text(Meaning::Moment))),
            ("every", of(Kind::Text(Meaning::Duration))),
            ("ratio", of(Kind::Double)),
            ("n", of(Kind::Int)),
            ("text", of(Kind::Text(Meaning::Plain))),
            ("none", of(Kind::Text(Meaning::Plain))),
            ("list", many(Kind::List, Kind::Int)),
            ("nothing", of(Kind::Int)),
            ("map", many(Kind::Map, Kind::Int)),
        ]);
        Described { fields, ..of(Kind::Map) }
    }

    fn eval(text: &str, value: &Value, old: Option<&Value>, steps: u64) -> Result<bool, String> {
        let ty = object();
        let program = Program::new(text, &ty, Outcome::Bool)?;
        let held = program.holds(Subject { ty: &ty, value, old }, &mut Budget { steps });
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
        let shortest = "(duration('-9223372036854774784ns') - duration('1024ns'))";
        check(&format!("-{shortest} > {shortest}"), Err("duration overflow"));
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

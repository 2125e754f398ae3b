//! The part of the Common Expression Language in which validation rules are written.
//!
//! An expression is read and checked once, against the [`Type`] of what it is about; who describes that type is not
//! known here. Then it is known what it costs at most. Working it out costs as much as Kubernetes says, and steps of
//! work besides. Nothing in it can wait, allocate without steps, or nest deeper than its text. The limits:
//!
//! | of | limit |
//! |---|---|
//! | the text of an expression | 16 KiB |
//! | its nesting, its operators, and those in a row | 48, 1,000 and 100 |
//! | the cost of one evaluation, and its steps | 1,000,000 and 4,000,000, and what is left of the [`Budget`] |
//! | the memory of a regular expression | 16 MiB, and 256 KiB while it runs; 64 MiB for all of a definition |
//!
//! What there is: the language with its macros, optional values, loops with two variables, and the libraries of
//! Kubernetes 1.36 but for that of authorisation. Zones of time with names but UTC, and types of messages, are not.

mod ast;
mod budget;
mod check;
mod cost;
mod declare;
mod eval;
mod lex;
mod library;
mod literals;
mod macros;
mod named;
mod names;
mod parse;
mod regex;
mod types;
mod value;

use std::rc::Rc;

use serde_json::Value;

pub use crate::regex::{PatternError, Patterns};
pub use budget::{Budget, Failure};
pub use types::{Field, Identity, Kind, Meaning, Type};

use crate::regex::Regexes;
use ast::{Expr, Node};
use eval::Scope;
use types::Ty;
use value::Val;

/// What one evaluation may cost.
const PROGRAM_COST: u64 = 1_000_000;

/// Steps of work of one evaluation.
const PROGRAM_STEPS: u64 = 4_000_000;

/// What an expression must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `true` or `false`: it is a rule.
    Rule,
    /// A text: it words a refusal.
    Message,
}

/// What `oldSelf` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// The value as it was: without one there is nothing to work out.
    Value,
    /// An optional, which has a value where there was one.
    Optional,
}

/// An expression that has been read and checked.
#[derive(Debug)]
pub struct Program {
    expr: Expr,
    old: Old,
    regexes: Regexes,
    /// Whether it looks at the value as it was.
    pub uses_old: bool,
    /// What it costs at most, as its types tell.
    pub max_cost: u64,
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
    /// Reads an expression about values of a type, of a definition with these patterns.
    ///
    /// # Errors
    /// What is wrong with it, in the words of a refusal.
    pub fn new(
        text: &str,
        ty: &dyn Type,
        (wanted, old): (Outcome, Old),
        patterns: &mut Patterns,
    ) -> Result<Program, String> {
        let failed = match wanted {
            Outcome::Rule => "compilation failed",
            Outcome::Message => "messageExpression compilation failed",
        };
        let parse::Parsed { mut expr, places } =
            parse::parse(text).map_err(|mistake| format!("{failed}: {}", shown(text, &[mistake])))?;
        let own = Ty::of(ty);
        let of_old = match old {
            Old::Value => own.clone(),
            Old::Optional => Ty::Optional(Rc::new(own.clone())),
        };
        let mut checked = check::check(&expr, own, of_old);
        let mut regexes = Regexes::default();
        if checked.mistakes.is_empty() {
            literals::keep_patterns(&expr, patterns, &mut regexes, &mut checked.mistakes);
            literals::moments(&expr, &mut checked.mistakes);
            let mixed = check::mixed(&expr, &checked);
            checked.mistakes.extend(mixed);
        }
        if !checked.mistakes.is_empty() {
            let place = |id: ast::Id| places.get(id).copied().unwrap_or_default();
            let mistakes: Vec<_> =
                checked.mistakes.iter().map(|(id, why)| (place(*id), why.clone())).collect();
            return Err(format!("{failed}: {}", shown(text, &mistakes)));
        }
        match (wanted, checked.types.get(&expr.id)) {
            (Outcome::Rule, Some(Ty::Bool)) | (Outcome::Message, Some(Ty::Text)) => {}
            (Outcome::Rule, _) => return Err("cel expression must evaluate to a bool".into()),
            (Outcome::Message, _) => return Err("messageExpression must evaluate to a string".into()),
        }
        literals::conversions(&expr).map_err(|why| format!("program instantiation failed: {why}"))?;
        let max_cost = cost::estimate(&expr, &checked, ty);
        let (uses_old, qualified) = (checked.uses_old, checked.qualified);
        resolve(&mut expr, &qualified);
        Ok(Program { expr, old, regexes, uses_old, max_cost })
    }

    /// Whether the rule holds.
    ///
    /// # Errors
    /// It makes no sense with these values, or costs too much.
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
        let granted = Budget { cost: PROGRAM_COST, work: total.work.min(PROGRAM_STEPS) };
        let mut budget = granted.clone();
        let mut names = vec![("self".into(), Val::of(value, Some(ty)))];
        let old = old.map(|old| Val::of(old, Some(ty)));
        match self.old {
            Old::Value => names.extend(old.map(|old| ("oldSelf".into(), old))),
            Old::Optional => names.push(("oldSelf".into(), Val::Optional(old.map(Rc::new)))),
        }
        let mut scope = Scope { names, budget: &mut budget, regexes: &self.regexes };
        let result = scope.eval(&self.expr).and_then(read);
        let cost = granted.cost - budget.cost;
        total.work -= granted.work - budget.work;
        match total.cost.checked_sub(cost) {
            Some(left) => total.cost = left,
            None => {
                total.cost = 0;
                return Err(Failure::Budget);
            }
        }
        result
    }
}

/// Writes out the names that look like fields and methods.
fn resolve(expr: &mut Expr, qualified: &std::collections::HashMap<ast::Id, String>) {
    let full = qualified.get(&expr.id).cloned();
    match (&mut expr.node, full) {
        (Node::Select { .. }, Some(name)) => expr.node = Node::Ident(name),
        (Node::Call { function, target, .. }, Some(name)) => (*function, *target) = (name, None),
        _ => {}
    }
    match &mut expr.node {
        Node::Literal(_) | Node::Ident(_) => {}
        Node::Select { operand, .. } => resolve(operand, qualified),
        Node::Call { target, arguments, .. } => {
            target.iter_mut().for_each(|target| resolve(target, qualified));
            arguments.iter_mut().for_each(|one| resolve(one, qualified));
        }
        Node::List(items) => items.iter_mut().for_each(|(item, _)| resolve(item, qualified)),
        Node::Map(entries) => {
            for entry in entries {
                resolve(&mut entry.key, qualified);
                resolve(&mut entry.value, qualified);
            }
        }
        Node::Fold(fold) => {
            let parts =
                [&mut fold.range, &mut fold.initial, &mut fold.condition, &mut fold.step, &mut fold.result];
            parts.into_iter().for_each(|part| resolve(part, qualified));
        }
    }
}

/// Whether an expression can be read, knows no values but those of these names, and may come to true or false. What the
/// values are, and which functions there are, is not looked at.
///
/// # Errors
/// What is wrong with it, in the words of a refusal.
pub fn check_condition(text: &str, names: &[&str]) -> Result<(), String> {
    let failed = |mistake| format!("compilation failed: {}", shown(text, &[mistake]));
    let parsed = parse::parse(text).map_err(failed)?;
    match names::free(&parsed.expr, &mut names.to_vec()) {
        None => match names::literal_type(&parsed.expr) {
            Some(other) => Err(format!("must evaluate to bool but got {other}")),
            None => Ok(()),
        },
        Some((id, name)) => {
            let why = format!("undeclared reference to '{name}' (in container '')");
            Err(failed((parsed.places.get(id).copied().unwrap_or_default(), why)))
        }
    }
}

/// What is wrong at some bytes of a text, with their lines.
fn shown(text: &str, mistakes: &[lex::Mistake]) -> String {
    let mut mistakes: Vec<&lex::Mistake> = mistakes.iter().collect();
    mistakes.sort_by_key(|(place, _)| *place);
    let one = |(place, why): &lex::Mistake| {
        let before = &text[..*place];
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let (line, column) = (before.matches('\n').count() + 1, before[begin..].chars().count());
        let whole = text[begin..].lines().next().unwrap_or_default().replace('\t', " ");
        let is_wide = |c: &char| c.len_utf8() > 1;
        let dots: String =
            whole.chars().take(column).map(|c| if is_wide(&c) { '\u{ff0e}' } else { '.' }).collect();
        let mark = match whole.chars().nth(column) {
            Some(c) if is_wide(&c) => '\u{ff3e}',
            _ => '^',
        };
        format!("ERROR: <input>:{line}:{}: {why}\n | {whole}\n | {dots}{mark}", column + 1)
    };
    mistakes.into_iter().map(one).collect::<Vec<_>>().join("\n")
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

        fn max_size(&self) -> u64 {
            match self.kind {
                Kind::Text(_) => 100,
                Kind::List | Kind::Map => 10,
                _ => 0,
            }
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
        Described { fields, ..of(Kind::Object) }
    }

    fn eval(text: &str, value: &Value, old: Option<&Value>, steps: u64) -> Result<bool, String> {
        let ty = object();
        let patterns = &mut Patterns::default();
        let program = Program::new(text, &ty, (Outcome::Rule, Old::Value), patterns)?;
        let budget = &mut Budget { cost: 100_000_000, work: steps };
        let held = program.holds(Subject { ty: &ty, value, old }, budget);
        held.map_err(|failure| match failure {
            Failure::Error(why) => why,
            Failure::Overload => "no such overload".into(),
            Failure::Budget | Failure::Cost => "budget".into(),
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
            "has(self.n) && !has(self.nothing) && dyn(self.none) == null",
            "self.n > oldSelf.n ? true : false",
            "self.when < timestamp('2026-01-02T03:04:06Z') && self.every == duration('1m30s')",
            "self.when + self.every > self.when && self.every.getSeconds() == 90",
            "self.ratio == 2.0 && self.ratio / 4.0 == 0.5 && type(self.n) == int && type(self.text) == string",
            "int('3') == self.n && string(self.n) == '3' && double('1.5') == 1.5 && bool('true')",
            "{'a': [{'b': 2}]} == {'a': [{'b': 2}]} && [1, 2] != [2, 1]",
            "false && self.nothing == 1 || true",
            "self.nothing == 1 || true",
        ] {
            check(text, Ok(true));
        }
        check("self.nothing == 1", Err("no such key: nothing"));
        check("self.list[7] == 1", Err("index out of bounds: 7"));
        check("1 / (self.n - 3) == 1", Err("division by zero"));
        check("9223372036854775807 + self.n > 0", Err("integer overflow"));
        check(
            "duration('-9223372036854774784ns') - duration('2048ns') < duration('0s')",
            Err("duration overflow"),
        );
        check("self.n", Err("cel expression must evaluate to a bool"));
    }

    #[test]
    fn what_cannot_be_worked_out_is_refused_beforehand() {
        let check = |text: &str, part: &str| {
            let why = eval(text, &json!({}), None, 1_000).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        };
        check("that == 1", "undeclared reference to 'that'");
        check("quantities('1') == 1", "undeclared reference to 'quantities'");
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

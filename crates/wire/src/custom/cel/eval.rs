//! Working out what an expression is.

use std::borrow::Cow;
use std::rc::Rc;

use super::functions;
use super::parse::Expr;
use super::value::Val;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It makes no sense with these values.
    Error(String),
    /// It took more steps than it may.
    Budget,
}

/// What one evaluation may use.
#[derive(Debug)]
pub struct Budget {
    /// Steps that are left: about one for each part of an expression that is worked out.
    pub steps: u64,
}

impl Budget {
    /// Takes steps; false when there are none left.
    pub fn spend(&mut self, steps: u64) -> bool {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                true
            }
            None => {
                self.steps = 0;
                false
            }
        }
    }

    /// Takes steps.
    pub fn take(&mut self, steps: u64) -> Result<(), Failure> {
        if self.spend(steps) { Ok(()) } else { Err(Failure::Budget) }
    }
}

/// What it came to.
pub type Evaluated<'a> = Result<Val<'a>, Failure>;

/// Names and what they stand for; the last one with a name hides those before it.
pub struct Scope<'a> {
    /// The names.
    pub names: Vec<(Cow<'a, str>, Val<'a>)>,
    /// What may be used.
    pub budget: &'a mut Budget,
}

/// A mistake that is no matter of steps.
pub fn fail<'a>(why: impl Into<String>) -> Evaluated<'a> {
    Err(Failure::Error(why.into()))
}

fn no_overload<'a>() -> Evaluated<'a> {
    fail("no such overload")
}

impl<'a> Scope<'a> {
    /// Works out an expression.
    pub fn eval(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        self.budget.take(1)?;
        match expr {
            Expr::Null => Ok(Val::Null),
            Expr::Bool(truth) => Ok(Val::Bool(*truth)),
            Expr::Int(int) => Ok(Val::Int(*int)),
            Expr::Double(double) => Ok(Val::Double(*double)),
            Expr::Text(text) => Ok(Val::Text(text.as_str().into())),
            Expr::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.eval(item)).collect();
                Ok(Val::List(Rc::new(items?)))
            }
            Expr::Map(entries) => {
                let mut made = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    made.push((self.eval(key)?, self.eval(value)?));
                }
                Ok(Val::Map(Rc::new(made)))
            }
            Expr::Name(name) => self.name(name),
            Expr::Field(target, name) => {
                let target = self.eval(target)?;
                let name = super::unescape(name);
                target.field(&name).map_or_else(|| fail(format!("no such key: {name}")), Ok)
            }
            Expr::Has(target, name) => {
                let target = self.eval(target)?;
                Ok(Val::Bool(target.field(&super::unescape(name)).is_some()))
            }
            Expr::Index(target, index) => {
                let (target, index) = (self.eval(target)?, self.eval(index)?);
                self.index(&target, &index)
            }
            Expr::Not(inner) => match self.eval(inner)? {
                Val::Bool(truth) => Ok(Val::Bool(!truth)),
                _ => no_overload(),
            },
            Expr::Minus(inner) => match self.eval(inner)? {
                Val::Int(int) => {
                    int.checked_neg().map_or_else(|| fail("integer overflow"), |int| Ok(Val::Int(int)))
                }
                Val::Double(double) => Ok(Val::Double(-double)),
                Val::Duration(nanos) => Ok(Val::Duration(-nanos)),
                _ => no_overload(),
            },
            Expr::And(a, b) => self.logic(a, b, false),
            Expr::Or(a, b) => self.logic(a, b, true),
            Expr::If(condition, yes, no) => match self.eval(condition)? {
                Val::Bool(true) => self.eval(yes),
                Val::Bool(false) => self.eval(no),
                _ => no_overload(),
            },
            Expr::Binary(operator, a, b) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                self.binary(operator, &a, &b)
            }
            Expr::Loop { kind, range, variable, filter, body } => {
                let range = self.eval(range)?;
                self.run(kind, &range, variable, filter.as_deref(), body)
            }
            Expr::Call(name, arguments) => {
                let arguments = self.all(arguments)?;
                functions::call(name, &arguments, self.budget)
            }
            Expr::Method(target, name, arguments) => {
                let target = self.eval(target)?;
                let mut all = vec![target];
                all.extend(self.all(arguments)?);
                functions::method(name, &all, self.budget)
            }
        }
    }

    fn all(&mut self, arguments: &'a [Expr]) -> Result<Vec<Val<'a>>, Failure> {
        arguments.iter().map(|argument| self.eval(argument)).collect()
    }

    fn name(&self, name: &str) -> Evaluated<'a> {
        if let Some((_, value)) = self.names.iter().rev().find(|(known, _)| known == name) {
            return Ok(value.clone());
        }
        match super::TYPES.iter().find(|(known, _)| *known == name) {
            Some((_, shown)) => Ok(Val::Type(shown)),
            None => fail(format!("undeclared reference to '{name}'")),
        }
    }

    fn index(&mut self, target: &Val<'a>, index: &Val<'a>) -> Evaluated<'a> {
        match (target, index) {
            (Val::List(_) | Val::Items(..), Val::Int(at)) => {
                let place = usize::try_from(*at).ok();
                let found = match target {
                    Val::List(items) => place.and_then(|at| items.get(at).cloned()),
                    Val::Items(items, schema) => {
                        place.and_then(|at| items.get(at)).map(|item| Val::of(item, *schema))
                    }
                    _ => None,
                };
                found.map_or_else(|| fail(format!("index out of bounds: {at}")), Ok)
            }
            (Val::Map(_) | Val::Fields(..), key) => {
                let shown = match key {
                    Val::Text(text) => text.to_string(),
                    Val::Int(int) => int.to_string(),
                    other => other.type_name().to_owned(),
                };
                target.entry(key).map_or_else(|| fail(format!("no such key: {shown}")), Ok)
            }
            _ => no_overload(),
        }
    }

    /// `&&` and `||`: one side that decides outweighs a mistake on the other.
    fn logic(&mut self, a: &'a Expr, b: &'a Expr, decides: bool) -> Evaluated<'a> {
        let first = self.eval(a);
        match first {
            Ok(Val::Bool(truth)) if truth == decides => return Ok(Val::Bool(decides)),
            Err(Failure::Budget) => return Err(Failure::Budget),
            _ => {}
        }
        match (first, self.eval(b)) {
            (_, Ok(Val::Bool(truth))) if truth == decides => Ok(Val::Bool(decides)),
            (_, Err(Failure::Budget)) => Err(Failure::Budget),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(Val::Bool(_)), Ok(Val::Bool(truth))) => Ok(Val::Bool(truth)),
            _ => no_overload(),
        }
    }

    fn binary(&mut self, operator: &str, a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
        match operator {
            "==" | "!=" => {
                let budget = &mut *self.budget;
                let same = a.same(b, &mut |steps| budget.spend(steps)).ok_or(Failure::Budget)?;
                Ok(Val::Bool(same == (operator == "==")))
            }
            "in" => self.is_in(a, b),
            "<" | "<=" | ">" | ">=" => {
                let order = functions::compare(a, b).map_or_else(no_order, Ok)?;
                Ok(Val::Bool(match operator {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                }))
            }
            _ => functions::arithmetic(operator, a, b, self.budget),
        }
    }

    fn is_in(&mut self, a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
        if b.type_name() == "map" {
            return Ok(Val::Bool(b.entry(a).is_some()));
        }
        let Some(items) = b.elements() else { return no_overload() };
        let budget = &mut *self.budget;
        for item in &items {
            if a.same(item, &mut |steps| budget.spend(steps)).ok_or(Failure::Budget)? {
                return Ok(Val::Bool(true));
            }
        }
        Ok(Val::Bool(false))
    }

    fn run(
        &mut self,
        kind: &str,
        range: &Val<'a>,
        variable: &'a str,
        filter: Option<&'a Expr>,
        body: &'a Expr,
    ) -> Evaluated<'a> {
        self.budget.take(range.size().unwrap_or(0) as u64)?;
        let Some(items) = range.elements() else { return no_overload() };
        let mut made = Vec::new();
        let mut count = 0usize;
        let mut mistake = None;
        for item in items {
            self.names.push((variable.into(), item.clone()));
            let wanted = match filter {
                Some(filter) => self.eval(filter),
                None => Ok(Val::Bool(true)),
            };
            let result = match wanted {
                Ok(Val::Bool(true)) => self.eval(body).map(Some),
                Ok(Val::Bool(false)) => Ok(None),
                Ok(_) => no_overload().map(Some),
                Err(error) => Err(error),
            };
            self.names.pop();
            match (kind, result) {
                (_, Err(Failure::Budget)) => return Err(Failure::Budget),
                (_, Ok(None)) => {}
                ("map", Ok(Some(value))) => made.push(value),
                ("all", Ok(Some(Val::Bool(false)))) => return Ok(Val::Bool(false)),
                ("exists", Ok(Some(Val::Bool(true)))) => return Ok(Val::Bool(true)),
                ("filter", Ok(Some(Val::Bool(true)))) => made.push(item),
                ("exists_one", Ok(Some(Val::Bool(true)))) => count += 1,
                (_, Ok(Some(Val::Bool(_)))) => {}
                // A later element may still decide.
                ("all" | "exists", Err(error)) => {
                    mistake.get_or_insert(error);
                }
                (_, Err(error)) => return Err(error),
                (_, Ok(Some(_))) => return no_overload(),
            }
        }
        match (kind, mistake) {
            (_, Some(error)) => Err(error),
            ("all", None) => Ok(Val::Bool(true)),
            ("exists", None) => Ok(Val::Bool(false)),
            ("exists_one", None) => Ok(Val::Bool(count == 1)),
            _ => Ok(Val::List(Rc::new(made))),
        }
    }
}

fn no_order<T>() -> Result<T, Failure> {
    Err(Failure::Error("no such overload".into()))
}

//! Working out what an expression is.

use std::borrow::Cow;
use std::rc::Rc;

use crate::budget::{Budget, Failure};
use crate::functions;
use crate::names::{type_of_name, unescape};
use crate::parse::Expr;
use crate::value::{Evaluated, Val, fail, no_overload};

/// Names and what they stand for; the last one with a name hides those before it.
pub struct Scope<'a> {
    /// The names.
    pub names: Vec<(Cow<'a, str>, Val<'a>)>,
    /// What may be used.
    pub budget: &'a mut Budget,
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
            Expr::List(items) => Ok(Val::List(Rc::new(self.all(items)?))),
            Expr::Map(entries) => self.map(entries),
            Expr::Name(name) => self.name(name),
            Expr::Field(target, name) => {
                let target = self.eval(target)?;
                let name = unescape(name);
                target.field(&name).map_or_else(|| fail(format!("no such key: {name}")), Ok)
            }
            Expr::Has(target, name) => {
                let target = self.eval(target)?;
                Ok(Val::Bool(target.field(&unescape(name)).is_some()))
            }
            Expr::Index(target, index) => {
                let (target, index) = (self.eval(target)?, self.eval(index)?);
                self.index(&target, &index)
            }
            Expr::Not(inner) => match self.eval(inner)? {
                Val::Bool(truth) => Ok(Val::Bool(!truth)),
                _ => no_overload(),
            },
            Expr::Minus(inner) => functions::minus(&self.eval(inner)?),
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

    fn all(&mut self, exprs: &'a [Expr]) -> Result<Vec<Val<'a>>, Failure> {
        exprs.iter().map(|expr| self.eval(expr)).collect()
    }

    fn map(&mut self, entries: &'a [(Expr, Expr)]) -> Evaluated<'a> {
        let mut made = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            made.push((self.eval(key)?, self.eval(value)?));
        }
        Ok(Val::Map(Rc::new(made)))
    }

    fn name(&self, name: &str) -> Evaluated<'a> {
        if let Some((_, value)) = self.names.iter().rev().find(|(known, _)| known == name) {
            return Ok(value.clone());
        }
        match type_of_name(name) {
            Some(type_name) => Ok(Val::Type(type_name)),
            None => fail(format!("undeclared reference to '{name}'")),
        }
    }

    fn index(&mut self, target: &Val<'a>, index: &Val<'a>) -> Evaluated<'a> {
        match (target, index) {
            (Val::List(_) | Val::Items(..), Val::Int(at)) => {
                let place = usize::try_from(*at).ok();
                let found = match target {
                    Val::List(items) => place.and_then(|at| items.get(at).cloned()),
                    Val::Items(items, ty) => {
                        place.and_then(|at| items.get(at)).map(|item| Val::of(item, *ty))
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
                let same = a.same(b, self.budget)?;
                Ok(Val::Bool(same == (operator == "==")))
            }
            "in" => self.is_in(a, b),
            "<" | "<=" | ">" | ">=" => {
                let Some(order) = functions::compare(a, b) else { return no_overload() };
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
        for item in &items {
            if a.same(item, self.budget)? {
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

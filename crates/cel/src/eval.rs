//! Working out what an expression is.

use std::borrow::Cow;
use std::rc::Rc;

use crate::ast::{ACCUMULATOR, Entry, Expr, Fold, Literal, Node};
use crate::budget::{Budget, Failure};
use crate::library::{self, Context};
use crate::names::unescape;
use crate::regex::Regexes;
use crate::value::{Evaluated, Val, fail, no_overload};

/// What a list costs that is no plain value, and what a map does.
const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;

/// Names and what they stand for; the last one with a name hides those before it.
pub struct Scope<'a, 'b> {
    /// The names.
    pub names: Vec<(Cow<'a, str>, Val<'a>)>,
    /// What may be used.
    pub budget: &'b mut Budget,
    /// The patterns that are made already.
    pub regexes: &'a Regexes,
}

impl<'a> Scope<'a, '_> {
    /// Works out an expression.
    pub fn eval(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        self.budget.steps(1)?;
        match &expr.node {
            Node::Literal(literal) => Ok(literal.value()),
            Node::Ident(name) => {
                self.budget.cost(1)?;
                self.name(name)
            }
            Node::Select { operand, field, test: false } => {
                let target = self.operand(operand)?;
                self.select(&target, &unescape(field), false)
            }
            Node::Select { operand, field, test: true } => {
                let target = self.operand(operand)?;
                Ok(Val::Bool(match &target {
                    Val::Optional(value) => value.as_ref().is_some_and(|value| has(value, field)),
                    target => has(target, field),
                }))
            }
            Node::Call { function, target, arguments } => self.call(function, target.as_deref(), arguments),
            Node::List(items) => self.list(expr, items),
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(fold),
        }
    }

    /// What a field or an index is taken of: what is no name, field or index itself costs one more.
    fn operand(&mut self, operand: &'a Expr) -> Evaluated<'a> {
        let value = self.eval(operand)?;
        let is_chain = match &operand.node {
            Node::Ident(_) | Node::Select { .. } => true,
            Node::Call { function, .. } => {
                matches!(function.as_str(), "_[_]" | "_?._" | "_[?_]" | "_?_:_")
            }
            _ => false,
        };
        self.budget.cost(1 + u64::from(!is_chain))?;
        Ok(value)
    }

    fn name(&self, name: &str) -> Evaluated<'a> {
        if let Some((_, value)) = self.names.iter().rev().find(|(known, _)| known == name) {
            return Ok(value.clone());
        }
        const TYPES: &[&str] = &[
            "bool",
            "int",
            "uint",
            "double",
            "string",
            "bytes",
            "list",
            "map",
            "null_type",
            "type",
            "optional_type",
            "google.protobuf.Duration",
            "google.protobuf.Timestamp",
            crate::declare::URL,
            crate::declare::IP,
            crate::declare::CIDR,
            crate::declare::QUANTITY,
            crate::declare::SEMVER,
            crate::declare::FORMAT,
        ];
        match TYPES.iter().find(|known| **known == name) {
            Some(type_name) => Ok(Val::Type(type_name)),
            None => fail(format!("no such attribute: {name}")),
        }
    }

    /// The field of a value; of an optional, and where it `may` lack, an optional.
    fn select(&mut self, target: &Val<'a>, name: &str, may_lack: bool) -> Evaluated<'a> {
        if let Val::Optional(value) = target {
            let Some(value) = value else { return Ok(Val::Optional(None)) };
            return Ok(value.field(name).map_or(Val::Optional(None), Val::some));
        }
        self.look_up(target)?;
        match (target.field(name), may_lack) {
            (Some(value), false) => Ok(value),
            (Some(value), true) => Ok(Val::some(value)),
            (None, true) => Ok(Val::Optional(None)),
            (None, false) if target.is_map() => fail(format!("no such key: {name}")),
            (None, false) => no_overload(),
        }
    }

    /// Looking for a key of a map that was made takes longer the larger that is.
    fn look_up(&mut self, target: &Val<'a>) -> Result<(), Failure> {
        match target {
            Val::Map(entries) => self.budget.steps(entries.len() as u64 / 8),
            _ => Ok(()),
        }
    }

    fn index(&mut self, target: &Val<'a>, index: &Val<'a>, may_lack: bool) -> Evaluated<'a> {
        if let Val::Optional(value) = target {
            let Some(value) = value else { return Ok(Val::Optional(None)) };
            return Ok(element(value, index).map_or(Val::Optional(None), Val::some));
        }
        self.look_up(target)?;
        if let Some(value) = element(target, index) {
            return Ok(if may_lack { Val::some(value) } else { value });
        }
        let shown = match index {
            Val::Text(text) => text.to_string(),
            Val::Int(int) => int.to_string(),
            other => other.type_name().to_owned(),
        };
        match target {
            _ if may_lack => Ok(Val::Optional(None)),
            target if target.is_list() => fail(format!("index out of bounds: {shown}")),
            target if target.is_map() => fail(format!("no such key: {shown}")),
            _ => no_overload(),
        }
    }

    fn list(&mut self, expr: &'a Expr, items: &'a [(Expr, bool)]) -> Evaluated<'a> {
        let mut made = Vec::with_capacity(items.len());
        for (item, is_optional) in items {
            match (self.eval(item)?, is_optional) {
                (Val::Optional(value), true) => made.extend(value.map(|value| (*value).clone())),
                (value, _) => made.push(value),
            }
        }
        self.budget.cost(if is_plain(expr) { 0 } else { LIST_COST })?;
        Ok(Val::list(made))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Evaluated<'a> {
        let mut made = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = self.eval(&entry.key)?;
            match (self.eval(&entry.value)?, entry.optional) {
                (Val::Optional(None), true) => {}
                (Val::Optional(Some(value)), true) => made.push((key, (*value).clone())),
                (value, _) => made.push((key, value)),
            }
        }
        self.budget.cost(MAP_COST)?;
        Ok(Val::Map(Rc::new(made)))
    }

    fn call(&mut self, function: &'a str, target: Option<&'a Expr>, arguments: &'a [Expr]) -> Evaluated<'a> {
        match (function, target, arguments) {
            ("_&&_", None, [a, b]) => return self.logic(a, b, false),
            ("_||_", None, [a, b]) => return self.logic(a, b, true),
            ("_?_:_", None, [condition, yes, no]) => {
                return match self.eval(condition)? {
                    Val::Bool(true) => self.eval(yes),
                    Val::Bool(false) => self.eval(no),
                    _ => no_overload(),
                };
            }
            ("@not_strictly_false", None, [condition]) => {
                let value = self.eval(condition);
                self.budget.cost(1)?;
                return match value {
                    Ok(Val::Bool(truth)) => Ok(Val::Bool(truth)),
                    Err(failure) if failure.is_final() => Err(failure),
                    _ => Ok(Val::Bool(true)),
                };
            }
            ("_?._", None, [operand, field]) => {
                let target = self.operand(operand)?;
                let Node::Literal(Literal::Text(name)) = &field.node else { return no_overload() };
                return self.select(&target, &unescape(name), true);
            }
            ("_[_]" | "_[?_]", None, [operand, index]) => {
                let target = self.operand(operand)?;
                let index = self.eval(index)?;
                return self.index(&target, &index, function == "_[?_]");
            }
            ("or" | "orValue", Some(target), [other]) => {
                if let Val::Optional(value) = self.eval(target)? {
                    self.budget.cost(1)?;
                    return match (value, function) {
                        (Some(value), "orValue") => Ok((*value).clone()),
                        (Some(value), _) => Ok(Val::Optional(Some(value))),
                        (None, _) => self.eval(other),
                    };
                }
                return no_overload();
            }
            ("_+_", None, [accumulator, more]) if is_accumulator(accumulator) => {
                return self.append(accumulator, more);
            }
            ("@in", None, [value, list]) if is_plain(list) => {
                // Kubernetes looks into a list of plain values for nothing.
                let all = [self.eval(value)?, self.eval(list)?];
                return self.run("@in", false, &all);
            }
            _ => {}
        }
        let mut all = Vec::with_capacity(arguments.len() + 1);
        for part in target.into_iter().chain(arguments) {
            all.push(self.eval(part)?);
        }
        let is_method = target.is_some();
        let result = self.run(function, is_method, &all)?;
        self.budget.cost(library::cost(function, is_method, &all, &result))?;
        Ok(result)
    }

    fn run(&mut self, function: &str, is_method: bool, all: &[Val<'a>]) -> Evaluated<'a> {
        let mut context = Context { budget: self.budget, regexes: self.regexes };
        library::call(function, is_method, all, &mut context)
    }

    /// Adds to what a loop works out: nobody else has it, so a list is not made anew for each element.
    fn append(&mut self, accumulator: &'a Expr, more: &'a Expr) -> Evaluated<'a> {
        let more = self.eval(more)?;
        let before = self.eval(accumulator)?;
        self.budget.cost(1)?;
        let (Val::List(_), Val::List(items)) = (&before, &more) else {
            return self.run("_+_", false, &[before, more]);
        };
        drop(before);
        let own = self.names.iter_mut().rev().find(|(name, _)| name == ACCUMULATOR);
        let taken = own.map(|(_, value)| std::mem::replace(value, Val::Null));
        let Some(Val::List(mut list)) = taken else { return no_overload() };
        self.budget.steps(items.len() as u64)?;
        Rc::make_mut(&mut list).extend(items.iter().cloned());
        Ok(Val::List(list))
    }

    /// `&&` and `||`: one side that decides outweighs a mistake on the other.
    fn logic(&mut self, a: &'a Expr, b: &'a Expr, decides: bool) -> Evaluated<'a> {
        let first = self.eval(a);
        match first {
            Ok(Val::Bool(truth)) if truth == decides => return Ok(Val::Bool(decides)),
            Err(failure) if failure.is_final() => return Err(failure),
            _ => {}
        }
        match (first, self.eval(b)) {
            (_, Ok(Val::Bool(truth))) if truth == decides => Ok(Val::Bool(decides)),
            (_, Err(failure)) if failure.is_final() => Err(failure),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(Val::Bool(_)), Ok(Val::Bool(truth))) => Ok(Val::Bool(truth)),
            _ => no_overload(),
        }
    }

    fn fold(&mut self, fold: &'a Fold) -> Evaluated<'a> {
        let length = self.names.len();
        let result = self.looped(fold, length);
        self.names.truncate(length);
        result
    }

    fn looped(&mut self, fold: &'a Fold, length: usize) -> Evaluated<'a> {
        let range = self.eval(&fold.range)?;
        let initial = self.eval(&fold.initial)?;
        let Some(elements) = range.elements() else { return no_overload() };
        self.budget.steps(elements.len() as u64)?;
        self.names.push((fold.accumulator.as_str().into(), initial));
        // A mistake in a step is what comes of it: a later element may still decide.
        let mut mistake = None;
        for (place, element) in elements.into_iter().enumerate() {
            self.variables(fold, &range, place, element);
            let goes_on = match mistake {
                None => self.eval(&fold.condition)?,
                Some(_) => Val::Bool(true),
            };
            if !matches!(goes_on, Val::Bool(true)) {
                break;
            }
            if let Some(failure) = mistake.take() {
                // What was worked out so far is a mistake, and only `&&` and `||` can make something else of it.
                match self.step_after(fold, failure)? {
                    Ok(value) => self.set(length, value),
                    Err(failure) => mistake = Some(failure),
                }
            } else {
                match self.eval(&fold.step) {
                    Ok(value) => self.set(length, value),
                    Err(failure) if failure.is_final() => return Err(failure),
                    Err(failure) => mistake = Some(failure),
                }
            }
            self.names.truncate(length + 1);
        }
        self.names.truncate(length + 1);
        match mistake {
            Some(failure) => Err(failure),
            None => self.eval(&fold.result),
        }
    }

    fn set(&mut self, place: usize, value: Val<'a>) {
        if let Some((_, known)) = self.names.get_mut(place) {
            *known = value;
        }
    }

    /// Names the element, or the key and the value.
    fn variables(&mut self, fold: &'a Fold, range: &Val<'a>, place: usize, element: Val<'a>) {
        let Some(second) = &fold.second else {
            self.names.push((fold.variable.as_str().into(), element));
            return;
        };
        let (key, value) = match range.is_list() {
            true => (Val::Int(place as i64), element),
            false => {
                let value = range.entry(&element).unwrap_or(Val::Null);
                (element, value)
            }
        };
        self.names.push((fold.variable.as_str().into(), key));
        self.names.push((second.as_str().into(), value));
    }

    /// A step after one that was a mistake.
    fn step_after(&mut self, fold: &'a Fold, before: Failure) -> Result<Evaluated<'a>, Failure> {
        let (decides, body) = match &fold.step.node {
            Node::Call { function, arguments, .. } => match (function.as_str(), arguments.as_slice()) {
                ("_&&_", [_, body]) => (false, body),
                ("_||_", [_, body]) => (true, body),
                _ => return Err(before),
            },
            _ => return Err(before),
        };
        self.budget.cost(1)?;
        Ok(match self.eval(body) {
            Ok(Val::Bool(truth)) if truth == decides => Ok(Val::Bool(decides)),
            Err(failure) if failure.is_final() => return Err(failure),
            _ => Err(before),
        })
    }
}

fn is_accumulator(expr: &Expr) -> bool {
    matches!(&expr.node, Node::Ident(name) if name == ACCUMULATOR)
}

/// Whether an expression is a plain value, or a list of such.
fn is_plain(expr: &Expr) -> bool {
    match &expr.node {
        Node::Literal(_) => true,
        Node::List(items) => {
            !items.is_empty() && items.iter().all(|(item, is_optional)| !is_optional && is_plain(item))
        }
        _ => false,
    }
}

fn has(target: &Val<'_>, field: &str) -> bool {
    target.field(&unescape(field)).is_some()
}

fn element<'a>(target: &Val<'a>, index: &Val<'a>) -> Option<Val<'a>> {
    if !target.is_list() {
        return target.entry(index);
    }
    let place = match index {
        Val::Int(at) => usize::try_from(*at).ok(),
        Val::Uint(at) => usize::try_from(*at).ok(),
        Val::Double(at) if at.fract() == 0.0 && *at >= 0.0 => Some(*at as usize),
        _ => None,
    };
    target.element(place?)
}

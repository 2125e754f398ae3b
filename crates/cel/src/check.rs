//! What can be said of an expression before there is an object: the type of each part, which functions it calls,
//! and names, functions and fields that there are not.

use std::collections::HashMap;
use std::rc::Rc;

use crate::ast::{Expr, Fold, Id, Literal, Node};
use crate::declare::{self, Overload};
use crate::names::unescape;
use crate::types::{Field, Ty};

/// What was found out about an expression.
#[derive(Debug)]
pub struct Checked<'a> {
    /// The type of each part.
    pub types: HashMap<Id, Ty<'a>>,
    /// What each call may be a call of.
    pub overloads: HashMap<Id, Vec<&'static Overload>>,
    /// Calls whose target is a part of the name of a function, with that name.
    pub qualified: HashMap<Id, String>,
    /// Whether it looks at the value as it was.
    pub uses_old: bool,
    /// What is wrong, with the parts that are.
    pub mistakes: Vec<(Id, String)>,
}

/// Checks an expression whose `self` and `oldSelf` are of these types.
pub fn check<'a>(expr: &Expr, own: Ty<'a>, old: Ty<'a>) -> Checked<'a> {
    let names = vec![("self".to_owned(), own), ("oldSelf".to_owned(), old)];
    let found = Checked {
        types: HashMap::new(),
        overloads: HashMap::new(),
        qualified: HashMap::new(),
        uses_old: false,
        mistakes: Vec::new(),
    };
    let mut checker = Checker { names, known: Vec::new(), trail: Vec::new(), found };
    checker.visit(expr);
    let Checker { known, mut found, .. } = checker;
    for ty in found.types.values_mut() {
        *ty = resolve(&known, ty, true);
    }
    found
}

/// The type with what became known of its parts filled in, and `dyn` for the others where it `closes`.
fn resolve<'a>(known: &[Option<Ty<'a>>], ty: &Ty<'a>, closes: bool) -> Ty<'a> {
    let inner = |one: &Rc<Ty<'a>>| Rc::new(resolve(known, one, closes));
    match ty {
        Ty::Free(number) => match known.get(*number).and_then(Option::as_ref) {
            Some(found) => resolve(known, found, closes),
            None if closes => Ty::Dyn,
            None => ty.clone(),
        },
        Ty::Type(one) => Ty::Type(inner(one)),
        Ty::List(one) => Ty::List(inner(one)),
        Ty::Optional(one) => Ty::Optional(inner(one)),
        Ty::Map(key, value) => Ty::Map(inner(key), inner(value)),
        other => other.clone(),
    }
}

struct Checker<'a> {
    names: Vec<(String, Ty<'a>)>,
    known: Vec<Option<Ty<'a>>>,
    /// What was known before, of types about which something became known: to forget it.
    trail: Vec<(usize, Option<Ty<'a>>)>,
    found: Checked<'a>,
}

impl<'a> Checker<'a> {
    fn free(&mut self) -> Ty<'a> {
        self.known.push(None);
        Ty::Free(self.known.len() - 1)
    }

    fn resolved(&self, ty: &Ty<'a>) -> Ty<'a> {
        resolve(&self.known, ty, false)
    }

    fn mistake(&mut self, expr: &Expr, why: String) -> Ty<'a> {
        if !self.found.mistakes.iter().any(|(id, known)| *id == expr.id && *known == why) {
            self.found.mistakes.push((expr.id, why));
        }
        Ty::Mistake
    }

    fn undeclared(&mut self, expr: &Expr, name: &str) -> Ty<'a> {
        self.mistake(expr, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn visit(&mut self, expr: &Expr) -> Ty<'a> {
        let ty = match &expr.node {
            Node::Literal(literal) => of_literal(literal),
            Node::Ident(name) => self.name(name).unwrap_or_else(|| self.undeclared(expr, name)),
            Node::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Node::Call { function, target, arguments } => {
                self.call(expr, function, target.as_deref(), arguments)
            }
            Node::List(items) => {
                let mut joined = None;
                for (item, is_optional) in items {
                    let found = self.visit(item);
                    let found = if *is_optional { self.unwrapped(item, found) } else { found };
                    joined = Some(self.joined(joined, found));
                }
                Ty::List(Rc::new(joined.unwrap_or_else(|| self.free())))
            }
            Node::Map(entries) => {
                let (mut keys, mut values) = (None, None);
                for entry in entries {
                    let key = self.visit(&entry.key);
                    keys = Some(self.joined(keys, key));
                    let value = self.visit(&entry.value);
                    let value = if entry.optional { self.unwrapped(&entry.value, value) } else { value };
                    values = Some(self.joined(values, value));
                }
                let (keys, values) =
                    (keys.unwrap_or_else(|| self.free()), values.unwrap_or_else(|| self.free()));
                Ty::Map(Rc::new(keys), Rc::new(values))
            }
            Node::Fold(fold) => self.fold(fold),
        };
        self.found.types.insert(expr.id, ty.clone());
        ty
    }

    fn name(&mut self, name: &str) -> Option<Ty<'a>> {
        if let Some((_, ty)) = self.names.iter().rev().find(|(one, _)| one == name) {
            let ty = ty.clone();
            self.found.uses_old |= name == "oldSelf";
            return Some(ty);
        }
        declare::type_named(name).map(|ty| Ty::Type(Rc::new(ty)))
    }

    /// The type that an optional element has when it is there.
    fn unwrapped(&mut self, expr: &Expr, ty: Ty<'a>) -> Ty<'a> {
        match self.resolved(&ty) {
            Ty::Optional(inner) => (*inner).clone(),
            open if open.is_open() => open,
            other => {
                let why = format!("expected type 'optional_type({other})' but found '{other}'");
                self.mistake(expr, why)
            }
        }
    }

    /// The type of elements of these types.
    fn joined(&mut self, before: Option<Ty<'a>>, next: Ty<'a>) -> Ty<'a> {
        let Some(before) = before else { return next };
        // That they are not of one type is told when all else is well.
        if self.fits(&before, &next) { more_general(before, next) } else { Ty::Dyn }
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, name: &str, test: bool) -> Ty<'a> {
        if !test
            && let Some(qualified) = expr.qualified_name()
            && let Some(ty) = declare::type_named(&qualified)
        {
            self.found.qualified.insert(expr.id, qualified);
            return Ty::Type(Rc::new(ty));
        }
        let found = self.field(expr, operand, name, false);
        if test { Ty::Bool } else { found }
    }

    fn field(&mut self, expr: &Expr, operand: &Expr, name: &str, is_optional: bool) -> Ty<'a> {
        let target = self.visit(operand);
        let target = self.resolved(&target);
        let (target, was_optional) = match &target {
            Ty::Optional(inner) => ((**inner).clone(), true),
            _ => (target, false),
        };
        let found = match &target {
            Ty::Map(_, value) => (**value).clone(),
            Ty::Object(ty) => match ty.field(&unescape(name)) {
                Field::Typed(found) => Ty::of(found),
                Field::Untyped => Ty::Dyn,
                Field::Undefined => self.mistake(expr, format!("undefined field '{name}'")),
            },
            Ty::Free(_) => {
                self.fits(&Ty::Dyn, &target);
                Ty::Dyn
            }
            open if open.is_open() => Ty::Dyn,
            other => {
                let why = format!("type '{other}' does not support field selection");
                self.mistake(expr, why);
                Ty::Dyn
            }
        };
        match was_optional || is_optional {
            true => Ty::Optional(Rc::new(found)),
            false => found,
        }
    }

    fn call(&mut self, expr: &Expr, name: &str, target: Option<&Expr>, arguments: &[Expr]) -> Ty<'a> {
        if name == "_?._" {
            let [operand, field] = arguments else { return Ty::Mistake };
            let Node::Literal(Literal::Text(field_name)) = &field.node else { return Ty::Mistake };
            return self.field(expr, operand, field_name, true);
        }
        let mut types: Vec<Ty<'a>> = arguments.iter().map(|one| self.visit(one)).collect();
        if matches!(name, "_&&_" | "_||_") {
            return self.logic(expr, name, arguments, &types);
        }
        let Some(target) = target else {
            return match declare::overloads(name) {
                Some(overloads) => self.overload(expr, name, overloads, &types, false),
                None => self.undeclared(expr, name),
            };
        };
        // What looks like a method may be a function with dots in its name.
        if let Some(before) = target.qualified_name() {
            let qualified = format!("{before}.{name}");
            if let Some(overloads) = declare::overloads(&qualified) {
                self.found.qualified.insert(expr.id, qualified.clone());
                return self.overload(expr, &qualified, overloads, &types, false);
            }
        }
        types.insert(0, self.visit(target));
        match declare::overloads(name) {
            Some(overloads) => self.overload(expr, name, overloads, &types, true),
            None => self.undeclared(expr, name),
        }
    }

    fn logic(&mut self, expr: &Expr, name: &str, arguments: &[Expr], types: &[Ty<'a>]) -> Ty<'a> {
        let mut result = Ty::Bool;
        for (argument, ty) in arguments.iter().zip(types) {
            if !self.fits(ty, &Ty::Bool) {
                let found = self.resolved(ty);
                result = self.mistake(argument, format!("expected type 'bool' but found '{found}'"));
            }
        }
        let overloads = declare::overloads(name).unwrap_or_default();
        self.found.overloads.insert(expr.id, overloads.iter().collect());
        result
    }

    fn overload(
        &mut self,
        expr: &Expr,
        name: &str,
        overloads: &'static [Overload],
        types: &[Ty<'a>],
        is_method: bool,
    ) -> Ty<'a> {
        let mut matching = Vec::new();
        let mut result: Option<Ty<'a>> = None;
        for overload in overloads.iter().filter(|one| one.is_method == is_method) {
            let letters = [self.free(), self.free()];
            let wanted: Vec<Ty<'a>> = overload.arguments.iter().map(|shape| shape.with(&letters)).collect();
            if wanted.len() != types.len() || !self.all_fit(types, &wanted) {
                continue;
            }
            matching.push(overload);
            let found = self.resolved(&overload.result.with(&letters));
            result = Some(match result {
                None => found,
                Some(known) if known.is_open() || known.same(&found) => known,
                Some(_) => Ty::Dyn,
            });
        }
        self.found.overloads.insert(expr.id, matching);
        result.unwrap_or_else(|| {
            let shown: Vec<String> =
                types.iter().map(|ty| resolve(&self.known, ty, true).to_string()).collect();
            let signature = match (is_method, shown.split_first()) {
                (true, Some((target, rest))) => format!("{target}.({})", rest.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            self.mistake(expr, format!("found no matching overload for '{name}' applied to '{signature}'"))
        })
    }

    fn fold(&mut self, fold: &Fold) -> Ty<'a> {
        let range = self.visit(&fold.range);
        let initial = self.visit(&fold.initial);
        let range = self.resolved(&range);
        let has_second = fold.second.is_some();
        let (first, second) = match &range {
            Ty::List(element) if has_second => (Ty::Int, (**element).clone()),
            Ty::List(element) => ((**element).clone(), Ty::Dyn),
            Ty::Map(key, value) => ((**key).clone(), (**value).clone()),
            Ty::Free(_) => {
                self.fits(&Ty::Dyn, &range);
                (Ty::Dyn, Ty::Dyn)
            }
            open if open.is_open() => (Ty::Dyn, Ty::Dyn),
            other => {
                let why = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.mistake(&fold.range, why);
                (Ty::Mistake, Ty::Mistake)
            }
        };
        let length = self.names.len();
        self.names.push((fold.accumulator.clone(), initial.clone()));
        self.names.push((fold.variable.clone(), first));
        self.names.extend(fold.second.clone().map(|name| (name, second)));
        let condition = self.visit(&fold.condition);
        self.must_be(&fold.condition, &Ty::Bool, &condition);
        let step = self.visit(&fold.step);
        self.must_be(&fold.step, &initial, &step);
        self.names.truncate(length + 1);
        let result = self.visit(&fold.result);
        self.names.truncate(length);
        self.resolved(&result)
    }

    fn must_be(&mut self, expr: &Expr, wanted: &Ty<'a>, found: &Ty<'a>) {
        if !self.fits(found, wanted) {
            let (wanted, found) = (self.resolved(wanted), self.resolved(found));
            self.mistake(expr, format!("expected type '{wanted}' but found '{found}'"));
        }
    }

    /// Whether values of all these types may stand for those: what becomes known by it is kept only if they do.
    fn all_fit(&mut self, types: &[Ty<'a>], wanted: &[Ty<'a>]) -> bool {
        self.trail.clear();
        let fit = types.iter().zip(wanted).all(|(ty, wanted)| self.fit(ty, wanted));
        if !fit {
            while let Some((number, before)) = self.trail.pop() {
                self.known[number] = before;
            }
        }
        fit
    }

    fn fits(&mut self, ty: &Ty<'a>, wanted: &Ty<'a>) -> bool {
        self.all_fit(std::slice::from_ref(ty), std::slice::from_ref(wanted))
    }

    fn fit(&mut self, ty: &Ty<'a>, wanted: &Ty<'a>) -> bool {
        if let Ty::Free(number) = wanted
            && let Some(stands) = self.stands_for(ty, *number)
        {
            return stands;
        }
        if let Ty::Free(number) = ty {
            return self.stands_for(wanted, *number).unwrap_or(false);
        }
        match (ty, wanted) {
            (one, other) if one.is_open() || other.is_open() => true,
            (Ty::Null, other) | (other, Ty::Null) => is_nullable(other),
            (Ty::Type(_), Ty::Type(_)) => true,
            (Ty::List(one), Ty::List(other)) | (Ty::Optional(one), Ty::Optional(other)) => {
                self.fit(one, other)
            }
            (Ty::Map(key, value), Ty::Map(other_key, other)) => {
                self.fit(key, other_key) && self.fit(value, other)
            }
            (one, other) => one.same(other),
        }
    }

    /// Whether a type may stand for one that is not known yet; none where that one holds it itself.
    fn stands_for(&mut self, ty: &Ty<'a>, number: usize) -> Option<bool> {
        if matches!(ty, Ty::Free(other) if *other == number) {
            return Some(true);
        }
        if let Some(known) = self.known.get(number).cloned().flatten() {
            if ty.same(&known) {
                return Some(true);
            }
            if !self.fit(ty, &known) {
                return Some(false);
            }
            let general = more_general(ty.clone(), known);
            if !self.holds(&general, number) {
                self.learn(number, general);
            }
            return Some(true);
        }
        if self.holds(ty, number) {
            return None;
        }
        self.learn(number, ty.clone());
        Some(true)
    }

    fn learn(&mut self, number: usize, ty: Ty<'a>) {
        let before = self.known[number].replace(ty);
        self.trail.push((number, before));
    }

    /// Whether a type is made from one that is not known yet.
    fn holds(&self, ty: &Ty<'a>, number: usize) -> bool {
        match ty {
            Ty::Free(other) if *other == number => true,
            Ty::Free(other) => self.known[*other].as_ref().is_some_and(|known| self.holds(known, number)),
            other => other.parameters().into_iter().any(|one| self.holds(one, number)),
        }
    }
}

/// Lists and maps whose elements, keys or values are not of one type; what is formatted may be of any.
pub fn mixed(expr: &Expr, checked: &Checked<'_>) -> Vec<(Id, String)> {
    let mut found = Vec::new();
    find_mixed(expr, checked, &mut found);
    found
}

fn find_mixed(expr: &Expr, checked: &Checked<'_>, found: &mut Vec<(Id, String)>) {
    let ty = |expr: &Expr, is_optional: bool| match checked.types.get(&expr.id) {
        Some(Ty::Optional(inner)) if is_optional => (**inner).clone(),
        Some(ty) => ty.clone(),
        None => Ty::Dyn,
    };
    let mut one_type = |all: Vec<(&Expr, bool)>| {
        let mut all = all.into_iter();
        let Some((first, is_optional)) = all.next() else { return };
        let wanted = ty(first, is_optional);
        for (expr, is_optional) in all {
            let next = ty(expr, is_optional);
            if !says_no_more(&wanted, &next) && !says_no_more(&next, &wanted) {
                found.push((expr.id, format!("expected type '{wanted}' but found '{next}'")));
                return;
            }
        }
    };
    match &expr.node {
        Node::List(items) => one_type(items.iter().map(|(item, is_optional)| (item, *is_optional)).collect()),
        Node::Map(entries) => {
            one_type(entries.iter().map(|entry| (&entry.key, false)).collect());
            one_type(entries.iter().map(|entry| (&entry.value, entry.optional)).collect());
        }
        Node::Call { function, target: Some(target), .. } if function == "format" => {
            return find_mixed(target, checked, found);
        }
        _ => {}
    }
    for part in expr.children() {
        find_mixed(part, checked, found);
    }
}

/// Whether null may stand for a value of the type.
fn is_nullable(ty: &Ty<'_>) -> bool {
    matches!(ty, Ty::Null | Ty::Duration | Ty::Moment | Ty::Object(_) | Ty::Optional(_) | Ty::Named(_))
}

fn of_literal<'a>(literal: &Literal) -> Ty<'a> {
    match literal {
        Literal::Null => Ty::Null,
        Literal::Bool(_) => Ty::Bool,
        Literal::Int(_) => Ty::Int,
        Literal::Uint(_) => Ty::Uint,
        Literal::Double(_) => Ty::Double,
        Literal::Text(_) => Ty::Text,
        Literal::Bytes(_) => Ty::Bytes,
    }
}

/// That one of two types which says less.
fn more_general<'a>(one: Ty<'a>, other: Ty<'a>) -> Ty<'a> {
    if says_no_more(&one, &other) { one } else { other }
}

fn says_no_more(one: &Ty<'_>, other: &Ty<'_>) -> bool {
    match (one, other) {
        (Ty::Dyn | Ty::Free(_), _) => true,
        (_, Ty::Dyn | Ty::Free(_)) => false,
        (Ty::Type(_), Ty::Type(_)) => true,
        (Ty::Named(one), Ty::Named(other)) => one == other,
        (Ty::Object(one), Ty::Object(other)) => std::ptr::addr_eq(*one, *other),
        (one, other) => {
            std::mem::discriminant(one) == std::mem::discriminant(other)
                && one.parameters().into_iter().zip(other.parameters()).all(|(a, b)| says_no_more(a, b))
        }
    }
}

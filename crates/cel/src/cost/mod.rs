//! What an expression costs at most, before there is an object: as Kubernetes estimates it, in the same units.

mod library;
mod range;

use std::collections::HashMap;

use crate::ast::{ACCUMULATOR, Entry, Expr, Fold, Id, Literal, Node};
use crate::check::Checked;
use crate::declare::{Overload, Shape};
use crate::names::unescape;
use crate::types::{Kind, Ty, Type};
use range::{LIST_COST, NOTHING, ONE, PER_CHARACTER, Range, UNKNOWN, comparison, pattern_cost};

/// What it costs to make a map.
const MAP_COST: u64 = 30;

/// Where a value is found in the object.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// Its type says how large it is.
    At(&'a dyn Type),
    /// The keys of a map, of which nothing is said.
    Keys,
    /// Nobody says anything of it.
    Lost,
}

/// What is known of the elements of a list, or the keys and values of a map.
#[derive(Clone, Copy)]
struct Inside {
    is_list: bool,
    key: Range,
    value: Range,
}

#[derive(Clone)]
struct Local<'a> {
    name: String,
    place: Option<Place<'a>>,
    size: Option<Range>,
    inside: Option<Inside>,
}

/// What an expression costs at most. `own` is what its `self` and `oldSelf` are values of.
pub fn estimate<'a>(expr: &Expr, checked: &Checked<'a>, own: &'a dyn Type) -> u64 {
    let mut estimate = Estimate {
        checked,
        own,
        places: HashMap::new(),
        sizes: HashMap::new(),
        insides: HashMap::new(),
        locals: Vec::new(),
    };
    estimate.cost(expr).max
}

struct Estimate<'a, 'c> {
    checked: &'c Checked<'a>,
    own: &'a dyn Type,
    places: HashMap<Id, Place<'a>>,
    sizes: HashMap<Id, Range>,
    insides: HashMap<Id, Inside>,
    locals: Vec<Local<'a>>,
}

impl<'a> Estimate<'a, '_> {
    fn ty(&self, expr: &Expr) -> Ty<'a> {
        self.checked.types.get(&expr.id).cloned().unwrap_or(Ty::Dyn)
    }

    fn local(&self, name: &str) -> Option<&Local<'a>> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn place(&self, expr: &Expr) -> Option<Place<'a>> {
        if let Node::Ident(name) = &expr.node
            && let Some(local) = self.local(name)
        {
            return local.place;
        }
        self.places.get(&expr.id).copied()
    }

    fn cost(&mut self, expr: &Expr) -> Range {
        match &expr.node {
            Node::Literal(_) => NOTHING,
            Node::Ident(name) => {
                let place = match self.local(name) {
                    Some(local) => local.place,
                    None => Some(Place::At(self.own)),
                };
                self.places.extend(place.map(|place| (expr.id, place)));
                ONE
            }
            Node::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Node::Call { function, target, arguments } => {
                self.call(expr, function, target.as_deref(), arguments)
            }
            Node::List(items) => self.list(expr, items),
            Node::Map(entries) => self.map(expr, entries),
            Node::Fold(fold) if fold.is_binding() => self.binding(expr, fold),
            Node::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, test: bool) -> Range {
        if self.checked.qualified.contains_key(&expr.id) {
            self.places.insert(expr.id, Place::At(self.own));
            return ONE;
        }
        let cost = self.cost(operand);
        if test {
            return cost;
        }
        // Kubernetes takes what it has no path for to be a field of the whole.
        let whole = Place::At(self.own);
        let place = match self.place(operand).unwrap_or(whole) {
            Place::At(ty) if ty.kind() == Kind::Object => {
                ty.field(&unescape(field)).as_type().map_or(Place::Lost, Place::At)
            }
            _ => Place::Lost,
        };
        self.places.insert(expr.id, place);
        match self.ty(operand) {
            Ty::Map(..) | Ty::Object(_) => cost.plus(ONE),
            _ => cost,
        }
    }

    fn list(&mut self, expr: &Expr, items: &[(Expr, bool)]) -> Range {
        let mut cost = Range::exactly(LIST_COST);
        let mut size = Range { min: if items.is_empty() { 0 } else { u64::MAX }, max: 0 };
        for (item, _) in items {
            cost = cost.plus(self.cost(item));
            size = size.or(self.size_or_unknown(item));
        }
        self.insides.insert(expr.id, Inside { is_list: true, key: ONE, value: size });
        cost
    }

    fn map(&mut self, expr: &Expr, entries: &[Entry]) -> Range {
        let mut cost = Range::exactly(MAP_COST);
        let empty = Range { min: if entries.is_empty() { 0 } else { u64::MAX }, max: 0 };
        let mut inside = Inside { is_list: false, key: empty, value: empty };
        for entry in entries {
            cost = cost.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
            inside.key = inside.key.or(self.size_or_unknown(&entry.key));
            inside.value = inside.value.or(self.size_or_unknown(&entry.value));
        }
        self.insides.insert(expr.id, inside);
        cost
    }

    fn binding(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let cost = self.cost(&fold.range).plus(self.cost(&fold.initial));
        self.push(&fold.accumulator, &fold.initial);
        let cost = cost.plus(self.cost(&fold.result));
        self.locals.pop();
        let (size, inside) = (self.size(&fold.result), self.inside(&fold.result));
        self.sizes.extend(size.map(|size| (expr.id, size)));
        self.insides.extend(inside.map(|inside| (expr.id, inside)));
        cost
    }

    fn push(&mut self, name: &str, value: &Expr) {
        let local = Local {
            name: name.to_owned(),
            place: self.place(value).filter(|_| name != ACCUMULATOR),
            size: self.size(value),
            inside: self.inside(value),
        };
        self.locals.push(local);
    }

    fn fold(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let cost = self.cost(&fold.range).plus(self.cost(&fold.initial));
        self.push(&fold.accumulator, &fold.initial);
        let inside = self.inside(&fold.range);
        let is_list = inside.map_or(matches!(self.ty(&fold.range), Ty::List(_)), |inside| inside.is_list);
        let range_place = self.place(&fold.range);
        // Elements of what it has no path for are taken to be as large as the whole.
        let whole = Place::At(self.own);
        let value_place = range_place.map_or(whole, element_of);
        let key_place = range_place.map_or(whole, |place| match place {
            Place::At(ty) if ty.kind() == Kind::Map => Place::Keys,
            _ => Place::Lost,
        });
        let (keys, values) = (inside.map(|inside| inside.key), inside.map(|inside| inside.value));
        let mut local = |name: &str, place, size| {
            self.locals.push(Local { name: name.to_owned(), place: Some(place), size, inside: None });
        };
        match (&fold.second, is_list) {
            (None, true) => local(&fold.variable, value_place, values),
            (None, false) => local(&fold.variable, key_place, keys),
            (Some(second), _) => {
                local(&fold.variable, key_place, keys);
                local(second, value_place, values);
            }
        }
        let each = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.locals.pop();
        if fold.second.is_some() {
            self.locals.pop();
        }
        let cost = cost.plus(self.cost(&fold.result));
        self.locals.pop();
        let count = self.size_or_unknown(&fold.range);
        match &fold.initial.node {
            Node::Literal(_) => {
                let size = self.size(&fold.initial);
                self.sizes.extend(size.map(|size| (expr.id, size)));
            }
            Node::List(_) | Node::Map(_) => {
                self.sizes.insert(expr.id, count);
                let inside = self.inside(&fold.step);
                self.insides.extend(inside.map(|inside| (expr.id, inside)));
            }
            _ => {}
        }
        cost.plus(count.times(each))
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(UNKNOWN)
    }

    fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        let written = match &expr.node {
            Node::Literal(Literal::Text(text)) => Some(text.chars().count()),
            Node::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Node::Literal(_) => Some(1),
            Node::List(items) => Some(items.len()),
            Node::Map(entries) => Some(entries.len()),
            _ => None,
        };
        if let Some(written) = written {
            return Some(Range::exactly(written as u64));
        }
        if let Some(size) = self.place(expr).and_then(size_at) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if self.ty(expr).is_scalar() {
            return Some(ONE);
        }
        match &expr.node {
            Node::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    fn inside(&self, expr: &Expr) -> Option<Inside> {
        let known = self.insides.get(&expr.id).copied();
        known.or_else(|| match &expr.node {
            Node::Ident(name) => self.local(name).and_then(|local| local.inside),
            _ => None,
        })
    }

    fn call(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, arguments: &[Expr]) -> Range {
        if let ("dyn", None, [only]) = (function, target, arguments) {
            let cost = self.cost(only).plus(ONE);
            let (size, inside) = (self.size(only), self.inside(only));
            self.sizes.extend(size.map(|size| (expr.id, size)));
            self.insides.extend(inside.map(|inside| (expr.id, inside)));
            return cost;
        }
        let costs: Vec<Range> = arguments.iter().map(|one| self.cost(one)).collect();
        let qualified = self.checked.qualified.get(&expr.id);
        let (function, target) = match qualified {
            Some(name) => (name.as_str(), None),
            None => (function, target),
        };
        let of_target = target.map_or(NOTHING, |target| self.cost(target));
        let Some(overloads) = self.checked.overloads.get(&expr.id).filter(|all| !all.is_empty()) else {
            // The one call that has no declaration takes a field if it is there.
            return if function == "_?._" {
                costs.iter().fold(ONE, |sum, one| sum.plus(*one))
            } else {
                NOTHING
            };
        };
        let mut all = Range { min: u64::MAX, max: 0 };
        let mut size: Option<Range> = None;
        for overload in overloads {
            let call = Call { expr, function, overload, target, arguments, costs: &costs };
            let (cost, result) = self.overload(&call);
            all = all.or(cost);
            size = match (size, result) {
                (Some(one), Some(other)) => Some(one.or(other)),
                (one, other) => one.or(other),
            };
        }
        let is_of_container = |overload: &&Overload| {
            matches!(overload.arguments.first(), Some(Shape::List(_) | Shape::Map(..)))
        };
        if let ("_[_]", Some(container), Some(_)) =
            (function, arguments.first(), overloads.iter().copied().find(is_of_container))
        {
            size = self.inside(container).map(|inside| inside.value);
            let whole = Place::At(self.own);
            self.places.insert(expr.id, self.place(container).map_or(whole, element_of));
        }
        let size = size.or_else(|| self.size(expr));
        self.sizes.extend(size.map(|size| (expr.id, size)));
        of_target.plus(all)
    }
}

/// A call of one overload. `costs` are those of its arguments.
struct Call<'x> {
    expr: &'x Expr,
    function: &'x str,
    overload: &'static Overload,
    target: Option<&'x Expr>,
    arguments: &'x [Expr],
    costs: &'x [Range],
}

impl Call<'_> {
    fn of_arguments(&self) -> Range {
        self.costs.iter().fold(NOTHING, |sum, one| sum.plus(*one))
    }

    fn takes(&self, at: usize, shape: &Shape) -> bool {
        self.overload.arguments.get(at) == Some(shape)
    }
}

fn element_of(place: Place<'_>) -> Place<'_> {
    match place {
        Place::At(ty) => ty.element().map_or(Place::Lost, Place::At),
        Place::Keys | Place::Lost => Place::Lost,
    }
}

fn size_at(place: Place<'_>) -> Option<Range> {
    match place {
        Place::At(ty) => Some(Range { min: 0, max: ty.max_size() }),
        Place::Keys => Some(NOTHING),
        Place::Lost => None,
    }
}

impl<'a> Estimate<'a, '_> {
    /// The cost of a call without that of its target, and the size of what it comes to.
    fn overload(&mut self, call: &Call<'_>) -> (Range, Option<Range>) {
        let of_arguments = call.of_arguments();
        if let Some((cost, size)) = self.of_library(call) {
            return (cost.plus(of_arguments), size);
        }
        let first = call.arguments.first().map(|one| self.size_or_unknown(one));
        let second = call.arguments.get(1).map(|one| self.size_or_unknown(one));
        let target = call.target.map(|one| self.size_or_unknown(one));
        let is_text = call.takes(0, &Shape::Text) || call.takes(0, &Shape::Bytes);
        let cost = match (call.function, target, first, second) {
            ("format", Some(target), ..) => target.scaled(PER_CHARACTER),
            ("bytes", _, Some(first), _) if call.takes(0, &Shape::Text) => {
                let size = Range { min: first.min, max: first.max.saturating_mul(4) };
                return (first.scaled(PER_CHARACTER).plus(of_arguments), Some(size));
            }
            ("string", _, Some(first), _) if call.takes(0, &Shape::Bytes) => {
                let size = Range { min: first.min / 4, max: first.max };
                return (first.scaled(PER_CHARACTER).plus(of_arguments), Some(size));
            }
            ("strings.quote", _, Some(first), _) => {
                let size = Range { min: first.min + 2, max: first.max.saturating_mul(2).saturating_add(2) };
                return (first.scaled(PER_CHARACTER).plus(of_arguments), Some(size));
            }
            ("startsWith" | "endsWith", _, Some(first), _) => first.scaled(PER_CHARACTER),
            ("@in", _, _, Some(second)) if matches!(call.overload.arguments.get(1), Some(Shape::List(_))) => {
                second
            }
            ("matches", Some(target), Some(pattern), _) => pattern_cost(target, pattern),
            ("contains", Some(target), Some(first), _) => {
                target.scaled(PER_CHARACTER).times(first.scaled(PER_CHARACTER))
            }
            ("_||_" | "_&&_", ..) => {
                let (left, both) = (call.costs.first().copied().unwrap_or(NOTHING), of_arguments);
                return (Range { min: left.min, max: both.max }, None);
            }
            ("_?_:_", ..) => return self.conditional(call),
            ("_+_", _, Some(first), Some(second)) if is_text => {
                let size = first.plus(second);
                return (size.scaled(PER_CHARACTER).plus(of_arguments), Some(size));
            }
            ("_+_", _, Some(first), Some(second)) if matches!(call.overload.result, Shape::List(_)) => {
                let one = call.arguments.first().and_then(|one| self.inside(one));
                let other = call.arguments.get(1).and_then(|one| self.inside(one));
                self.insides.extend(joined(one, other).map(|inside| (call.expr.id, inside)));
                return (ONE.plus(of_arguments), Some(first.plus(second)));
            }
            ("_<_" | "_>_" | "_<=_" | "_>=_", _, Some(first), Some(second)) if is_text => {
                comparison(first, second)
            }
            ("_==_" | "_!=_", _, Some(first), Some(second)) => comparison(first, second),
            _ => ONE,
        };
        (cost.plus(of_arguments), None)
    }

    fn conditional(&mut self, call: &Call<'_>) -> (Range, Option<Range>) {
        let ([condition, yes, no], [of_condition, of_yes, of_no]) = (call.arguments, call.costs) else {
            return (ONE, None);
        };
        let _ = condition;
        let size = self.size_or_unknown(yes).or(self.size_or_unknown(no));
        let inside = joined(self.inside(yes), self.inside(no));
        self.insides.extend(inside.map(|inside| (call.expr.id, inside)));
        (of_condition.plus(of_yes.or(*of_no)), Some(size))
    }
}

fn joined(one: Option<Inside>, other: Option<Inside>) -> Option<Inside> {
    let (one, other) = (one?, other?);
    Some(Inside { is_list: one.is_list, key: one.key.or(other.key), value: one.value.or(other.value) })
}

//! What differs between two states of an object.

use std::collections::HashMap;

use everynode_model::{Object, Value};

use super::element::{PathElement, Scalar};
use super::set::{FieldSet, Node};
use super::view::{List, Map, Relation, Shape, View};

/// The fields by which two states differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only the old state has them.
    pub removed: FieldSet,
    /// They are different.
    pub modified: FieldSet,
    /// Only the new state has them.
    pub added: FieldSet,
}

impl Comparison {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// What the new state says that the old one does not.
    pub fn said(&self) -> FieldSet {
        self.modified.union(&self.added)
    }

    /// The comparison of the fields that a filter lets through.
    #[must_use]
    pub fn filtered(self, filter: impl Fn(&FieldSet) -> FieldSet) -> Comparison {
        if self.is_empty() {
            return self;
        }
        Comparison {
            removed: filter(&self.removed),
            modified: filter(&self.modified),
            added: filter(&self.added),
        }
    }

    fn attach(&mut self, element: PathElement, found: Found) {
        let Found { own, below } = found;
        let attach = |set: &mut FieldSet, of: Own, children: FieldSet| {
            if let Some(node) = Node::of(element.clone(), own == Some(of), children) {
                set.push(node);
            }
        };
        attach(&mut self.removed, Own::Removed, below.removed);
        attach(&mut self.modified, Own::Modified, below.modified);
        attach(&mut self.added, Own::Added, below.added);
    }
}

/// What is to be said of a value itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Removed,
    Modified,
    Added,
}

/// What differs at a place, and in it.
#[derive(Default)]
struct Found {
    own: Option<Own>,
    below: Comparison,
}

/// Compares two states of an object.
pub fn compare(view: View<'_>, old: &Value, new: &Value) -> Comparison {
    find(view, Some(old), Some(new)).below
}

/// Whether two values are the same: a number may be written in several ways.
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || Scalar::of(a) == Scalar::of(b),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| is_same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            let same = |(name, x): (&String, &Value)| y.get(name).is_some_and(|y| is_same(x, y));
            x.len() == y.len() && x.iter().all(same)
        }
        _ => a == b,
    }
}

fn find(view: View<'_>, old: Option<&Value>, new: Option<&Value>) -> Found {
    let mut found = Found::default();
    let (before, after) = (view.form(old), view.form(new));
    let mut is_leaf = false;
    match (old, new) {
        (_, None) => is_leaf = look(before.shape, old, new, &mut found),
        (None, _) => is_leaf = look(after.shape, old, new, &mut found),
        _ if before.choice == after.choice => is_leaf = look(after.shape, old, new, &mut found),
        _ => {
            look(before.shape, old, new, &mut found);
            is_leaf |= look(after.shape, old, new, &mut found);
        }
    }
    if !is_leaf {
        match (old, new) {
            (None, _) => found.own = Some(Own::Added),
            (_, None) => found.own = Some(Own::Removed),
            _ => {}
        }
    }
    found
}

/// Compares two values in a form; whether they are one thing in it.
fn look<'v>(shape: Shape<'_>, old: Option<&'v Value>, new: Option<&'v Value>, found: &mut Found) -> bool {
    match shape {
        Shape::Map(map) if !map.is_atomic => {
            let (a, b) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            if has_any(a.map(Object::len)) || has_any(b.map(Object::len)) {
                look_at_fields(map, a, b, &mut found.below);
                return false;
            }
        }
        Shape::List(list) if !matches!(list.relation, Relation::Atomic) => {
            let (a, b) = (old.and_then(Value::as_array), new.and_then(Value::as_array));
            if has_any(a.map(Vec::len)) || has_any(b.map(Vec::len)) {
                let items = |list: Option<&'v Vec<Value>>| list.map_or(&[][..], Vec::as_slice);
                look_at_items(list, items(a), items(b), &mut found.below);
                return false;
            }
        }
        _ => {}
    }
    match (old, new) {
        (None, _) => found.own = Some(Own::Added),
        (_, None) => found.own = Some(Own::Removed),
        (Some(old), Some(new)) if !is_same(old, new) => found.own = Some(Own::Modified),
        _ => {}
    }
    true
}

fn has_any(length: Option<usize>) -> bool {
    length.is_some_and(|length| length > 0)
}

fn look_at_fields(map: Map<'_>, old: Option<&Object>, new: Option<&Object>, into: &mut Comparison) {
    for (name, a) in old.into_iter().flatten() {
        let b = new.and_then(|new| new.get(name));
        if b == Some(a) {
            continue;
        }
        if let Some(child) = map.child(name) {
            into.attach(PathElement::field(name), find(child.view, Some(a), b));
        }
    }
    for (name, b) in new.into_iter().flatten() {
        if old.is_none_or(|old| !old.contains_key(name))
            && let Some(child) = map.child(name)
        {
            into.attach(PathElement::field(name), find(child.view, None, Some(b)));
        }
    }
}

/// Elements with one key; there may be several in an object that nobody applied.
#[derive(Default)]
struct Twins<'v> {
    old: Vec<&'v Value>,
    new: Vec<&'v Value>,
}

fn look_at_items<'v>(list: List<'_>, old: &'v [Value], new: &'v [Value], into: &mut Comparison) {
    let mut by_key: HashMap<PathElement, Twins<'v>> = HashMap::with_capacity(old.len().max(new.len()));
    for item in old {
        if let Ok(element) = list.element(item) {
            by_key.entry(element).or_default().old.push(item);
        }
    }
    for item in new {
        if let Ok(element) = list.element(item) {
            by_key.entry(element).or_default().new.push(item);
        }
    }
    let mut elements: Vec<(PathElement, Twins<'v>)> = by_key.into_iter().collect();
    elements.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (element, twins) in elements {
        let found = match (twins.old.as_slice(), twins.new.as_slice()) {
            ([] | [_], [] | [_]) => {
                let (a, b) = (twins.old.first().copied(), twins.new.first().copied());
                if a == b {
                    continue;
                }
                find(list.item, a, b)
            }
            ([_, _, ..], [_, _, ..]) => {
                let same = twins.old.len() == twins.new.len()
                    && twins.old.iter().zip(&twins.new).all(|(a, b)| is_same(a, b));
                Found { own: (!same).then_some(Own::Modified), below: Comparison::default() }
            }
            // The mark of the twins goes, and what is left has its parts again; or the other way round.
            ([_, _, ..], rest) => {
                let removed = Found { own: Some(Own::Removed), below: Comparison::default() };
                into.attach(element.clone(), removed);
                rest.first().map(|b| find(list.item, None, Some(b))).unwrap_or_default()
            }
            (rest, _) => {
                let found = rest.first().map(|a| find(list.item, Some(a), None)).unwrap_or_default();
                into.attach(element.clone(), Found { own: Some(Own::Added), below: Comparison::default() });
                found
            }
        };
        into.attach(element, found);
    }
}

//! Which fields a value has.

use std::collections::HashSet;

use everynode_model::{Object, Value};

use super::element::PathElement;
use super::set::{FieldSet, Node};
use super::view::{List, Map, Relation, Shape, View};

/// The fields of an object.
pub fn fields_of(view: View<'_>, object: &Value) -> FieldSet {
    below(view, object).1
}

/// Whether a value itself is a field, and the fields in it.
fn below(view: View<'_>, value: &Value) -> (bool, FieldSet) {
    match view.form(Some(value)).shape {
        Shape::Scalar(_) => (true, FieldSet::new()),
        Shape::List(list) if matches!(list.relation, Relation::Atomic) => (true, FieldSet::new()),
        Shape::Map(map) if map.is_atomic => (true, FieldSet::new()),
        Shape::List(list) => (false, value.as_array().map(|items| of_items(list, items)).unwrap_or_default()),
        Shape::Map(map) => {
            (false, value.as_object().map(|fields| of_fields(map, fields)).unwrap_or_default())
        }
    }
}

fn of_fields(map: Map<'_>, fields: &Object) -> FieldSet {
    let nodes = fields.iter().filter_map(|(name, value)| {
        let child = map.child(name)?;
        let (is_member, children) = below(child.view, value);
        let is_empty = value.is_null() || value.as_object().is_some_and(Object::is_empty);
        Node::of(PathElement::field(name), is_member || is_empty || !child.is_named, children)
    });
    FieldSet::of(nodes.collect())
}

/// An element that is there more than once is one field without parts.
fn of_items(list: List<'_>, items: &[Value]) -> FieldSet {
    let keyed = || items.iter().filter_map(|item| Some((list.element(item).ok()?, item)));
    let (mut seen, mut repeated) = (HashSet::new(), HashSet::new());
    for (element, _) in keyed() {
        if seen.contains(&element) {
            repeated.insert(element);
        } else {
            seen.insert(element);
        }
    }
    let mut set = Vec::with_capacity(seen.len());
    for (element, item) in keyed() {
        let children = match repeated.contains(&element) {
            // Taken at its first place, and not again.
            true if !seen.remove(&element) => continue,
            true => FieldSet::new(),
            false => below(list.item, item).1,
        };
        set.push(Node { element, is_member: true, children });
    }
    FieldSet::of(set)
}

/// The set with the fields that the schema names and whose parts it has: a set of `spec.replicas` has `spec` too.
pub fn with_named(view: View<'_>, set: &FieldSet) -> FieldSet {
    let form = view.form(None);
    let nodes = set.nodes().iter().map(|node| {
        let (inner, is_named) = match (form.shape, node.element.field_name()) {
            (Shape::Map(map), Some(name)) => map.child(name).map(|child| (child.view, child.is_named)),
            (Shape::List(list), None) if matches!(node.element, PathElement::Key(_)) => {
                Some((list.item, false))
            }
            _ => None,
        }
        .unzip();
        let named = is_named == Some(true) && !node.children.is_empty();
        let children = match inner {
            Some(view) => with_named(view, &node.children),
            None => node.children.clone(),
        };
        Node { element: node.element.clone(), is_member: node.is_member || named, children }
    });
    FieldSet::of(nodes.collect())
}

/// The set as it is after fields with parts became one thing; nothing when none did.
pub fn reconciled(view: View<'_>, set: &FieldSet) -> Option<FieldSet> {
    let (mut gone, mut whole) = (FieldSet::new(), FieldSet::new());
    find_whole(view, set, &mut Vec::new(), (&mut gone, &mut whole));
    (!whole.is_empty()).then(|| set.difference_below(&gone).union(&whole))
}

fn find_whole(
    view: View<'_>,
    set: &FieldSet,
    path: &mut Vec<PathElement>,
    found: (&mut FieldSet, &mut FieldSet),
) {
    let (gone, whole) = found;
    let shape = view.form(None).shape;
    let is_whole = match shape {
        Shape::List(list) => matches!(list.relation, Relation::Atomic),
        Shape::Map(map) => map.is_atomic,
        Shape::Scalar(_) => return,
    };
    if view.is_free() || set.is_empty() {
        return;
    }
    if is_whole {
        gone.insert(path);
        whole.insert(path);
        return;
    }
    for node in set.nodes() {
        let inner = match (shape, node.element.field_name()) {
            (Shape::Map(map), Some(name)) => map.child(name).map(|child| child.view),
            (Shape::List(list), _) => Some(list.item),
            _ => None,
        };
        if let Some(inner) = inner {
            path.push(node.element.clone());
            find_whole(inner, &node.children, path, (gone, whole));
            path.pop();
        }
    }
}

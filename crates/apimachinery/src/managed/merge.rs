//! An applied configuration laid over an object, and fields taken out of one.

use std::collections::HashMap;

use everynode_model::{Object, Value};

use super::element::PathElement;
use super::set::FieldSet;
use super::view::{List, Map, Relation, Shape, View};

/// The object with everything that the configuration says.
pub fn merge(view: View<'_>, live: &Value, applied: &Value) -> Value {
    merged(view, Some(live), Some(applied)).unwrap_or(Value::Null)
}

fn merged(view: View<'_>, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    let shape = match applied {
        Some(_) => view.form(applied).shape,
        None => view.form(live).shape,
    };
    match shape {
        Shape::Map(map) if !map.is_atomic => {
            let (a, b) = (live.and_then(Value::as_object), applied.and_then(Value::as_object));
            if a.is_some_and(|a| !a.is_empty()) || b.is_some_and(|b| !b.is_empty()) {
                return merged_fields(map, a, b);
            }
        }
        Shape::List(list) if !matches!(list.relation, Relation::Atomic) => {
            let (a, b) = (live.and_then(Value::as_array), applied.and_then(Value::as_array));
            if a.is_some_and(|a| !a.is_empty()) || b.is_some_and(|b| !b.is_empty()) {
                return merged_items(list, a.map_or(&[], Vec::as_slice), b.map_or(&[], Vec::as_slice));
            }
        }
        _ => {}
    }
    applied.or(live).cloned()
}

fn merged_fields(map: Map<'_>, live: Option<&Object>, applied: Option<&Object>) -> Option<Value> {
    let mut out = Object::new();
    let child =
        |name: &str| map.child(name).map_or(View::Free(super::view::Free::Deduced), |child| child.view);
    for (name, a) in live.into_iter().flatten() {
        let b = applied.and_then(|applied| applied.get(name));
        let value = if b.is_none() { Some(a.clone()) } else { merged(child(name), Some(a), b) };
        out.extend(value.map(|value| (name.clone(), value)));
    }
    for (name, b) in applied.into_iter().flatten() {
        if live.is_none_or(|live| !live.contains_key(name)) {
            out.extend(merged(child(name), None, Some(b)).map(|value| (name.clone(), value)));
        }
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

/// The elements of both lists: those of the configuration in its order, and those of the object where they stood among
/// them.
fn merged_items(list: List<'_>, live: &[Value], applied: &[Value]) -> Option<Value> {
    let theirs = keyed(list, live);
    let ours = keyed(list, applied);
    let mut in_live: HashMap<&PathElement, Option<&Value>> = HashMap::with_capacity(theirs.len());
    for (element, item) in &theirs {
        // Twins are not merged with anything.
        in_live.entry(element).and_modify(|one| *one = None).or_insert(Some(item));
    }
    let in_applied: HashMap<&PathElement, usize> =
        ours.iter().enumerate().map(|(at, (element, _))| (element, at)).collect();
    let merged_with = |(element, item): &(PathElement, &Value)| {
        merged(list.item, in_live.get(element).copied().flatten(), Some(item))
    };
    // The elements of both, in the order of the configuration: the next one of these is waited for.
    let mut shared = ours.iter().map(|(element, _)| element).filter(|element| in_live.contains_key(element));
    let mut next_shared = shared.next();
    let mut out = Vec::with_capacity(theirs.len().max(ours.len()));
    let mut taken = vec![false; ours.len()];
    let (mut left, mut right) = (0, 0);
    while left < theirs.len() || right < ours.len() {
        if let (Some((their, _)), Some(our)) = (theirs.get(left), ours.get(right)) {
            if their == &our.0 {
                taken[right] = true;
                out.extend(merged_with(our));
                left += 1;
                right += 1;
                next_shared = shared.next();
                continue;
            }
            if in_applied.contains_key(their) && next_shared.is_some_and(|next| next != their) {
                left += 1;
                continue;
            }
        }
        if let Some((their, item)) = theirs.get(left) {
            match in_applied.get(their) {
                None => {
                    out.push((*item).clone());
                    left += 1;
                    continue;
                }
                Some(&at) if taken[at] => left += 1,
                Some(_) => {}
            }
        }
        if let Some(our) = ours.get(right) {
            taken[right] = true;
            out.extend(merged_with(our));
            right += 1;
            if next_shared == Some(&our.0) {
                next_shared = shared.next();
            }
        }
    }
    (!out.is_empty()).then_some(Value::Array(out))
}

fn keyed<'v>(list: List<'_>, items: &'v [Value]) -> Vec<(PathElement, &'v Value)> {
    items.iter().filter_map(|item| Some((list.element(item).ok()?, item))).collect()
}

/// The object without the fields of a set.
pub fn remove(view: View<'_>, object: &Value, set: &FieldSet) -> Value {
    if set.is_empty() {
        return object.clone();
    }
    match view.form(Some(object)).shape {
        Shape::Scalar(_) => object.clone(),
        Shape::Map(map) => match object.as_object() {
            Some(fields) if !map.is_atomic && !fields.is_empty() => remove_fields(map, fields, set),
            _ => Value::Null,
        },
        Shape::List(list) => match object.as_array() {
            Some(items) if !matches!(list.relation, Relation::Atomic) && !items.is_empty() => {
                remove_items(list, items, set)
            }
            _ => Value::Null,
        },
    }
}

fn remove_fields(map: Map<'_>, fields: &Object, set: &FieldSet) -> Value {
    let (mut out, mut was_touched) = (Object::new(), false);
    for (name, value) in fields {
        let node = set.get(&PathElement::field(name));
        match (node, map.child(name)) {
            (Some(node), _) if node.is_member => {}
            (Some(node), Some(child)) => {
                was_touched = true;
                out.insert(name.clone(), kept_form(remove(child.view, value, &node.children), value));
            }
            _ => drop(out.insert(name.clone(), value.clone())),
        }
    }
    if out.is_empty() && !was_touched { Value::Null } else { Value::Object(out) }
}

fn remove_items(list: List<'_>, items: &[Value], set: &FieldSet) -> Value {
    let (mut out, mut was_touched) = (Vec::with_capacity(items.len()), false);
    for item in items {
        let element = list.element(item).ok();
        match element.and_then(|element| set.get(&element)) {
            Some(node) if node.is_member => {}
            Some(node) => {
                was_touched = true;
                out.push(kept_form(remove(list.item, item, &node.children), item));
            }
            None => out.push(item.clone()),
        }
    }
    if out.is_empty() && !was_touched { Value::Null } else { Value::Array(out) }
}

/// What lost its parts stays, empty.
fn kept_form(value: Value, before: &Value) -> Value {
    match (value, before) {
        (Value::Null, Value::Object(_)) => Value::Object(Object::new()),
        (Value::Null, Value::Array(_)) => Value::Array(Vec::new()),
        (value, _) => value,
    }
}

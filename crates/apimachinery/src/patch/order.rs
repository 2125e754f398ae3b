//! The order of the elements of a merged list: those that the patch names stand in the order of the patch,
//! the others keep their order, and both are woven together by where they stood before.

use std::collections::HashMap;

use everynode_model::Value;

use super::directive::{PATCH, no_merge_key};
use crate::status::Status;

/// What tells the elements of a list apart: a field of theirs, or they themselves.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    pub merge_key: Option<&'a str>,
}

impl<'a> Identity<'a> {
    /// Whether two elements are the same one.
    pub fn same(self, left: &Value, right: &Value) -> bool {
        match self.merge_key {
            None => left == right,
            Some(key) => left.get(key).is_some() && left.get(key) == right.get(key),
        }
    }

    /// What tells an element apart.
    fn of(self, element: &Value) -> Option<&Value> {
        self.merge_key.map_or(Some(element), |key| element.get(key))
    }

    /// Where the elements of a list stand.
    pub fn places(self, list: &[Value]) -> Places<'a> {
        let mut places = Places { identity: self, by_identity: HashMap::with_capacity(list.len()) };
        list.iter().enumerate().for_each(|(index, element)| places.add(element, index));
        places
    }

    /// Checks that every element has the field that tells it apart.
    pub fn check(self, list: &[Value]) -> Result<(), Status> {
        let Some(key) = self.merge_key else { return Ok(()) };
        for element in list {
            match element {
                Value::Object(fields) if fields.contains_key(key) => {}
                Value::Object(fields) => return Err(no_merge_key(fields, key)),
                _ => return Err(Status::unclassified("expected a map, but received another value")),
            }
        }
        Ok(())
    }
}

/// Where elements stand in a list; of equal ones the first.
#[derive(Debug)]
pub struct Places<'a> {
    identity: Identity<'a>,
    by_identity: HashMap<Value, usize>,
}

impl Places<'_> {
    /// Where an element stands.
    pub fn of(&self, element: &Value) -> Option<usize> {
        self.by_identity.get(self.identity.of(element)?).copied()
    }

    /// Adds an element that stands there.
    pub fn add(&mut self, element: &Value, index: usize) {
        if let Some(identity) = self.identity.of(element) {
            self.by_identity.entry(identity.clone()).or_insert(index);
        }
    }
}

/// Orders the elements of `merged`. `patch_order` names the patch's elements, `server_order` is the list as it
/// was before.
pub fn normalize(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    identity: Identity<'_>,
) -> Result<Vec<Value>, Status> {
    identity.check(&merged)?;
    identity.check(patch_order)?;
    let (patch, server) = (identity.places(patch_order), identity.places(server_order));
    let (from_patch, server_only): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|element| patch.of(element).is_some());
    Ok(weave(sorted(server_only, &server), sorted(from_patch, &patch), &server))
}

/// Sorts by an order; elements that are to be deleted go to the end.
fn sorted(mut list: Vec<Value>, order: &Places<'_>) -> Vec<Value> {
    let is_deletion = |element: &Value| element.get(PATCH).is_some_and(|directive| directive == "delete");
    list.sort_by_cached_key(|element| (is_deletion(element), order.of(element)));
    list
}

fn weave(left: Vec<Value>, right: Vec<Value>, server_order: &Places<'_>) -> Vec<Value> {
    let place = |element: Option<&Value>| element.and_then(|one| server_order.of(one));
    let mut woven = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let left_first = match (place(left.peek()), place(right.peek())) {
            (Some(left), Some(right)) => left < right,
            _ => right.peek().is_none(),
        };
        match if left_first { left.next() } else { right.next() } {
            Some(element) => woven.push(element),
            None => return woven,
        }
    }
}

//! The order of the elements of a merged list: those that the patch names stand in the order of the patch,
//! the others keep their order, and both are woven together by where they stood before.

use super::directive::{PATCH, no_merge_key};
use crate::Value;
use crate::status::Status;

/// What tells the elements of a list apart: a field of theirs, or they themselves.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    pub merge_key: Option<&'a str>,
}

impl Identity<'_> {
    /// Whether two elements are the same one.
    pub fn same(self, left: &Value, right: &Value) -> bool {
        match self.merge_key {
            None => left == right,
            Some(key) => left.get(key).is_some() && left.get(key) == right.get(key),
        }
    }

    /// Where an element stands in a list.
    pub fn index(self, list: &[Value], element: &Value) -> Option<usize> {
        list.iter().position(|one| self.same(one, element))
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
    let (from_patch, server_only): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|element| identity.index(patch_order, element).is_some());
    let from_patch = sorted(from_patch, patch_order, identity);
    let server_only = sorted(server_only, server_order, identity);
    Ok(weave(server_only, from_patch, server_order, identity))
}

/// Sorts by an order; elements that are to be deleted go to the end.
fn sorted(mut list: Vec<Value>, order: &[Value], identity: Identity<'_>) -> Vec<Value> {
    let is_deletion = |element: &Value| element.get(PATCH).is_some_and(|directive| directive == "delete");
    list.sort_by_cached_key(|element| (is_deletion(element), identity.index(order, element)));
    list
}

fn weave(left: Vec<Value>, right: Vec<Value>, server_order: &[Value], identity: Identity<'_>) -> Vec<Value> {
    let place = |element: Option<&Value>| element.and_then(|one| identity.index(server_order, one));
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

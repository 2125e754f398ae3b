//! Claims to devices, and the devices of drivers.

use everynode_model::Value;
use everynode_model::access::Read;

use super::cell::{AGE, NAME, age, name, text};
use crate::rules::Column;

pub(in crate::kinds) const CLAIM: &[Column] =
    &[NAME, text("State", "A summary of the current state (allocated, pending, reserved, etc.)."), AGE];

pub(in crate::kinds) fn claim(object: &Value, now: i64) -> Vec<Value> {
    let is_going = object.has("metadata.deletionTimestamp");
    let is_allocated = object.has("status.allocation");
    let is_reserved = is_allocated && !object.items("status.reservedFor").is_empty();
    let states = [
        (is_going, "deleted"),
        (!is_allocated && !is_going, "pending"),
        (is_allocated, "allocated"),
        (is_reserved, "reserved"),
    ];
    let states: Vec<&str> = states.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect();
    vec![name(object), states.join(",").into(), age(object, now)]
}

pub(in crate::kinds) const SLICE: &[Column] = &[
    NAME,
    text("Node", "The node that the devices are on."),
    text("Driver", "The driver that they belong to."),
    text("Pool", "The pool that the slice is a part of."),
    AGE,
];

pub(in crate::kinds) fn slice(object: &Value, now: i64) -> Vec<Value> {
    vec![
        name(object),
        object.text("spec.nodeName").into(),
        object.text("spec.driver").into(),
        object.text("spec.pool.name").into(),
        age(object, now),
    ]
}

//! Role bindings.

use everynode_model::Value;
use everynode_model::access::Read;

use super::cell::{AGE, NAME, age, name, text, wide};
use crate::rules::Column;

pub(in crate::kinds) const BINDING: &[Column] = &[
    NAME,
    text("Role", "The role that is bound."),
    AGE,
    wide("Users", "Users that have the role."),
    wide("Groups", "Groups that have the role."),
    wide("ServiceAccounts", "Service accounts that have the role."),
];

pub(in crate::kinds) fn binding(object: &Value, now: i64) -> Vec<Value> {
    let role = format!("{}/{}", object.text("roleRef.kind"), object.text("roleRef.name"));
    let subjects = |kind: &str| {
        let of_kind = object.items("subjects").iter().filter(|subject| subject.text("kind") == kind);
        let names: Vec<String> = of_kind
            .map(|subject| match kind {
                "ServiceAccount" => format!("{}/{}", subject.text("namespace"), subject.text("name")),
                _ => subject.text("name").to_owned(),
            })
            .collect();
        Value::from(names.join(", "))
    };
    vec![
        name(object),
        role.into(),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

//! Role bindings, and requests for certificates.

use everynode_model::access::Read;
use everynode_model::{Value, time};

use super::cell::{AGE, NAME, NONE, age, name, or, text, wide};
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

pub(in crate::kinds) const CERTIFICATE: &[Column] = &[
    NAME,
    AGE,
    text("SignerName", "Who is asked to sign."),
    text("Requestor", "Who asks."),
    text("RequestedDuration", "How long the certificate is to be valid."),
    text("Condition", "Whether it was approved, denied or issued."),
];

pub(in crate::kinds) fn certificate(object: &Value, now: i64) -> Vec<Value> {
    let seconds = object.number_opt("spec.expirationSeconds");
    let duration = seconds.map_or_else(|| NONE.to_owned(), time::human_duration);
    vec![
        name(object),
        age(object, now),
        or(object.text("spec.signerName"), NONE).into(),
        object.text("spec.username").into(),
        duration.into(),
        state(object).into(),
    ]
}

/// The conditions of a request for a certificate, and whether there is one.
fn state(request: &Value) -> String {
    let has = |kind| request.items("status.conditions").iter().any(|one| one.text("type") == kind);
    let first = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    };
    let mut state = first.to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !request.text("status.certificate").is_empty() {
        state.push_str(",Issued");
    }
    state
}

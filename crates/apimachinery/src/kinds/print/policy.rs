//! Admission policies, and the levels of requests.

use everynode_model::Value;
use everynode_model::access::Read;

use super::cell::{AGE, NAME, NONE, UNSET, age, name, selector_text, text, typed};
use crate::rules::Column;

const PARAM_KIND: Column =
    text("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy");

pub(in crate::kinds) const VALIDATING: &[Column] = &[
    NAME,
    typed(
        "Validations",
        "integer",
        "Validations indicates the number of validation rules defined in this configuration",
    ),
    PARAM_KIND,
    AGE,
];

pub(in crate::kinds) const MUTATING: &[Column] = &[
    NAME,
    typed(
        "Mutations",
        "integer",
        "Mutation indicates the number of mutations rules defined in this configuration",
    ),
    PARAM_KIND,
    AGE,
];

/// The cells of a policy whose rules are in that list.
pub(in crate::kinds) fn policy(object: &Value, rules: &str, now: i64) -> Vec<Value> {
    let kind = object.at("spec.paramKind").map_or_else(
        || UNSET.to_owned(),
        |kind| format!("{}/{}", kind.text("apiVersion"), kind.text("kind")),
    );
    vec![name(object), object.items(rules).len().into(), kind.into(), age(object, now)]
}

pub(in crate::kinds) const BINDING: &[Column] = &[
    NAME,
    text("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
    text("ParamRef", "ParamRef indicates the param resource which sets the configuration param"),
    AGE,
];

pub(in crate::kinds) fn binding(object: &Value, now: i64) -> Vec<Value> {
    let reference = object.at("spec.paramRef").unwrap_or(&Value::Null);
    let parameters = match (reference.text("namespace"), reference.text("name")) {
        ("", "") => reference.at("selector").map_or_else(|| UNSET.to_owned(), |s| selector_text(Some(s))),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    vec![name(object), object.text("spec.policyName").into(), parameters.into(), age(object, now)]
}

pub(in crate::kinds) const FLOW_SCHEMA: &[Column] = &[
    NAME,
    text("PriorityLevel", "The level that its requests get."),
    text("MatchingPrecedence", "Which schema is asked first: the one with the least."),
    text("DistinguisherMethod", "What tells its flows apart."),
    AGE,
    text("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
];

pub(in crate::kinds) fn flow_schema(object: &Value, now: i64) -> Vec<Value> {
    let method = object.at("spec.distinguisherMethod").map_or(NONE, |method| method.text("type"));
    let conditions = object.items("status.conditions");
    let dangling = conditions.iter().find(|condition| condition.text("type") == "Dangling");
    vec![
        name(object),
        object.text("spec.priorityLevelConfiguration.name").into(),
        object.number("spec.matchingPrecedence").into(),
        method.into(),
        age(object, now),
        dangling.map_or("?", |condition| condition.text("status")).into(),
    ]
}

pub(in crate::kinds) const PRIORITY_LEVEL: &[Column] = &[
    NAME,
    text("Type", "Whether its requests are limited or exempt."),
    text("NominalConcurrencyShares", "Its share of the requests that are answered at once."),
    text("Queues", "In how many queues its requests wait."),
    text("HandSize", "How many queues one flow gets."),
    text("QueueLengthLimit", "How many requests may wait in one queue."),
    AGE,
];

pub(in crate::kinds) fn priority_level(object: &Value, now: i64) -> Vec<Value> {
    let number = |path: &str| object.at(path).cloned().unwrap_or_else(|| NONE.into());
    let queuing = |field: &str| number(&format!("spec.limited.limitResponse.queuing.{field}"));
    vec![
        name(object),
        object.text("spec.type").into(),
        number("spec.limited.nominalConcurrencyShares"),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        age(object, now),
    ]
}

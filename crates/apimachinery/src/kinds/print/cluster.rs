//! Namespaces, configuration, events, leases and other small kinds.

use everynode_model::Value;
use everynode_model::access::Read;

use super::cell::{AGE, NAME, UNKNOWN, age, name, or, since, text, typed, wide};
use crate::rules::Column;

pub(in crate::kinds) const NAMESPACE: &[Column] = &[NAME, text("Status", "The status of the namespace"), AGE];

pub(in crate::kinds) fn namespace(object: &Value, now: i64) -> Vec<Value> {
    vec![name(object), object.text("status.phase").into(), age(object, now)]
}

pub(in crate::kinds) const CONFIG_MAP: &[Column] = &[
    NAME,
    text(
        "Data",
        "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap with the keys in the BinaryData field, this is enforced during validation process.",
    ),
    AGE,
];

pub(in crate::kinds) fn config_map(object: &Value, now: i64) -> Vec<Value> {
    let keys = object.entries("data").count() + object.entries("binaryData").count();
    vec![name(object), keys.into(), age(object, now)]
}

pub(in crate::kinds) const SECRET: &[Column] =
    &[NAME, text("Type", "What the secret is for."), text("Data", "Number of keys."), AGE];

pub(in crate::kinds) fn secret(object: &Value, now: i64) -> Vec<Value> {
    let keys = object.entries("data").count();
    vec![name(object), object.text("type").into(), keys.into(), age(object, now)]
}

pub(in crate::kinds) const USAGE: &[Column] = &[
    NAME,
    text("cpu", "CPU that is used, as an average over the window"),
    text("memory", "Memory that is worked with"),
    text("Window", "How long was measured"),
];

pub(in crate::kinds) const NAME_AND_AGE: &[Column] = &[NAME, AGE];

pub(in crate::kinds) fn name_and_age(object: &Value, now: i64) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

pub(in crate::kinds) const EVENT: &[Column] = &[
    text("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
    text("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
    text(
        "Reason",
        "This should be a short, machine understandable string that gives the reason for the transition into the object's current status.",
    ),
    text("Object", "The object that this event is about."),
    wide(
        "Subobject",
        "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is to a container within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" refers to the name of the container that triggered the event) or if no container name is specified \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have some well-defined way of referencing a part of an object.",
    ),
    wide("Source", "The component reporting this event. Should be a short machine understandable string."),
    text("Message", "A human-readable description of the status of this operation."),
    wide(
        "First Seen",
        "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
    ),
    wide("Count", "The number of times this event has occurred."),
    Column { priority: 1, ..NAME },
];

/// Cells of an event in its `v1` form.
pub(in crate::kinds) fn event(object: &Value, now: i64) -> Vec<Value> {
    let first = since(or(object.text("firstTimestamp"), object.text("eventTime")), now);
    let (last, count) = match object.at("series") {
        Some(series) => (since(series.text("lastObservedTime"), now), series.number("count")),
        None => {
            let last = object.text("lastTimestamp");
            let last = if last.is_empty() { first.clone() } else { since(last, now) };
            (last, object.number("count").max(1))
        }
    };
    let involved = object.get("involvedObject").unwrap_or(&Value::Null);
    let kind = involved.text("kind").to_lowercase();
    let target = match involved.text("name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = or(object.text("source.component"), object.text("reportingComponent"));
    let instance = or(object.text("source.host"), object.text("reportingInstance"));
    let source = if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") };
    vec![
        last.into(),
        object.text("type").into(),
        object.text("reason").into(),
        target.into(),
        involved.text("fieldPath").into(),
        source.into(),
        object.text("message").trim().into(),
        first.into(),
        count.into(),
        name(object),
    ]
}

pub(in crate::kinds) const LEASE: &[Column] = &[NAME, text("Holder", "Who holds the lease."), AGE];

pub(in crate::kinds) fn lease(object: &Value, now: i64) -> Vec<Value> {
    vec![name(object), object.text("spec.holderIdentity").into(), age(object, now)]
}

pub(in crate::kinds) const PRIORITY_CLASS: &[Column] = &[
    NAME,
    typed("Value", "integer", "The priority of pods of this class."),
    typed("Global-Default", "boolean", "Whether pods without a class get this one."),
    AGE,
    Column { priority: 1, ..text("PreemptionPolicy", "Whether such pods displace others.") },
];

pub(in crate::kinds) fn priority_class(object: &Value, now: i64) -> Vec<Value> {
    vec![
        name(object),
        object.number("value").into(),
        object.flag("globalDefault").into(),
        age(object, now),
        object.text("preemptionPolicy").into(),
    ]
}

pub(in crate::kinds) const RUNTIME_CLASS: &[Column] =
    &[NAME, text("Handler", "The runtime's own name of the class."), AGE];

pub(in crate::kinds) fn runtime_class(object: &Value, now: i64) -> Vec<Value> {
    vec![name(object), object.text("handler").into(), age(object, now)]
}

pub(in crate::kinds) const QUOTA: &[Column] = &[
    NAME,
    text("Request", "What is requested, of what may be."),
    text("Limit", "What limits amount to, of what they may."),
    AGE,
];

pub(in crate::kinds) fn quota(object: &Value, now: i64) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let used = object.at("status.used").unwrap_or(&Value::Null);
    for (resource, hard) in object.entries("status.hard") {
        let used = used.get(resource).and_then(Value::as_str).unwrap_or("0");
        let text = format!("{resource}: {used}/{}", hard.as_str().unwrap_or("0"));
        let list = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        list.push(text);
    }
    vec![name(object), requests.join(", ").into(), limits.join(", ").into(), age(object, now)]
}

pub(in crate::kinds) const WEBHOOKS: &[Column] = &[
    NAME,
    typed(
        "Webhooks",
        "integer",
        "Webhooks indicates the number of webhooks registered in this configuration",
    ),
    AGE,
];

pub(in crate::kinds) fn webhooks(object: &Value, now: i64) -> Vec<Value> {
    vec![name(object), object.items("webhooks").len().into(), age(object, now)]
}

pub(in crate::kinds) const API_SERVICE: &[Column] = &[
    NAME,
    text("Service", "The reference to the service that hosts this API endpoint."),
    text("Available", "Whether this service is available."),
    AGE,
];

pub(in crate::kinds) fn api_service(object: &Value, now: i64) -> Vec<Value> {
    let service = object.at("spec.service").map_or_else(
        || "Local".to_owned(),
        |service| format!("{}/{}", service.text("namespace"), service.text("name")),
    );
    let conditions = object.items("status.conditions");
    let available = conditions.iter().find(|condition| condition.text("type") == "Available");
    let available = available.map_or_else(
        || UNKNOWN.to_owned(),
        |condition| {
            let (status, reason) = (condition.text("status"), condition.text("reason"));
            if status == "True" { status.to_owned() } else { format!("{status} ({reason})") }
        },
    );
    vec![name(object), service.into(), available.into(), age(object, now)]
}

pub(in crate::kinds) const COMPONENT: &[Column] = &[
    NAME,
    text("Status", "Status of the component conditions"),
    text("Message", "Message of the component conditions"),
    text("Error", "Error of the component conditions"),
];

pub(in crate::kinds) fn component(object: &Value, _now: i64) -> Vec<Value> {
    let conditions = object.items("conditions");
    let Some(healthy) = conditions.iter().find(|condition| condition.text("type") == "Healthy") else {
        return vec![name(object), "Unknown".into(), "".into(), "".into()];
    };
    let status = if healthy.text("status") == "True" { "Healthy" } else { "Unhealthy" };
    vec![name(object), status.into(), healthy.text("message").into(), healthy.text("error").into()]
}

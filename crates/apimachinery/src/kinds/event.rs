//! Events, in their two API groups.

use std::sync::Arc;

use everynode_model::access::Read;
use everynode_model::{Object, Value, names};

use super::print;
use super::row::{ROW, Row};
use crate::resource::StoredAs;
use crate::rules::{Column, Rules};
use crate::status::FieldError;
use crate::validate::{Errors, Path, Report};

pub(super) const RESOURCES: &[Row] = &[
    Row {
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        type_name: "core.v1.Event",
        selectable_fields: &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        create_on_update: true,
        rules: &CoreEvent,
        ..ROW
    },
    Row {
        group: "events.k8s.io",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        type_name: "events.v1.Event",
        selectable_fields: &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        stored_as: Some(|| Arc::new(SameEvents)),
        create_on_update: true,
        rules: &NewEvent,
        ..ROW
    },
];

/// The events of this group are those of the core group in other words.
#[derive(Debug)]
struct SameEvents;

impl StoredAs for SameEvents {
    fn group(&self) -> &str {
        ""
    }

    fn version(&self) -> &str {
        "v1"
    }

    fn plural(&self) -> &str {
        "events"
    }

    fn to_stored(&self, object: Value) -> Value {
        core_from_events(object)
    }

    fn shown_form(&self, object: Value) -> Value {
        events_from_core(object)
    }
}

/// Field names of `v1` and of `events.k8s.io/v1`, in the order of the former.
const NAMES: &[(&str, &str)] = &[
    ("metadata", "metadata"),
    ("involvedObject", "regarding"),
    ("reason", "reason"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("series", "series"),
    ("action", "action"),
    ("related", "related"),
    ("reportingComponent", "reportingController"),
    ("reportingInstance", "reportingInstance"),
];

/// Field names of `events.k8s.io/v1` in its order.
const EVENTS_ORDER: &[&str] = &[
    "metadata",
    "eventTime",
    "series",
    "reportingController",
    "reportingInstance",
    "action",
    "reason",
    "regarding",
    "related",
    "note",
    "type",
    "deprecatedSource",
    "deprecatedFirstTimestamp",
    "deprecatedLastTimestamp",
    "deprecatedCount",
];

fn core_from_events(mut event: Value) -> Value {
    let mut core = Object::new();
    core.insert("kind".into(), "Event".into());
    core.insert("apiVersion".into(), "v1".into());
    let Some(from) = event.as_object_mut() else { return event };
    for (core_name, events_name) in NAMES {
        if let Some(value) = from.remove(*events_name) {
            core.insert((*core_name).into(), value);
        } else if core_name.starts_with("reporting") {
            core.insert((*core_name).into(), "".into());
        }
    }
    Value::Object(core)
}

fn events_from_core(mut event: Value) -> Value {
    let mut events = Object::new();
    events.insert("kind".into(), "Event".into());
    events.insert("apiVersion".into(), "events.k8s.io/v1".into());
    let Some(from) = event.as_object_mut() else { return event };
    for events_name in EVENTS_ORDER {
        let core_name = NAMES.iter().find(|(_, events)| events == events_name).map_or("", |(core, _)| core);
        match from.remove(core_name) {
            Some(Value::String(text)) if text.is_empty() => {}
            Some(value) => {
                events.insert((*events_name).into(), value);
            }
            None => {}
        }
    }
    Value::Object(events)
}

/// Rules of `v1` events.
#[derive(Debug)]
struct CoreEvent;

impl Rules for CoreEvent {
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        common(object, "reportingComponent", errors);
    }

    fn validate_update(&self, new: &Value, _old: &Value, errors: &mut Errors) {
        common(new, "reportingComponent", errors);
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::EVENT
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::event(object, now)
    }
}

/// Rules of `events.k8s.io/v1` events. Their messages use the names of the `v1` fields.
#[derive(Debug)]
struct NewEvent;

impl Rules for NewEvent {
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let core = core_from_events(object.clone());
        common(&core, "reportingController", errors);
        series(&core, errors);
        if !core.has("eventTime") {
            errors.required("eventTime", "");
        }
        let kind = core.text("type");
        if !["Normal", "Warning"].contains(&kind) {
            errors.invalid("type", "", &format!("has invalid value: {kind}"));
        }
        for field in ["firstTimestamp", "lastTimestamp"] {
            if core.has(field) {
                errors.invalid(field, "", "needs to be unset");
            }
        }
        if core.number("count") != 0 {
            errors.invalid("count", "", "needs to be unset");
        }
        if core.entries("source").next().is_some() {
            errors.invalid("source", "", "needs to be unset");
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, errors: &mut Errors) {
        let (new, old) = (core_from_events(new.clone()), core_from_events(old.clone()));
        common(&new, "reportingController", errors);
        if new.get("series") != old.get("series") {
            series(&new, errors);
        }
        for (field, _) in NAMES.iter().filter(|(field, _)| !["metadata", "series"].contains(field)) {
            let shown = if *field == "reportingComponent" { "reportingController" } else { field };
            crate::validate::meta::immutable_field(&new, &old, field, &Path::root(shown), errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::cluster::EVENT
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        print::cluster::event(&core_from_events(object.clone()), now)
    }
}

/// Checks an event in its `v1` form. `reporter` is the name of that field in messages.
fn common(event: &Value, reporter: &str, errors: &mut Errors) {
    let namespace = event.text("metadata.namespace");
    let of_object = event.text("involvedObject.namespace");
    let message = "does not match event.namespace";
    if !event.has("eventTime") {
        let matches = match of_object {
            "" => ["", "default"].contains(&namespace),
            _ => namespace == of_object,
        };
        if !matches {
            errors.invalid("involvedObject.namespace", of_object, message);
        }
        return;
    }
    if of_object.is_empty() && !["default", "kube-system"].contains(&namespace) {
        errors.invalid("involvedObject.namespace", of_object, message);
    }
    let name = event.text("reportingComponent");
    if name.is_empty() {
        errors.required(reporter, "");
    }
    errors.all_invalid(&Path::root(reporter), name, names::qualified_name(name));
    for (field, most) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
        if event.text(field).is_empty() {
            errors.required(field, "");
        }
        at_most(event, field, most, errors);
    }
    at_most(event, "message", 1024, errors);
}

fn at_most(event: &Value, field: &str, most: usize, errors: &mut Errors) {
    if event.text(field).len() > most {
        errors.invalid(field, "", &format!("can have at most {most} characters"));
    }
}

fn series(event: &Value, errors: &mut Errors) {
    let Some(series) = event.at("series") else { return };
    if series.number("count") < 2 {
        errors.push(FieldError::invalid("series.count", "", "should be at least 2"));
    }
    if !series.has("lastObservedTime") {
        errors.required("series.lastObservedTime", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_of_either_group_is_the_same_event() {
        let core = json!({
            "kind": "Event", "apiVersion": "v1", "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "name": "p"}, "reason": "Started", "message": "m",
            "source": {"component": "kubelet"}, "firstTimestamp": null, "lastTimestamp": null, "count": 2,
            "type": "Normal", "eventTime": null, "reportingComponent": "", "reportingInstance": ""
        });
        let events = events_from_core(core.clone());
        assert_eq!(events["note"], "m");
        assert_eq!(events["regarding"]["name"], "p");
        assert_eq!(events["deprecatedCount"], 2);
        assert!(events.get("reportingController").is_none());
        assert_eq!(core_from_events(events).to_string(), core.to_string());
    }

    #[test]
    fn an_event_stands_in_the_namespace_of_its_object() {
        let check = |namespace: &str, of_object: &str, is_valid: bool| {
            let event = json!({
                "metadata": {"name": "e", "namespace": namespace},
                "involvedObject": {"kind": "Node", "namespace": of_object}
            });
            let mut errors = Vec::new();
            CoreEvent.validate_create(&event, &mut errors);
            assert_eq!(errors.is_empty(), is_valid, "{namespace} {of_object}: {errors:?}");
        };
        check("default", "", true);
        check("a", "a", true);
        check("a", "", false);
        check("a", "b", false);
    }
}

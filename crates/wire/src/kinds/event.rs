//! Events, in their two API groups.

use super::ROW;
use crate::resource::{Resource, StoredAs};
use crate::{Object, Value};

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
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
        ..ROW
    },
    Resource {
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
        stored_as: Some(&SAME_EVENTS),
        create_on_update: true,
        ..ROW
    },
];

static SAME_EVENTS: StoredAs = StoredAs {
    group: "",
    version: "v1",
    plural: "events",
    to_stored: core_from_events,
    from_stored: events_from_core,
};

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

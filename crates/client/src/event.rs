//! Event objects, and a limit on how many are written.
//!
//! Events tell people what happened; nothing depends on them. So a component writes them within an allowance
//! and leaves out the rest, rather than load the server.

use serde_json::json;

use crate::TokenBucket;

/// One event to create with a POST to [`path`](Self::path).
#[derive(Debug)]
pub struct NewEvent {
    /// Where to create it.
    pub path: String,
    /// The JSON of the object.
    pub body: Vec<u8>,
}

/// The object that an event is about.
#[derive(Debug, Clone, Default)]
pub struct About<'a> {
    /// Such as `v1`.
    pub api_version: &'a str,
    /// Such as `Pod`.
    pub kind: &'a str,
    /// Empty for objects of the cluster; their events go to `default`.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// The part of it, such as `spec.containers{app}`; or empty.
    pub field_path: &'a str,
}

/// Who writes the event.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The component, such as `kubelet`.
    pub component: &'a str,
    /// The node that it runs on, or empty.
    pub host: &'a str,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub struct Wording<'a> {
    /// `Normal` or `Warning`.
    pub kind: &'a str,
    /// One word for machines.
    pub reason: &'a str,
    /// A sentence for people.
    pub message: &'a str,
}

impl NewEvent {
    /// An event of `time` (RFC 3339). `suffix` makes the name unique.
    pub fn new(
        about: &About<'_>,
        source: Source<'_>,
        wording: Wording<'_>,
        time: &str,
        suffix: u64,
    ) -> NewEvent {
        let namespace = if about.namespace.is_empty() { "default" } else { about.namespace };
        let mut involved = json!({
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            "uid": about.uid,
        });
        for (field, value) in [("namespace", about.namespace), ("fieldPath", about.field_path)] {
            if !value.is_empty() {
                involved[field] = value.into();
            }
        }
        let mut from = json!({ "component": source.component });
        if !source.host.is_empty() {
            from["host"] = source.host.into();
        }
        let body = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": format!("{}.{suffix:016x}", about.name), "namespace": namespace },
            "involvedObject": involved,
            "reason": wording.reason,
            "message": wording.message,
            "type": wording.kind,
            "count": 1,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "source": from,
            "reportingComponent": source.component,
            "reportingInstance": source.host,
        });
        NewEvent {
            path: format!("/api/v1/namespaces/{namespace}/events"),
            body: body.to_string().into_bytes(),
        }
    }
}

/// How many seconds' worth of events may come at once.
const BURST_SECONDS: f64 = 5.0;

/// A bucket for a number of events per second, with some seconds' worth at once after a pause.
pub fn allowance(per_second: f64) -> TokenBucket {
    TokenBucket::new(per_second, per_second * BURST_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_object_and_its_source() {
        let about =
            About { api_version: "v1", kind: "Pod", namespace: "ns", name: "p", uid: "u", field_path: "" };
        let source = Source { component: "kubelet", host: "a" };
        let wording = Wording { kind: "Normal", reason: "Started", message: "Container started" };
        let event = NewEvent::new(&about, source, wording, "2026-01-01T00:00:00Z", 255);
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(event.path, "/api/v1/namespaces/ns/events");
        assert_eq!(body["metadata"]["name"], "p.00000000000000ff");
        assert_eq!(body["source"], json!({"component": "kubelet", "host": "a"}));
        assert!(body["involvedObject"].get("fieldPath").is_none());
    }
}

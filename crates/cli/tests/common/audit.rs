//! Reads audit logs of `audit.k8s.io/v1`.

use std::path::Path;

use serde_json::Value;

use super::bare::Bare;
use super::{LIMIT, eventually};

/// The completed requests about the namespace of this test, once the log tells of all that was asked until now.
pub async fn read(log: &Path, bare: &Bare) -> Vec<Value> {
    let mut entries = read_all(log, bare).await;
    entries.retain(|entry| entry["objectRef"]["namespace"] == bare.namespace.as_str());
    entries
}

/// As [`read`], about whatever they are.
pub async fn read_all(log: &Path, bare: &Bare) -> Vec<Value> {
    let marker =
        format!("/api/v1/namespaces/{}/configmaps/the-end-{:08x}", bare.namespace, fastrand::u32(..));
    let _ = bare.client.get(&marker).await;
    let text = eventually("the audit log is written", LIMIT, async || {
        let text = std::fs::read_to_string(log).map_err(|e| e.to_string())?;
        if text.contains(&marker) { Ok(text) } else { Err(format!("{} bytes", text.len())) }
    })
    .await;
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut entries: Vec<Value> = entries.filter(|entry| entry["stage"] == "ResponseComplete").collect();
    entries.sort_by_key(|entry| time(entry, "stageTimestamp"));
    entries
}

/// Whether the request could change something.
pub fn is_write(entry: &Value) -> bool {
    let verb = entry["verb"].as_str().unwrap_or_default();
    ["create", "update", "patch", "delete", "deletecollection"].contains(&verb)
}

/// The user agent.
pub fn writer(entry: &Value) -> String {
    entry["userAgent"].as_str().unwrap_or_default().to_owned()
}

/// A time of the entry. RFC 3339 with microseconds sorts as text.
pub fn time(entry: &Value, field: &str) -> String {
    entry[field].as_str().unwrap_or_default().to_owned()
}

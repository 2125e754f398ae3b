//! The recorded behaviour of a real Kubernetes, where it is present.

// Each test file uses a part of these helpers.
#![allow(dead_code, clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

use everynode_testkit::shared;

use everynode_apimachinery::schema::{Type, types};
use everynode_model::Value;

/// The recorded exchanges, in order.
pub fn exchanges() -> Vec<Value> {
    let Some(path) = shared("golden/exchanges.json") else { return Vec::new() };
    let bytes = std::fs::read(path).expect("readable");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// The type of an object by its kind and apiVersion.
pub fn type_of(object: &Value) -> Option<&'static Type> {
    let kind = object.get("kind")?.as_str()?;
    let api_version = object.get("apiVersion")?.as_str()?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let package = group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    let name = format!("{package}.{version}.{kind}");
    types().find(|ty| ty.name == name)
}

/// The value with the blanks of the recording filled in, so that it reads as an object.
pub fn filled(value: &Value) -> Value {
    match value {
        Value::String(text) if text == "<creationTimestamp>" || text == "<deletionTimestamp>" => {
            "2026-01-01T00:00:00Z".into()
        }
        Value::Array(items) => items.iter().map(filled).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), filled(value))).collect(),
        other => other.clone(),
    }
}

/// The words of a row: topic and name.
pub fn title(row: &Value) -> String {
    format!("{} | {}", row["topic"].as_str().unwrap_or_default(), row["name"].as_str().unwrap_or_default())
}

/// The bytes of a row's body.
pub fn body(row: &Value) -> Vec<u8> {
    match &row["body"] {
        Value::String(text) if row["body_is_text"] == true => text.clone().into_bytes(),
        Value::Null => Vec::new(),
        body => serde_json::to_vec(body).expect("JSON"),
    }
}

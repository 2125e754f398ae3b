//! The scale subresource: the replica count of a workload in a form that is the same for all of them.

use everynode_wire::decode::Body as Expected;
use everynode_wire::schema::{self, Type};
use everynode_wire::selector::LabelSelector;
use everynode_wire::status::Status;
use everynode_wire::{Object, Value};
use http::Response;

use super::change::{self, Change, Changed, Part};
use super::{Call, Verb};
use crate::http::body::{self, Body};
use crate::http::query::{FieldValidation, WriteOptions};
use crate::patch::{self, Patch};
use crate::{meta, view};

/// Answers a request about the scale of an object.
pub async fn subresource(call: &mut Call<'_>, verb: Verb, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let ty =
        schema::type_named("autoscaling.v1.Scale").ok_or_else(|| Status::internal("no schema for Scale"))?;
    let current = view::decode(call.resource, call.find()?.bytes());
    match verb {
        Verb::Get => Ok(body::json(200, &scale_of(&current))),
        Verb::Update => {
            let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
            let expected = Expected { group: "autoscaling", version: "v1", kind: "Scale", ty };
            let scale = call.read_body(&expected, bytes, options.field_validation)?;
            set(call, &scale, options.dry_run).await
        }
        Verb::Patch => {
            let options = WriteOptions::parse(&call.query, "PatchOptions")?;
            let scale = patched(call, ty, &current, bytes)?;
            set(call, &scale, options.dry_run).await
        }
        _ => Err(Status::method_not_allowed()),
    }
}

fn patched(call: &Call<'_>, ty: &'static Type, current: &Value, bytes: &[u8]) -> Result<Value, Status> {
    let patch = Patch::read(&call.content_type, bytes)?;
    let patch::Patched { mut object, .. } =
        patch.apply_as(ty, &scale_of(current), FieldValidation::Ignore)?;
    // A patch that says nothing about the version does not insist on one.
    if meta::text(&object, "resourceVersion") == meta::text(current, "resourceVersion") {
        meta::set(&mut object, "resourceVersion", Value::Null);
    }
    Ok(object)
}

async fn set(call: &Call<'_>, scale: &Value, dry_run: bool) -> Result<Response<Body>, Status> {
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    let version = meta::text(scale, "resourceVersion").to_owned();
    let mut change = |old: &Value| {
        let mut new = old.clone();
        if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("replicas".into(), replicas.clone());
        }
        meta::set(&mut new, "resourceVersion", version.clone());
        Ok(new)
    };
    let how = Change {
        resource: call.resource,
        shelf: call.shelf,
        namespace: &call.namespace,
        name: &call.name,
        part: Part::Main,
        dry_run,
        pinned: !version.is_empty(),
    };
    let object = match change::apply(call.api, &how, &mut change, &mut Vec::new()).await? {
        Changed::Stored(stored) => view::decode(call.resource, stored.bytes()),
        Changed::Shown(object) => object,
    };
    Ok(body::json(200, &scale_of(&object)))
}

fn scale_of(object: &Value) -> Value {
    let mut metadata = Object::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.get("metadata").and_then(|metadata| metadata.get(field)) {
            metadata.insert(field.into(), value.clone());
        }
    }
    let number = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_else(|| 0.into());
    let mut spec = Object::new();
    spec.insert("replicas".into(), number("/spec/replicas"));
    let mut status = Object::new();
    status.insert("replicas".into(), number("/status/replicas"));
    status.insert("selector".into(), selector_of(object).into());
    let mut scale = Object::new();
    scale.insert("kind".into(), "Scale".into());
    scale.insert("apiVersion".into(), "autoscaling/v1".into());
    scale.insert("metadata".into(), Value::Object(metadata));
    scale.insert("spec".into(), Value::Object(spec));
    scale.insert("status".into(), Value::Object(status));
    Value::Object(scale)
}

/// The selector as text; replication controllers have a plain map of labels.
fn selector_of(object: &Value) -> String {
    let Some(selector) = object.pointer("/spec/selector") else { return String::new() };
    let plain = selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none();
    if plain {
        let labels = selector.as_object().into_iter().flatten();
        let pairs: Vec<String> =
            labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
        return pairs.join(",");
    }
    LabelSelector::from_object(selector).map(|selector| selector.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_as_its_schema_writes_it() {
        let object = serde_json::json!({
            "metadata": {"name": "d", "namespace": "n", "labels": {"a": "b"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}}},
            "status": {"replicas": 2},
        });
        let scale = scale_of(&object);
        let ty = schema::type_named("autoscaling.v1.Scale").unwrap();
        let normal = everynode_wire::decode::normalize(ty, &scale).unwrap();
        assert_eq!(normal["spec"]["replicas"], scale["spec"]["replicas"]);
        assert_eq!(scale["status"]["selector"], "app=d");
        assert!(!everynode_wire::encode::to_text(&scale).contains("labels"));
    }
}

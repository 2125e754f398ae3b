//! The scale subresource: the replica count of a workload in a form that is the same for all of them.

use everynode_apimachinery::custom::Scale;
use everynode_apimachinery::decode::{self, Body as Expected};
use everynode_apimachinery::kinds;
use everynode_apimachinery::resource::{Model, Resource};
use everynode_apimachinery::schema::{self, Type};
use everynode_apimachinery::status::Status;
use everynode_model::LabelSelector;
use everynode_model::{Object, Value};
use http::Response;

use super::Call;
use super::apply::Config;
use crate::http::body::Body;
use crate::http::query::{FieldValidation, WriteOptions};
use crate::http::verb::Verb;
use crate::objects::change::{self, Change, Changed, Made, Part};
use crate::objects::managers::{self, ScaleWrite};
use crate::patch::{self, Patch};
use crate::{meta, view};

/// Answers a request about the scale of an object.
pub async fn subresource(call: &mut Call<'_>, verb: Verb, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let ty =
        schema::type_named("autoscaling.v1.Scale").ok_or_else(|| Status::internal("no schema for Scale"))?;
    let current = view::decode_lean(&call.resource, &*call.find()?);
    match verb {
        Verb::Get => Ok(answer(call, scale_of(&call.resource, &current))),
        Verb::Update => {
            let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
            let expected = Expected { group: "autoscaling", version: "v1", kind: "Scale", ty };
            let scale = call.read_body(&expected, bytes, options.field_validation)?;
            set(call, ty, &scale, options.dry_run).await
        }
        Verb::Patch if call.content_type == patch::APPLY => apply(call, ty, bytes).await,
        Verb::Patch => {
            let options = WriteOptions::parse(&call.query, "PatchOptions")?;
            let scale = patched(call, ty, &current, bytes)?;
            set(call, ty, &scale, options.dry_run).await
        }
        _ => Err(Status::method_not_allowed()),
    }
}

fn patched(call: &Call<'_>, ty: &'static Type, current: &Value, bytes: &[u8]) -> Result<Value, Status> {
    let patch = Patch::read(&call.content_type, bytes)?;
    let patch::Patched { mut object, .. } =
        patch.apply_as(&Model::Typed(ty), &scale_of(&call.resource, current), FieldValidation::Ignore)?;
    // A patch that says nothing about the version does not insist on one.
    if meta::text(&object, "resourceVersion") == meta::text(current, "resourceVersion") {
        meta::set(&mut object, "resourceVersion", Value::Null);
    }
    Ok(object)
}

async fn set(
    call: &Call<'_>,
    ty: &'static Type,
    scale: &Value,
    dry_run: bool,
) -> Result<Response<Body>, Status> {
    let version = meta::text(scale, "resourceVersion").to_owned();
    let mut change = |old: &Value, managed: &str| {
        let live = live_scale(&call.resource, ty, old);
        let mut new = scale.clone();
        managers::take(&mut new);
        let write = ScaleWrite::Update(&new);
        let known = (&live, managed, ty);
        let (_, managed) =
            managers::scaled(call.state, &call.resource, call.manager(), known, write, &replicas_path)?;
        Ok(with_replicas(call, old, scale, &version, managed))
    };
    let how = Change { part: Part::Main, dry_run, pinned: !version.is_empty(), ..call.change() };
    carry_out(call, &how, &mut change).await
}

/// PATCH by an applied configuration.
async fn apply(call: &Call<'_>, ty: &'static Type, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse_apply(&call.query)?;
    let config = Config::read(bytes)?;
    config.check_kind("autoscaling", "v1", "Scale")?;
    config.check(options.field_validation, &mut Vec::new())?;
    let mut change = |old: &Value, managed: &str| {
        let live = live_scale(&call.resource, ty, old);
        let write = ScaleWrite::Apply(&config.value, options.force);
        let known = (&live, managed, ty);
        let (scale, managed) =
            managers::scaled(call.state, &call.resource, call.manager(), known, write, &replicas_path)?;
        let version = meta::text(&config.value, "resourceVersion").to_owned();
        Ok(with_replicas(call, old, &scale, &version, managed))
    };
    let how = Change { part: Part::Main, dry_run: options.dry_run, ..call.change() };
    carry_out(call, &how, &mut change).await
}

/// The scale of an object as its type writes it.
fn live_scale(resource: &Resource, ty: &'static Type, object: &Value) -> Value {
    let scale = scale_of(resource, object);
    decode::normalize(ty, &scale).unwrap_or(scale)
}

/// The object with the replicas of a scale.
fn with_replicas(call: &Call<'_>, old: &Value, scale: &Value, version: &str, managed: String) -> Made {
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    let mut new = old.clone();
    put(&mut new, &replicas_path(&call.resource), replicas);
    if !version.is_empty() {
        meta::set(&mut new, "resourceVersion", version);
    }
    Made { object: new, managed: Some(managed) }
}

/// Where the objects of a resource keep the wanted replicas.
fn replicas_path(resource: &Resource) -> Vec<String> {
    paths_of(resource).spec_replicas
}

async fn carry_out(
    call: &Call<'_>,
    how: &Change<'_>,
    change: &mut (dyn FnMut(&Value, &str) -> Result<Made, Status> + Send),
) -> Result<Response<Body>, Status> {
    let object = match change::apply_managed(call.state, how, change, &mut Vec::new()).await? {
        Changed::Stored(stored) => view::decode_lean(&call.resource, &stored),
        Changed::Shown(object) => object,
    };
    Ok(answer(call, scale_of(&call.resource, &object)))
}

/// A scale in the form that is asked for.
fn answer(call: &Call<'_>, scale: Value) -> Response<Body> {
    call.answer(200, view::value(kinds::scale(), scale, call.shape()))
}

fn scale_of(resource: &Resource, object: &Value) -> Value {
    let paths = paths_of(resource);
    let mut metadata = Object::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.get("metadata").and_then(|metadata| metadata.get(field)) {
            metadata.insert(field.into(), value.clone());
        }
    }
    let at = |path: &[String]| path.iter().try_fold(object, |value, name| value.get(name));
    let number = |path: &[String]| at(path).cloned().unwrap_or_else(|| 0.into());
    let mut spec = Object::new();
    spec.insert("replicas".into(), number(&paths.spec_replicas));
    let mut status = Object::new();
    status.insert("replicas".into(), number(&paths.status_replicas));
    let selector = match (&resource.custom, &paths.selector) {
        (None, _) => selector_of(object),
        (_, None) => String::new(),
        (_, Some(path)) => at(path).and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    if !selector.is_empty() || resource.custom.is_none() {
        status.insert("selector".into(), selector.into());
    }
    let mut scale = Object::new();
    scale.insert("kind".into(), "Scale".into());
    scale.insert("apiVersion".into(), "autoscaling/v1".into());
    scale.insert("metadata".into(), Value::Object(metadata));
    scale.insert("spec".into(), Value::Object(spec));
    scale.insert("status".into(), Value::Object(status));
    Value::Object(scale)
}

/// Where an object keeps what its scale shows.
fn paths_of(resource: &Resource) -> Scale {
    let own = resource.custom.as_ref().and_then(|custom| custom.scale().cloned());
    let path = |part: &str| vec![part.to_owned(), "replicas".to_owned()];
    own.unwrap_or_else(|| Scale {
        spec_replicas: path("spec"),
        status_replicas: path("status"),
        selector: None,
    })
}

/// Sets a field, and makes what is missing on the way to it.
fn put(object: &mut Value, path: &[String], value: Value) {
    let Some((name, rest)) = path.split_first() else { return };
    let Value::Object(fields) = object else { return };
    if rest.is_empty() {
        fields.insert(name.clone(), value);
    } else {
        put(fields.entry(name.clone()).or_insert_with(|| Value::Object(Object::new())), rest, value);
    }
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
    match LabelSelector::from_object(selector) {
        Ok(selector @ LabelSelector::All(_)) => selector.to_string(),
        _ => String::new(),
    }
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
        let resource = everynode_apimachinery::resource_for("apps", "v1", "deployments").unwrap();
        let scale = scale_of(resource, &object);
        let ty = schema::type_named("autoscaling.v1.Scale").unwrap();
        let normal = everynode_apimachinery::decode::normalize(ty, &scale).unwrap();
        assert_eq!(normal["spec"]["replicas"], scale["spec"]["replicas"]);
        assert_eq!(scale["status"]["selector"], "app=d");
        assert!(!everynode_model::encode::to_text(&scale).contains("labels"));
    }
}

//! Defaults, preparation and validation against what a real Kubernetes served and refused.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

mod golden;

use std::collections::HashMap;

use everynode_wire::decode::{Body, decode_body, normalize};
use everynode_wire::defaults::order;
use everynode_wire::encode::{canonical, to_text};
use everynode_wire::resource::Resource;
use everynode_wire::schema::type_named;
use everynode_wire::status::Status;
use everynode_wire::validate::meta::{validate_metadata_create, validate_metadata_update};
use everynode_wire::{Value, resource_for};
use golden::{body, exchanges, shared, title};

fn text(value: &Value) -> String {
    String::from_utf8(canonical(value)).unwrap()
}

/// The DaemonSets of the recorded manifests by name, as they were applied and as they were served.
fn daemon_sets() -> Vec<(String, Value, Value)> {
    let Some(shared) = shared() else { return Vec::new() };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(shared.join("golden/manifests")).unwrap() {
        let path = entry.unwrap().path();
        let recorded: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for (name, row) in recorded["daemonsets"].as_object().unwrap() {
            let object = &row["object"];
            let annotation = "kubectl.kubernetes.io/last-applied-configuration";
            let applied = object["metadata"]["annotations"][annotation].as_str().unwrap();
            found.push((name.clone(), serde_json::from_str(applied).unwrap(), row.clone()));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn every_recorded_daemon_set_gets_the_defaults_that_the_api_gave_it() {
    let ty = type_named("apps.v1.DaemonSet").unwrap();
    let rules = resource_for("apps", "v1", "daemonsets").unwrap().rules;
    for (name, applied, row) in daemon_sets() {
        let mut object = normalize(ty, &applied).unwrap();
        rules.default(&mut object);
        rules.prepare_create(&mut object);
        order(ty, &mut object);
        assert_eq!(text(&object["spec"]), text(&row["object"]["spec"]), "{name}");
        assert_eq!(to_text(&normalize(ty, &object).unwrap()), to_text(&object), "{name}: order of fields");
        let mut errors = Vec::new();
        rules.validate_create(&object, &mut errors);
        assert!(errors.is_empty(), "{name}: {errors:?}");
        println!("{name}: warnings {:?}", rules.warnings(&object, None));
    }
}

#[test]
fn every_recorded_pod_is_complete_and_valid() {
    let ty = type_named("core.v1.Pod").unwrap();
    let resource = resource_for("", "v1", "pods").unwrap();
    for (name, _, row) in daemon_sets() {
        let Some(mut pod) = row.get("pod").filter(|pod| pod.is_object()).cloned() else { continue };
        pod["metadata"]["name"] = "agent-xxxxx".into();
        let spec = pod["spec"].clone();
        let mut object = normalize(ty, &pod).unwrap();
        resource.rules.default(&mut object);
        assert_eq!(text(&object["spec"]), text(&spec), "{name}");
        let mut errors = Vec::new();
        resource.rules.validate_create(&object, &mut errors);
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

/// What a row of the recording asks for.
struct Target {
    resource: &'static Resource,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

fn target(path: &str) -> Option<Target> {
    let path = path.split('?').next()?.trim_start_matches('/');
    let mut parts = path.split('/');
    let (group, version) = match parts.next()? {
        "api" => ("", parts.next()?),
        _ => (parts.next()?, parts.next()?),
    };
    let rest: Vec<&str> = parts.collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, plural, ..]
            if resource_for(group, version, plural).is_some_and(|row| row.namespaced) =>
        {
            (Some((*namespace).to_owned()), &rest[2..])
        }
        rest => (None, rest),
    };
    let resource = resource_for(group, version, rest.first()?)?;
    let name = rest.get(1).map(|name| (*name).to_owned());
    let subresource = rest.get(2).map(|name| (*name).to_owned());
    Some(Target { resource, namespace, name, subresource })
}

fn expected(resource: &Resource) -> Body<'static> {
    let ty = type_named(resource.type_name).unwrap();
    Body { group: resource.group, version: resource.version, kind: resource.kind, ty }
}

/// What a create gives: the object without what differs from run to run, or the refusal.
fn create(target: &Target, row: &Value) -> Result<Value, Status> {
    let resource = target.resource;
    let expected = expected(resource);
    let is_yaml = row["content_type"] == "application/yaml";
    let decoded = decode_body(&expected, &body(row), is_yaml)?;
    let strict = row["path"].as_str().unwrap().contains("fieldValidation=Strict");
    let mut object = if strict { expected.strict(decoded)? } else { decoded.value };
    resource.rules.convert(&object).map_err(|why| {
        Status::cannot_be_handled(resource.kind, resource.version, resource.kind, &why)
    })?;
    resource.rules.default(&mut object);
    let metadata = object["metadata"].as_object_mut().unwrap();
    if let Some(namespace) = &target.namespace {
        metadata.insert("namespace".into(), namespace.as_str().into());
    }
    if let (None, Some(prefix)) = (metadata.get("name"), metadata.get("generateName").cloned()) {
        metadata.insert("name".into(), format!("{}xxxxx", prefix.as_str().unwrap()).into());
    }
    resource.rules.prepare_create(&mut object);
    let mut errors = Vec::new();
    validate_metadata_create(&object, resource.namespaced, resource.name_rule, &mut errors);
    resource.rules.validate_create(&object, &mut errors);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if !errors.is_empty() {
        return Err(Status::invalid(resource.group, resource.kind, name, &errors));
    }
    order(expected.ty, &mut object);
    Ok(object)
}

/// The object without what the store adds.
fn bare(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            metadata.shift_remove(field);
        }
    }
    object
}

/// Rows whose answer is not for these rules to give: the store's, admission's and the media types'.
fn is_elsewhere(row: &Value, target: &Target) -> bool {
    let status = row["status"].as_u64().unwrap();
    let path = row["path"].as_str().unwrap();
    [403, 404, 409, 415].contains(&status)
        || target.subresource.is_some()
        || path.contains("dryRun=Some")
        || path.contains("fieldValidation=Maybe")
        || row["name"] == "namespace in body differs"
        // Admission adds tolerations, a priority and a taint.
        || (status == 201 && ["Pod", "Node"].contains(&target.resource.kind))
}

fn compare(row: &Value, got: &Result<Value, Status>) -> bool {
    let same = match got {
        Ok(object) => {
            row["status"].as_u64() < Some(300)
                && text(&bare(object.clone())) == text(&bare(row["response"].clone()))
        }
        Err(status) => {
            u64::from(status.code()) == row["status"].as_u64().unwrap()
                && text(&status.to_value()) == text(&row["response"])
        }
    };
    if !same {
        let got = got.as_ref().map_or_else(|status| text(&status.to_value()), |object| text(&bare(object.clone())));
        println!("{}:\n  got  {got}\n  want {}", title(row), text(&bare(row["response"].clone())));
    }
    same
}

#[test]
fn recorded_creates_are_accepted_and_refused_as_they_were() {
    let (mut equal, mut all) = (0, 0);
    for row in exchanges() {
        let Some(target) = row["path"].as_str().and_then(target) else { continue };
        if row["method"] != "POST" || is_elsewhere(&row, &target) {
            continue;
        }
        all += 1;
        equal += i32::from(compare(&row, &create(&target, &row)));
    }
    println!("{equal} of {all} recorded creates are equal");
    assert!(all == 0 || equal >= 90, "{equal} of {all}");
}

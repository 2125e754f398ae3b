//! Defaults, preparation and validation against what a real Kubernetes served and refused.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

mod golden;

use std::collections::HashMap;

use everynode_apimachinery::decode::{Body, decode_body, normalize};
use everynode_apimachinery::defaults::order;
use everynode_apimachinery::patch::{Patched, json_patch, merge_patch, strategic_merge};
use everynode_apimachinery::resource::Resource;
use everynode_apimachinery::schema::type_named;
use everynode_apimachinery::status::Status;
use everynode_apimachinery::table::{IncludeObject, MetaVersion, TableOptions, of_object};
use everynode_apimachinery::validate::meta::{validate_metadata_create, validate_metadata_update};
use everynode_apimachinery::{manifest, resource_for, resource_for_kind};
use everynode_model::Value;
use everynode_model::encode::{canonical, to_text};
use everynode_model::names::NameRule;
use everynode_testkit::shared;
use golden::{body, exchanges, filled, title};

fn text(value: &Value) -> String {
    String::from_utf8(canonical(value)).unwrap()
}

/// The DaemonSets of the recorded manifests by name, as they were applied and as they were served.
fn daemon_sets() -> Vec<(String, Value, Value)> {
    let Some(recordings) = shared("golden/manifests") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(recordings).unwrap() {
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

/// Statement N1.
#[test]
fn every_recorded_daemon_set_gets_the_defaults_that_the_api_gave_it() {
    let ty = type_named("apps.v1.DaemonSet").unwrap();
    let rules = &resource_for("apps", "v1", "daemonsets").unwrap().rules;
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
        assert_eq!(rules.warnings(&object, None), Vec::<String>::new(), "{name}");
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

fn expected(resource: &Resource) -> Body<'_> {
    let ty = type_named(resource.type_name).unwrap();
    Body { group: &resource.group, version: &resource.version, kind: &resource.kind, ty }
}

/// What a create gives: the object without what differs from run to run, or the refusal.
fn create(target: &Target, row: &Value) -> Result<Value, Status> {
    let resource = target.resource;
    let expected = expected(resource);
    let is_yaml = row["content_type"] == "application/yaml";
    let decoded = decode_body(&expected, &body(row), is_yaml)?;
    let strict = row["path"].as_str().unwrap().contains("fieldValidation=Strict");
    let mut object = if strict { expected.strict(decoded)? } else { decoded.value };
    resource
        .rules
        .convert(&object)
        .map_err(|why| Status::cannot_be_handled(&resource.kind, &resource.version, &resource.kind, &why))?;
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
        return Err(Status::invalid(&resource.group, &resource.kind, name, &errors));
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
        // The recording hides the uids of owners.
        for owner in metadata.get_mut("ownerReferences").and_then(Value::as_array_mut).into_iter().flatten() {
            owner["uid"] = "<uid>".into();
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
        || (status == 201 && ["Pod", "Node"].contains(&&*target.resource.kind))
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
        let got =
            got.as_ref().map_or_else(|status| text(&status.to_value()), |object| text(&bare(object.clone())));
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
    // The others: a path that takes no POST, and a recording that lost the digits of a number.
    assert!(all == 0 || equal >= 98, "{equal} of {all}");
}

/// Objects as they were last served, by apiVersion, kind and name.
#[derive(Default)]
struct Served(HashMap<(String, String, String), Value>);

impl Served {
    fn keep(&mut self, row: &Value) {
        let object = &row["response"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let key = (text(&object["apiVersion"]), text(&object["kind"]), text(&object["metadata"]["name"]));
        let (Some(version), Some(kind), Some(name)) = key else { return };
        let dry = row["path"].as_str().is_some_and(|path| path.contains("dryRun"));
        if row["status"].as_u64() < Some(300) && !dry {
            self.0.insert((version, kind, name), filled(object));
        }
    }

    fn get(&self, target: &Target) -> Option<&Value> {
        let resource = target.resource;
        self.0.get(&(resource.api_version(), resource.kind.to_string(), target.name.clone()?))
    }
}

/// What an update gives: the object, or the refusal.
fn update(target: &Target, row: &Value, old: &Value) -> Result<Value, Status> {
    let resource = target.resource;
    let ty = type_named(resource.type_name).unwrap();
    let patched = |result: Result<Patched, Status>| result.map(|patched| patched.value);
    let patch = body(row);
    let mut new = match row["content_type"].as_str().unwrap() {
        "application/json-patch+json" => patched(json_patch(ty, old, &patch))?,
        "application/merge-patch+json" => patched(merge_patch(ty, old, &patch))?,
        "application/strategic-merge-patch+json" => patched(strategic_merge(ty, old, &patch))?,
        _ => decode_body(&expected(resource), &patch, false)?.value,
    };
    resource.rules.default(&mut new);
    let metadata = new["metadata"].as_object_mut().unwrap();
    for field in ["resourceVersion", "generation", "creationTimestamp", "namespace"] {
        match old["metadata"].get(field) {
            Some(value) => drop(metadata.insert(field.into(), value.clone())),
            None => drop(metadata.shift_remove(field)),
        }
    }
    metadata.entry("uid").or_insert_with(|| old["metadata"]["uid"].clone());
    let of_status = target.subresource.as_deref() == Some("status");
    let mut errors = Vec::new();
    if of_status {
        resource.rules.prepare_status_update(&mut new, old);
    } else {
        resource.rules.prepare_update(&mut new, old);
    }
    validate_metadata_create(&new, resource.namespaced, NameRule::PathSegment, &mut errors);
    validate_metadata_update(&new, old, &mut errors);
    validate_metadata_update(&new, old, &mut errors);
    if of_status {
        resource.rules.validate_status_update(&new, old, &mut errors);
    } else {
        resource.rules.validate_update(&new, old, &mut errors);
    }
    let name = target.name.as_deref().unwrap();
    if !errors.is_empty() {
        return Err(Status::invalid(&resource.group, &resource.kind, name, &errors));
    }
    order(ty, &mut new);
    Ok(normalize(ty, &new).unwrap())
}

/// Statement N5.
#[test]
fn recorded_updates_are_accepted_and_refused_as_they_were() {
    let (mut equal, mut all) = (0, 0);
    let mut served = Served::default();
    for row in exchanges() {
        let Some(target) = row["path"].as_str().and_then(target) else { continue };
        let status = row["status"].as_u64().unwrap();
        let is_update = row["method"] == "PUT" || row["method"] == "PATCH";
        let is_here = is_update && ![400, 404, 409, 415, 500].contains(&status);
        if let Some(old) = served.get(&target).filter(|_| is_here).cloned() {
            all += 1;
            let mut row = row.clone();
            row["response"] = filled(&row["response"]);
            let result = update(&target, &row, &old);
            let is_equal = compare(&row, &result);
            equal += i32::from(is_equal);
            if let (true, Ok(object)) = (is_equal, result) {
                row["response"] = object;
                served.keep(&row);
                continue;
            }
        }
        served.keep(&row);
    }
    println!("{equal} of {all} recorded updates are equal");
    assert!(all == 0 || equal >= 64, "{equal} of {all}");
}

/// Ages differ from run to run.
fn without_ages(mut table: Value) -> Value {
    for row in table["rows"].as_array_mut().unwrap() {
        for cell in row["cells"].as_array_mut().unwrap() {
            let text = cell.as_str().unwrap_or_default();
            let is_age = text.len() > 1
                && text.ends_with(['s', 'd', 'h', 'm'])
                && text[..text.len() - 1].chars().all(|digit| digit.is_ascii_digit());
            if is_age {
                *cell = "<age>".into();
            }
        }
    }
    table
}

#[test]
fn recorded_tables_are_shown_as_they_were() {
    let mut served = Served::default();
    let mut all = 0;
    for row in exchanges() {
        let Some(target) = row["path"].as_str().and_then(target) else { continue };
        if let Some(object) = served.get(&target).filter(|_| row["response"]["kind"] == "Table") {
            let query = row["path"].as_str().unwrap().split_once("includeObject=");
            let include = IncludeObject::parse(query.map_or("", |(_, value)| value)).unwrap();
            let now = 1_795_458_000;
            let table = of_object(
                target.resource,
                object,
                TableOptions { include, version: MetaVersion::V1, now },
                true,
            );
            let expected = without_ages(filled(&row["response"]));
            let table = without_ages(table);
            for part in ["rows", "columnDefinitions", "metadata"] {
                assert_eq!(text(&table[part]), text(&expected[part]), "{}", title(&row));
            }
            all += 1;
        }
        served.keep(&row);
    }
    println!("{all} recorded tables are equal");
}

/// Every document of the vendors' manifests, with the file that it is from.
fn vendor_documents() -> Vec<(String, Value)> {
    let Some(manifests) = shared("manifests") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(manifests).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        found.extend(
            manifest::documents(&text).into_iter().map(|document| (name.clone(), document.unwrap().value)),
        );
    }
    found
}

#[test]
fn every_object_of_the_vendors_manifests_is_served_and_valid() {
    let (mut valid, mut unknown) = (0, Vec::new());
    for (file, document) in vendor_documents() {
        let api_version = document["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = document["kind"].as_str().unwrap_or_default();
        let Some(resource) = resource_for_kind(group, version, kind) else {
            unknown.push(format!("{file}: {api_version} {kind}"));
            continue;
        };
        let ty = type_named(resource.type_name).unwrap();
        let mut object = normalize(ty, &document).unwrap_or_else(|error| panic!("{file}: {error}"));
        resource.rules.convert(&object).unwrap();
        resource.rules.default(&mut object);
        // As kubectl does.
        let metadata = object["metadata"].as_object_mut().unwrap();
        if resource.namespaced {
            metadata.entry("namespace").or_insert("default".into());
        } else {
            metadata.shift_remove("namespace");
        }
        resource.rules.prepare_create(&mut object);
        let mut errors = Vec::new();
        validate_metadata_create(&object, resource.namespaced, resource.name_rule, &mut errors);
        resource.rules.validate_create(&object, &mut errors);
        assert!(errors.is_empty(), "{file}: {kind}: {errors:?}");
        assert_eq!(resource.rules.cells(&object, 0).len(), resource.rules.columns().len(), "{kind}");
        let old = object.clone();
        resource.rules.prepare_update(&mut object, &old);
        resource.rules.validate_update(&object, &old, &mut errors);
        assert!(errors.is_empty(), "{file}: {kind}: update: {errors:?}");
        assert_eq!(text(&object), text(&old), "{file}: {kind}: an update that changes nothing");
        valid += 1;
    }
    println!("{valid} objects are valid; not served: {unknown:?}");
}

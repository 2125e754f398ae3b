//! Decoding and manifests against what a real Kubernetes served.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

mod golden;

use everynode_apimachinery::decode::{Body, decode_body, normalize};
use everynode_apimachinery::manifest;
use everynode_model::Value;
use everynode_model::encode::{canonical, to_text};
use everynode_testkit::shared;
use golden::{exchanges, filled, title, type_of};

/// Decoding an object that the API served gives the object again, field for field.
fn check_served(what: &str, served: &Value, count: &mut usize) {
    let Some(ty) = type_of(served) else { return };
    let served = filled(served);
    let again = normalize(ty, &served).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(to_text(&again), to_text(&served), "{what}");
    *count += 1;
}

/// As [`check_served`] for a recording with sorted fields, of which some were left out.
fn check_recorded(what: &str, type_name: &str, recorded: &Value) {
    let Some(fields) = recorded.as_object() else { return };
    let ty = everynode_apimachinery::schema::type_named(type_name).unwrap();
    let mut again = normalize(ty, recorded).unwrap_or_else(|error| panic!("{what}: {error}"));
    if let Some(owner) = again.pointer_mut("/metadata/ownerReferences/0").and_then(Value::as_object_mut) {
        owner.shift_remove("uid");
    }
    again.as_object_mut().unwrap().retain(|name, _| fields.contains_key(name));
    let text = |value| String::from_utf8(canonical(value)).unwrap();
    assert_eq!(text(&again), text(recorded), "{what}");
}

#[test]
fn every_object_that_was_served_decodes_to_itself() {
    let mut count = 0;
    for row in exchanges() {
        let response = &row["response"];
        if response["kind"] != "Status" {
            check_served(&title(&row), response, &mut count);
        }
        for event in row["events"].as_array().into_iter().flatten() {
            check_served(&title(&row), &event["object"], &mut count);
        }
    }
    println!("{count} objects");
}

#[test]
fn every_recorded_body_is_decoded_or_refused_as_it_was() {
    let mut refused = 0;
    for row in exchanges().iter().filter(|row| row["method"] == "POST") {
        let path = row["path"].as_str().unwrap_or_default();
        if !path.starts_with("/apis/apps/v1/namespaces/golden/daemonsets") || row["status"] == 415 {
            continue;
        }
        let ty = everynode_apimachinery::schema::type_named("apps.v1.DaemonSet").unwrap();
        let expected = Body { group: "apps", version: "v1", kind: "DaemonSet", ty };
        let is_yaml = row["content_type"] == "application/yaml";
        let strict = path.contains("fieldValidation=Strict");
        let result = decode_body(&expected, &golden::body(row), is_yaml)
            .and_then(|decoded| if strict { expected.strict(decoded) } else { Ok(decoded.value) });
        match result {
            Err(status) => {
                assert_eq!(to_text(&status.to_value()), to_text(&row["response"]), "{}", title(row));
                refused += 1;
            }
            Ok(_) => {
                let message = row["response"]["message"].as_str().unwrap_or_default();
                let ours = message.contains("cannot be handled as a") && !message.contains("strconv");
                assert!(!ours, "{}: {message}", title(row));
            }
        }
    }
    println!("{refused} refused as recorded");
}

#[test]
fn every_manifest_is_read() {
    let (Some(manifests), Some(recordings)) = (shared("manifests"), shared("golden/manifests")) else {
        return;
    };
    let mut files = 0;
    for entry in std::fs::read_dir(manifests).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        for result in manifest::documents(&text) {
            let document = result.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if path.ends_with("filebeat.yaml") && document.value["kind"] == "DaemonSet" {
                let volumes = &document.value["spec"]["template"]["spec"]["volumes"];
                assert_eq!(volumes[0]["configMap"]["defaultMode"], 416, "0640 is octal");
            }
            let Some(ty) = type_of(&document.value) else { continue };
            normalize(ty, &document.value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let recorded = std::fs::read(recordings.join(format!("{name}.json"))).unwrap();
        let recorded: Value = serde_json::from_slice(&recorded).unwrap();
        for (name, set) in recorded["daemonsets"].as_object().into_iter().flatten() {
            check_recorded(name, "apps.v1.DaemonSet", &set["object"]);
            check_recorded(name, "core.v1.Pod", &set["pod"]);
        }
    }
    println!("{files} files");
}

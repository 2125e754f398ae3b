//! Patches against what a real Kubernetes made of them.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

mod golden;

use everynode_apimachinery::decode::normalize;
use everynode_apimachinery::patch::{Patched, json_patch, merge_patch, strategic_merge};
use everynode_apimachinery::resource_for;
use everynode_apimachinery::schema::type_named;
use everynode_apimachinery::status::Status;
use everynode_model::Value;
use everynode_model::encode::to_text;
use golden::{body, exchanges, filled, title};

fn apply(row: &Value, original: &Value) -> Option<Result<Patched, Status>> {
    let ty = type_named("apps.v1.DaemonSet").unwrap();
    let patch = body(row);
    match row["content_type"].as_str()?.strip_prefix("application/")? {
        "json-patch+json" => Some(json_patch(ty, original, &patch)),
        "merge-patch+json" => Some(merge_patch(ty, original, &patch)),
        "strategic-merge-patch+json" => Some(strategic_merge(ty, original, &patch)),
        _ => None,
    }
}

/// What the API server does with the result before it is stored.
fn stored(patched: Patched, recorded: &Value) -> Value {
    let mut value = patched.value;
    resource_for("apps", "v1", "daemonsets").unwrap().rules.default(&mut value);
    // The generations count what was stored; they are not the patch's.
    value["metadata"]["generation"] = recorded["metadata"]["generation"].clone();
    let key = "deprecated.daemonset.template.generation";
    value["metadata"]["annotations"][key] = recorded["metadata"]["annotations"][key].clone();
    normalize(type_named("apps.v1.DaemonSet").unwrap(), &value).unwrap()
}

/// The recording hides the uids of owners.
fn blanked(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(owners) = value.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
        owners.iter_mut().for_each(|owner| owner["uid"] = "<uid>".into());
    }
    value
}

#[test]
fn every_recorded_patch_of_a_daemonset_gives_the_recorded_object() {
    let mut current: Option<Value> = None;
    let mut count = 0;
    for row in exchanges() {
        let path = row["path"].as_str().unwrap_or_default();
        let is_it = path == "/apis/apps/v1/namespaces/golden/daemonsets/full";
        let response = &row["response"];
        if is_it && row["method"] == "PATCH" {
            let original = current.clone().expect("the object was created before");
            match apply(&row, &original) {
                None => continue,
                Some(Ok(patched)) if row["status"] == 200 => {
                    let expected = filled(response);
                    let ours = stored(patched, &expected);
                    assert_eq!(to_text(&blanked(&ours)), to_text(&expected), "{}", title(&row));
                    current = Some(ours);
                }
                // The patch is fine; what it makes is refused later on.
                Some(Ok(_)) => {
                    let reason = response["reason"].as_str().unwrap_or_default();
                    let message = response["message"].as_str().unwrap_or_default();
                    let later = message.starts_with("DaemonSet.apps") || reason == "Conflict";
                    assert!(later || message.starts_with("the name of"), "{}: {message}", title(&row));
                }
                Some(Err(status)) => {
                    assert_eq!(to_text(&status.to_value()), to_text(response), "{}", title(&row));
                }
            }
            count += 1;
        }
        let is_first = current.is_none() && row["status"] == 201;
        if is_first && response["metadata"]["name"] == "full" && response["kind"] == "DaemonSet" {
            current = Some(filled(response));
        }
    }
    println!("{count} patches");
}

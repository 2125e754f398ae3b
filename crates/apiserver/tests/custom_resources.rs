//! Custom resources: what a kube-apiserver 1.36 answered, replayed; and how definitions come and go.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use everynode_apiserver::{Config, Storage};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::recorded::{same, told};
use support::{Answer, Client, LIMIT, start};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const COGS: &str = "/apis/two.io/v1/namespaces/default/cogs";
const OLD_COGS: &str = "/apis/two.io/v1alpha1/namespaces/default/cogs";

/// Exchanges with a kube-apiserver 1.36, in the order in which they were made. What differs from run to run is out.
fn recorded() -> Value {
    serde_json::from_str(include_str!("custom_resources/recorded.json")).unwrap()
}

/// Exchanges in which this server differs, and how.
const DIFFERENT: &[(&str, &str)] = &[
    // 1.0 is a whole number here; there it depends on who reads it.
    ("one.0", "201"),
    // A kube-apiserver says more about the same mistake.
    ("xmin", "fewer causes"),
    // The refusal names the kind that is served, not the one that was sent.
    ("wrong kind", "another kind in the message"),
    ("merge kind", "another kind in the message"),
    // The replayed body is encoded in another way, and the message shows it.
    ("no kind", "another text"),
    ("null", "another sentence"),
    ("get sub 404", "another sentence"),
    ("apis", "another sentence"),
    ("fieldsel", "another sentence"),
    ("post named", "405"),
    // The message lists the media types that there are.
    ("patch ctype", "another list"),
    // The message shows the whole object, which has no managedFields here.
    ("merge unknown strict", "another object"),
    // The regular expressions and the expressions of rules have readers of their own.
    ("pattern bad", "another sentence"),
    ("cel syntax", "another sentence"),
    ("cel reason", "fewer causes"),
    ("default root", "201"),
];

async fn replay(client: &Client, exchanges: &Value) {
    let mut wrong = Vec::new();
    for exchange in exchanges.as_array().unwrap() {
        let text = |name: &str| exchange[name].as_str().unwrap_or_default();
        let body = match &exchange["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let accept = if text("accept").is_empty() { "application/json" } else { text("accept") };
        let headers = [("content-type", text("content_type")), ("accept", accept)];
        let headers: Vec<(&str, &str)> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let answer = client.request(text("method"), text("path"), &headers, body).await;
        let name = text("name");
        let told = if answer.text().starts_with('{') { told(&answer.json()) } else { Value::Null };
        let ours = json!({"status": answer.status.as_u16(), "answer": told});
        let theirs = json!({"status": exchange["status"], "answer": exchange["answer"]});
        let is_same =
            ours["status"] == theirs["status"] && same(ours["answer"].clone(), theirs["answer"].clone());
        let is_known = DIFFERENT.iter().any(|(known, _)| *known == name);
        if is_same == is_known {
            wrong.push(format!("{name}:\n  ours   {ours}\n  theirs {theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn define(client: &Client, definition: &Value) {
    let answer = client.post(DEFINITIONS, &definition.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let name = definition["metadata"]["name"].as_str().unwrap();
    condition(client, name, "Established", "True").await;
}

/// Waits until a definition has a condition.
async fn condition(client: &Client, name: &str, kind: &str, status: &str) {
    until(async || {
        let live = client.get(&format!("{DEFINITIONS}/{name}")).await.json();
        let conditions = live["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == kind && one["status"] == status)
    })
    .await;
    let served = kind == "Established" && status == "True";
    if served {
        let (plural, group) = name.split_once('.').unwrap();
        until(async || {
            let groups = client.get(&format!("/apis/{group}")).await;
            let version = groups.json()["preferredVersion"]["groupVersion"].as_str().unwrap_or("").to_owned();
            client.get(&format!("/apis/{version}/{plural}")).await.status == 200
        })
        .await;
    }
}

async fn until(condition: impl AsyncFn() -> bool) {
    eventually("the server does what it does later", LIMIT, async || {
        condition().await.then_some(()).ok_or_else(String::new)
    })
    .await;
}

fn cogs() -> Value {
    let schema = |more: Value| {
        let mut properties = json!({"a": {"type": "string"}});
        properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "cogs.two.io"},
        "spec": {
            "group": "two.io", "scope": "Namespaced", "names": {"plural": "cogs", "kind": "Cog", "shortNames": ["cg"]},
            "versions": [
                {"name": "v1alpha1", "served": true, "storage": false, "deprecated": true, "schema": schema(json!({}))},
                {"name": "v1", "served": true, "storage": true,
                 "schema": schema(json!({"b": {"type": "string", "default": "q"}}))},
            ],
        },
    })
}

fn cog(name: &str, more: Value) -> String {
    let mut cog =
        json!({"apiVersion": "two.io/v1", "kind": "Cog", "metadata": {"name": name}, "spec": {"a": "1"}});
    cog["metadata"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    cog.to_string()
}

fn condition_of<'a>(definition: &'a Value, kind: &str) -> Option<&'a Value> {
    definition["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

fn message(answer: &Answer) -> String {
    answer.json()["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn custom_resources_answer_as_recorded() {
    let recorded = recorded();
    let (server, client) = start(Config { service_account_admission: false, ..Config::default() }).await;
    for part in ["widgets", "rules"] {
        define(&client, &recorded[part]["definition"]).await;
        replay(&client, &recorded[part]["exchanges"]).await;
    }
    replay(&client, &recorded["definitions"]).await;
    server.shutdown().await;
}

#[tokio::test]
async fn an_object_is_seen_in_every_version_that_is_served() {
    let (server, client) = start(Config::default()).await;
    define(&client, &cogs()).await;
    let old = cog("c", json!({})).replace("two.io/v1", "two.io/v1alpha1");
    let answer = client.post(OLD_COGS, &old).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let warning = answer.headers["warning"].to_str().unwrap();
    assert_eq!(warning, "299 - \"two.io/v1alpha1 Cog is deprecated; use two.io/v1 Cog\"");
    let new = client.get(&format!("{COGS}/c")).await.json();
    assert_eq!((&new["apiVersion"], &new["spec"]), (&json!("two.io/v1"), &json!({"a": "1", "b": "q"})));
    let old = client.get(OLD_COGS).await.json();
    assert_eq!(old["items"][0]["apiVersion"], "two.io/v1alpha1");
    assert_eq!(old["items"][0]["spec"], json!({"a": "1"}), "a field that the version has not is not shown");
    let groups = client.get("/apis/two.io").await.json();
    assert_eq!(groups["preferredVersion"]["version"], "v1");
    let document = client.get("/openapi/v3/apis/two.io/v1").await.json();
    assert!(document["components"]["schemas"]["io.two.v1.Cog"]["properties"]["spec"].is_object());
    let patch = &document["paths"]["/apis/two.io/v1/namespaces/{namespace}/cogs/{name}"]["patch"];
    let forms: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    // kubectl chooses by this list.
    let known =
        ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
    assert_eq!(forms, known);
    server.shutdown().await;
}

#[tokio::test]
async fn names_that_are_taken_are_not_accepted_until_they_are_free() {
    let (server, client) = start(Config::default()).await;
    define(&client, &cogs()).await;
    let mut other = cogs();
    other["metadata"]["name"] = "others.two.io".into();
    other["spec"]["names"] = json!({"plural": "others", "kind": "Other", "shortNames": ["cg"]});
    assert_eq!(client.post(DEFINITIONS, &other.to_string()).await.status, 201);
    condition(&client, "others.two.io", "NamesAccepted", "False").await;
    let live = client.get(&format!("{DEFINITIONS}/others.two.io")).await.json();
    let condition_now = condition_of(&live, "NamesAccepted").unwrap();
    assert_eq!(condition_now["reason"], "ShortNamesConflict");
    assert_eq!(condition_now["message"], "\"cg\" is already in use");
    assert_eq!(condition_of(&live, "Established").unwrap()["status"], "False");
    assert_eq!(client.get("/apis/two.io/v1/others").await.status, 404);
    client.delete(&format!("{DEFINITIONS}/cogs.two.io")).await;
    condition(&client, "others.two.io", "Established", "True").await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_and_its_watches_with_it() {
    let (server, client) = start(Config::default()).await;
    define(&client, &cogs()).await;
    let held = cog("held", json!({"finalizers": ["a.b/c"]}));
    assert_eq!(client.post(COGS, &cog("free", json!({}))).await.status, 201);
    assert_eq!(client.post(COGS, &held).await.status, 201);
    let mut lines = client.watch(&format!("{COGS}?watch=1")).await;
    assert_eq!(lines.next_name().await, "ADDED free");
    assert_eq!(lines.next_name().await, "ADDED held");
    let deleted = client.delete(&format!("{DEFINITIONS}/cogs.two.io")).await.json();
    assert_eq!(deleted["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    assert_eq!(lines.next_name().await, "DELETED free");
    assert_eq!(lines.next_name().await, "MODIFIED held");
    let refused = client.post(COGS, &cog("late", json!({}))).await;
    assert_eq!(refused.status, 403);
    assert!(
        message(&refused).ends_with("create not allowed while custom resource definition is terminating")
    );
    let listed = client.get("/apis/two.io/v1").await.json();
    assert_eq!(
        listed["resources"][0]["verbs"],
        json!(["delete", "deletecollection", "get", "list", "watch"])
    );
    let freed = client.merge(&format!("{COGS}/held"), r#"{"metadata":{"finalizers":null}}"#).await;
    assert_eq!(freed.status, 200, "{}", freed.text());
    assert_eq!(lines.next_name().await, "DELETED held");
    assert!(lines.next().await.is_none(), "the watch ends");
    until(async || client.get(&format!("{DEFINITIONS}/cogs.two.io")).await.status == 404).await;
    until(async || client.get(COGS).await.status == 404).await;
    assert_eq!(client.get("/apis/two.io").await.status, 404);
    assert_eq!(client.get("/openapi/v3/apis/two.io/v1").await.status, 404);
    define(&client, &cogs()).await;
    let items = client.get(COGS).await.json()["items"].clone();
    assert_eq!(items, json!([]), "nothing of the old objects is left");
    server.shutdown().await;
}

#[tokio::test]
async fn definitions_and_objects_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let config = || Config { storage: Storage::Directory(directory.path().into()), ..Config::default() };
    let (server, client) = start(config()).await;
    define(&client, &cogs()).await;
    assert_eq!(client.post(COGS, &cog("c", json!({"labels": {"x": "y"}}))).await.status, 201);
    let before = client.get(&format!("{COGS}/c")).await.json();
    server.shutdown().await;
    let (server, client) = start(config()).await;
    assert_eq!(client.get(&format!("{COGS}/c")).await.json(), before, "served from the first request on");
    let selected = client.get(&format!("{COGS}?labelSelector=x%3Dy")).await.json();
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn hostile_definitions_are_refused_or_harmless() {
    let (server, client) = start(Config::default()).await;
    let with = |schema: Value| {
        let mut definition = cogs();
        definition["spec"]["versions"] =
            json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]);
        definition
    };
    let mut deep = json!({"type": "string"});
    for _ in 0..70 {
        deep = json!({"type": "object", "properties": {"x": deep}});
    }
    let refused = client.post(DEFINITIONS, &with(deep).to_string()).await;
    assert_eq!(refused.status, 422);
    assert!(message(&refused).contains("must not be nested deeper than 64 levels"), "{}", message(&refused));
    let pattern =
        json!({"type": "object", "properties": {"x": {"type": "string", "pattern": "(a{900}){900}"}}});
    assert_eq!(client.post(DEFINITIONS, &with(pattern).to_string()).await.status, 422);
    let patterns = (1..2000).map(|n| {
        (
            format!("p{n}"),
            json!({"type": "string", "pattern": format!("^[a-z]{{{}}}\\pL{{10}}$", n % 200 + 1)}),
        )
    });
    let patterns = json!({"type": "object", "properties": patterns.collect::<serde_json::Map<_, _>>()});
    let refused = client.post(DEFINITIONS, &with(patterns).to_string()).await;
    assert_eq!(refused.status, 422);
    assert!(message(&refused).contains("bytes together, and take more"), "{}", message(&refused));
    let rule = "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d > 0))))";
    let costly = |most: u64| {
        with(json!({"type": "object", "properties": {"spec": {
            "type": "array", "maxItems": most, "items": {"type": "integer"}, "x-kubernetes-validations": [{"rule": rule}],
        }}}))
    };
    let refused = client.post(DEFINITIONS, &costly(300).to_string()).await;
    assert_eq!(refused.status, 422);
    assert!(
        message(&refused).contains("exceeds budget by factor of more than 100x"),
        "{}",
        message(&refused)
    );
    define(&client, &costly(24)).await;
    let many: Vec<i64> = vec![1; 24];
    let mut object: Value = serde_json::from_str(&cog("c", json!({}))).unwrap();
    object["spec"] = json!(many);
    let refused = client.post(COGS, &object.to_string()).await;
    assert_eq!(refused.status, 422);
    assert!(message(&refused).contains("call cost exceeds limit for rule"), "{}", message(&refused));
    object["spec"] = json!([1, 2]);
    assert_eq!(client.post(COGS, &object.to_string()).await.status, 201);
    server.shutdown().await;
}

#[tokio::test]
async fn openapi_describes_custom_resources_as_recorded() {
    let recorded: Value = serde_json::from_str(include_str!("custom_resources/openapi.json")).unwrap();
    let (server, client) = start(Config::default()).await;
    for (name, kind) in recorded.as_object().unwrap() {
        let title = name[..1].to_uppercase() + &name[1..];
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{name}.example.com")},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": name, "kind": title},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": kind["schema"]},
                }],
            },
        });
        define(&client, &definition).await;
        let three = client.get("/openapi/v3/apis/example.com/v1").await.json();
        let two = client.get("/openapi/v2").await.json();
        let types = [("v3", &three["components"]["schemas"]), ("v2", &two["definitions"])];
        for (version, schemas) in types {
            let found = ["", "List"].map(|list| &schemas[format!("com.example.v1.{title}{list}")]);
            assert_eq!(json!(found), kind[version], "{name} {version}");
        }
    }
    server.shutdown().await;
}

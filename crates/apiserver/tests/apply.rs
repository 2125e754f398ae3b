//! Server-side apply: what a kube-apiserver 1.36.2 answered, replayed.
//!
//! The exchanges in `testdata/apply` are of our own making, and in the order in which they were sent. What differs from
//! run to run was taken out when they were recorded, as it is here of our answers. Of versions it is compared whether
//! they are those that the object had before, so that a write that changes nothing shows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use std::collections::HashMap;

use everynode_apiserver::Config;
use everynode_model::{Object, Value};
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::{Client, LIMIT, start};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn read(file: &str) -> Value {
    let path = format!("{}/../../testdata/apply/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).unwrap()
}

/// The version and the uid that the object at a path had when it was last seen.
type Last = HashMap<String, (String, String)>;

/// An answer without what differs from run to run.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let plain = fields.iter().map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("creationTimestamp" | "time" | "lastTransitionTime", Value::String(_)) => {
                        "<time>".into()
                    }
                    ("managedFields", Value::Array(entries)) => sorted(entries),
                    (_, value) => plain(value),
                };
                (name.clone(), value)
            });
            Value::Object(plain.collect::<Object>())
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::String(text) => plain_text(text).into(),
        other => other.clone(),
    }
}

/// Says of the version of an answer whether it is the one before, and remembers it.
fn compared(answer: &mut Value, path: &str, last: &mut Last) {
    let text = |name: &str| answer["metadata"][name].as_str().unwrap_or_default().to_owned();
    let (version, uid) = (text("resourceVersion"), text("uid"));
    if uid.is_empty() || version.is_empty() {
        return;
    }
    let is_same = last.get(path).is_some_and(|(before, _)| *before == version);
    answer["metadata"]["resourceVersion"] = if is_same { "as before" } else { "new" }.into();
    last.insert(path.to_owned(), (version, uid));
}

/// Entries of one second are sorted by name, and those of others by time: here always by name.
fn sorted(entries: &[Value]) -> Value {
    let mut entries: Vec<Value> = entries.iter().map(plain).collect();
    let key = |entry: &Value| {
        ["operation", "manager", "apiVersion", "subresource"]
            .map(|name| entry[name].as_str().unwrap_or_default().to_owned())
    };
    entries.sort_by_key(key);
    entries.into()
}

fn is_uid(word: &str) -> bool {
    let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    let first = word.chars().next();
    let is_own = word.chars().all(|c| c == '-' || Some(c) == first);
    word.len() == 36 && word.chars().all(hex) && word.matches('-').count() == 4 && !is_own
}

fn plain_text(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
        let core = word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let rest = &word[core.len()..];
        let is_generated = core.strip_prefix("gen-").is_some_and(|suffix| suffix.len() == 5);
        out.push_str(match core {
            uid if is_uid(uid) => "<uid>",
            _ if is_generated => "gen-*",
            other => other,
        });
        out.push_str(rest);
    }
    out
}

/// Rows in which this server differs, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("basics", "51", "YAML has a reader of its own, and that says in its own words what is wrong"),
    (
        "custom",
        "49",
        "null goes from fields that take none, as in every other write; there that is a mistake",
    ),
    ("managers", "61", "the finalizers of a namespace are all that is taken; there its labels are taken too"),
];

/// Lines and causes in no particular order, and errors that name their place.
fn in_order(mut answer: Value) -> Value {
    if let Some(causes) = answer["details"]["causes"].as_array_mut() {
        causes.sort_by_key(Value::to_string);
    }
    answer
}

async fn replay(client: &Client, suite: &str) {
    let (mut seen, mut recorded) = (Last::new(), Last::new());
    let mut wrong = Vec::new();
    for row in read(suite).as_array().unwrap() {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let path = text("path").split('?').next().unwrap_or_default().to_owned();
        // A scale is the object, seen in another way.
        let object = path.strip_suffix("/scale").or(path.strip_suffix("/status")).unwrap_or(&path).to_owned();
        let (version, uid) = seen.get(&object).cloned().unwrap_or_default();
        let body = match &row["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let body = body.replace("${rv}", &version).replace("${uid}", &uid);
        let agent = if text("agent").is_empty() { "recorder/1" } else { text("agent") };
        let headers = [("content-type", text("type")), ("user-agent", agent)];
        let headers: Vec<(&str, &str)> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let answer = client.request(text("method"), text("path"), &headers, body).await;
        let status = answer.status.as_u16();
        let shown: Value = serde_json::from_slice(&answer.bytes).unwrap_or_else(|_| answer.text().into());
        let (mut ours, mut theirs) = (shown, row["answer"].clone());
        compared(&mut ours, &object, &mut seen);
        compared(&mut theirs, &object, &mut recorded);
        let warnings: Vec<&str> =
            answer.headers.get_all("warning").iter().map(|one| one.to_str().unwrap()).collect();
        let warnings = if warnings.is_empty() { Value::Null } else { json!(warnings) };
        let ours = json!({"status": status, "answer": in_order(plain(&ours)), "warnings": warnings});
        let theirs = json!({
            "status": row["status"], "answer": in_order(theirs), "warnings": row["warnings"],
        });
        let name = text("name");
        let number = name.split(' ').next().unwrap_or_default();
        let known = DIFFERENT.iter().any(|(of, row, _)| (*of, *row) == (suite, number));
        if (ours == theirs) == known {
            wrong.push(format!("{suite} {name}: {}", difference(&ours, &theirs, "")));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// The first places at which two values differ.
fn difference(ours: &Value, theirs: &Value, at: &str) -> String {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            let lines = names.filter(|name| a.get(*name) != b.get(*name)).map(|name| {
                let none = Value::Null;
                let (x, y) = (a.get(name).unwrap_or(&none), b.get(name).unwrap_or(&none));
                difference(x, y, &format!("{at}/{name}"))
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        _ => format!("\n  {at}\n    ours   {ours}\n    theirs {theirs}"),
    }
}

async fn prepare() -> (everynode_apiserver::Server, Client) {
    let (server, client) = start(Config { service_account_admission: false, ..Config::default() }).await;
    let namespace = r#"{"metadata":{"name":"apply"}}"#.to_owned();
    for (path, body) in [("/api/v1/namespaces", namespace), (DEFINITIONS, read("definition").to_string())] {
        let headers = [("content-type", "application/json"), ("user-agent", "setup/1")];
        let made = client.request("POST", path, &headers, body).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    eventually("the kind is served", LIMIT, async || {
        let path = "/apis/apply.example.io/v2/namespaces/apply/gears";
        (client.get(path).await.status == 200).then_some(()).ok_or_else(String::new)
    })
    .await;
    (server, client)
}

async fn check(suites: &[&str]) {
    let (server, client) = prepare().await;
    for suite in suites {
        replay(&client, suite).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn applying_and_its_refusals_answer_as_recorded() {
    check(&["basics"]).await;
}

#[tokio::test]
async fn managers_are_kept_cleared_and_migrated_as_recorded() {
    check(&["managers"]).await;
}

#[tokio::test]
async fn workloads_and_their_subresources_answer_as_recorded() {
    check(&["workloads"]).await;
}

#[tokio::test]
async fn custom_resources_are_applied_as_recorded() {
    check(&["custom"]).await;
}

#[tokio::test]
async fn random_sequences_of_several_managers_end_as_recorded() {
    check(&["random1", "random2"]).await;
}

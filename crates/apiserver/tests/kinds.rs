//! Kinds that are there and not acted on, and small rules: what a kube-apiserver 1.36.2 answered, replayed; and discovery
//! beside its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop and speak")]

mod support;

use everynode_apiserver::Config;
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use serde_json::json;
use support::recorded::{same, told};
use support::{Client, LIMIT, start};

/// Exchanges in which this server differs, and how.
const DIFFERENT: &[(&str, &str)] = &[
    // Nobody looks at whether the level of a flow is there, or the service of an API.
    ("flowschemas get", "no condition"),
    ("flowschemas table", "a question mark"),
    ("flowschemas patch 1", "no condition"),
    ("apiservices table", "unknown"),
    ("apiservices patch 1", "no condition"),
    // Nothing would take the finalizer out; a controller manager adds it where one runs.
    ("volumeattributesclasses create", "no finalizer"),
    ("volumeattributesclasses get", "no finalizer"),
    ("volumeattributesclasses patch 2", "no finalizer"),
    // A selector is shown as text, not as the structure of a program.
    ("mutatingadmissionpolicybindings table", "another text"),
    // Metrics are shown in the order in which the older version has them.
    ("hpa v2 as v1 table", "another order"),
    ("resourceslices by nothing", "another sentence"),
];

/// Whether a warning is ours: a kube-apiserver carries out what it is about.
fn is_ours(warning: &str) -> bool {
    warning.contains("everynode")
}

async fn answered(client: &Client, exchange: &Value) -> (Value, Vec<String>) {
    let text = |name: &str| exchange[name].as_str().unwrap_or_default();
    let body = exchange.get("body").map(Value::to_string).unwrap_or_default();
    let or_json = |name: &str| {
        Some(text(name)).filter(|text| !text.is_empty()).unwrap_or("application/json").to_owned()
    };
    let (content_type, accept) = (or_json("content_type"), or_json("accept"));
    let headers = [("content-type", content_type.as_str()), ("accept", accept.as_str())];
    let answer = client.request(text("method"), text("path"), &headers, body).await;
    let warnings = answer.headers.get_all("warning").iter().map(|one| one.to_str().unwrap().to_owned());
    let warnings = warnings.filter(|warning| !is_ours(warning)).collect();
    (json!({"status": answer.status.as_u16(), "answer": told(&answer.json())}), warnings)
}

#[tokio::test]
async fn kinds_answer_as_recorded() {
    let (server, client) = start(Config { service_account_admission: false, ..Config::default() }).await;
    let exchanges: Vec<Value> = serde_json::from_str(include_str!("kinds/recorded.json")).unwrap();
    let mut wrong = Vec::new();
    for exchange in &exchanges {
        let name = exchange["name"].as_str().unwrap();
        let (ours, warnings) = answered(&client, exchange).await;
        let theirs = json!({"status": exchange["status"], "answer": exchange["answer"]});
        let is_same = ours["status"] == theirs["status"]
            && same(ours["answer"].clone(), theirs["answer"].clone())
            && json!(warnings) == exchange.get("warnings").cloned().unwrap_or_else(|| json!([]));
        if is_same == DIFFERENT.iter().any(|(known, _)| *known == name) {
            wrong.push(format!(
                "{name}:\n  ours   {ours} {warnings:?}\n  theirs {theirs} {}",
                exchange["warnings"]
            ));
        }
    }
    server.shutdown().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), exchanges.len(), wrong.join("\n"));
}

#[tokio::test]
async fn discovery_is_that_of_a_kube_apiserver() {
    let (server, client) = start(Config::default()).await;
    let recorded: Value = serde_json::from_str(include_str!("kinds/discovery.json")).unwrap();
    let mut wrong = Vec::new();
    for (path, theirs) in recorded.as_object().unwrap() {
        let ours = match path.as_str() {
            "aggregated" => {
                let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
                client.request("GET", "/apis", &[("accept", accept)], "").await.json()
            }
            path => client.get(path).await.json(),
        };
        if ours != *theirs {
            wrong.push(format!("{path}:\n  ours   {ours}\n  theirs {theirs}"));
        }
    }
    server.shutdown().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn nothing_that_discovery_lists_answers_404() {
    let (server, client) = start(Config::default()).await;
    let groups = client.get("/apis").await.json();
    let versions =
        groups["groups"].as_array().unwrap().iter().flat_map(|group| group["versions"].as_array().unwrap());
    let mut roots: Vec<String> =
        versions.map(|version| format!("/apis/{}", version["groupVersion"].as_str().unwrap())).collect();
    roots.push("/api/v1".into());
    for root in roots {
        let listed = client.get(&root).await.json();
        for resource in listed["resources"].as_array().unwrap() {
            let (name, verbs) = (resource["name"].as_str().unwrap(), resource["verbs"].to_string());
            let place = if resource["namespaced"] == true { "/namespaces/default" } else { "" };
            let path = match name.split_once('/') {
                None => format!("{root}{place}/{name}"),
                // There is no such object, which is another 404: that of an object.
                Some((plural, part)) => format!("{root}{place}/{plural}/nobody/{part}"),
            };
            let answer = match verbs.contains("\"get\"") || verbs.contains("\"list\"") {
                true => client.get(&path).await,
                false => client.post(&path, "{}").await,
            };
            let is_object = answer.status == 404 && answer.json()["details"]["name"] == "nobody";
            assert!(answer.status != 404 || is_object, "{path}: {}", answer.text());
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_service_kubernetes_comes_back_at_once() {
    let (server, client) = start(Config::default()).await;
    for path in
        ["/api/v1/namespaces/default/services", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"]
    {
        let path = format!("{path}/kubernetes");
        let uid = client.get(&path).await.json()["metadata"]["uid"].clone();
        assert_eq!(client.request("DELETE", &path, &[], "").await.status, 200);
        eventually("the object is there again", LIMIT, async || {
            let now = client.get(&path).await.json()["metadata"]["uid"].clone();
            if now.is_string() && now != uid { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }
    server.shutdown().await;
}

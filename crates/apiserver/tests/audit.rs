//! The audit log: what is taken down of each request.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use std::path::{Path, PathBuf};

use everynode_apiserver::{Config, Error, Server};
use everynode_model::Value;
use everynode_testkit::{Need, skip};
use support::{LIMIT, start};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config(path: &Path) -> Config {
    Config { audit_log: Some(path.to_owned()), ..Config::default() }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `verb resource/subresource namespace/name code`, or the path where no resource is named.
fn summary(event: &Value) -> String {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let slash = |a: &str, b: &str| if b.is_empty() { a.to_owned() } else { format!("{a}/{b}") };
    let about = match event.get("objectRef") {
        None => text("/requestURI").to_owned(),
        Some(_) => {
            let resource = slash(text("/objectRef/resource"), text("/objectRef/subresource"));
            format!("{resource} {}", slash(text("/objectRef/namespace"), text("/objectRef/name")))
        }
    };
    format!("{} {} {}", text("/verb"), about.trim_end(), event["responseStatus"]["code"])
}

#[tokio::test]
async fn every_request_leaves_a_line_that_says_who_did_what_to_which_object() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let (server, client) = start(config(&path)).await;
    let generated = client.post(MAPS, r#"{"metadata":{"generateName":"g-"}}"#).await;
    client.post(MAPS, r#"{"metadata":{"name":"a"}}"#).await;
    client.post(MAPS, r#"{"metadata":{"name":"a"}}"#).await;
    client.merge(&format!("{MAPS}/a"), r#"{"data":{"k":"v"}}"#).await;
    let deleted = client.delete(&format!("{MAPS}/a")).await;
    client.get("/api/v1/nodes?limit=5").await;
    client.clone().without_token().get("/api/v1/pods").await;
    client.get("/version").await;
    let id = client.get(&format!("{MAPS}/missing")).await.headers["audit-id"].to_str().unwrap().to_owned();
    server.shutdown().await;

    let lines = lines(&path);
    let generated = generated.json();
    let name = generated["metadata"]["name"].as_str().unwrap();
    let expected = [
        &format!("create configmaps default/{name} 201"),
        "create configmaps default/a 201",
        "create configmaps default 409",
        "patch configmaps default/a 200",
        "delete configmaps default/a 200",
        "list nodes 200",
        "list pods 401",
        "get /version 200",
        "get configmaps default/missing 404",
    ];
    assert_eq!(lines.iter().map(summary).collect::<Vec<_>>(), expected);
    assert_eq!(lines[0]["objectRef"]["uid"], generated["metadata"]["uid"]);
    assert_eq!(lines[4]["objectRef"]["uid"], deleted.json()["details"]["uid"]);
    assert_eq!(lines[5]["requestURI"], "/api/v1/nodes?limit=5");
    assert_eq!(lines[0]["user"]["username"], "kubernetes-admin");
    assert_eq!(lines[6]["user"]["username"], "system:anonymous");
    assert_eq!(lines[0]["sourceIPs"][0], "127.0.0.1");
    assert_eq!(lines[8]["auditID"], *id);
}

#[tokio::test]
async fn a_watch_leaves_a_line_when_it_begins_and_one_when_its_client_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let (server, client) = start(config(&path)).await;
    let mut watch = client.watch(&format!("{MAPS}?watch=1")).await;
    client.post(MAPS, r#"{"metadata":{"name":"a"}}"#).await;
    assert_eq!(watch.next_name().await, "ADDED a");
    drop(watch);
    let over = || lines(&path).iter().filter(|line| line["verb"] == "watch").count() == 2;
    tokio::time::timeout(LIMIT, async {
        while !over() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the end of the watch in time");
    server.shutdown().await;
    let stages: Vec<String> =
        lines(&path).iter().map(|line| format!("{} {}", summary(line), line["stage"])).collect();
    let expected = [
        r#"watch configmaps default 200 "ResponseStarted""#,
        r#"create configmaps default/a 201 "ResponseComplete""#,
        r#"watch configmaps default 200 "ResponseComplete""#,
    ];
    assert_eq!(stages, expected);
}

#[tokio::test]
async fn lines_are_appended_and_only_the_owner_may_read_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    for _ in 0..2 {
        let (server, client) = start(config(&path)).await;
        client.get("/version").await;
        server.shutdown().await;
    }
    assert_eq!(lines(&path).len(), 2);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_an_error_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/audit.log");
    let error = Server::start(config(&path)).await.unwrap_err();
    assert!(matches!(&error, Error::AuditLog(named, _) if *named == path.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_counted_and_requests_go_on() {
    let full = PathBuf::from("/dev/full");
    if !full.exists() {
        skip(Need::FullDisk, "/dev/full is not here");
        return;
    }
    let (server, client) = start(config(&full)).await;
    assert_eq!(client.get("/version").await.status, 200);
    let lost = async {
        while client.get("/metrics").await.text().contains("apiserver_audit_error_total{plugin=\"log\"} 0") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, lost).await.expect("a count of lost lines in time");
    server.shutdown().await;
}

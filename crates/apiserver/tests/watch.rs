//! Watches over real connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod support;

use std::time::Duration;

use everynode_apiserver::{Config, Storage};
use everynode_model::Value;
use everynode_testkit::wait::eventually;
use support::{Client, LIMIT, start};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn make(client: &Client, name: &str, labels: &str) -> Value {
    let body = format!(r#"{{"metadata":{{"name":"{name}","labels":{labels}}},"data":{{"k":"v"}}}}"#);
    let answer = client.post(MAPS, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn version(client: &Client) -> String {
    client.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let (server, client) = start(Config::default()).await;
    make(&client, "a", "{}").await;
    let mut lines = client.watch(&format!("{MAPS}?watch=1")).await;
    assert_eq!(lines.next_name().await, "ADDED a");
    make(&client, "b", "{}").await;
    assert_eq!(lines.next_name().await, "ADDED b");
    client.merge(&format!("{MAPS}/a"), r#"{"data":{"k":"w"}}"#).await;
    assert_eq!(lines.next_name().await, "MODIFIED a");
    client.delete(&format!("{MAPS}/a")).await;
    assert_eq!(lines.next_name().await, "DELETED a");
    server.shutdown().await;
    assert!(lines.next().await.is_none(), "a watch ends with its server");
}

/// How many watches the server counts.
async fn open_watches(client: &Client) -> u64 {
    let text = client.get("/metrics").await.text();
    let line = text.lines().find(|line| line.starts_with("apiserver_longrunning_requests{")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

async fn until_open(client: &Client, count: u64) {
    eventually(&format!("{count} watches are open"), LIMIT, async || {
        let open = open_watches(client).await;
        (open == count).then_some(()).ok_or_else(|| open.to_string())
    })
    .await;
}

#[tokio::test]
async fn who_does_not_read_a_watch_loses_it_and_can_go_on_from_what_was_read() {
    let config = Config { slow_reader: Duration::from_millis(200), ..Config::default() };
    let (server, client) = start(config).await;
    // More than the buffers of both ends hold.
    let text = "x".repeat(1 << 20);
    for n in 0..24 {
        let body = format!(r#"{{"metadata":{{"name":"m{n}"}},"data":{{"k":"{text}"}}}}"#);
        assert_eq!(client.post(MAPS, &body).await.status, 201);
    }
    let mut unread = client.watch(&format!("{MAPS}?watch=1")).await;
    let idle = client.watch(&format!("{MAPS}?watch=1&resourceVersion={}", version(&client).await)).await;
    until_open(&client, 1).await;
    let mut seen = 0;
    while unread.next().await.is_some() {
        seen += 1;
    }
    assert!(seen < 24, "all of it was kept for a client that did not read");
    drop(idle);
    until_open(&client, 0).await;
    server.shutdown().await;
}

#[tokio::test]
async fn watches_beyond_the_limit_are_refused_until_one_ends() {
    let (server, client) = start(Config { watches: 2, ..Config::default() }).await;
    let path = format!("{MAPS}?watch=1");
    let (first, _second) = (client.watch(&path).await, client.watch(&path).await);
    assert_eq!(client.get(&path).await.status, 429);
    drop(first);
    until_open(&client, 1).await;
    let mut third = client.watch(&path).await;
    make(&client, "a", "{}").await;
    assert_eq!(third.next_name().await, "ADDED a");
    server.shutdown().await;
}

#[tokio::test]
async fn a_selector_turns_changes_into_comings_and_goings() {
    let (server, client) = start(Config::default()).await;
    make(&client, "a", r#"{"x":"1"}"#).await;
    let from = version(&client).await;
    let path = format!("{MAPS}?watch=1&labelSelector=x%3D1&resourceVersion={from}");
    let mut lines = client.watch(&path).await;
    client.merge(&format!("{MAPS}/a"), r#"{"metadata":{"labels":{"x":"2"}}}"#).await;
    let gone = lines.next().await.unwrap();
    assert_eq!(gone["type"], "DELETED");
    assert_eq!(gone["object"]["metadata"]["labels"]["x"], "1");
    client.merge(&format!("{MAPS}/a"), r#"{"metadata":{"labels":{"x":"1"}}}"#).await;
    assert_eq!(lines.next_name().await, "ADDED a");
    client.merge(&format!("{MAPS}/a"), r#"{"data":{"k":"w"}}"#).await;
    assert_eq!(lines.next_name().await, "MODIFIED a");
    server.shutdown().await;
}

#[tokio::test]
async fn initial_events_end_with_a_marked_bookmark_and_bookmarks_go_on() {
    let (server, client) =
        start(Config { bookmark_interval: Duration::from_millis(20), ..Config::default() }).await;
    make(&client, "a", "{}").await;
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut lines = client.watch(&path).await;
    assert_eq!(lines.next_name().await, "ADDED a");
    let end = lines.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    // A write elsewhere moves the bookmark of this watch as well.
    let ns = client.post("/api/v1/namespaces", r#"{"metadata":{"name":"other"}}"#).await.json();
    let wanted = ns["metadata"]["resourceVersion"].clone();
    loop {
        let bookmark = lines.next().await.unwrap();
        assert_eq!(bookmark["type"], "BOOKMARK");
        if bookmark["object"]["metadata"]["resourceVersion"] == wanted {
            break;
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_version_from_before_a_restart_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        || Config { storage: Storage::Directory(directory.path().join("data")), ..Config::default() };
    let (server, client) = start(config()).await;
    make(&client, "a", "{}").await;
    let before = version(&client).await;
    make(&client, "b", "{}").await;
    server.shutdown().await;

    let (server, client) = start(config()).await;
    let mut lines = client.watch(&format!("{MAPS}?watch=1&resourceVersion={before}")).await;
    let error = lines.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&"ERROR".into(), &410.into()), "{error}");
    assert!(lines.next().await.is_none());
    let names = client.get(MAPS).await.json();
    assert_eq!(names["items"].as_array().unwrap().len(), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn a_watch_ends_after_its_timeout() {
    let (server, client) = start(Config::default()).await;
    let mut lines = client.watch(&format!("{MAPS}?watch=1&timeoutSeconds=1")).await;
    assert!(lines.next().await.is_none());
    server.shutdown().await;
}

#[tokio::test]
async fn events_are_followed_in_both_their_forms() {
    let (server, client) = start(Config::default()).await;
    let mut core = client.watch("/api/v1/namespaces/default/events?watch=1").await;
    let mut new = client
        .watch("/apis/events.k8s.io/v1/namespaces/default/events?watch=1&fieldSelector=regarding.name%3Dx")
        .await;
    let body = r#"{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","namespace":"default","name":"x"},
        "reason":"R","message":"m","type":"Normal","source":{"component":"c"}}"#;
    assert_eq!(client.post("/api/v1/namespaces/default/events", body).await.status, 201);
    assert_eq!(core.next().await.unwrap()["object"]["involvedObject"]["name"], "x");
    let seen = new.next().await.unwrap();
    assert_eq!(seen["object"]["apiVersion"], "events.k8s.io/v1");
    assert_eq!(seen["object"]["regarding"]["name"], "x");
    assert_eq!(seen["object"]["note"], "m");
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_without_streaming_lists_says_so_and_lists_in_pages() {
    let (server, client) = start(Config { streaming_lists: false, ..Config::default() }).await;
    let path = "/api/v1/nodes?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let refused = client.get(path).await;
    assert_eq!((refused.status.as_u16(), refused.json()["reason"].as_str()), (422, Some("Invalid")));
    assert_eq!(client.get("/api/v1/nodes?limit=1").await.status, 200);
    server.shutdown().await;
}

//! Following a collection, against a server that answers from a script.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::client;
use everynode_client::{Client, Event, ListWatch};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The longest wait for an event.
const LIMIT: Duration = Duration::from_secs(10);

/// One exchange: what the request line has to contain, the status, and the body.
type Exchange = (&'static str, u16, &'static str);

/// Answers requests from the script, one connection each, then none any more. Gives the requests that did not
/// match.
async fn server(script: &'static [Exchange]) -> (Client, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (surprise, surprises) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for (wanted, status, body) in script {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let byte = connection.read_u8().await.unwrap();
                request.push(byte);
            }
            let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
            if !line.contains(wanted) {
                surprise.send(format!("{line} instead of {wanted}")).unwrap();
            }
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    (client(address).await, surprises)
}

/// The first events that following `/x` gives, in words.
async fn check(script: &'static [Exchange], expected: &[&str]) {
    let (client, mut surprises) = server(script).await;
    let mut events = ListWatch::new("/x").seed(7).page_limit(2).run(client);
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let event = tokio::time::timeout(LIMIT, events.next()).await;
        let Ok(Some(event)) = event else { panic!("after {seen:?} nothing came, instead of {expected:?}") };
        let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        match event {
            Event::Restarted => seen.push("restarted".to_owned()),
            Event::InitialObject(object) => seen.push(format!("initial {}", text(object))),
            Event::InitialDone(version) => seen.push(format!("done {version}")),
            Event::Applied(object) => seen.push(format!("applied {}", text(object))),
            Event::Deleted(object) => seen.push(format!("deleted {}", text(object))),
            Event::Bookmark(version) => seen.push(format!("bookmark {version}")),
            Event::Interrupted(_) => {}
        }
    }
    assert_eq!(seen, expected);
    assert_eq!(surprises.try_recv().ok(), None);
}

#[tokio::test]
async fn a_streamed_list_goes_over_into_changes() {
    let body = concat!(
        r#"{"type":"ADDED","object":{"a":1}}"#,
        "\n",
        r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
        "\n",
        r#"{"type":"MODIFIED","object":{"metadata":{"resourceVersion":"6"}}}"#,
        "\n",
    );
    let script = Box::leak(Box::new([
        ("sendInitialEvents=true", 200, body),
        (
            "resourceVersion=6",
            200,
            "{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}\n",
        ),
    ]));
    let expected = [
        "restarted",
        r#"initial {"a":1}"#,
        "done 5",
        r#"applied {"metadata":{"resourceVersion":"6"}}"#,
        r#"deleted {"metadata":{"resourceVersion":"7"}}"#,
    ];
    check(script, &expected).await;
}

#[tokio::test]
async fn a_server_that_cannot_stream_lists_is_read_in_pages() {
    let script: &[Exchange] = &[
        ("sendInitialEvents=true", 422, r#"{"code":422}"#),
        (
            "/x?limit=2 ",
            200,
            r#"{"metadata":{"resourceVersion":"8","continue":"a=b"},"items":[{"a":1},{"a":2}]}"#,
        ),
        ("/x?limit=2&continue=a%3Db ", 200, r#"{"metadata":{"resourceVersion":"8"},"items":[{"a":3}]}"#),
        (
            "resourceVersion=8",
            200,
            "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}\n",
        ),
    ];
    let expected = [
        "restarted",
        r#"initial {"a":1}"#,
        r#"initial {"a":2}"#,
        r#"initial {"a":3}"#,
        "done 8",
        "bookmark 9",
    ];
    check(Box::leak(script.to_vec().into_boxed_slice()), &expected).await;
}

#[tokio::test]
async fn a_server_that_leads_in_a_circle_is_asked_for_the_list_anew_after_a_pause() {
    let page = r#"{"metadata":{"resourceVersion":"8","continue":"a"},"items":[{"a":1}]}"#;
    let script: Vec<Exchange> = vec![
        ("sendInitialEvents=true", 422, r#"{"code":422}"#),
        ("/x?limit=2 ", 200, page),
        ("/x?limit=2&continue=a ", 200, page),
        ("/x?limit=2 ", 200, r#"{"metadata":{"resourceVersion":"9"},"items":[]}"#),
    ];
    let expected = ["restarted", r#"initial {"a":1}"#, r#"initial {"a":1}"#, "restarted", "done 9"];
    check(Box::leak(script.into_boxed_slice()), &expected).await;
}

#[tokio::test]
async fn a_server_that_refuses_within_a_streamed_list_is_read_in_pages() {
    let refusal = concat!(
        r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
        r#""message":"etcd does not tell its progress","code":500}}"#,
        "\n",
    );
    let script: Vec<Exchange> = vec![
        ("sendInitialEvents=true", 200, refusal),
        ("/x?limit=2 ", 200, r#"{"metadata":{"resourceVersion":"8"},"items":[{"a":1}]}"#),
        ("resourceVersion=8", 410, r#"{"code":410,"reason":"Expired"}"#),
        // It is not asked for a streamed list a second time.
        ("/x?limit=2 ", 200, r#"{"metadata":{"resourceVersion":"9"},"items":[]}"#),
    ];
    let expected = ["restarted", "restarted", r#"initial {"a":1}"#, "done 8", "restarted", "done 9"];
    check(Box::leak(script.into_boxed_slice()), &expected).await;
}

#[tokio::test]
async fn a_version_that_is_gone_starts_the_list_over() {
    let end = "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"5\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n";
    let script: Vec<Exchange> = vec![
        ("sendInitialEvents=true", 200, end),
        ("resourceVersion=5", 410, r#"{"code":410,"reason":"Expired"}"#),
        ("sendInitialEvents=true", 200, end),
        ("resourceVersion=5", 200, "{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n"),
        ("sendInitialEvents=true", 200, end),
    ];
    let expected = ["restarted", "done 5", "restarted", "done 5", "restarted", "done 5"];
    check(Box::leak(script.into_boxed_slice()), &expected).await;
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again() {
    let end = "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"5\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n";
    let script: Vec<Exchange> = vec![
        ("sendInitialEvents=true", 503, "busy"),
        ("sendInitialEvents=true", 500, ""),
        ("sendInitialEvents=true", 200, end),
    ];
    check(Box::leak(script.into_boxed_slice()), &["restarted", "done 5"]).await;
}

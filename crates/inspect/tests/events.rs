//! What events tell of a pod or a DaemonSet.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use everynode_inspect::events::{EventLine, Subject};
use everynode_testkit::server;
use serde_json::json;

const TARGET: &str = "/api/v1/namespaces/default/events?limit=100&fieldSelector=involvedObject.uid%3Du";

/// Events in the forms in which reporters write them.
fn answer(target: &str) -> (u16, String) {
    assert_eq!(target, TARGET);
    let event = |reason: &str, kind: &str, more: serde_json::Value| {
        let mut event = json!({"reason": reason, "type": kind, "message": format!("about {reason}")});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let items = [
        event("Scheduled", "Normal", json!({"eventTime": "2026-01-01T00:00:01.000000Z", "count": null})),
        event("Pulling", "Normal", json!({"lastTimestamp": "2026-01-01T00:00:02Z", "count": 1})),
        event("BackOff", "Warning", json!({"lastTimestamp": "2026-01-01T00:00:03Z", "count": 2})),
        event("BackOff", "Warning", json!({"lastTimestamp": "2026-01-01T00:00:05Z", "count": 3})),
        event(
            "Unhealthy",
            "Warning",
            json!({"series": {"count": 7, "lastObservedTime": "2026-01-01T00:00:04.000000Z"}}),
        ),
    ];
    (200, json!({"items": items}).to_string())
}

async fn check(warnings_only: bool, expected: &[(&str, i64, i64)]) {
    let subject = Subject { namespace: "default".into(), uid: "u".into(), warnings_only };
    let lines = subject.events(&server::client(answer)).await.unwrap();
    let midnight = everynode_model::time::parse("2026-01-01T00:00:00Z").unwrap();
    let told = |line: &EventLine| (line.reason.clone(), line.count, line.last_seconds.unwrap() - midnight);
    let told: Vec<(String, i64, i64)> = lines.iter().map(told).collect();
    let expected = expected.iter().map(|(reason, count, at)| ((*reason).to_owned(), *count, *at));
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn the_latest_events_are_told_each_once_with_their_number() {
    check(false, &[("Pulling", 1, 2), ("Unhealthy", 7, 4), ("BackOff", 5, 5)]).await;
    check(true, &[("Unhealthy", 7, 4), ("BackOff", 5, 5)]).await;
}

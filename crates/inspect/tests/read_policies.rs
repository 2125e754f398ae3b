//! The policies of a cluster, as the API answers.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use everynode_inspect::rollout::Policies;
use everynode_testkit::server;
use serde_json::json;

/// The names of the policies that are read, or why there are none.
async fn read(answer: fn(&str) -> (u16, String)) -> String {
    match Policies::read(&server::client(answer), Some("ns")).await {
        Ok(policies) => policies.policies.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

fn two(target: &str) -> (u16, String) {
    assert_eq!(target, everynode_api::rollout_policy::collection(Some("ns")));
    let named = |name: &str| json!({"metadata": {"namespace": "ns", "name": name}});
    (200, json!({"items": [named("careful"), named("quick")]}).to_string())
}

#[tokio::test]
async fn a_cluster_without_the_definition_is_told_from_one_that_refuses() {
    assert_eq!(read(two).await, "careful quick");
    assert_eq!(read(|_| (404, String::new())).await, "this cluster does not know RolloutPolicy");
    let refuse =
        |_: &str| (403, json!({"kind": "Status", "code": 403, "message": "you may not"}).to_string());
    assert_eq!(read(refuse).await, "you may not");
    let unread = read(|_| (200, "<html>".to_owned())).await;
    assert!(unread.starts_with("cannot read the answer of the Kubernetes API: "), "{unread}");
}

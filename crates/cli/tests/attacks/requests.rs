//! Single requests that end the process, hold it up, or leave in the store what does not belong there.

use std::time::Duration;

use everynode_client::{Client, content_type};
use serde_json::{Value, json};

use crate::common::{self, Cluster};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// How long a request may take that is of no interest itself.
const MOMENT: Duration = Duration::from_secs(2);

async fn assert_alive(client: &Client, after: &str) {
    let answer = tokio::time::timeout(common::LIMIT, client.get("/livez")).await;
    assert!(answer.is_ok_and(|answer| answer.is_ok()), "the cluster is gone after {after}");
}

async fn with_map(args: &[&str]) -> (Cluster, Client) {
    let cluster = Cluster::start(args);
    let client = cluster.client().await;
    client.post(MAPS, r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#).await.unwrap();
    (cluster, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_at_their_limits_end_nothing() {
    let (_cluster, client) = with_map(&["--nodes", "1"]).await;
    let numbers =
        ["9223372036854775807", "18446744073709551615", "-9223372036854775808", "1e400", "-1", "4294967296"];
    for number in numbers {
        for query in [
            format!("{MAPS}?watch=1&timeoutSeconds={number}"),
            format!("{MAPS}?watch=1&resourceVersion={number}"),
            format!("{MAPS}?timeoutSeconds={number}&resourceVersion={number}&limit={number}"),
            format!("{MAPS}?limit={number}&continue={number}"),
        ] {
            let _ = tokio::time::timeout(MOMENT / 10, client.get(&query)).await;
            assert_alive(&client, &query).await;
        }
        let pod = json!({
            "metadata": {"name": format!("p{}", number.len()), "deletionGracePeriodSeconds": 1},
            "spec": {
                "containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": "N",
                "activeDeadlineSeconds": "N",
                "tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": "N"}],
            },
        });
        let pods = "/api/v1/namespaces/default/pods";
        for field in ["terminationGracePeriodSeconds", "activeDeadlineSeconds", "tolerationSeconds"] {
            let mut text = pod.to_string();
            for other in ["terminationGracePeriodSeconds", "activeDeadlineSeconds", "tolerationSeconds"] {
                let value = if other == field { number } else { "30" };
                text = text.replace(&format!("\"{other}\":\"N\""), &format!("\"{other}\":{value}"));
            }
            let _ = client.post(pods, text).await;
            let name = format!("{pods}/p{}", number.len());
            let options = format!("{{\"gracePeriodSeconds\":{number}}}");
            let _ = client.delete(&format!("{name}?gracePeriodSeconds={number}"), "").await;
            let _ = client.delete(&name, options).await;
            let _ = client.delete(&format!("{name}?gracePeriodSeconds=0"), "").await;
            assert_alive(&client, &format!("{field} {number}")).await;
        }
    }
    // The parts have seen them too.
    tokio::time::timeout(common::LIMIT, client.get("/api/v1/nodes")).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_nests_without_end_is_refused() {
    let (_cluster, client) = with_map(&["--nodes", "0"]).await;
    // Each operation puts the whole into its own innermost part, which doubles the depth.
    let mut operations = vec![json!({"op": "add", "path": "/a", "value": {}})];
    for doubling in 0..14 {
        let innermost = "/a".repeat((1 << doubling) + 1);
        operations.push(json!({"op": "copy", "from": "/a", "path": innermost}));
    }
    let patch = Value::from(operations).to_string();
    assert!(patch.len() < 70_000);
    let refused = client.patch(&format!("{MAPS}/a"), content_type::JSON_PATCH, patch).await.unwrap_err();
    assert_eq!(refused.code(), Some(422), "{refused}");
    assert_alive(&client, "the patch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_makes_no_other_kind_of_an_object() {
    let (_cluster, client) = with_map(&["--nodes", "0"]).await;
    let (policies, policy) = (
        "/apis/everynode.dev/v1alpha1/namespaces/default/rolloutpolicies",
        json!({"apiVersion": "everynode.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "a"},
               "spec": {"selector": {"matchLabels": {"a": "b"}}}}),
    );
    client.post(policies, policy.to_string()).await.unwrap();
    let daemons = "/apis/apps/v1/namespaces/default/daemonsets";
    client
        .post(daemons, include_str!("daemon.json").replace("\"name\": \"agent\"}", "\"name\": \"a\"}"))
        .await
        .unwrap();
    let bodies = [
        json!({"kind": "Secret"}),
        json!({"kind": "Nope"}),
        json!({"apiVersion": "v2"}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment"}),
        json!({"apiVersion": "a/b/c"}),
    ];
    for collection in [MAPS, daemons, policies] {
        let path = format!("{collection}/a");
        let before = common::get(&client, &path).await;
        for body in &bodies {
            let replace = |(name, value): (&String, &Value)| json!({"op": "replace", "path": format!("/{name}"), "value": value});
            let operations: Value = body.as_object().unwrap().iter().map(replace).collect();
            for (form, patch) in [(content_type::MERGE_PATCH, body), (content_type::JSON_PATCH, &operations)]
            {
                let refused = client.patch(&path, form, patch.to_string()).await;
                let code = refused.as_ref().err().and_then(everynode_client::Error::code);
                assert!(matches!(code, Some(400 | 422)), "{path} {patch}: {refused:?}");
            }
            // Kubernetes does not look at what a strategic merge says of the kind, and stores nothing of it.
            let _ = client.patch(&path, content_type::STRATEGIC_MERGE_PATCH, body.to_string()).await;
            let after = common::get(&client, &path).await;
            assert_eq!(
                (&after["kind"], &after["apiVersion"]),
                (&before["kind"], &before["apiVersion"]),
                "{body}"
            );
        }
    }
}

/// How long a small request may wait while large ones are worked on: far more than it takes, far less than they do.
const HELD_UP: Duration = Duration::from_millis(500);
/// Bytes of the longest answer to a refused object.
const ANSWER_BYTES: usize = 1 << 20;

/// Pods of 300 KB with many mistakes, each of its own kind.
fn large_pods() -> Vec<String> {
    let pod = |metadata: Value, spec: Value| {
        let mut pod = json!({"metadata": metadata, "spec": spec});
        pod["metadata"]["name"] = "large".into();
        pod["spec"]["containers"] = pod["spec"]["containers"]
            .take()
            .as_array()
            .map_or_else(|| json!([{"name": "c", "image": "i"}]), |containers| containers.clone().into());
        pod.to_string()
    };
    let many = |one: Value| Value::from(vec![one.clone(); 300_000 / (one.to_string().len() + 1)]);
    let owner = json!({"apiVersion": "v1", "kind": "A", "name": "a", "uid": "u", "controller": true});
    vec![
        pod(json!({"ownerReferences": many(owner)}), json!({})),
        pod(
            json!({}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s", "items": many(json!({}))}}]}),
        ),
        pod(json!({}), json!({"containers": many(json!({}))})),
        pod(json!({"finalizers": many("x".into())}), json!({})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_hold_nobody_up() {
    let (_cluster, client) = with_map(&["--nodes", "0"]).await;
    let refused = large_pods().into_iter().map(|pod| {
        let client = client.clone();
        tokio::spawn(async move { client.post("/api/v1/namespaces/default/pods", pod).await })
    });
    let refused: Vec<_> = refused.collect();
    let mut longest = Duration::ZERO;
    while !refused.iter().all(tokio::task::JoinHandle::is_finished) {
        let begun = std::time::Instant::now();
        let answer = tokio::time::timeout(common::LIMIT, client.get(&format!("{MAPS}/a"))).await;
        assert!(answer.is_ok_and(|answer| answer.is_ok()), "no answer while large objects are worked on");
        longest = longest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for refused in refused {
        let error = refused.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Some(422), "{}", error.to_string().chars().take(300).collect::<String>());
        assert!(error.to_string().len() < ANSWER_BYTES, "{} bytes", error.to_string().len());
    }
    assert!(longest < HELD_UP, "a small request waited for {longest:?}");
}

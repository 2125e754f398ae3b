//! The role that is installed grants what the controller uses, and nothing else.
//!
//! A life of DaemonSets makes the controller use everything that it can do; what the audit log shows of it is compared
//! with the rules that `everynode install` makes. `role_rollouts` does the same for the other scope.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;

use common::permissions::World;
use common::{LIMIT, eventually, get};
use everynode_client::{Client, content_type};
use serde_json::{Value, json};

const DAEMONSETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
const POLICIES: &str = "/apis/everynode.dev/v1alpha1/namespaces/default/rolloutpolicies";
const PODS: &str = "/api/v1/namespaces/default/pods";
const EVENTS: &str = "/api/v1/namespaces/default/events";

/// Granted without being called: OwnerReferencesPermissionEnforcement demands it of whoever sets blockOwnerDeletion.
const CHECKED_BY_THE_SERVER: &str = "update apps/daemonsets/finalizers";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_grants_what_a_life_of_daemonsets_uses_and_nothing_else() {
    let world = World::start().await;
    let mut controller = world.controller(&[]);
    live(&world.client).await;
    world.renewed().await;
    controller.stop();
    world.end_and_compare(&[], &[CHECKED_BY_THE_SERVER]).await;
}

/// Everything that happens to DaemonSets.
async fn live(client: &Client) {
    create(client, DAEMONSETS, daemonset("agent", &json!({"maxUnavailable": 2}))).await;
    settled(client, "agent", 4).await;
    roll_roll_back_and_clean_up(client).await;

    create(client, DAEMONSETS, daemonset("surging", &json!({"maxUnavailable": 0, "maxSurge": 1}))).await;
    settled(client, "surging", 4).await;
    merge(client, &format!("{DAEMONSETS}/surging"), template_annotation("roll")).await;
    settled(client, "surging", 4).await;

    follow_a_policy(client).await;
    adopt_and_release(client).await;
    narrow_by_a_label(client).await;
    be_refused(client).await;

    find_a_name_taken(client).await;

    client.delete("/api/v1/nodes/node-4", "").await.unwrap();
    settled(client, "surging", 3).await;
}

/// Makes revisions, deletes the oldest, and makes an old one the newest.
async fn roll_roll_back_and_clean_up(client: &Client) {
    let path = format!("{DAEMONSETS}/agent");
    for template in ["one", "two", "three"] {
        merge(client, &path, template_annotation(template)).await;
        settled(client, "agent", 4).await;
    }
    merge(client, &path, template_annotation("two")).await;
    settled(client, "agent", 4).await;
    eventually("old revisions are deleted", LIMIT, async || {
        let numbers: Vec<Value> =
            list(client, REVISIONS, "app%3Dagent").await.iter().map(|one| one["revision"].clone()).collect();
        let done = numbers.len() == 2 && numbers.contains(&json!(5));
        if done { Ok(()) } else { Err(format!("{numbers:?}")) }
    })
    .await;
}

/// Writes how a roll-out stands.
async fn follow_a_policy(client: &Client) {
    let policy = json!({
        "apiVersion": "everynode.dev/v1alpha1",
        "kind": "RolloutPolicy",
        "metadata": {"name": "p"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}},
    });
    create(client, POLICIES, policy).await;
    eventually("the policy has a status", LIMIT, async || {
        let status = get(client, &format!("{POLICIES}/p")).await["status"].clone();
        if status["phase"] == "Complete" { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    client.delete(&format!("{POLICIES}/p"), "").await.unwrap();
}

/// Deletes a DaemonSet without its pods and creates it anew; then takes a pod out of its selector.
async fn adopt_and_release(client: &Client) {
    let path = format!("{DAEMONSETS}/agent");
    let before = names(&list(client, PODS, "app%3Dagent").await);
    let live = get(client, &path).await;
    client.delete(&path, json!({"propagationPolicy": "Orphan"}).to_string()).await.unwrap();
    eventually("the DaemonSet is gone", LIMIT, async || match client.get(&path).await {
        Err(error) if error.is_not_found() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut again = json!({"metadata": {"name": "agent"}});
    again["spec"] = live["spec"].clone();
    create(client, DAEMONSETS, again).await;
    settled(client, "agent", 4).await;
    assert_eq!(names(&list(client, PODS, "app%3Dagent").await), before, "all are adopted");
    let let_go = format!("{PODS}/{}", before[0]);
    merge(client, &let_go, json!({"metadata": {"labels": {"app": "let-go"}}})).await;
    eventually("the pod is released", LIMIT, async || {
        let owners = get(client, &let_go).await["metadata"]["ownerReferences"].clone();
        if owners.is_null() { Ok(()) } else { Err(owners.to_string()) }
    })
    .await;
    settled(client, "agent", 4).await;
}

/// A node label takes pods away and brings them back.
async fn narrow_by_a_label(client: &Client) {
    let selector = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}});
    merge(client, &format!("{DAEMONSETS}/agent"), selector).await;
    merge(client, "/api/v1/nodes/node-1", json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    settled(client, "agent", 1).await;
}

/// A pod that is refused again and again: the same event, counted.
async fn be_refused(client: &Client) {
    let mut refused = daemonset("refused", &json!({"maxUnavailable": 1}));
    refused["spec"]["template"]["spec"]["serviceAccountName"] = "missing".into();
    create(client, DAEMONSETS, refused).await;
    eventually("an event is counted", LIMIT, async || {
        let events = list(client, EVENTS, "").await;
        let counts: Vec<u64> = events
            .iter()
            .filter(|event| event["reason"] == "FailedCreate")
            .filter_map(|event| event["count"].as_u64())
            .collect();
        if counts.iter().any(|count| *count > 1) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    let account = json!({"metadata": {"name": "missing"}});
    create(client, "/api/v1/namespaces/default/serviceaccounts", account).await;
    settled(client, "refused", 4).await;
}

/// A pod of somebody else has the name that a pod of the DaemonSet would get.
async fn find_a_name_taken(client: &Client) {
    let path = format!("{DAEMONSETS}/named");
    let mut named = daemonset("named", &json!({"maxUnavailable": 1}));
    named["metadata"]["annotations"] = json!({"everynode.dev/pod-names": "node"});
    create(client, DAEMONSETS, named).await;
    settled(client, "named", 4).await;
    let names = names(&list(client, PODS, "app%3Dnamed").await);
    let select = |value: Value| json!({"spec": {"template": {"spec": {"nodeSelector": {"none": value}}}}});
    merge(client, &path, select(json!("here"))).await;
    settled(client, "named", 0).await;
    let container = json!({"name": "main", "image": "example/other:1"});
    let theirs = json!({"metadata": {"name": names[0]}, "spec": {"containers": [container]}});
    eventually("the name can be taken", LIMIT, async || {
        client.post(PODS, theirs.to_string()).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    merge(client, &path, select(Value::Null)).await;
    eventually("it is told that the name is taken", LIMIT, async || {
        let events = list(client, EVENTS, "").await;
        let told = |event: &&Value| {
            event["reason"] == "FailedCreate" && event["message"].to_string().contains(&names[0])
        };
        events.iter().find(told).map(drop).ok_or_else(|| format!("{} events", events.len()))
    })
    .await;
}

fn daemonset(name: &str, rolling_update: &Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {"app": name}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "example/agent:1"}]}
            }
        }
    })
}

fn template_annotation(value: &str) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {"version": value}}}}})
}

async fn create(client: &Client, path: &str, object: Value) {
    client.post(path, object.to_string()).await.unwrap_or_else(|error| panic!("{path}: {error}"));
}

async fn merge(client: &Client, path: &str, patch: Value) {
    let patched = client.patch(path, content_type::MERGE_PATCH, patch.to_string()).await;
    patched.unwrap_or_else(|error| panic!("{path}: {error}"));
}

async fn list(client: &Client, path: &str, selector: &str) -> Vec<Value> {
    let list = get(client, &format!("{path}?labelSelector={selector}")).await;
    list["items"].as_array().cloned().unwrap_or_default()
}

fn names(objects: &[Value]) -> Vec<String> {
    let living = objects.iter().filter(|object| object["metadata"]["deletionTimestamp"].is_null());
    let mut names: Vec<String> =
        living.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Waits until so many pods of the present template are available.
async fn settled(client: &Client, name: &str, count: u64) {
    eventually(&format!("{name} has {count} available pods"), LIMIT, async || {
        let object = get(client, &format!("{DAEMONSETS}/{name}")).await;
        let status = &object["status"];
        let numbers = ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"];
        let done = status["observedGeneration"] == object["metadata"]["generation"]
            && numbers.iter().all(|key| status[*key].as_u64().unwrap_or(0) == count);
        if done { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

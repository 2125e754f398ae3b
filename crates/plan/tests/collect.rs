//! A cluster is read page by page, with read-only requests, as far as it may be read.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use everynode_testkit::server;
use std::convert::Infallible;

use everynode_plan::record::{Record, Unseen};
use everynode_plan::{Change, FindingKind, Fleet, Manifest, Mask, Options, Plan, collect};
use everynode_testkit::fleets::manifest;
use serde_json::{Value, json};

const UID: &str = "11111111-1111-4111-8111-111111111111";

fn list(items: Vec<Value>) -> String {
    json!({"metadata": {"resourceVersion": "9"}, "items": items}).to_string()
}

fn forbidden(path: &str) -> (u16, String) {
    let message = format!("{path} is forbidden");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "Forbidden",
        "code": 403,
    });
    (403, status.to_string())
}

fn daemonset() -> Value {
    let mut object = manifest("agent:1", |_| {});
    object["metadata"]["uid"] = UID.into();
    object["metadata"]["resourceVersion"] = "7".into();
    object["metadata"]["annotations"] = json!({"note": "secret"});
    object["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "secret"}]);
    object
}

fn node(index: usize) -> Value {
    json!({
        "metadata": {"name": format!("n{index}"), "annotations": {"note": "secret"}},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    })
}

fn pod(index: usize, node: &str, owner: Value) -> Value {
    json!({
        "metadata": {
            "name": format!("p{index}"), "namespace": "default",
            "uid": format!("22222222-2222-4222-8222-{index:012x}"),
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "agent"}, "ownerReferences": [owner],
        },
        "spec": {
            "nodeName": node, "priority": 5,
            "containers": [{
                "name": "c", "env": [{"name": "A", "value": "secret"}],
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}],
            }],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:20Z"}],
            "containerStatuses": [{
                "restartCount": 0, "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 1, "message": "secret"}},
            }],
        },
    })
}

fn owner(kind: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": UID, "controller": true})
}

/// All that the test cluster holds, in two pages of pods.
fn cluster(target: &str) -> (u16, String) {
    let (path, query) = target.split_once('?').expect("a query");
    assert!(query.starts_with("limit=500"), "{target}");
    let body = match (path, query) {
        ("/apis/apps/v1/daemonsets", _) => list(vec![daemonset()]),
        ("/api/v1/nodes", _) => list((0..2).map(node).collect()),
        ("/api/v1/pods", "limit=500") => {
            let items = vec![pod(1, "n0", owner("DaemonSet")), pod(2, "n0", owner("ReplicaSet"))];
            json!({"metadata": {"continue": "a b/c="}, "items": items}).to_string()
        }
        ("/api/v1/pods", "limit=500&continue=a%20b%2Fc%3D") => list(vec![pod(3, "n0", owner("ReplicaSet"))]),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", _) => {
            json!({"metadata": {}, "items": null}).to_string()
        }
        _ => list(Vec::new()),
    };
    (200, body)
}

async fn records(answer: fn(&str) -> (u16, String)) -> (Vec<Record>, Vec<Unseen>) {
    let mut records = Vec::new();
    let mut sink = |record| -> Result<(), Infallible> {
        records.push(record);
        Ok(())
    };
    let client = server::client(answer);
    let unseen = collect(&client, &Mask::new("salt"), Some("default"), &mut sink).await.expect("it is read");
    (records, unseen)
}

#[tokio::test]
async fn daemons_are_kept_by_themselves_and_other_pods_as_sums() {
    let (records, unseen) = records(cluster).await;
    assert_eq!(unseen, []);
    let pods: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Pod(pod) => Some(pod),
            _ => None,
        })
        .collect();
    assert_eq!((pods.len(), pods[0].name.as_str(), pods[0].ready), (1, "p1", true));
    assert_eq!((pods[0].need.cpu_millis, pods[0].ready_since.unwrap() - pods[0].created), (500, 20));
    let taken = records.iter().find_map(|record| match record {
        Record::Taken(taken) => Some(taken),
        _ => None,
    });
    let taken = taken.expect("a sum");
    assert_eq!((taken.node.as_str(), taken.priority, taken.pods), ("n0", 5, 2));
    assert_eq!((taken.need.cpu_millis, taken.need.memory_bytes, taken.need.ports.len()), (1_000, 2 << 30, 2));
    let text = serde_json::to_string(&records).unwrap();
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn what_may_not_be_listed_is_told_and_the_namespace_is_read_instead() {
    fn narrow(target: &str) -> (u16, String) {
        match target.split('?').next().unwrap_or_default() {
            path @ ("/api/v1/pods"
            | "/api/v1/resourcequotas"
            | "/api/v1/namespaces/default/resourcequotas") => forbidden(path),
            "/api/v1/namespaces/default/pods" => (200, list(vec![pod(1, "n0", owner("DaemonSet"))])),
            _ => cluster(target),
        }
    }
    let (_, unseen) = records(narrow).await;
    let what: Vec<String> = unseen.iter().map(Unseen::what).collect();
    assert_eq!(what, ["pods of other namespaces", "resourcequotas"]);
    assert!(unseen[0].why.contains("/api/v1/pods is forbidden"), "{unseen:?}");
    let wanted = [("default".to_owned(), "agent".to_owned())];
    let fleet = Fleet::from_cluster(&server::client(narrow), &wanted, "").await.expect("it is read");
    let next = manifest("agent:2", |_| {}).to_string();
    let change = Change::of(&Manifest::read("m", &next, "default").daemonsets[0], &fleet).expect("good");
    let plan = Plan::make(&fleet, &change, &Options::default()).expect("a plan");
    let notes: Vec<&str> = plan
        .findings
        .iter()
        .filter(|one| one.kind == FindingKind::NotSeen)
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(notes.len(), 2, "{}", plan.to_text());
    assert!(notes[0].contains("may not fit") && notes[1].contains("a quota may refuse pods"), "{notes:?}");
}

#[tokio::test]
async fn nothing_is_said_without_nodes() {
    fn blind(target: &str) -> (u16, String) {
        if target.starts_with("/api/v1/nodes") { forbidden("nodes") } else { cluster(target) }
    }
    let client = server::client(blind);
    let error = Fleet::from_cluster(&client, &[], "").await.expect_err("there are no nodes");
    assert!(error.to_string().starts_with("cannot list nodes: "), "{error}");
}

const POLICIES: &str = "/apis/everynode.dev/v1alpha1/rolloutpolicies";

fn policy() -> Value {
    json!({
        "metadata": {"name": "careful", "namespace": "default", "uid": "44444444-4444-4444-8444-444444444444",
            "generation": 3, "managedFields": [{}],
            "annotations": {"note": "secret", "everynode.dev/promote": "abc/1"}},
        "spec": {"selector": {}, "paused": true},
        "status": {"daemonSets": {"agent": {"phase": "Baking"}}},
    })
}

#[tokio::test]
async fn policies_are_read_where_they_are_served_and_missed_only_where_they_may_not_be() {
    fn served(target: &str) -> (u16, String) {
        if target.starts_with(POLICIES) { (200, list(vec![policy()])) } else { cluster(target) }
    }
    fn absent(target: &str) -> (u16, String) {
        if target.contains("rolloutpolicies") { (404, "{}".to_owned()) } else { cluster(target) }
    }
    fn refused(target: &str) -> (u16, String) {
        match target.split('?').next().unwrap_or_default() {
            path if path.contains("rolloutpolicies") => forbidden("rolloutpolicies"),
            "/api/v1/pods" => {
                (200, list((0..2).map(|at| pod(at, &format!("n{at}"), owner("DaemonSet"))).collect()))
            }
            _ => cluster(target),
        }
    }
    let wanted = [("default".to_owned(), "agent".to_owned())];
    let read =
        async |answer| Fleet::from_cluster(&server::client(answer), &wanted, "").await.expect("it is read");
    let fleet = read(served as fn(&str) -> (u16, String)).await;
    let known = &fleet.policies[0];
    assert_eq!((known.generation, known.spec.paused), (3, true));
    assert_eq!(known.commands, [(everynode_api::Command::Promote, "abc/1".to_owned())]);
    assert_eq!(known.status.rollouts["agent"].phase, everynode_api::RolloutPhase::Baking);
    let text = serde_json::to_string(&records(served).await.0).unwrap();
    assert!(!text.contains("secret") && !text.contains("managedFields"), "{text}");
    let fleet = read(absent).await;
    assert_eq!((fleet.policies.len(), fleet.unseen.len()), (0, 0));
    let fleet = read(refused).await;
    let next = manifest("agent:2", |_| {}).to_string();
    let change = Change::of(&Manifest::read("m", &next, "default").daemonsets[0], &fleet).expect("good");
    let text = Plan::make(&fleet, &change, &Options::default()).expect("a plan").to_text();
    assert!(
        text.contains("rolloutpolicies could not be seen") && text.contains("a policy may conduct"),
        "{text}"
    );
    assert!(text.ends_with("Safe, as far as could be seen.\n"), "{text}");
}

/// A server that gives the same page of pods for ever.
fn endless(target: &str) -> (u16, String) {
    match target.starts_with("/api/v1/pods") {
        true => (200, json!({"metadata": {"continue": "again"}, "items": []}).to_string()),
        false => cluster(target),
    }
}

#[tokio::test]
async fn a_server_that_repeats_a_page_is_given_up() {
    let mut sink = |_| Ok::<(), Infallible>(());
    let client = server::client(endless);
    let refused = collect(&client, &Mask::new("salt"), Some("default"), &mut sink).await.unwrap_err();
    assert!(refused.to_string().contains("the same continue token twice"), "{refused}");
}

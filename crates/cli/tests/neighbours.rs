//! Beside upstream's Deployment, ReplicaSet, StatefulSet, Job and CronJob controllers at work, everynode writes to none
//! of their objects, by the audit log.
//!
//! Needs a kube-controller-manager, named by `EVERYNODE_KUBE_CONTROLLER_MANAGER`, and says so where there is none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use std::collections::BTreeMap;
use std::process::Stdio;

use common::bare::Bare;
use common::built_in::BuiltIn;
use common::{LIMIT, audit, eventually, get};
use everynode_client::content_type;
use everynode_testkit::{Need, skip};
use serde_json::{Value, json};

const NODES: usize = 4;
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,statefulset-controller,job-controller,\
                           cronjob-controller";

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_of_other_controllers_are_never_written() {
    let Some(program) = BuiltIn::program() else { return };
    let bare = Bare::start(NODES).await;
    let Some(log) = bare.audit_log.clone() else {
        skip(Need::AuditLog, "EVERYNODE_TEST_AUDIT_LOG does not tell where the audit log is");
        return;
    };
    let _built_in = BuiltIn::start(&program, &bare, CONTROLLERS);
    let mut everynode = bare.controller("neighbour").stderr(Stdio::null()).spawn().unwrap();
    bare.create_daemonset("agent", json!({"type": "RollingUpdate"})).await;
    create_neighbours(&bare).await;
    bare.rolled_out("agent", LIMIT).await;
    owned(&bare, &["ReplicaSet", "StatefulSet", "Job", "DaemonSet"]).await;
    // Both sides have something to do at the same time.
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"revision": "2"}}}}}).to_string();
    for kind in ["deployments", "statefulsets"] {
        let path = format!("/apis/apps/v1/namespaces/{}/{kind}/neighbour", bare.namespace);
        bare.client.patch(&path, content_type::STRATEGIC_MERGE_PATCH, patch.clone()).await.unwrap();
    }
    bare.change_template("agent", "2").await;
    bare.rolled_out("agent", LIMIT).await;
    revisions(&bare, 4).await;
    let owners = owners(&bare).await;
    everynode.kill().unwrap();
    everynode.wait().unwrap();

    let entries = audit::read(&log, &bare).await;
    let mut writes: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|entry| audit::is_write(entry) && audit::writer(entry).starts_with("everynode-controller/"))
    {
        let object = &entry["objectRef"];
        let (resource, name) = (text(&object["resource"]), text(&object["name"]));
        match resource.as_str() {
            "pods" | "controllerrevisions" if !name.is_empty() => {
                let owner = owners.get(&(resource.clone(), name.clone()));
                assert!(owner.is_none_or(|owner| owner == "DaemonSet"), "{owner:?}: {entry}");
            }
            "pods" | "controllerrevisions" | "events" | "leases" => {}
            "daemonsets" => assert_eq!(object["subresource"], "status", "{entry}"),
            _ => panic!("everynode wrote to {resource}: {entry}"),
        }
        *writes.entry((resource, text(&entry["verb"]))).or_default() += 1;
    }
    let foreign = owners.values().filter(|owner| *owner != "DaemonSet").count();
    println!("{writes:?}; none of them to the {foreign} pods and revisions of other controllers");
    assert!(foreign > 0 && !writes.is_empty());
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn create_neighbours(bare: &Bare) {
    let template = |restart: &str| {
        json!({
            "metadata": {"labels": {"app": "neighbour"}},
            "spec": {"restartPolicy": restart, "containers": [{"name": "main", "image": "example/other:1"}]},
        })
    };
    let selector = json!({"matchLabels": {"app": "neighbour"}});
    let job = json!({"completions": 2, "parallelism": 2, "template": template("Never")});
    for (group, plural, kind, spec) in [
        (
            "apps/v1",
            "deployments",
            "Deployment",
            json!({"replicas": 3, "selector": selector, "template": template("Always")}),
        ),
        (
            "apps/v1",
            "statefulsets",
            "StatefulSet",
            json!({"replicas": 2, "serviceName": "x", "selector": selector, "template": template("Always")}),
        ),
        ("batch/v1", "jobs", "Job", job.clone()),
        ("batch/v1", "cronjobs", "CronJob", json!({"schedule": "* * * * *", "jobTemplate": {"spec": job}})),
    ] {
        let object =
            json!({"apiVersion": group, "kind": kind, "metadata": {"name": "neighbour"}, "spec": spec});
        let path = format!("/apis/{group}/namespaces/{}/{plural}", bare.namespace);
        bare.client.post(&path, object.to_string()).await.unwrap();
    }
}

/// Kind of the controller of every pod and revision, by resource and name.
async fn owners(bare: &Bare) -> BTreeMap<(String, String), String> {
    let mut owners = BTreeMap::new();
    for (path, resource) in [
        (bare.pods(), "pods"),
        (format!("/apis/apps/v1/namespaces/{}/controllerrevisions", bare.namespace), "controllerrevisions"),
    ] {
        for object in get(&bare.client, &path).await["items"].as_array().unwrap() {
            let metadata = &object["metadata"];
            let owner = text(&metadata["ownerReferences"][0]["kind"]);
            owners.insert((resource.to_owned(), text(&metadata["name"])), owner);
        }
    }
    owners
}

async fn owned(bare: &Bare, kinds: &[&str]) {
    eventually("every controller has made pods", LIMIT, async || {
        let owners = owners(bare).await;
        let missing: Vec<_> =
            kinds.iter().filter(|kind| !owners.values().any(|owner| owner == **kind)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    })
    .await;
}

async fn revisions(bare: &Bare, count: usize) {
    let path = format!("/apis/apps/v1/namespaces/{}/controllerrevisions", bare.namespace);
    eventually("both kinds have a second revision", LIMIT, async || {
        let found = get(&bare.client, &path).await["items"].as_array().map_or(0, Vec::len);
        if found >= count { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

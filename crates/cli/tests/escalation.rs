//! What somebody can make the controller do who may write everything in a namespace but DaemonSets: no pod of a template
//! that was never the DaemonSet's own, no more pods than the brake lets go, and nothing in other namespaces.
//!
//! `EVERYNODE_TEST_KUBECONFIG` aims it at another cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use common::bare::Bare;
use common::native::Definition;
use common::{LIMIT, audit, eventually, get};
use everynode_client::content_type;
use everynode_testkit::{Need, skip};
use futures::StreamExt;
use serde_json::{Value, json};

const NODES: usize = 2;
const HASH_LABEL: &str = "controller-revision-hash";
/// What the names of the hostile user's own objects begin with.
const FORGED: &str = "forged-";
/// So many pods may be made on a node in a minute for each that became ready, and before any did.
const CREATIONS_LIMIT: usize = 12;

/// One pod as the watch showed it.
#[derive(Debug, Default)]
struct Seen {
    image: String,
    node: String,
    host_pid: bool,
    was_ready: bool,
}

/// Drops from top to bottom.
struct World {
    bare: Bare,
    _definition: Definition,
    controller: Child,
    pods: Arc<Mutex<BTreeMap<String, Seen>>>,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.controller.kill();
        let _ = self.controller.wait();
    }
}

impl World {
    async fn start() -> World {
        let bare = Bare::start(NODES).await;
        let definition = Definition::install(&bare).await;
        let controller = bare.controller("guard").stderr(Stdio::null()).spawn().unwrap();
        let pods = Arc::default();
        tokio::spawn(watch(bare.client.clone(), bare.pods(), Arc::clone(&pods)));
        let world = World { bare, _definition: definition, controller, pods };
        world.bare.create_daemonset("agent", json!({"type": "RollingUpdate"})).await;
        world.bare.rolled_out("agent", LIMIT).await;
        world
    }

    fn revisions(&self, name: &str) -> String {
        path(&format!("/apis/apps/v1/namespaces/{}/controllerrevisions", self.bare.namespace), name)
    }

    fn policies(&self, name: &str) -> String {
        let namespace = &self.bare.namespace;
        path(&format!("/apis/everynode.dev/v1alpha1/namespaces/{namespace}/rolloutpolicies"), name)
    }

    /// Writes, and does not mind a refusal.
    async fn post(&self, path: &str, object: Value) {
        let _ = self.bare.client.post(path, object.to_string()).await;
    }

    async fn merge(&self, path: &str, patch: Value) {
        let _ = self.bare.client.patch(path, content_type::MERGE_PATCH, patch.to_string()).await;
    }

    async fn delete(&self, path: &str) {
        let _ = self.bare.client.delete(path, r#"{"gracePeriodSeconds":0}"#).await;
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        get(&self.bare.client, path).await["items"].as_array().unwrap().clone()
    }

    /// The administrator writes another template, and it comes to all nodes.
    async fn roll_out(&self, revision: &str) {
        self.bare.change_template("agent", revision).await;
        self.take_policies_away().await;
        self.bare.rolled_out("agent", LIMIT).await;
    }

    /// Policies that somebody has left in the way are taken away.
    async fn take_policies_away(&self) {
        for policy in self.items(&self.policies("")).await {
            self.delete(&self.policies(policy["metadata"]["name"].as_str().unwrap())).await;
        }
    }

    /// Nothing but the DaemonSet's own template was made, and not too often.
    fn check(&self, after: &str) {
        let pods = self.pods.lock().unwrap();
        let (mut made, mut ready) = (BTreeMap::new(), BTreeMap::new());
        for (name, pod) in pods.iter().filter(|(name, _)| !name.starts_with(FORGED)) {
            assert_eq!((&*pod.image, pod.host_pid), ("example/agent:1", false), "{name} after {after}");
            *made.entry(&pod.node).or_insert(0) += 1;
            *ready.entry(&pod.node).or_insert(0) += usize::from(pod.was_ready);
        }
        assert_eq!(made.len(), NODES, "{pods:?}");
        for (node, made) in made {
            let limit = CREATIONS_LIMIT * (1 + ready[node]);
            assert!(
                made <= limit,
                "{made} pods on {node} after {after}, of which {} were ready",
                ready[node]
            );
        }
    }
}

fn path(collection: &str, name: &str) -> String {
    if name.is_empty() { collection.to_owned() } else { format!("{collection}/{name}") }
}

/// Keeps what was ever there.
async fn watch(client: everynode_client::Client, path: String, pods: Arc<Mutex<BTreeMap<String, Seen>>>) {
    loop {
        let Ok(lines) = client.watch(&format!("{path}?watch=1")).await else { continue };
        let mut lines = std::pin::pin!(lines);
        while let Some(Ok(line)) = lines.next().await {
            let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
            let pod = &event["object"];
            let field = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
            let node = pod.pointer(field).or(pod.pointer("/spec/nodeName")).and_then(Value::as_str);
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            let is_ready =
                conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
            let mut pods = pods.lock().unwrap();
            let seen =
                pods.entry(pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).or_default();
            seen.image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
            seen.node = node.unwrap_or_default().to_owned();
            seen.host_pid |= pod["spec"]["hostPID"] == true;
            seen.was_ready |= is_ready;
        }
    }
}

/// An object as this one, to be made anew.
fn copy(object: &Value, name: &str) -> Value {
    let mut copy = object.clone();
    let metadata = &object["metadata"];
    copy["metadata"] = json!({
        "name": name, "labels": metadata["labels"], "annotations": metadata["annotations"],
        "ownerReferences": metadata["ownerReferences"],
    });
    copy
}

/// The revision with a template that runs as root on the node.
fn forged(revision: &Value, name: &str) -> Value {
    let mut forged = copy(revision, name);
    let spec = &mut forged["data"]["spec"]["template"]["spec"];
    spec["containers"][0]["image"] = "example/evil:1".into();
    spec["hostPID"] = true.into();
    forged
}

/// The good one goes, and one of its name comes; then one beside it.
async fn forge_revisions(world: &World) {
    for revision in world.items(&world.revisions("")).await {
        let name = revision["metadata"]["name"].as_str().unwrap();
        world.delete(&world.revisions(name)).await;
        world.post(&world.revisions(""), forged(&revision, name)).await;
        let mut beside = forged(&revision, &format!("{FORGED}{name}"));
        beside["revision"] = i64::MAX.into();
        world.post(&world.revisions(""), beside).await;
        world.merge(&world.revisions(name), json!({"revision": i64::MAX})).await;
        world.merge(&world.revisions(name), json!({"metadata": {"labels": {HASH_LABEL: null}}})).await;
    }
    // Kubernetes lets nobody adopt one whose keys are not in their order.
    let unsorted = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 7, "data": {"z": 1, "a": 2},
        "metadata": {"name": format!("{FORGED}unsorted"), "labels": {"app": "agent"}},
    });
    world.post(&world.revisions(""), unsorted).await;
    for owners in [json!([]), json!([owner("StatefulSet")]), json!([owner("DaemonSet")])] {
        for revision in world.items(&world.revisions("")).await {
            let name = revision["metadata"]["name"].as_str().unwrap();
            world.merge(&world.revisions(name), json!({"metadata": {"ownerReferences": owners}})).await;
        }
    }
}

fn owner(kind: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "name": "other", "controller": true,
        "uid": "00000000-0000-4000-9000-000000000000",
    })
}

/// Pods are released, given back, called another revision's, given away, and deleted, again and again.
async fn forge_pods(world: &World) {
    for round in 0..20 {
        for pod in world.items(&world.bare.pods()).await {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let path = format!("{}/{name}", world.bare.pods());
            let own = pod["metadata"]["ownerReferences"].clone();
            let metadata = match round % 5 {
                0 => json!({"labels": {"app": "released"}}),
                1 => json!({"labels": {"app": "agent"}, "ownerReferences": own}),
                2 => json!({"labels": {HASH_LABEL: "nothing"}}),
                3 => json!({"ownerReferences": [owner("StatefulSet")]}),
                _ => {
                    world.delete(&path).await;
                    continue;
                }
            };
            world.merge(&path, json!({"metadata": metadata})).await;
        }
    }
    for pod in world.items(&world.bare.pods()).await.iter().take(NODES) {
        let name = format!("{FORGED}{}", pod["metadata"]["name"].as_str().unwrap());
        let mut own = copy(pod, &name);
        own["spec"]["containers"][0]["image"] = "example/user:1".into();
        world.post(&world.bare.pods(), own).await;
    }
}

/// A policy that is made anew in the middle of a roll-out, with a forged way back, and aborts it.
async fn forge_policies(world: &World) {
    let waves = json!([{"nodes": 1, "gate": "Manual"}, {"nodes": "100%"}]);
    let policy = json!({
        "apiVersion": "everynode.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "hostile"},
        "spec": {"selector": {}, "waves": waves, "failure": {"action": "Rollback"}},
    });
    world.post(&world.policies(""), policy.clone()).await;
    world.bare.change_template("agent", "policy").await;
    let status = async || {
        let entry = get(&world.bare.client, &world.policies("hostile")).await;
        let entry = entry["status"]["daemonSets"]["agent"].clone();
        if entry["phase"] == "WaitingForPromotion" { Ok(entry) } else { Err(entry.to_string()) }
    };
    let entry = eventually("the canary is there", LIMIT, status).await;
    for revision in world.items(&world.revisions("")).await {
        let name = revision["metadata"]["name"].as_str().unwrap();
        world.post(&world.revisions(""), forged(&revision, &format!("{FORGED}p-{name}"))).await;
        world.delete(&world.revisions(name)).await;
    }
    for pod in world.items(&world.bare.pods()).await {
        world.delete(&format!("{}/{}", world.bare.pods(), pod["metadata"]["name"].as_str().unwrap())).await;
    }
    world.delete(&world.policies("hostile")).await;
    world.post(&world.policies(""), policy).await;
    for what in ["abort", "retry", "promote", "abort"] {
        let key = format!("everynode.dev/{what}");
        world
            .merge(&world.policies("hostile"), json!({"metadata": {"annotations": {key: entry["revision"]}}}))
            .await;
        world.merge(&world.policies("hostile"), json!({"spec": {"paused": what == "retry"}})).await;
    }
    world.bare.observed("agent").await;
}

/// Whatever else a namespace has that pods depend on.
async fn forge_others(world: &World) {
    let core = format!("/api/v1/namespaces/{}", world.bare.namespace);
    let budgets = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", world.bare.namespace);
    let metadata = json!({"name": "forged"});
    let involved = json!({"kind": "DaemonSet", "name": "agent", "namespace": world.bare.namespace});
    let limits = json!([{"type": "Container", "max": {"memory": "1Mi"}, "default": {"memory": "1Mi"}}]);
    let objects = [
        (format!("{core}/configmaps"), json!({"metadata": metadata, "data": {"a": "b"}})),
        (format!("{core}/serviceaccounts"), json!({"metadata": metadata})),
        (format!("{core}/resourcequotas"), json!({"metadata": metadata, "spec": {"hard": {"pods": "0"}}})),
        (format!("{core}/limitranges"), json!({"metadata": metadata, "spec": {"limits": limits}})),
        (
            format!("{core}/events"),
            json!({"metadata": metadata, "involvedObject": involved, "reason": "Forged"}),
        ),
        (budgets, json!({"metadata": metadata, "spec": {"maxUnavailable": 0, "selector": {}}})),
    ];
    for (path, object) in &objects {
        world.post(path, object.clone()).await;
    }
    for pod in world.items(&world.bare.pods()).await {
        world.delete(&format!("{}/{}", world.bare.pods(), pod["metadata"]["name"].as_str().unwrap())).await;
    }
    world.bare.change_template("agent", "others").await;
    world.bare.observed("agent").await;
    for (path, _) in &objects {
        world.delete(&format!("{path}/forged")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_daemonsets_gets_no_pod_of_a_template_of_their_own() {
    let world = World::start().await;
    forge_revisions(&world).await;
    world.roll_out("after revisions").await;
    world.check("forged revisions");
    forge_pods(&world).await;
    world.roll_out("after pods").await;
    world.check("forged pods");
    forge_policies(&world).await;
    world.roll_out("after policies").await;
    world.check("forged policies");
    forge_others(&world).await;
    world.roll_out("after others").await;
    world.check("other objects");

    let Some(log) = world.bare.audit_log.clone() else {
        skip(Need::AuditLog, "EVERYNODE_TEST_AUDIT_LOG does not tell where the audit log is");
        return;
    };
    let entries = audit::read_all(&log, &world.bare).await;
    let ours = leader(&entries, &world.bare.namespace);
    let is_ours = |entry: &&Value| audit::is_write(entry) && audit::writer(entry) == ours;
    let is_outside = |entry: &&Value| entry["objectRef"]["namespace"] != world.bare.namespace.as_str();
    let (outside, inside): (Vec<&Value>, Vec<&Value>) = entries.iter().filter(is_ours).partition(is_outside);
    assert!(outside.is_empty(), "{outside:?}");
    println!("{} writes of {ours}, all in its namespace", inside.len());
}

/// The user agent of the controller that took the Lease in this namespace. The log of a cluster that lives longer than
/// this test tells of the controllers of others too.
fn leader(entries: &[Value], namespace: &str) -> String {
    let is_lease = |entry: &&Value| {
        let object = &entry["objectRef"];
        audit::is_write(entry) && object["resource"] == "leases" && object["namespace"] == namespace
    };
    let lease = entries.iter().find(is_lease).expect("a controller took the Lease");
    audit::writer(lease)
}

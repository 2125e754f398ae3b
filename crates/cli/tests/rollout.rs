//! Roll-outs under a RolloutPolicy on `everynode up`, as people see and steer them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;

use std::collections::BTreeMap;
use std::process::Output;

use common::{Cluster, LIMIT, eventually, everynode, get};
use everynode_client::{Client, content_type};
use serde_json::{Value, json};

const DAEMONSETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const AGENT: &str = "/apis/apps/v1/namespaces/default/daemonsets/agent";
const POLICIES: &str = "/apis/everynode.dev/v1alpha1/namespaces/default/rolloutpolicies";
const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: usize = 6;

/// Six nodes, an agent on each, and a policy with this spec that has seen the agent's first roll-out.
struct World {
    cluster: Cluster,
    client: Client,
}

impl World {
    async fn start(spec: Value) -> World {
        let cluster = Cluster::start(&["--nodes", "6", "--pod-start", "50ms"]);
        let client = cluster.client().await;
        let world = World { cluster, client };
        let container = json!({"name": "main", "image": "example/agent:1"});
        let daemonset = json!({
            "metadata": {"name": "agent", "labels": {"app": "agent"}},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [container]}},
            },
        });
        world.client.post(DAEMONSETS, daemonset.to_string()).await.unwrap();
        world.images("the agent is everywhere", &[("example/agent:1", NODES)]).await;
        eventually("the agent is available", LIMIT, async || {
            let status = get(&world.client, AGENT).await["status"].clone();
            if status["numberAvailable"] == NODES { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
        world.policy("careful", spec).await;
        world
    }

    async fn policy(&self, name: &str, spec: Value) {
        let policy = json!({
            "apiVersion": "everynode.dev/v1alpha1",
            "kind": "RolloutPolicy",
            "metadata": {"name": name},
            "spec": spec,
        });
        self.client.post(POLICIES, policy.to_string()).await.unwrap();
    }

    async fn merge(&self, path: &str, patch: Value) {
        self.client.patch(path, content_type::MERGE_PATCH, patch.to_string()).await.unwrap();
    }

    async fn image(&self, image: &str) {
        let container = json!({"name": "main", "image": image});
        self.merge(AGENT, json!({"spec": {"template": {"spec": {"containers": [container]}}}})).await;
    }

    /// Waits for a phase of the policy, and gives the status of the agent's roll-out then.
    async fn phase(&self, name: &str, phase: &str) -> Value {
        eventually(&format!("policy {name} is {phase}"), LIMIT, async || {
            let status = get(&self.client, &format!("{POLICIES}/{name}")).await["status"].clone();
            if status["phase"] == phase {
                Ok(status["daemonSets"]["agent"].clone())
            } else {
                Err(status.to_string())
            }
        })
        .await
    }

    /// As [`World::phase`], of another revision than this one.
    async fn phase_of_another(&self, revision: &Value, phase: &str) -> Value {
        eventually(&format!("another revision than {revision} is {phase}"), LIMIT, async || {
            let status = get(&self.client, &format!("{POLICIES}/careful")).await["status"].clone();
            let entry = &status["daemonSets"]["agent"];
            let is_so = entry["phase"] == phase && entry["revision"] != *revision;
            if is_so { Ok(entry.clone()) } else { Err(status.to_string()) }
        })
        .await
    }

    /// How many pods that stay there are of each image.
    async fn counts(&self) -> BTreeMap<String, usize> {
        let pods = get(&self.client, PODS).await;
        let mut counts = BTreeMap::new();
        for pod in pods["items"].as_array().unwrap() {
            if pod["metadata"]["deletionTimestamp"].is_null() {
                let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
                *counts.entry(image.to_owned()).or_default() += 1;
            }
        }
        counts
    }

    async fn images(&self, what: &str, expected: &[(&str, usize)]) {
        let expected: BTreeMap<String, usize> =
            expected.iter().map(|(image, count)| ((*image).to_owned(), *count)).collect();
        eventually(what, LIMIT, async || {
            let counts = self.counts().await;
            if counts == expected { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await;
    }

    fn rollout(&self, arguments: &[&str]) -> Output {
        let mut command = everynode();
        command.arg("rollout").args(arguments).arg("--kubeconfig").arg(&self.cluster.kubeconfig);
        command.output().unwrap()
    }

    /// What a command prints that succeeds.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.rollout(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says that fails.
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.rollout(arguments);
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(1), b"".as_slice()),
            "{arguments:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    }
}

#[track_caller]
fn check_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_waits_until_somebody_promotes_it() {
    let world = World::start(json!({
        "selector": {"matchLabels": {"app": "agent"}},
        "maxUnavailable": 2,
        "waves": [{"name": "canary", "nodes": 1, "gate": "Manual"}, {"nodes": "50%"}, {"nodes": "100%"}],
    }))
    .await;
    let first = world.phase("careful", "Complete").await["revision"].clone();
    world.image("example/agent:2").await;
    let entry = world.phase("careful", "WaitingForPromotion").await;
    assert_eq!((&entry["lastGoodRevision"], &entry["waiting"]), (&first, &json!(NODES - 1)));
    world.images("one node has it", &[("example/agent:1", NODES - 1), ("example/agent:2", 1)]).await;

    let hash = entry["revision"].as_str().unwrap();
    let status = world.says(&["status", "daemonset/agent"]);
    check_has(&status, &["policy/careful", "canary  1", "waits for promotion", "To begin the next wave: "]);
    let history = world.says(&["history", "ds/agent"]);
    check_has(&history, &["last good", "WaitingForPromotion", hash, "example/agent:2"]);
    let dry = world.says(&["promote", "--dry-run"]);
    assert_eq!(
        dry,
        format!(
            "kubectl -n default annotate rolloutpolicy careful --overwrite everynode.dev/promote={hash}/1\n"
        )
    );
    check_has(&world.refuses(&["retry"]), &["there is nothing to retry: the roll-out of agent is Waiting"]);
    assert_eq!(world.says(&["promote", "policy/careful"]), "daemonset agent: wave 1 is promoted\n");
    let entry = world.phase("careful", "Complete").await;
    assert_eq!((&entry["lastGoodRevision"], &entry["updated"]), (&json!(hash), &json!(NODES)));
    world.images("all nodes have it", &[("example/agent:2", NODES)]).await;
    check_has(&world.refuses(&["promote"]), &["nothing to promote", "all nodes have the revision"]);
    let status: Value = serde_json::from_str(&world.says(&["status", "-o", "json"])).unwrap();
    assert_eq!(status["policies"][0]["rollouts"][0]["waves"][2]["state"], "complete");
    check_has(&world.refuses(&["status", "ds/agnt"]), &["no policy in namespace default", "there is agent"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_pulled_stops_at_the_canary_and_a_better_one_goes_on() {
    let world = World::start(json!({
        "selector": {},
        "waves": [{"name": "canary", "nodes": 1}, {"nodes": "100%"}],
        "maxUnavailable": "50%",
    }))
    .await;
    world.phase("careful", "Complete").await;
    world.image("example/agent:non-existent").await;
    let entry = world.phase("careful", "Halted").await;
    assert_eq!((&entry["failed"], &entry["unavailable"]), (&json!(1), &json!(1)));
    let failed = &entry["failedNodes"][0];
    let reason = failed["reason"].as_str().unwrap();
    assert!(["ErrImagePull", "ImagePullBackOff"].contains(&reason), "{entry}");
    assert_eq!(
        world.counts().await,
        BTreeMap::from([
            ("example/agent:1".to_owned(), NODES - 1),
            ("example/agent:non-existent".to_owned(), 1)
        ])
    );
    let status = world.says(&["status"]);
    let failed = format!("{}: {reason} at ", failed["node"].as_str().unwrap());
    check_has(
        &status,
        &["Halted", &failed, "image", "To try the failed nodes again: everynode rollout retry"],
    );
    world.image("example/agent:3").await;
    world.phase_of_another(&entry["revision"], "Complete").await;
    world.images("all nodes have the better one", &[("example/agent:3", NODES)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_go_back_to_the_last_good_revision_and_the_template_stays() {
    let world = World::start(json!({
        "selector": {},
        "waves": [{"nodes": "50%"}, {"nodes": "100%"}],
        "maxUnavailable": 2,
        "failure": {"budget": 2, "action": "Rollback"},
    }))
    .await;
    let first = world.phase("careful", "Complete").await["revision"].clone();
    world.image("example/agent:non-existent").await;
    let entry = world.phase("careful", "RolledBack").await;
    assert_eq!((&entry["lastGoodRevision"], &entry["failed"]), (&first, &json!(2)));
    world.images("all nodes have the old one", &[("example/agent:1", NODES)]).await;
    let template = get(&world.client, AGENT).await["spec"]["template"].clone();
    assert_eq!(template["spec"]["containers"][0]["image"], "example/agent:non-existent");
    check_has(&world.refuses(&["abort"]), &["there is nothing to abort", "RolledBack"]);
    check_has(&world.says(&["retry"]), &["is tried again"]);
    eventually("the second attempt has gone back too", LIMIT, async || {
        let status = get(&world.client, &format!("{POLICIES}/careful")).await["status"].clone();
        let entry = &status["daemonSets"]["agent"];
        if entry["attempt"] == 1 && entry["phase"] == "RolledBack" { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_and_an_abort_goes_back() {
    let world = World::start(json!({
        "selector": {},
        "waves": [{"nodes": 1, "gate": "Manual"}, {"nodes": "100%"}],
    }))
    .await;
    let first = world.phase("careful", "Complete").await["revision"].clone();
    check_has(&world.says(&["pause"]), &["policy careful is paused"]);
    check_has(&world.refuses(&["pause"]), &["policy careful is paused already"]);
    world.image("example/agent:2").await;
    eventually("the pause is told", LIMIT, async || {
        let status = get(&world.client, &format!("{POLICIES}/careful")).await["status"].clone();
        let entry = &status["daemonSets"]["agent"];
        let is_held = entry["revision"] != first && entry["message"] == "paused";
        if is_held { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(world.counts().await, BTreeMap::from([("example/agent:1".to_owned(), NODES)]));
    check_has(&world.says(&["status"]), &["policy/careful, paused", "everynode rollout resume"]);
    check_has(&world.says(&["resume"]), &["policy careful is resumed"]);
    world.phase("careful", "WaitingForPromotion").await;
    for attempt in 0..2 {
        check_has(&world.says(&["abort", "ds/agent"]), &["is aborted", first.as_str().unwrap()]);
        assert_eq!(world.phase("careful", "RolledBack").await["attempt"], attempt);
        world.images("all nodes have the old one", &[("example/agent:1", NODES)]).await;
        check_has(&world.says(&["retry"]), &["is tried again"]);
        assert_eq!(world.phase("careful", "WaitingForPromotion").await["attempt"], attempt + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_policies_for_one_daemonset_neither_acts() {
    let spec = json!({"selector": {}});
    let world = World::start(spec.clone()).await;
    world.phase("careful", "Complete").await;
    world.policy("hasty", spec).await;
    world.phase("careful", "Conflict").await;
    world.phase("hasty", "Conflict").await;
    world.image("example/agent:2").await;
    eventually("the change was looked at", LIMIT, async || {
        let daemonset = get(&world.client, AGENT).await;
        let is_seen = daemonset["status"]["observedGeneration"] == daemonset["metadata"]["generation"];
        if is_seen { Ok(()) } else { Err(daemonset["status"].to_string()) }
    })
    .await;
    assert_eq!(world.counts().await, BTreeMap::from([("example/agent:1".to_owned(), NODES)]));
    check_has(&world.refuses(&["status", "ds/agent"]), &["another policy selects DaemonSet agent too"]);
    check_has(&world.refuses(&["pause"]), &["there are 2 policies", "policy/careful or policy/hasty"]);
    world.client.delete(&format!("{POLICIES}/hasty"), "").await.unwrap();
    world.images("the other one acts", &[("example/agent:2", NODES)]).await;
    world.phase("careful", "Complete").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_policy_a_rollout_goes_on_by_its_own_strategy() {
    let world = World::start(json!({
        "selector": {},
        "waves": [{"nodes": 1, "gate": "Manual"}, {"nodes": "100%"}],
    }))
    .await;
    world.phase("careful", "Complete").await;
    world.image("example/agent:2").await;
    world.phase("careful", "WaitingForPromotion").await;
    world.client.delete(&format!("{POLICIES}/careful"), "").await.unwrap();
    world.images("all nodes have it", &[("example/agent:2", NODES)]).await;
}

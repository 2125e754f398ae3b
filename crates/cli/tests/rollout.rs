//! Roll-outs under a RolloutPolicy on `everynode up`, as people see and steer them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;

use std::ops::Deref;
use std::process::Output;

use common::agent::{Agent, counts};
use common::watch::Watch;
use common::{Cluster, LIMIT, eventually, everynode, get};
use serde_json::{Value, json};

const NODES: usize = 6;

/// Six nodes, an agent on each, and a policy with this spec that has seen the agent's first roll-out.
struct World {
    cluster: Cluster,
    agent: Agent,
}

impl Deref for World {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl World {
    async fn start(spec: Value) -> World {
        let cluster = Cluster::start(&["--nodes", "6", "--pod-start", "50ms"]);
        let agent = Agent { client: cluster.client().await, namespace: "default".to_owned() };
        let world = World { cluster, agent };
        let container = json!({"name": "main", "image": "example/agent:1"});
        let daemonset = json!({
            "metadata": {"name": "agent", "labels": {"app": "agent"}},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [container]}},
            },
        });
        world.client.post(&world.daemonsets(), daemonset.to_string()).await.unwrap();
        world.images("the agent is everywhere", &[("example/agent:1", NODES)]).await;
        eventually("the agent is available", LIMIT, async || {
            let status = get(&world.client, &world.daemonset()).await["status"].clone();
            if status["numberAvailable"] == NODES { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
        world.policy("careful", spec).await;
        world
    }

    async fn images(&self, what: &str, expected: &[(&str, usize)]) {
        let expected = counts(expected);
        eventually(what, LIMIT, async || {
            let found = self.counts().await;
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
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
    let expected = counts(&[("example/agent:1", NODES - 1), ("example/agent:non-existent", 1)]);
    assert_eq!(world.counts().await, expected);
    let status = world.says(&["status"]);
    let failed = format!("{}: {reason} at ", failed["node"].as_str().unwrap());
    check_has(
        &status,
        &["Halted", &failed, "image", "To try the failed nodes again: everynode rollout retry"],
    );
    world.image("example/agent:3").await;
    world.phase_after(&entry["revision"], "Complete").await;
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
    let template = get(&world.client, &world.daemonset()).await["spec"]["template"].clone();
    assert_eq!(template["spec"]["containers"][0]["image"], "example/agent:non-existent");
    check_has(&world.refuses(&["abort"]), &["there is nothing to abort", "RolledBack"]);
    check_has(&world.says(&["retry"]), &["is tried again"]);
    eventually("the second attempt has gone back too", LIMIT, async || {
        let status = get(&world.client, &world.policies("careful")).await["status"].clone();
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
        let status = get(&world.client, &world.policies("careful")).await["status"].clone();
        let entry = &status["daemonSets"]["agent"];
        let is_held = entry["revision"] != first && entry["message"] == "paused";
        if is_held { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(world.counts().await, counts(&[("example/agent:1", NODES)]));
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
        let daemonset = get(&world.client, &world.daemonset()).await;
        let is_seen = daemonset["status"]["observedGeneration"] == daemonset["metadata"]["generation"];
        if is_seen { Ok(()) } else { Err(daemonset["status"].to_string()) }
    })
    .await;
    assert_eq!(world.counts().await, counts(&[("example/agent:1", NODES)]));
    check_has(&world.refuses(&["status", "ds/agent"]), &["another policy selects DaemonSet agent too"]);
    check_has(&world.refuses(&["pause"]), &["there are 2 policies", "policy/careful or policy/hasty"]);
    world.client.delete(&world.policies("hasty"), "").await.unwrap();
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
    world.client.delete(&world.policies("careful"), "").await.unwrap();
    world.images("all nodes have it", &[("example/agent:2", NODES)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_each_change_until_ctrl_c() {
    let world = World::start(json!({
        "selector": {},
        "waves": [{"name": "canary", "nodes": 1, "gate": "Manual"}, {"nodes": "100%"}],
    }))
    .await;
    world.phase("careful", "Complete").await;
    let mut watch = Watch::of(&world.cluster.kubeconfig, &["rollout", "status", "ds/agent", "-w"]);
    watch.wait_for("daemonset/agent  Complete: all nodes have the revision");
    world.image("example/agent:2").await;
    watch.wait_for("daemonset/agent  WaitingForPromotion: wave canary is complete");
    watch.wait_for("To begin the next wave: everynode rollout promote daemonset/agent");
    world.says(&["promote"]);
    watch.wait_for("daemonset/agent  Complete: all nodes have the revision");
    world.image("example/agent:non-existent").await;
    watch.wait_for("daemonset/agent  Halted: ");
    assert!(watch.goes_on(), "it is no command that waits for an end");
    assert!(watch.end().success(), "Ctrl-C ends it well");

    let documents = Watch::of(&world.cluster.kubeconfig, &["rollout", "status", "-w", "-o", "json"]);
    documents.wait_for("\"phase\": \"Halted\"");
    assert!(documents.end().success(), "Ctrl-C ends it well");
    check_has(
        &world.refuses(&["status", "ds/agnt", "-w"]),
        &["no policy in namespace default", "there is agent"],
    );
}

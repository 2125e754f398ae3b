//! Recorded incidents on `everynode up`, with injected faults: what happens without a policy, and what with one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop and speak"
)]

mod common;

use std::ops::Deref;
use std::time::Duration;

use common::agent::Agent;
use common::{Cluster, LIMIT, eventually, get};
use serde_json::{Value, json};

struct World {
    _cluster: Cluster,
    agent: Agent,
}

impl Deref for World {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl World {
    /// A fleet with an agent that tolerates everything, as vendors' agents do; `dead` nodes do nothing from the start.
    async fn start(nodes: usize, dead: usize, max_unavailable: usize, min_ready_seconds: u32) -> World {
        let node = |index: usize| {
            let mut node = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": format!("n{index:03}"), "labels": {"rack": (index / 20).to_string()}},
            });
            if index < dead {
                node["status"] = json!({"conditions": [{"type": "Ready", "status": "Unknown"}]});
            }
            node
        };
        let fleet: Vec<String> = (0..nodes).map(|index| node(index).to_string()).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), fleet.join("\n---\n")).unwrap();
        let cluster = Cluster::start(&["--fleet", file.path().to_str().unwrap(), "--pod-start", "20ms"]);
        let agent = Agent { client: cluster.client().await, namespace: "default".to_owned() };
        let world = World { agent, _cluster: cluster };
        let daemonset = json!({
            "metadata": {"name": "agent", "labels": {"app": "agent"}},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "minReadySeconds": min_ready_seconds,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": max_unavailable}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {
                        "tolerations": [{"operator": "Exists"}],
                        "containers": [{"name": "main", "image": "example/agent:1"}],
                    },
                },
            },
        });
        world.client.post(&world.daemonsets(), daemonset.to_string()).await.unwrap();
        world
            .status("the agent is where it can be", |status| {
                status["numberAvailable"] == nodes - dead && status["updatedNumberScheduled"] == nodes
            })
            .await;
        world
    }

    async fn careful(&self, mut spec: Value) {
        spec["selector"] = json!({"matchLabels": {"app": "agent"}});
        self.policy("careful", spec).await;
    }

    async fn status(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        eventually(what, LIMIT, async || {
            let daemonset = get(&self.client, &self.daemonset()).await;
            let status = &daemonset["status"];
            let is_seen = status["observedGeneration"] == daemonset["metadata"]["generation"];
            if is_seen && is_so(status) { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    /// How many pods are of this image and stay.
    async fn pods_with(&self, image: &str) -> usize {
        self.counts().await.get(image).copied().unwrap_or_default()
    }

    /// The status stays as it is for a while.
    async fn stays(&self, key: &str) -> Value {
        let before = get(&self.client, &self.daemonset()).await["status"][key].clone();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(get(&self.client, &self.daemonset()).await["status"][key], before);
        }
        before
    }
}

/// 288 nodes, 20 of them dead, a budget of 14 (NVSentinel#1764): the 20 pods that serve nobody use the budget up for ever.
/// A policy does not count what was broken before.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_rack_blocks_a_roll_out_until_a_policy_conducts_it() {
    let world = World::start(288, 20, 14, 0).await;
    world.image("example/agent:2").await;
    world.status("the dead nodes use the budget up", |status| status["numberUnavailable"] == 20).await;
    assert_eq!(world.stays("updatedNumberScheduled").await, Value::Null, "it moves not a single pod");
    world.careful(json!({"maxUnavailable": 14})).await;
    let entry = world.phase("careful", "Complete").await;
    assert_eq!((&entry["available"], &entry["failed"]), (&json!(268), &json!(0)), "{entry}");
    assert_eq!(world.pods_with("example/agent:2").await, 268);
}

/// A revision that brings down each node that gets it (kubernetes#117658), while a rack is dead anyway. Without a policy
/// the roll-out stops at the budget and leaves the nodes down; with one it goes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_brings_nodes_down_halts_and_goes_back() {
    let panics = json!({"spec": {"template": {
        "metadata": {"annotations": {"simulate.everynode.dev/node-not-ready": "true"}},
        "spec": {"containers": [{"name": "main", "image": "example/agent:2"}]},
    }}});
    let world = World::start(40, 0, 2, 0).await;
    world.merge(&world.daemonset(), panics.clone()).await;
    let is_down = |status: &Value| status["numberUnavailable"].as_u64().is_some_and(|count| count >= 2);
    world.status("nodes are down", is_down).await;

    let world = World::start(40, 5, 2, 0).await;
    world.careful(json!({"maxUnavailable": 2, "failure": {"budget": 2, "action": "Rollback"}})).await;
    world.phase("careful", "Complete").await;
    world.merge(&world.daemonset(), panics).await;
    let entry = world.phase("careful", "RolledBack").await;
    assert_eq!(entry["failedNodes"][0]["reason"], "NodeNotReady", "{entry}");
    assert!(entry["failed"].as_u64().unwrap() <= 2, "{entry}");
    eventually("all nodes have the old revision", LIMIT, async || {
        let count = world.pods_with("example/agent:1").await;
        if count == 40 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    let nodes = "/api/v1/nodes";
    eventually("the nodes are well again", LIMIT, async || {
        let nodes = get(&world.client, nodes).await;
        let ready = |node: &&Value| {
            let conditions = node["status"]["conditions"].as_array();
            conditions
                .is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
        };
        let count = nodes["items"].as_array().unwrap().iter().filter(ready).count();
        if count == 35 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
}

/// Two updates within minReadySeconds (kruise#1323): pods that are ready but not available for long enough are
/// replaced for free without a policy, so that the second update takes more nodes; the budget of a policy counts them.
#[tokio::test(flavor = "multi_thread")]
async fn two_updates_within_min_ready_seconds_keep_the_budget() {
    let world = World::start(10, 0, 2, 3).await;
    world.careful(json!({"maxUnavailable": 2})).await;
    world.phase("careful", "Complete").await;
    for image in ["example/agent:2", "example/agent:3"] {
        world.image(image).await;
        eventually("some are updated", LIMIT, async || {
            let count = world.pods_with(image).await;
            if count > 0 { Ok(()) } else { Err(count.to_string()) }
        })
        .await;
        assert!(world.pods_with("example/agent:1").await >= 8, "the budget is 2");
    }
    eventually("all have the last one", LIMIT, async || {
        let daemonset = get(&world.client, &world.daemonset()).await;
        let status = &daemonset["status"];
        let missing = status["numberUnavailable"].as_u64().unwrap_or_default();
        assert!(missing <= 2, "{status}");
        let is_seen = status["observedGeneration"] == daemonset["metadata"]["generation"];
        let is_done = is_seen && status["updatedNumberScheduled"] == 10 && missing == 0;
        if is_done { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(world.pods_with("example/agent:3").await, 10);
}

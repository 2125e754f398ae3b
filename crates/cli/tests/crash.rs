//! `up` is killed with SIGKILL at random moments of a roll-out and started again on the same data: no acknowledged
//! write is missing, no node ever has two live pods of the DaemonSet, and the roll-out ends.
//!
//! `EVERYNODE_CRASHES` sets the number of crashes, `EVERYNODE_SEED` the moments.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::doubles::{assert_no_doubles, live_on, watch_for_doubles};
use common::{eventually, get, number, spawn};
use everynode_client::{Client, content_type};
use serde_json::{Value, json};

const NODES: usize = 5;
const DAEMONSET: &str = "/apis/apps/v1/namespaces/default/daemonsets/agent";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
/// The longest time from the start of a roll-out to the kill.
const LONGEST_LIFE: Duration = Duration::from_millis(400);

/// What the server acknowledged, which must be there after every start.
#[derive(Clone, Default)]
struct Acknowledged {
    config_maps: BTreeSet<String>,
    revision: usize,
}

struct Life {
    process: Child,
    client: Client,
}

async fn start(directory: &std::path::Path) -> Life {
    let data = directory.join("data");
    let nodes = NODES.to_string();
    let args = ["--data-dir", data.to_str().unwrap(), "--nodes", &nodes, "--pod-start", "10ms"];
    let (process, _) = tokio::task::spawn_blocking({
        let args: Vec<String> = args.iter().map(|s| (*s).to_owned()).collect();
        move || spawn(&args.iter().map(String::as_str).collect::<Vec<_>>())
    })
    .await
    .unwrap();
    let client = Client::from_file(&data.join("kubeconfig")).await.unwrap();
    Life { process, client }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_cluster_loses_nothing_and_doubles_nothing() {
    let (crashes, seed) = (number("EVERYNODE_CRASHES", 200), number("EVERYNODE_SEED", 42));
    println!("{crashes} crashes with seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let mut life = start(directory.path()).await;
    create_daemonset(&life.client).await;
    for crash in 0..crashes {
        let watcher = tokio::spawn(watch_for_doubles(life.client.clone(), PODS.to_owned()));
        let writer = tokio::spawn(write(life.client.clone(), acknowledged.clone(), crash as usize + 1));
        // The random moment is what this test is about.
        tokio::time::sleep(LONGEST_LIFE.mul_f64(random.f64())).await;
        life.process.kill().unwrap();
        life.process.wait().unwrap();
        writer.abort();
        watcher.abort();
        if let Err(error) = watcher.await {
            assert!(error.is_cancelled(), "crash {crash} of seed {seed}: {error}");
        }
        let _ = writer.await;
        life = start(directory.path()).await;
        let expected = acknowledged.lock().unwrap().clone();
        check(&life.client, &expected, crash).await;
    }
    rolled_out(&life.client).await;
    let kept = acknowledged.lock().unwrap().config_maps.len();
    println!("{kept} acknowledged writes, all there after {crashes} crashes");
    assert!(kept as u64 > crashes / 2, "the lives were too short to write anything");
    life.process.kill().unwrap();
    life.process.wait().unwrap();
}

async fn create_daemonset(client: &Client) {
    let daemonset = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": "example/agent:1"}]}
            }
        }
    });
    client.post("/apis/apps/v1/namespaces/default/daemonsets", daemonset.to_string()).await.unwrap();
    rolled_out(client).await;
}

/// Starts a roll-out, then writes until the server dies.
async fn write(client: Client, acknowledged: Arc<Mutex<Acknowledged>>, revision: usize) {
    let patch =
        json!({"spec": {"template": {"metadata": {"annotations": {"revision": revision.to_string()}}}}});
    if client.patch(DAEMONSET, content_type::STRATEGIC_MERGE_PATCH, patch.to_string()).await.is_ok() {
        acknowledged.lock().unwrap().revision = revision;
    }
    for n in 0.. {
        let name = format!("c-{revision}-{n}");
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        if client.post(CONFIG_MAPS, body.to_string()).await.is_err() {
            return;
        }
        acknowledged.lock().unwrap().config_maps.insert(name);
    }
}

async fn check(client: &Client, acknowledged: &Acknowledged, crash: u64) {
    let found = get(client, CONFIG_MAPS).await;
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    let found: BTreeSet<_> = found["items"].as_array().unwrap().iter().map(name).collect();
    let missing: Vec<_> = acknowledged.config_maps.difference(&found).collect();
    assert!(missing.is_empty(), "after crash {crash} these acknowledged writes are missing: {missing:?}");
    let daemonset = get(client, DAEMONSET).await;
    let revision = &daemonset["spec"]["template"]["metadata"]["annotations"]["revision"];
    let revision: usize = revision.as_str().unwrap_or("0").parse().unwrap();
    assert!(revision >= acknowledged.revision, "after crash {crash} the template is back at {revision}");
    let pods = get(client, PODS).await;
    let live: Vec<_> = pods["items"].as_array().unwrap().iter().filter_map(live_on).collect();
    assert_no_doubles(live.iter());
}

async fn rolled_out(client: &Client) {
    eventually("the roll-out ends", common::LIMIT, async || {
        let daemonset = get(client, DAEMONSET).await;
        let status = &daemonset["status"];
        let done = status["observedGeneration"] == daemonset["metadata"]["generation"]
            && ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"]
                .iter()
                .all(|field| status[*field] == json!(NODES));
        if done { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

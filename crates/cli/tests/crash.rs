//! `up` is killed with SIGKILL at random moments of a roll-out and started again on the same data: what four writers
//! were told is there, exactly, no node ever has two live pods of the DaemonSet, and the roll-out ends.
//!
//! `EVERYNODE_CRASHES` sets the number of crashes, `EVERYNODE_SEED` replays the moments and writes of one run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

#[path = "crash/ledger.rs"]
mod ledger;

use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::doubles::{assert_no_doubles, live_on, watch_for_doubles};
use common::{eventually, get, spawn};
use everynode_client::{Client, content_type};
use everynode_testkit::number;
use ledger::Ledger;
use serde_json::json;
use tokio::task::JoinSet;

const NODES: usize = 5;
const DAEMONSET: &str = "/apis/apps/v1/namespaces/default/daemonsets/agent";
const PODS: &str = "/api/v1/namespaces/default/pods";
const WRITERS: usize = 4;
/// The longest time from the start of a roll-out to the kill.
const LONGEST_LIFE: Duration = Duration::from_millis(400);

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
    let (crashes, seed) =
        (number("EVERYNODE_CRASHES", 20), number("EVERYNODE_SEED", fastrand::u64(..1 << 32)));
    println!("EVERYNODE_SEED={seed} EVERYNODE_CRASHES={crashes} replays this");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let ledgers: Vec<_> = (0..WRITERS).map(|writer| Arc::new(Mutex::new(Ledger::new(writer)))).collect();
    let template = Arc::new(AtomicUsize::new(0));
    let mut life = start(directory.path()).await;
    create_daemonset(&life.client).await;
    for crash in 0..crashes {
        let watcher = tokio::spawn(watch_for_doubles(life.client.clone(), PODS.to_owned()));
        let mut writers = JoinSet::new();
        writers.spawn(roll(life.client.clone(), template.clone(), crash as usize + 1));
        for ledger in &ledgers {
            writers.spawn(ledger::write(life.client.clone(), ledger.clone(), random.fork()));
        }
        // The random moment is what this test is about.
        tokio::time::sleep(LONGEST_LIFE.mul_f64(random.f64())).await;
        life.process.kill().unwrap();
        life.process.wait().unwrap();
        watcher.abort();
        if let Err(error) = watcher.await {
            assert!(error.is_cancelled(), "crash {crash} of seed {seed}: {error}");
        }
        // Each ends when the server does not answer any more, and fails when it answers nonsense.
        while let Some(ended) = writers.join_next().await {
            ended.unwrap_or_else(|error| panic!("crash {crash} of seed {seed}: {error}"));
        }
        life = start(directory.path()).await;
        let found = get(&life.client, ledger::CONFIG_MAPS).await;
        for ledger in &ledgers {
            ledger.lock().unwrap().check(&found, crash);
        }
        check(&life.client, template.load(Ordering::SeqCst), crash).await;
    }
    rolled_out(&life.client).await;
    let written: u64 = ledgers.iter().map(|ledger| ledger.lock().unwrap().acknowledged).sum();
    println!("{written} acknowledged writes, none lost and none wrong after {crashes} crashes");
    assert!(written > crashes * 2, "the lives were too short to write anything");
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

/// Starts a roll-out.
async fn roll(client: Client, acknowledged: Arc<AtomicUsize>, revision: usize) {
    let patch =
        json!({"spec": {"template": {"metadata": {"annotations": {"revision": revision.to_string()}}}}});
    if client.patch(DAEMONSET, content_type::STRATEGIC_MERGE_PATCH, patch.to_string()).await.is_ok() {
        acknowledged.store(revision, Ordering::SeqCst);
    }
}

async fn check(client: &Client, acknowledged: usize, crash: u64) {
    let daemonset = get(client, DAEMONSET).await;
    let revision = &daemonset["spec"]["template"]["metadata"]["annotations"]["revision"];
    let revision: usize = revision.as_str().unwrap_or("0").parse().unwrap();
    assert!(revision >= acknowledged, "after crash {crash} the template is back at {revision}");
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

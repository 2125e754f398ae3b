//! Snapshots that nobody took: whatever stands in them, `status` and `why` end, and say what is wrong or what they see.
//!
//! `EVERYNODE_SNAPSHOTS` sets how many are crafted, `EVERYNODE_SEED` replays one run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use everynode_testkit::number;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Cluster, LIMIT, eventually, everynode, get};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const AGENT: &str = "/apis/apps/v1/namespaces/default/daemonsets/agent";

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(20);

const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, labels: {app: agent}}
spec:
  selector: {matchLabels: {app: agent}}
  minReadySeconds: 1
  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 2}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers: [{name: c, image: "e/a:1", resources: {requests: {cpu: 100m, memory: 10Mi}}}]
---
apiVersion: everynode.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: careful}
spec:
  selector: {matchLabels: {app: agent}}
  maxUnavailable: "20%"
  progressDeadlineSeconds: 600
  waves:
  - {name: canary, nodes: 1, bakeSeconds: 3, gate: Manual}
  - {name: rest, nodes: "100%"}
  failure: {budget: 3, action: Rollback}
"#;

const NUMBERS: [i64; 12] = [
    0,
    -1,
    1,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 32,
    1 << 53,
    i64::MAX,
    i64::MIN,
    1_000_000_000,
    253_402_300_799,
    100_000,
];
const TEXTS: [&str; 9] = [
    "",
    "0%",
    "1000000%",
    "1e18",
    "9999999999Gi",
    "-1",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "1m",
];

/// The lines of a snapshot in the middle of a roll-out.
async fn snapshot() -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("m.yaml");
    std::fs::write(&manifest, MANIFEST).unwrap();
    let cluster = Cluster::start(&["--nodes", "6", "-f", manifest.to_str().unwrap()]);
    let client = cluster.client().await;
    eventually("the agent is there", LIMIT, async || {
        let agent = client.get(AGENT).await.map_err(|error| error.to_string())?;
        let status = serde_json::from_slice::<Value>(&agent).unwrap()["status"].clone();
        if status["numberAvailable"] == 6 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    begin_roll_out(&client).await;
    let file = directory.path().join("snapshot");
    let made = everynode().arg("snapshot").arg(&file).arg("--kubeconfig").arg(&cluster.kubeconfig).output();
    assert!(made.unwrap().status.success());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&std::fs::read(&file).unwrap()[..]).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn begin_roll_out(client: &everynode_client::Client) {
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "e/a:2"}]}}}});
    let kind = everynode_client::content_type::STRATEGIC_MERGE_PATCH;
    client.patch(AGENT, kind, image.to_string()).await.unwrap();
    eventually("the roll-out has begun", LIMIT, async || {
        let status = get(client, AGENT).await["status"].clone();
        if status["updatedNumberScheduled"] == 1 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

/// Puts something else in the place of one value, somewhere in a record.
fn spoil(value: &mut Value, random: &mut fastrand::Rng) {
    let goes_in = random.u8(0..6) > 0;
    match value {
        Value::Object(fields) if goes_in && !fields.is_empty() => {
            let at = random.usize(0..fields.len());
            spoil(fields.values_mut().nth(at).unwrap(), random);
        }
        Value::Array(items) if goes_in && !items.is_empty() => {
            let at = random.usize(0..items.len());
            spoil(&mut items[at], random);
        }
        Value::Array(items) if random.bool() => {
            let again = items.clone();
            (0..50).for_each(|_| items.extend(again.iter().cloned()));
        }
        Value::Number(_) => *value = NUMBERS[random.usize(0..NUMBERS.len())].into(),
        Value::Bool(truth) => *truth = !*truth,
        Value::String(_) => *value = TEXTS[random.usize(0..TEXTS.len())].into(),
        _ => *value = [Value::Null, json!([]), json!({}), json!(0)][random.usize(0..4)].clone(),
    }
}

/// Writes the lines as a snapshot that is whole.
fn write(path: &Path, lines: &[Value]) {
    let (last, records) = lines.split_last().unwrap();
    let mut text = String::new();
    records.iter().for_each(|record| text.push_str(&format!("{record}\n")));
    let sum: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut last = last.clone();
    last["end"]["sha256"] = sum.into();
    let mut out =
        flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    out.write_all(format!("{text}{last}\n").as_bytes()).unwrap();
    out.finish().unwrap();
}

/// Runs a command, and demands that it ends as a command does.
fn check(args: &[&str], file: &Path) {
    let mut process = everynode()
        .args(args)
        .arg("--snapshot")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > PATIENCE {
            process.kill().unwrap();
            process.wait().unwrap();
            panic!("{args:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(matches!(status.code(), Some(0 | 1)), "{args:?}: {status}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_why_end_whatever_a_snapshot_holds() {
    let seed = number("EVERYNODE_SEED", fastrand::u64(..1 << 32));
    let count = number("EVERYNODE_SNAPSHOTS", 25);
    println!(
        "EVERYNODE_SEED={seed} EVERYNODE_SNAPSHOTS={count} replays this, but for the names and times in it"
    );
    let mut random = fastrand::Rng::with_seed(seed);
    let lines = snapshot().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("crafted");
    // This one never ended.
    let mut foreign = lines.clone();
    let daemonset = foreign.iter_mut().find_map(|line| line.get_mut("daemonSet")).unwrap();
    daemonset["spec"]["selector"]["matchLabels"]["app"] = "other".into();
    write(&file, &foreign);
    check(&["status", "-A"], &file);
    for number in 0..count {
        println!("snapshot {number}");
        let mut crafted = lines.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..lines.len() - 1);
            spoil(crafted[at].as_object_mut().unwrap().values_mut().next().unwrap(), &mut random);
        }
        write(&file, &crafted);
        check(&["status", "-A"], &file);
        check(&["why", "daemonset/agent", "node/node-3"], &file);
    }
}

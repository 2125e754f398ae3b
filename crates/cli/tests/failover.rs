//! Two replicas of the controller; the one that leads is killed, or stopped for longer than its lease and continued,
//! during roll-outs: at no moment two live pods on a node, and no write by a former leader.
//!
//! `EVERYNODE_FAILOVERS` sets how often, `EVERYNODE_SEED` the moments; `EVERYNODE_TEST_KUBECONFIG` another cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use everynode_testkit::{Need, number, skip};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use common::audit::{time, writer};
use common::bare::Bare;
use common::doubles::watch_for_doubles;
use common::{LIMIT, audit, eventually};
use serde_json::{Value, json};

const NODES: usize = 8;
const NAMES: [&str; 2] = ["replica-a", "replica-b"];
/// The longest time from the start of a roll-out to the disturbance.
const LONGEST_WAIT: Duration = Duration::from_millis(800);

struct Replicas {
    bare: Bare,
    processes: [Child; 2],
}

impl Replicas {
    async fn start() -> Replicas {
        let bare = Bare::start(NODES).await;
        let processes = NAMES.map(|name| start(&bare, name));
        Replicas { bare, processes }
    }

    /// Who leads: the index of the replica, and the identity that its process has in the Lease.
    async fn leader(&self) -> (usize, String) {
        let path = "/apis/coordination.k8s.io/v1/namespaces";
        let path = format!("{path}/{}/leases/everynode-controller", self.bare.namespace);
        eventually("one of the two leads", LIMIT, async || {
            let lease = self.bare.client.get(&path).await.map_err(|e| e.to_string())?;
            let lease: Value = serde_json::from_slice(&lease).unwrap();
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            let index = NAMES.iter().position(|name| holder.starts_with(name));
            index.map(|index| (index, holder.to_owned())).ok_or_else(|| holder.to_owned())
        })
        .await
    }

    async fn another_leads_than(&self, former: &str) {
        eventually("another process takes over", LIMIT, async || {
            let (_, now) = self.leader().await;
            if now == former { Err(now) } else { Ok(()) }
        })
        .await;
    }

    async fn kill(&mut self, leader: usize, identity: &str) {
        self.processes[leader].kill().unwrap();
        self.processes[leader].wait().unwrap();
        self.processes[leader] = start(&self.bare, NAMES[leader]);
        self.another_leads_than(identity).await;
    }

    async fn suspend(&self, leader: usize, identity: &str) {
        signal(&self.processes[leader], "STOP");
        self.another_leads_than(identity).await;
        signal(&self.processes[leader], "CONT");
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn start(bare: &Bare, name: &str) -> Child {
    let times = ["--leader-elect-lease-duration=2s", "--leader-elect-renew-deadline=1200ms"];
    let mut command = bare.controller(name);
    command.args(times).args(["--leader-elect-retry-period=200ms", "--log-format=json"]);
    if std::env::var_os("EVERYNODE_TEST_LOGS").is_none() {
        command.stderr(std::process::Stdio::null());
    }
    command.spawn().unwrap()
}

fn signal(process: &Child, signal: &str) {
    let status =
        Command::new("sh").args(["-c", &format!("kill -{signal} {}", process.id())]).status().unwrap();
    assert!(status.success(), "kill -{signal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_or_sleeps_leaves_no_second_pod_and_writes_no_more() {
    let (failovers, seed) =
        (number("EVERYNODE_FAILOVERS", 6), number("EVERYNODE_SEED", fastrand::u64(0..1 << 40)));
    println!("{failovers} failovers with seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut replicas = Replicas::start().await;
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}});
    replicas.bare.create_daemonset("agent", strategy).await;
    replicas.bare.rolled_out("agent", LIMIT).await;
    let watcher = tokio::spawn(watch_for_doubles(replicas.bare.client.clone(), replicas.bare.pods()));
    for failover in 0..failovers {
        let (leader, identity) = replicas.leader().await;
        replicas.bare.change_template("agent", &failover.to_string()).await;
        // The random moment is what this test is about.
        tokio::time::sleep(LONGEST_WAIT.mul_f64(random.f64())).await;
        match failover % 2 {
            0 => replicas.kill(leader, &identity).await,
            _ => replicas.suspend(leader, &identity).await,
        }
        replicas.bare.rolled_out("agent", LIMIT).await;
        assert!(!watcher.is_finished(), "failover {failover} of seed {seed}: {:?}", watcher.await);
    }
    watcher.abort();
    match replicas.bare.audit_log.clone() {
        Some(log) => check_audit_log(&log, &replicas.bare, failovers).await,
        None => skip(Need::AuditLog, "EVERYNODE_TEST_AUDIT_LOG does not tell where the audit log is"),
    }
}

/// Every write was received while the Lease was the writer's, by the order in which the server answered.
async fn check_audit_log(log: &Path, bare: &Bare, failovers: u64) {
    let entries = audit::read(log, bare).await;
    let of_replica =
        |entry: &&Value| audit::is_write(entry) && writer(entry).starts_with("everynode-controller/");
    let entries: Vec<&Value> = entries.iter().filter(of_replica).collect();
    let mut terms: Vec<(String, String)> = Vec::new();
    for lease in entries.iter().filter(|entry| entry["objectRef"]["resource"] == "leases") {
        let code = lease["responseStatus"]["code"].as_u64().unwrap_or_default();
        if code < 300 && terms.last().is_none_or(|(_, who)| *who != writer(lease)) {
            terms.push((time(lease, "stageTimestamp"), writer(lease)));
        }
    }
    let writes = entries.iter().filter(|entry| entry["objectRef"]["resource"] != "leases");
    let (mut count, mut late) = (0, Vec::new());
    for write in writes {
        count += 1;
        let received = time(write, "requestReceivedTimestamp");
        let term = terms.iter().rev().find(|(since, _)| *since < received);
        if term.is_none_or(|(_, leader)| *leader != writer(write)) {
            late.push(format!("{received} {} {} {term:?}", writer(write), write["requestURI"]));
        }
    }
    println!("{count} writes in {} terms, each by the leader of its time", terms.len());
    assert!(late.is_empty(), "writes by a former leader: {late:#?}");
    assert!(terms.len() as u64 > failovers && count > failovers, "the log tells of too little");
}

//! `everynode plan` and `everynode snapshot` as a pipeline sees them: exit status, output, bad input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test may panic")]

mod common;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Output};

use everynode_plan::file::{Header, VERSION, Writer};
use everynode_plan::record::{Node, Record};
use serde_json::{Value, json};

/// A directory with a snapshot of three nodes without any DaemonSet, and manifests.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        let header =
            Header { format: VERSION, taken_at: 1_790_000_000, salt: "s".into(), writer: "test".into() };
        let mut writer = Writer::new(File::create(desk.path("fleet.snapshot")).unwrap(), header).unwrap();
        for index in 0..3 {
            let node = Node {
                name: format!("n{index}").into(),
                allocatable: json!({"cpu": "2", "memory": "4Gi", "pods": "110"}).into(),
                ready: "True".into(),
                ..Node::default()
            };
            writer.write(&Record::Node(node)).unwrap();
        }
        writer.finish(Vec::new()).unwrap();
        desk.write("agent.yaml", &daemonset("100m"));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_everynode"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env_remove("KUBECONFIG")
            .env("HOME", self.dir.path())
            .output()
            .unwrap()
    }

    fn plan(&self, file: &str, more: &[&str]) -> Output {
        self.run(&[&["plan", "--snapshot", "fleet.snapshot", "-f", file], more].concat())
    }
}

fn daemonset(cpu: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent}}
spec:
  selector: {{matchLabels: {{app: agent}}}}
  template:
    metadata: {{labels: {{app: agent}}}}
    spec:
      containers:
      - name: main
        image: agent:1
        resources: {{requests: {{cpu: {cpu}}}}}
"
    )
}

fn check(output: &Output, status: i32, expected: &[&str]) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(status), "{text}");
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn the_exit_status_tells_safe_from_unsafe_from_wrong() {
    let desk = Desk::new();
    check(&desk.plan("agent.yaml", &[]), 0, &["default/agent: first roll-out", "3 of 3 eligible", "Safe."]);
    desk.write("big.yaml", &daemonset("3"));
    check(&desk.plan("big.yaml", &[]), 2, &["no room    n0, n1, n2: Insufficient cpu", "NOT SAFE."]);
    desk.write("wrong.yaml", &daemonset("much"));
    check(&desk.plan("wrong.yaml", &[]), 1, &["The manifest would be refused:\n  wrong.yaml:1: "]);
    desk.write("broken.yaml", "kind: [");
    check(&desk.plan("broken.yaml", &[]), 1, &["The manifest would be refused:\n  broken.yaml: document 1"]);
    check(&desk.plan("agent.yaml", &["--runs", "many"]), 1, &["invalid value 'many'"]);
    check(&desk.plan("agent.yaml", &["--fail", "node=n9"]), 1, &["there is no node \"n9\" in the fleet"]);
    check(&desk.plan("agent.yaml", &["--failure-rate", "100%"]), 2, &["does not become ready on 3 nodes"]);
    check(&desk.plan("none.yaml", &[]), 1, &["cannot read none.yaml"]);
    check(&desk.run(&["plan", "--help"]), 0, &["Exit status: 0 safe"]);
}

#[test]
fn of_several_objects_only_daemonsets_are_planned() {
    let desk = Desk::new();
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n";
    desk.write(
        "many.yaml",
        &[config, &daemonset("1"), &daemonset("2").replace("name: agent", "name: other")].join("---\n"),
    );
    check(
        &desk.plan("many.yaml", &[]),
        0,
        &["Not planned: ConfigMap settings", "DaemonSet default/agent", "DaemonSet default/other"],
    );
    desk.write("config.yaml", config);
    check(
        &desk.plan("config.yaml", &[]),
        1,
        &["there is no DaemonSet in it", "Not planned: ConfigMap settings"],
    );
}

/// A policy with a canary that somebody promotes.
const POLICY: &str = "apiVersion: everynode.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: careful}
spec:
  selector: {}
  firstRollout: Waves
  waves:
  - {name: canary, nodes: 1, bakeSeconds: 60, gate: Manual}
  - {nodes: \"100%\"}
";

#[test]
fn a_policy_beside_the_daemonset_is_planned_with() {
    let desk = Desk::new();
    desk.write("both.yaml", &[&daemonset("100m"), POLICY].join("---\n"));
    let waits = ["policy     careful: 2 waves", "waits for promotion after wave 1 of 2 (canary)", "Safe."];
    check(&desk.plan("both.yaml", &[]), 0, &waits);
    check(&desk.plan("both.yaml", &["--promote"]), 0, &["wave 2: 2 nodes, 1m", "Safe."]);
    let halts = ["halts in wave 1 of 2 (canary)", "n0 (NotReadyInTime)", "NOT SAFE."];
    check(&desk.plan("both.yaml", &["--fail", "node=n0,after-update"]), 2, &halts);
    let wrong = POLICY.replace("nodes: 1,", "");
    desk.write("wrong.yaml", &[&daemonset("100m"), &wrong[..]].join("---\n"));
    check(
        &desk.plan("wrong.yaml", &[]),
        1,
        &["RolloutPolicy careful: spec.waves[0]: Invalid value: exactly one of"],
    );
}

#[test]
fn a_token_is_good_until_something_moves() {
    let desk = Desk::new();
    let output = desk.plan("agent.yaml", &["-o", "json"]);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let token = plan["plans"][0]["token"].as_str().unwrap();
    check(&desk.plan("agent.yaml", &["--check", token]), 0, &["Nothing has moved since that plan."]);
    desk.write("agent.yaml", &daemonset("200m"));
    check(
        &desk.plan("agent.yaml", &["--check", token]),
        2,
        &["The fleet has moved since that plan: the DaemonSet or its manifest changed."],
    );
    check(&desk.plan("agent.yaml", &["--check", "x"]), 1, &["\"x\" is no token"]);
}

#[test]
fn the_json_form_has_the_documented_fields() {
    let desk = Desk::new();
    desk.write("both.yaml", &[&daemonset("100m"), POLICY].join("---\n"));
    let fails = ["--fail", "node=n1,after-update", "--promote"];
    let output = desk.plan("both.yaml", &[&["-o", "json", "--start", "20s"], &fails[..]].concat());
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let documented = include_str!("../../../docs/plan.md");
    assert_eq!(
        common::undocumented(&all, documented),
        Vec::<String>::new(),
        "docs/plan.md does not tell of these"
    );
    assert_eq!(all["plans"][0]["policy"]["failed"][0]["node"], "n1");
}

#[test]
fn snapshots_that_cannot_be_used_are_told_apart() {
    let desk = Desk::new();
    let whole = std::fs::read(desk.path("fleet.snapshot")).unwrap();
    let plan = |bytes: &[u8]| {
        std::fs::write(desk.path("bad.snapshot"), bytes).unwrap();
        desk.run(&["plan", "--snapshot", "bad.snapshot", "-f", "agent.yaml"])
    };
    check(&plan(&whole[..whole.len() - 3]), 1, &["snapshot bad.snapshot: ", "cut off after 3 records"]);
    check(&plan(b"apiVersion: v1\nkind: Node\n"), 1, &["this is no snapshot: it is not compressed"]);
    let missing = desk.run(&["plan", "--snapshot", "none", "-f", "agent.yaml"]);
    check(&missing, 1, &["snapshot none: No such file"]);
}

#[test]
fn a_snapshot_that_fails_leaves_no_file() {
    let desk = Desk::new();
    let config = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
                  clusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
                  users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n";
    desk.write("kubeconfig", config);
    let output = desk.run(&["snapshot", "--kubeconfig", "kubeconfig", "new.snapshot"]);
    check(&output, 1, &["cannot list daemonsets"]);
    let entries = std::fs::read_dir(desk.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let snapshots = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("new.snapshot");
    assert_eq!(entries.filter(snapshots).count(), 0);
}

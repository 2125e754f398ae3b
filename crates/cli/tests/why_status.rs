//! `everynode why` and `everynode status` as people and pipelines see them: offline, against a cluster, as a plugin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test may panic")]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use common::watch::Watch;
use common::{Cluster, eventually, everynode};
use everynode_client::content_type;
use everynode_plan::file::{Header, VERSION, Writer};
use everynode_plan::record::{Node, Record, Taint};
use everynode_testkit::{have_bash, have_kubectl, have_terminal};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const TAKEN_AT: i64 = 1_790_000_000;

/// A snapshot of three nodes, one of them tainted, and a DaemonSet that no controller has seen.
fn snapshot(path: &Path) {
    let header = Header { format: VERSION, taken_at: TAKEN_AT, salt: "s".into(), writer: "test".into() };
    let mut writer = Writer::new(File::create(path).unwrap(), header).unwrap();
    let daemonset = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "logging", "uid": "11111111-1111-4111-8111-111111111111",
            "generation": 1},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": {"metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": "agent:1"}]}},
        },
    });
    writer.write(&Record::DaemonSet(daemonset)).unwrap();
    let failed = json!({"node": "n0", "reason": "NodeNotReady", "at": "2026-09-21T14:00:00Z"});
    let policy = json!({
        "metadata": {"name": "careful", "namespace": "logging", "uid": "44444444-4444-4444-8444-444444444444"},
        "spec": {"selector": {}, "waves": [{"nodes": 1}, {"nodes": "100%"}]},
        "status": {"daemonSets": {"agent": {"failedNodes": [failed], "exemptNodes": ["n1"]}}},
    });
    writer.write(&Record::RolloutPolicy(policy)).unwrap();
    for index in 0..3 {
        let taint =
            Taint { key: "gpu".into(), value: "yes".into(), effect: "NoSchedule".into(), ..Taint::default() };
        let node = Node {
            name: format!("n{index}").into(),
            taints: if index == 2 { vec![taint] } else { Vec::new() },
            ready: "True".into(),
            ..Node::default()
        };
        writer.write(&Record::Node(node)).unwrap();
    }
    writer.finish(Vec::new()).unwrap();
}

/// A directory with the snapshot `fleet.snapshot`.
fn desk() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    snapshot(&directory.path().join("fleet.snapshot"));
    directory
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = everynode();
    command.args(arguments).current_dir(directory).env_remove("KUBECONFIG").env("HOME", directory);
    command.output().unwrap()
}

/// Runs the command and demands its status and these parts of what it says.
fn check(directory: &Path, arguments: &[&str], status: i32, parts: &[&str]) -> String {
    let output = run(directory, arguments);
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{text}");
    for part in parts {
        assert!(text.contains(part), "{arguments:?}: {part:?} is not in:\n{text}");
    }
    text
}

#[test]
fn a_snapshot_is_asked_offline() {
    let desk = desk();
    let check = |arguments: &[&str], status, parts: &[&str]| {
        check(desk.path(), &[arguments, &["--snapshot", "fleet.snapshot"]].concat(), status, parts)
    };
    let why = ["why", "ds/agent", "-n", "logging"];
    check(
        &why,
        0,
        &["2 of 3 nodes should run it", "no controller has looked at generation 1", "gpu=yes:NoSchedule"],
    );
    let node = [&why[..], &["node/n2"]].concat();
    check(
        &node,
        0,
        &["logging/agent on n2: does not run, and should not", "kubectl taint node n2 gpu=yes:NoSchedule-"],
    );
    let text = check(&[&node[..], &["-o", "json"]].concat(), 0, &[]);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["class"], &value["reason"]["kind"]), (&json!("notEligible"), &json!("taint")));
    let text = check(&[&node[..], &["-o", "yaml"]].concat(), 0, &[]);
    let read = everynode_apimachinery::manifest::documents(&text);
    assert_eq!(read[0].as_ref().unwrap().value, value, "{text}");
    check(&["status", "-A"], 0, &["logging    agent      0/2        0/2  ┄┄┄┄┄┄┄┄┄┄┄┄  not looked at"]);
    check(&["status", "-A", "--by", "rack"], 0, &["all nodes  □□·"]);
    check(&["status"], 0, &["There is no DaemonSet in namespace default, and 1 elsewhere: -A shows it."]);
}

#[test]
fn the_json_forms_have_the_documented_fields() {
    let desk = desk();
    let documented = include_str!("../../../docs/why-status.md");
    for arguments in [
        &["status", "-A"][..],
        &["why", "ds/agent", "-n", "logging"],
        &["why", "ds/agent", "-n", "logging", "node/n0"],
        &["why", "ds/agent", "-n", "logging", "node/n2"],
    ] {
        let text = check(
            desk.path(),
            &[arguments, &["--snapshot", "fleet.snapshot", "-o", "json"]].concat(),
            0,
            &[],
        );
        assert_eq!(
            common::undocumented(&serde_json::from_str(&text).unwrap(), documented),
            Vec::<String>::new(),
            "docs/why-status.md does not tell of these of {arguments:?}"
        );
    }
}

#[test]
fn bad_input_is_explained() {
    let desk = desk();
    let check = |arguments: &[&str], status, parts: &[&str]| check(desk.path(), arguments, status, parts);
    let with = ["--snapshot", "fleet.snapshot"];
    let asked = |arguments: &[&'static str]| [arguments, &with[..]].concat();
    check(
        &asked(&["why", "ds/agnet"]),
        1,
        &["there is no DaemonSet default/agnet", "hint: there is logging/agent"],
    );
    check(
        &asked(&["why", "ds/agent", "-n", "logging", "node/n9"]),
        1,
        &["there is no Node n9", "n0, n1 or n2"],
    );
    check(&asked(&["why", "deployment/web"]), 2, &["deployment is another kind: write daemonset/NAME"]);
    check(&asked(&["why", "ds/agent", "pod/x"]), 2, &["pod is another kind: write node/NAME"]);
    check(&asked(&["why", "agent"]), 2, &["write daemonset/agent"]);
    check(
        &asked(&["status", "agnet", "-n", "logging"]),
        1,
        &["there is no DaemonSet agnet in namespace logging"],
    );
    check(&asked(&["status", "agent"]), 1, &["there is one in namespace logging: add -n logging"]);
    check(&asked(&["status", "-w"]), 2, &["cannot be used with"]);
    check(&asked(&["status", "-o", "toml"]), 2, &["invalid value 'toml'"]);
    check(&["status", "--kubeconfig", "missing"], 1, &["hint: name a kubeconfig"]);
    let whole = std::fs::read(desk.path().join("fleet.snapshot")).unwrap();
    std::fs::write(desk.path().join("cut"), &whole[..whole.len() - 9]).unwrap();
    check(&["status", "--snapshot", "cut"], 1, &["snapshot cut: ", "cut off"]);
    check(&["why", "--help"], 0, &["Exit status: 0 answered"]);
    check(&["status", "--help"], 0, &["Exit status: 0 shown"]);
}

#[test]
fn colours_are_left_out_of_pipes_and_where_they_are_not_wanted() {
    let desk = desk();
    let has_colours = |arguments: &[&str], no_color: bool| {
        let mut command = everynode();
        command
            .args(["status", "-A", "--snapshot", "fleet.snapshot"])
            .args(arguments)
            .current_dir(desk.path());
        if no_color {
            command.env("NO_COLOR", "1");
        }
        command.output().unwrap().stdout.contains(&0x1b)
    };
    assert!(!has_colours(&[], false), "a pipe gets none");
    assert!(has_colours(&["--color", "always"], false));
    assert!(!has_colours(&["--color", "never"], false) && !has_colours(&[], true));
}

#[test]
fn the_program_is_a_plugin_of_kubectl_under_that_name() {
    let desk = desk();
    let plugin = desk.path().join("kubectl-everynode");
    symlink(env!("CARGO_BIN_EXE_everynode"), &plugin).unwrap();
    let run = |command: &mut Command| {
        let output = command.current_dir(desk.path()).output().unwrap();
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
    };
    let help = run(Command::new(&plugin).args(["plan", "--help"]));
    assert!(help.contains("Usage: kubectl everynode plan [OPTIONS]"), "{help}");
    let wrong = run(Command::new(&plugin).args(["status", "--wrong"]));
    assert!(wrong.contains("Usage: kubectl everynode status"), "{wrong}");
    if have_kubectl() {
        let path = format!("{}:{}", desk.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut kubectl = Command::new("kubectl");
        kubectl.args(["everynode", "status", "-A", "--snapshot", "fleet.snapshot"]);
        let text = run(kubectl.env("PATH", &path));
        assert!(text.contains("logging    agent"), "{text}");
        symlink(env!("CARGO_BIN_EXE_everynode"), desk.path().join("kubectl_complete-everynode")).unwrap();
        let mut kubectl = Command::new("kubectl");
        let text = run(kubectl.args(["__complete", "everynode", "rollout", "pa"]).env("PATH", &path));
        assert!(text.starts_with("pause\t"), "{text}");
    }
}

#[test]
fn shells_get_a_script_that_completes_every_command() {
    let desk = desk();
    for shell in ["bash", "zsh", "fish"] {
        check(desk.path(), &["completion", shell], 0, &["snapshot", "status", "why", "plan", "completion"]);
    }
    check(desk.path(), &["completion", "tcsh"], 2, &["possible values: bash, zsh, fish"]);
    let script = desk.path().join("script");
    std::fs::write(&script, run(desk.path(), &["completion", "bash"]).stdout).unwrap();
    if have_bash() {
        let status = Command::new("bash").arg("-n").arg(&script).status().unwrap();
        assert!(status.success(), "bash cannot read it");
    }
}

const MANIFEST: &str = "apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers: [{name: main, image: \"example/agent:1\"}]
";

#[tokio::test]
async fn a_policy_that_halts_is_seen_on_a_cluster() {
    let manifest = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(manifest.path(), MANIFEST).unwrap();
    let file = manifest.path().display().to_string();
    let start = move || Cluster::start(&["--nodes", "4", "-f", &file, "--pod-start", "50ms"]);
    let cluster = tokio::task::spawn_blocking(start).await.unwrap();
    let kubeconfig = cluster.kubeconfig.display().to_string();
    let watch = Watch::of(&cluster.kubeconfig, &["status", "-w"]);
    watch.wait_for("4/4        4/4  ━━━━━━━━━━━━  complete");
    let client = cluster.client().await;
    let policy = json!({
        "apiVersion": "everynode.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "careful"},
        "spec": {"selector": {}, "waves": [{"name": "canary", "nodes": 1}, {"nodes": "100%"}]},
    });
    let policies = "/apis/everynode.dev/v1alpha1/namespaces/default/rolloutpolicies";
    client.post(policies, policy.to_string()).await.unwrap();
    let written = async |phase: &str| {
        eventually(&format!("the controller says {phase} of the policy"), LIMIT, async || {
            let read: Value =
                serde_json::from_slice(&client.get(&format!("{policies}/careful")).await.unwrap()).unwrap();
            if read["status"]["phase"] == phase { Ok(()) } else { Err(read["status"].to_string()) }
        })
        .await;
    };
    written("Complete").await;
    let container = json!([{"name": "main", "image": "example/agent:non-existent"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": container}}}}).to_string();
    let path = "/apis/apps/v1/namespaces/default/daemonsets/agent";
    client.patch(path, content_type::STRATEGIC_MERGE_PATCH, patch).await.unwrap();
    watch.wait_for("careful: halted in wave 1 of 2 (canary); failed: node-1 (");
    assert!(watch.end().success(), "Ctrl-C ends it well");
    // Who looks before takes the roll-out for one that begins now.
    written("Halted").await;
    let run = |arguments: &[&str]| {
        let output = everynode().args(arguments).args(["--kubeconfig", &kubeconfig]).output().unwrap();
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
    };
    for (node, part) in [("node/node-3", "policy careful halted"), ("node/node-1", "counts it as failed")] {
        let text = run(&["why", "ds/agent", node]);
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// Waits until a command says all of this of a cluster.
async fn says(cluster: &Cluster, arguments: &[&str], parts: &[&str]) {
    eventually(&format!("{arguments:?} says {parts:?}"), LIMIT, async || {
        let output =
            everynode().args(arguments).arg("--kubeconfig").arg(&cluster.kubeconfig).output().unwrap();
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
        assert!(output.status.success(), "{text}");
        if parts.iter().all(|part| text.contains(part)) { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test]
async fn pods_that_are_refused_promise_no_end_and_say_by_what() {
    let manifest = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let refused = MANIFEST.replace("    spec:\n", "    spec:\n      serviceAccountName: not-there\n");
    assert_ne!(refused, MANIFEST);
    std::fs::write(manifest.path(), refused).unwrap();
    let file = manifest.path().display().to_string();
    let started = tokio::task::spawn_blocking(move || Cluster::start(&["--nodes", "2", "-f", &file]));
    let cluster = started.await.unwrap();
    // Nothing happens any more: time tells.
    Watch::of(&cluster.kubeconfig, &["status", "-w"]).wait_for("2 not available");
    let refusal = "serviceaccount \"not-there\" not found";
    let problem = "problem  pods are refused on 2 nodes: pods \"agent-\" is forbidden";
    says(&cluster, &["status"], &["2 not available", problem, refusal, "would change it: this is mended: "])
        .await;
    says(&cluster, &["why", "ds/agent"], &["would change it: this is mended: Error creating", refusal]).await;
    says(&cluster, &["why", "ds/agent", "node/node-1"], &["change it  this is mended: ", refusal]).await;
}

#[tokio::test]
async fn a_roll_out_that_fails_is_seen_on_a_cluster() {
    let manifest = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(manifest.path(), MANIFEST).unwrap();
    let file = manifest.path().display().to_string();
    let cluster = tokio::task::spawn_blocking(move || {
        Cluster::start(&["--nodes", "4", "-f", &file, "--pod-start", "50ms"])
    })
    .await
    .unwrap();
    let says = async |arguments: &[&str], parts: &[&str]| says(&cluster, arguments, parts).await;
    says(&["status"], &["default    agent      4/4        4/4  ━━━━━━━━━━━━  complete"]).await;
    says(&["why", "ds/agent", "node/node-2"], &["default/agent on node-2: runs, available"]).await;

    let watch = Watch::of(&cluster.kubeconfig, &["status", "-w"]);
    watch.wait_for("complete");
    let client = cluster.client().await;
    let container = json!([{"name": "main", "image": "example/agent:non-existent"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": container}}}}).to_string();
    let path = "/apis/apps/v1/namespaces/default/daemonsets/agent";
    client.patch(path, content_type::STRATEGIC_MERGE_PATCH, patch).await.unwrap();
    watch.wait_for("the image of container main cannot be pulled");
    assert!(watch.end().success(), "Ctrl-C ends it well");

    let parts =
        ["should run, and is not available", "cannot be pulled", "maxUnavailable 1, 1 in use; this node"];
    says(&["why", "daemonset/agent", "node/node-1"], &parts).await;
    let parts = ["of an old revision", "maxUnavailable 1 is used up", "by node-1"];
    says(&["why", "daemonset/agent", "node/node-3"], &parts).await;
    let parts = ["1/4", "3/4", "budget   maxUnavailable 1, 1 in use", "cannot be pulled"];
    says(&["status"], &parts).await;
    says(&["status", "--nodes"], &["✗", "▪"]).await;
}

/// What gives a terminal back: the main screen, the cursor, the wrapping of lines.
const GIVEN_BACK: [&str; 3] = ["\u{1b}[?1049l", "\u{1b}[?25h", "\u{1b}[?7h"];

#[test]
fn ctrl_c_leaves_the_terminal_as_it_was() {
    if !have_terminal() {
        return;
    }
    let cluster = Cluster::start(&["--nodes", "1"]);
    // With exec, as a shell that stays in between would end by the signal too.
    let command = format!(
        "exec {} status -A -w --kubeconfig {}",
        env!("CARGO_BIN_EXE_everynode"),
        cluster.kubeconfig.display()
    );
    let mut terminal = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("TERM", "xterm")
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let mut screen = terminal.stdout.take().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = screen.read(&mut chunk) {
            let _ = tell.send(chunk[..length].to_vec());
        }
    });
    let (mut seen, mut pressed) = (Vec::new(), false);
    loop {
        match told.recv_timeout(LIMIT) {
            Ok(chunk) => seen.extend(chunk),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("it goes on: {:?}", String::from_utf8_lossy(&seen)),
        }
        if !pressed && String::from_utf8_lossy(&seen).contains("There is no DaemonSet.") {
            keys.write_all(&[3]).unwrap();
            pressed = true;
        }
    }
    let seen = String::from_utf8_lossy(&seen);
    let status = terminal.wait().unwrap();
    assert!(status.success(), "Ctrl-C ends it well, not with {status} after {seen:?}");
    let (_, after) = seen.rsplit_once("\u{1b}[?2026l").expect("tables are drawn");
    for sequence in GIVEN_BACK {
        assert!(after.contains(sequence), "{sequence:?} is not in {after:?}");
    }
    assert!(after.trim_end().ends_with("There is no DaemonSet."), "the last table stays: {after:?}");
}

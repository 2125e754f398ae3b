//! The tour of a kubectl user, on one small cluster, in the order in which one would take it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod common;

use everynode_testkit::have_kubectl;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::Cluster;
use serde_json::Value;

const AGENT: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: agent
  labels: {tier: node}
spec:
  selector:
    matchLabels: {app: agent}
  template:
    metadata:
      labels: {app: agent}
    spec:
      containers:
        - name: main
          image: example/agent:1
"#;

struct Tour {
    cluster: Cluster,
    manifest: String,
}

impl Tour {
    fn run(&self, args: &[&str]) -> String {
        self.cluster.kubectl_ok(args)
    }

    fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.extend(["-o", "json"]);
        serde_json::from_str(&self.run(&args)).unwrap()
    }

    /// Runs kubectl until what it prints holds, or fails with what it printed last.
    fn until(&self, args: &[&str], holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + common::LIMIT;
        loop {
            let output = self.cluster.kubectl(args);
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() && holds(&printed) {
                return printed;
            }
            assert!(Instant::now() < deadline, "kubectl {args:?} keeps printing {printed}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn rolled_out(&self) {
        let printed = self.run(&["rollout", "status", "daemonset/agent", "--timeout=60s"]);
        assert!(printed.ends_with("daemon set \"agent\" successfully rolled out\n"), "{printed}");
    }

    fn pods(&self) -> Vec<(String, String)> {
        let pods = self.json(&["get", "pods", "-l", "app=agent"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let live =
            pods["items"].as_array().unwrap().iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null());
        let mut pods: Vec<_> =
            live.map(|p| (text(&p["spec"]["nodeName"]), text(&p["metadata"]["name"]))).collect();
        pods.sort();
        pods
    }

    fn nodes_with_a_pod(&self, expected: &[&str]) {
        let deadline = Instant::now() + common::LIMIT;
        loop {
            let pods = self.pods();
            if pods.iter().map(|(node, _)| node.as_str()).eq(expected.iter().copied()) {
                return;
            }
            assert!(Instant::now() < deadline, "pods stay on {pods:?}, expected {expected:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_kubectl_user_finds_what_a_cluster_has() {
    if !have_kubectl() {
        return;
    }
    let cluster = Cluster::start(&["--nodes", "3", "--pod-start", "50ms"]);
    let manifest = cluster.directory().join("agent.yaml");
    std::fs::write(&manifest, AGENT).unwrap();
    let tour = Tour { cluster, manifest: manifest.to_str().unwrap().to_owned() };
    apply_and_look(&tour);
    watch(&tour);
    roll_and_undo(&tour);
    target_nodes(&tour);
    drain_and_delete(&tour);
    orphan_and_adopt(&tour);
    see_what_is_used(&tour);
    lose_a_node(&tour);
}

fn apply_and_look(tour: &Tour) {
    let nodes = tour.until(&["get", "nodes"], |printed| printed.matches(" Ready ").count() == 3);
    assert!(nodes.starts_with("NAME"), "{nodes}");
    let diff = tour.cluster.kubectl(&["diff", "-f", &tour.manifest]);
    assert_eq!(diff.status.code(), Some(1), "a new object is a difference");
    assert_eq!(tour.run(&["apply", "-f", &tour.manifest]), "daemonset.apps/agent created\n");
    tour.rolled_out();
    assert_eq!(tour.run(&["apply", "-f", &tour.manifest]), "daemonset.apps/agent unchanged\n");
    assert_eq!(tour.cluster.kubectl(&["diff", "-f", &tour.manifest]).status.code(), Some(0));
    let wide = tour.run(&["get", "daemonsets", "-o", "wide"]);
    let mut lines = wide.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let heading =
        "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE CONTAINERS IMAGES SELECTOR";
    assert_eq!(lines.next().unwrap(), heading);
    let row = lines.next().unwrap();
    assert!(row.starts_with("agent 3 3 3 3 3 <none> "), "{row}");
    assert!(row.ends_with(" main example/agent:1 app=agent"), "{row}");
    let described = tour.run(&["describe", "daemonset", "agent"]);
    for line in [
        "Desired Number of Nodes Scheduled: 3",
        "Number of Nodes Scheduled with Available Pods: 3",
        "Pods Status:  3 Running / 0 Waiting / 0 Succeeded / 0 Failed",
        "SuccessfulCreate",
    ] {
        assert!(described.contains(line), "{line:?} is missing in\n{described}");
    }
    assert!(tour.run(&["get", "all"]).contains("daemonset.apps/agent"));
    assert!(tour.run(&["explain", "daemonset.spec.updateStrategy"]).contains("rollingUpdate"));
    assert_eq!(tour.run(&["auth", "can-i", "create", "daemonsets"]), "yes\n");
}

fn see_what_is_used(tour: &Tour) {
    let nodes = tour.until(&["top", "nodes", "--no-headers"], |printed| printed.lines().count() >= 2);
    assert!(nodes.lines().all(|line| line.contains("m ") && line.contains("Mi ")), "{nodes}");
    // A pod has figures once it has run for a window.
    let pods = ["top", "pods", "-l", "app=agent", "--containers", "--no-headers"];
    tour.until(&pods, |printed| printed.lines().filter(|line| line.contains(" main ")).count() >= 2);
}

fn watch(tour: &Tour) {
    let mut watch = common::kubectl(&tour.cluster.kubeconfig)
        .args(["get", "daemonset", "agent", "-w", "--no-headers"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("agent"), "{first}");
    tour.run(&["set", "image", "daemonset/agent", "main=example/agent:2"]);
    tour.rolled_out();
    let mut rows = lines.map(|line| {
        let line = line.unwrap();
        line.split_whitespace().skip(1).take(5).map(str::to_owned).collect::<Vec<_>>()
    });
    assert!(rows.any(|row| row[3] != "3"), "the watch shows that pods are out of date");
    assert!(rows.any(|row| row == ["3", "3", "3", "3", "3"]), "the watch shows the end of the roll-out");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

fn roll_and_undo(tour: &Tour) {
    let patch =
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}"#;
    tour.run(&["patch", "daemonset", "agent", "-p", patch]);
    tour.rolled_out();
    let image =
        tour.json(&["get", "daemonset", "agent"])["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!((&image["image"], &image["env"][0]["value"]), (&"example/agent:2".into(), &"1".into()));
    let history = tour.run(&["rollout", "history", "daemonset/agent"]);
    assert!(history.contains("\n1 ") && history.contains("\n2 ") && history.contains("\n3 "), "{history}");
    let before = tour.pods();
    // A kubectl of the server's age skips this; an older one, whose templates encode differently, patches.
    tour.run(&["rollout", "undo", "daemonset/agent", "--to-revision=3"]);
    tour.rolled_out();
    assert_eq!(tour.pods(), before, "going back to where one is restarts nothing");
    tour.run(&["rollout", "undo", "daemonset/agent"]);
    tour.rolled_out();
    let env =
        tour.json(&["get", "daemonset", "agent"])["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    assert!(env.is_null(), "the undo took the variable away: {env}");
    let after = tour.pods();
    assert!(before.iter().zip(&after).all(|(a, b)| a != b), "every pod was replaced");
    tour.run(&["rollout", "restart", "daemonset/agent"]);
    tour.rolled_out();
    assert!(tour.pods().iter().zip(&after).all(|(a, b)| a != b), "a restart replaces every pod");
    let error = tour.cluster.kubectl(&["rollout", "undo", "daemonset/agent", "--to-revision=99"]);
    assert!(String::from_utf8_lossy(&error.stderr).contains("unable to find specified revision"));
}

fn target_nodes(tour: &Tour) {
    let selector = r#"{"spec":{"template":{"spec":{"nodeSelector":{"pool":"blue"}}}}}"#;
    tour.run(&["patch", "daemonset", "agent", "-p", selector]);
    tour.nodes_with_a_pod(&[]);
    tour.run(&["label", "node", "node-1", "node-2", "pool=blue"]);
    tour.nodes_with_a_pod(&["node-1", "node-2"]);
    tour.run(&["label", "node", "node-1", "pool-"]);
    tour.nodes_with_a_pod(&["node-2"]);
    tour.run(&["taint", "node", "node-2", "dedicated=db:NoExecute"]);
    tour.nodes_with_a_pod(&[]);
    tour.run(&["taint", "node", "node-2", "dedicated-"]);
    tour.nodes_with_a_pod(&["node-2"]);
    tour.run(&["label", "node", "node-1", "node-2", "node-3", "pool=blue", "--overwrite"]);
    tour.nodes_with_a_pod(&["node-1", "node-2", "node-3"]);
    tour.rolled_out();
}

fn drain_and_delete(tour: &Tour) {
    tour.run(&["cordon", "node-1"]);
    assert!(tour.run(&["get", "node", "node-1"]).contains("Ready,SchedulingDisabled"));
    let drained = tour.run(&["drain", "node-1", "--ignore-daemonsets", "--timeout=30s"]);
    assert!(drained.contains("node/node-1 drained"), "{drained}");
    tour.nodes_with_a_pod(&["node-1", "node-2", "node-3"]);
    tour.run(&["uncordon", "node-1"]);
    let (_, victim) = tour.pods().remove(0);
    tour.run(&["delete", "pod", &victim]);
    tour.nodes_with_a_pod(&["node-1", "node-2", "node-3"]);
    assert!(tour.pods().iter().all(|(_, name)| *name != victim), "the deleted pod was replaced");
    tour.run(&["wait", "--for=condition=Ready", "pod", "-l", "app=agent", "--timeout=30s"]);
}

fn orphan_and_adopt(tour: &Tour) {
    let before = tour.pods();
    std::fs::write(
        &tour.manifest,
        serde_json::to_string(&tour.json(&["get", "daemonset", "agent"])).unwrap(),
    )
    .unwrap();
    tour.run(&["delete", "daemonset", "agent", "--cascade=orphan"]);
    assert_eq!(tour.pods(), before, "orphans stay");
    tour.run(&["create", "-f", &tour.manifest]);
    tour.rolled_out();
    assert_eq!(tour.pods(), before, "the new DaemonSet adopted them, and restarted none");
}

fn lose_a_node(tour: &Tour) {
    tour.run(&["delete", "node", "node-3"]);
    let row =
        |printed: &str| printed.split_whitespace().skip(1).take(5).map(str::to_owned).collect::<Vec<_>>();
    tour.until(&["get", "daemonset", "agent", "--no-headers"], |printed| row(printed) == ["2"; 5]);
    tour.run(&["delete", "daemonset", "agent"]);
    // The pod of the vanished node stays for some 40 seconds more, as nobody is left to end it there.
    let on_nodes =
        ["get", "pods", "-l", "app=agent", "--field-selector", "spec.nodeName!=node-3", "-o", "name"];
    tour.until(&on_nodes, |printed| printed.is_empty());
    tour.until(&["get", "controllerrevisions", "-o", "name"], |printed| printed.is_empty());
}

//! Text of pods and nodes that acts on the terminal of who looks at them.

use everynode_client::content_type;
use serde_json::json;

use crate::common::{Cluster, LIMIT, eventually, everynode, get};

/// Moves up a line and writes over it, ends a line, turns the direction of writing.
const MESSAGE: &str = "bad\x1b[1A\x1b[2K\rdaemonset.apps/fine\nDESIRED 1 of 1 available\u{202e}gpj\u{9b}2J";

fn acts(text: &str) -> bool {
    text.contains(|c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}'))
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_reach_people_on_one_line_and_programs_as_they_are() {
    let cluster = Cluster::start(&["--nodes", "0", "--no-controller"]);
    let client = cluster.client().await;
    let daemon = include_str!("daemon.json");
    client.post("/apis/apps/v1/namespaces/default/daemonsets", daemon).await.unwrap();
    let uid =
        get(&client, "/apis/apps/v1/namespaces/default/daemonsets/agent").await["metadata"]["uid"].clone();
    let ready = json!([{"type": "Ready", "status": "True", "reason": "R", "message": MESSAGE}]);
    let node = json!({"metadata": {"name": "node-1"}, "status": {"conditions": ready, "allocatable": {"pods": "9"}}});
    client.post("/api/v1/nodes", node.to_string()).await.unwrap();
    let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": uid, "controller": true});
    let pod = json!({
        "metadata": {"name": "agent-1", "labels": {"app": "agent"}, "ownerReferences": [owner]},
        "spec": {"nodeName": "node-1", "containers": [{"name": "agent", "image": "example.com/agent:1"}]},
    });
    let pods = "/api/v1/namespaces/default/pods";
    eventually("the pod is taken", LIMIT, async || {
        client.post(pods, pod.to_string()).await.map_err(|error| error.to_string())
    })
    .await;
    let waiting = json!({"waiting": {"reason": "CreateContainerConfigError", "message": MESSAGE}});
    let status = json!({"status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False", "reason": "R", "message": MESSAGE}],
        "containerStatuses": [{"name": "agent", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                               "state": waiting}],
    }});
    let merge = content_type::STRATEGIC_MERGE_PATCH;
    client.patch(&format!("{pods}/agent-1/status"), merge, status.to_string()).await.unwrap();
    let involved = json!({"kind": "Pod", "namespace": "default", "name": "agent-1"});
    let event = json!({
        "metadata": {"name": "e"}, "involvedObject": involved, "reason": "Bad", "message": MESSAGE, "type": "Warning",
        "lastTimestamp": "2026-01-02T03:04:05Z",
    });
    client.post("/api/v1/namespaces/default/events", event.to_string()).await.unwrap();
    let run = |args: &[&str]| {
        let output = everynode().args(args).arg("--kubeconfig").arg(&cluster.kubeconfig).output().unwrap();
        assert!(output.status.code() != Some(101), "{args:?}");
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let manifest = cluster.directory().join("agent.json");
    let changed = daemon
        .replacen('{', "{\"apiVersion\": \"apps/v1\", \"kind\": \"DaemonSet\",", 1)
        .replace("agent:1", "agent:2");
    std::fs::write(&manifest, changed).unwrap();
    let plan = ["plan", "-f", manifest.to_str().unwrap()];
    let mut told = 0;
    for args in [
        &["status"][..],
        &["status", "-o", "wide"],
        &["why", "daemonset/agent"],
        &["why", "daemonset/agent", "node/node-1"],
        &plan,
    ] {
        let (out, err) = run(args);
        assert!(!out.is_empty() || !err.is_empty(), "{args:?}");
        for text in [&out, &err] {
            assert!(!acts(text), "{args:?}: {text:?}");
            assert!(
                !text.lines().any(|line| line.starts_with("DESIRED 1 of 1")),
                "{args:?} shows a line of the pod's:\n{text}"
            );
            told += usize::from(text.contains("\\u{1b}[1A"));
        }
    }
    assert!(told > 0, "somebody tells the message: {}", run(&["why", "daemonset/agent", "node/node-1"]).0);
    let (out, _) = run(&["why", "daemonset/agent", "node/node-1", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(json.to_string().contains(&serde_json::Value::from(MESSAGE).to_string()), "{json:#}");
}

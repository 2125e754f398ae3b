//! Static pods of an agent: pods of files, which the API shows by mirrors.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod support;

use everynode_model::Value;
use everynode_testkit::wait::eventually;
use support::{LIMIT, Stage, container, is_ready};

fn manifest(name: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  hostNetwork: true\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - {{name: c, image: \"example.com/daemon:1\", command: [{command}]}}\n"
    )
}

fn write(stage: &Stage, file: &str, text: &str) {
    std::fs::create_dir_all(stage.path("manifests")).unwrap();
    std::fs::write(stage.path("manifests").join(file), text).unwrap();
}

/// The commands of the containers that run.
async fn until_runs(stage: &Stage, expected: &[&str]) {
    eventually("the containers run", LIMIT, async || {
        let containers = stage.runtime.containers();
        let running = containers.iter().filter(|one| one.state == 1);
        let configs = running.map(|one| stage.runtime.container_config(&one.id).unwrap().command.concat());
        let mut commands: Vec<String> = configs.collect();
        commands.sort();
        if commands == expected { Ok(()) } else { Err(format!("{commands:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_pod_runs_as_its_file_says_and_the_api_shows_it() {
    let mut stage = Stage::start().await;
    write(&stage, "bad.yaml", "kind: Nonsense");
    write(&stage, "web.yaml", &manifest("web", "/first"));
    let mirror = stage.until("web-real", "the mirror runs", is_ready).await;
    until_runs(&stage, &["/first"]).await;
    let annotations = &mirror["metadata"]["annotations"];
    assert_eq!(annotations["kubernetes.io/config.source"], "file");
    assert_eq!(annotations["kubernetes.io/config.mirror"], annotations["kubernetes.io/config.hash"]);
    assert_eq!(mirror["metadata"]["ownerReferences"][0]["kind"], "Node");

    // Who deletes the mirror deletes nothing: it comes again, and the container goes on.
    stage.delete("web-real").await;
    let is_new = |pod: &Value| is_ready(pod) && pod["metadata"]["uid"] != mirror["metadata"]["uid"];
    let again = stage.until("web-real", "another mirror", is_new).await;
    assert_eq!(container(&again)["containerID"], container(&mirror)["containerID"]);

    // Another agent goes on with it.
    stage.stop_agent().await;
    stage.start_agent().await;
    write(&stage, "web.yaml", &manifest("web", "/second"));
    until_runs(&stage, &["/second"]).await;
    let is_other = |pod: &Value| {
        let hash = &pod["metadata"]["annotations"]["kubernetes.io/config.hash"];
        is_ready(pod) && *hash != annotations["kubernetes.io/config.hash"]
    };
    stage.until("web-real", "the mirror of the changed pod", is_other).await;

    std::fs::remove_file(stage.path("manifests/web.yaml")).unwrap();
    stage.until("web-real", "the mirror goes", Value::is_null).await;
    stage.until_empty().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_went_or_changed_while_nobody_looked_counts_too() {
    let mut stage = Stage::start().await;
    write(&stage, "gone.yaml", &manifest("gone", "/gone"));
    write(&stage, "web.yaml", &manifest("web", "/first"));
    for name in ["gone-real", "web-real"] {
        stage.until(name, "the mirror runs", is_ready).await;
    }
    stage.stop_agent().await;
    std::fs::remove_file(stage.path("manifests/gone.yaml")).unwrap();
    write(&stage, "web.yaml", &manifest("web", "/second"));
    stage.start_agent().await;
    stage.until("gone-real", "the mirror goes", Value::is_null).await;
    until_runs(&stage, &["/second"]).await;
    stage.stop().await;
}

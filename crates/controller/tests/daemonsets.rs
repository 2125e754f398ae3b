//! The controller against the embedded API server: the state that a cluster comes to.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::print_stderr)]

#[allow(dead_code, reason = "another test uses the rest")]
mod cluster;

use cluster::{Cluster, DAEMONSETS, EVENTS, PODS, REVISIONS, daemonset, image, target, watch_for_twins};
use everynode_apiserver::{Config, Storage};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

async fn with_nodes(count: usize) -> Cluster {
    let cluster = Cluster::start().await;
    for node in 0..count {
        cluster
            .add_node(&format!("n{node}"), json!({"zone": if node % 2 == 0 { "even" } else { "odd" }}))
            .await;
    }
    cluster
}

fn hash_of(object: &Value) -> String {
    object["metadata"]["labels"]["controller-revision-hash"].as_str().unwrap_or_default().to_owned()
}

fn names(objects: &[Value]) -> Vec<String> {
    let mut names: Vec<String> =
        objects.iter().filter_map(|one| one["metadata"]["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

async fn messages(cluster: &Cluster, reason: &str) -> Vec<String> {
    let events = cluster.list(EVENTS).await;
    let of_reason = events.iter().filter(|event| event["reason"] == reason);
    of_reason.filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eligible_nodes_get_one_pod_each() {
    let cluster = with_nodes(4).await;
    let mut even = daemonset("even", "v1");
    even["spec"]["template"]["spec"]["nodeSelector"] = json!({"zone": "even"});
    cluster.create(DAEMONSETS, even).await;
    cluster.create(DAEMONSETS, daemonset("all", "v1")).await;
    cluster.settled("even", 2).await;
    cluster.settled("all", 4).await;
    assert_eq!(cluster.nodes_of("even").await, ["n0", "n2"]);
    assert_eq!(cluster.nodes_of("all").await, ["n0", "n1", "n2", "n3"]);

    cluster.add_node("n4", json!({"zone": "even"})).await;
    cluster.settled("even", 3).await;
    cluster.merge("/api/v1/nodes/n0", json!({"metadata": {"labels": {"zone": "odd"}}})).await;
    cluster.settled("even", 2).await;
    cluster
        .until("only the nodes that are even now have a pod", async || {
            let nodes = cluster.nodes_of("even").await;
            (nodes == ["n2", "n4"]).then_some(()).ok_or_else(|| format!("{nodes:?}"))
        })
        .await;

    let pod = &cluster.pods("all").await[0];
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["controller"]), (&"DaemonSet".into(), &true.into()));
    assert_eq!(pod["metadata"]["labels"]["pod-template-generation"], "1");
    cluster
        .until("events tell of the pods", async || {
            let created = messages(&cluster, "SuccessfulCreate").await;
            (created.len() >= 8).then_some(()).ok_or_else(|| format!("{created:?}"))
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_stays_within_its_budget() {
    let cluster = with_nodes(6).await;
    let mut object = daemonset("roll", "v1");
    object["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}});
    cluster.create(DAEMONSETS, object).await;
    cluster.settled("roll", 6).await;

    cluster.merge(&format!("{DAEMONSETS}/roll"), image("v2")).await;
    cluster
        .until("all pods are of the new image, and never fewer than four are available", async || {
            let pods = cluster.pods("roll").await;
            let is_ready = |pod: &&Value| pod["status"]["conditions"][0]["status"] == "True";
            let ready = pods.iter().filter(is_ready).count();
            assert!(ready >= 4, "{ready} pods are ready");
            let new = pods.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == "v2").count();
            (new == 6 && ready == 6).then_some(()).ok_or_else(|| format!("{new} are new"))
        })
        .await;
    cluster.settled("roll", 6).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_back_leaves_pods_of_the_old_template_alone() {
    let cluster = with_nodes(4).await;
    cluster.create(DAEMONSETS, daemonset("back", "v1")).await;
    cluster.settled("back", 4).await;
    let before = cluster.pods("back").await;

    cluster.merge(&format!("{DAEMONSETS}/back"), image("never-ready")).await;
    let stuck = cluster
        .until("one pod of the new template is stuck", async || {
            let pods = cluster.pods("back").await;
            let new = pods.iter().find(|pod| pod["spec"]["containers"][0]["image"] == "never-ready");
            new.cloned().ok_or_else(|| format!("{:?}", names(&pods)))
        })
        .await;
    let revisions = cluster.list(REVISIONS).await;
    assert_eq!(revisions.len(), 2);

    let first = revisions.iter().find(|one| one["revision"] == 1).expect("the first revision is kept");
    cluster.merge(&format!("{DAEMONSETS}/back"), image("v1")).await;
    cluster.settled("back", 4).await;
    let (was, is) = (names(&before), names(&cluster.pods("back").await));
    let kept = was.iter().filter(|name| is.contains(name)).count();
    assert_eq!(kept, 3, "only {} was replaced: {was:?} {is:?}", target(&stuck));
    cluster
        .until("the old revision has become the newest", async || {
            let revisions = cluster.list(REVISIONS).await;
            let now = revisions.iter().find(|one| one["metadata"]["name"] == first["metadata"]["name"]);
            let number = now.map(|one| one["revision"].clone()).unwrap_or_default();
            (number == 3).then_some(()).ok_or_else(|| number.to_string())
        })
        .await;
    assert!(cluster.pods("back").await.iter().all(|pod| hash_of(pod) == hash_of(first)));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_are_adopted_without_a_restart() {
    let mut cluster = with_nodes(3).await;
    cluster.create(DAEMONSETS, daemonset("orphan", "v1")).await;
    cluster.settled("orphan", 3).await;
    let before = names(&cluster.pods("orphan").await);

    // As the garbage collector does it for an orphaning deletion: owners out of pods and revisions, then the end.
    cluster.stop_controller().await;
    let options = json!({"propagationPolicy": "Orphan"}).to_string();
    cluster.client.delete(&format!("{DAEMONSETS}/orphan"), options).await.expect("it is deleted");
    for (path, objects) in [(PODS, cluster.list(PODS).await), (REVISIONS, cluster.list(REVISIONS).await)] {
        for name in names(&objects) {
            cluster.merge(&format!("{path}/{name}"), json!({"metadata": {"ownerReferences": null}})).await;
        }
    }
    if cluster.get(&format!("{DAEMONSETS}/orphan")).await.is_some() {
        cluster.merge(&format!("{DAEMONSETS}/orphan"), json!({"metadata": {"finalizers": null}})).await;
    }
    let again = cluster.create(DAEMONSETS, daemonset("orphan", "v1")).await;
    cluster.start_controller();
    cluster.settled("orphan", 3).await;
    let (pods, revisions) = (cluster.pods("orphan").await, cluster.list(REVISIONS).await);
    assert_eq!(names(&pods), before);
    assert_eq!(revisions.len(), 1);
    for object in pods.iter().chain(&revisions) {
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], again["metadata"]["uid"], "{object}");
    }

    // A pod whose labels no longer match is let go and replaced.
    cluster.merge(&format!("{PODS}/{}", before[0]), json!({"metadata": {"labels": {"app": "other"}}})).await;
    cluster
        .until("the pod is released", async || {
            let pod = cluster.get(&format!("{PODS}/{}", before[0])).await.unwrap_or_default();
            let owners = &pod["metadata"]["ownerReferences"];
            owners.is_null().then_some(()).ok_or_else(|| owners.to_string())
        })
        .await;
    cluster.settled("orphan", 3).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_creation_is_told_and_tried_again() {
    let cluster = Cluster::start_with(Config { service_account_admission: true, ..Config::default() }).await;
    cluster.add_node("n0", json!({})).await;
    let mut object = daemonset("needy", "v1");
    object["spec"]["template"]["spec"]["serviceAccountName"] = "missing".into();
    cluster.create(DAEMONSETS, object).await;
    cluster
        .until("an event tells of the refusal", async || {
            let failed = messages(&cluster, "FailedCreate").await;
            let told = failed
                .iter()
                .any(|text| text.starts_with("Error creating: pods \"needy-") && text.contains("missing"));
            told.then_some(()).ok_or_else(|| format!("{failed:?}"))
        })
        .await;
    assert!(cluster.pods("needy").await.is_empty());
    let account = json!({"metadata": {"name": "missing"}});
    cluster.create("/api/v1/namespaces/default/serviceaccounts", account).await;
    cluster.settled("needy", 1).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_being_deleted_gets_no_pods_and_no_event() {
    let cluster = with_nodes(1).await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "doomed"}})).await;
    let daemonsets = "/apis/apps/v1/namespaces/doomed/daemonsets";
    cluster.create(daemonsets, daemonset("d", "v1")).await;
    cluster
        .until("it has its pod", async || {
            let pods = cluster.list("/api/v1/namespaces/doomed/pods").await;
            (pods.len() == 1).then_some(()).ok_or_else(String::new)
        })
        .await;
    cluster.client.delete("/api/v1/namespaces/doomed", "").await.expect("the namespace is deleted");
    cluster.add_node("n1", json!({})).await;
    cluster
        .until("the status counts the new node, and the refused creation", async || {
            let object = cluster.get(&format!("{daemonsets}/d")).await.unwrap_or_default();
            let done = object["status"]["desiredNumberScheduled"] == 2 && cluster.requests("POST") >= 3;
            done.then_some(()).ok_or_else(|| object["status"].to_string())
        })
        .await;
    assert_eq!(cluster.list("/api/v1/namespaces/doomed/pods").await.len(), 1);
    let events = cluster.list("/api/v1/namespaces/doomed/events").await;
    assert!(events.iter().all(|event| event["reason"] != "FailedCreate"), "{events:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_controller_finds_nothing_to_write() {
    let mut cluster = with_nodes(5).await;
    cluster.create(DAEMONSETS, daemonset("calm", "v1")).await;
    cluster.settled("calm", 5).await;
    cluster.stop_controller().await;
    let before = cluster.daemonset("calm").await;

    cluster.start_controller();
    // What is decided about a DaemonSet that comes later is decided after all that was there at the start.
    let mut marker = daemonset("marker", "v1");
    marker["spec"]["template"]["spec"]["nodeSelector"] = json!({"zone": "none"});
    cluster.create(DAEMONSETS, marker).await;
    cluster
        .until("the later DaemonSet was looked at", async || {
            let status = cluster.daemonset("marker").await["status"].clone();
            (status["observedGeneration"] == 1).then_some(()).ok_or_else(|| status.to_string())
        })
        .await;
    assert_eq!(cluster.daemonset("calm").await, before);
    let requests = ["POST", "PUT", "PATCH", "DELETE", "GET"].map(|method| cluster.requests(method));
    assert_eq!(requests, [1, 1, 0, 0, 5], "a revision and a status of the later DaemonSet, and the watches");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_restarts_is_waited_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::Directory(directory.path().join("data"));
    let config = Config { service_account_admission: false, storage, ..Config::default() };
    let mut cluster = Cluster::start_with(config.clone()).await;
    cluster.add_node("n0", json!({})).await;
    cluster.create(DAEMONSETS, daemonset("patient", "v1")).await;
    cluster.settled("patient", 1).await;
    let before = names(&cluster.pods("patient").await);

    cluster.restart_server(config).await;
    cluster.add_node("n1", json!({})).await;
    cluster.settled("patient", 2).await;
    let after = names(&cluster.pods("patient").await);
    assert!(before.iter().all(|name| after.contains(name)), "{before:?} {after:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_of_one_namespace_leaves_the_others_alone() {
    let mut cluster = with_nodes(2).await;
    cluster.stop_controller().await;
    cluster.start_controller_of(Some("default"));
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "other"}})).await;
    cluster.create("/apis/apps/v1/namespaces/other/daemonsets", daemonset("theirs", "v1")).await;
    cluster.create(DAEMONSETS, daemonset("ours", "v1")).await;
    cluster.settled("ours", 2).await;
    let theirs = cluster.get("/apis/apps/v1/namespaces/other/daemonsets/theirs").await.unwrap_or_default();
    assert!(theirs["status"]["observedGeneration"].is_null(), "{theirs}");
    assert!(cluster.list("/api/v1/namespaces/other/pods").await.is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_has_two_pods_of_a_daemonset_whatever_happens() {
    const SEED: u64 = 20_261_123;
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut cluster = with_nodes(6).await;
    let cancel = CancellationToken::new();
    let watcher = tokio::spawn(watch_for_twins(cluster.client.clone(), cancel.clone()));
    for app in ["a", "b"] {
        let mut object = daemonset(app, "v0");
        object["spec"]["updateStrategy"] =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}});
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"zone": "even"});
        cluster.create(DAEMONSETS, object).await;
    }
    for step in 0..60 {
        let (app, node) = (*random.choice(&["a", "b"]).expect("one of two"), random.usize(0..6));
        match random.u8(0..10) {
            0..4 => {
                let zone = if random.bool() { "even" } else { "odd" };
                let patch = json!({"metadata": {"labels": {"zone": zone}}});
                cluster.merge(&format!("/api/v1/nodes/n{node}"), patch).await;
            }
            4..7 => {
                for name in names(&cluster.pods(app).await).iter().take(2) {
                    // It may be gone by now.
                    let _ = cluster.client.delete(&format!("{PODS}/{name}"), "").await;
                }
            }
            7..9 => {
                cluster.merge(&format!("{DAEMONSETS}/{app}"), image(&format!("v{step}"))).await;
            }
            _ => {
                cluster.stop_controller().await;
                cluster.start_controller();
            }
        }
    }
    for node in 0..6 {
        cluster
            .merge(&format!("/api/v1/nodes/n{node}"), json!({"metadata": {"labels": {"zone": "even"}}}))
            .await;
    }
    cluster.settled("a", 6).await;
    cluster.settled("b", 6).await;
    cancel.cancel();
    let seen = watcher.await.unwrap_or_else(|error| panic!("seed {SEED}: {error}"));
    assert!(seen > 12, "{seen} pods were seen");
    cluster.stop().await;
}

//! The controller in bad weather: what happens between it and the API server may delay it, and nothing else.
//!
//! `EVERYNODE_WEATHER_SEEDS` sets how many random weathers are tried, `EVERYNODE_WEATHER_SEED` the first one.

// A test may panic anywhere, its helpers too.
#![allow(clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

#[allow(dead_code, reason = "other tests use the rest")]
mod cluster;

use std::time::Duration;

use cluster::{Cluster, DAEMONSETS, PODS, REVISIONS, daemonset, image, watch_for_twins};
use everynode_client::content_type;
use everynode_controller::ControllerConfig;
use everynode_engine::Limits;
use everynode_testkit::number;
use everynode_testkit::proxy::{Answer, Fault, Line, Proxy, once_each};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Everything that the controller asks of a server beside watches and events.
const KINDS: [&str; 13] = [
    "create pods",
    "delete pods",
    "adopt pods",
    "release pods",
    "patch pods",
    "create controllerrevisions",
    "update controllerrevisions",
    "adopt controllerrevisions",
    "delete controllerrevisions",
    "update daemonsets/status",
    "get daemonsets",
    "get controllerrevisions",
    "create events",
];

/// The longest pause between two steps of a busy day.
const LONGEST_PAUSE: Duration = Duration::from_millis(60);
/// Nothing is written any more when nothing was written for so long.
const QUIET: Duration = Duration::from_millis(700);

fn faults() -> Vec<(&'static str, Fault)> {
    let timeout = || Answer::status(504, "Timeout", "request did not complete within the allotted timeout");
    let milliseconds = Duration::from_millis;
    vec![
        ("401", Fault::Refused(Answer::status(401, "Unauthorized", "Unauthorized"))),
        ("403", Fault::Refused(Answer::status(403, "Forbidden", "forbidden"))),
        ("409", Fault::Refused(Answer::status(409, "Conflict", "the object has been modified"))),
        ("410", Fault::Refused(Answer::status(410, "Expired", "too old"))),
        ("422", Fault::Refused(Answer::status(422, "Invalid", "invalid"))),
        ("429", Fault::Refused(Answer::status(429, "TooManyRequests", "too many requests").retry_after(1))),
        ("500", Fault::Refused(Answer::status(500, "InternalError", "internal error"))),
        ("500 of etcd", Fault::Done(Answer::status(500, "", "etcdserver: leader changed"))),
        ("502", Fault::Refused(Answer::html(502))),
        ("502 after the write", Fault::Done(Answer::html(502))),
        ("503", Fault::Refused(Answer::html(503))),
        ("503 and when", Fault::Refused(Answer::status(503, "ServiceUnavailable", "busy").retry_after(1))),
        ("504", Fault::Refused(timeout())),
        ("504 after the write", Fault::Done(timeout())),
        ("504 before the write", Fault::Late(timeout(), milliseconds(200))),
        ("no answer", Fault::Dropped),
        ("half an answer", Fault::Cut),
        ("silence", Fault::Silent),
        ("a slow answer", Fault::Slow(milliseconds(300))),
    ]
}

/// A controller whose waits are short.
fn config() -> ControllerConfig {
    let limits = Limits {
        stale_millis: 3000,
        relist_first_millis: 500,
        relist_last_millis: 2000,
        retry_last_millis: 1000,
        ..Limits::default()
    };
    ControllerConfig { limits, watch_silence: Duration::from_secs(3), ..ControllerConfig::default() }
}

/// A cluster with nodes, a proxy before its server, and a controller behind that.
struct Scene {
    cluster: Cluster,
    proxy: Proxy,
    twins: tokio::task::JoinHandle<usize>,
    cancel: CancellationToken,
}

impl Scene {
    async fn new(nodes: usize) -> Scene {
        let cluster = Cluster::start_idle().await;
        for node in 0..nodes {
            cluster.add_node(&format!("n{node}"), json!({"zone": "even"})).await;
        }
        let proxy = Proxy::start(cluster.client.clone()).await;
        let cancel = CancellationToken::new();
        let twins = tokio::spawn(watch_for_twins(cluster.client.clone(), cancel.clone()));
        Scene { cluster, proxy, twins, cancel }
    }

    async fn start_controller(&mut self) {
        let client = self.proxy.client().await.with_request_timeout(Duration::from_secs(2));
        self.cluster.start_controller_over(client, config());
    }

    /// Leader election leaves time for what a former leader has asked for; a controller knows nothing of it.
    async fn until_writes_are_carried_out(&self) {
        let late = || self.proxy.late_writes();
        self.cluster
            .until("late writes are carried out", async || {
                (late() == 0).then_some(()).ok_or_else(|| late().to_string())
            })
            .await;
    }

    /// Nothing is written any more but events; and never were there two pods on a node.
    async fn end(self, what: &str) {
        self.cluster
            .until(&format!("{what}: nothing is written any more"), async || {
                let calls = || format!("{:?}", self.proxy.all_calls());
                (self.proxy.quiet_for() > QUIET).then_some(()).ok_or_else(calls)
            })
            .await;
        self.cancel.cancel();
        self.twins.await.unwrap_or_else(|error| panic!("{what}: {error}"));
        self.cluster.stop().await;
    }
}

fn by_halves(name: &str) -> Value {
    let mut object = daemonset(name, "v1");
    object["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}});
    object
}

fn orphan(node: &str) -> Value {
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    let required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    json!({
        "metadata": {"name": format!("orphan-{node}"), "labels": {"app": "life"}},
        "spec": {
            "containers": [{"name": "main", "image": "v0"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        },
    })
}

/// All that a DaemonSet goes through, so that every kind of write is made.
async fn life(scene: &mut Scene) {
    let daemonset_path = format!("{DAEMONSETS}/life");
    let orphan = scene.cluster.create(PODS, orphan("n0")).await;
    scene.cluster.create(DAEMONSETS, by_halves("life")).await;
    scene.start_controller().await;
    let cluster = &scene.cluster;
    cluster.settled("life", 3).await;
    assert!(cluster.get(&format!("{PODS}/{}", name(&orphan))).await.is_none(), "the adopted pod is old");

    cluster.merge(&daemonset_path, image("v2")).await;
    cluster.settled("life", 3).await;
    cluster.merge(&daemonset_path, image("v1")).await;
    cluster.settled("life", 3).await;
    let current = revisions(cluster, "the first revision is the newest", |all| {
        (all.len() == 2 && all[1]["revision"] == 3).then(|| all[1].clone())
    })
    .await;

    cluster.merge(&daemonset_path, json!({"spec": {"revisionHistoryLimit": 0}})).await;
    revisions(cluster, "the old revision is gone", |all| (all.len() == 1).then_some(())).await;
    let path = format!("{REVISIONS}/{}", name(&current));
    cluster.merge(&path, json!({"metadata": {"ownerReferences": null}})).await;
    let is_owned = |one: &Value| one["metadata"]["ownerReferences"].is_array();
    revisions(cluster, "the revision is adopted", |all| all.iter().all(is_owned).then_some(())).await;

    // A second revision of the same data, and a pod that was made from it, which no roll-out replaces meanwhile.
    let strategy = by_halves("life")["spec"]["updateStrategy"].clone();
    let on_delete = json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}});
    cluster.merge(&daemonset_path, on_delete).await;
    cluster.settled("life", 3).await;
    let pod = cluster.pods("life").await[0].clone();
    let labels = json!({"controller-revision-hash": "twin", "pod-template-generation": null});
    let twin = json!({"metadata": {"labels": labels}});
    cluster.merge(&format!("{PODS}/{}", name(&pod)), twin).await;
    cluster
        .until("the controller has seen the pod's label", async || {
            let status = cluster.daemonset("life").await["status"].clone();
            (status["updatedNumberScheduled"] == 2).then_some(()).ok_or_else(|| status.to_string())
        })
        .await;
    let labels = json!({"app": "life", "controller-revision-hash": "twin"});
    let metadata = json!({"name": "life-twin", "labels": labels});
    let twin = json!({"metadata": metadata, "data": current["data"], "revision": 1});
    cluster.create(REVISIONS, twin).await;
    revisions(cluster, "the twin is gone", |all| (all.len() == 1).then_some(())).await;
    cluster.merge(&daemonset_path, json!({"spec": {"updateStrategy": strategy}})).await;

    let path = format!("{PODS}/{}", name(&pod));
    cluster.merge(&path, json!({"metadata": {"labels": {"app": "other"}}})).await;
    cluster
        .until("the pod is released and replaced", async || {
            let (pods, old) = (cluster.pods("life").await, cluster.get(&path).await);
            let is_released = old.as_ref().is_some_and(|old| !is_owned(old));
            (pods.len() == 3 && is_released)
                .then_some(())
                .ok_or_else(|| format!("{} pods, {old:?}", pods.len()))
        })
        .await;
    cluster.settled("life", 3).await;
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Waits for a condition of the revisions, in the order of their numbers.
async fn revisions<T>(cluster: &Cluster, what: &str, condition: impl Fn(&[Value]) -> Option<T>) -> T {
    cluster
        .until(what, async || {
            let mut all = cluster.list(REVISIONS).await;
            all.sort_by_key(|one| one["revision"].as_i64());
            condition(&all).ok_or_else(|| format!("{all:?}"))
        })
        .await
}

async fn survives(name: &'static str, fault: Fault) {
    let mut scene = Scene::new(3).await;
    scene.proxy.on_call(once_each(&KINDS, fault));
    life(&mut scene).await;
    for kind in KINDS {
        assert!(scene.proxy.calls(kind) > 0, "{name}: there was no call to {kind}");
    }
    scene.end(name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_write_survives_each_fault() {
    let lives = futures::stream::iter(faults()).map(|(name, fault)| async move {
        eprintln!("{name} begins");
        survives(name, fault).await;
        eprintln!("{name} is over");
    });
    lives.buffer_unordered(20).collect::<Vec<()>>().await;
}

/// A random fault of a request, and of an event of a watch, as often as that.
fn random_weather(proxy: &Proxy, seed: u64, faults_per_hundred: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let faults = faults();
    proxy.on_call(move |_| {
        (random.u32(0..100) < faults_per_hundred).then(|| random.choice(&faults).expect("some").1.clone())
    });
    let mut random = fastrand::Rng::with_seed(seed ^ 1);
    proxy.on_line(move |_| {
        if random.u32(0..100) >= faults_per_hundred {
            return Line::Passes;
        }
        match random.u32(0..12) {
            0..4 => Line::Late(Duration::from_millis(random.u64(1..400))),
            4..7 => Line::Twice,
            7 | 8 => Line::Cut,
            9 => Line::Ends,
            10 => Line::Expires,
            _ => Line::Stalls,
        }
    });
}

/// What people and nodes do meanwhile.
async fn busy_day(scene: &mut Scene, by_node: bool, random: &mut fastrand::Rng) {
    for step in 0..40 {
        let cluster = &scene.cluster;
        let (app, node) = (*random.choice(&["a", "b"]).expect("one of two"), random.usize(0..5));
        match random.u8(0..20) {
            0..6 => {
                let zone = if random.bool() { "even" } else { "odd" };
                let patch = json!({"metadata": {"labels": {"zone": zone}}});
                cluster.merge(&format!("/api/v1/nodes/n{node}"), patch).await;
            }
            6..10 => {
                if let Some(pod) = random.choice(&cluster.pods(app).await) {
                    // It may be gone by now.
                    let _ = cluster.client.delete(&format!("{PODS}/{}", name(pod)), "").await;
                }
            }
            10..14 => {
                cluster.merge(&format!("{DAEMONSETS}/{app}"), image(&format!("v{step}"))).await;
            }
            // A pod that is let go keeps its name, which is then nobody's to give.
            14 | 15 if !by_node => {
                if let Some(pod) = random.choice(&cluster.pods(app).await) {
                    let other = json!({"metadata": {"labels": {"app": format!("was-{}", name(pod))}}});
                    let (path, patch) = (format!("{PODS}/{}", name(pod)), content_type::MERGE_PATCH);
                    // It may be gone by now.
                    let _ = cluster.client.patch(&path, patch, other.to_string()).await;
                }
            }
            16 => scene.proxy.set_up(false),
            19 => {
                scene.cluster.stop_controller().await;
                scene.until_writes_are_carried_out().await;
                scene.start_controller().await;
            }
            _ => scene.proxy.set_up(true),
        }
        // The next step comes while the controller is at work, or has nothing to do.
        scene.proxy.more_calls(random.usize(0..8), LONGEST_PAUSE).await;
    }
}

async fn outlasts(seed: u64) {
    let what = format!("EVERYNODE_WEATHER_SEED={seed}");
    let (by_node, mut random) = (seed.is_multiple_of(3), fastrand::Rng::with_seed(seed));
    let mut scene = Scene::new(5).await;
    random_weather(&scene.proxy, seed, random.u32(2..40));
    for app in ["a", "b"] {
        let mut object = by_halves(app);
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"zone": "even"});
        if by_node {
            object["metadata"]["annotations"] = json!({"everynode.dev/pod-names": "node"});
        }
        scene.cluster.create(DAEMONSETS, object).await;
    }
    scene.start_controller().await;
    busy_day(&mut scene, by_node, &mut random).await;
    scene.proxy.clear();
    for node in 0..5 {
        let patch = json!({"metadata": {"labels": {"zone": "even"}}});
        scene.cluster.merge(&format!("/api/v1/nodes/n{node}"), patch).await;
    }
    for app in ["a", "b"] {
        eprintln!("{what}: waiting for {app}");
        scene.cluster.settled(app, 5).await;
    }
    scene.end(&what).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_weather_the_fleet_is_as_desired_and_then_nothing_is_written() {
    let first = number("EVERYNODE_WEATHER_SEED", fastrand::u64(0..1 << 40));
    println!("EVERYNODE_WEATHER_SEED={first}");
    let seeds = first..first + number("EVERYNODE_WEATHER_SEEDS", 6);
    let days = futures::stream::iter(seeds).map(outlasts);
    days.buffer_unordered(6).collect::<Vec<()>>().await;
}

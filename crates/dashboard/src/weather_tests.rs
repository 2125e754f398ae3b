//! Clusters that are slow, silent or wrong, and machines that sleep, in virtual time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{AnswerBody, Client, Clock, Error, Transport, Uptime};
use futures::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Source;
use crate::hub::Hub;
use crate::keeper::Keeper;

/// When the tests begin, in Unix seconds.
const BEGIN: u64 = 1_790_000_000;

/// A machine, and a cluster that it looks at.
#[derive(Clone, Debug)]
struct Weather {
    begun: tokio::time::Instant,
    /// For how long the machine slept, in seconds.
    slept: Arc<AtomicU64>,
    /// Requests are refused.
    is_down: Arc<AtomicBool>,
    /// Watches say nothing, not even that nothing has changed.
    is_silent: Arc<AtomicBool>,
    /// How many lists of pods were asked for.
    lists: Arc<AtomicU64>,
    /// The cluster's clock is so many seconds ahead of the machine's.
    ahead_seconds: i64,
}

impl Clock for Weather {
    fn uptime(&self) -> Uptime {
        Uptime::new(self.begun.elapsed() + Duration::from_secs(self.slept.load(Ordering::SeqCst)))
    }

    fn unix_millis(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap()
            + 1_000 * i64::try_from(BEGIN + self.slept.load(Ordering::SeqCst)).unwrap()
    }
}

impl Weather {
    fn new(ahead_seconds: i64) -> Weather {
        Weather {
            begun: tokio::time::Instant::now(),
            slept: Arc::default(),
            is_down: Arc::default(),
            is_silent: Arc::default(),
            lists: Arc::default(),
            ahead_seconds,
        }
    }

    fn client(&self) -> Box<Client> {
        let weather = self.clone();
        let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
            let target = request.uri().to_string();
            let answer = weather.answer(&target);
            async move { Ok::<_, Error>(answer) }
        });
        Box::new(Client::over(Transport::new(service), Arc::new(self.clone()), "https://cluster.test"))
    }

    /// One DaemonSet on one node. Watches say each minute that nothing has changed, as API servers do.
    fn answer(&self, target: &str) -> Response<AnswerBody> {
        let refused =
            |code: u16| whole(code, &json!({"kind": "Status", "code": code, "message": "the weather"}));
        if self.is_down.load(Ordering::SeqCst) {
            return refused(503);
        }
        if target.contains("sendInitialEvents") {
            return refused(400);
        }
        if target.contains("watch=") {
            let is_silent = self.is_silent.clone();
            let bookmarks = stream::unfold(is_silent, |is_silent| async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                if is_silent.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                let line = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "5"}}});
                Some((Ok(Frame::data(Bytes::from(format!("{line}\n")))), is_silent))
            });
            return Response::new(StreamBody::new(bookmarks).boxed_unsync());
        }
        let at = |seconds: i64| {
            everynode_model::time::format(i64::try_from(BEGIN).unwrap() + seconds + self.ahead_seconds)
        };
        let path = target.split('?').next().unwrap_or_default();
        let items = match path.rsplit('/').next().unwrap_or_default() {
            "daemonsets" => json!([{"metadata": {"name": "agent", "namespace": "default", "generation": 1,
                    "uid": "11111111-1111-4111-8111-111111111111", "creationTimestamp": at(-50)},
                "spec": {"selector": {"matchLabels": {"app": "agent"}}, "updateStrategy": {"type": "RollingUpdate"},
                    "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "main", "image": "agent:1"}]}}},
                "status": {"observedGeneration": 1}}]),
            "nodes" => {
                json!([{"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(-40)}]}}])
            }
            "pods" if path.starts_with("/api/v1") || path.contains("cluster.test/api/v1") => {
                self.lists.fetch_add(1, Ordering::SeqCst);
                json!([])
            }
            "rolloutpolicies" | "pods" => return refused(404),
            _ => json!([]),
        };
        whole(200, &json!({"metadata": {"resourceVersion": "5"}, "items": items}))
    }

    /// What is shown, with who keeps it at work until the test ends.
    async fn shown(&self) -> (Hub, TaskTracker, CancellationToken) {
        let source = Source::Cluster { client: self.client(), namespace: None, fallback: "default".into() };
        let (keeper, hub, _asks) = Keeper::open(source).await.unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let until = stop.clone();
        tasks.spawn(async move {
            let _asks = _asks;
            keeper.run(until).await;
        });
        (hub, tasks, stop)
    }
}

fn whole(code: u16, body: &Value) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}

/// Waits, in virtual time, until something is so; for an hour at most.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3_600 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{what}");
}

fn gaps(hub: &Hub) -> Vec<i64> {
    let told = hub.moments();
    let gap = |gap: &Value| gap["toMillis"].as_i64().unwrap() - gap["fromMillis"].as_i64().unwrap();
    told["gaps"].as_array().unwrap().iter().map(gap).collect()
}

/// Virtual time, on threads that may block.
fn run(test: impl Future<Output = ()> + Send + 'static) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

#[test]
fn a_machine_that_slept_leaves_a_gap_and_a_busy_one_does_not() {
    run(async {
        let weather = Weather::new(0);
        let (hub, tasks, stop) = weather.shown().await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(gaps(&hub), Vec::<i64>::new());
        weather.slept.store(3_600, Ordering::SeqCst);
        until("no gap", || !gaps(&hub).is_empty()).await;
        assert_eq!(gaps(&hub), [3_600_000]);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    });
}

#[test]
fn a_watch_that_stalls_and_a_cluster_that_is_gone_are_told_until_they_are_back() {
    run(async {
        let weather = Weather::new(0);
        for (what, weather_of) in [("silent", &weather.is_silent), ("down", &weather.is_down)] {
            let (hub, tasks, stop) = weather.shown().await;
            until("no second list", || weather.lists.load(Ordering::SeqCst) > 1).await;
            let mut events = hub.events();
            weather_of.store(true, Ordering::SeqCst);
            // A watch that is open when the cluster goes away does not hear of that by itself.
            until(what, || !hub.moments()["interrupted"].is_null()).await;
            let event: Value = serde_json::from_str(&events.try_recv().unwrap()).unwrap();
            assert_eq!(event["type"], "interrupted", "{event}");
            weather_of.store(false, Ordering::SeqCst);
            until(what, || hub.moments()["interrupted"].is_null()).await;
            assert_eq!(gaps(&hub).len(), 1, "{what}");
            weather.lists.store(0, Ordering::SeqCst);
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    });
}

#[test]
fn a_cluster_whose_clock_is_ahead_is_shown_without_a_time_before_now() {
    run(async {
        for ahead in [-86_400, 86_400] {
            let (hub, tasks, stop) = Weather::new(ahead).shown().await;
            let picture = hub.picture();
            let text = picture.columns[0].summary.to_string();
            assert!(text.contains("\"desired\":1") && !text.contains(":-"), "{text}");
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    });
}

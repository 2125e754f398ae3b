use std::sync::{Arc, Mutex};

use bytes::Bytes;
use everynode_client::{SystemClock, Transport};
use everynode_engine::LabelSelector;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::*;

const LIST_LIMIT_PODS: usize = 100;

fn item(name: &str, timestamp: &str, usages: &[(&str, &str)]) -> Value {
    let containers: Vec<Value> = usages
        .iter()
        .map(|(cpu, memory)| json!({"name": "c", "usage": {"cpu": cpu, "memory": memory}}))
        .collect();
    let timestamp = everynode_model::time::format(timestamp.parse().unwrap());
    json!({"metadata": {"name": name}, "timestamp": timestamp, "window": "15s", "containers": containers})
}

#[tokio::test]
async fn containers_are_added_up_and_each_measure_is_taken_once() {
    let mut known = Known::default();
    let list = |at: &str| {
        let items = [item("a", at, &[("1500000n", "10Ki"), ("3m", "1Mi")]), item("b", "0", &[("x", "1")])];
        json!({"items": items}).to_string()
    };
    let first = known.fresh(list("1").as_bytes());
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].cpu_cores.is_some_and(|cores| (cores - 0.0045).abs() < 1e-9));
    assert_eq!(first[0].memory_bytes, Some(1_058_816.0));
    assert_eq!(known.fresh(list("1").as_bytes()), []);
    assert_eq!(known.fresh(list("2").as_bytes()).len(), 1);
    assert_eq!(known.fresh(b"no list"), []);
}

fn sampled(pods: usize) -> Sampled {
    Sampled {
        daemonset: Uid(1),
        namespace: "ns".to_owned(),
        selector: LabelSelector::from_json(&json!({"matchLabels": {"a/b": "c"}})),
        every_seconds: 10,
        pods,
        wants_usage: true,
        metric: None,
    }
}

#[test]
fn only_the_pods_of_the_daemon_set_are_asked_for() {
    assert_eq!(
        list::path(&sampled(3)),
        "/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods?labelSelector=a%2Fb%3Dc"
    );
}

/// A server that has another measure each second, and refuses by this until so many seconds have passed.
fn server(asked: &Arc<Mutex<Vec<u64>>>, refusal: u16, until_second: u64) -> Client {
    let (asked, begun) = (asked.clone(), Instant::now());
    let answer = move |_: Request<Full<Bytes>>| {
        let second = begun.elapsed().as_secs();
        asked.lock().unwrap().push(second);
        async move {
            let (code, body) = match second < until_second {
                true => (refusal, json!({"kind": "Status", "code": refusal, "message": "no"})),
                false => (200, json!({"items": [item("a", &second.to_string(), &[("1m", "1Mi")])]})),
            };
            let body = Full::from(body.to_string()).map_err(|never| match never {}).boxed_unsync();
            Ok(Response::builder().status(code).body(body).unwrap())
        }
    };
    Client::over(Transport::new(tower::service_fn(answer)), Arc::new(SystemClock), "http://scripted")
}

/// At which seconds it is asked, and how many measures come, within so many seconds by a clock that runs ahead.
async fn within(seconds: u64, wanted: Vec<Sampled>, refusal: u16, until_second: u64) -> (Vec<u64>, usize) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let client = server(&asked, refusal, until_second);
    let ((_wanted, wanted), (sender, mut measured)) = (watch::channel(wanted), mpsc::channel(100));
    let (cohorts, mut questions) = mpsc::channel::<CohortQuestion>(1);
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            let _ = question.answer.send(Vec::new());
        }
    });
    let cancel = CancellationToken::new();
    let config = SamplerConfig { list_limit_pods: LIST_LIMIT_PODS, ..SamplerConfig::default() };
    let ends = Ends { wanted, cohorts, measured: sender };
    let sampler = tokio::spawn(follow(client, ends, config, cancel.clone()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    cancel.cancel();
    sampler.await.unwrap();
    let mut count = 0;
    while measured.recv().await.is_some() {
        count += 1;
    }
    let asked = asked.lock().unwrap().clone();
    (asked, count)
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_as_often_as_the_windows_need_and_not_at_all_when_nobody_wants_it() {
    assert_eq!(within(35, vec![sampled(3)], 0, 0).await, (vec![0, 10, 20, 30], 4));
    assert_eq!(within(35, Vec::new(), 0, 0).await, (vec![], 0));
    assert_eq!(within(35, vec![sampled(LIST_LIMIT_PODS + 1)], 0, 0).await, (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_waited_out() {
    for code in [403, 404, 503] {
        assert_eq!(within(75, vec![sampled(3)], code, 40).await, (vec![0, 30, 60, 70], 2), "{code}");
    }
}

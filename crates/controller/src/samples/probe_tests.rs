use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use everynode_client::{SystemClock, Transport};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn reading(cpu_seconds: f64, at_millis: i64, bytes: u64) -> Reading {
    Reading { cpu: Some((cpu_seconds, at_millis)), memory_bytes: Some(bytes) }
}

fn said(containers: &[(&str, Reading)], metric: Option<(f64, Instant)>) -> Said {
    let containers = containers.iter().map(|(name, reading)| ((*name).to_owned(), *reading)).collect();
    Said { containers, metric }
}

#[test]
fn containers_are_added_up_and_what_began_again_is_not_known() {
    let check =
        |before: &[(&str, Reading)], now: &[(&str, Reading)], expected: Option<(Option<f64>, f64)>| {
            let sample = said(now, None).sample("a", Some(&said(before, None)), false);
            let found = sample.map(|sample| (sample.cpu_cores, sample.memory_bytes.unwrap_or_default()));
            assert_eq!(found, expected, "{before:?}, {now:?}");
        };
    let (x, y) = (("x", reading(1.0, 0, 10)), ("y", reading(5.0, 0, 20)));
    let (later_x, later_y) = (("x", reading(2.0, 10_000, 11)), ("y", reading(7.5, 10_000, 21)));
    check(&[x, y], &[later_x, later_y], Some((Some(0.35), 32.0)));
    check(&[x], &[later_x, later_y], Some((None, 32.0)));
    check(&[later_x], &[("x", reading(0.5, 20_000, 9))], Some((None, 9.0)));
    check(&[x], &[], None);
}

#[tokio::test(start_paused = true)]
async fn a_gauge_is_taken_as_it_is_and_a_counter_by_its_growth() {
    let begun = Instant::now();
    let at = |seconds: u64, value: f64| said(&[], Some((value, begun + Duration::from_secs(seconds))));
    let metric = |before: Option<Said>, now: Said, is_counter: bool| {
        now.sample("a", before.as_ref(), is_counter).and_then(|sample| sample.metric)
    };
    assert_eq!(metric(Some(at(0, 7.0)), at(10, 5.0), false), Some(5.0));
    assert_eq!(metric(Some(at(0, 7.0)), at(10, 12.0), true), Some(0.5));
    assert_eq!(metric(Some(at(0, 7.0)), at(10, 5.0), true), None, "it was begun again");
    assert_eq!(metric(None, at(10, 5.0), true), None);
}

/// An API server whose pods are all at this address, with one port, and whose nodes have no kubelet.
fn api(port: u16, asked: &Arc<AtomicU64>) -> Client {
    let asked = asked.clone();
    let answer = move |request: Request<Full<Bytes>>| {
        asked.fetch_add(1, Ordering::Relaxed);
        assert!(request.uri().path().starts_with("/api/v1/namespaces/ns/pods"), "{}", request.uri());
        let ports = json!([{"name": "other", "containerPort": 1}, {"name": "page", "containerPort": port}]);
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": ports}]},
            "status": {"podIP": "127.0.0.1"}});
        let body = json!({"items": [pod]}).to_string();
        async move {
            let body = Full::from(body).map_err(|never| match never {}).boxed_unsync();
            Ok(Response::builder().status(200).body(body).unwrap())
        }
    };
    Client::over(Transport::new(tower::service_fn(answer)), Arc::new(SystemClock), "http://scripted")
}

#[tokio::test]
async fn a_pod_is_asked_for_its_figure_at_its_own_address_which_is_looked_up_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1024];
            let _ = stream.read(&mut request).await;
            let page = "retries{x=\"1\"} 2\nretries{x=\"2\"} 3\n";
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", page.len());
            let _ = stream.write_all(format!("{head}{page}").as_bytes()).await;
        }
    });
    let asked = Arc::default();
    let (client, open, mut probe) = (api(port, &asked), Hosts::in_the_open("tests"), Probe::default());
    let source = |name: &str| MetricSource {
        name: name.to_owned(),
        port: MetricPort::Name("page".to_owned()),
        path: "/metrics".to_owned(),
        is_counter: false,
    };
    let cohort = ["a", "b"].map(|pod| SampledPod { pod: pod.to_owned(), node: "n".to_owned() });
    let (retries, none) = (source("retries"), source("none"));
    let mut ask = async |metric: &MetricSource| {
        let questions = Questions { namespace: "ns", kubelets: None, metric: Some(metric) };
        let Probed { mut samples, error } = probe.ask(&client, &open, &questions, &cohort).await;
        samples.sort_by(|one, other| one.pod.cmp(&other.pod));
        let samples: Vec<_> = samples.into_iter().map(|sample| (sample.pod, sample.metric)).collect();
        (samples, error.map(|error| error.to_string()))
    };
    let both = vec![("a".to_owned(), Some(5.0)), ("b".to_owned(), Some(5.0))];
    assert_eq!(ask(&retries).await, (both.clone(), None));
    assert_eq!(ask(&retries).await, (both, None));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let (samples, error) = ask(&none).await;
    assert_eq!(
        (samples, error),
        (vec![], Some(format!("http://127.0.0.1:{port}/metrics has no figure none")))
    );
}

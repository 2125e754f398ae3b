use everynode_engine::Time;
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

fn settings(variables: &[(&str, &str)]) -> Result<Option<TraceSettings>, String> {
    TraceSettings::of(|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn the_standard_variables_say_where_spans_go() {
    let endpoint =
        |variables: &[(&str, &str)]| settings(variables).unwrap().map(|one| one.endpoint.to_string());
    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
    assert_eq!(endpoint(&[]), None);
    assert_eq!(endpoint(&[BASE]).as_deref(), Some("http://c:4318/v1/traces"));
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d/x");
    assert_eq!(endpoint(&[BASE, own]).as_deref(), Some("http://d/x"));
    assert_eq!(endpoint(&[BASE, ("OTEL_SDK_DISABLED", "true")]), None);
    assert_eq!(endpoint(&[BASE, ("OTEL_TRACES_EXPORTER", "none")]), None);
    for wrong in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no pair"),
    ] {
        assert!(settings(&[BASE, wrong]).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_collector_gets_spans_in_json_with_the_headers_of_the_environment() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (received_in, mut received) = mpsc::channel(1);
    let collector = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let received_in = received_in.clone();
            async move {
                let head = (
                    request.uri().path().to_owned(),
                    request.headers()["x-key"].to_str().unwrap().to_owned(),
                );
                let body = request.into_body().collect().await.unwrap().to_bytes();
                received_in.send((head, serde_json::from_slice::<Value>(&body).unwrap())).await.unwrap();
                Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::from("{}"))))
            }
        });
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    });
    let base = format!("http://{address}");
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", base.as_str()), ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")];
    let (mut exporter, sending) = Exporter::new(settings(&variables).unwrap().unwrap());
    let sending = tokio::spawn(sending);
    exporter.take(vec![Span {
        trace_id: "0123".to_owned(),
        span_id: "45".to_owned(),
        parent_id: None,
        name: "rollout agent".to_owned(),
        began: Time(1_000),
        ended: Time(2_500),
        events: vec![("containers running", Time(2_000))],
        attributes: vec![("k8s.daemonset.name", "agent".into()), ("everynode.nodes", 3.into())],
        error: Some("halted".to_owned()),
    }]);
    let ((path, key), body) = received.recv().await.unwrap();
    assert_eq!((path.as_str(), key.as_str()), ("/v1/traces", "abc"));
    let expected = json!({
        "traceId": "0123", "spanId": "45", "parentSpanId": "", "name": "rollout agent", "kind": 1,
        "startTimeUnixNano": "1000000000", "endTimeUnixNano": "2500000000",
        "events": [{"name": "containers running", "timeUnixNano": "2000000000"}],
        "attributes": [
            {"key": "k8s.daemonset.name", "value": {"stringValue": "agent"}},
            {"key": "everynode.nodes", "value": {"intValue": "3"}},
        ],
        "status": {"code": 2, "message": "halted"},
    });
    assert_eq!(body["resourceSpans"][0]["scopeSpans"][0]["spans"][0], expected);
    drop(exporter);
    sending.await.unwrap();
    collector.abort();
}

//! Where spans go: OTLP over HTTP in JSON, as the standard variables of OpenTelemetry say.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::span::{Span, attribute};

/// Lots of spans that may wait; more are dropped, and that is said once.
const QUEUE: usize = 64;
/// Spans in one request.
const LOT: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest timeout that is taken from a variable.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Where traces of roll-outs go: to a collector that takes OTLP over plain HTTP, in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    endpoint: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    service: String,
}

impl TraceSettings {
    /// What the standard variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_*`) say; none without an endpoint.
    ///
    /// # Errors
    /// A sentence about what cannot be used.
    pub fn from_environment() -> Result<Option<TraceSettings>, String> {
        TraceSettings::of(|name| std::env::var(name).ok())
    }

    /// To a collector at this base URL, by the usual settings.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn to(base: &str) -> Result<TraceSettings, String> {
        let endpoint = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| base.to_owned());
        TraceSettings::of(endpoint)?.ok_or_else(|| "it is no URL".to_owned())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<TraceSettings>, String> {
        let of =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let is_off = of("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
            || of("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
        let both = |name: &str| {
            of(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
                .or_else(|| of(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let endpoint = of("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| {
            let base = of("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            Some(format!("{}/v1/traces", base.trim_end_matches('/')))
        });
        let Some(endpoint) = endpoint.filter(|_| !is_off) else { return Ok(None) };
        if let Some(protocol) = both("PROTOCOL").filter(|protocol| protocol != "http/json") {
            return Err(format!("OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}: only http/json is spoken"));
        }
        let parsed: Uri = endpoint.parse().map_err(|_| format!("{endpoint} is no URL to send traces to"))?;
        if parsed.scheme_str() != Some("http") || parsed.host().is_none() {
            return Err(format!("traces go by plain HTTP only, to a collector beside: not to {endpoint}"));
        }
        let timeout =
            both("TIMEOUT").and_then(|text| text.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
        Ok(Some(TraceSettings {
            endpoint: parsed,
            headers: both("HEADERS").map(|text| headers(&text)).transpose()?.unwrap_or_default(),
            timeout: timeout.min(LONGEST_TIMEOUT),
            service: of("OTEL_SERVICE_NAME").unwrap_or_else(|| "everynode-controller".to_owned()),
        }))
    }

    fn body(&self, spans: &[Span]) -> Value {
        let spans: Vec<Value> = spans.iter().map(Span::to_otlp).collect();
        json!({"resourceSpans": [{
            "resource": {"attributes": [attribute("service.name", &self.service.as_str().into())]},
            "scopeSpans": [{
                "scope": {"name": "everynode", "version": env!("CARGO_PKG_VERSION")},
                "spans": spans,
            }],
        }]})
    }
}

/// Reads `name=value,name=value`. A value is never shown: it may be a secret.
fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let one = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let mut value = HeaderValue::from_str(value.trim()).ok()?;
        value.set_sensitive(true);
        Some((name.trim().parse().ok()?, value))
    };
    let pairs: Option<Vec<_>> = text.split(',').map(one).collect();
    pairs.ok_or_else(|| "OTEL_EXPORTER_OTLP_HEADERS is not written as name=value,name=value".to_owned())
}

/// Takes spans and never waits.
#[derive(Debug)]
pub(crate) struct Exporter {
    queue: mpsc::Sender<Vec<Span>>,
    has_dropped: bool,
}

impl Exporter {
    /// An exporter, and the task that sends what it takes.
    pub(crate) fn new(settings: TraceSettings) -> (Exporter, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Exporter { queue, has_dropped: false }, send_all(settings, waiting))
    }

    /// Takes spans.
    pub(crate) fn take(&mut self, spans: Vec<Span>) {
        for lot in spans.chunks(LOT) {
            if let Err(TrySendError::Full(_)) = self.queue.try_send(lot.to_vec())
                && !std::mem::replace(&mut self.has_dropped, true)
            {
                tracing::warn!("spans of roll-outs are dropped: they come faster than they can be sent");
            }
        }
    }
}

/// Sends until there is no exporter any more. What cannot be sent is lost, and the first time that is said.
async fn send_all(settings: TraceSettings, mut waiting: mpsc::Receiver<Vec<Span>>) {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut has_failed = false;
    while let Some(spans) = waiting.recv().await {
        let sent = tokio::time::timeout(settings.timeout, send(&client, &settings, &spans)).await;
        if let Err(why) = sent.unwrap_or_else(|_| Err("it takes too long".to_owned()))
            && !std::mem::replace(&mut has_failed, true)
        {
            tracing::warn!("traces cannot be sent to {}: {why}", settings.endpoint);
        }
    }
}

async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    settings: &TraceSettings,
    spans: &[Span],
) -> Result<(), String> {
    let mut request = Request::new(Full::new(Bytes::from(settings.body(spans).to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = settings.endpoint.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(settings.headers.iter().cloned());
    let answer = client.request(request).await.map_err(|error| error.to_string())?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(format!("it answers {}", answer.status())),
    }
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;

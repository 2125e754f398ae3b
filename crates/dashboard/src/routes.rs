//! What is answered to whom. Nothing here writes: the one POST brings a manifest to be planned.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::at_length;
use bytes::Bytes;
use everynode_analysis::{Cohort, Labelled, cohorts};
use everynode_inspect::Class;
use everynode_inspect::usage::Measure;
use flate2::Compression;
use futures::stream::{self, Stream, StreamExt};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use crate::answers::{Ask, Question, Sorry};
use crate::frame::gzip;
use crate::guard::Refusal;
use crate::picture::{Column, HAS_FAILED, LAYERS, NOTHING, Picture, class_number};
use crate::server::Site;
use crate::summary::word;

/// A manifest at most.
const MANIFEST_BYTES: usize = 4 << 20;
/// How long a question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// A line that keeps a stream open.
const BEAT: Duration = Duration::from_secs(15);
/// Answers above this are compressed.
const SMALL: usize = 1_400;

/// What may be loaded: this page's own files, and nothing from elsewhere. Nothing inline, and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// An answer.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Answers a request.
pub async fn answer(site: &Site, request: Request<Incoming>) -> Answer {
    let query = Query::of(request.uri().query().unwrap_or_default());
    let token = query.get("token");
    let admitted = site.guard.admit(request.method(), request.headers(), token);
    let takes_gzip = accepts_gzip(&request);
    let mut answer = match admitted {
        Err(refusal) => refused(refusal),
        Ok(cookie) => {
            let mut answer = route(site, request, &query).await;
            if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
                answer.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            answer
        }
    };
    if !takes_gzip && answer.headers().contains_key(header::CONTENT_ENCODING) {
        answer = text(StatusCode::NOT_ACCEPTABLE, "This server answers compressed: Accept-Encoding: gzip.\n");
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

async fn route(site: &Site, request: Request<Incoming>, query: &Query) -> Answer {
    let path = request.uri().path().to_owned();
    if request.method() == Method::POST {
        return match path.as_str() {
            "/api/plan" => plan(site, request).await,
            _ => not_found(),
        };
    }
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "Nothing is written here.\n");
    }
    if let Some(asset) = site.page.get(&path) {
        return compressed(asset.content_type, asset.gzipped.clone());
    }
    match path.as_str() {
        "/api/frame" => match site.hub.frame(query.number("at")) {
            Some(frame) => compressed("application/octet-stream", frame),
            None => not_found(),
        },
        "/api/names" => match site.hub.names(query.number("version").unwrap_or(0)) {
            Some(names) => compressed("application/json", names),
            None => not_found(),
        },
        "/api/layer" => layer(&site.hub.picture(), query.get("name").unwrap_or_default()),
        "/api/label" => label(&site.hub.picture(), query.get("key").unwrap_or_default()),
        "/api/moments" => json_answer(&site.hub.moments()),
        "/api/series" => {
            let text = |key: &str| query.get(key).unwrap_or_default();
            json_answer(&site.hub.course(text("namespace"), text("name")))
        }
        "/api/cohorts" => cohorts_of(&site.hub.picture(), query),
        "/api/events" => events(site),
        "/api/why" => ask(site, query.why(), query.number("at")).await,
        "/api/peers" => ask(site, Question::Peers(query.measure()), query.number("at")).await,
        "/api/outliers" => ask(site, Question::Outliers, query.number("at")).await,
        "/api/before-after" => ask(site, query.before_after(), query.number("at")).await,
        "/api/node" => {
            let name = query.get("name").unwrap_or_default().to_owned();
            ask(site, Question::Node(name), query.number("at")).await
        }
        _ => not_found(),
    }
}

/// The pairs of a query.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str())
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    fn measure(&self) -> Measure {
        let named = Measure::ALL.into_iter().find(|one| Some(one.name()) == self.get("measure"));
        named.unwrap_or(Measure::Cpu)
    }

    fn before_after(&self) -> Question {
        let text = |key: &str| self.get(key).unwrap_or_default().to_owned();
        Question::BeforeAfter {
            daemonset: text("daemonset"),
            revision: text("revision"),
            measure: self.measure(),
        }
    }

    fn why(&self) -> Question {
        let text = |key: &str| self.get(key).unwrap_or_default().to_owned();
        Question::Why { namespace: text("namespace"), name: text("name"), node: text("node") }
    }
}

async fn plan(site: &Site, request: Request<Incoming>) -> Answer {
    let body = Limited::new(request.into_body(), MANIFEST_BYTES).collect();
    let Ok(Ok(body)) = tokio::time::timeout(PATIENCE, body).await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "A manifest has 4 MiB at most.\n");
    };
    match String::from_utf8(body.to_bytes().to_vec()) {
        Ok(manifest) => ask(site, Question::Plan(manifest), None).await,
        Err(_) => text(StatusCode::BAD_REQUEST, "A manifest is text in UTF-8.\n"),
    }
}

async fn ask(site: &Site, question: Question, moment: Option<u64>) -> Answer {
    let (reply, answer) = oneshot::channel();
    if site.asks.try_send(Ask { question, moment, reply }).is_err() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "Too much is asked at once: try again.\n");
    }
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(value))) => json_answer(&value),
        Ok(Ok(Err(sorry @ Sorry::NotFound(_)))) => text(StatusCode::NOT_FOUND, &sorry.text()),
        Ok(Ok(Err(sorry))) => json_answer(&json!({"notKept": sorry.text()})),
        _ => text(StatusCode::GATEWAY_TIMEOUT, "That took too long.\n"),
    }
}

/// Of every DaemonSet, one list of bytes after the other.
fn layer(picture: &Picture, name: &str) -> Answer {
    if !LAYERS.contains(&name) {
        return not_found();
    }
    let lists = picture.columns.iter().filter_map(|column| column.layer(name));
    let bytes: Vec<u8> = lists.flatten().copied().collect();
    compressed("application/octet-stream", gzip(&bytes, Compression::new(5)))
}

fn label(picture: &Picture, key: &str) -> Answer {
    match picture.labels.0.get(key) {
        Some((values, nodes)) => json_answer(&json!({"key": key, "values": values, "nodes": nodes})),
        None => not_found(),
    }
}

/// What nodes have in common that failed under a policy, or else those on which no pod is available; with a class: those
/// of that class.
fn cohorts_of(picture: &Picture, query: &Query) -> Answer {
    let (namespace, name) = (query.get("namespace"), query.get("name"));
    let is_it = |column: &&Arc<Column>| namespace == Some(&column.namespace) && name == Some(&column.name);
    let Some(column) = picture.columns.iter().find(is_it) else { return not_found() };
    let class = query.get("class").and_then(|name| Class::ALL.into_iter().find(|class| word(class) == name));
    let failed = class.is_none() && column.flags.iter().any(|flags| flags & HAS_FAILED != 0);
    let is_marked = |node: usize| match class {
        Some(class) => column.classes[node] == class_number(class),
        None if failed => column.flags[node] & HAS_FAILED != 0,
        None => [Class::NotAvailable, Class::Missing].map(class_number).contains(&column.classes[node]),
    };
    let is_eligible =
        |node: &usize| ![NOTHING, class_number(Class::NotEligible)].contains(&column.classes[*node]);
    let nodes = (0..column.classes.len()).filter(is_eligible);
    let labelled: Vec<Labelled<'_>> = nodes
        .map(|node| Labelled { is_marked: is_marked(node), labels: picture.labels.of_node(node).collect() })
        .collect();
    let marked = labelled.iter().filter(|one| one.is_marked).count();
    let found = at_length(|| cohorts(&labelled));
    json_answer(&json!({
        "marked": marked,
        "of": labelled.len(),
        "failed": failed,
        "cohorts": found.iter().map(cohort).collect::<Vec<_>>(),
    }))
}

fn cohort(cohort: &Cohort) -> Value {
    json!({
        "label": cohort.label.0,
        "value": cohort.label.1,
        "alike": cohort.alike.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "found": cohort.marked_inside,
        "nodes": cohort.inside,
        "lift": cohort.lift(),
        "oneIn": cohort.one_in(),
    })
}

/// What happens, as it happens. Who cannot follow is told to begin anew.
fn events(site: &Site) -> Answer {
    let receiver = site.hub.events();
    let stop = site.stop.clone();
    let next = move |mut receiver: tokio::sync::broadcast::Receiver<std::sync::Arc<str>>| {
        let stop = stop.clone();
        async move {
            let line = tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(BEAT) => ": still here\n\n".to_owned(),
                event = receiver.recv() => match event {
                    Ok(event) => format!("data: {event}\n\n"),
                    Err(RecvError::Lagged(_)) => "data: {\"type\":\"reload\"}\n\n".to_owned(),
                    Err(RecvError::Closed) => return None,
                },
            };
            Some((line, receiver))
        }
    };
    let hello = stream::once(async { "retry: 1000\n\n".to_owned() });
    let lines = hello.chain(stream::unfold(receiver, next));
    let mut answer = Response::new(stream_body(lines));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

fn stream_body(lines: impl Stream<Item = String> + Send + 'static) -> UnsyncBoxBody<Bytes, Infallible> {
    StreamBody::new(lines.map(|line| Ok(Frame::data(Bytes::from(line))))).boxed_unsync()
}

fn accepts_gzip(request: &Request<Incoming>) -> bool {
    let accepted = request.headers().get(header::ACCEPT_ENCODING);
    accepted.and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("gzip"))
}

fn refused(refusal: Refusal) -> Answer {
    let status = match refusal {
        Refusal::Host => StatusCode::MISDIRECTED_REQUEST,
        Refusal::Origin => StatusCode::FORBIDDEN,
        Refusal::Stranger => StatusCode::UNAUTHORIZED,
    };
    text(status, refusal.text())
}

fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "There is nothing here.\n")
}

fn text(status: StatusCode, text: &str) -> Answer {
    let mut answer = full("text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()));
    *answer.status_mut() = status;
    answer
}

fn json_answer(value: &Value) -> Answer {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    match bytes.len() > SMALL {
        true => compressed("application/json", gzip(&bytes, Compression::new(5))),
        false => full("application/json", bytes.into()),
    }
}

fn compressed(content_type: &'static str, bytes: Bytes) -> Answer {
    let mut answer = full(content_type, bytes);
    answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer
}

fn full(content_type: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(bytes).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

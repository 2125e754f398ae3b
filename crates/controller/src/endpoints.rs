//! What a cluster asks of a controller over plain HTTP: probes and figures.
//!
//! Anybody who reaches the port may ask. A connection is for one request and a few seconds, and where all places are
//! taken the oldest connection goes: nobody can keep the kubelet out, which would end the controller.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::metrics::text::{OPENMETRICS, prometheus};
use crate::{Health, Metrics};

/// Connections served at a time; a scraper and a kubelet need one each.
const CONNECTIONS: usize = 64;
/// Scrapes at a time: they cost more than probes, which do not wait for them.
const SCRAPES: usize = 4;
/// How long a connection may stay open in all.
const CONNECTION_LIFE: Duration = Duration::from_secs(5);
/// The pause after a connection that could not be accepted, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// `/livez`, `/readyz`, `/healthz` and `/metrics`.
#[derive(Debug)]
pub struct Endpoints {
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
}

impl Endpoints {
    /// Opens the port; nothing is answered before [`run`](Self::run).
    ///
    /// # Errors
    /// That of the operating system, when the address is taken or is not this machine's.
    pub async fn bind(
        address: SocketAddr,
        health: Health,
        metrics: Metrics,
    ) -> Result<Endpoints, std::io::Error> {
        Ok(Endpoints { listener: TcpListener::bind(address).await?, health, metrics })
    }

    /// The address, with the port that was given when 0 was asked for.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn address(&self) -> Result<SocketAddr, std::io::Error> {
        self.listener.local_addr()
    }

    /// Answers until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let desk =
            Desk { health: self.health, metrics: self.metrics, scrapes: Arc::new(Semaphore::new(SCRAPES)) };
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let Some(accepted) = cancel.run_until_cancelled(self.listener.accept()).await else { break };
            match accepted {
                Ok((stream, _)) => {
                    let served = tokio::time::timeout(CONNECTION_LIFE, serve(stream, desk.clone()));
                    open.retain(|connection| !connection.is_finished());
                    if open.len() >= CONNECTIONS
                        && let Some(oldest) = open.pop_front()
                    {
                        oldest.abort();
                    }
                    open.push_back(tokio::spawn(served).abort_handle());
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        open.iter().for_each(AbortHandle::abort);
    }
}

/// What answers are made of.
#[derive(Clone)]
struct Desk {
    health: Health,
    metrics: Metrics,
    scrapes: Arc<Semaphore>,
}

async fn serve(stream: TcpStream, desk: Desk) {
    let service = service_fn(|request: Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(answer(&request, &desk).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::trace!(%error, "a connection of a probe or scraper broke");
    }
}

async fn answer<B>(request: &Request<B>, desk: &Desk) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/livez" | "/healthz" => verdict(desk.health.alive()),
        "/readyz" => verdict(desk.health.ready()),
        "/metrics" => {
            let Ok(_place) = desk.scrapes.try_acquire() else {
                return text(StatusCode::SERVICE_UNAVAILABLE, "others are scraping\n".to_owned());
            };
            figures(request, &desk.metrics.scrape().await)
        }
        _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz, /healthz and /metrics\n".to_owned()),
    }
}

/// Figures in the format that is asked for: OpenMetrics, or else the older text format of Prometheus.
fn figures<B>(request: &Request<B>, openmetrics: &str) -> Response<Full<Bytes>> {
    let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (body, format) = match accepted.into_iter().any(|value| value.contains(OPENMETRICS)) {
        true => (openmetrics.to_owned(), "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        false => (prometheus(openmetrics), "text/plain; version=0.0.4; charset=utf-8"),
    };
    let mut response = text(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(format));
    response
}

fn verdict(verdict: Result<(), String>) -> Response<Full<Bytes>> {
    match verdict {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(problem) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn desk(health: Health) -> Desk {
        Desk { health, metrics: Metrics::new(), scrapes: Arc::new(Semaphore::new(SCRAPES)) }
    }

    async fn check(desk: &Desk, path: &str, status: u16, part: &str) {
        let request = Request::get(path).body(()).unwrap();
        let response = answer(&request, desk).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(part), "{path}: {body:?}");
    }

    #[tokio::test]
    async fn probes_say_what_is_missing() {
        let health = Health::default();
        let desk = desk(health.clone());
        check(&desk, "/livez", 200, "ok").await;
        check(&desk, "/readyz", 503, "waiting for the API server").await;
        health.standing_by();
        check(&desk, "/readyz", 200, "ok").await;
        check(&desk, "/metrics", 200, "# TYPE everynode_events_dropped_total counter").await;
        check(&desk, "/", 404, "/readyz").await;
        let _scrapes = desk.scrapes.clone().try_acquire_many_owned(u32::try_from(SCRAPES).unwrap()).unwrap();
        check(&desk, "/metrics", 503, "others are scraping").await;
        check(&desk, "/livez", 200, "ok").await;
    }

    #[test]
    fn figures_come_in_the_format_that_is_asked_for() {
        let check = |accept: Option<&str>, format: &str| {
            let mut request = Request::new(());
            request.headers_mut().extend(accept.map(|accept| (ACCEPT, accept.parse().unwrap())));
            let answer = figures(&request, "# EOF\n");
            assert!(answer.headers()[CONTENT_TYPE].to_str().unwrap().starts_with(format), "{accept:?}");
        };
        check(None, "text/plain; version=0.0.4");
        check(Some("*/*"), "text/plain; version=0.0.4");
        check(Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.3"), OPENMETRICS);
    }

    /// Sends this and reads to the end of the connection.
    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await;
        answer
    }

    #[tokio::test]
    async fn nobody_keeps_a_probe_out() {
        let (cancel, any_port) = (CancellationToken::new(), SocketAddr::from(([127, 0, 0, 1], 0)));
        let endpoints = Endpoints::bind(any_port, Health::default(), Metrics::new()).await.unwrap();
        let address = endpoints.address().unwrap();
        let running = tokio::spawn(endpoints.run(cancel.clone()));
        let mut idle = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Half of them have asked for something that they never end.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /metrics HTTP/1.1\r\nx: ").await;
            idle.push(stream);
        }
        let probe = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
        // A kubelet waits for a second.
        for _ in 0..3 {
            let answer = tokio::time::timeout(Duration::from_secs(1), ask(address, probe)).await;
            let answer = answer.expect("in time");
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
        }
        let last = idle.last_mut().unwrap();
        let mut rest = String::new();
        let ended = tokio::io::AsyncReadExt::read_to_string(last, &mut rest);
        assert!(tokio::time::timeout(2 * CONNECTION_LIFE, ended).await.is_ok(), "an idle connection ends");
        cancel.cancel();
        running.await.unwrap();
    }
}

//! What a cluster asks of a controller over plain HTTP: probes and figures.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Health, Metrics};

/// Connections served at a time; a scraper and a kubelet need one each.
const CONNECTIONS: usize = 64;
/// How long a client may take over the head of a request, and a connection may stay open in all.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_LIFE: Duration = Duration::from_secs(300);
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
        let Endpoints { listener, health, metrics } = self;
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await.ok();
                (place, listener.accept().await)
            };
            let Some((place, accepted)) = cancel.run_until_cancelled(accepted).await else { return };
            match accepted {
                Ok((stream, _)) => {
                    let served = serve(stream, health.clone(), metrics.clone());
                    let cancel = cancel.clone();
                    tokio::spawn(async move {
                        cancel.run_until_cancelled(tokio::time::timeout(CONNECTION_LIFE, served)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, health: Health, metrics: Metrics) {
    let service = service_fn(|request: Request<Incoming>| {
        let (health, metrics) = (health.clone(), metrics.clone());
        async move { Ok::<_, Infallible>(answer(&request, &health, &metrics).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::trace!(%error, "a connection of a probe or scraper broke");
    }
}

async fn answer<B>(request: &Request<B>, health: &Health, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/livez" | "/healthz" => verdict(health.alive()),
        "/readyz" => verdict(health.ready()),
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics.scrape().await);
            let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(openmetrics));
            response
        }
        _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz, /healthz and /metrics\n".to_owned()),
    }
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

    async fn check(health: &Health, path: &str, status: u16, part: &str) {
        let request = Request::get(path).body(()).unwrap();
        let response = answer(&request, health, &Metrics::new()).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(part), "{path}: {body:?}");
    }

    #[tokio::test]
    async fn probes_say_what_is_missing() {
        let health = Health::default();
        check(&health, "/livez", 200, "ok").await;
        check(&health, "/readyz", 503, "waiting for the API server").await;
        health.standing_by();
        check(&health, "/readyz", 200, "ok").await;
        check(&health, "/metrics", 200, "# EOF").await;
        check(&health, "/", 404, "/readyz").await;
    }

    #[tokio::test]
    async fn a_scraper_is_answered_over_the_network_until_the_end() {
        let (cancel, any_port) = (CancellationToken::new(), SocketAddr::from(([127, 0, 0, 1], 0)));
        let endpoints = Endpoints::bind(any_port, Health::default(), Metrics::new()).await.unwrap();
        let address = endpoints.address().unwrap();
        let running = tokio::spawn(endpoints.run(cancel.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
        cancel.cancel();
        running.await.unwrap();
    }
}

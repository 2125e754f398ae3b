//! The accept loop: loopback, HTTP/1.1, limits on connections and headers, and an end.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answers::Ask;
use crate::guard::Guard;
use crate::hub::Hub;
use crate::page::Page;
use crate::routes;

/// Connections that are open at the same time: a browser has six to a host, and may have several tabs.
const CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const BUFFER_BYTES: usize = 64 << 10;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
#[derive(Debug)]
pub struct Site {
    /// Who is let in.
    pub guard: Guard,
    /// What is shown.
    pub hub: Hub,
    /// Who answers.
    pub asks: mpsc::Sender<Ask>,
    /// The page.
    pub page: Page,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// Serves who connects until the site is stopped.
pub async fn run(listener: TcpListener, site: Site, tasks: TaskTracker) {
    let stop = site.stop.clone();
    let (site, places) = (Arc::new(site), Arc::new(Semaphore::new(CONNECTIONS)));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            // Usually out of file descriptors; they come back when connections close.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Who finds no place is not kept waiting.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (site, stop) = (site.clone(), stop.clone());
        tasks.spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let site = site.clone();
                async move { Ok::<_, std::convert::Infallible>(routes::answer(&site, request).await) }
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            if let Some(Err(error)) = stop.run_until_cancelled(serving).await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
}

//! The front desk: takes a request, finds who asks and what for, and passes it on.

use std::net::SocketAddr;
use std::sync::Arc;

use everynode_wire::status::Status;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::authn::{self, Connection};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::http::body::{self, Body};
use crate::pki::Pki;
use crate::store::Store;

/// Everything that a request needs.
#[derive(Debug)]
pub struct Api {
    config: Config,
    catalog: Catalog,
    store: Store,
    token: String,
    address: SocketAddr,
    stop: watch::Receiver<bool>,
}

impl Api {
    pub(crate) fn new(
        config: Config,
        catalog: Catalog,
        store: Store,
        pki: &Pki,
        address: SocketAddr,
        stop: watch::Receiver<bool>,
    ) -> Api {
        Api { config, catalog, store, token: pki.token.clone(), address, stop }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) async fn bootstrap(&self) -> Result<(), Status> {
        Ok(())
    }

    pub(crate) async fn sweep_events(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let _ = stop.wait_for(|stopped| *stopped).await;
    }

    /// Answers one request.
    pub(crate) async fn serve(&self, connection: Connection, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let user = authn::authenticate(connection, request.headers(), &self.token);
        if user.is_none() && !authn::is_public(path) {
            let status = Status::unauthorized();
            return body::json(status.code(), &status.to_value());
        }
        match path.trim_matches('/') {
            "livez" | "readyz" | "healthz" => body::text(200, "ok"),
            _ => body::text(404, "404 page not found\n"),
        }
    }
}

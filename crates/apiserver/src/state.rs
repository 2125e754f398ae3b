//! What the server knows: all that requests read and change. It knows nothing of requests.

use tokio::sync::watch;

use crate::admission::ledger::SharedLedger;
use crate::authz::Rbac;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::kubelet::Kubelets;
use crate::metrics::Metrics;
use crate::store::Store;

/// The state of a server.
#[derive(Debug)]
pub struct State {
    /// What it was told when it started.
    pub config: Config,
    /// What is served, and where its objects lie.
    pub catalog: Catalog,
    /// The objects.
    pub store: Store,
    /// What clients are known by.
    pub credentials: Credentials,
    /// Who may do what, by roles.
    pub rbac: Rbac,
    /// The way to nodes.
    pub kubelets: Kubelets,
    /// What pods take of quotas.
    pub ledger: SharedLedger,
    /// The counters.
    pub metrics: Metrics,
    /// Turns true when the server stops.
    pub stop: watch::Receiver<bool>,
}

impl State {
    /// Nothing is served yet beyond what the store and the catalog have.
    pub fn new(
        config: Config,
        catalog: Catalog,
        store: Store,
        credentials: Credentials,
        kubelets: Kubelets,
        stop: watch::Receiver<bool>,
    ) -> State {
        let (ledger, metrics) = (SharedLedger::default(), Metrics::default());
        let rbac = Rbac::new(&catalog, store.clone());
        State { config, catalog, store, credentials, rbac, kubelets, ledger, metrics, stop }
    }

    /// Unix time in seconds.
    pub fn now(&self) -> i64 {
        self.config.clock.unix_seconds()
    }
}

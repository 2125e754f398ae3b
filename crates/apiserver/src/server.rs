//! Starting and stopping.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::api::Api;
use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::config::{Config, Storage};
use crate::credentials::Credentials;
use crate::intercept::unix_seconds;
use crate::kubelet::Kubelets;
use crate::pki::{Pair, Pki, PkiError};
use crate::private::{self, PrivateError};
use crate::router::Router;
use crate::serve::{self, Host};
use crate::state::State;
use crate::store::{Backend, BackendError, Durable, LeftOut, Memory, Store};
use crate::tls;
use crate::tokens::Key;
use crate::upkeep::definitions::Definitions;
use crate::upkeep::{aggregation, bootstrap, certificates, own_service, quotas, sweeper, token_secrets};

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens on the address.
    #[error("cannot listen on {0}: the address is in use by another program")]
    AddressInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The data directory cannot be made or read, or is not ours alone.
    #[error("the data directory cannot be used: {0}")]
    Directory(#[from] PrivateError),
    /// The audit log cannot be opened.
    #[error("cannot open the audit log {0}: {1}")]
    AuditLog(String, io::Error),
    /// The certificates cannot be made or read.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] BackendError),
    /// The objects that every cluster has could not be made.
    #[error("cannot prepare the cluster: {0}")]
    Bootstrap(String),
}

/// The credentials of a node, all in PEM but the kubeconfig.
#[derive(Debug, Clone)]
pub struct NodeCredentials {
    /// By which its kubelet is `system:node:NAME` in `system:nodes`.
    pub kubeconfig: String,
    /// What its endpoint shows.
    pub serving_certificate: String,
    /// The key of that.
    pub serving_key: String,
    /// The cluster's authority, by whose client certificates the API server is known.
    pub authority_certificate: String,
}

/// A running API server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    pki: Pki,
    own: Pair,
    state: Arc<State>,
    host: Arc<Host>,
    audit: Option<Audit>,
    left_out: Option<LeftOut>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    notes: Vec<String>,
}

impl Server {
    /// Opens the store, makes or loads certificates, listens, and serves from now on.
    pub async fn start(config: Config) -> Result<Server, Error> {
        let Storage::Directory(path) = &config.storage else {
            return Server::start_on(config, Box::new(Memory)).await;
        };
        let notes = prepare(path)?;
        let durable = Durable::open(path, config.on_damage)?;
        let left_out = durable.left_out().cloned();
        let server = Server::start_on(config, Box::new(durable)).await?;
        Ok(Server { left_out, notes, ..server })
    }

    /// Starts on a backend; `config.storage` says only where the secrets live.
    async fn start_on(config: Config, backend: Box<dyn Backend>) -> Result<Server, Error> {
        let now = unix_seconds();
        let pki = match &config.storage {
            Storage::Ephemeral => Pki::generate(now)?,
            Storage::Directory(path) => Pki::load_or_generate(path, now)?,
        };
        let open = |path: &PathBuf| {
            Audit::open(path).map_err(|error| Error::AuditLog(path.display().to_string(), error))
        };
        let audit = config.audit_log.as_ref().map(open).transpose()?;
        let tls = TlsAcceptor::from(tls::server_config(&pki)?);
        let own = pki.own(now)?;
        let shown = tls::certificate(&own.certificate)?;
        let listener = TcpListener::bind(config.listen).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Error::AddressInUse(config.listen),
            _ => Error::Listen(config.listen, error),
        })?;
        let address = listener.local_addr().map_err(|error| Error::Listen(config.listen, error))?;

        let catalog = Catalog::new(config.usage.is_some());
        let store = Store::open(backend, catalog.table_specs(), config.store_limits, &|table, bytes| {
            catalog.read_facts(table, bytes)
        })?;
        let (stop, stopped) = watch::channel(false);
        let credentials = Credentials {
            admin_token: pki.token.clone(),
            key: Key::from_pem(&pki.account_key)?,
            authority: pki.authority.clone(),
        };
        let kubelet_client = pki.kubelet_client(now)?;
        let connector = config.kubelet_connector.clone();
        let kubelets = Kubelets::new(connector, &pki, &kubelet_client, config.kubelet_streams)?;
        let interceptor = config.interceptor.clone();
        let state = State::new(config, catalog, store, credentials, kubelets, stopped.clone());
        let state = Arc::new(state);
        bootstrap::run(&state).await.map_err(|status| Error::Bootstrap(status.message))?;
        let mut definitions = Definitions::new(state.clone());
        if let Some(definitions) = &mut definitions {
            // What was defined before is served from the first request on.
            definitions.settle().await;
        }
        let router = Router::new(state.clone(), audit.clone(), address);
        let api = Api::new(state.clone(), router, audit.clone());
        let host = Arc::new(Host::new(tls, Arc::new(api), shown, interceptor));
        let mut tasks = vec![
            tokio::spawn(serve::run(listener, host.clone(), stopped.clone())),
            tokio::spawn(sweeper::run(state.clone(), stopped.clone())),
            tokio::spawn(quotas::run(state.clone(), stopped.clone())),
            tokio::spawn(own_service::run(state.clone(), stopped.clone())),
            tokio::spawn(token_secrets::run(state.clone(), stopped.clone())),
            tokio::spawn(aggregation::run(state.clone(), stopped.clone())),
            tokio::spawn(certificates::run(state.clone(), stopped.clone())),
        ];
        tasks.extend(definitions.map(|definitions| tokio::spawn(definitions.run(stopped))));
        Ok(Server { address, pki, own, state, host, audit, left_out: None, stop, tasks, notes: Vec::new() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of its URLs, such as `https://127.0.0.1:6443`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A kubeconfig with which an admin reaches it.
    pub fn kubeconfig(&self) -> String {
        self.pki.kubeconfig(&self.url(), &self.pki.admin)
    }

    /// A kubeconfig for the parts of this process. By its certificate, which is in no file, their connections and
    /// requests are known and have places of their own.
    pub fn own_kubeconfig(&self) -> String {
        self.pki.kubeconfig(&self.url(), &self.own)
    }

    /// Serves who connects to another listener too, until the server stops: one in the network namespace of a node, at the
    /// address of the service `kubernetes`, by which its pods reach the API.
    pub fn listen_also(&mut self, listener: TcpListener) {
        let stopped = self.stop.subscribe();
        self.tasks.push(tokio::spawn(serve::run(listener, self.host.clone(), stopped)));
    }

    /// A connection within this process, without TLS and without a port, for HTTP/1.1 or HTTP/2. Whoever has it is an admin.
    pub fn connect(&self) -> DuplexStream {
        serve::connect(&self.host, self.stop.subscribe())
    }

    /// What an agent needs that runs pods as the node of a name: its identity towards the API, which it reaches at `api`,
    /// and a certificate for its own endpoint, which is reached at these addresses.
    ///
    /// # Errors
    /// The authority cannot be read.
    pub fn node_credentials(
        &self,
        node: &str,
        addresses: &[IpAddr],
        api: SocketAddr,
    ) -> Result<NodeCredentials, PkiError> {
        let now = unix_seconds();
        let serving = self.pki.node_serving(node, addresses, now)?;
        let client = self.pki.node_client(node, now)?;
        Ok(NodeCredentials {
            kubeconfig: self.pki.kubeconfig(&format!("https://{api}"), &client),
            serving_certificate: serving.certificate,
            serving_key: serving.key,
            authority_certificate: self.pki.authority.certificate.clone(),
        })
    }

    /// The admin's bearer token.
    pub fn token(&self) -> &str {
        &self.pki.token
    }

    /// The certificate of the cluster's authority, in PEM.
    pub fn authority_certificate(&self) -> &str {
        &self.pki.authority.certificate
    }

    /// What its owner should know of how it started: what was open to other users.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Why the store takes no more writes, when it does not.
    pub fn write_failure(&self) -> Option<String> {
        self.state.store.write_failure()
    }

    /// What the store goes on without, when it was damaged.
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.left_out.as_ref()
    }

    /// Stops accepting, ends watches, lets open requests finish, and closes the store.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
        if let Some(audit) = self.audit {
            audit.close().await;
        }
        let store = self.state.store.clone();
        drop((self.host, self.state));
        store.close().await;
    }
}

/// Makes the data directory, or sees to it that it and what it holds are ours alone. Gives a note for each thing that
/// was open to other users.
fn prepare(directory: &Path) -> Result<Vec<String>, PrivateError> {
    let closed = private::make_directory(directory)?;
    let files = ["pki.json", "store.redb"].map(|name| private::check_file(&directory.join(name)));
    closed.into_iter().map(|note| Ok(Some(note))).chain(files).filter_map(Result::transpose).collect()
}

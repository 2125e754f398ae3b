//! `up`: a whole small cluster in one process.
//!
//! The embedded API server, the DaemonSet controller, the loops of this crate and the simulated nodes, each
//! of which talks to the server over HTTP on loopback as it would to any other. What a user sees comes from
//! watches too ([`model`]), so the view cannot know more than kubectl could.

pub mod model;

mod apply;
mod files;
mod nodes;
mod real_nodes;
mod remove;
mod sources;
mod usage;
mod views;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use everynode_api::rollout_policy;
use everynode_apiserver as apiserver;
use everynode_client::Client;
use everynode_controller::{Controller, ControllerConfig, Election, LeaseConfig, Metrics};
use everynode_model::Value;
use everynode_node::{Fleet, FleetConfig, Mode, NodeSpec};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use apply::{Applied, Outcome, apply};
pub use everynode_apiserver::{LeftOut, Storage};
pub use everynode_realnodes::RealNodesError;
pub use everynode_registry::StoreError as ImagesError;
pub use nodes::wanted as simulated_nodes;
pub use real_nodes::{RealNodesConfig, RealNodesWanted};
pub use remove::{Removed, live, remove};
pub use sources::{Document, SourceError, parse};

use crate::LoopsConfig;
use model::Snapshot;
use real_nodes::RealFleet;
use usage::FleetUsage;

/// Who manages the fields of what `up` applies.
const MANAGER: &str = "everynode";
/// How long the parts may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Requests that `up` and its parts have under way at once, per part.
const CONCURRENCY: usize = 64;

/// What to start.
#[derive(Debug, Clone)]
pub struct UpConfig {
    /// Address of the API server; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where the state is kept.
    pub storage: Storage,
    /// Whether to go on without what is damaged in that state, rather than not at all.
    pub skip_damaged: bool,
    /// Where the kubeconfig goes; by default into the data directory, or a temporary one.
    pub kubeconfig: Option<PathBuf>,
    /// Which nodes to simulate.
    pub nodes: NodesWanted,
    /// Which nodes beside them are real.
    pub real_nodes: Option<RealNodesWanted>,
    /// How long a pod takes from being bound to being ready.
    pub pod_start: Duration,
    /// Where every request to the API is taken down; `None` takes nothing down.
    pub audit_log: Option<PathBuf>,
    /// What runs beside the API server.
    pub parts: Parts,
}

/// What of a control plane runs beside the API server; somebody else may bring the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The DaemonSet controller.
    pub daemonsets: bool,
    /// The other loops of a controller manager: namespaces, nodes, garbage, disruption budgets.
    pub controllers: bool,
    /// The binder of pods.
    pub scheduler: bool,
    /// The kinds of everynode, the accounts that pods must have, and a view of it all.
    pub surroundings: bool,
}

impl Parts {
    /// All of it.
    pub const ALL: Parts = Parts { daemonsets: true, controllers: true, scheduler: true, surroundings: true };
    /// Nothing: an API for tests.
    pub const NONE: Parts =
        Parts { daemonsets: false, controllers: false, scheduler: false, surroundings: false };
}

/// Which nodes to simulate.
#[derive(Debug, Clone)]
pub enum NodesWanted {
    /// Numbered ones, alike but for their zones, every third with accelerators.
    Count {
        /// How many.
        count: u32,
        /// What their names begin with.
        prefix: String,
    },
    /// The Node objects of this file.
    Fleet(PathBuf),
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The API server did not start: the port, the data directory or the store.
    #[error(transparent)]
    Server(#[from] apiserver::Error),
    /// The kubeconfig was not written.
    #[error("cannot write the kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The fleet file cannot be used.
    #[error("fleet file {0}")]
    Fleet(SourceError),
    /// The definition of RolloutPolicy was refused.
    #[error("cannot define RolloutPolicy: {0}")]
    Definition(SourceError),
    /// There can be no real nodes.
    #[error(transparent)]
    RealNodes(#[from] RealNodesError),
    /// The folder of images cannot be read.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// What real nodes connect to cannot be served.
    #[error("real nodes cannot be served: {0}")]
    Listener(std::io::Error),
    /// The server does not answer.
    #[error(transparent)]
    Client(#[from] everynode_client::Error),
}

/// What there is to tell while manifests are applied.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// What became of an object.
    Applied(&'a Applied),
    /// What is odd in a document.
    Warned(&'a SourceError),
    /// Why a document was refused.
    Refused(&'a SourceError),
}

/// What became of all documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How many the cluster took.
    pub applied: usize,
    /// How many were refused; a file that cannot be read counts as one.
    pub refused: usize,
}

/// A running cluster.
#[derive(Debug)]
pub struct Up {
    server: apiserver::Server,
    client: Client,
    kubeconfig: files::Kubeconfig,
    storage: Storage,
    healthy_nodes: usize,
    real: Option<RealFleet>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    parts: JoinSet<()>,
    cancel: CancellationToken,
}

impl Up {
    /// Starts all parts. The API answers when this returns; nodes and controllers are on their way.
    ///
    /// # Errors
    /// [`UpError`]; nothing is left running then.
    pub async fn start(config: UpConfig) -> Result<Up, UpError> {
        let wanted = nodes::wanted(&config.nodes).map_err(UpError::Fleet)?;
        let real = match config.real_nodes.clone() {
            Some(wanted) => Some(RealFleet::prepare(wanted).await?),
            None => None,
        };
        let usage = Arc::new(FleetUsage::default());
        let metrics = Metrics::new();
        let start = apiserver::Config {
            figures: config.parts.daemonsets.then(|| Arc::new(ControllerFigures(metrics.clone())) as _),
            ..server_config(&config, real.as_ref(), usage.clone())
        };
        let mut server = apiserver::Server::start(start).await?;
        let text = server.kubeconfig();
        let kubeconfig = files::Kubeconfig::write(&config, &text)
            .map_err(|(path, source)| UpError::Kubeconfig { path: path.display().to_string(), source })?;
        let client = Client::from_kubeconfig_text(&server.own_kubeconfig()).await?;
        usage.connect(client.clone().with_user_agent("everynode-metrics"));
        if config.parts.surroundings {
            define_policies(&client).await.map_err(UpError::Definition)?;
        }
        let nodes = match config.parts.surroundings {
            true => nodes::with_known(wanted, &client).await?,
            false => Vec::new(),
        };
        let healthy_nodes = nodes.iter().filter(|node| node.mode == Mode::Healthy).count();
        let cancel = CancellationToken::new();
        let mut parts = JoinSet::new();
        start_parts(&mut parts, &client, &cancel, &config, &server);
        if config.parts.surroundings {
            let fleet = fleet_config(nodes, config.pod_start);
            let client = client.clone().with_user_agent("everynode-nodes");
            parts.spawn(Fleet::run(client, fleet, cancel.clone()));
        }
        if config.parts.daemonsets {
            let client = client.clone().with_user_agent("everynode-controller");
            parts.spawn(control(client, metrics, cancel.clone()));
        }
        let real = match real {
            Some(fleet) => Some(fleet.start(&mut server, &mut parts, &cancel).await?),
            None => None,
        };
        let snapshots = match config.parts.surroundings {
            true => {
                views::follow(&mut parts, client.clone().with_user_agent("everynode-view"), cancel.clone())
            }
            false => watch::channel(Arc::default()).1,
        };
        let storage = config.storage;
        Ok(Up { server, client, kubeconfig, storage, healthy_nodes, real, snapshots, parts, cancel })
    }

    /// Address of the API, such as `https://127.0.0.1:7443`.
    pub fn server_url(&self) -> &str {
        self.client.server_url()
    }

    /// What the state goes on without, when it was damaged.
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.server.left_out()
    }

    /// The kubeconfig that was written.
    pub fn kubeconfig_path(&self) -> &Path {
        self.kubeconfig.path()
    }

    /// What its owner should know of how it started: what was open to other users.
    pub fn notes(&self) -> &[String] {
        self.server.notes()
    }

    /// How many of the simulated nodes are meant to become ready.
    pub fn healthy_nodes(&self) -> usize {
        self.healthy_nodes
    }

    /// How many nodes are real. They are ready once a network plugin has come.
    pub fn real_nodes(&self) -> usize {
        self.real.as_ref().map_or(0, RealFleet::count)
    }

    /// Why the store takes no more writes, when it does not: the disk is full, for example.
    pub fn write_failure(&self) -> Option<String> {
        self.server.write_failure()
    }

    /// A clause that says what becomes of the state: `its state stays in DIR`.
    pub fn state_note(&self) -> String {
        match &self.storage {
            Storage::Ephemeral => "its state is in memory and goes with it".into(),
            Storage::Directory(dir) => format!("its state stays in {}", dir.display()),
        }
    }

    /// The fleet as a view shows it, renewed on every change but not more than a few times a second.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Applies the manifests of these files and directories: namespaces first, then everything in order.
    /// Tells what became of each object.
    pub async fn apply(&self, paths: &[PathBuf], tell: impl Fn(News<'_>)) -> Tally {
        let client = self.client.clone().with_user_agent("everynode-apply");
        let (documents, errors) = sources::read(paths);
        errors.iter().for_each(|error| tell(News::Refused(error)));
        let mut tally = Tally { applied: 0, refused: errors.len() };
        match apply::create_missing_namespaces(&client, &documents).await {
            Ok(created) => created.iter().for_each(|created| tell(News::Applied(created))),
            Err(error) => tell(News::Refused(&error)),
        }
        for document in apply::in_order(documents) {
            document.warnings.iter().for_each(|warning| tell(News::Warned(warning)));
            match apply::apply(&client, &document, MANAGER).await {
                Ok(outcome) => {
                    tell(News::Applied(&outcome));
                    tally.applied += 1;
                }
                Err(error) => {
                    tell(News::Refused(&error));
                    tally.refused += 1;
                }
            }
        }
        tally
    }

    /// Whether the cluster has a DaemonSet.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn has_daemonsets(&self) -> Result<bool, everynode_client::Error> {
        let list = self.client.get("/apis/apps/v1/daemonsets?limit=1").await?;
        let list: Value = serde_json::from_slice(&list)
            .map_err(|error| everynode_client::Error::Decode(error.to_string()))?;
        Ok(list["items"].as_array().is_some_and(|items| !items.is_empty()))
    }

    /// Stops all parts, then the server. What was acknowledged is kept.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        if let Some(real) = self.real {
            real.stop().await;
        }
        let all = async { while self.parts.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all).await.is_err() {
            tracing::warn!("some parts did not end in {STOP_LIMIT:?} and are aborted");
            self.parts.abort_all();
        }
        self.server.shutdown().await;
    }
}

/// The figures of the controller and of each DaemonSet, which the API server shows with its own.
#[derive(Debug)]
struct ControllerFigures(Metrics);

impl apiserver::MoreFigures for ControllerFigures {
    fn text(&self) -> BoxFuture<'_, String> {
        self.0.scrape_as_text().boxed()
    }
}

/// Makes the server serve RolloutPolicy, as on a cluster on which everynode was installed.
async fn define_policies(client: &Client) -> Result<(), SourceError> {
    for document in parse("rollout-policy-crd.yaml", rollout_policy::DEFINITION)? {
        apply(client, &document, MANAGER).await?;
    }
    Ok(())
}

fn server_config(config: &UpConfig, real: Option<&RealFleet>, usage: Arc<FleetUsage>) -> apiserver::Config {
    apiserver::Config {
        listen: config.listen,
        storage: config.storage.clone(),
        on_damage: if config.skip_damaged {
            apiserver::OnDamage::LeaveOut
        } else {
            apiserver::OnDamage::Refuse
        },
        audit_log: config.audit_log.clone(),
        kubelet_connector: real.map(RealFleet::connector).unwrap_or_default(),
        service_account_admission: config.parts.surroundings,
        components: apiserver::Components {
            scheduler: config.parts.scheduler,
            controller_manager: config.parts.controllers,
        },
        usage: config.parts.surroundings.then_some(usage as Arc<dyn apiserver::UsageSource>),
        ..apiserver::Config::default()
    }
}

fn fleet_config(nodes: Vec<NodeSpec>, pod_start: Duration) -> FleetConfig {
    FleetConfig { pod_start: (pod_start, pod_start), concurrency: CONCURRENCY, ..FleetConfig::new(nodes) }
}

fn start_parts(
    parts: &mut JoinSet<()>,
    client: &Client,
    cancel: &CancellationToken,
    config: &UpConfig,
    server: &apiserver::Server,
) {
    let (binder, controllers) = (config.parts.scheduler, config.parts.controllers);
    if binder || controllers {
        let loops = LoopsConfig { binder, controllers, ..LoopsConfig::new(server.authority_certificate()) };
        let client = client.clone().with_user_agent("everynode-local");
        parts.spawn(crate::loops(client, loops, cancel.clone()));
    }
}

/// The same election as that of `everynode controller`, so that one run against this cluster stands by. The identity
/// is the same in every life of the cluster: its store has one owner at a time, so the next need not wait.
async fn control(client: Client, metrics: Metrics, cancel: CancellationToken) {
    let config = ControllerConfig { workers: CONCURRENCY, metrics, ..ControllerConfig::default() };
    let lease = LeaseConfig::new("kube-system", "everynode-controller", "everynode-up");
    let work = |client, term| Controller::run(client, config.clone(), term);
    let ended = match Election::new(client, lease, config.metrics.clone(), config.health.clone()) {
        Ok(election) => election.run(cancel, work).await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::error!(%error, "the controller ended");
    }
}

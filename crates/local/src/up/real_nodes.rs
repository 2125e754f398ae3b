//! The real nodes of `up`: made of namespaces, joined to its API, and given images.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use everynode_apiserver::{KubeletConnector, KubeletStream, SERVICE_ADDRESS, Server};
use everynode_realnodes::{Lan, RealNodes};
use everynode_registry::{ImageStore, Sources};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::UpError;

pub use everynode_realnodes::RealNodesConfig;

/// What the names of real nodes begin with.
const PREFIX: &str = "real-";
/// The port of the API on the network of real nodes: that of the service `kubernetes`.
const API_PORT: u16 = 443;

/// Which nodes are real.
#[derive(Debug, Clone)]
pub struct RealNodesWanted {
    /// How many.
    pub count: u16,
    /// Where the archives of images are.
    pub images: PathBuf,
    /// Whether the registries that images are named after are asked for those that no archive has.
    pub pull_images: bool,
    /// How they are made.
    pub config: RealNodesConfig,
}

/// The real nodes of a cluster. They end with this.
#[derive(Debug)]
pub struct RealFleet {
    count: u16,
    images: Sources,
    nodes: RealNodes,
}

/// The address of the API on the network of real nodes.
pub const API: SocketAddr = SocketAddr::new(IpAddr::V4(SERVICE_ADDRESS), API_PORT);

impl RealFleet {
    /// Sees to it that they can be made here, and makes their network.
    pub async fn prepare(wanted: RealNodesWanted) -> Result<RealFleet, UpError> {
        let images = Sources {
            store: Arc::new(ImageStore::open(wanted.images)?),
            upstream: wanted.pull_images.then(Arc::default),
        };
        let nodes = blocking(move || RealNodes::prepare(wanted.config, SERVICE_ADDRESS)).await??;
        Ok(RealFleet { count: wanted.count, images, nodes })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.into()
    }

    /// The way to the kubelets of these nodes, which no other way leads to.
    pub fn connector(&self) -> KubeletConnector {
        let lan = self.nodes.lan().clone();
        let others = KubeletConnector::default();
        let own: Vec<IpAddr> = (1..=self.count).map(|number| RealNodes::address(number).into()).collect();
        KubeletConnector::new(move |node, address| {
            if !own.contains(&address.ip()) {
                return others.open(node, address);
            }
            let lan = lan.clone();
            Box::pin(async move {
                let stream = connect(lan, address).await?;
                Ok(Box::new(stream) as Box<dyn KubeletStream>)
            })
        })
    }

    /// Starts them all. Their agents are on their way when this returns.
    pub async fn start(
        mut self,
        server: &mut Server,
        parts: &mut JoinSet<()>,
        cancel: &CancellationToken,
    ) -> Result<RealFleet, UpError> {
        let mut given = Vec::new();
        for number in 1..=self.count {
            let (name, address) = (format!("{PREFIX}{number}"), RealNodes::address(number).into());
            let credentials =
                server.node_credentials(&name, &[address], API).map_err(everynode_apiserver::Error::from)?;
            given.push((number, name, credentials.kubeconfig));
        }
        let lan = self.nodes.lan().clone();
        let (api, (images, registry)) =
            blocking(move || Ok::<_, UpError>((lan.listen(API)?, lan.listen_for_images()?))).await??;
        let listener = |listener| TcpListener::from_std(listener).map_err(UpError::Listener);
        server.listen_also(listener(api)?);
        parts.spawn(everynode_registry::serve(listener(images)?, self.images.clone(), cancel.clone()));
        blocking(move || {
            self.nodes.start(given, registry)?;
            Ok(self)
        })
        .await?
    }

    /// Ends them, and removes what they have on disk.
    pub async fn stop(self) {
        // A thread that panicked has said so.
        let _ = blocking(move || drop(self)).await;
    }
}

async fn connect(lan: Lan, address: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = spawn_blocking(move || lan.socket()).await.map_err(std::io::Error::other)??;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, UpError> {
    spawn_blocking(work).await.map_err(|error| UpError::Listener(std::io::Error::other(error)))
}

//! The fleet in one picture: a page for one person on this machine, of a cluster or of snapshots of one.
//!
//! ```text
//! cluster, snapshot files --> keeper --> picture: columns of states --> hub --> server --> page
//!                               |        (engine, inspect, plan)               loopback    draws
//!                               +-- answers: why, plan, cohorts <--------------- asks
//! ```
//!
//! The `keeper` owns a lean fleet and asks `inspect` and `plan` about it, one DaemonSet at a time. What a page draws
//! is a `picture`: names once, then a byte for each daemon on each node, sent as one frame and then as deltas
//! (`hub`). The `server` listens on loopback, lets in who has the token of the address that was printed, and has no
//! route that writes. The page has no logic but drawing, counting and choosing.

mod answers;
mod frame;
mod guard;
mod hub;
mod keeper;
mod page;
mod picture;
mod routes;
mod server;
mod summary;
mod usage;
#[cfg(test)]
mod weather_tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use everynode_client::Client;
use everynode_inspect::LeanFleet;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use picture::{Column, Labels, Picture};

/// What is shown.
pub enum Source {
    /// Files of snapshots, in any order.
    Snapshots(Vec<PathBuf>),
    /// A cluster.
    Cluster {
        /// With the rights of who looks.
        client: Box<Client>,
        /// The namespace whose DaemonSets are shown; `None` shows all.
        namespace: Option<String>,
        /// What is read where the whole cluster must not be listed.
        fallback: String,
    },
    /// A picture that somebody has drawn.
    Picture(Box<Picture>),
}

/// Why there is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No port could be had.
    #[error("cannot listen on loopback: {0}")]
    Listen(std::io::Error),
    /// A snapshot cannot be used.
    #[error("snapshot {path}: {why}")]
    Snapshot {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The cluster cannot be read.
    #[error("{0}")]
    Cluster(String),
    /// There is no chance to be had for a token.
    #[error("the system gives no random numbers")]
    Random,
}

/// A dashboard that is served.
#[derive(Debug)]
pub struct Dashboard {
    url: String,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Dashboard {
    /// Reads the source and serves it on a port of loopback (0 takes any) until `stop` is cancelled.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(source: Source, port: u16, stop: CancellationToken) -> Result<Dashboard, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.map_err(StartError::Listen)?;
        let address = listener.local_addr().map_err(StartError::Listen)?;
        let (guard, token) = guard::Guard::new(address).ok_or(StartError::Random)?;
        let (keeper, hub, asks) = keeper::Keeper::open(source).await?;
        let tasks = TaskTracker::new();
        tasks.spawn(keeper.run(stop.clone()));
        let site = server::Site { guard, hub, asks, page: page::Page::new(), stop: stop.clone() };
        tasks.spawn(server::run(listener, site, tasks.clone()));
        tasks.close();
        Ok(Dashboard { url: format!("http://{address}/?token={token}"), stop, tasks })
    }

    /// The address to open. It lets one browser in, once.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends everything that was started.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// Does what takes long, and has another thread do meanwhile what else this one had to do, where there is another.
fn at_length<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// A fleet whose parts come from a file.
fn snapshot(path: &PathBuf) -> Result<LeanFleet, StartError> {
    let wrong = |why: String| StartError::Snapshot { path: path.display().to_string(), why };
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    LeanFleet::from_file(file).map_err(|error| wrong(error.to_string()))
}

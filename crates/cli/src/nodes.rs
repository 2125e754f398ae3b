//! `everynode nodes`: simulated nodes for any cluster.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use everynode_client::Client;
use everynode_local::up::{NodesWanted, simulated_nodes};
use everynode_node::{Fleet, FleetConfig};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::shared::{ClusterArgs, duration, node_count};
use crate::signals::stop_on_signals;

/// Arguments of `nodes`.
#[derive(Debug, clap::Args)]
pub struct NodesArgs {
    /// The cluster to join.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Number of nodes to simulate
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "fleet",
        conflicts_with = "fleet",
        value_parser = node_count()
    )]
    pub simulate: Option<u32>,
    /// Simulate these nodes: Node objects as `kubectl get nodes -o yaml` prints them
    #[arg(long, value_name = "FILE")]
    pub fleet: Option<PathBuf>,
    /// Names of the nodes begin with this
    #[arg(long, value_name = "PREFIX", default_value = "node-")]
    pub name_prefix: String,
    /// How long a simulated pod takes from being bound to being ready
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub pod_start: Duration,
    /// Requests under way at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub concurrency: u32,
    /// Delete the Node objects of this run when it is stopped
    #[arg(long)]
    pub clean_up: bool,
}

/// Joins the nodes to the cluster and simulates them until it is told to stop.
#[expect(clippy::print_stdout, reason = "this is where the command speaks to its user")]
pub async fn run(args: NodesArgs) -> Result<ExitCode, Failure> {
    let wanted = match (&args.fleet, args.simulate) {
        (Some(file), _) => NodesWanted::Fleet(file.clone()),
        (None, count) => {
            NodesWanted::Count { count: count.unwrap_or_default(), prefix: args.name_prefix.clone() }
        }
    };
    let nodes = simulated_nodes(&wanted)?;
    let client = args.cluster.connect().await?;
    client.get("/version").await?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let names: Vec<_> = nodes.iter().map(|node| node.name.clone()).collect();
    println!("{} nodes join {}; Ctrl-C stops them", names.len(), client.server_url());
    let concurrency = usize::try_from(args.concurrency).unwrap_or(1);
    let config =
        FleetConfig { pod_start: (args.pod_start, args.pod_start), concurrency, ..FleetConfig::new(nodes) };
    Fleet::run(client.clone(), config, stop).await;
    if args.clean_up {
        let left = delete(&client, &names).await;
        println!("{} Node objects deleted", names.len() - left);
    }
    Ok(ExitCode::SUCCESS)
}

/// Deletes the Node objects and returns how many could not be deleted.
async fn delete(client: &Client, names: &[String]) -> usize {
    let mut left = 0;
    for name in names {
        match client.delete(&format!("/api/v1/nodes/{name}"), "").await {
            Err(error) if !error.is_not_found() => {
                tracing::warn!(%error, name, "a Node object was not deleted");
                left += 1;
            }
            _ => {}
        }
    }
    left
}

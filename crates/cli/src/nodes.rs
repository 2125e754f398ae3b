//! `everynode nodes`: simulated nodes for any cluster.

use std::process::ExitCode;

use everynode_client::Client;
use everynode_local::up::{NodesWanted, simulated_nodes};
use everynode_node::{Fleet, FleetConfig};
use tokio_util::sync::CancellationToken;

use crate::args::NodesArgs;
use crate::failure::Failure;
use crate::up::stop_on_signals;

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
    let client = Client::infer(args.cluster.kubeconfig.as_deref(), args.cluster.context.as_deref()).await?;
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

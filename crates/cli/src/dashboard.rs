//! `everynode dashboard`: the fleet in one picture, in a browser on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use everynode_client::Client;
use everynode_dashboard::{Dashboard, Source};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::out::say;
use crate::shared::ClusterArgs;
use crate::signals::stop_on_signals;

/// Arguments of `dashboard`.
#[derive(Debug, clap::Args)]
pub struct DashboardArgs {
    /// Show these snapshots, offline, instead of a cluster; of several, a slider goes from one to the next
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["kubeconfig", "context", "namespace"])]
    pub snapshot: Vec<PathBuf>,
    /// The DaemonSets of all namespaces, which is the default
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// The DaemonSets of this namespace only
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Port of 127.0.0.1 to serve on [default: any free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// The cluster to show.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Serves the dashboard until a signal comes.
pub async fn run(args: DashboardArgs) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let source = match args.snapshot.is_empty() {
        false => Source::Snapshots(args.snapshot),
        true => of_cluster(args.cluster.connect().await?, args.namespace),
    };
    let Some(started) = stop.run_until_cancelled(Dashboard::start(source, args.port, stop.clone())).await
    else {
        return Ok(ExitCode::FAILURE);
    };
    let dashboard = started?;
    say(&format!("{}\nCtrl-C ends it. Nothing of the cluster is changed.\n", opened(&dashboard)));
    stop.cancelled().await;
    dashboard.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The DaemonSets of a cluster, as far as who looks may see them.
pub fn of_cluster(client: Client, namespace: Option<String>) -> Source {
    let fallback = client.default_namespace().to_owned();
    let client = Box::new(client.with_user_agent("everynode-dashboard"));
    Source::Cluster { client, namespace, fallback }
}

/// Where to look.
pub fn opened(dashboard: &Dashboard) -> String {
    format!(
        "dashboard  {}\nOpen it in a browser on this machine: the address lets one in, once.",
        dashboard.url()
    )
}

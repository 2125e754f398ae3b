//! `everynode controller`: the DaemonSet controller against any cluster.

use std::process::ExitCode;

use everynode_client::Client;
use everynode_controller::{Controller, ControllerConfig, WriteRate};
use tokio_util::sync::CancellationToken;

use crate::args::ControllerArgs;
use crate::failure::Failure;
use crate::up::stop_on_signals;

/// Runs the controller until it is told to stop.
pub async fn run(args: ControllerArgs) -> Result<ExitCode, Failure> {
    let client = Client::infer(args.cluster.kubeconfig.as_deref(), args.cluster.context.as_deref()).await?;
    client.get("/version").await?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let config = ControllerConfig {
        namespace: args.namespace,
        workers: usize::try_from(args.workers).unwrap_or(1),
        rate_limit: Some(WriteRate { qps: args.kube_api_qps, burst: args.kube_api_burst }),
        ..ControllerConfig::default()
    };
    Controller::run(client, config, stop).await?;
    Ok(ExitCode::SUCCESS)
}

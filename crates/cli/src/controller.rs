//! `everynode controller`: the DaemonSet controller against any cluster.

use std::process::ExitCode;

use everynode_client::Client;
use everynode_controller::{
    Controller, ControllerConfig, Election, Endpoints, Health, LeaseConfig, Metrics, Scope, WriteRate,
    unique_identity, wait_for_server,
};
use tokio_util::sync::CancellationToken;

use crate::args::{ControllerArgs, ElectionArgs, ScopeArg};
use crate::failure::Failure;
use crate::up::stop_on_signals;

/// Where a pod finds the name of its namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Runs the controller until it is told to stop.
pub async fn run(args: ControllerArgs) -> Result<ExitCode, Failure> {
    let client = Client::infer(args.cluster.kubeconfig.as_deref(), args.cluster.context.as_deref()).await?;
    let identity = unique_identity();
    let client =
        client.with_user_agent(&format!("everynode-controller/{} ({identity})", env!("CARGO_PKG_VERSION")));
    let (metrics, health, stop) = (Metrics::new(), Health::default(), CancellationToken::new());
    stop_on_signals(stop.clone());
    let endpoints = Endpoints::bind(args.listen, health.clone(), metrics.clone()).await.map_err(|error| {
        Failure::with_hint(
            format!("cannot listen on {}: {error}", args.listen),
            "choose another address with --listen 127.0.0.1:PORT; port 0 takes any free one",
        )
    })?;
    let config = ControllerConfig {
        scope: match args.scope {
            ScopeArg::All => Scope::All,
            ScopeArg::Rollouts => Scope::Rollouts,
        },
        namespace: args.namespace,
        workers: usize::try_from(args.workers).unwrap_or(1),
        rate_limit: Some(WriteRate { qps: args.kube_api_qps, burst: args.kube_api_burst }),
        metrics: metrics.clone(),
        health: health.clone(),
        ..ControllerConfig::default()
    };
    let election = match args.election.leader_elect {
        true => Some(Election::new(client.clone(), lease(args.election, identity), metrics, health)?),
        false => None,
    };
    tracing::info!(address = %endpoints.address()?, "serving /livez, /readyz and /metrics");
    tokio::spawn(endpoints.run(stop.clone()));
    if !wait_for_server(&client, &stop).await? {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(election) = election {
        let work = |client, term| Controller::run(client, config.clone(), term);
        election.run(stop, work).await?;
    } else {
        Controller::run(client, config, stop).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lease(args: ElectionArgs, identity: String) -> LeaseConfig {
    let pod_namespace = || std::fs::read_to_string(POD_NAMESPACE).ok();
    let namespace = args.leader_elect_resource_namespace.or_else(pod_namespace);
    LeaseConfig {
        namespace: namespace.unwrap_or_else(|| "kube-system".to_owned()).trim().to_owned(),
        name: args.leader_elect_resource_name,
        identity,
        lease_duration: args.leader_elect_lease_duration,
        renew_deadline: args.leader_elect_renew_deadline,
        retry_period: args.leader_elect_retry_period,
    }
}

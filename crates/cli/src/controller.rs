//! `everynode controller`: the DaemonSet controller against any cluster.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use everynode_client::KubeletTrust;
use everynode_controller::{
    Controller, ControllerConfig, Election, Endpoints, Health, LeaseConfig, Metrics, SamplerConfig, Scope,
    TraceSettings, WriteRate, unique_identity, wait_for_server,
};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::shared::{ClusterArgs, duration};
use crate::signals::stop_on_signals;

/// Where a pod finds the name of its namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Arguments of `controller`.
#[derive(Debug, clap::Args)]
pub struct ControllerArgs {
    /// The cluster to control.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What to take care of
    #[arg(long, value_enum, default_value = "all", value_name = "SCOPE")]
    pub scope: ScopeArg,
    /// Only the DaemonSets of this namespace
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Serve /livez, /readyz and /metrics here, over plain HTTP; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Writes per second on average
    #[arg(long, value_name = "QPS", default_value_t = 50.0, value_parser = rate)]
    pub kube_api_qps: f64,
    /// Writes at once above the average
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub kube_api_burst: u32,
    /// Writes under way at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: u32,
    /// Of DaemonSets with more pods that an analysis watches, ask the kubelets of some nodes what pods take, and not
    /// metrics.k8s.io
    #[arg(long, value_name = "PODS", default_value_t = 5_000)]
    pub usage_list_limit_pods: usize,
    /// Ask kubelets for that whose certificates the cluster's authority has not signed, too: whoever answers at a node's
    /// address is shown this controller's token
    #[arg(long)]
    pub kubelet_insecure_tls: bool,
    /// How one of several replicas is chosen.
    #[command(flatten)]
    pub election: ElectionArgs,
}

/// What a controller takes care of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// Everything that the built-in DaemonSet controller does, in its place
    All,
    /// Nothing but roll-outs by policy: the built-in controller places the pods
    Rollouts,
}

/// Arguments of the election of a leader, with the names that the controllers of Kubernetes use.
#[derive(Debug, clap::Args)]
pub struct ElectionArgs {
    /// Work only while holding a Lease, so that several replicas can run
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub leader_elect: bool,
    /// How long the others leave a leader alone that they do not hear of
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub leader_elect_lease_duration: Duration,
    /// How long a leader goes on without a renewal
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub leader_elect_renew_deadline: Duration,
    /// Time between two attempts
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub leader_elect_retry_period: Duration,
    /// Name of the Lease
    #[arg(long, value_name = "NAME", default_value = "everynode-controller")]
    pub leader_elect_resource_name: String,
    /// Namespace of the Lease [default: the pod's namespace, else kube-system]
    #[arg(long, value_name = "NAME")]
    pub leader_elect_resource_namespace: Option<String>,
}

/// Runs the controller until it is told to stop.
pub async fn run(args: ControllerArgs) -> Result<ExitCode, Failure> {
    let client = args.cluster.connect().await?;
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
        sampler: SamplerConfig {
            list_limit_pods: args.usage_list_limit_pods,
            kubelet_trust: match args.kubelet_insecure_tls {
                true => KubeletTrust::Anybody,
                false => KubeletTrust::SignedByCluster,
            },
        },
        traces: traces()?,
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

/// Where traces go, as the environment says.
fn traces() -> Result<Option<TraceSettings>, Failure> {
    let hint = "unset OTEL_EXPORTER_OTLP_ENDPOINT to send none";
    TraceSettings::from_environment().map_err(|why| Failure::with_hint(why, hint))
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

/// A rate of requests above zero.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write a number, for example 50")?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("a rate is above zero".into()) }
}

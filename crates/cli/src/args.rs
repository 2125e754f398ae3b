//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::completion::CompletionArgs;
use crate::install::{InstallArgs, UninstallArgs};
use crate::out::Colour;
use crate::plan::PlanArgs;
use crate::rollout::RolloutArgs;
use crate::snapshot::SnapshotArgs;
use crate::status::StatusArgs;
use crate::why::WhyArgs;

/// Options that every command takes: below its own in the help.
const EVERYWHERE: &str = "Options of all commands";

/// One copy of a daemon on every eligible node: the DaemonSet system of Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "everynode", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Args {
    /// How to log.
    #[command(flatten)]
    pub logging: LoggingArgs,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN", help_heading = EVERYWHERE)]
    pub color: Colour,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Logs go to standard error.
#[derive(Debug, clap::Args)]
pub struct LoggingArgs {
    /// Log more: -v for what is done, -vv for why; EVERYNODE_LOG takes filters
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = EVERYWHERE)]
    pub verbose: u8,
    /// Format of the log lines
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT", help_heading = EVERYWHERE)]
    pub log_format: LogFormat,
}

/// Formats of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a small cluster in this process: API server, controller, simulated nodes
    Up(UpArgs),
    /// Join simulated nodes to any cluster
    Nodes(NodesArgs),
    /// Run the DaemonSet controller against a cluster
    ///
    /// The cluster's own DaemonSet controller must be off for --scope all (kube-controller-manager
    /// --controllers=*,-daemonset-controller). Of several replicas one leads and the others stand by.
    Controller(ControllerArgs),
    /// Write the parts of a cluster that decide about DaemonSets to a file, for `plan`
    ///
    /// Reads only. Secrets, environment values and annotations that nothing depends on are left out.
    Snapshot(SnapshotArgs),
    /// Say what a changed or new DaemonSet will do to a fleet, before it is applied
    ///
    /// Runs the controller's engine in virtual time against a model of the fleet. Nothing is written.
    ///
    /// Exit status: 0 safe; 2 the roll-out would stall, exceed its budget or leave nodes without their daemon, or
    /// the fleet has moved since the plan of --check; 1 error, such as a manifest that the API server would refuse.
    Plan(PlanArgs),
    /// Say why a DaemonSet is, or is not, on a node, or not available there
    ///
    /// Tells each predicate that decided, with the label, taint or rule and its value, what would change the answer,
    /// and since when it is so. Without a node it groups all nodes by cause. Reads only.
    ///
    /// Exit status: 0 answered; 1 error, such as a DaemonSet that does not exist; 2 wrong command line.
    Why(WhyArgs),
    /// Show how the roll-outs of DaemonSets stand, who uses up their budgets and why, and when they end
    ///
    /// Reads only. With -w it goes on until Ctrl-C: live on a terminal, a table per change elsewhere.
    ///
    /// Exit status: 0 shown, however the DaemonSets stand; 1 error; 2 wrong command line.
    Status(StatusArgs),
    /// Show and steer roll-outs under a RolloutPolicy: status, pause, resume, promote, abort, retry, history
    ///
    /// Exit status: 0 done, or shown; 1 error, such as a command that would have no effect now; 2 wrong command line.
    Rollout(RolloutArgs),
    /// Install the controller to a cluster: namespace, permissions, two replicas
    Install(InstallArgs),
    /// Remove what `install` made
    Uninstall(UninstallArgs),
    /// Print a script by which a shell completes the command line
    Completion(CompletionArgs),
}

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// Apply this manifest, the manifests of this directory, or those on standard input with `-` (repeatable)
    #[arg(short, long = "filename", value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Number of simulated nodes; simulated nodes of an earlier start come back in any case
    #[arg(long, value_name = "N", default_value_t = 3, conflicts_with = "fleet", value_parser = node_count())]
    pub nodes: u32,
    /// Simulate these nodes: Node objects as `kubectl get nodes -o yaml` of a real cluster prints them
    #[arg(long, value_name = "FILE")]
    pub fleet: Option<PathBuf>,
    /// Loopback address of the API server; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7443", value_parser = loopback)]
    pub listen: SocketAddr,
    /// Keep the state here [default: everynode in the user's data directory]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub data_dir: Option<PathBuf>,
    /// Keep the state in memory only; it is gone when the command ends
    #[arg(long)]
    pub ephemeral: bool,
    /// Where the state is damaged, go on without the objects that are not what was written, and say which. The damaged
    /// file is kept beside the new one
    #[arg(long, conflicts_with = "ephemeral")]
    pub skip_damaged: bool,
    /// Write the kubeconfig here [default: `kubeconfig` in the data directory]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How long a simulated pod takes from being bound to being ready
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub pod_start: Duration,
    /// Append a line to this file for every request to the API, as Kubernetes' audit log has them (JSON)
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Run no DaemonSet controller, to bring another one: `everynode controller --kubeconfig FILE`, for example
    #[arg(long)]
    pub no_controller: bool,
    /// Leave with status 0 once every DaemonSet is fully available, or 1 after --timeout or when a manifest was
    /// refused; at once when nothing can come: everything refused, or no DaemonSet. One for which no node is eligible
    /// counts as available
    #[arg(long)]
    pub exit_when_ready: bool,
    /// How long --exit-when-ready waits
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, requires = "exit_when_ready")]
    pub timeout: Duration,
    /// Print plain lines also on a terminal
    #[arg(long)]
    pub plain: bool,
}

/// Which cluster to talk to.
#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    /// Kubeconfig of the cluster [default: as kubectl; in a pod, its service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

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

/// Nodes that one process simulates at most.
const NODES_LIMIT: i64 = 100_000;

fn node_count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=NODES_LIMIT)
}

/// An address such as `127.0.0.1:7443`, `[::1]:0` or `localhost:7443`; others cannot be certified.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:").map(str::parse::<u16>) {
        Some(Ok(port)) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        _ => {
            text.parse().map_err(|_| "write an address and a port, for example 127.0.0.1:7443 or [::1]:0")?
        }
    };
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(
            "the API server listens on loopback only, such as 127.0.0.1 or [::1]: its certificate is for \
                      this machine, and its kubeconfig makes everybody an administrator"
                .into(),
        ),
    }
}

/// A rate of requests above zero.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write a number, for example 50")?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("a rate is above zero".into()) }
}

/// A duration such as `500ms`, `2s` or `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let hint = || format!("{text:?} is not a duration; write for example 500ms, 2s or 1m30s");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| hint())?;
    Duration::try_from(signed).map_err(|_| hint())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn only_loopback_addresses_are_listened_on() {
        for text in ["127.0.0.1:7443", "127.8.8.8:0", "[::1]:0", "localhost:0"] {
            assert!(loopback(text).is_ok(), "{text}");
        }
        for text in ["0.0.0.0:0", "[::]:0", "192.0.2.7:7443", "7443", "localhost", "127.0.0.1:80000"] {
            assert!(loopback(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [("500ms", 500), ("2s", 2_000), ("1m30s", 90_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "-3s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

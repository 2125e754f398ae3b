//! The command line: the table of the commands, whose own arguments stand beside what they do.

use clap::{Parser, Subcommand};

use crate::agent::AgentArgs;
use crate::completion::CompletionArgs;
use crate::controller::ControllerArgs;
use crate::coverage::CoverageArgs;
use crate::dashboard::DashboardArgs;
use crate::image::ImageArgs;
use crate::install::{InstallArgs, UninstallArgs};
use crate::logging::LoggingArgs;
use crate::nodes::NodesArgs;
use crate::out::Colour;
use crate::outliers::OutliersArgs;
use crate::plan::PlanArgs;
use crate::rollout::RolloutArgs;
use crate::shared::EVERYWHERE;
use crate::snapshot::SnapshotArgs;
use crate::status::StatusArgs;
use crate::up::UpArgs;
use crate::why::WhyArgs;

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

/// The command by which `up` makes a process a real node.
pub const REAL_NODE_COMMAND: &str = "real-node";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a small cluster in this process: API server, controller, simulated nodes
    Up(UpArgs),
    /// Join simulated nodes to any cluster
    Nodes(NodesArgs),
    /// Make this machine a node of any cluster: its pods are real containers, by containerd or CRI-O
    ///
    /// What the kubelet has too is called as there. Containers go on when the agent is stopped, and the next one goes
    /// on with them. Needs Linux, root and a container runtime.
    Agent(AgentArgs),
    /// Be a node of namespaces, as `up --real-nodes` says on standard input
    #[command(name = REAL_NODE_COMMAND, hide = true)]
    RealNode,
    /// Make a container image out of packages and files, without Docker and without a network
    ///
    /// The same files and options give the same image. Times of files are 0, or SOURCE_DATE_EPOCH.
    Image(ImageArgs),
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
    /// Show on how many nodes DaemonSets have a ready pod now, and what keeps the others from it
    ///
    /// Reads only. How that was over time, the controller's metrics say.
    ///
    /// Exit status: 0 shown, however many there are; 1 error; 2 wrong command line.
    Coverage(CoverageArgs),
    /// Show daemons on nodes that have left their level of CPU or memory, and nodes that have with all their daemons
    ///
    /// Samples metrics.k8s.io for a while, or reads a snapshot with samples. Reads only, informs, and does nothing.
    ///
    /// Exit status: 0 shown, however many there are; 1 error; 2 wrong command line.
    Outliers(OutliersArgs),
    /// Show the whole fleet in a browser on this machine: nodes by daemons, what is missing and why, roll-outs, plans
    ///
    /// Serves a page on 127.0.0.1 and prints an address that lets one browser in, once. Reads only, with the rights of
    /// the kubeconfig; what steers a roll-out is shown as the command to copy.
    Dashboard(DashboardArgs),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}

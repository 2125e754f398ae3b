//! `everynode coverage`: how many nodes are served, and what keeps the others from it.

use std::path::PathBuf;
use std::process::ExitCode;

use everynode_engine::Time;
use everynode_inspect::Look;
use everynode_inspect::coverage::Coverage;
use everynode_inspect::status::Filter;
use everynode_plan::Wanted;

use crate::failure::Failure;
use crate::out::{Colour, Output};
use crate::shared::ClusterArgs;
use crate::source::Source;
use crate::status::{check_names, nothing};

/// Arguments of `coverage`.
#[derive(Debug, clap::Args)]
pub struct CoverageArgs {
    /// The DaemonSets to show [default: all of the namespace]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Show the nodes by the values of this label too, the worst first
    #[arg(long, value_name = "LABEL")]
    pub by: Option<String>,
    /// The DaemonSets of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// The DaemonSets of this namespace [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Show this snapshot, offline, instead of a cluster
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context"])]
    pub snapshot: Option<PathBuf>,
    /// The cluster to read.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Output,
}

/// Shows it.
pub async fn run(args: CoverageArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let source = Source::open(args.snapshot.as_ref(), &args.cluster, "everynode-coverage").await?;
    let namespace = args.namespace.clone().unwrap_or_else(|| source.default_namespace().to_owned());
    let wanted = match args.all_namespaces {
        true => Wanted::All(&namespace),
        false => Wanted::Namespace(&namespace),
    };
    // Which nodes are served is a matter of all nodes: those who may not read them are told so.
    let fleet = args.output.fleet(source.fleet(wanted).await?);
    let filter = Filter { namespace: (!args.all_namespaces).then_some(namespace), names: args.names };
    let look = Look::of(&fleet, Time(fleet.taken_at_millis));
    let coverage = Coverage::of(&look, &filter, args.by.as_deref());
    check_names(&filter, |name| coverage.daemonsets.iter().any(|row| row.name == name), &fleet)?;
    let text = match args.output.of(&serde_json::to_value(&coverage)?) {
        Some(text) => text,
        None if coverage.daemonsets.is_empty() => nothing(&filter, fleet.daemonsets.len()),
        None => coverage.to_text(&colour.paint(args.output)),
    };
    args.output.say(&text);
    Ok(ExitCode::SUCCESS)
}

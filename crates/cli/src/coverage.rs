//! `everynode coverage`: how many nodes are served, and what keeps the others from it.

use std::process::ExitCode;

use everynode_engine::Time;
use everynode_inspect::Look;
use everynode_inspect::coverage::Coverage;

use crate::failure::Failure;
use crate::out::{Colour, Output};
use crate::source::{DaemonSetsArgs, check_names, nothing};

/// Arguments of `coverage`.
#[derive(Debug, clap::Args)]
pub struct CoverageArgs {
    /// Which, and from where.
    #[command(flatten)]
    pub daemonsets: DaemonSetsArgs,
    /// Show the nodes by the values of this label too, the worst first
    #[arg(long, value_name = "LABEL")]
    pub by: Option<String>,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Output,
}

/// Shows it.
pub async fn run(args: CoverageArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let (source, namespace) = args.daemonsets.open("everynode-coverage").await?;
    // Which nodes are served is a matter of all nodes: those who may not read them are told so.
    let fleet = args.output.fleet(source.fleet(args.daemonsets.wanted(&namespace)).await?);
    let filter = args.daemonsets.filter(&namespace);
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

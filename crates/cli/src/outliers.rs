//! `everynode outliers`: daemons on nodes that have left their level, and nodes that have with all their daemons.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use everynode_client::Client;
use everynode_inspect::outliers::Report;
use everynode_plan::{PodUsage, UsageSampler};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::out::{Colour, Output};
use crate::shared::duration;
use crate::signals::stop_on_signals;
use crate::source::{DaemonSetsArgs, Source, check_names, nothing};

/// How often samples are asked for: as often as metrics-server has new ones.
const INTERVAL: Duration = Duration::from_secs(15);
/// A command does not look for longer than this.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Arguments of `outliers`.
#[derive(Debug, clap::Args)]
pub struct OutliersArgs {
    /// Which, and from where.
    #[command(flatten)]
    pub daemonsets: DaemonSetsArgs,
    /// For how long to sample the cluster, up to an hour; Ctrl-C shows what there is
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "2m")]
    pub sampled_for: Duration,
    /// Compare with what pods used in this snapshot, taken with --samples
    #[arg(long, value_name = "FILE")]
    pub before: Option<PathBuf>,
    /// Nodes with the same value of this label are alike [default: node.kubernetes.io/instance-type]
    #[arg(long, value_name = "LABEL")]
    pub by: Option<String>,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Output,
}

/// Shows them.
pub async fn run(args: OutliersArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let (source, namespace) = args.daemonsets.open("everynode-outliers").await?;
    let wanted = args.daemonsets.wanted(&namespace);
    let filter = args.daemonsets.filter(&namespace);
    let before = match &args.before {
        Some(path) => Some(Source::Snapshot(path.clone()).fleet(wanted).await?),
        None => None,
    };
    let usage = match &source {
        Source::Cluster(client) => {
            Some(sampled(client, filter.namespace.as_deref(), args.sampled_for).await?)
        }
        Source::Snapshot(_) => None,
    };
    let mut fleet = args.output.fleet(source.fleet(wanted).await?);
    fleet.usage = usage.unwrap_or(fleet.usage);
    let is_known = |name: &str| fleet.daemonsets.iter().any(|one| one["metadata"]["name"] == name);
    check_names(&filter, is_known, &fleet)?;
    if let Some(place) = without_samples(&args, &before, &fleet.usage) {
        return Err(Failure::with_hint(
            format!("{place} holds no samples of what pods use"),
            "`everynode snapshot FILE --samples 5m` takes some",
        ));
    }
    let report = Report::of(&fleet, before.as_ref(), &filter, args.by.as_deref());
    let text = match args.output.of(&serde_json::to_value(&report)?) {
        Some(text) => text,
        None if fleet.daemonsets.is_empty() => nothing(&filter, 0),
        None => report.to_text(&colour.paint(args.output)),
    };
    args.output.say(&text);
    Ok(ExitCode::SUCCESS)
}

/// Which of the two snapshots has no samples.
fn without_samples(
    args: &OutliersArgs,
    before: &Option<everynode_plan::Fleet>,
    now: &[PodUsage],
) -> Option<String> {
    let named = |path: &PathBuf| format!("snapshot {}", path.display());
    if before.as_ref().is_some_and(|before| before.usage.is_empty()) {
        return args.before.as_ref().map(named);
    }
    args.daemonsets.snapshot.as_ref().filter(|_| now.is_empty()).map(named)
}

/// Samples a cluster for so long, or until a signal comes.
///
/// # Errors
/// The cluster does not serve `metrics.k8s.io`, or not to whoever asks.
#[expect(clippy::print_stderr, reason = "this is where the command says how far it is")]
pub async fn sampled(
    client: &Client,
    namespace: Option<&str>,
    sampled_for: Duration,
) -> Result<Vec<PodUsage>, Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let mut sampler = UsageSampler::default();
    let end = Instant::now() + sampled_for.min(LONGEST);
    loop {
        let new = sampler.look(client, namespace).await.map_err(unreadable)?;
        let left = end.saturating_duration_since(Instant::now());
        eprintln!("{new} new samples; {} s to go, Ctrl-C shows what there is", left.as_secs());
        if left.is_zero() {
            break;
        }
        let pause = tokio::time::sleep(INTERVAL.min(left));
        if stop.run_until_cancelled(pause).await.is_none() {
            break;
        }
    }
    Ok(sampler.finish())
}

fn unreadable(error: everynode_client::Error) -> Failure {
    let hint = match error.code() {
        Some(404) => "the cluster does not serve metrics.k8s.io: metrics-server brings it",
        Some(403) => "you need the verb list on pods.metrics.k8s.io",
        _ => return error.into(),
    };
    Failure::with_hint(error, hint)
}

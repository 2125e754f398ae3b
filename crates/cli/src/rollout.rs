//! `everynode rollout`: how roll-outs under policies stand, and what people ask of them.

use std::process::ExitCode;
use std::time::Duration;

use everynode_api::rollout_policy::{PLURAL, RESOURCE, path};
use everynode_client::{Client, Error, content_type};
use everynode_engine::Time;
use everynode_inspect::rollout::{Command, Following, History, Order, Policies, Target};
use everynode_inspect::{Look, Paint};
use everynode_plan::{Fleet, Wanted};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::out::{Colour, Output, say};
use crate::shared::{ClusterArgs, is_daemonset};
use crate::signals::stop_on_signals;
use crate::source::Source;
use crate::view::tables::{Table, Tables, not_up_to_date};

/// Arguments of `rollout`.
#[derive(Debug, clap::Args)]
pub struct RolloutArgs {
    /// What to do.
    #[command(subcommand)]
    command: RolloutCommand,
}

#[derive(Debug, clap::Subcommand)]
enum RolloutCommand {
    /// Show the waves, who uses up the budget, which nodes failed and why, and what to type next
    Status(StatusArgs),
    /// Replace nothing more for now (spec.paused)
    Pause(OrderArgs),
    /// Go on after a pause
    Resume(OrderArgs),
    /// Let the next wave begin
    Promote(OrderArgs),
    /// Give the new revision up; in scope all, nodes go back to the last good one
    Abort(OrderArgs),
    /// Try a revision again that was halted or rolled back
    Retry(OrderArgs),
    /// List the revisions of a DaemonSet, and what roll-outs made of them
    History(HistoryArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// The DaemonSet or policy [default: all policies of the namespace]
    #[arg(value_name = "daemonset/NAME | policy/NAME", value_parser = target)]
    target: Option<Target>,
    /// Go on showing what changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// The policies of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "target"])]
    all_namespaces: bool,
    #[command(flatten)]
    place: Place,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct OrderArgs {
    /// The DaemonSet or policy [default: the only one of the namespace]
    #[arg(value_name = "daemonset/NAME | policy/NAME", value_parser = target)]
    target: Option<Target>,
    /// Print the command of kubectl that does the same, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct HistoryArgs {
    /// The DaemonSet
    #[arg(value_name = "daemonset/NAME", value_parser = target)]
    target: Target,
    #[command(flatten)]
    place: Place,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Namespace of DaemonSet and policy [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The cluster.
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Carries the command out.
pub async fn run(args: RolloutArgs, colour: Colour) -> Result<ExitCode, Failure> {
    match args.command {
        RolloutCommand::Status(args) => status(args, colour).await,
        RolloutCommand::Pause(args) => order(Command::Pause, args).await,
        RolloutCommand::Resume(args) => order(Command::Resume, args).await,
        RolloutCommand::Promote(args) => order(Command::Promote, args).await,
        RolloutCommand::Abort(args) => order(Command::Abort, args).await,
        RolloutCommand::Retry(args) => order(Command::Retry, args).await,
        RolloutCommand::History(args) => history(args, colour).await,
    }
}

/// A cluster and a namespace of it.
struct Here {
    source: Source,
    client: Client,
    namespace: String,
    /// Not only that namespace is looked at.
    is_everywhere: bool,
}

impl Here {
    async fn open(place: &Place) -> Result<Here, Failure> {
        let client = place.cluster.connect().await?.with_user_agent("everynode-rollout");
        let namespace = place.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let source = Source::Cluster(Box::new(client.clone()));
        Ok(Here { source, client, namespace, is_everywhere: false })
    }

    /// The namespace that is looked at; `None` for all.
    fn scope(&self) -> Option<&str> {
        (!self.is_everywhere).then_some(self.namespace.as_str())
    }

    /// The policies that a target is about; all without one.
    async fn find(&self, target: Option<&Target>) -> Result<Policies, Failure> {
        let all = Policies::read(&self.client, self.scope()).await?;
        Ok(match target {
            Some(target) => all.about(target)?,
            None => all,
        })
    }

    async fn fleet(&self, output: Output, daemonsets: &[(String, String)]) -> Result<Fleet, Failure> {
        Ok(output.fleet(self.source.part(Wanted::Named(daemonsets)).await?))
    }
}

async fn status(args: StatusArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let here = Here { is_everywhere: args.all_namespaces, ..Here::open(&args.place).await? };
    let paint = colour.paint(args.output);
    if args.watch {
        return watch(&here, &args, &paint).await;
    }
    args.output.say(&shown(&here, &args, &paint).await?);
    Ok(ExitCode::SUCCESS)
}

async fn shown(here: &Here, args: &StatusArgs, paint: &Paint) -> Result<String, Failure> {
    let mut policies = here.find(args.target.as_ref()).await?;
    let now = here.client.clock().unix_millis();
    let daemonsets = policies.daemonsets();
    if !daemonsets.is_empty() {
        let fleet = here.fleet(args.output, &daemonsets).await?;
        policies.add_evidence(&Look::of(&fleet, Time(now)));
    }
    let text = args.output.of(&serde_json::to_value(&policies)?);
    Ok(text.unwrap_or_else(|| policies.to_text(now.div_euclid(1000), paint)))
}

/// The shortest time between two tables.
const PAUSE: Duration = Duration::from_millis(500);

/// Shows the status whenever a policy has changed, until a signal comes.
async fn watch(here: &Here, args: &StatusArgs, paint: &Paint) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let mut tables = Tables::open(args.output)?;
    let mut following = Following::new(&here.client, here.scope());
    // What was shown stays while the cluster does not answer.
    let mut known = String::new();
    while let Some(changed) = stop.run_until_cancelled(following.changed()).await {
        changed?;
        let text = match shown(here, args, paint).await {
            Ok(text) => {
                known.clone_from(&text);
                text
            }
            Err(failure) if known.is_empty() => return Err(failure),
            Err(_) if !args.output.is_for_people() => continue,
            Err(failure) => format!("{known}{}", not_up_to_date(&failure.message, paint)),
        };
        if !tables.show(Table { fingerprint: text.clone(), text })? {
            break;
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
    tables.close();
    Ok(ExitCode::SUCCESS)
}

async fn order(command: Command, args: OrderArgs) -> Result<ExitCode, Failure> {
    let here = Here::open(&args.place).await?;
    let found = here.find(args.target.as_ref()).await?;
    let (policy, rollout) = found.only(command)?;
    let Order { patch, kubectl, effect } = command.order(policy, rollout)?;
    if args.dry_run {
        say(&format!("{kubectl}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let target = format!("{}?fieldManager=everynode-rollout", path(&policy.namespace, &policy.name));
    let patched = here.client.patch(&target, content_type::MERGE_PATCH, patch.to_string()).await;
    patched.map_err(unpatched)?;
    say(&format!("{effect}\n"));
    Ok(ExitCode::SUCCESS)
}

fn unpatched(error: Error) -> Failure {
    match error.code() {
        Some(403) => Failure::with_hint(error, format!("you need the verb patch on {RESOURCE}")),
        _ => error.into(),
    }
}

async fn history(args: HistoryArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let Target::DaemonSet(name) = &args.target else {
        return Err(Failure::with_hint("a policy has no history", "name a DaemonSet: daemonset/NAME"));
    };
    let here = Here::open(&args.place).await?;
    let policies = here.find(None).await.ok();
    let policy = policies.as_ref().and_then(|policies| policies.conducting(name));
    let fleet = here.fleet(args.output, &[(here.namespace.clone(), name.clone())]).await?;
    let Some(history) = History::of(&fleet, &here.namespace, name, policy) else {
        return Err(Failure::with_hint(
            format!("there is no DaemonSet {name} in namespace {}", here.namespace),
            "`everynode status -A` lists what there is",
        ));
    };
    let text = args.output.of(&serde_json::to_value(&history)?);
    args.output.say(&text.unwrap_or_else(|| history.to_text(&colour.paint(args.output))));
    Ok(ExitCode::SUCCESS)
}

/// `daemonset/NAME` or `policy/NAME`, by any name that kubectl takes.
fn target(text: &str) -> Result<Target, String> {
    let Some((kind, name)) = text.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        return Err(format!("write daemonset/{0} or policy/{0}", text.trim_end_matches('/')));
    };
    match kind.to_ascii_lowercase().as_str() {
        kind if is_daemonset(kind) => Ok(Target::DaemonSet(name.to_owned())),
        "policy"
        | "policies"
        | "rp"
        | "rolloutpolicy"
        | PLURAL
        | "rolloutpolicy.everynode.dev"
        | RESOURCE => Ok(Target::Policy(name.to_owned())),
        other => Err(format!("{other} is another kind: write daemonset/NAME or policy/NAME")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemonsets_and_policies_are_named_as_kubectl_names_them() {
        for text in ["daemonset/a", "ds/a", "DaemonSet.apps/a"] {
            assert_eq!(target(text), Ok(Target::DaemonSet("a".to_owned())), "{text}");
        }
        for text in ["policy/a", "rp/a", "rolloutpolicy.everynode.dev/a"] {
            assert_eq!(target(text), Ok(Target::Policy("a".to_owned())), "{text}");
        }
        for (text, expected) in [
            ("agent", "write daemonset/agent or policy/agent"),
            ("ds/", "write daemonset/ds or policy/ds"),
            ("deployment/web", "deployment is another kind: write daemonset/NAME or policy/NAME"),
        ] {
            assert_eq!(target(text), Err(expected.to_owned()));
        }
    }
}

//! `everynode rollout`: how roll-outs under policies stand, and what people ask of them.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use everynode_api::PolicyPhase;
use everynode_api::rollout_policy::{PLURAL, RESOURCE, collection, path};
use everynode_client::{Client, Error, Event, ListWatch, content_type};
use everynode_engine::Time;
use everynode_inspect::near::{any_of, near};
use everynode_inspect::rollout::{Command, History, Order, Policies, Policy, Refused, Rollout};
use everynode_inspect::{Look, Paint, Tone};
use everynode_plan::{Fleet, Wanted};
use futures::StreamExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::args::ClusterArgs;
use crate::failure::Failure;
use crate::out::{Colour, Output, say};
use crate::plain;
use crate::source::Source;
use crate::up::stop_on_signals;
use crate::view::Page;

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

/// What a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    DaemonSet(String),
    Policy(String),
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
        let source = Source::open(None, &place.cluster, "everynode-rollout").await?;
        let Source::Cluster(client) = &source else {
            return Err(Failure { message: "a snapshot has no policies".to_owned(), hint: None });
        };
        let namespace = place.namespace.clone().unwrap_or_else(|| source.default_namespace().to_owned());
        Ok(Here { client: (**client).clone(), namespace, is_everywhere: false, source })
    }

    /// The namespace that is looked at; `None` for all.
    fn scope(&self) -> Option<&str> {
        (!self.is_everywhere).then_some(self.namespace.as_str())
    }

    /// All policies that are looked at.
    async fn policies(&self) -> Result<Vec<Policy>, Failure> {
        let list = match self.client.get(&collection(self.scope())).await {
            Ok(list) => list,
            Err(error) if error.is_not_found() => {
                return Err(Failure::with_hint(
                    "this cluster does not know RolloutPolicy",
                    "`everynode install` defines it; see docs/rollouts.md",
                ));
            }
            Err(error) => return Err(error.into()),
        };
        let list: Value = serde_json::from_slice(&list)?;
        Ok(list["items"].as_array().into_iter().flatten().map(Policy::of).collect())
    }

    /// The policies that a target is about, with no more roll-outs than it is about.
    async fn find(&self, target: Option<&Target>) -> Result<Vec<Policy>, Failure> {
        let all = self.policies().await?;
        let found: Vec<Policy> = match target {
            None => all.clone(),
            Some(Target::Policy(name)) => all.iter().filter(|one| one.name == *name).cloned().collect(),
            Some(Target::DaemonSet(name)) => {
                let of = |policy: &Policy| {
                    let rollouts = policy.rollouts.iter().filter(|one| one.daemonset == *name);
                    let rollouts: Vec<Rollout> = rollouts.cloned().collect();
                    (!rollouts.is_empty()).then(|| Policy { rollouts, ..policy.clone() })
                };
                all.iter().filter_map(of).collect()
            }
        };
        match target {
            Some(target) if found.is_empty() => Err(self.missing(target, &all)),
            _ => Ok(found),
        }
    }

    fn missing(&self, target: &Target, all: &[Policy]) -> Failure {
        let (message, name, names): (_, _, Vec<&str>) = match target {
            Target::Policy(name) => {
                let message = format!("there is no policy {name} in namespace {}", self.namespace);
                (message, name, all.iter().map(|one| one.name.as_str()).collect())
            }
            Target::DaemonSet(name) => {
                let message = format!("no policy in namespace {} conducts daemonset {name}", self.namespace);
                let rollouts = all.iter().flat_map(|one| &one.rollouts);
                (message, name, rollouts.map(|one| one.daemonset.as_str()).collect())
            }
        };
        let conflict =
            all.iter().find(|one| one.phase == Some(PolicyPhase::Conflict)).map(|one| one.message.clone());
        let near = near(name, names.into_iter());
        let hint = match conflict {
            Some(message) => message,
            None if near.is_empty() => "`everynode rollout status` shows all policies".to_owned(),
            None => format!("there is {}", any_of(&near)),
        };
        Failure::with_hint(message, hint)
    }

    async fn fleet(&self, policies: &[Policy]) -> Result<Fleet, Failure> {
        let of = |policy: &Policy| -> Vec<(String, String)> {
            let rollouts = policy.rollouts.iter();
            rollouts.map(|one| (policy.namespace.clone(), one.daemonset.clone())).collect()
        };
        let names: Vec<(String, String)> = policies.iter().flat_map(of).collect();
        self.source.part(Wanted::Named(&names)).await
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
    if policies.iter().any(|policy| !policy.rollouts.is_empty()) {
        let fleet = plain::fleet_for(args.output, here.fleet(&policies).await?);
        let look = Look::of(&fleet, Time(now));
        policies.iter_mut().for_each(|policy| policy.add_evidence(&look));
    }
    let all = Policies { namespace: here.scope().map(str::to_owned), policies };
    let text = args.output.of(&serde_json::to_value(&all)?);
    Ok(text.unwrap_or_else(|| all.to_text(now.div_euclid(1000), paint)))
}

/// The shortest time between two tables.
const PAUSE: Duration = Duration::from_millis(500);

/// Shows the status whenever a policy has changed, until a signal comes.
async fn watch(here: &Here, args: &StatusArgs, paint: &Paint) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let is_text = matches!(args.output, Output::Text | Output::Wide);
    let mut page = if is_text && std::io::stdout().is_terminal() { Some(Page::open()?) } else { None };
    let mut events = ListWatch::new(collection(here.scope())).run(here.client.clone());
    let (mut last, mut table) = (String::new(), String::new());
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        if matches!(event, Event::Restarted | Event::InitialObject(_) | Event::Bookmark(_)) {
            continue;
        }
        if let Event::Interrupted(error) = &event
            && error.is_not_found()
        {
            here.policies().await?;
        }
        let text = match shown(here, args, paint).await {
            Ok(text) => {
                table.clone_from(&text);
                text
            }
            // What was shown stays, and the cluster is asked again.
            Err(Failure { message, .. }) if is_text && !table.is_empty() => {
                let why = paint.fold(&format!("{message}. The cluster is asked again."), 16);
                format!("{table}{}: {why}\n", paint.tone(Tone::Bad, "Not up to date"))
            }
            Err(_) if !table.is_empty() => continue,
            Err(failure) => return Err(failure),
        };
        if text != last {
            let between = if args.output == Output::Yaml { "---\n" } else { "\n" };
            let goes_on = match &mut page {
                Some(page) => page.draw(&text).map(|()| true)?,
                None if last.is_empty() => args.output.say(&text),
                None => args.output.say(&format!("{between}{text}")),
            };
            if !goes_on {
                break;
            }
            last = text;
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
    if page.take().is_some() {
        args.output.say(&last);
    }
    Ok(ExitCode::SUCCESS)
}

async fn order(command: Command, args: OrderArgs) -> Result<ExitCode, Failure> {
    let here = Here::open(&args.place).await?;
    let found = here.find(args.target.as_ref()).await?;
    let [policy] = found.as_slice() else { return Err(here.which(&found)) };
    let rollout = match policy.rollouts.as_slice() {
        [] => None,
        [one] => Some(one),
        several if matches!(command, Command::Pause | Command::Resume) => several.first(),
        several => {
            let names: Vec<String> =
                several.iter().map(|one| format!("daemonset/{}", one.daemonset)).collect();
            let message = format!("policy {} conducts {} DaemonSets", policy.name, several.len());
            return Err(Failure::with_hint(message, format!("name one: {}", any_of(&names))));
        }
    };
    let Order { patch, kubectl, effect } = command
        .order(policy, rollout)
        .map_err(|Refused { message, hint }| Failure::with_hint(message, hint))?;
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

impl Here {
    fn which(&self, found: &[Policy]) -> Failure {
        let names: Vec<String> = found.iter().map(|one| format!("policy/{}", one.name)).collect();
        match names.is_empty() {
            true => Failure::with_hint(
                format!("there is no RolloutPolicy in namespace {}", self.namespace),
                "name another namespace with -n",
            ),
            false => Failure::with_hint(
                format!("there are {} policies in namespace {}", names.len(), self.namespace),
                format!("name one: {}", any_of(&names)),
            ),
        }
    }
}

async fn history(args: HistoryArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let Target::DaemonSet(name) = &args.target else {
        return Err(Failure::with_hint("a policy has no history", "name a DaemonSet: daemonset/NAME"));
    };
    let here = Here::open(&args.place).await?;
    let policies = here.policies().await.unwrap_or_default();
    let policy = policies.iter().find(|one| one.rollouts.iter().any(|rollout| rollout.daemonset == *name));
    let wanted = [(here.namespace.clone(), name.clone())];
    let fleet = plain::fleet_for(args.output, here.source.part(Wanted::Named(&wanted)).await?);
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
        "daemonset" | "daemonsets" | "ds" | "daemonset.apps" | "daemonsets.apps" => {
            Ok(Target::DaemonSet(name.to_owned()))
        }
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

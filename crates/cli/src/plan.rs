//! `everynode plan`: what a change will do to a fleet.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use everynode_apimachinery::manifest::text_of;
use everynode_inspect::{Paint, Tone};
use everynode_plan::spread::Spread;
use everynode_plan::{Change, Failing, Fleet, Manifest, Options, Plan, Token, Wanted};
use serde_json::json;

use crate::failure::Failure;
use crate::out::{Colour, Output, say, say_raw};
use crate::shared::ClusterArgs;
use crate::source::Source;

/// Status of a change that should not be made as it is.
const UNSAFE: u8 = 2;
/// Objects of the API are limited to 3 MiB; a manifest may hold several.
const MANIFEST_LIMIT_BYTES: u64 = 64 << 20;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// The manifest to plan; `-` is standard input. DaemonSets are planned, with RolloutPolicies and what
    /// decides about pods (namespaces, service accounts, classes, limits, quotas) beside them
    #[arg(short, long = "filename", value_name = "FILE")]
    pub file: PathBuf,
    /// Plan against this snapshot, offline, instead of a cluster
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context"])]
    pub snapshot: Option<PathBuf>,
    /// The cluster to read.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Namespace of objects that name none [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// From a pod's creation to Ready: 20s, or p50=20s,p99=2m [default: learned from the fleet]
    #[arg(long, value_name = "SPREAD", value_parser = Spread::parse)]
    pub start: Option<Spread>,
    /// From a pod's deletion to its end: 2s, or p50=2s,p99=30s
    #[arg(long, value_name = "SPREAD", default_value = "2s", value_parser = Spread::parse)]
    pub stop: Spread,
    /// Let a node fail: node=NAME is down from the start; node=NAME,after-update runs a new pod that never
    /// becomes ready (repeatable)
    #[arg(long, value_name = "node=NAME[,after-update]", value_parser = failing)]
    pub fail: Vec<Failing>,
    /// The share of new pods that never become ready, such as 5% or 0.05
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub failure_rate: f64,
    /// Plan on as if every wave of a roll-out policy that waits for somebody were promoted at once
    #[arg(long)]
    pub promote: bool,
    /// Seeded runs for durations and worst cases [default: 8 to 40, by the size of the fleet]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: Option<u16>,
    /// Seed of the runs
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Leave with status 2 when the fleet has moved since the plan that printed this token; with several
    /// DaemonSets, once for each of their tokens (repeatable)
    #[arg(long, value_name = "TOKEN", value_parser = Token::parse)]
    pub check: Vec<Token>,
    /// Format of the plan
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Output,
}

/// Plans what the manifest holds.
pub async fn run(args: PlanArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let text = read_manifest(&args)?;
    let source = Source::open(args.snapshot.as_ref(), &args.cluster, "everynode-plan").await?;
    let namespace = args.namespace.as_deref().unwrap_or_else(|| source.default_namespace());
    let manifest = Manifest::read(&args.file.display().to_string(), &text, namespace);
    let mut problems = manifest.problems.clone();
    let mut plans = Vec::new();
    if !manifest.daemonsets.is_empty() {
        let wanted: Vec<(String, String)> =
            manifest.daemonsets.iter().map(|one| (one.namespace.clone(), one.name.clone())).collect();
        let mut fleet = args.output.fleet(source.fleet(Wanted::Named(&wanted)).await?);
        let refusals = [
            everynode_plan::policy::apply(&mut fleet.policies, &manifest.policies),
            fleet.surroundings.apply(&manifest.surroundings),
        ];
        let refusals: Vec<String> = refusals.into_iter().filter_map(Result::err).flatten().collect();
        check_nodes(&args, &fleet)?;
        // With something around it refused nobody knows what would be rolled out how.
        let planned = if refusals.is_empty() { manifest.daemonsets.as_slice() } else { &[] };
        problems.extend(refusals);
        for written in planned {
            match Change::of(written, &fleet) {
                Ok(change) => plans.extend(Plan::make(&fleet, &change, &options(&args))),
                Err(refusals) => problems.extend(refusals),
            }
        }
    }
    print(&args, colour, &problems, &manifest.ignored, &plans);
    Ok(status(&args, &problems, &plans))
}

fn read_manifest(args: &PlanArgs) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| Failure {
        message: format!("cannot read {}: {error}", args.file.display()),
        hint: Some("name a manifest with -f FILE, or - for standard input".into()),
    };
    let mut bytes = Vec::new();
    match args.file.as_os_str() == "-" {
        true => std::io::stdin().take(MANIFEST_LIMIT_BYTES).read_to_end(&mut bytes),
        false => {
            File::open(&args.file).and_then(|file| file.take(MANIFEST_LIMIT_BYTES).read_to_end(&mut bytes))
        }
    }
    .map_err(cannot)?;
    text_of(bytes).map_err(|error| Failure {
        message: format!("{} {error}", args.file.display()),
        hint: Some("a manifest is text in UTF-8, or in UTF-16 with a byte order mark".into()),
    })
}

/// A failure on a node that does not exist is a mistake.
fn check_nodes(args: &PlanArgs, fleet: &Fleet) -> Result<(), Failure> {
    let is_known = |name: &str| fleet.nodes.iter().any(|node| *node.name == *name);
    match args.fail.iter().find(|one| !is_known(&one.node)) {
        Some(one) => Err(Failure::with_hint(
            format!("--fail: there is no node {:?} in the fleet", one.node),
            "write node=NAME with the name of a Node",
        )),
        None => Ok(()),
    }
}

fn options(args: &PlanArgs) -> Options {
    Options {
        start: args.start.clone(),
        stop: args.stop.clone(),
        failure_rate: args.failure_rate,
        failing: args.fail.clone(),
        promote: args.promote,
        runs: args.runs.map(usize::from),
        seed: args.seed,
    }
}

fn print(args: &PlanArgs, colour: Colour, problems: &[String], ignored: &[String], plans: &[Plan]) {
    let moved = moved(args, plans);
    let all = json!({"errors": problems, "ignored": ignored, "moved": moved, "plans": plans});
    if let Some(text) = args.output.of(&all) {
        say_raw(&text);
        return;
    }
    let mut text = String::new();
    if !problems.is_empty() {
        text.push_str("The manifest would be refused:\n");
        problems.iter().for_each(|problem| text.push_str(&format!("  {problem}\n")));
    }
    if !ignored.is_empty() {
        text.push_str(&format!("Not planned: {}\n", ignored.join(", ")));
    }
    for plan in plans {
        text.push_str(&if args.output == Output::Wide { plan.to_text_in_full() } else { plan.to_text() });
    }
    match args.check.is_empty() {
        false if !moved.is_empty() => {
            text.push_str(&format!("The fleet has moved since that plan: {} changed.\n", moved.join(", ")));
        }
        false if problems.is_empty() => text.push_str("Nothing has moved since that plan.\n"),
        _ => {}
    }
    say(&painted(&text, &colour.paint(args.output)));
}

/// The column in which the lines of a plan go on.
const PLAN_INDENT: usize = 13;

/// A plan with its heads in colour, where that is wanted, and its lines folded on a terminal.
fn painted(text: &str, paint: &Paint) -> String {
    let tones = [
        ("  PROBLEM", Tone::Bad),
        ("NOT SAFE.", Tone::Bad),
        ("The manifest would be refused:", Tone::Bad),
        ("Safe.", Tone::Good),
        ("Safe, as far as could be seen.", Tone::Warning),
        ("  note", Tone::Warning),
        ("  warning", Tone::Warning),
        ("DaemonSet ", Tone::Strong),
    ];
    let mut out = String::new();
    for line in text.lines() {
        let (head, rest) = line.split_at_checked(PLAN_INDENT).unwrap_or((line, ""));
        let line = format!("{head}{}", paint.fold(rest, PLAN_INDENT));
        match tones.into_iter().find(|(head, _)| line.starts_with(head)) {
            Some((head, tone)) => {
                out.push_str(&paint.tone(tone, head));
                out.push_str(&line[head.len()..]);
            }
            None => out.push_str(&line),
        }
        out.push('\n');
    }
    out
}

/// What is no longer as the tokens have it.
fn moved(args: &PlanArgs, plans: &[Plan]) -> Vec<&'static str> {
    if args.check.is_empty() {
        return Vec::new();
    }
    let now: Vec<&Token> = plans.iter().map(|plan| &plan.token).collect();
    Token::all_moved(&args.check, &now)
}

fn status(args: &PlanArgs, problems: &[String], plans: &[Plan]) -> ExitCode {
    if !problems.is_empty() {
        return ExitCode::FAILURE;
    }
    match plans.iter().all(|plan| plan.safe) && moved(args, plans).is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(UNSAFE),
    }
}

/// `node=NAME` or `node=NAME,after-update`.
fn failing(text: &str) -> Result<Failing, String> {
    let wrong = || format!("{text:?}: write node=NAME or node=NAME,after-update");
    let rest = text.strip_prefix("node=").ok_or_else(wrong)?;
    let (node, when) = rest.split_once(',').unwrap_or((rest, ""));
    match (node, when) {
        ("", _) => Err(wrong()),
        (node, "") => Ok(Failing { node: node.into(), after_update: false }),
        (node, "after-update") => Ok(Failing { node: node.into(), after_update: true }),
        _ => Err(wrong()),
    }
}

/// `5%` or `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not a share: write for example 5% or 0.05");
    let (number, whole) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().map_err(|_| wrong())? / whole;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_folded_and_coloured_only_where_that_is_wanted() {
        let text = "DaemonSet a/b: change\n  PROBLEM    one two three four five six\nNOT SAFE.\n";
        assert_eq!(painted(text, &Paint::default()), text);
        let paint = Paint { colour: true, width: Some(33), wide: false };
        let expected = "\u{1b}[1mDaemonSet \u{1b}[0ma/b: change\n\u{1b}[31m  PROBLEM\u{1b}[0m    one two three four\n             \
                        five six\n\u{1b}[31mNOT SAFE.\u{1b}[0m\n";
        assert_eq!(painted(text, &paint), expected);
    }

    #[test]
    fn shares_and_failures_are_read_as_people_write_them() {
        assert_eq!((share("5%"), share("0.05"), share("0")), (Ok(0.05), Ok(0.05), Ok(0.0)));
        for text in ["", "101%", "-1", "x", "2"] {
            assert!(share(text).is_err(), "{text}");
        }
        assert_eq!(failing("node=a"), Ok(Failing { node: "a".into(), after_update: false }));
        assert_eq!(failing("node=a,after-update"), Ok(Failing { node: "a".into(), after_update: true }));
        for text in ["a", "node=", "node=a,later"] {
            assert!(failing(text).is_err(), "{text}");
        }
    }
}

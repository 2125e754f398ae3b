//! `everynode status`: how roll-outs stand, once or live.

use std::process::ExitCode;
use std::time::Duration;

use everynode_client::Client;
use everynode_engine::Time;
use everynode_inspect::grid::{ZONE, grid};
use everynode_inspect::live::Live;
use everynode_inspect::status::{Filter, Status};
use everynode_inspect::{Look, Paint};
use everynode_plan::Fleet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::out::{Colour, Output};
use crate::signals::stop_on_signals;
use crate::source::{DaemonSetsArgs, Source, check_names, nothing};
use crate::view::tables::{Table, Tables, not_up_to_date};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Which, and from where.
    #[command(flatten)]
    pub daemonsets: DaemonSetsArgs,
    /// Go on showing what changes, until Ctrl-C
    #[arg(short, long, conflicts_with = "snapshot")]
    pub watch: bool,
    /// Show the nodes of each DaemonSet, one symbol each, by zone
    #[arg(long)]
    pub nodes: bool,
    /// Show the nodes, by this label
    #[arg(long, value_name = "LABEL")]
    pub by: Option<String>,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Output,
}

/// Shows the status.
pub async fn run(args: StatusArgs, colour: Colour) -> Result<ExitCode, Failure> {
    let (source, namespace) = args.daemonsets.open("everynode-status").await?;
    let fleet = args.output.fleet(source.part(args.daemonsets.wanted(&namespace)).await?);
    let shown = Shown {
        filter: args.daemonsets.filter(&namespace),
        grid_by: args.by.clone().or_else(|| args.nodes.then(|| ZONE.to_owned())),
        output: args.output,
    };
    let mut status = shown.status(&fleet, fleet.taken_at_millis);
    let is_shown = |name: &str| status.daemonsets.iter().any(|row| row.name == name);
    check_names(&shown.filter, is_shown, &fleet)?;
    if let Source::Cluster(client) = &source
        && args.watch
    {
        let followed = (!args.daemonsets.all_namespaces).then_some(namespace.as_str());
        let live = Live::follow(client, fleet, followed, &namespace);
        return watch(client, live, &shown, colour).await;
    }
    add_refusals(&mut status, &source).await;
    args.output.say(&shown.text(&status, &fleet, &colour.paint(args.output)));
    Ok(ExitCode::SUCCESS)
}

/// DaemonSets whose events are read.
const EVENTS_READ: usize = 10;

/// Adds what the API server told the controller where pods are not made.
async fn add_refusals(status: &mut Status, source: &Source) {
    let missing = status.daemonsets.iter_mut().filter_map(|row| Some((row.subject()?, row)));
    for (subject, row) in missing.take(EVENTS_READ) {
        // What may not be read is left out: `why` says so.
        if let Some(events) = source.events(Some(subject), &mut Vec::new()).await {
            row.take_events(&events);
        }
    }
}

/// The shortest time between two tables.
const PAUSE: Duration = Duration::from_millis(250);
/// So much of the time goes into making tables at most: one part of this many.
const SHARE: u32 = 5;
/// Times pass: a table is made so often although nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Shows a table whenever something has changed, until a signal comes or nobody reads any more.
async fn watch(client: &Client, mut live: Live, shown: &Shown, colour: Colour) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone());
    let mut tables = Tables::open(shown.output)?;
    let mut not_before = Instant::now();
    let mut due = Some(not_before);
    while !stop.is_cancelled() {
        // Without an event, time tells that nothing goes on any more.
        let at = due.unwrap_or_else(|| (Instant::now() + TICK).max(not_before));
        tokio::select! {
            () = stop.cancelled() => {}
            changed = live.next() => if changed && due.is_none() { due = Some(not_before); },
            () = tokio::time::sleep_until(at) => {
                due = None;
                let begun = Instant::now();
                let paint = colour.paint(shown.output);
                let table = shown.table(&live, client.clock().unix_millis(), &paint, tables.height());
                not_before = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
                if !tables.show(table)? {
                    break;
                }
            }
        }
    }
    tables.close();
    Ok(ExitCode::SUCCESS)
}

/// What is shown, and how.
struct Shown {
    filter: Filter,
    grid_by: Option<String>,
    output: Output,
}

impl Shown {
    fn status(&self, fleet: &Fleet, now_millis: i64) -> Status {
        let look = Look::of(fleet, Time(now_millis));
        Status::of(&look, &self.filter)
    }

    /// A table, for a page of so many lines where there is one.
    fn table(&self, live: &Live, now_millis: i64, paint: &Paint, height: Option<usize>) -> Table {
        let fleet = self.output.fleet(live.fleet(now_millis));
        let mut status = self.status(&fleet, now_millis);
        let mut text = self.text(&status, &fleet, paint);
        if height.is_some_and(|height| text.lines().count() > height) {
            status.put_complete_last();
            text = self.text(&status, &fleet, paint);
        }
        if let Some(why) = live.interrupted().filter(|_| self.output.is_for_people()) {
            text.push_str(&not_up_to_date(why, paint));
        }
        Table { text, fingerprint: format!("{}{}", status.fingerprint(), live.interrupted().is_some()) }
    }

    fn text(&self, status: &Status, fleet: &Fleet, paint: &Paint) -> String {
        if let Some(text) = serde_json::to_value(status).ok().and_then(|value| self.output.of(&value)) {
            return text;
        }
        if status.daemonsets.is_empty() {
            return nothing(&self.filter, status.elsewhere);
        }
        let mut text = status.to_text(paint);
        if let Some(label) = &self.grid_by {
            for row in &status.daemonsets {
                text.push('\n');
                text.push_str(&grid(row, fleet, label, paint));
            }
        }
        text
    }
}

//! What `up` prints as lines: on standard output what happened, on standard error what was refused.
//! A reader that goes away (`up | head`) ends the lines, not the cluster.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use everynode_local::up::model::{DaemonSetRow, Snapshot};
use everynode_local::up::{News, Up};

use crate::plain;

macro_rules! out {
    ($($text:tt)*) => { drop(writeln!(std::io::stdout(), "{}", plain::text(&format!($($text)*)))) };
}

macro_rules! err {
    ($($text:tt)*) => { drop(writeln!(std::io::stderr(), "{}", plain::text(&format!($($text)*)))) };
}

/// Says where the cluster is and how to point kubectl at it.
pub fn started(up: &Up) {
    out!("everynode is up at {}", up.server_url());
    out!("export KUBECONFIG={}", up.kubeconfig_path().display());
    notes(up);
}

/// The one line that programs wait for which start an API. The path of the kubeconfig is the rest of the line.
pub fn ready(up: &Up) {
    out!("ready url={} kubeconfig={}", up.server_url(), up.kubeconfig_path().display());
}

/// Says what is odd about how it started.
pub fn notes(up: &Up) {
    for note in up.notes() {
        err!("warning: {note}");
    }
    for object in up.left_out().iter().flat_map(|left| &left.objects) {
        err!("warning: left out, because it is damaged: {object}");
    }
    if let Some(left) = up.left_out() {
        err!(
            "warning: the store was damaged, and is made anew; the damaged one is kept as {}",
            left.kept.display()
        );
    }
}

/// Says something.
pub fn line(text: &str) {
    out!("{text}");
}

/// Says what became of a document.
pub fn news(news: News<'_>) {
    match news {
        News::Applied(applied) => out!("{applied}"),
        News::Warned(warning) => err!("warning: {warning}"),
        News::Refused(error) => err!("error: {error}"),
    }
}

/// Says that the cluster ends, and what remains of it.
pub fn stopping(up: &Up) {
    out!("stopping; {}", up.state_note());
}

/// The table of DaemonSets, in kubectl's columns.
pub fn table(snapshot: &Snapshot) {
    let width = |of: fn(&DaemonSetRow) -> &str, least: usize| {
        snapshot.daemonsets.iter().map(|row| of(row).len()).max().unwrap_or(0).max(least)
    };
    let (namespace, name) = (width(|row| &row.namespace, 9), width(|row| &row.name, 4));
    out!("{:<namespace$}  {:<name$}  DESIRED  CURRENT  READY  UP-TO-DATE  AVAILABLE", "NAMESPACE", "NAME");
    for row in &snapshot.daemonsets {
        out!(
            "{:<namespace$}  {:<name$}  {:<7}  {:<7}  {:<5}  {:<10}  {}",
            row.namespace,
            row.name,
            row.desired,
            row.current,
            row.ready,
            row.up_to_date,
            row.available
        );
    }
}

/// Why the wait for availability ended without it.
pub fn reasons(snapshot: &Snapshot, timeout: Duration, stopped: bool, write_failure: Option<String>) {
    if let Some(reason) = write_failure {
        writes_end(&reason);
    }
    if snapshot.daemonsets.is_empty() {
        return nothing_to_wait_for();
    }
    match stopped {
        true => err!("error: stopped before every DaemonSet was available"),
        false => err!("error: not every DaemonSet became available within {timeout:?}"),
    }
    for row in snapshot.daemonsets.iter().filter(|row| !row.is_available()) {
        for reason in &row.reasons {
            err!("  daemonset.apps/{} in {}: {reason}", row.name, row.namespace);
        }
    }
}

/// Says that the cluster has no DaemonSet.
pub fn nothing_to_wait_for() {
    err!("error: there is no DaemonSet to wait for");
    err!("hint: name manifests with -f");
}

fn writes_end(reason: &str) {
    err!("error: the store takes no more writes: {reason}; reads go on, and nothing acknowledged is lost");
    err!("hint: make room, then stop this cluster and start it again");
}

/// Prints a line for each DaemonSet whose numbers changed.
#[derive(Debug, Default)]
pub struct Lines {
    printed: HashMap<(String, String), String>,
    write_failure: bool,
}

impl Lines {
    /// Prints what differs from what was printed before.
    pub fn print_changes(&mut self, snapshot: &Snapshot, write_failure: Option<String>) {
        if let Some(reason) = write_failure.filter(|_| !self.write_failure) {
            self.write_failure = true;
            writes_end(&reason);
        }
        for row in &snapshot.daemonsets {
            let state = if row.is_available() { "available" } else { "progressing" };
            let line = format!(
                "daemonset.apps/{} in {}: {state}, {} desired, {} updated, {} available",
                row.name, row.namespace, row.desired, row.up_to_date, row.available
            );
            let known = self.printed.entry((row.namespace.clone(), row.name.clone())).or_default();
            if *known != line {
                out!("{line}");
                *known = line;
            }
        }
    }
}

//! The table of `status`.

use everynode_plan::count;
use everynode_plan::spread::human;

use super::{Group, Row, State, Status};
use crate::coverage;
use crate::estimate::End;
use crate::paint::{Paint, Tone};
use crate::reason::Class;

/// Cells of a progress bar.
const CELLS: usize = 12;
/// Causes that are told per DaemonSet.
const CAUSES: usize = 4;

/// A cell of the table: text, tone, and whether it stands to the right.
type Cell = (String, Option<Tone>, bool);

impl Status {
    /// The table, with the causes below the rows that are not complete.
    pub fn to_text(&self, paint: &Paint) -> String {
        let mut out = String::new();
        let mut rows: Vec<Vec<Cell>> = self.daemonsets.iter().map(|row| self.cells(row, paint)).collect();
        let titles: Vec<&str> = titles(paint.wide);
        let mut widths: Vec<usize> = titles
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let longest = rows.iter().map(|row| row[column].0.chars().count()).max();
                longest.unwrap_or(0).max(title.len())
            })
            .collect();
        if let Some(width) = paint.width.filter(|_| !paint.wide) {
            narrow(&mut widths, width);
            let names = rows.iter_mut().flat_map(|cells| cells.iter_mut().zip(&widths).take(NAMES));
            names.for_each(|(cell, width)| cell.0 = shortened(&cell.0, *width));
        }
        let head = titles.iter().zip(0..).map(|(title, column)| {
            let is_right = rows.first().is_some_and(|row: &Vec<Cell>| row[column].2);
            (title.to_string(), Some(Tone::Quiet), is_right)
        });
        if !rows.is_empty() {
            out.push_str(&line(&head.collect::<Vec<Cell>>(), &widths, paint));
        }
        for (cells, row) in rows.iter().zip(&self.daemonsets) {
            out.push_str(&line(cells, &widths, paint));
            row.write_causes(self.taken_at_seconds, paint, &mut out);
        }
        if let Some(coverage) = self.coverage().to_short_text(paint) {
            out.push_str(&format!("coverage: {coverage}\n"));
        }
        for note in &self.not_seen {
            out.push_str(&paint.tone(Tone::Warning, "not seen: "));
            out.push_str(&paint.fold(note, 10));
            out.push('\n');
        }
        out
    }

    /// Of all DaemonSets together: each node counts once for each that should run there.
    fn coverage(&self) -> coverage::Nodes {
        let mut all = coverage::Nodes::default();
        self.daemonsets.iter().filter_map(|row| row.coverage.as_ref()).for_each(|one| all.extend(one));
        all
    }

    fn cells(&self, row: &Row, paint: &Paint) -> Vec<Cell> {
        let number = |number: i32| (number.to_string(), None, true);
        let of = |number: i32| (format!("{number}/{}", row.desired), None, true);
        let text = |text: &str| (text.to_owned(), None, false);
        let bar = (row.bar(), Some(row.tone()), false);
        let state = (row.state_text(), Some(row.tone()), false);
        if !paint.wide {
            return vec![
                text(&row.namespace),
                text(&row.name),
                of(row.updated),
                of(row.available),
                bar,
                state,
            ];
        }
        let age = row
            .created_seconds
            .map_or_else(String::new, |created| human((self.taken_at_seconds - created).max(0) * 1000));
        vec![
            text(&row.namespace),
            text(&row.name),
            number(row.desired),
            number(row.current),
            number(row.ready),
            number(row.updated),
            number(row.available),
            number(row.misscheduled),
            bar,
            text(&row.strategy),
            text(row.revision.as_deref().unwrap_or("-")),
            text(&age),
            state,
        ]
    }
}

/// The first columns, namespace and name, give way where the line is too long for the terminal.
const NAMES: usize = 2;
/// ... down to this.
const NARROWEST: usize = 9;

/// Takes from the longer of the names what is too much.
fn narrow(widths: &mut [usize], width: usize) {
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
    while total(widths) > width {
        let longest = (0..NAMES).max_by_key(|column| widths[*column]).filter(|one| widths[*one] > NARROWEST);
        let Some(column) = longest else { return };
        widths[column] -= 1;
    }
}

/// The beginning and the end of a name: what tells names apart can be in either.
fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let tail = (width - 1) / 2;
    let head: String = name.chars().take(width - 1 - tail).collect();
    let tail: String = name.chars().skip(length - tail).collect();
    format!("{head}…{tail}")
}

fn titles(wide: bool) -> Vec<&'static str> {
    match wide {
        false => vec!["NAMESPACE", "NAME", "UPDATED", "AVAILABLE", "PROGRESS", "STATE"],
        true => vec![
            "NAMESPACE",
            "NAME",
            "DESIRED",
            "CURRENT",
            "READY",
            "UPDATED",
            "AVAILABLE",
            "MISSCHEDULED",
            "PROGRESS",
            "STRATEGY",
            "REVISION",
            "AGE",
            "STATE",
        ],
    }
}

fn line(cells: &[Cell], widths: &[usize], paint: &Paint) -> String {
    let mut out = String::new();
    for (index, ((text, tone, is_right), width)) in cells.iter().zip(widths).enumerate() {
        let pad = " ".repeat(width.saturating_sub(text.chars().count()));
        let text = tone.map_or_else(|| text.clone(), |tone| paint.tone(tone, text));
        let is_last = index + 1 == cells.len();
        match (is_right, is_last) {
            (true, _) => out.push_str(&format!("{pad}{text}")),
            (false, true) => out.push_str(&text),
            (false, false) => out.push_str(&format!("{text}{pad}")),
        }
        out.push_str(if is_last { "\n" } else { "  " });
    }
    out
}

impl Row {
    /// Done, updated and not available, and the rest.
    fn bar(&self) -> String {
        let desired = usize::try_from(self.desired).unwrap_or(0);
        let cells = |number: i32| match desired {
            0 => CELLS,
            desired => usize::try_from(number).unwrap_or(0).min(desired) * CELLS / desired,
        };
        let done = cells(self.done);
        let under_way = cells(self.updated.max(self.done)) - done;
        format!("{}{}{}", "━".repeat(done), "─".repeat(under_way), "┄".repeat(CELLS - done - under_way))
    }

    fn tone(&self) -> Tone {
        match self.state {
            State::Complete => Tone::Good,
            State::RollingOut | State::WaitsForPromotion => Tone::Moving,
            State::Stalled | State::Halted | State::RollingBack | State::RolledBack => Tone::Bad,
            State::Deleting => Tone::Quiet,
            State::NotAvailable | State::OnDelete | State::NotObserved | State::Paused => Tone::Warning,
        }
    }

    /// The state in a few words.
    pub fn state_text(&self) -> String {
        let old = self.cells.iter().filter(|cell| cell.class == Class::Old).count();
        match self.state {
            State::Complete if self.desired == 0 => "no node is eligible".to_owned(),
            State::Complete => "complete".to_owned(),
            State::RollingOut => match self.end() {
                Some((end, "gate")) => format!("~{} to its gate", human(end.p50_millis)),
                Some((end, _)) => format!("~{} left", human(end.p50_millis)),
                None => "rolling out".to_owned(),
            },
            State::Stalled => "stalled".to_owned(),
            State::NotAvailable => format!("{} not available", self.desired - self.done),
            State::OnDelete => format!("OnDelete, {old} old"),
            State::WaitsForPromotion => "waits for promotion".to_owned(),
            State::Paused => "paused".to_owned(),
            State::Halted => "halted".to_owned(),
            State::RollingBack => "going back".to_owned(),
            State::RolledBack => "gone back".to_owned(),
            State::NotObserved => "not looked at".to_owned(),
            State::Deleting => "being deleted".to_owned(),
        }
    }

    fn write_causes(&self, now: i64, paint: &Paint, out: &mut String) {
        let mut say = |head: &str, tone: Tone, text: &str| {
            let pad = " ".repeat(9 - head.len());
            out.push_str(&format!("  {}{pad}", paint.tone(tone, head)));
            out.push_str(&paint.fold(text, 11));
            out.push('\n');
        };
        let is_rolling = matches!(self.state, State::RollingOut | State::Stalled);
        let is_open = !matches!(self.state, State::Complete | State::Deleting | State::NotObserved);
        if let Some(policy) = self.policy.as_ref().filter(|_| is_open) {
            say("policy", Tone::Strong, &format!("{}: {}", policy.name, policy.text));
            policy.failed_where.iter().for_each(|one| say("", Tone::Bad, &one.text));
            if !policy.exempt.is_empty() {
                say("", Tone::Quiet, &format!("exempt: {}", paint.some(&policy.exempt)));
            }
        }
        let estimate = self.estimate.as_ref();
        if let Some(stalls) = estimate.and_then(|one| one.stalls.as_ref()).filter(|_| is_rolling) {
            say("stalled", Tone::Bad, stalls.strip_prefix("stalls: ").unwrap_or(stalls));
        } else if let Some((end, head)) = self.end().filter(|_| is_rolling) {
            let at = everynode_model::time::format(now + end.p50_millis / 1000);
            let (p50, p95) = (human(end.p50_millis), human(end.p95_millis));
            say(head, Tone::Moving, &format!("in about {p50} (p50) to {p95} (p95): {at}"));
        }
        if let Some(estimate) = &self.estimate {
            estimate.problems.iter().for_each(|problem| say("problem", Tone::Bad, &problem.text));
        }
        let mut told: Vec<&Group> = Vec::new();
        if let Some(budget) = self
            .budget
            .as_ref()
            .filter(|budget| (is_rolling || self.policy.is_some() && is_open) && budget.used > 0)
        {
            say("budget", Tone::Strong, &format!("{}, {} in use", budget.text, budget.used));
            told.extend(&budget.used_by);
        }
        let is_trouble =
            |class: Class| matches!(class, Class::NotAvailable | Class::Missing | Class::Misscheduled);
        for group in self.groups.iter().filter(|group| is_trouble(group.class)) {
            let is_told = |known: &&Group| group.nodes.iter().all(|node| known.nodes.contains(node));
            if !told.iter().any(is_told) {
                told.push(group);
            }
        }
        let shown = if paint.wide { told.len() } else { CAUSES };
        for group in told.iter().take(shown) {
            say("", Tone::Quiet, &group.to_text(now, paint));
            // Where nothing ends by itself, somebody has to do something.
            if let Some(way) = group.reason.would_change.first().filter(|_| !self.goes_on()) {
                say("", Tone::Quiet, &format!("would change it: {way}"));
            }
        }
        if told.len() > shown {
            say("", Tone::Quiet, &format!("and {}", count(told.len() - shown, "more cause")));
        }
        self.notes.iter().for_each(|note| say("note", Tone::Warning, note));
    }

    /// When it comes to its end, or to a gate.
    fn end(&self) -> Option<(End, &'static str)> {
        let estimate = self.estimate.as_ref()?;
        Some((estimate.end?, if estimate.waits_for_promotion { "gate" } else { "ends" }))
    }

    /// It gets on without anybody doing something.
    fn goes_on(&self) -> bool {
        matches!(self.state, State::RollingOut | State::Complete | State::RollingBack)
    }
}

impl Group {
    /// `3 x the node is down, for 12m: worker-05, worker-11, worker-17`.
    pub fn to_text(&self, now: i64, paint: &Paint) -> String {
        let since = self.reason.since.map(|since| format!(", for {}", human((now - since).max(0) * 1000)));
        let kind = match self.class {
            Class::Misscheduled => "should not run, has a pod: ",
            _ => "",
        };
        format!(
            "{} x {kind}{}{}: {}",
            self.nodes.len(),
            self.reason.text,
            since.unwrap_or_default(),
            paint.some(&self.nodes)
        )
    }
}

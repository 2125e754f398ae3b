//! Roll-outs under policies, for people.

use everynode_api::{PolicyPhase, RolloutPhase};
use std::fmt::Write;

use everynode_model::time;

use super::{History, Policies, Policy, Rollout, Wave, WaveState};
use crate::{Paint, Tone};

impl Policies {
    /// How they stand, at a time in Unix seconds.
    pub fn to_text(&self, now: i64, paint: &Paint) -> String {
        if self.policies.is_empty() {
            return format!("There is no RolloutPolicy{}.\n", self.place());
        }
        let text = |policy: &Policy| match self.namespace {
            Some(_) => policy.to_text(now, paint),
            None => policy.text(&format!(" in namespace {}", policy.namespace), now, paint),
        };
        self.policies.iter().map(text).collect::<Vec<String>>().join("\n")
    }
}

impl Policy {
    /// How it stands, at a time in Unix seconds.
    pub fn to_text(&self, now: i64, paint: &Paint) -> String {
        self.text("", now, paint)
    }

    fn text(&self, place: &str, now: i64, paint: &Paint) -> String {
        let paused = if self.paused { ", paused" } else { "" };
        let mut out = paint.tone(Tone::Strong, &format!("policy/{}{place}{paused}", self.name)) + "\n";
        if !self.is_observed {
            let note = "No controller has looked at it as it is. Does everynode run?";
            let _ = writeln!(out, "  {}", paint.tone(Tone::Warning, note));
        }
        if self.rollouts.is_empty() {
            let phase = self.phase.map_or("", PolicyPhase::name);
            let _ = writeln!(out, "  {}", paint.fold(&format!("{phase}: {}", self.message), 4));
        }
        for rollout in &self.rollouts {
            rollout.write(self, now, paint, &mut out);
        }
        out
    }
}

impl Rollout {
    fn write(&self, policy: &Policy, now: i64, paint: &Paint, out: &mut String) {
        let head = format!("daemonset/{}  ", self.daemonset);
        let line = paint.fold(&format!("{head}{}: {}", self.phase, self.message), 4);
        let phase = paint.tone(tone(self.phase), self.phase.name());
        let _ = writeln!(out, "{}", line.replacen(self.phase.name(), &phase, 1));
        let good = match self.last_good_revision.as_str() {
            "" => String::new(),
            good if good == self.revision => String::new(),
            good => format!(", last good {good}"),
        };
        let age = time::parse(&self.started_at).map(|at| format!(", began {} ago", time::age(at, now)));
        let _ = writeln!(out, "  Revision     {}{good}{}", self.revision, age.unwrap_or_default());
        let (done, waiting) = match self.phase.is_back() {
            true => ("back", String::new()),
            false => ("updated", format!(", {} waiting for their turn", self.waiting)),
        };
        let _ = writeln!(
            out,
            "  Nodes        {} of {} {done}, {} available{waiting}",
            self.updated, self.desired, self.available
        );
        let (taken, most) = (self.unavailable, self.max_unavailable);
        let _ = writeln!(out, "  Unavailable  {taken} by the roll-out, at most {most}");
        for group in &self.unavailable_nodes {
            let line = format!("{}: {}", paint.some(&group.nodes), group.reason);
            let _ = writeln!(out, "    {}", paint.fold(&line, 6));
        }
        let _ = writeln!(out, "  Failed       {}; it halts at {}", self.failed, self.failure_budget);
        for failed in &self.failed_nodes {
            let evidence = failed.evidence.as_ref().map(|text| format!("; {text}")).unwrap_or_default();
            let line = format!("{}: {} at {}{evidence}", failed.node, failed.reason, failed.at);
            let _ = writeln!(out, "    {}", paint.fold(&line, 6));
        }
        let (failed, named) = (self.failed, self.failed_nodes.len());
        if failed > named {
            let _ = writeln!(out, "    and {} more", failed - named);
        }
        for one in &self.failed_where {
            let _ = writeln!(out, "    {}", paint.tone(Tone::Bad, &paint.fold(&one.text, 6)));
        }
        if !self.exempt_nodes.is_empty() {
            let named = self.exempt_nodes.len();
            let all = if self.exempt > named { format!("{}: ", self.exempt) } else { String::new() };
            let line = format!("{all}{} (broken before their turn)", paint.some(&self.exempt_nodes));
            let _ = writeln!(out, "  Exempt       {}", paint.fold(&line, 15));
        }
        if let Some(analysis) = &self.analysis {
            let line = format!("{}: {} ({})", analysis.verdict, analysis.message, analysis.basis);
            let _ = writeln!(out, "  Analysis     {}", paint.fold(&line, 15));
            if !analysis.worst_nodes.is_empty() {
                let common = analysis.common.as_ref().map(|common| format!("; {common}")).unwrap_or_default();
                let line = format!("such as {}{common}", analysis.worst_nodes.join(", "));
                let _ = writeln!(out, "    {}", paint.fold(&line, 6));
            }
            for signal in analysis.signals.iter().filter(|signal| signal.message != analysis.message) {
                let _ = writeln!(out, "    {}", paint.fold(&signal.message, 6));
            }
        }
        self.write_waves(now, paint, out);
        self.write_next(policy, paint, out);
    }

    fn write_waves(&self, now: i64, paint: &Paint, out: &mut String) {
        if self.phase == RolloutPhase::Progressing && self.revision == self.last_good_revision {
            let _ = writeln!(out, "  Waves        none: it is the way back to the last good revision");
            return;
        }
        let rows: Vec<[String; 5]> = self
            .waves
            .iter()
            .map(|wave| {
                let gate = if wave.is_manual { "manual" } else { "" };
                let bake = if wave.bake_seconds > 0 {
                    time::human_duration(wave.bake_seconds)
                } else {
                    String::new()
                };
                [wave.name.clone(), wave.nodes.clone(), bake, gate.to_owned(), state_text(wave, now)]
            })
            .collect();
        let heads = ["WAVE", "NODES", "BAKE", "GATE", "STATE"];
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(heads[column].len())
        };
        let widths: [usize; 4] = [width(0), width(1), width(2), width(3)];
        let line = |cells: [&str; 5]| {
            let mut text = "  ".to_owned();
            for (cell, width) in cells.iter().zip(widths) {
                let _ = write!(text, "{cell:width$}  ");
            }
            text + cells[4]
        };
        let _ = writeln!(out, "{}", paint.tone(Tone::Quiet, &line(heads)));
        for row in &rows {
            let _ = writeln!(out, "{}", line([&row[0], &row[1], &row[2], &row[3], &row[4]]));
        }
    }

    fn write_next(&self, policy: &Policy, paint: &Paint, out: &mut String) {
        let target = format!("daemonset/{} -n {}", self.daemonset, policy.namespace);
        let mut next: Vec<(&str, String)> = Vec::new();
        if policy.paused {
            next.push(("resume", "go on".to_owned()));
        }
        match self.phase {
            _ if self.is_promotable() => {
                next.push(("promote", "begin the next wave".to_owned()));
                if !self.aborted {
                    next.push(("abort", self.back()));
                }
            }
            RolloutPhase::Halted => {
                next.push(("retry", "try the failed nodes again".to_owned()));
                if !self.aborted && !self.last_good_revision.is_empty() {
                    next.push(("abort", self.back()));
                }
            }
            RolloutPhase::RolledBack => next.push(("retry", "try this revision again".to_owned())),
            _ => {}
        }
        for (verb, what) in next {
            let (what, command) = (format!("  To {what}:"), format!("everynode rollout {verb} {target}"));
            // A command stays in one line.
            let is_long = paint.width.is_some_and(|width| what.len() + 1 + command.len() > width);
            let _ = writeln!(out, "{what}{}{command}", if is_long { "\n    " } else { " " });
        }
    }

    fn back(&self) -> String {
        match self.last_good_revision.as_str() {
            "" => "give the revision up".to_owned(),
            good => format!("go back to revision {good}"),
        }
    }
}

fn state_text(wave: &Wave, now: i64) -> String {
    let until = wave.until_seconds.unwrap_or(now);
    match wave.state {
        WaveState::Complete => "complete".to_owned(),
        WaveState::UnderWay => "under way".to_owned(),
        WaveState::Baking => {
            format!("watched for {} more", time::human_duration((until - now).max(0)))
        }
        WaveState::WaitsForPromotion => "waits for promotion".to_owned(),
        WaveState::Stalled => "cannot go on".to_owned(),
        WaveState::Halted => "halted".to_owned(),
        WaveState::ToCome => "to come".to_owned(),
    }
}

fn tone(phase: RolloutPhase) -> Tone {
    match phase {
        RolloutPhase::Complete => Tone::Good,
        RolloutPhase::Progressing | RolloutPhase::Baking => Tone::Moving,
        RolloutPhase::WaitingForPromotion | RolloutPhase::RolledBack => Tone::Warning,
        RolloutPhase::Stalled | RolloutPhase::Halted | RolloutPhase::RollingBack => Tone::Bad,
    }
}

impl History {
    /// A table.
    pub fn to_text(&self, paint: &Paint) -> String {
        let line = |cells: [&str; 5]| {
            format!("{:<10}{:<13}{:<6}{:<24}{}", cells[0], cells[1], cells[2], cells[3], cells[4])
        };
        let heads = line(["REVISION", "HASH", "PODS", "STATE", "IMAGES"]);
        let mut out = paint.tone(Tone::Quiet, &heads) + "\n";
        for row in &self.revisions {
            let (number, pods) = (row.revision.to_string(), row.pods.to_string());
            let text = line([&number, &row.hash, &pods, &row.notes.join(", "), &row.images.join(", ")]);
            let _ = writeln!(out, "{}", text.trim_end());
        }
        out
    }
}

//! A plan as text for people.

use std::fmt::Write;

use serde_json::Value;

use crate::conducted::PolicyWave;
use crate::findings::{FindingKind, Severity};
use crate::report::{Plan, Wave};
use crate::spread::human;
use crate::words::{NodeReason, count, some_nodes};

/// Waves that are shown at the beginning and at the end.
const WAVES_SHOWN: usize = 3;
/// Reasons that are shown of each kind.
const REASONS_SHOWN: usize = 5;
/// Longest text of a value in the diff.
const VALUE_LIMIT: usize = 120;

impl Plan {
    /// The text.
    pub fn to_text(&self) -> String {
        self.text(false)
    }

    /// The text with all waves and nodes.
    pub fn to_text_in_full(&self) -> String {
        self.text(true)
    }

    fn text(&self, full: bool) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out, full);
        out
    }

    fn write(&self, out: &mut String, full: bool) -> std::fmt::Result {
        let what = if self.is_new { "first roll-out" } else { "change" };
        writeln!(out, "DaemonSet {}/{}: {what}", self.namespace, self.name)?;
        self.write_changes(out)?;
        self.write_nodes(out, full)?;
        self.write_policy(out, full)?;
        self.write_roll_out(out, full)?;
        for warning in &self.warnings {
            writeln!(out, "  warning    {warning}")?;
        }
        self.write_findings(out, full)?;
        writeln!(out, "  token      {}", self.token)?;
        let is_whole = self.findings.iter().all(|finding| finding.kind != FindingKind::NotSeen);
        match (self.safe, is_whole) {
            (true, true) => writeln!(out, "Safe."),
            (true, false) => writeln!(out, "Safe, as far as could be seen."),
            (false, _) => writeln!(out, "NOT SAFE."),
        }
    }

    fn write_changes(&self, out: &mut String) -> std::fmt::Result {
        if !self.is_new && self.changes.is_empty() {
            return writeln!(out, "  changes    none");
        }
        for (index, change) in self.changes.iter().enumerate() {
            let head = if index == 0 { "changes" } else { "" };
            let text = match (&change.before, &change.after) {
                (Value::Null, after) => format!("+ {}: {}", change.path, short(after)),
                (before, Value::Null) => format!("- {}: {}", change.path, short(before)),
                (before, after) => format!("~ {}: {} -> {}", change.path, short(before), short(after)),
            };
            writeln!(out, "  {head:<10} {text}")?;
        }
        Ok(())
    }

    fn write_nodes(&self, out: &mut String, full: bool) -> std::fmt::Result {
        let nodes = &self.nodes;
        let (gained, lost) = (nodes.gained.len(), nodes.lost.len());
        writeln!(
            out,
            "  nodes      {} of {} eligible, {gained} gained, {lost} lost",
            nodes.desired, nodes.total
        )?;
        for (sign, list) in [('+', &nodes.gained), ('-', &nodes.lost)] {
            write_reasons(out, &format!("             {sign} "), list, full)?;
        }
        write_reasons(out, "  no room    ", &self.misfits, full)?;
        Ok(())
    }

    fn write_roll_out(&self, out: &mut String, full: bool) -> std::fmt::Result {
        let touched: usize = self.waves.iter().map(|wave| wave.nodes.len()).sum();
        if touched == 0 {
            return writeln!(out, "  order      no pod is replaced");
        }
        writeln!(out, "  order      {} in {}", count(touched, "node"), count(self.waves.len(), "wave"))?;
        let last = if full { WAVES_SHOWN } else { self.waves.len().saturating_sub(1).max(WAVES_SHOWN) };
        let hidden = WAVES_SHOWN..last;
        for (index, wave) in self.waves.iter().enumerate() {
            match () {
                () if index == hidden.start && !hidden.is_empty() => {
                    writeln!(out, "             ...")?;
                }
                () if hidden.contains(&index) => {}
                () => writeln!(out, "{}", wave_line(index, wave, full))?,
            }
        }
        let duration = &self.duration;
        let until = self.until();
        match duration.runs {
            0 => writeln!(out, "  duration   {}{until}", human(duration.typical_millis))?,
            runs => writeln!(
                out,
                "  duration   {} (p50) to {} (p95) in {runs} runs{until}",
                human(duration.p50_millis),
                human(duration.p95_millis)
            )?,
        }
        writeln!(
            out,
            "             a pod starts in {} (p50) to {} (p99), {}",
            human(duration.start_p50_millis),
            human(duration.start_p99_millis),
            duration.start_origin
        )?;
        self.write_unavailable(out, full)
    }

    /// What the duration lasts to, where that is not the end.
    fn until(&self) -> &'static str {
        use FindingKind::{DeadNodesUseBudget, Halts, Stalls, SurgeHostPorts, WaitsForPromotion};
        let has = |kinds: &[FindingKind]| self.findings.iter().any(|finding| kinds.contains(&finding.kind));
        match () {
            () if has(&[DeadNodesUseBudget, Stalls, SurgeHostPorts]) => ", until it stalls",
            () if has(&[Halts]) => ", until it halts",
            () if has(&[WaitsForPromotion]) => ", until it waits for promotion",
            () => "",
        }
    }

    fn write_policy(&self, out: &mut String, full: bool) -> std::fmt::Result {
        let Some(policy) = &self.policy else { return Ok(()) };
        let then = match policy.on_failure {
            "Rollback" => "goes back",
            _ => "stops",
        };
        if policy.is_return {
            return writeln!(
                out,
                "  policy     {}: nodes go back to the last good revision: within maxUnavailable {}, without waves, \
                 and whatever fails",
                policy.policy, policy.max_unavailable
            );
        }
        let waves = match policy.waves.len() {
            0 => "a first roll-out without waves".to_owned(),
            number => count(number, "wave"),
        };
        writeln!(
            out,
            "  policy     {}: {waves}, maxUnavailable {}, {then} when {} failed",
            policy.policy,
            policy.max_unavailable,
            match policy.failure_budget {
                1 => "1 node has".to_owned(),
                number => format!("{number} nodes have"),
            }
        )?;
        for wave in &policy.waves {
            writeln!(out, "             {}", policy_wave(wave, full))?;
        }
        if let Some(analysis) = &policy.analysis {
            writeln!(out, "             analysis ({}), if nothing is worse as assumed here:", analysis.mode)?;
            analysis.lines().iter().try_for_each(|line| writeln!(out, "               {line}"))?;
        }
        write_reasons(out, "             exempt: ", &policy.exempt, full)?;
        Ok(())
    }

    fn write_unavailable(&self, out: &mut String, full: bool) -> std::fmt::Result {
        let Self { unavailable, .. } = self;
        let allowed = match (unavailable.allowed, unavailable.surge) {
            (Some(allowed), _) => format!("; maxUnavailable is {allowed}"),
            (_, Some(surge)) => format!("; maxSurge is {surge}"),
            _ => String::new(),
        };
        let (worst, before) = (unavailable.worst, unavailable.before);
        writeln!(out, "  worst      {worst} unavailable at once, {before} before{allowed}")?;
        if unavailable.held > 0 {
            let nodes = count(unavailable.held, "node");
            writeln!(
                out,
                "             {nodes} beside, not eligible, with an unavailable pod: counted against it too"
            )?;
        }
        if unavailable.worst_typical > 0 {
            let after = human(unavailable.worst_at_millis);
            writeln!(out, "             after {after}: {}", some_nodes(&unavailable.worst_nodes, full))?;
        }
        Ok(())
    }

    fn write_findings(&self, out: &mut String, full: bool) -> std::fmt::Result {
        for finding in &self.findings {
            let head = match finding.severity {
                Severity::Unsafe => "PROBLEM",
                Severity::Note => "note",
            };
            let nodes = match finding.nodes.is_empty() || finding.message.contains(&finding.nodes[0]) {
                true => String::new(),
                false => format!(" ({})", some_nodes(&finding.nodes, full)),
            };
            writeln!(out, "  {head:<10} {}{nodes}", finding.message)?;
        }
        Ok(())
    }
}

fn wave_line(index: usize, wave: &Wave, full: bool) -> String {
    let at = human(wave.from_millis);
    format!("  {:>9}  after {at}: {}", index + 1, some_nodes(&wave.nodes, full))
}

/// `wave 1 (canary): 1 node, 0s to 14s, then watched for 5m, then promoted by hand`.
fn policy_wave(wave: &PolicyWave, full: bool) -> String {
    let name = match wave.name == wave.number.to_string() {
        true => String::new(),
        false => format!(" ({})", wave.name),
    };
    let time = match (wave.from_millis, wave.done_millis) {
        (None, _) => "not reached".to_owned(),
        (Some(from), None) => format!("from {}, not completed", human(from)),
        (Some(from), Some(done)) => format!("{} to {}", human(from), human(done)),
    };
    let mut text = format!("wave {}{name}: {}, {time}", wave.number, count(wave.nodes.len(), "node"));
    let is_done = wave.done_millis.is_some();
    if wave.bake_seconds > 0 && is_done {
        text.push_str(&format!(", then watched for {}", human(wave.bake_seconds * 1000)));
    }
    if wave.gate == "Manual" && is_done {
        text.push_str(", then promoted by hand");
    }
    if full && !wave.nodes.is_empty() {
        text.push_str(&format!(": {}", wave.nodes.join(", ")));
    }
    text
}

/// A line for each reason, or for those with the most nodes.
fn write_reasons(out: &mut String, head: &str, list: &[NodeReason], full: bool) -> std::fmt::Result {
    let groups = by_reason(list);
    let shown = if full { groups.len() } else { REASONS_SHOWN };
    for (reason, names) in groups.iter().take(shown) {
        writeln!(out, "{head}{}: {reason}", some_nodes(names, full))?;
    }
    match groups.iter().skip(shown).map(|(_, names)| names.len()).sum() {
        0 => Ok(()),
        nodes => writeln!(out, "{head}{} for other reasons: -o wide tells all", count(nodes, "more node")),
    }
}

/// Nodes grouped by reason, the largest group first.
fn by_reason(list: &[NodeReason]) -> Vec<(&str, Vec<String>)> {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for NodeReason { node, reason } in list {
        match groups.iter_mut().find(|(known, _)| known == reason) {
            Some((_, nodes)) => nodes.push(node.clone()),
            None => groups.push((reason, vec![node.clone()])),
        }
    }
    groups.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
    groups
}

/// A value on one line.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_LIMIT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

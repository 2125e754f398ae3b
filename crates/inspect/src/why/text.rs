//! The text of `why`.

use everynode_model::time;
use everynode_plan::count;
use everynode_plan::spread::human;

use super::{WhyNode, WhyPod, WhySet};
use crate::events::EventLine;
use crate::paint::{Paint, Tone};
use crate::reason::{Class, Reason};
use crate::status::{Group, State};

/// Columns of the heads of lines.
const HEAD: usize = 10;

/// How long ago, in seconds, in words.
pub(super) fn age(now: i64, since: i64) -> String {
    human((now - since).max(0) * 1000)
}

/// Lines with a head each.
struct Sheet<'a> {
    paint: &'a Paint,
    out: String,
}

impl Sheet<'_> {
    fn say(&mut self, head: &str, tone: Tone, text: &str) {
        let head = format!("{head:<HEAD$}");
        let head = if head.trim().is_empty() { head } else { self.paint.tone(tone, &head) };
        self.out.push_str(&format!("  {head} {}\n", self.paint.fold(text, HEAD + 3)));
    }

    /// The lines of a list, with a head before the first.
    fn list(&mut self, head: &str, tone: Tone, lines: &[String]) {
        for (index, line) in lines.iter().enumerate() {
            self.say(if index == 0 { head } else { "" }, tone, line);
        }
    }
}

impl WhyNode {
    /// The answer for people.
    pub fn to_text(&self, paint: &Paint) -> String {
        let mut sheet = Sheet { paint, out: String::new() };
        let (answer, tone) = self.answer();
        let title = format!("{}/{} on {}", self.namespace, self.name, self.node);
        sheet.out.push_str(&format!("{}: {}\n", paint.tone(Tone::Strong, &title), paint.tone(tone, answer)));
        self.say_reason(&mut sheet);
        for (index, predicate) in self.predicates.iter().enumerate() {
            let head = if index == 0 { "placement" } else { "" };
            let mark = if predicate.holds { "yes" } else { "no " };
            sheet.say(head, Tone::Strong, &format!("{mark}  {}", predicate.text));
            if predicate.details.len() > 1 || paint.wide {
                predicate
                    .details
                    .iter()
                    .for_each(|line| sheet.say("", Tone::Quiet, &format!("       {line}")));
            }
        }
        if self.predicates.is_empty() && self.node_seen {
            sheet.say("placement", Tone::Strong, "nothing in the template or on the node speaks against it");
        }
        sheet.say("node", Tone::Strong, &self.about_node.join("; "));
        sheet.list("pods", Tone::Strong, &pod_lines(&self.pods, self.taken_at_seconds));
        let events: Vec<String> =
            self.events.iter().map(|event| event.to_text(self.taken_at_seconds)).collect();
        sheet.list("events", Tone::Strong, &events);
        self.say_roll_out(&mut sheet);
        if let Some(policy) = &self.policy {
            sheet.say("policy", Tone::Strong, &format!("{}: {}", policy.name, policy.text));
            policy.failed_where.iter().for_each(|one| sheet.say("", Tone::Bad, &one.text));
        }
        sheet.list("not seen", Tone::Warning, &self.not_seen);
        sheet.out
    }

    fn answer(&self) -> (&'static str, Tone) {
        match (self.class, self.may_stay) {
            (Class::Available, _) => ("runs, available", Tone::Good),
            (Class::Old, _) => ("runs, available, of an old revision", Tone::Moving),
            (Class::NotAvailable, _) => ("should run, and is not available", Tone::Bad),
            (Class::Missing, _) => ("should run, and has no pod", Tone::Bad),
            (Class::Misscheduled, true) => ("should not run; the pod that is there stays", Tone::Warning),
            (Class::Misscheduled, false) => ("should not run; the pod that is there goes", Tone::Warning),
            (Class::NotEligible, _) => ("does not run, and should not", Tone::Warning),
        }
    }

    fn say_reason(&self, sheet: &mut Sheet<'_>) {
        if self.class == Class::Available {
            if let Some(since) = self.reason.since {
                sheet.say("since", Tone::Strong, &since_text(self.taken_at_seconds, since));
            }
            return;
        }
        sheet.say("because", Tone::Strong, &self.reason.text);
        if !self.reason.detail.is_empty() {
            sheet.say("", Tone::Quiet, &self.reason.detail);
        }
        if let Some(since) = self.reason.since {
            sheet.say("since", Tone::Strong, &since_text(self.taken_at_seconds, since));
        }
        sheet.list("change it", Tone::Strong, &self.reason.would_change);
    }

    fn say_roll_out(&self, sheet: &mut Sheet<'_>) {
        let Some(roll_out) = &self.roll_out else { return };
        let own = if roll_out.is_user { "; this node is one of them" } else { "" };
        let text = format!("{}, {} in use{own}", roll_out.budget, roll_out.used);
        sheet.say("roll-out", Tone::Strong, &text);
        for group in &roll_out.used_by {
            let text = group.to_text(self.taken_at_seconds, sheet.paint);
            sheet.say("", Tone::Quiet, &text);
        }
    }
}

impl EventLine {
    /// `2m ago, 12 times: Unhealthy: Readiness probe failed`.
    fn to_text(&self, now: i64) -> String {
        let when = self.last_seconds.map(|last| format!("{} ago", age(now, last))).unwrap_or_default();
        let times = if self.count > 1 { format!(", {} times", self.count) } else { String::new() };
        format!("{when}{times}: {}: {}", self.reason, self.message)
    }
}

fn since_text(now: i64, since: i64) -> String {
    format!("{}, {} ago", time::format(since), age(now, since))
}

/// Lines of pods: those that stand alike share one.
const POD_LINES: usize = 8;

/// `agent-4xk2p and 120 more, current revision: failed`.
fn pod_lines(pods: &[WhyPod], now: i64) -> Vec<String> {
    let mut alike: Vec<(&WhyPod, usize)> = Vec::new();
    for pod in pods {
        match alike.iter_mut().find(|(first, _)| first.stands_as(pod)) {
            Some((_, more)) => *more += 1,
            None => alike.push((pod, 0)),
        }
    }
    let mut lines: Vec<String> =
        alike.iter().take(POD_LINES).map(|(first, more)| first.to_text(*more, now)).collect();
    if alike.len() > POD_LINES {
        let more: usize = alike[POD_LINES..].iter().map(|(_, more)| more + 1).sum();
        lines.push(format!("and {}", count(more, "more pod")));
    }
    lines
}

impl WhyPod {
    /// It differs from another one in its name and its age only.
    fn stands_as(&self, other: &WhyPod) -> bool {
        let key = |pod: &WhyPod| (pod.is_current, pod.is_of_another_template, pod.is_available);
        let text = |pod: &WhyPod| pod.reason.as_ref().map(|reason| reason.text.clone());
        key(self) == key(other) && text(self) == text(other)
    }

    fn to_text(&self, more: usize, now: i64) -> String {
        let revision = match (self.is_current, self.is_of_another_template) {
            (true, true) => "of another template, counts as current by its label pod-template-generation",
            (true, false) => "current revision",
            (false, _) => "old revision",
        };
        let state = match &self.reason {
            Some(reason) => with_age(reason, now),
            None if self.is_available => "available".to_owned(),
            None => "not available".to_owned(),
        };
        let kept = self.kept_until_seconds.map(|until| {
            format!("; it is kept for {} more, as pods fail here again and again", age(until, now))
        });
        let others = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{others}, {revision}: {state}{}", self.name, kept.unwrap_or_default())
    }
}

fn with_age(reason: &Reason, now: i64) -> String {
    match reason.since {
        Some(since) => format!("{}, for {}", reason.text, age(now, since)),
        None => reason.text.clone(),
    }
}

impl WhySet {
    /// The answer for people.
    pub fn to_text(&self, paint: &Paint) -> String {
        let row = &self.row;
        let mut sheet = Sheet { paint, out: String::new() };
        let title = paint.tone(Tone::Strong, &format!("DaemonSet {}/{}", row.namespace, row.name));
        sheet.out.push_str(&format!(
            "{title}: {} of {} should run it, {} available\n",
            row.desired,
            count(self.nodes, "node"),
            match row.available {
                1 => "1 is".to_owned(),
                number => format!("{number} are"),
            }
        ));
        let missing = if row.revisions_seen { "none yet" } else { "not seen" };
        let revision = row.revision.as_deref().unwrap_or(missing);
        sheet.say(
            "revision",
            Tone::Strong,
            &format!("{revision}, {} of {} updated", row.updated, row.desired),
        );
        self.say_roll_out(&mut sheet);
        sheet.out.push_str(&format!("  {}\n", paint.tone(Tone::Quiet, &format!("{:>7}  WHY", "NODES"))));
        for group in &row.groups {
            self.say_group(group, &mut sheet);
        }
        let events: Vec<String> =
            self.events.iter().map(|event| event.to_text(self.taken_at_seconds)).collect();
        sheet.list("events", Tone::Strong, &events);
        sheet.list("not seen", Tone::Warning, &self.not_seen);
        sheet.out
    }

    fn say_roll_out(&self, sheet: &mut Sheet<'_>) {
        let row = &self.row;
        let budget = match &row.budget {
            Some(budget) => format!("{}, {} in use", budget.text, budget.used),
            None => row.strategy.clone(),
        };
        let state = match row.state {
            State::Complete => "complete".to_owned(),
            _ => row.state_text(),
        };
        sheet.say("roll-out", Tone::Strong, &format!("{state}; {budget}"));
        if let Some(policy) = row.policy.as_ref().filter(|_| row.state != State::Complete) {
            sheet.say("policy", Tone::Strong, &format!("{}: {}", policy.name, policy.text));
            if !policy.exempt.is_empty() {
                sheet.say("", Tone::Quiet, &format!("exempt: {}", sheet.paint.some(&policy.exempt)));
            }
        }
        if let Some(estimate) = &row.estimate {
            let stalls = estimate.stalls.iter().filter(|_| row.state == State::Stalled);
            stalls.for_each(|text| {
                sheet.say("stalls", Tone::Bad, text.strip_prefix("stalls: ").unwrap_or(text))
            });
            estimate.problems.iter().for_each(|problem| sheet.say("problem", Tone::Bad, &problem.text));
        }
        sheet.list("note", Tone::Warning, &row.notes);
    }

    fn say_group(&self, group: &Group, sheet: &mut Sheet<'_>) {
        let (class, tone) = match group.class {
            Class::Available => ("", Tone::Good),
            Class::Old => ("available, old revision: ", Tone::Moving),
            Class::NotAvailable => ("not available: ", Tone::Bad),
            Class::Missing => ("missing: ", Tone::Bad),
            Class::Misscheduled => ("should not run, has a pod: ", Tone::Warning),
            Class::NotEligible => ("should not run: ", Tone::Quiet),
        };
        let paint = sheet.paint;
        let since = match group.class {
            Class::Available | Class::Old => None,
            _ => group.reason.since,
        };
        let since = since.map(|since| format!(", for {}", age(self.taken_at_seconds, since)));
        let text = format!("{class}{}{}", group.reason.text, since.unwrap_or_default());
        let count = paint.tone(tone, &format!("{:>7}", group.nodes.len()));
        sheet.out.push_str(&format!("  {count}  {}\n", paint.fold(&text, 11)));
        let mut under = |text: &str| sheet.out.push_str(&format!("{:11}{}\n", "", paint.fold(text, 11)));
        if !group.reason.detail.is_empty() {
            under(&group.reason.detail);
        }
        under(&paint.some(&group.nodes));
        if !matches!(group.class, Class::Available) {
            let ways = group.reason.would_change.iter().take(if paint.wide { usize::MAX } else { 1 });
            ways.for_each(|way| under(&format!("would change it: {way}")));
        }
    }
}

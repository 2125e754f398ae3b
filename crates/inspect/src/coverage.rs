//! How many nodes of a DaemonSet are served now, and what keeps the others from it: as a whole and by a label of nodes.

use std::collections::BTreeMap;

use everynode_engine::Service;
use serde::Serialize;

use crate::look::{Answer, Look, Set};
use crate::paint::{Paint, Tone};
use crate::status::Filter;

/// Values of a label that text shows; JSON has all.
const VALUES: usize = 50;

/// The DaemonSets of a fleet. Its JSON form is documented in `docs/coverage.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// When the fleet was read, in Unix seconds.
    pub taken_at_seconds: i64,
    /// The label by whose values nodes are grouped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The DaemonSets, by namespace and name.
    pub daemonsets: Vec<Row>,
}

/// One DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// All its nodes.
    #[serde(flatten)]
    pub nodes: Nodes,
    /// Its nodes by the value of the label, those of which the greatest share is not served first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
}

/// The nodes with one value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Value {
    /// The value; `None` for nodes without the label.
    pub value: Option<String>,
    /// Those nodes.
    #[serde(flatten)]
    pub nodes: Nodes,
}

/// Nodes that should run a daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nodes {
    /// How many there are.
    pub nodes: usize,
    /// On how many of them a pod is ready.
    pub served: usize,
    /// How many are not served, by the cause, as metrics name it.
    pub causes: BTreeMap<&'static str, usize>,
}

impl Coverage {
    /// Of the DaemonSets that are asked for.
    pub fn of(look: &Look<'_>, filter: &Filter, label: Option<&str>) -> Coverage {
        let sets = look.sets();
        let rows = sets.iter().filter(|set| filter.selects(set)).map(|set| row(look, set, label));
        Coverage {
            taken_at_seconds: look.now.seconds(),
            label: label.map(str::to_owned),
            daemonsets: rows.collect(),
        }
    }

    /// For people.
    pub fn to_text(&self, paint: &Paint) -> String {
        self.daemonsets.iter().map(|row| row.to_text(paint)).collect()
    }
}

fn row(look: &Look<'_>, set: &Set<'_>, label: Option<&str>) -> Row {
    let mut all = Nodes::default();
    let mut by_value: BTreeMap<Option<&str>, Nodes> = BTreeMap::new();
    for name in set.node_names() {
        let Some(state) = set.service(name) else { continue };
        all.add(state);
        if let Some(label) = label {
            let value = look.node(name).and_then(|node| node.labels.get(label));
            by_value.entry(value).or_default().add(state);
        }
    }
    let value = |(value, nodes): (Option<&str>, Nodes)| Value { value: value.map(str::to_owned), nodes };
    let mut values: Vec<Value> = by_value.into_iter().map(value).collect();
    // By the share that is not served, without a division: a/b > c/d.
    let unserved = |one: &Value| one.nodes.nodes - one.nodes.served;
    values.sort_by(|a, b| (unserved(b) * a.nodes.nodes).cmp(&(unserved(a) * b.nodes.nodes)));
    Row { namespace: set.fact.namespace.clone(), name: set.fact.name.clone(), nodes: all, values }
}

impl Row {
    fn to_text(&self, paint: &Paint) -> String {
        let title = paint.tone(Tone::Strong, &format!("{}/{}", self.namespace, self.name));
        let mut text = format!("{title}  {}\n", self.nodes.to_text(paint));
        let name = |value: &Value| value.value.clone().unwrap_or_else(|| "(none)".to_owned());
        let shown = self.values.iter().take(VALUES);
        let width = shown.clone().map(|value| name(value).chars().count()).max().unwrap_or(0);
        for value in shown {
            text.push_str(&format!("  {:<width$}  {}\n", name(value), value.nodes.to_text(paint)));
        }
        if let Some(more) = self.values.len().checked_sub(VALUES).filter(|more| *more > 0) {
            text.push_str(&format!("  and {more} more values\n"));
        }
        text
    }
}

impl Nodes {
    /// Those that should run it, of what was said of each.
    pub(crate) fn of<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Nodes {
        let mut nodes = Nodes::default();
        answers.into_iter().filter_map(|answer| answer.service).for_each(|state| nodes.add(state));
        nodes
    }

    /// Takes in those of another DaemonSet.
    pub(crate) fn extend(&mut self, other: &Nodes) {
        (self.nodes, self.served) = (self.nodes + other.nodes, self.served + other.served);
        for (cause, count) in &other.causes {
            *self.causes.entry(cause).or_default() += count;
        }
    }

    fn add(&mut self, state: Service) {
        self.nodes += 1;
        match state {
            Service::Served => self.served += 1,
            cause => *self.causes.entry(cause.name()).or_default() += 1,
        }
    }

    /// `98 of 100 nodes served (98.0 %): 1 crashing, 1 nodeDown`.
    fn to_text(&self, paint: &Paint) -> String {
        match self.share(paint) {
            None => paint.tone(Tone::Quiet, "no node should run it"),
            Some(share) => {
                format!("{} of {} nodes served ({share}){}", self.served, self.nodes, self.causes_text())
            }
        }
    }

    /// `98.0 %, not served: 1 crashing, 1 nodeDown`; nothing where no node should run it.
    pub(crate) fn to_short_text(&self, paint: &Paint) -> Option<String> {
        let unserved = if self.served == self.nodes { "" } else { ", not served" };
        Some(format!("{}{unserved}{}", self.share(paint)?, self.causes_text()))
    }

    /// `98.0 %`, rounded down: 100 % is all of them.
    fn share(&self, paint: &Paint) -> Option<String> {
        let permille = (self.served * 1000).checked_div(self.nodes)?;
        let tone = if self.served == self.nodes { Tone::Good } else { Tone::Warning };
        Some(paint.tone(tone, &format!("{}.{} %", permille / 10, permille % 10)))
    }

    /// `: 1 crashing, 1 nodeDown`, the most first.
    fn causes_text(&self) -> String {
        let mut causes: Vec<(&str, usize)> =
            self.causes.iter().map(|(name, count)| (*name, *count)).collect();
        causes.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        let causes: Vec<String> = causes.iter().map(|(name, count)| format!("{count} {name}")).collect();
        if causes.is_empty() { String::new() } else { format!(": {}", causes.join(", ")) }
    }
}

//! Daemons on nodes that have left their level, and nodes that have with all their daemons.

use std::collections::HashMap;

use everynode_analysis::{OddNode, OddPair, Outliers, Pair, outliers};
use everynode_plan::record::{Node, Text};
use everynode_plan::{Fleet, count};
use serde::Serialize;

use crate::paint::{Paint, Tone};
use crate::status::Filter;
use crate::usage::{self, Measure, Usage};

/// The label whose values say which nodes are alike, unless another one is asked for.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// Findings of each sort that text shows; JSON has all.
const SHOWN: usize = 30;

/// What has left its level. Its JSON form is documented in `docs/analysis.md`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What values are compared with.
    pub basis: Basis,
    /// The label whose values say which nodes are alike.
    pub label: String,
    /// CPU, then memory.
    pub signals: Vec<SignalReport>,
}

/// What values are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Basis {
    /// Each pair with itself before, and that change with those of others.
    OwnLevel,
    /// Levels with those of others: nothing is known from before.
    LevelsOfOthers,
}

/// What has left its level of CPU or memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalReport {
    /// `cpu` or `memory`.
    pub signal: &'static str,
    /// Nodes with all their daemons, the furthest first.
    pub nodes: Vec<NodeFinding>,
    /// Single daemons on nodes, the furthest first.
    pub pairs: Vec<PairFinding>,
    /// How many daemons on nodes could be judged.
    pub judged: usize,
    /// How many could not: no samples, or nothing to compare with.
    pub unknown: usize,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFinding {
    /// The node.
    pub node: String,
    /// Its value of the label.
    pub value: String,
    /// So many times what it would be.
    pub times: f64,
    /// By so many deviations.
    pub deviations: f64,
    /// Of so many daemons.
    pub daemons: usize,
}

/// A daemon on a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairFinding {
    /// The node.
    pub node: String,
    /// The DaemonSet, as `namespace/name`.
    pub daemonset: String,
    /// So many times what it would be.
    pub times: f64,
    /// By so many deviations.
    pub deviations: f64,
}

impl Report {
    /// Of what the pods of a fleet used, against what they used in an earlier one. Only what the filter selects is told,
    /// and all are judged by.
    pub fn of(now: &Fleet, before: Option<&Fleet>, filter: &Filter, label: Option<&str>) -> Report {
        let before = before.map(Usage::of);
        Report::of_usage(&Usage::of(now), before.as_ref(), &now.nodes, filter, label)
    }

    /// The same of what is known of the usage, on these nodes.
    pub fn of_usage(
        now: &Usage,
        before: Option<&Usage>,
        nodes: &[Node],
        filter: &Filter,
        label: Option<&str>,
    ) -> Report {
        let label = label.unwrap_or(INSTANCE_TYPE);
        let values = usage::values(nodes, label);
        let mut report = Report {
            basis: if before.is_some() { Basis::OwnLevel } else { Basis::LevelsOfOthers },
            label: label.to_owned(),
            signals: Measure::ALL.map(|measure| judge(now, before, &values, measure)).into(),
        };
        let is_told = |daemonset: &str| {
            let (namespace, name) = daemonset.split_once('/').unwrap_or(("", daemonset));
            filter.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
                && (filter.names.is_empty() || filter.names.iter().any(|wanted| wanted == name))
        };
        for signal in &mut report.signals {
            signal.pairs.retain(|pair| is_told(&pair.daemonset));
        }
        report
    }

    /// For people.
    pub fn to_text(&self, paint: &Paint) -> String {
        let basis = match self.basis {
            Basis::OwnLevel => "changes against their own level before",
            Basis::LevelsOfOthers => {
                "levels, as nothing is known from before: only what is far out of all is found (--before FILE)"
            }
        };
        let mut out = format!("compared: {basis}; with nodes of the same {}\n", self.label);
        self.signals.iter().for_each(|signal| signal.write(paint, &mut out));
        out
    }
}

impl SignalReport {
    fn write(&self, paint: &Paint, out: &mut String) {
        let SignalReport { signal, nodes, pairs, judged, unknown } = self;
        let title = paint.tone(Tone::Strong, signal);
        let of = format!("{} judged, {unknown} not", count(*judged, "pair"));
        if nodes.is_empty() && pairs.is_empty() {
            out.push_str(&format!("{title}: nothing is out of its level; {of}\n"));
            return;
        }
        out.push_str(&format!("{title}: {of}\n"));
        for odd in nodes.iter().take(SHOWN) {
            let NodeFinding { node, value, times, deviations, daemons } = odd;
            let line = format!(
                "node {node} ({value}): {times:.1} times what it would be, with all {daemons} daemons ({deviations:.0} deviations)"
            );
            out.push_str(&format!("  {}\n", paint.fold(&line, 4)));
        }
        for odd in pairs.iter().take(SHOWN) {
            let PairFinding { node, daemonset, times, deviations } = odd;
            let line = format!(
                "{daemonset} on {node}: {times:.1} times what it would be ({deviations:.0} deviations)"
            );
            out.push_str(&format!("  {}\n", paint.fold(&line, 4)));
        }
        let more = nodes.len().saturating_sub(SHOWN) + pairs.len().saturating_sub(SHOWN);
        if more > 0 {
            out.push_str(&format!("  and {more} more\n"));
        }
    }
}

fn judge(
    now: &Usage,
    earlier: Option<&Usage>,
    values: &HashMap<Text, Text>,
    measure: Measure,
) -> SignalReport {
    let value = |node: &str| usage::value(values, node);
    now.compared(earlier, measure, value, |pairs, names| {
        let Outliers { nodes: odd_nodes, pairs: odd_pairs, judged, unknown } = outliers(pairs);
        let name = |names: &[Text], number: usize| names.get(number).map(|name| name.to_string());
        let node = |OddNode { node, times, deviations, daemons }: OddNode| {
            let node = name(&names.nodes.names, node)?;
            let value = value(&node).to_string();
            Some(NodeFinding { node, value, times, deviations, daemons })
        };
        let pair = |OddPair { place, times, deviations }: OddPair| {
            let Pair { node, daemon, .. } = pairs.get(place)?;
            let (node, daemonset) =
                (name(&names.nodes.names, *node)?, name(&names.daemonsets.names, *daemon)?);
            Some(PairFinding { node, daemonset, times, deviations })
        };
        SignalReport {
            signal: measure.name(),
            nodes: odd_nodes.into_iter().filter_map(node).collect(),
            pairs: odd_pairs.into_iter().filter_map(pair).collect(),
            judged,
            unknown,
        }
    })
}

//! Daemons on nodes that have left their level, and nodes that have with all their daemons.

use std::collections::{BTreeMap, HashMap};

use everynode_analysis::{OddNode, OddPair, Outliers, Pair, outliers};
use everynode_plan::{Fleet, PodUsage, UsageSample, count};
use serde::Serialize;

use crate::paint::{Paint, Tone};
use crate::status::Filter;

/// The label whose values say which nodes are alike, unless another one is asked for.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// CPU below this is not told apart, in cores; memory, in bytes.
const CPU_FLOOR: f64 = 0.005;
const MEMORY_FLOOR: f64 = 16.0 * 1024.0 * 1024.0;
const NANOS_PER_CORE: f64 = 1e9;
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

/// A daemon on a node, with what its pods used.
type Used<'a> = BTreeMap<(&'a str, String), Vec<UsageSample>>;

impl Report {
    /// Of what the pods of a fleet used, against what they used in an earlier one. Only what the filter selects is told,
    /// and all are judged by.
    pub fn of(now: &Fleet, before: Option<&Fleet>, filter: &Filter, label: Option<&str>) -> Report {
        let label = label.unwrap_or(INSTANCE_TYPE);
        let (used, earlier) = (used(now), before.map(used));
        let signals = [("cpu", CPU_FLOOR), ("memory", MEMORY_FLOOR)];
        let judge = |(signal, floor)| judge(now, &used, earlier.as_ref(), label, signal, floor);
        let mut report = Report {
            basis: if before.is_some() { Basis::OwnLevel } else { Basis::LevelsOfOthers },
            label: label.to_owned(),
            signals: signals.into_iter().map(judge).collect(),
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

/// What the daemons of a fleet used, by node and DaemonSet. Several pods of one on a node are taken together.
fn used(fleet: &Fleet) -> Used<'_> {
    let text = |object: &'_ serde_json::Value, key: &str| {
        object["metadata"][key].as_str().unwrap_or_default().to_owned()
    };
    let names: HashMap<String, String> = fleet
        .daemonsets
        .iter()
        .map(|object| {
            (text(object, "uid"), format!("{}/{}", text(object, "namespace"), text(object, "name")))
        })
        .collect();
    let usage: HashMap<(&str, &str), &PodUsage> =
        fleet.usage.iter().map(|one| ((one.namespace.as_str(), one.name.as_str()), one)).collect();
    let mut used = Used::new();
    for pod in &fleet.pods {
        let Some(name) = pod.daemon_set.as_ref().and_then(|uid| names.get(uid)) else { continue };
        let Some(node) = pod.node.as_deref() else { continue };
        let samples = used.entry((node, name.clone())).or_default();
        if let Some(usage) = usage.get(&(pod.namespace.as_str(), pod.name.as_str())) {
            samples.extend(&usage.samples);
        }
    }
    used
}

fn judge(
    fleet: &Fleet,
    used: &Used<'_>,
    earlier: Option<&Used<'_>>,
    label: &str,
    signal: &'static str,
    floor: f64,
) -> SignalReport {
    let levels = |samples: &[UsageSample]| -> Vec<f64> {
        let level = |sample: &UsageSample| match signal {
            "cpu" => sample.cpu_nanocores as f64 / NANOS_PER_CORE,
            _ => sample.memory_bytes as f64,
        };
        samples.iter().map(level).collect()
    };
    let values: HashMap<&str, &str> = fleet
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.labels.get(label).map_or("(none)", String::as_str)))
        .collect();
    let value = |node: &str| values.get(node).copied().unwrap_or("(none)");
    let (mut nodes, mut daemons, mut cohorts) = (Numbers::default(), Numbers::default(), Numbers::default());
    let windows: Vec<(Vec<f64>, Vec<f64>)> = used
        .iter()
        .map(|(key, samples)| {
            let before = earlier.and_then(|earlier| earlier.get(key)).map(|samples| levels(samples));
            (before.unwrap_or_default(), levels(samples))
        })
        .collect();
    let pairs: Vec<Pair<'_>> = used
        .keys()
        .zip(&windows)
        .map(|((node, daemon), (before, now))| Pair {
            node: nodes.of(node),
            daemon: daemons.of(daemon),
            cohort: cohorts.of(value(node)),
            before,
            now,
            floor,
        })
        .collect();
    let Outliers { nodes: odd_nodes, pairs: odd_pairs, judged, unknown } = outliers(&pairs);
    let keys: Vec<&(&str, String)> = used.keys().collect();
    let node = |OddNode { node, times, deviations, daemons }: OddNode| {
        let name = nodes.names.get(node).copied().unwrap_or_default();
        NodeFinding { node: name.to_owned(), value: value(name).to_owned(), times, deviations, daemons }
    };
    let pair = |OddPair { place, times, deviations }: OddPair| {
        let (node, daemonset) = keys.get(place)?;
        Some(PairFinding { node: (*node).to_owned(), daemonset: daemonset.clone(), times, deviations })
    };
    SignalReport {
        signal,
        nodes: odd_nodes.into_iter().map(node).collect(),
        pairs: odd_pairs.into_iter().filter_map(pair).collect(),
        judged,
        unknown,
    }
}

/// Numbers for names, in the order in which they come.
#[derive(Default)]
struct Numbers<'a> {
    of: HashMap<&'a str, usize>,
    names: Vec<&'a str>,
}

impl<'a> Numbers<'a> {
    fn of(&mut self, name: &'a str) -> usize {
        let next = self.names.len();
        let number = *self.of.entry(name).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }
}

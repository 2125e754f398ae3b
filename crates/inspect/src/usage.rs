//! What daemons use on their nodes, sample by sample: of a snapshot that has samples, or while somebody watches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use everynode_analysis::{Pair, against_peers};
use everynode_engine::pod_body::HASH_LABEL;
use everynode_plan::record::{Node, Pod, Text};
use everynode_plan::{Fleet, UsageSample};
use serde::Serialize;

/// CPU below this is not told apart, in cores; memory, in bytes.
const CPU_FLOOR: f64 = 0.005;
const MEMORY_FLOOR: f64 = 16.0 * 1024.0 * 1024.0;
const NANOS_PER_CORE: f64 = 1e9;
/// Samples of a daemon on a node that are kept while somebody watches, and such pairs, at most.
const SAMPLES: usize = 40;
const PAIRS: usize = 200_000;
/// A fresh pod is not looked at before this, as in an analysis.
const SETTLE_SECONDS: i64 = 120;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// CPU, in cores.
    Cpu,
    /// The working set, in bytes.
    Memory,
}

impl Measure {
    /// Both.
    pub const ALL: [Measure; 2] = [Measure::Cpu, Measure::Memory];

    /// As it is called in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Cpu => "cpu",
            Measure::Memory => "memory",
        }
    }

    fn floor(self) -> f64 {
        match self {
            Measure::Cpu => CPU_FLOOR,
            Measure::Memory => MEMORY_FLOOR,
        }
    }

    fn levels(self, samples: &[UsageSample]) -> Vec<f64> {
        let level = |sample: &UsageSample| match self {
            Measure::Cpu => sample.cpu_nanocores as f64 / NANOS_PER_CORE,
            Measure::Memory => sample.memory_bytes as f64,
        };
        samples.iter().map(level).collect()
    }
}

/// What pods used, by their namespaces and names.
pub type Sampled<'a> = HashMap<(&'a str, &'a str), &'a [UsageSample]>;

/// What daemons use. Several pods of one on a node are taken together.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// By node and DaemonSet, the latter as `namespace/name`.
    pairs: BTreeMap<(Text, Text), Used>,
}

/// A daemon on a node.
#[derive(Clone, Debug, Default)]
struct Used {
    /// The value of controller-revision-hash of its pod.
    revision: Text,
    samples: Vec<UsageSample>,
    /// Of the pods of the revision before.
    before: Vec<UsageSample>,
}

/// A daemon on a node, against the same daemon on nodes like it.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The node.
    pub node: Text,
    /// The DaemonSet, as `namespace/name`.
    pub daemonset: Text,
    /// So many times as much.
    pub times: f64,
}

/// What a daemon used on a node before a roll-out and after it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BeforeAfter {
    /// The node.
    pub node: Text,
    /// It has the new revision. Otherwise it is a control: the same windows of time, and nothing was changed.
    pub is_updated: bool,
    /// The median before, in cores or bytes.
    pub before: f64,
    /// The median after.
    pub after: f64,
}

impl Usage {
    /// What the pods of a fleet used.
    pub fn of(fleet: &Fleet) -> Usage {
        let sampled = sampled(fleet);
        let mut pods: HashMap<&str, Vec<&Pod>> = HashMap::new();
        for pod in &fleet.pods {
            pods.entry(pod.daemon_set.as_deref().unwrap_or_default()).or_default().push(pod);
        }
        let mut usage = Usage::default();
        for daemonset in &fleet.daemonsets {
            let text = |key: &str| daemonset["metadata"][key].as_str().unwrap_or_default();
            let name: Text = format!("{}/{}", text("namespace"), text("name")).into();
            let own = pods.get(text("uid")).into_iter().flatten().copied();
            usage.take(&name, own, &sampled, usize::MAX);
        }
        usage
    }

    /// Takes in what the pods of a DaemonSet used since, all of which these are.
    pub fn watch<'a>(
        &mut self,
        daemonset: &Text,
        pods: impl Iterator<Item = &'a Pod>,
        sampled: &Sampled<'_>,
    ) {
        self.take(daemonset, pods, sampled, SAMPLES);
    }

    /// Nothing of a DaemonSet that is not among these is known any more.
    pub fn retain(&mut self, daemonsets: &BTreeSet<Text>) {
        self.pairs.retain(|(_, daemonset), _| daemonsets.contains(daemonset));
    }

    /// Takes in what was seen later.
    pub fn follow(&mut self, later: Usage) {
        let earlier = std::mem::replace(&mut self.pairs, later.pairs);
        for (key, earlier) in earlier {
            let Some(used) = self.pairs.get_mut(&key) else { continue };
            let later = std::mem::replace(used, earlier);
            used.take(&later.revision, &later.samples, usize::MAX);
        }
    }

    /// There is no sample.
    pub fn is_empty(&self) -> bool {
        self.pairs.values().all(|used| used.samples.is_empty())
    }

    fn take<'a>(
        &mut self,
        daemonset: &Text,
        pods: impl Iterator<Item = &'a Pod>,
        sampled: &Sampled<'_>,
        limit: usize,
    ) {
        let mut there = BTreeSet::new();
        for pod in pods {
            let Some(node) = &pod.node else { continue };
            let key = (node.clone(), daemonset.clone());
            if self.pairs.len() >= PAIRS && !self.pairs.contains_key(&key) {
                continue;
            }
            there.insert(node.clone());
            let used = self.pairs.entry(key).or_default();
            let new = sampled.get(&(&*pod.namespace, &*pod.name)).copied().unwrap_or_default();
            used.take(pod.labels.get(HASH_LABEL).unwrap_or_default(), new, limit);
        }
        self.pairs.retain(|(node, one), _| one != daemonset || there.contains(node));
    }

    /// The pairs, as they are compared: with the same daemon on nodes that have the same value of a label.
    pub(crate) fn compared<T>(
        &self,
        earlier: Option<&Usage>,
        measure: Measure,
        value_of: impl Fn(&str) -> Text,
        compare: impl FnOnce(&[Pair<'_>], &Names) -> T,
    ) -> T {
        let windows: Vec<[Vec<f64>; 2]> = self
            .pairs
            .iter()
            .map(|(key, used)| {
                let before = earlier.and_then(|earlier| earlier.pairs.get(key));
                let before = before.map(|before| measure.levels(&before.samples)).unwrap_or_default();
                [before, measure.levels(&used.samples)]
            })
            .collect();
        let mut names = Names::default();
        let mut cohorts = Numbers::default();
        let pairs: Vec<Pair<'_>> = self
            .pairs
            .keys()
            .zip(&windows)
            .map(|((node, daemonset), [before, now])| Pair {
                node: names.nodes.of(node),
                daemon: names.daemonsets.of(daemonset),
                cohort: cohorts.of(&value_of(node)),
                before,
                now,
                floor: measure.floor(),
            })
            .collect();
        compare(&pairs, &names)
    }

    /// Each daemon on each node against the same daemon on nodes with the same value of a label.
    pub fn peers(&self, nodes: &[Node], label: &str, measure: Measure) -> Vec<Peer> {
        let values = values(nodes, label);
        let times =
            self.compared(None, measure, |node| value(&values, node), |pairs, _| against_peers(pairs));
        let known = self.pairs.keys().zip(times);
        let peers = known.filter_map(|((node, daemonset), times)| {
            Some(Peer { node: node.clone(), daemonset: daemonset.clone(), times: times? })
        });
        peers.collect()
    }

    /// What a DaemonSet used on nodes that have got a revision, before and after that, and on nodes that have not, before
    /// and after the middle of these times.
    pub fn before_after(&self, daemonset: &str, revision: &str, measure: Measure) -> Vec<BeforeAfter> {
        let own = || self.pairs.iter().filter(|((_, one), _)| &**one == daemonset);
        let has = |used: &Used| &*used.revision == revision;
        let updated = own().filter(|(_, used)| has(used) && !used.before.is_empty());
        let mut begun: Vec<i64> =
            updated.filter_map(|(_, used)| used.samples.first().map(|one| one.at)).collect();
        begun.sort_unstable();
        let Some(middle) = begun.get(begun.len() / 2).copied() else { return Vec::new() };
        let pairs = own().filter_map(|((node, _), used)| {
            let (before, after): (Vec<UsageSample>, Vec<UsageSample>) = match has(used) {
                true => {
                    let first = used.samples.first()?.at;
                    let settled = used.samples.iter().filter(|one| one.at >= first + SETTLE_SECONDS);
                    (used.before.clone(), settled.copied().collect())
                }
                false => used.samples.iter().partition(|one| one.at < middle),
            };
            let median = |samples: &[UsageSample]| median(measure.levels(samples));
            let (before, after) = (median(&before)?, median(&after)?);
            Some(BeforeAfter { node: node.clone(), is_updated: has(used), before, after })
        });
        pairs.collect()
    }
}

impl Used {
    fn take(&mut self, revision: &str, new: &[UsageSample], limit: usize) {
        if *self.revision != *revision {
            if !self.samples.is_empty() {
                self.before = std::mem::take(&mut self.samples);
            }
            self.revision = revision.into();
        }
        let last = self.samples.last().map_or(i64::MIN, |one| one.at);
        self.samples.extend(new.iter().filter(|one| limit == usize::MAX || one.at > last));
        let surplus = self.samples.len().saturating_sub(limit);
        self.samples.drain(..surplus);
    }
}

/// What the pods of a fleet used.
pub fn sampled(fleet: &Fleet) -> Sampled<'_> {
    fleet.usage.iter().map(|one| ((&*one.namespace, &*one.name), &*one.samples)).collect()
}

/// The values of a label, by node.
pub(crate) fn values(nodes: &[Node], label: &str) -> HashMap<Text, Text> {
    let value = |node: &Node| Some((node.name.clone(), node.labels.get(label)?.into()));
    nodes.iter().filter_map(value).collect()
}

/// The value of a node, in words where there is none.
pub(crate) fn value(values: &HashMap<Text, Text>, node: &str) -> Text {
    values.get(node).cloned().unwrap_or_else(|| "(none)".into())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The names behind the numbers of pairs.
#[derive(Default)]
pub(crate) struct Names {
    pub nodes: Numbers,
    pub daemonsets: Numbers,
}

/// Numbers for names, in the order in which they come.
#[derive(Default)]
pub(crate) struct Numbers {
    of: HashMap<Text, usize>,
    pub names: Vec<Text>,
}

impl Numbers {
    fn of(&mut self, name: &Text) -> usize {
        let next = self.names.len();
        let number = *self.of.entry(name.clone()).or_insert(next);
        if number == next {
            self.names.push(name.clone());
        }
        number
    }
}

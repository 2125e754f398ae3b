//! What pods take, and a figure of their own, as means over slots of time: enough for two windows, in a few bytes for
//! each pod.

use everynode_analysis::Signal;
use everynode_api::AnalysisSpec;
use hashbrown::HashMap;

use crate::base::Time;
use crate::facts::Sample;
use crate::ids::{NodeId, PodId};

/// Slots that are kept of a pod.
const SLOTS: usize = 12;

/// A window after an update has so many slots at least, of which one may be cut off at each end.
const SLOTS_AFTER: i64 = 5;

/// The levels of the pods of one DaemonSet.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    slot_millis: i64,
    /// CPU and memory.
    usage: Table<2>,
    /// The figure of their own: apart, since few nodes are asked for it.
    metric: Table<1>,
}

/// What is known of each node's pod, of so many levels.
#[derive(Clone, Debug, Default)]
struct Table<const N: usize>(HashMap<NodeId, NodeLevels<N>>);

/// The latest pod of a node that was measured.
#[derive(Clone, Debug)]
struct NodeLevels<const N: usize> {
    pod: PodId,
    /// The slot that is being filled.
    slot: u32,
    rings: [Ring; N],
}

/// The means of the last slots, each at its number modulo their count, and the one that is being filled.
#[derive(Clone, Debug, Default)]
struct Ring {
    means: [Mean; SLOTS],
    sum: f32,
    count: u16,
}

/// A mean in 16 bits: 0 for none, else its logarithm in steps of less than a thousandth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mean(u16);

/// The logarithm of the lowest mean that is told from nothing: a millionth of a core.
const LOWEST_LOG: f64 = -14.0;

/// How many codes there are to a factor of e.
const CODES_PER_LOG: f64 = 1500.0;

impl Mean {
    fn of(value: f64) -> Mean {
        let code = (value.max(f64::MIN_POSITIVE).ln() - LOWEST_LOG) * CODES_PER_LOG;
        Mean(1 + code.clamp(0.0, f64::from(u16::MAX - 1)) as u16)
    }

    fn value(self) -> Option<f64> {
        let code = self.0.checked_sub(1)?;
        Some(if code == 0 { 0.0 } else { (LOWEST_LOG + f64::from(code) / CODES_PER_LOG).exp() })
    }
}

impl Ring {
    fn add(&mut self, value: f64) {
        self.sum += value as f32;
        self.count = self.count.saturating_add(1);
    }

    fn mean(&self) -> Mean {
        if self.count == 0 { Mean::default() } else { Mean::of(f64::from(self.sum / f32::from(self.count))) }
    }

    /// Goes on from one slot to a later one.
    fn turn(&mut self, from: u32, to: u32) {
        self.means[from as usize % SLOTS] = self.mean();
        for slot in (from + 1..=to).take(SLOTS) {
            self.means[slot as usize % SLOTS] = Mean::default();
        }
        (self.sum, self.count) = (0.0, 0);
    }
}

impl<const N: usize> Table<N> {
    /// Takes the levels of a pod in a slot. What comes later than that of a later slot is lost.
    fn take(&mut self, node: NodeId, pod: PodId, slot: u32, values: [Option<f64>; N]) {
        let values = values.map(|value| value.filter(|value| value.is_finite() && *value >= 0.0));
        if values.iter().all(Option::is_none) {
            return;
        }
        let fresh = || NodeLevels { pod, slot, rings: std::array::from_fn(|_| Ring::default()) };
        let levels = self.0.entry(node).or_insert_with(fresh);
        if levels.pod != pod {
            *levels = fresh();
        }
        if slot < levels.slot {
            return;
        }
        for (ring, value) in levels.rings.iter_mut().zip(values) {
            if slot > levels.slot {
                ring.turn(levels.slot, slot);
            }
            value.into_iter().for_each(|value| ring.add(value));
        }
        levels.slot = slot;
    }

    /// The means of one of a pod's levels in slots from the first on, before another one.
    fn within(&self, node: NodeId, pod: PodId, level: usize, first: u32, end: u32) -> Vec<f64> {
        let Some(levels) = self.0.get(&node).filter(|levels| levels.pod == pod) else {
            return Vec::new();
        };
        let ring = &levels.rings[level];
        let known_from = (levels.slot + 1).saturating_sub(SLOTS as u32);
        let slots = first.max(known_from)..end.min(levels.slot + 1);
        let mean =
            |slot: u32| if slot == levels.slot { ring.mean() } else { ring.means[slot as usize % SLOTS] };
        slots.filter_map(|slot| mean(slot).value()).collect()
    }

    fn pod_of(&self, node: NodeId) -> Option<PodId> {
        self.0.get(&node).map(|levels| levels.pod)
    }
}

impl Levels {
    /// For the windows of a policy.
    pub fn new(spec: &AnalysisSpec) -> Levels {
        Levels { slot_millis: slot_seconds(spec) * 1000, usage: Table::default(), metric: Table::default() }
    }

    /// How many pods are known.
    pub fn len(&self) -> usize {
        self.usage.0.len().max(self.metric.0.len())
    }

    /// Forgets all of them: times mean something else now.
    pub fn clear(&mut self) {
        self.usage.0.clear();
        self.metric.0.clear();
    }

    /// Forgets nodes that do not run the daemon any more.
    pub fn retain(&mut self, is_there: impl Fn(NodeId) -> bool) {
        self.usage.0.retain(|node, _| is_there(*node));
        self.metric.0.retain(|node, _| is_there(*node));
    }

    fn slot_of(&self, at: Time) -> u32 {
        u32::try_from(at.0.div_euclid(self.slot_millis)).unwrap_or_default()
    }

    /// Takes a sample of a pod.
    pub fn take(&mut self, node: NodeId, pod: PodId, sample: &Sample<'_>) {
        let slot = self.slot_of(sample.at);
        self.usage.take(node, pod, slot, [sample.cpu_cores, sample.memory_bytes]);
        self.metric.take(node, pod, slot, [sample.metric]);
    }

    /// The pod of a node of which this level was measured last.
    pub fn pod_of(&self, node: NodeId, signal: Signal) -> Option<PodId> {
        if signal.is_own_metric() { self.metric.pod_of(node) } else { self.usage.pod_of(node) }
    }

    /// The means of a pod in all slots that lie within a window.
    pub fn within(&self, node: NodeId, pod: PodId, signal: Signal, from: Time, until: Time) -> Vec<f64> {
        let (first, end) = (self.slot_of(from.plus_millis(self.slot_millis - 1)), self.slot_of(until));
        match signal {
            Signal::Cpu => self.usage.within(node, pod, 0, first, end),
            Signal::Memory => self.usage.within(node, pod, 1, first, end),
            _ => self.metric.within(node, pod, 0, first, end),
        }
    }

    /// All nodes of which this level was measured.
    pub fn nodes(&self, signal: Signal) -> Box<dyn Iterator<Item = NodeId> + '_> {
        match signal.is_own_metric() {
            true => Box::new(self.metric.0.keys().copied()),
            false => Box::new(self.usage.0.keys().copied()),
        }
    }
}

/// How long a slot is: the window before fits into the slots, and the one after has enough of them.
pub(super) fn slot_seconds(spec: &AnalysisSpec) -> i64 {
    let (before, after, slots) = (spec.before_seconds, spec.after_seconds, SLOTS as i64);
    (before / slots).min(after / SLOTS_AFTER).max(after / slots).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);
    const POD: PodId = PodId(7);

    fn levels() -> Levels {
        Levels { slot_millis: 10_000, usage: Table::default(), metric: Table::default() }
    }

    fn sample(second: i64, cores: f64) -> Sample<'static> {
        let at = Time::from_seconds(second);
        Sample { pod: "", at, cpu_cores: Some(cores), memory_bytes: Some(0.0), metric: None }
    }

    /// One pod that took so much of the CPU, second by second; the means of the slots within a window, in milli-cores.
    fn check(samples: &[(i64, f64)], window: (i64, i64), expected: &[i64]) {
        let mut levels = levels();
        for (second, cores) in samples {
            levels.take(NODE, POD, &sample(*second, *cores));
        }
        let (from, until) = (Time::from_seconds(window.0), Time::from_seconds(window.1));
        let means = levels.within(NODE, POD, Signal::Cpu, from, until);
        let millis: Vec<i64> = means.into_iter().map(|mean| (mean * 1000.0).round() as i64).collect();
        assert_eq!(millis, expected, "{samples:?} within {window:?}");
    }

    #[test]
    fn a_slot_is_the_mean_of_its_samples() {
        check(&[(101, 0.1), (105, 0.3), (111, 0.5)], (100, 120), &[200, 500]);
    }

    #[test]
    fn slots_that_a_window_cuts_are_left_out_and_slots_without_samples_are_none() {
        check(&[(101, 0.1), (111, 0.2), (131, 0.4)], (101, 140), &[200, 400]);
        check(&[(101, 0.1), (111, 0.2), (131, 0.4)], (100, 139), &[100, 200]);
    }

    #[test]
    fn the_last_slots_are_kept_and_late_samples_are_lost() {
        let mut samples: Vec<(i64, f64)> = (0..20).map(|slot| (slot * 10, slot as f64 / 100.0)).collect();
        samples.push((5, 100.0));
        let kept: Vec<i64> = (8..20).map(|slot| slot * 10).collect();
        check(&samples, (0, 200), &kept);
    }

    #[test]
    fn what_is_no_number_of_0_or_more_is_left_out_and_0_is_one() {
        check(&[(0, f64::NAN), (1, -1.0), (10, 0.0)], (0, 20), &[0]);
    }

    #[test]
    fn another_pod_begins_anew() {
        let mut levels = levels();
        levels.take(NODE, POD, &sample(1, 1.0));
        levels.take(NODE, PodId(8), &sample(11, 2.0));
        let all =
            |pod| levels.within(NODE, pod, Signal::Cpu, Time::from_seconds(0), Time::from_seconds(20)).len();
        assert_eq!((all(POD), all(PodId(8))), (0, 1));
    }

    #[test]
    fn means_keep_three_digits_over_all_that_pods_take() {
        for value in [1e-6, 0.013, 1.0, 64.0, 1e6, 7.3e9, 1e12] {
            let read = Mean::of(value).value().unwrap_or_default();
            assert!((read / value - 1.0).abs() < 1e-3, "{value} became {read}");
        }
    }

    #[test]
    fn both_windows_have_slots_enough() {
        for (before, after) in [(1800, 600), (60, 30), (10, 5), (86_400, 60), (10, 86_400)] {
            let spec = serde_json::json!({"beforeSeconds": before, "afterSeconds": after});
            let slot = slot_seconds(&AnalysisSpec::from_json(&spec));
            assert!(after / slot >= SLOTS_AFTER && after / slot <= 24, "{before}, {after}: {slot}");
        }
    }
}

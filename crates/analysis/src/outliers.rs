//! Which daemons on which nodes have left their own level, and which nodes have with all their daemons.
//!
//! A pair is a node and a daemon on it. Its value is how much it has changed against itself, less what the pairs of the
//! same daemon on nodes like this one have changed in the middle: load that comes and goes everywhere is no outlier. What
//! the daemons of a node have in common is the node's, the rest the pair's (a median polish), so that a bad node is one
//! finding and not one for each daemon. What is far is said in deviations: a pair's own noise, as far as it is known,
//! times what such pairs really change by, since samples of a window depend on each other. Where nothing is known from
//! before, values are the levels themselves, and only what is far out of the spread of all is found.

use std::collections::HashMap;

use crate::reading::median;

/// What is named has risen to so many times, or fallen to one of so many.
const LEAST: f64 = 1.4;
/// ... and by so many deviations.
const DEVIATIONS: f64 = 6.0;
/// As much as so many samples of its own counts for a pair what is usual among those like it.
const USUAL_SAMPLES: f64 = 40.0;
/// A deviation is at least this, as a logarithm.
const LEAST_DEVIATION: f64 = 0.05;
/// From the median absolute deviation to a standard deviation.
const MAD: f64 = 1.4826;
/// Pairs that say what the middle of a daemon is, at least.
const FEWEST_ALIKE: usize = 5;
/// Daemons that say what a node is like, at least.
const FEWEST_DAEMONS: usize = 3;
/// Samples of a window that are looked at.
const MOST_SAMPLES: usize = 2_000;

/// A daemon on a node, with the samples of a level in two windows.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The node, by number.
    pub node: usize,
    /// The daemon, by number.
    pub daemon: usize,
    /// The nodes that are like this one, by number.
    pub cohort: usize,
    /// What it was like. None of any pair: levels are compared, and not changes.
    pub before: &'a [f64],
    /// What it is like now.
    pub now: &'a [f64],
    /// Levels below this are not told apart.
    pub floor: f64,
}

/// What has left its level.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outliers {
    /// Nodes with all their daemons, the furthest first.
    pub nodes: Vec<OddNode>,
    /// Single daemons on nodes, the furthest first.
    pub pairs: Vec<OddPair>,
    /// Pairs that could be judged.
    pub judged: usize,
    /// Pairs that could not: no samples, or nothing to compare with.
    pub unknown: usize,
}

/// A node whose daemons have all left their level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OddNode {
    /// The node.
    pub node: usize,
    /// So many times what it would be.
    pub times: f64,
    /// By so many deviations of nodes.
    pub deviations: f64,
    /// Of so many daemons.
    pub daemons: usize,
}

/// A daemon that has left its level on one node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OddPair {
    /// Its place in what was asked.
    pub place: usize,
    /// So many times what it would be.
    pub times: f64,
    /// By so many deviations.
    pub deviations: f64,
}

/// A pair on its way: what is left of its value.
struct Rest {
    place: usize,
    node: usize,
    group: (usize, usize),
    value: f64,
    noise: f64,
    samples: usize,
}

/// Finds what has left its level in these pairs. Of pairs without samples nothing is said.
pub fn outliers(pairs: &[Pair<'_>]) -> Outliers {
    let is_of_changes = pairs.iter().any(|pair| !pair.before.is_empty());
    let measured: Vec<Rest> =
        pairs.iter().enumerate().filter_map(|(place, pair)| measured(place, pair, is_of_changes)).collect();
    let mut rests = against_alike(measured);
    let (judged, unknown) = (rests.len(), pairs.len() - rests.len());
    let nodes = take_nodes(&mut rests);
    give_usual_noise(&mut rests);
    let in_noise = |rest: &Rest| rest.value / rest.noise;
    let scales = by_group(&rests, in_noise, |values| MAD * absolute_deviation(values));
    let odd = rests.iter().filter_map(|rest| {
        let scale = scales.get(&rest.group).copied().unwrap_or(1.0);
        let (times, deviations) = out_of(rest.value, (rest.noise * scale).max(LEAST_DEVIATION))?;
        Some(OddPair { place: rest.place, times, deviations })
    });
    let mut odd: Vec<OddPair> = odd.collect();
    odd.sort_by(|a, b| b.deviations.total_cmp(&a.deviations).then(a.place.cmp(&b.place)));
    Outliers { nodes, pairs: odd, judged, unknown }
}

/// How many times as much each pair takes now as the same daemon does on nodes like it, in the order of the pairs.
/// Nothing where there are no samples, or too few to compare with.
pub fn against_peers(pairs: &[Pair<'_>]) -> Vec<Option<f64>> {
    let levels = pairs.iter().enumerate().filter_map(|(place, pair)| measured(place, pair, false));
    let mut times = vec![None; pairs.len()];
    for Rest { place, value, .. } in against_alike(levels.collect()) {
        if let Some(of_pair) = times.get_mut(place) {
            *of_pair = Some(value.exp());
        }
    }
    times
}

/// A value, and the noise that the pair has by itself.
fn measured(place: usize, pair: &Pair<'_>, is_of_changes: bool) -> Option<Rest> {
    let logs = |samples: &[f64]| -> Vec<f64> {
        let known = samples.iter().take(MOST_SAMPLES).filter(|sample| sample.is_finite());
        known.map(|sample| sample.max(pair.floor).max(f64::MIN_POSITIVE).ln()).collect()
    };
    let (mut before, mut now) = (logs(pair.before), logs(pair.now));
    if now.is_empty() || is_of_changes && before.is_empty() {
        return None;
    }
    let level = median(&mut now);
    // Between levels of different nodes it does not matter how steady each is.
    let (value, noise, samples) = match is_of_changes {
        true => (level - median(&mut before), MAD * absolute_deviation(&mut before), before.len()),
        false => (level, 1.0, now.len()),
    };
    Some(Rest { place, node: pair.node, group: (pair.daemon, pair.cohort), value, noise, samples })
}

/// Moves the noise of each pair towards what is usual among those like it, the less the more samples say it.
fn give_usual_noise(rests: &mut [Rest]) {
    let usual = by_group(rests, |rest| rest.noise, median);
    for rest in rests {
        let own = rest.samples as f64 / (rest.samples as f64 + USUAL_SAMPLES);
        let usual = usual.get(&rest.group).copied().unwrap_or(rest.noise);
        let squares = own * rest.noise.powi(2) + (1.0 - own) * usual.powi(2);
        rest.noise = squares.sqrt().max(usual).max(f64::MIN_POSITIVE);
    }
}

/// Takes off what pairs of the same daemon have in common: on nodes that are alike, else on all. Pairs with too few of
/// these are left out.
fn against_alike(measured: Vec<Rest>) -> Vec<Rest> {
    let of_cohort = by_group(&measured, |rest| rest.value, median);
    let mut of_daemon: HashMap<usize, Vec<f64>> = HashMap::new();
    for rest in &measured {
        of_daemon.entry(rest.group.0).or_default().push(rest.value);
    }
    let of_daemon: HashMap<usize, f64> = of_daemon
        .into_iter()
        .filter(|(_, values)| values.len() >= FEWEST_ALIKE)
        .map(|(daemon, mut values)| (daemon, median(&mut values)))
        .collect();
    let taken_off = measured.into_iter().filter_map(|rest| {
        let middle = of_cohort.get(&rest.group).or_else(|| of_daemon.get(&rest.group.0))?;
        Some(Rest { value: rest.value - middle, ..rest })
    });
    taken_off.collect()
}

/// Something about the pairs of each daemon on nodes that are alike, where there are enough.
fn by_group(
    rests: &[Rest],
    value: impl Fn(&Rest) -> f64,
    of: impl Fn(&mut [f64]) -> f64,
) -> HashMap<(usize, usize), f64> {
    let mut groups: HashMap<(usize, usize), Vec<f64>> = HashMap::new();
    for rest in rests {
        groups.entry(rest.group).or_default().push(value(rest));
    }
    let enough = groups.into_iter().filter(|(_, values)| values.len() >= FEWEST_ALIKE);
    enough.map(|(group, mut values)| (group, of(&mut values))).collect()
}

/// Takes off what the daemons of each node have in common, and gives the nodes for which that is much.
fn take_nodes(rests: &mut [Rest]) -> Vec<OddNode> {
    let mut of_node: HashMap<usize, Vec<f64>> = HashMap::new();
    for rest in rests.iter() {
        of_node.entry(rest.node).or_default().push(rest.value);
    }
    let effects: HashMap<usize, (f64, usize)> = of_node
        .into_iter()
        .filter(|(_, values)| values.len() >= FEWEST_DAEMONS)
        .map(|(node, mut values)| (node, (median(&mut values), values.len())))
        .collect();
    for rest in rests.iter_mut() {
        rest.value -= effects.get(&rest.node).map_or(0.0, |(effect, _)| *effect);
    }
    let mut all: Vec<f64> = effects.values().map(|(effect, _)| *effect).collect();
    if all.len() < FEWEST_ALIKE {
        return Vec::new();
    }
    let deviation = (MAD * absolute_deviation(&mut all)).max(LEAST_DEVIATION);
    let odd = effects.iter().filter_map(|(node, (effect, daemons))| {
        let (times, deviations) = out_of(*effect, deviation)?;
        Some(OddNode { node: *node, times, deviations, daemons: *daemons })
    });
    let mut odd: Vec<OddNode> = odd.collect();
    odd.sort_by(|a, b| b.deviations.total_cmp(&a.deviations).then(a.node.cmp(&b.node)));
    odd
}

/// How far out a value is, if it is far enough.
fn out_of(value: f64, deviation: f64) -> Option<(f64, f64)> {
    let deviations = value.abs() / deviation;
    (value.abs() >= LEAST.ln() && deviations >= DEVIATIONS).then(|| (value.exp(), deviations))
}

/// The median distance from the median.
fn absolute_deviation(values: &mut [f64]) -> f64 {
    let middle = median(values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    median(&mut distances)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of a fleet of nodes with four daemons each, whose levels differ by node and daemon; `factor` says what is
    /// odd now. All rise by 30 % meanwhile.
    struct Fleet {
        before: Vec<Vec<f64>>,
        now: Vec<Vec<f64>>,
    }

    const DAEMONS: usize = 4;

    impl Fleet {
        fn new(nodes: usize, factor: impl Fn(usize, usize) -> f64) -> Fleet {
            let level = |node: usize, daemon: usize| 0.1 * (1.0 + (node * 7 + daemon * 3) as f64 % 5.0);
            let window = |level: f64| [0.95, 1.05, 1.0, 0.9, 1.1].map(|wobble| level * wobble).to_vec();
            let all = || (0..nodes * DAEMONS).map(|pair| (pair / DAEMONS, pair % DAEMONS));
            Fleet {
                before: all().map(|(node, daemon)| window(level(node, daemon))).collect(),
                now: all()
                    .map(|(node, daemon)| window(level(node, daemon) * 1.3 * factor(node, daemon)))
                    .collect(),
            }
        }

        fn outliers(&self, has_before: bool) -> Outliers {
            let pairs: Vec<Pair<'_>> = (self.before.iter().zip(&self.now).enumerate())
                .map(|(place, (before, now))| Pair {
                    node: place / DAEMONS,
                    daemon: place % DAEMONS,
                    cohort: 0,
                    before: if has_before { before } else { &[] },
                    now,
                    floor: 0.001,
                })
                .collect();
            outliers(&pairs)
        }
    }

    #[test]
    fn a_bad_node_is_one_finding_and_a_bad_pair_another() {
        let fleet = Fleet::new(50, |node, daemon| match (node, daemon) {
            (7, _) => 1.6,
            (20, 2) => 2.0,
            (31, 1) => 0.3,
            // Too little.
            (40, 1) => 1.3,
            _ => 1.0,
        });
        let found = fleet.outliers(true);
        let nodes: Vec<(usize, f64)> =
            found.nodes.iter().map(|odd| (odd.node, (odd.times * 100.0).round() / 100.0)).collect();
        let pairs: Vec<(usize, f64)> =
            found.pairs.iter().map(|odd| (odd.place, (odd.times * 100.0).round() / 100.0)).collect();
        assert_eq!(nodes, [(7, 1.6)]);
        assert_eq!(pairs, [(31 * DAEMONS + 1, 0.3), (20 * DAEMONS + 2, 2.0)]);
        assert_eq!((found.judged, found.unknown), (200, 0));
    }

    #[test]
    fn without_a_level_of_their_own_only_what_is_far_out_of_all_is_found() {
        let mut fleet = Fleet::new(50, |node, daemon| match (node, daemon) {
            (20, 2) => 2.0,
            (30, 1) => 100.0,
            _ => 1.0,
        });
        // One that is steadier than others is not further out by that.
        fleet.now[41 * DAEMONS].fill(0.13);
        let found = fleet.outliers(false);
        assert_eq!(found.pairs.iter().map(|odd| odd.place).collect::<Vec<_>>(), [30 * DAEMONS + 1]);
    }

    #[test]
    fn load_that_rises_on_one_kind_of_node_is_no_outlier() {
        let fleet = Fleet::new(50, |node, _| if node < 20 { 2.0 } else { 1.0 });
        let mut pairs = Vec::new();
        for (place, (before, now)) in fleet.before.iter().zip(&fleet.now).enumerate() {
            let (node, daemon) = (place / DAEMONS, place % DAEMONS);
            pairs.push(Pair { node, daemon, cohort: usize::from(node < 20), before, now, floor: 0.001 });
        }
        assert_eq!((outliers(&pairs).nodes, outliers(&pairs).pairs), (vec![], vec![]));
    }

    #[test]
    fn a_pair_is_so_many_times_its_peers() {
        let window = |level: f64| vec![level, level * 1.1, level * 0.9];
        let now: Vec<Vec<f64>> =
            (0..9).map(|node| if node == 8 { window(0.3) } else { window(0.1) }).collect();
        let pair = |(node, now)| Pair { node, daemon: 0, cohort: 0, before: &[], now, floor: 0.001 };
        let mut pairs: Vec<Pair<'_>> = now.iter().map(Vec::as_slice).enumerate().map(pair).collect();
        pairs.push(Pair { now: &[], ..pairs[0] });
        let times = against_peers(&pairs);
        let rounded = |times: Option<f64>| times.map(|times| (times * 100.0).round() / 100.0);
        assert_eq!([times[0], times[8], times[9]].map(rounded), [Some(1.0), Some(3.0), None]);
        assert_eq!(against_peers(&pairs[..4]), [None; 4]);
    }

    #[test]
    fn what_cannot_be_compared_is_counted_and_not_judged() {
        let mut fleet = Fleet::new(50, |_, _| 1.0);
        fleet.now[3].clear();
        fleet.before[4].clear();
        fleet.now[5] = vec![f64::NAN];
        assert_eq!((fleet.outliers(true).judged, fleet.outliers(true).unknown), (197, 3));
        assert_eq!(Fleet::new(4, |_, _| 1.0).outliers(true).unknown, 16);
        assert_eq!(outliers(&[]), Outliers::default());
    }
}

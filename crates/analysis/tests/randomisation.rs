//! The theorem under the judge: whatever the nodes are like, the evidence of a block has a mean of exactly 1 over all
//! ways to choose the updated nodes. Shown with exact fractions for the formula, and with the judge itself for all its
//! tests; with the case in which it is false, which is why blocks are nested.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use everynode_analysis::{
    Basis, Block, FalseHalts, Group, Judge, Node, Plan, Reading, Rule, Signal, Turn, Watch, subsets,
};
use everynode_testkit::number;
use fastrand::Rng;

/// A fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction {
    above: i128,
    below: i128,
}

const ZERO: Fraction = Fraction { above: 0, below: 1 };
const ONE: Fraction = Fraction { above: 1, below: 1 };

impl Fraction {
    fn new(above: i128, below: i128) -> Fraction {
        let (mut a, mut b) = (above.abs(), below.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = a.max(1) * below.signum();
        Fraction { above: above / divisor, below: below / divisor }
    }

    fn plus(self, other: Fraction) -> Fraction {
        let above =
            self.above.checked_mul(other.below).unwrap() + other.above.checked_mul(self.below).unwrap();
        Fraction::new(above, self.below.checked_mul(other.below).unwrap())
    }

    fn times(self, other: Fraction) -> Fraction {
        let one = Fraction::new(self.above, other.below);
        let two = Fraction::new(other.above, self.below);
        Fraction {
            above: one.above.checked_mul(two.above).unwrap(),
            below: one.below.checked_mul(two.below).unwrap(),
        }
    }

    fn over(self, other: Fraction) -> Fraction {
        self.times(Fraction::new(other.below, other.above))
    }

    fn value(self) -> f64 {
        self.above as f64 / self.below as f64
    }
}

/// All subsets of a size, as bits.
fn subsets_of(all: usize, n: usize) -> impl Iterator<Item = u32> {
    (0_u32..1 << all).filter(move |set| set.count_ones() as usize == n)
}

fn product(weights: &[i128], set: u32) -> Fraction {
    let chosen = weights.iter().enumerate().filter(|(index, _)| set >> index & 1 == 1);
    chosen.fold(ONE, |product, (_, weight)| product.times(Fraction::new(*weight, 1)))
}

/// The mean over all subsets by the recursion that the crate uses, in fractions.
fn mean_by_recursion(weights: &[i128], n: usize) -> Fraction {
    let mut means = vec![ZERO; n + 1];
    means[0] = ONE;
    for (index, weight) in weights.iter().enumerate() {
        let of = index as i128 + 1;
        for k in (1..=n.min(index + 1)).rev() {
            let without = means[k].times(Fraction::new(of - k as i128, of));
            let with = means[k - 1].times(Fraction::new(k as i128 * weight, of));
            means[k] = without.plus(with);
        }
    }
    means[n]
}

#[test]
fn the_mean_of_the_evidence_over_all_choices_is_exactly_1() {
    // All weights that scores can have, up to order: exp(tilt * score) is any positive number.
    for all in 2..=7 {
        for choice in 0..3_usize.pow(all as u32) {
            let weights: Vec<i128> =
                (0..all).map(|at| [1, 2, 7][choice / 3_usize.pow(at as u32) % 3]).collect();
            if !weights.is_sorted() {
                continue;
            }
            for n in 1..all {
                let mean = mean_by_recursion(&weights, n);
                let ratios = subsets_of(all, n).map(|set| product(&weights, set).over(mean));
                let sum = ratios.fold(ZERO, Fraction::plus);
                let choices = subsets_of(all, n).count() as i128;
                assert_eq!(sum.over(Fraction::new(choices, 1)), ONE, "{n} of {weights:?}");
                let logs: Vec<f64> = weights.iter().map(|weight| (*weight as f64).ln()).collect();
                let ours = subsets::log_mean(&logs, n);
                assert!((ours - mean.value().ln()).abs() < 1e-12, "{n} of {weights:?}: {ours}");
            }
        }
    }
}

/// All orders of some places.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for place in 0..count {
        all = all
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, place);
                    longer
                })
            })
            .collect();
    }
    all
}

/// The evidence of a block: nodes with these weights, of which the first `n` are updated.
fn evidence(weights: &[i128], n: usize) -> Fraction {
    let updated: u32 = (1 << n) - 1;
    product(weights, updated).over(mean_by_recursion(weights, n))
}

#[test]
fn blocks_may_be_multiplied_when_each_is_of_controls_of_the_one_before_and_not_when_they_share_controls() {
    let weights = [1, 1, 2, 5, 9];
    let orders = orders(weights.len());
    let mean = |of: fn(&[i128]) -> Fraction| {
        let all = orders.iter().map(|order| order.iter().map(|place| weights[*place]).collect::<Vec<_>>());
        let sum = all.fold(ZERO, |sum, ordered| sum.plus(of(&ordered)));
        sum.over(Fraction::new(orders.len() as i128, 1))
    };
    let nested = mean(|order| evidence(order, 2).times(evidence(&order[2..], 1)));
    assert_eq!(nested, ONE, "the second block is of controls of the first");
    let skipping = mean(|order| {
        let first = [order[0], order[2], order[3], order[4]];
        evidence(&first, 1).times(evidence(&order[2..], 1))
    });
    assert_eq!(skipping, ONE, "a node that is touched between the blocks is in neither");
    let apart = mean(|order| evidence(&order[..2], 1).times(evidence(&order[2..], 1)));
    assert_eq!(apart, ONE, "no node is in both");
    let shared = mean(|order| {
        let (first, second) = ([order[0], order[3], order[4]], [order[1], order[3], order[4]]);
        evidence(&first, 1).times(evidence(&second, 1))
    });
    assert!(shared.value() > 1.05, "the same controls twice: {}", shared.value());
    let overlapping = mean(|order| {
        // The second node is touched before the first one's windows close, and judged after.
        let first = [order[0], order[2], order[3], order[4]];
        evidence(&first, 1).times(evidence(&order[1..], 1))
    });
    assert!(overlapping != ONE, "windows that overlap: {}", overlapping.value());
}

/// How a roll-out is looked at: early, or when a block closes, and by how many nodes.
type Looks = [(bool, usize)];

/// The mean, over all orders of a few nodes, of what the judge has multiplied each lane by after some looks, when all
/// updated nodes rise by just what is taken off.
fn mean_over_orders(levels: &[f64], looks: &Looks) -> [f64; 7] {
    let Rule::Level(rule) = Signal::Cpu.default_rule() else { panic!("CPU is a level") };
    let factor = (1.2 * rule.worse_by.log()).exp();
    let orders = orders(levels.len());
    let mut sums = [0.0; 7];
    for order in &orders {
        let node = |turn: usize, is_updated: bool| {
            let level = levels[order[turn]] * if is_updated { factor } else { 1.0 };
            Node::new(Turn(turn as u64)).with(Signal::Cpu, Reading::of_single(1.0, level, 0.01))
        };
        let mut judge = Judge::new(plan(Signal::Cpu));
        let mut begin = 0;
        for (is_last, end) in looks {
            let updated = (begin..*end).map(|turn| node(turn, true)).collect();
            let untouched = (*end..levels.len()).map(|turn| node(turn, false)).collect();
            let groups = vec![Group { updated, untouched, restarted: Vec::new() }];
            let block = Block { frontier: Turn(*end as u64), groups };
            if *is_last {
                judge.close(&block);
                begin = *end;
            } else {
                judge.look(&block);
            }
        }
        for (sum, log) in sums.iter_mut().zip(&judge.memory().signals()[0].numbers()) {
            *sum += log.exp();
        }
    }
    sums.map(|sum| sum / orders.len() as f64)
}

#[test]
fn over_all_orders_blocks_and_looks_of_the_judge_have_a_mean_of_1() {
    let seed = number("EVERYNODE_SEED", fastrand::u64(..1 << 40));
    println!("EVERYNODE_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let levels: Vec<f64> = (0..6).map(|_| (3.0 * random.f64() - 1.0).exp()).collect();
    let courses: [&Looks; 4] = [
        &[(true, 2), (true, 4)],
        &[(true, 1), (true, 2), (true, 3), (true, 5)],
        &[(false, 1), (true, 3)],
        &[(true, 1), (false, 2), (false, 3), (true, 4), (true, 5)],
    ];
    for looks in courses {
        let means = mean_over_orders(&levels, looks);
        for (test, mean) in means.iter().take(5).enumerate() {
            assert!((mean - 1.0).abs() < 1e-9, "test {test} after {looks:?}: {mean}");
        }
        assert!(means[5] <= 1.0 + 1e-9, "stricter after {looks:?}: {}", means[5]);
    }
}

/// Watches one signal.
fn plan(signal: Signal) -> Plan {
    let watch = Watch { signal, rule: signal.default_rule() };
    Plan::new(&[watch], FalseHalts::from_percent(5.0).unwrap(), Basis::Randomised)
}

/// What a judge's lanes are multiplied by in its first block, for one choice of the updated nodes.
fn lanes(signal: Signal, readings: &[Reading], updated: u32) -> Vec<f64> {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for (index, reading) in readings.iter().enumerate() {
        // Turns follow from who is updated; what breaks ties must not, so it is compared without ties.
        if updated >> index & 1 == 1 {
            ours.push(Node::new(Turn(index as u64)).with(signal, *reading));
        } else {
            others.push(Node::new(Turn(100 + index as u64)).with(signal, *reading));
        }
    }
    let mut judge = Judge::new(plan(signal));
    let groups = vec![Group { updated: ours, untouched: others, restarted: Vec::new() }];
    judge.close(&Block { frontier: Turn(100), groups });
    let memory = judge.memory();
    memory.signals()[0].numbers()[..7].to_vec()
}

/// Some readings of a fleet that nobody has updated; none are equal.
fn readings(random: &mut Rng, signal: Signal, count: usize) -> Vec<Reading> {
    let level = |random: &mut Rng| {
        let mut sample = |level: f64| [(); 5].map(|()| level * (0.5 + random.f64()));
        let (before, after) = (sample(1.0), sample(1.0));
        let jump = if random.u8(..4) == 0 { 3.0 } else { 1.0 };
        Reading::of_levels(&before, &after.map(|sample| sample * jump), 0.01)
    };
    let failed = random.usize(..count * 3);
    let one = |index: usize| match signal.default_rule() {
        _ if index == failed => Reading::FAILED,
        Rule::Level(_) => level(random),
        Rule::Count(_) => Reading::of_count(random.u32(..3)),
    };
    (0..count).map(one).collect()
}

/// Readings of a revision that changes each node by at most what is tolerated: a share of that.
fn tolerated(log_tolerated: f64, share: f64) -> impl Fn(f64) -> f64 {
    move |level| level * (log_tolerated * share).exp()
}

#[test]
fn each_test_of_the_judge_has_a_mean_of_at_most_1_when_nothing_changes() {
    let seed = number("EVERYNODE_SEED", fastrand::u64(..1 << 40));
    println!("EVERYNODE_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    for _ in 0..40 {
        let (all, n) = (random.usize(4..9), random.usize(1..4));
        let counts = readings(&mut random, Signal::Restarts, all);
        for (test, mean) in means(Signal::Restarts, &counts, n).iter().take(5).enumerate() {
            assert!(*mean <= 1.0 + 1e-9, "counts, test {test}, {n} of {counts:?}: {mean}");
        }
        let levels = readings(&mut random, Signal::Cpu, all);
        for (test, mean) in means(Signal::Cpu, &levels, n).iter().take(6).enumerate() {
            assert!(*mean <= 1.0 + 1e-9, "levels, test {test}, {n} of {levels:?}: {mean}");
        }
    }
}

/// The means of the lanes over all choices of the updated nodes.
fn means(signal: Signal, readings: &[Reading], n: usize) -> [f64; 7] {
    let mut sums = [0.0; 7];
    let mut choices = 0.0;
    for updated in subsets_of(readings.len(), n) {
        choices += 1.0;
        for (sum, log) in sums.iter_mut().zip(lanes(signal, readings, updated)) {
            *sum += log.exp();
        }
    }
    sums.map(|sum| sum / choices)
}

#[test]
fn what_is_taken_off_has_a_mean_of_exactly_1_and_what_is_less_has_less() {
    let seed = number("EVERYNODE_SEED", fastrand::u64(..1 << 40));
    println!("EVERYNODE_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let Rule::Level(rule) = Signal::Cpu.default_rule() else { panic!("CPU is a level") };
    // The tolerated rise is taken off with a margin of a fifth.
    for share in [1.2, 1.0, 0.5, 0.0, -3.0] {
        for _ in 0..10 {
            let (all, n) = (random.usize(4..9), random.usize(1..4));
            let levels: Vec<[f64; 2]> = (0..all).map(|_| [0.5 + random.f64(), 0.5 + random.f64()]).collect();
            let reading = |[before, after]: [f64; 2]| Reading::of_single(before, after, 0.01);
            let mut sums = [0.0; 7];
            for updated in subsets_of(all, n) {
                let change = tolerated(rule.worse_by.log(), share);
                let readings: Vec<Reading> = levels
                    .iter()
                    .enumerate()
                    .map(|(at, [before, after])| {
                        let is_updated = updated >> at & 1 == 1;
                        reading([*before, if is_updated { change(*after) } else { *after }])
                    })
                    .collect();
                for (sum, log) in sums.iter_mut().zip(lanes(Signal::Cpu, &readings, updated)) {
                    *sum += log.exp();
                }
            }
            let choices = subsets_of(all, n).count() as f64;
            for (test, sum) in sums.iter().take(6).enumerate() {
                let mean = sum / choices;
                assert!(mean <= 1.0 + 1e-9, "test {test}, a share of {share}: {mean}");
                if share == 1.2 && test < 5 {
                    assert!((mean - 1.0).abs() < 1e-9, "test {test}: {mean}");
                }
            }
        }
    }
}

#[test]
fn no_worse_has_a_mean_of_at_most_1_when_it_is_just_so_much_worse() {
    let mut random = Rng::with_seed(3);
    let Rule::Level(rule) = Signal::Cpu.default_rule() else { panic!("CPU is a level") };
    for _ in 0..20 {
        let (all, n) = (random.usize(4..9), random.usize(1..4));
        let levels: Vec<[f64; 2]> = (0..all).map(|_| [0.5 + random.f64(), 0.5 + random.f64()]).collect();
        let mut sum = 0.0;
        for updated in subsets_of(all, n) {
            let reading = |(at, [before, after]): (usize, &[f64; 2])| {
                let factor = if updated >> at & 1 == 1 { rule.no_worse.log().exp() } else { 1.0 };
                Reading::of_single(*before, after * factor, 0.01)
            };
            let readings: Vec<Reading> = levels.iter().enumerate().map(reading).collect();
            sum += lanes(Signal::Cpu, &readings, updated)[6].exp();
        }
        let mean = sum / subsets_of(all, n).count() as f64;
        assert!((mean - 1.0).abs() < 1e-9, "{n} of {levels:?}: {mean}");
    }
}

#[test]
fn evidence_never_falls_when_an_updated_node_gets_worse() {
    let seed = number("EVERYNODE_SEED", fastrand::u64(..1 << 40));
    println!("EVERYNODE_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    for _ in 0..200 {
        let (all, n) = (random.usize(4..40), random.usize(1..4));
        let worse = random.usize(..n);
        for signal in [Signal::Cpu, Signal::Restarts] {
            let before = readings(&mut random, signal, all);
            let mut after = before.clone();
            after[worse] = match signal.default_rule() {
                _ if random.bool() => Reading::FAILED,
                Rule::Level(_) => Reading::of_single(1.0, 100.0, 0.01),
                Rule::Count(_) => Reading::of_count(3),
            };
            let updated = (1 << n) - 1;
            let (was, is) = (lanes_of_many(signal, &before, n), lanes_of_many(signal, &after, n));
            for (test, (was, is)) in was.iter().zip(&is).enumerate().take(6) {
                assert!(*is >= was - 1e-9, "{signal}, test {test}, {updated}: {was} before, {is} after");
            }
            assert!(is[6] <= was[6] + 1e-9, "{signal}: more evidence to be no worse");
        }
    }
}

/// As [`lanes`], where the first `n` of any number are updated.
fn lanes_of_many(signal: Signal, readings: &[Reading], n: usize) -> Vec<f64> {
    let node = |(index, reading): (usize, &Reading)| Node::new(Turn(index as u64)).with(signal, *reading);
    let nodes: Vec<Node> = readings.iter().enumerate().map(node).collect();
    let (updated, untouched) = nodes.split_at(n);
    let groups =
        vec![Group { updated: updated.to_vec(), untouched: untouched.to_vec(), restarted: Vec::new() }];
    let mut judge = Judge::new(plan(signal));
    judge.close(&Block { frontier: Turn(n as u64), groups });
    judge.memory().signals()[0].numbers()[..7].to_vec()
}

//! What is foreseen of a roll-out is what then happens.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use everynode_analysis::{
    Basis, Block, FalseHalts, Group, Judge, Node, Plan, Power, Reading, Rise, Rule, Signal, Turn, Verdict,
};
use everynode_testkit::number;
use fastrand::Rng;

fn plan() -> Plan {
    Plan::usual(FalseHalts::from_percent(5.0).unwrap(), Basis::Randomised)
}

fn power(deviation: f64) -> Power {
    let Rule::Level(rule) = Signal::Cpu.default_rule() else { panic!("CPU is a level") };
    Power::new(&plan(), &rule, deviation)
}

fn rise(percent: f64) -> Rise {
    Rise::from_percent(percent).unwrap()
}

#[test]
fn one_canary_can_never_be_worse_and_some_can() {
    let plan = plan();
    for others in [1, 10, 50, 1000, 100_000] {
        assert!(!plan.can_decide(1, others), "{others}");
    }
    assert!(!plan.can_decide(5, 5));
    assert!(!plan.can_decide(0, 100) && !plan.can_decide(100, 0));
    assert!(plan.can_decide(10, 20));
    let fewest = [5, 10, 30, 50, 1000].map(|others| (others, plan.fewest_nodes(others)));
    println!("{fewest:?}");
    for (others, fewest) in fewest {
        let fewest = fewest.unwrap();
        assert!(
            plan.can_decide(fewest, others) && !plan.can_decide(fewest - 1, others),
            "{others}: {fewest}"
        );
    }
}

#[test]
fn what_cannot_be_worse_is_not_called_so_and_what_can_is() {
    let plan = plan();
    for (updated, others) in [(1, 50), (2, 20), (5, 5), (10, 20), (5, 50)] {
        let node = |turn: usize| {
            let level = if turn < updated { 100.0 + turn as f64 } else { 1.0 + turn as f64 / 1000.0 };
            Node::new(Turn(turn as u64)).with(Signal::Cpu, Reading::of_single(1.0, level, 0.01))
        };
        let groups = vec![Group {
            updated: (0..updated).map(node).collect(),
            untouched: (updated..updated + others).map(node).collect(),
            restarted: Vec::new(),
        }];
        let report = Judge::new(plan.clone()).close(&Block { frontier: Turn(updated as u64), groups });
        let is_worse = report.verdict == Verdict::Worse;
        assert_eq!(is_worse, plan.can_decide(updated, others), "{updated} of {others}");
    }
}

#[test]
fn the_tolerated_change_is_never_found_and_a_greater_one_by_fewer_nodes() {
    let power = power(0.15);
    for percent in [0.0, 5.0, 10.0] {
        assert_eq!(power.nodes(rise(percent)), None, "{percent}");
        assert_eq!(power.chance(rise(percent), 1000).percent(), 0.0, "{percent}");
    }
    let nodes = [20.0, 30.0, 50.0, 100.0].map(|percent| power.nodes(rise(percent)).unwrap());
    assert!(nodes.is_sorted_by(|more, less| more > less), "{nodes:?}");
    let chances = [1, 10, 20, 50].map(|nodes| power.chance(rise(30.0), nodes).percent());
    assert!(chances.is_sorted() && chances[0] < 10.0 && chances[3] > 90.0, "{chances:?}");
    assert_eq!(self::power(f64::NAN).nodes(rise(50.0)), None, "who varies without bound shows nothing");
}

#[test]
fn as_many_roll_outs_find_a_change_as_was_foreseen() {
    let seed = number("EVERYNODE_SEED", fastrand::u64(..1 << 40));
    println!("EVERYNODE_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let deviation = 0.15;
    for (percent, nodes) in [(30.0, 10), (30.0, 20), (30.0, 40), (20.0, 50)] {
        let rolls = 100;
        let found = (0..rolls).filter(|_| is_found(rise(percent), nodes, deviation, &mut random)).count();
        let (found, foreseen) = (
            100.0 * found as f64 / f64::from(rolls),
            power(deviation).chance(rise(percent), nodes).percent(),
        );
        println!("+{percent} % by {nodes} nodes: {foreseen:.0} % foreseen, {found:.0} % found");
        assert!((found - foreseen).abs() <= 30.0, "+{percent} % by {nodes} nodes");
    }
}

/// Whether a change of all nodes, which vary normally, is found by so many nodes of 400, ten at a time.
fn is_found(change: Rise, nodes: usize, deviation: f64, random: &mut Rng) -> bool {
    let mut judge = Judge::new(plan());
    for end in (10..=nodes).step_by(10) {
        let mut node = |turn: usize| {
            let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            let log = deviation * normal + if turn < end { change.log() } else { 0.0 };
            Node::new(Turn(turn as u64)).with(Signal::Cpu, Reading::of_single(1.0, log.exp(), 0.01))
        };
        let groups = vec![Group {
            updated: (end - 10..end).map(&mut node).collect(),
            untouched: (end..400).map(&mut node).collect(),
            restarted: Vec::new(),
        }];
        judge.close(&Block { frontier: Turn(end as u64), groups });
    }
    judge.report().verdict == Verdict::Worse
}

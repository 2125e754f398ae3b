//! A smaller number of each suite, from seeds that are drawn in each run; `just simulate` runs the large ones.
#![allow(clippy::print_stdout, reason = "a test says which seeds it draws")]

use everynode_simulation::suites::systematic::Scenario;
use everynode_simulation::suites::{edits, hostile, rollouts, storm, systematic};
use everynode_simulation::{Report, fresh_seed};

/// Runs a function for the first so many seeds, which were kept, and then for so many that nobody has seen.
fn for_kept_and_fresh_seeds(kept: u64, fresh: u64, run: impl Fn(u64) + Sync) {
    for_seeds(1..kept + 1, &run);
    for_fresh_seeds(fresh, run);
}

/// Runs a function for so many seeds that nobody has seen.
fn for_fresh_seeds(count: u64, run: impl Fn(u64) + Sync) {
    let first = fresh_seed();
    println!("seeds from {first}");
    for_seeds(first..first + count, run);
}

/// Runs a function for all seeds, on two threads.
fn for_seeds(seeds: std::ops::Range<u64>, run: impl Fn(u64) + Sync) {
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    run(seed);
                }
            });
        }
    });
}

fn check(command: &str, run: fn(u64, bool) -> Report, seed: u64) {
    let report = run(seed, false);
    let failure = report.failure.as_deref();
    assert_eq!(failure, None, "{}\njust simulate {command} --seed {seed} --trace", report.lines.join("\n"));
}

#[test]
fn after_every_storm_each_node_has_its_pod_and_nothing_is_written() {
    for_kept_and_fresh_seeds(150, 20, |seed| check("storm", storm::run, seed));
}

#[test]
fn under_policies_budgets_hold_and_the_last_roll_out_ends() {
    for_kept_and_fresh_seeds(150, 20, |seed| check("rollouts", rollouts::run, seed));
}

#[test]
fn whatever_a_namespace_user_writes_templates_are_the_daemonsets_own_and_creations_bounded() {
    for_fresh_seeds(30, |seed| check("hostile", hostile::run, seed));
    HOSTILE_FINDERS.into_iter().for_each(|seed| check("hostile", hostile::run, seed));
}

/// Seeds that have found something.
const FINDERS: [u64; 22] = [
    124,
    1408,
    1751,
    1936,
    8736,
    5_000_730,
    5_010_687,
    30_004_147,
    93_106_652_649_824,
    203_586_653_548_790,
    203_586_653_548_918,
    110_254_184_845_699,
    142_116_057_777_561,
    54_171_365_836_702,
    8_851_188_443_045,
    233_260_276_110_482,
    6_553_264_576_151,
    22_890_636_569_878,
    245_507_386_879_412,
    226_229_107_329_044,
    262_078_731_228_008,
    33_101_923_650_086,
];
/// ... and under policies.
const FINDERS_UNDER_POLICIES: [u64; 14] = [
    14,
    169,
    578,
    906,
    1568,
    1593,
    16914,
    7_011_839,
    20_002_306,
    154_518_643_069_216,
    22_848_971_138_904,
    194_827_868_824_064,
    113_548_075_721_495,
    2_221_793_150_661_531,
];
/// ... and with a hostile user: forged templates, borrowed revisions that were written.
const HOSTILE_FINDERS: [u64; 12] = [
    5000000012,
    62255117925910,
    50841521403997,
    50841521404317,
    225141049227633,
    33105817330633,
    28658930336887,
    28658930339835,
    28658930341231,
    56823704921751,
    194827866803629,
    54635743758711,
];

#[test]
fn worlds_that_went_wrong_once_go_well() {
    FINDERS.into_iter().for_each(|seed| check("storm", storm::run, seed));
    FINDERS_UNDER_POLICIES.into_iter().for_each(|seed| check("rollouts", rollouts::run, seed));
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [1, 2, 3] {
        for run in [storm::run, rollouts::run, hostile::run] {
            let (first, second) = (run(seed, false), run(seed, false));
            assert_eq!(first.hash, second.hash, "seed {seed}");
            assert_eq!(first.counts, second.counts, "seed {seed}");
        }
    }
}

#[test]
fn no_single_crash_or_hidden_event_changes_where_a_scenario_ends() {
    let next = std::sync::Mutex::new(Scenario::ALL.to_vec());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(scenario) = next.lock().unwrap().pop() {
                    let outcome = systematic::run(scenario, 17);
                    assert!(outcome.failures.is_empty(), "{}", outcome.failures.join("\n"));
                }
            });
        }
    });
}

#[test]
fn edits_in_any_order_end_as_a_fresh_installation_of_the_last_version() {
    for_fresh_seeds(200, |seed| {
        let report = edits::run(seed);
        let failure = report.failure.as_deref();
        assert_eq!(failure, None, "seed {seed}\n{}", report.lines.join("\n"));
    });
}

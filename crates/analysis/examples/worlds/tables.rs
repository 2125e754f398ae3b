//! The tables: each row is a world, each cell the share of roll-outs that were called worse.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Asked;
use crate::rollout::{Course, Order, Outcome, PORTS, roll};
use crate::world::{BUSY, Fleet, GOOD, Revision, WEATHERS, Weather};

/// A kind of roll-out that is made again and again.
#[derive(Clone, Debug)]
struct World {
    name: String,
    nodes: usize,
    weather: Weather,
    revision: Revision,
    course: Course,
}

/// Waves of 1,000 nodes as they are by the end of each.
const WAVES: [usize; 3] = [10, 50, 200];

fn course() -> Course {
    Course {
        waves: WAVES.to_vec(),
        batch: 10,
        restarted: 20,
        ports: true,
        order: Order::Shuffled,
        missing: 0.0,
    }
}

fn world(name: &str, revision: Revision) -> World {
    World { name: name.to_owned(), nodes: 1000, weather: BUSY, revision, course: course() }
}

fn rise(percent: f64, share: f64) -> Revision {
    Revision { cpu: (percent / 100.0).ln_1p(), share, ..GOOD }
}

impl World {
    /// Each world has chances of its own.
    fn seed(&self, asked: &Asked) -> u64 {
        let mix = |seed: u64, byte: u8| seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte);
        self.name.bytes().fold(asked.seed, mix)
    }

    fn outcomes(&self, asked: &Asked) -> Vec<Outcome> {
        let (next, outcomes) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(16));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let run = next.fetch_add(1, Ordering::Relaxed);
                        if run >= asked.runs {
                            break;
                        }
                        let seed = self.seed(asked).wrapping_add(run);
                        let mut fleet = Fleet::new(self.nodes, self.weather, self.revision, seed);
                        let outcome = roll(&mut fleet, &self.course);
                        outcomes.lock().expect("no thread panics").push(outcome);
                    }
                });
            }
        });
        outcomes.into_inner().expect("no thread panics")
    }
}

/// The share of roll-outs of which something holds, in per cent.
fn percent(outcomes: &[Outcome], holds: impl Fn(&Outcome) -> bool) -> f64 {
    100.0 * outcomes.iter().filter(|outcome| holds(outcome)).count() as f64 / outcomes.len() as f64
}

/// Those that were called worse by so many updated nodes.
fn by(outcomes: &[Outcome], nodes: usize, which: impl Fn(&Outcome) -> Option<usize>) -> String {
    let share = percent(outcomes, |outcome| which(outcome).is_some_and(|by| by <= nodes));
    if share > 0.0 && share < 1.0 { format!("{share:.1}") } else { format!("{share:.0}") }
}

fn header(title: &str, columns: &[String]) {
    println!("\n{title}\n\n| world | {} |", columns.join(" | "));
    println!("|---{}|", "|---".repeat(columns.len()));
}

/// Good revisions in all weathers: every halt is false.
pub fn good(asked: &Asked) {
    let columns = ["everynode, any of 6 signals"].into_iter().chain(PORTS).map(str::to_owned);
    header("Good revisions, 200 of 1,000 nodes: false halts in %", &columns.collect::<Vec<_>>());
    for weather in WEATHERS.into_iter().filter(|weather| asked.has(weather.name)) {
        let world = World { weather, ..world(weather.name, GOOD) };
        let outcomes = world.outcomes(asked);
        let others = (0..PORTS.len()).map(|port| by(&outcomes, 200, |outcome| outcome.ports[port]));
        let halted = outcomes.iter().filter(|outcome| outcome.ours.is_some()).count();
        let ours = format!("{} ({halted} of {})", by(&outcomes, 200, |outcome| outcome.ours), asked.runs);
        println!("| {} | {} | {} |", world.name, ours, others.collect::<Vec<_>>().join(" | "));
        say_halts(&outcomes);
    }
}

/// What a row says of our judge: by 10, 20, 50 and 200 nodes, and how well it said how much.
fn ours(outcomes: &[Outcome], nodes: &[usize]) -> Vec<String> {
    nodes.iter().map(|nodes| by(outcomes, *nodes, |outcome| outcome.ours)).collect()
}

fn found_rows(asked: &Asked, worlds: &[World], ports: std::ops::Range<usize>) {
    for world in worlds.iter().filter(|world| asked.has(&world.name)) {
        let outcomes = world.outcomes(asked);
        let others = ports.clone().map(|port| {
            let waves =
                world.course.waves.iter().map(|wave| by(&outcomes, *wave, |outcome| outcome.ports[port]));
            waves.collect::<Vec<_>>().join(" ")
        });
        let cells: Vec<String> = ours(&outcomes, &[10, 20, 50, 200]).into_iter().chain(others).collect();
        println!("| {} | {} |", world.name, cells.join(" | "));
        if world.revision.is_good() {
            say_halts(&outcomes);
        }
    }
}

/// Why good revisions were halted, of some.
fn say_halts(outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.ours.is_some()).take(3) {
        println!("  (halted: {})", outcome.sentence);
    }
}

fn found_header(title: &str, ports: std::ops::Range<usize>) {
    let by = ["by 10 nodes", "by 20", "by 50", "by 200"].map(str::to_owned);
    let others = PORTS[ports].iter().map(|port| format!("{port}, by 10, 50, 200"));
    header(title, &by.into_iter().chain(others).collect::<Vec<_>>());
}

/// Revisions that take more CPU.
pub fn found(asked: &Asked) {
    let worlds = [
        world("+20 %", rise(20.0, 1.0)),
        world("+30 %", rise(30.0, 1.0)),
        World { weather: WEATHERS[3], ..world("+30 %, load -20 %", rise(30.0, 1.0)) },
        world("+50 %", rise(50.0, 1.0)),
        world("25 % of nodes +100 %", rise(100.0, 0.25)),
        world("10 % of nodes +100 %", rise(100.0, 0.1)),
        world("25 % of nodes +50 %", rise(50.0, 0.25)),
    ];
    found_header("More CPU at 1,000 nodes: called worse in %", 0..4);
    found_rows(asked, &worlds, 0..4);
}

/// Revisions that take no more CPU than is tolerated.
pub fn tolerated(asked: &Asked) {
    let worlds = [world("+5 %", rise(5.0, 1.0)), world("+10 %, just tolerated", rise(10.0, 1.0))];
    found_header("Tolerated changes at 1,000 nodes: called worse in %", 0..4);
    found_rows(asked, &worlds, 0..4);
}

/// Revisions whose containers end.
pub fn restarts(asked: &Asked) {
    let restarts = |percent: f64| Revision { restarts: percent / 100.0, ..GOOD };
    let worlds = [0.0, 10.0, 20.0, 50.0]
        .map(|percent| world(&format!("restarts on {percent} % more of the nodes"), restarts(percent)));
    found_header("Restarts at 1,000 nodes: called worse in %", 4..7);
    found_rows(asked, &worlds, 4..7);
}

/// What only fresh pods can be compared by: 10 canaries, and others that were restarted with the old revision.
pub fn fresh(asked: &Asked) {
    let memory = |percent: f64| Revision { memory: (percent / 100.0).ln_1p(), ..GOOD };
    header("Memory of fresh pods: called worse in %", &["found".to_owned()]);
    for (canaries, restarted) in [(5, 5), (10, 10), (10, 20), (20, 20)] {
        for percent in [0.0, 50.0] {
            let waves =
                Course { waves: vec![canaries], batch: canaries, restarted, ports: false, ..course() };
            let name = format!("+{percent} %, {canaries} canaries and {restarted} restarted");
            let world = World { course: waves, ..world(&name, memory(percent)) };
            if !asked.has(&name) {
                continue;
            }
            println!("| {name} | {} |", by(&world.outcomes(asked), canaries, |outcome| outcome.ours));
        }
    }
}

/// Small fleets.
pub fn small(asked: &Asked) {
    for (nodes, waves, batch) in [(100, [5, 20, 50], 5), (30, [3, 10, 20], 3)] {
        let columns = waves.map(|wave| format!("by {wave} nodes"));
        header(&format!("{nodes} nodes, {batch} at a time: called worse in %"), &columns);
        let revisions = [
            ("good", GOOD),
            ("+30 %", rise(30.0, 1.0)),
            ("+50 %", rise(50.0, 1.0)),
            ("+100 %", rise(100.0, 1.0)),
            ("25 % of nodes +100 %", rise(100.0, 0.25)),
            ("restarts on 50 % more of the nodes", Revision { restarts: 0.5, ..GOOD }),
        ];
        for (name, revision) in revisions.into_iter().filter(|(name, _)| asked.has(name)) {
            let course = Course { waves: waves.to_vec(), batch, restarted: 0, ports: false, ..course() };
            let world = World { nodes, course, ..world(name, revision) };
            println!("| {name} | {} |", ours(&world.outcomes(asked), &waves).join(" | "));
        }
    }
}

/// Worlds in which we lose.
pub fn lost(asked: &Asked) {
    let columns = ["worse by 10 nodes", "by 50", "by 200", "blind at the end"].map(str::to_owned);
    header("Worlds in which we lose: called worse in %", &columns);
    let with = |name: &str, revision: Revision, change: fn(&mut World)| {
        let mut world = world(name, revision);
        world.course.ports = false;
        change(&mut world);
        world
    };
    let worlds = [
        with("one canary, +100 %", rise(100.0, 1.0), |world| world.course.waves = vec![1]),
        with("all nodes in one wave, +50 %", rise(50.0, 1.0), |world| {
            world.course = Course { waves: vec![1000], batch: 1000, restarted: 0, ..world.course.clone() };
        }),
        with("good, the first nodes all of one zone, zones shocked by 30 %", GOOD, |world| {
            world.weather = Weather { zones: 0.3, ..WEATHERS[4] };
            world.course.order = Order::ByZone;
        }),
        with("the same, compared within the zone", GOOD, |world| {
            world.weather = Weather { zones: 0.3, ..WEATHERS[4] };
            world.course.order = Order::WithinZones;
        }),
        with("+30 % on all nodes, updated or not (a backend that all share)", GOOD, |world| {
            world.weather.load = 0.262;
        }),
        with("a leak that is 1 % by the end of the window", rise(1.0, 1.0), |_| {}),
        with("a daemon that has stopped to work, -50 %", rise(-50.0, 1.0), |_| {}),
        with("+50 %, from the 100th node on", Revision { from: 100, ..rise(50.0, 1.0) }, |_| {}),
        with("+50 %, half of the updated nodes without samples", rise(50.0, 1.0), |world| {
            world.course.missing = 0.5;
        }),
        with("+50 %, a tenth of the updated nodes without samples", rise(50.0, 1.0), |world| {
            world.course.missing = 0.1;
        }),
    ];
    for world in worlds.into_iter().filter(|world| asked.has(&world.name)) {
        let outcomes = world.outcomes(asked);
        let mut cells = ours(&outcomes, &[10, 50, 200.max(world.nodes)]);
        cells.push(format!("{:.0}", percent(&outcomes, |outcome| outcome.is_blind)));
        println!("| {} | {} |", world.name, cells.join(" | "));
    }
}

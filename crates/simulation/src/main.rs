//! Runs worlds.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use everynode_simulation::suites::systematic::{Outcome, Scenario};
use everynode_simulation::suites::{edits, hostile, rollouts, storm, systematic};
use everynode_simulation::{Fault, Report, fresh_seed};

const USAGE: &str = "\
usage: simulate [SUITE] [options]
suites:
  storm        everything at once, by chance (unless named otherwise)
  rollouts     the same over roll-outs under policies
  hostile      the same with somebody who writes all but DaemonSets in one namespace
  edits        edits in any order
  systematic   twelve scenarios, each with every single fault
options:
  --seeds N    so many worlds (1000)
  --from S     beginning with this seed (drawn anew, and printed)
  --jobs N     at the same time (2)
  --seed S     this one only
  --trace      with all its events
  --scenario NAME [--fault KIND:NUMBER[:SECONDS]]
               of the systematic suite this one only; the kinds are before-answer, after-write, stale, hide, drop";

#[derive(Debug)]
struct Arguments {
    suite: String,
    seeds: u64,
    from: u64,
    jobs: usize,
    seed: Option<u64>,
    is_traced: bool,
    scenario: Option<Scenario>,
    fault: Option<Fault>,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        suite: "storm".to_owned(),
        seeds: 1_000,
        from: fresh_seed(),
        jobs: 2,
        seed: None,
        is_traced: false,
        scenario: None,
        fault: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "storm" | "rollouts" | "hostile" | "edits" | "systematic" => arguments.suite = word,
            "--seeds" => arguments.seeds = number(&value()?)?,
            "--from" => arguments.from = number(&value()?)?,
            "--jobs" => arguments.jobs = usize::try_from(number(&value()?)?.max(1)).unwrap_or(1),
            "--seed" => arguments.seed = Some(number(&value()?)?),
            "--trace" => arguments.is_traced = true,
            "--scenario" => arguments.scenario = Some(scenario(&value()?)?),
            "--fault" => arguments.fault = Some(fault(&value()?)?),
            _ => return Err(format!("{word} is not known\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

fn scenario(text: &str) -> Result<Scenario, String> {
    let found = Scenario::ALL.into_iter().find(|one| format!("{one:?}").eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("{text} is none of {:?}", Scenario::ALL))
}

fn fault(text: &str) -> Result<Fault, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        ["before-answer", at] => Ok(Fault::CrashBeforeAnswer(number(at)?)),
        ["after-write", at] => Ok(Fault::CrashAfterWrite(number(at)?)),
        ["stale", at, seconds] => Ok(Fault::StaleRestart(number(at)?, number(seconds)?)),
        ["hide", at, seconds] => Ok(Fault::Hide(number(at)?, number(seconds)?)),
        ["drop", at, seconds] => Ok(Fault::Drop(number(at)?, number(seconds)?)),
        _ => Err(format!("{text} is no fault\n{USAGE}")),
    }
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    }
    let is_good = match (arguments.suite.as_str(), arguments.seed, arguments.scenario) {
        ("systematic", _, Some(scenario)) if arguments.is_traced => {
            tell("this run", &systematic::trace(scenario, arguments.fault), usize::MAX)
        }
        ("systematic", _, scenario) => {
            scenarios(scenario.map_or(Scenario::ALL.to_vec(), |one| vec![one]), &arguments)
        }
        ("edits", Some(seed), _) => tell(&format!("seed {seed}"), &edits::run(seed), lines(&arguments)),
        ("edits", None, _) => seeds(&arguments, &edits::run),
        (suite, Some(seed), _) => {
            tell(&format!("seed {seed}"), &world(suite)(seed, arguments.is_traced), lines(&arguments))
        }
        (suite, None, _) => seeds(&arguments, &|seed| world(suite)(seed, false)),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The worlds of a suite of storms.
fn world(suite: &str) -> fn(u64, bool) -> Report {
    match suite {
        "rollouts" => rollouts::run,
        "hostile" => hostile::run,
        _ => storm::run,
    }
}

/// How many lines of a run are shown.
fn lines(arguments: &Arguments) -> usize {
    if arguments.is_traced { usize::MAX } else { 0 }
}

/// Prints the last lines of a run and how it ended; true when it ended well.
fn tell(what: &str, report: &Report, lines: usize) -> bool {
    let lines = if report.failure.is_some() { lines.max(50) } else { lines };
    let first = report.lines.len().saturating_sub(lines);
    report.lines[first..].iter().for_each(|line| println!("  {line}"));
    println!("{what}: {} s, {:?}, hash {:016x}", report.seconds, report.counts, report.hash);
    match &report.failure {
        None => true,
        Some(failure) => {
            println!("{what} FAILED: {failure}\n");
            false
        }
    }
}

fn in_parallel<T: Send>(jobs: usize, next: impl Fn() -> Option<T> + Sync, work: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(item) = next() {
                    work(item);
                }
            });
        }
    });
}

#[derive(Default)]
struct Totals {
    failed: u64,
    seconds: u64,
    requests: u64,
    writes: u64,
    crashes: u64,
    hash: u64,
}

fn seeds(arguments: &Arguments, run: &(dyn Fn(u64) -> Report + Sync)) -> bool {
    println!(
        "again: just simulate {} --seeds {} --from {}",
        arguments.suite, arguments.seeds, arguments.from
    );
    let (began, next, totals) =
        (Instant::now(), AtomicU64::new(arguments.from), Mutex::new(Totals::default()));
    let end = arguments.from + arguments.seeds;
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end);
    in_parallel(arguments.jobs, take, |seed| {
        let report = run(seed);
        let Ok(mut totals) = totals.lock() else { return };
        if report.failure.is_some() {
            tell(&format!("seed {seed}"), &report, 0);
            println!("again: just simulate {} --seed {seed} --trace", arguments.suite);
            totals.failed += 1;
        }
        totals.seconds += report.seconds;
        totals.requests += report.counts.requests;
        totals.writes += report.counts.writes;
        totals.crashes += report.counts.crashes;
        totals.hash ^= report.hash;
    });
    let took = began.elapsed().as_secs_f64();
    let Ok(Totals { failed, seconds, requests, writes, crashes, hash }) = totals.into_inner() else {
        return false;
    };
    println!(
        "{} seeds in {took:.1} s, {:.0} a second, {failed} failed: {} hours of virtual time, {requests} requests, \
         {writes} writes of controllers, {crashes} ends of controllers, hash {hash:016x}",
        arguments.seeds,
        arguments.seeds as f64 / took,
        seconds / 3600,
    );
    failed == 0
}

fn scenarios(scenarios: Vec<Scenario>, arguments: &Arguments) -> bool {
    let (began, left, outcomes) = (Instant::now(), Mutex::new(scenarios), Mutex::new(Vec::new()));
    let take = || left.lock().ok()?.pop();
    in_parallel(arguments.jobs, take, |scenario| {
        let outcome = systematic::run(scenario, 1);
        if let Ok(mut outcomes) = outcomes.lock() {
            outcomes.push((scenario, outcome));
        }
    });
    let outcomes: Vec<(Scenario, Outcome)> = outcomes.into_inner().unwrap_or_default();
    for (scenario, Outcome { writes, events, runs, failures }) in &outcomes {
        println!(
            "{scenario:?}: {writes} writes, {events} events, {runs} runs with a fault, {} failed",
            failures.len()
        );
        failures.iter().for_each(|failure| println!("  {failure}"));
    }
    println!("in {:.1} s", began.elapsed().as_secs_f64());
    outcomes.iter().all(|(_, outcome)| outcome.failures.is_empty())
}

//! First paint, bytes of the first load, frames while 1,000 cells change each second, and the server's memory:
//! `cargo bench -p everynode-dashboard`, `just bench-dashboard`. Words narrow it: `5000`, `100000`, `snapshot`, `live`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark reports")]

#[path = "../tests/fleet/mod.rs"]
mod fleet;
mod live;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use everynode_dashboard::{Dashboard, Source};
use everynode_testkit::browser::Browser;
use fleet::Made;
use live::Cluster;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const DAEMONS: usize = 20;
/// For how long changes are drawn.
const WATCHED: Duration = Duration::from_secs(60);
/// A frame or a task above this is felt.
const FELT_MILLIS: f64 = 50.0;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list" || word == "--test") || !everynode_testkit::have_chromium() {
        return;
    }
    // What serves is a process of its own, so that its memory is that of nothing else.
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", file] => return serve(Source::Snapshots(vec![(*file).into()])),
        ["serve-live", nodes] => {
            let cluster = Cluster { nodes: nodes.parse().expect("a number"), daemons: DAEMONS };
            let client = Box::new(cluster.client());
            return serve(Source::Cluster { client, namespace: None, fallback: "default".into() });
        }
        _ => {}
    }
    let named: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |word: &str, others: &[&str]| {
        named.contains(&word) || !named.iter().any(|named| others.contains(named))
    };
    for nodes in [5_000, 100_000] {
        if !is_wanted(&nodes.to_string(), &["5000", "100000"]) {
            continue;
        }
        if is_wanted("snapshot", &["live", "snapshot"]) {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("fleet.gz");
            Made::wide(nodes, DAEMONS).write(&file);
            measure(nodes, "snapshot", &["serve", &file.display().to_string()]);
        }
        if is_wanted("live", &["live", "snapshot"]) {
            measure(nodes, "live", &["serve-live", &nodes.to_string()]);
        }
    }
}

/// Serves until its input ends, and says where.
fn serve(source: Source) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let dashboard = Dashboard::start(source, 0, CancellationToken::new()).await.expect("a dashboard");
        println!("{}", dashboard.url());
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        let _ = ended.await;
        dashboard.stop().await;
    });
}

fn measure(nodes: usize, what: &str, arguments: &[&str]) {
    let begun = Instant::now();
    let mut server = started(arguments);
    let mut url = String::new();
    let output = server.stdout.as_mut().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut url).expect("an address");
    let start_seconds = begun.elapsed().as_secs_f64();
    let loaded = peak_memory_bytes(server.id()) / 1_000_000;
    let mut browser = Browser::start(1440, 900);
    browser.open(url.trim());
    browser.until("document.querySelector('main h1')");
    let paint = browser.eval("new Promise((done) => new PerformanceObserver((list) => done(list.getEntries().pop().startTime)).observe({ type: 'largest-contentful-paint', buffered: true }))");
    let table = browser.eval("performance.now()");
    let bytes = browser
        .eval("performance.getEntriesByType('resource').reduce((sum, one) => sum + one.encodedBodySize, 0)");
    let millis = |value: &Value| value.as_f64().unwrap_or(0.0);
    println!("{what}, {nodes} nodes by {DAEMONS} daemons");
    println!("  from start to the address      {start_seconds:.1} s");
    println!("  largest paint, table there     {:.0} ms, {:.0} ms", millis(&paint), millis(&table));
    println!("  bytes of the first load        {bytes}");
    println!("  memory at most, after start    {loaded} MB");
    browser.eval("location.hash = '#/matrix?by=topology.kubernetes.io/zone'");
    browser.until("document.querySelector('.stage canvas')");
    let changes = (what == "snapshot").then_some(CHANGES);
    browser.eval(
        changes.unwrap_or(
            "import('/data.js').then(({ fleet }) => { globalThis.since = fleet.value.sequence; })",
        ),
    );
    let trace = traced(&mut browser, WATCHED);
    let deltas = browser
        .eval("import('/data.js').then(({ fleet }) => fleet.value.sequence - (globalThis.since || 0))");
    println!("  1,000 changes a second for {} s", WATCHED.as_secs());
    println!("    frames                       {}", spread(&trace.frames_millis));
    println!("    tasks of the page            {}", spread(&trace.tasks_millis));
    if what == "live" {
        println!("    deltas of the server         {deltas}");
    }
    println!("  memory at most, after that     {} MB", peak_memory_bytes(server.id()) / 1_000_000);
    server.kill().expect("it ends");
    server.wait().expect("it ends");
}

fn started(arguments: &[&str]) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("it starts")
}

/// What the browser itself says of a time.
struct Trace {
    /// From one frame to the next.
    frames_millis: Vec<f64>,
    /// What kept the page's thread busy, each.
    tasks_millis: Vec<f64>,
}

/// Watches the page for so long by the browser's own trace.
fn traced(browser: &mut Browser, for_so_long: Duration) -> Trace {
    // Where nothing changes no frame is made: with this one is asked for each time.
    browser.eval("(() => { const frame = () => requestAnimationFrame(frame); frame(); })()");
    let events = browser.trace("devtools.timeline,disabled-by-default-devtools.timeline", for_so_long);
    let of = |name: &'static str| events.iter().filter(move |event| event["name"] == name);
    let mut frames: Vec<f64> = of("FireAnimationFrame").filter_map(|event| event["ts"].as_f64()).collect();
    frames.sort_by(f64::total_cmp);
    // The page's thread is the one that asks for frames.
    let page = of("FireAnimationFrame").next().map(|event| (event["pid"].clone(), event["tid"].clone()));
    let is_own = |event: &&Value| page == Some((event["pid"].clone(), event["tid"].clone()));
    Trace {
        frames_millis: frames.windows(2).map(|pair| (pair[1] - pair[0]) / 1000.0).collect(),
        tasks_millis: of("RunTask")
            .filter(is_own)
            .filter_map(|event| Some(event["dur"].as_f64()? / 1000.0))
            .collect(),
    }
}

fn spread(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at =
        |share: f64| sorted.get((share * (sorted.len().max(1) - 1) as f64) as usize).copied().unwrap_or(0.0);
    let felt = sorted.iter().filter(|one| **one > FELT_MILLIS).count();
    format!(
        "{:.1} ms median, {:.1} ms p99, {:.1} ms the longest; {felt} of {} over {FELT_MILLIS} ms",
        at(0.5),
        at(0.99),
        at(1.0),
        sorted.len()
    )
}

/// Changes cells four times a second as deltas do.
const CHANGES: &str = "import('/data.js').then(({ fleet, changed, tick }) => {
  let round = 0;
  setInterval(() => {
    const touched = fleet.value.columns.map((column) => [column.index, []]);
    for (let number = 0; number < 250; number++) {
      const column = fleet.value.columns[(number * 7 + round) % fleet.value.columns.length];
      const node = (number * 7919 + round * 104729) % fleet.value.count;
      column.classes[node] = round % 2 ? 0 : 2;
      touched[column.index][1].push(node);
    }
    round++;
    changed.value = touched;
    tick.value++;
  }, 250);
})";

fn peak_memory_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

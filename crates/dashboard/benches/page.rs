//! First paint, bytes of the first load, frames while 1,000 cells change each second, and the server's memory:
//! `cargo bench -p everynode-dashboard`. A word narrows it: `5000`, `100000`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark reports")]

#[path = "../tests/fleet/mod.rs"]
mod fleet;

use std::time::Instant;

use everynode_dashboard::{Dashboard, Source};
use everynode_testkit::browser::Browser;
use fleet::Made;
use serde_json::json;
use tokio_util::sync::CancellationToken;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list" || word == "--test") || !everynode_testkit::have_chromium() {
        return;
    }
    // What serves is a process of its own, so that its memory is that of nothing else.
    if let [word, file] = words.as_slice()
        && word == "serve"
    {
        return serve(file);
    }
    let is_wanted = |word: &str| {
        let named: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
        named.is_empty() || named.iter().any(|named| *named == word)
    };
    for (nodes, daemons) in [(5_000, 20), (100_000, 20)] {
        if is_wanted(&nodes.to_string()) {
            measure(nodes, daemons);
        }
    }
}

/// Serves a snapshot until its input ends, and says where.
fn serve(file: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let source = Source::Snapshots(vec![file.into()]);
        let dashboard = Dashboard::start(source, 0, CancellationToken::new()).await.expect("a dashboard");
        println!("{}", dashboard.url());
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        let _ = ended.await;
        dashboard.stop().await;
    });
}

fn measure(nodes: usize, daemons: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("fleet.gz");
    Made::wide(nodes, daemons).write(&file);
    let begun = Instant::now();
    let mut server = std::process::Command::new(std::env::current_exe().expect("this program"))
        .arg("serve")
        .arg(&file)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut url = String::new();
    let output = server.stdout.as_mut().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut url).expect("an address");
    let read_seconds = begun.elapsed().as_secs_f64();
    let peak = peak_memory_bytes(server.id()) / 1_000_000;
    let mut browser = Browser::start(1440, 900);
    browser.open(url.trim());
    browser.until("document.querySelector('main h1')");
    let paint = browser.eval("new Promise((done) => new PerformanceObserver((list) => done(list.getEntries().pop().startTime)).observe({ type: 'largest-contentful-paint', buffered: true }))");
    let table = browser.eval("performance.now()");
    let bytes = browser
        .eval("performance.getEntriesByType('resource').reduce((sum, one) => sum + one.encodedBodySize, 0)");
    browser.eval("location.hash = '#/matrix?by=topology.kubernetes.io/zone'");
    browser.until("document.querySelector('.stage canvas')");
    let frames = browser.eval(&format!("({FRAMES})({})", json!({"changes": 250, "rounds": 40})));
    println!(
        "{nodes} nodes by {daemons} daemons: snapshot read in {read_seconds:.1} s, {peak} MB of memory at most; largest \
         paint after {paint} ms, table there after {table} ms, {bytes} bytes; 1,000 changes a second for 10 s: frames of {frames}"
    );
    server.kill().expect("it ends");
    server.wait().expect("it ends");
}

/// Changes cells four times a second as deltas do, and measures the frames meanwhile.
const FRAMES: &str = "async ({ changes, rounds }) => {
  const { fleet, changed, tick } = await import('/data.js');
  const times = [];
  let last = performance.now(), on = true;
  const frame = (now) => { times.push(now - last); last = now; if (on) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  for (let round = 0; round < rounds; round++) {
    const touched = fleet.value.columns.map((column) => [column.index, []]);
    for (let number = 0; number < changes; number++) {
      const column = fleet.value.columns[(number * 7 + round) % fleet.value.columns.length];
      const node = (number * 7919 + round * 104729) % fleet.value.count;
      column.classes[node] = round % 2 ? 0 : 2;
      touched[column.index][1].push(node);
    }
    changed.value = touched;
    tick.value++;
    await new Promise((done) => setTimeout(done, 250));
  }
  on = false;
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor(share * (times.length - 1))].toFixed(1);
  return `${at(0.5)} ms (median), ${at(0.95)} ms (p95), ${at(1)} ms (longest), ${times.filter((one) => one > 50).length} of ${times.length} over 50 ms`;
}";

fn peak_memory_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

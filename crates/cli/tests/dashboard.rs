//! `everynode dashboard` and `up --dashboard` in a real browser: what the page shows is what `status` and `why` say, a
//! cluster that goes away and comes back, and what cannot be read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Cluster, everynode};
use everynode_testkit::browser::Browser;
use everynode_testkit::have_chromium;
use serde_json::{Value, json};

/// A daemon that crashes on nodes of one zone, one that is well, and a policy for the first.
const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: sensor, namespace: default, labels: {app: sensor}}
spec:
  selector: {matchLabels: {app: sensor}}
  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 10%}}
  template:
    metadata:
      labels: {app: sensor}
      annotations: {simulate.everynode.dev/crash: "true", simulate.everynode.dev/fail-on-share: "5%"}
    spec: {containers: [{name: main, image: "sensor:1"}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: plain, namespace: kube-system}
spec:
  selector: {matchLabels: {app: plain}}
  template:
    metadata: {labels: {app: plain}}
    spec: {containers: [{name: main, image: "plain:1"}]}
"#;

/// A process that serves a dashboard, killed when dropped.
struct Served {
    process: Child,
    url: String,
}

impl Served {
    fn start(command: &mut Command) -> Served {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("it ended before it said where it is").unwrap();
            if let Some(url) = line.strip_prefix("dashboard  ") {
                break url.to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Served { process, url }
    }

    fn base(&self) -> &str {
        self.url.split("/?").next().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn said(arguments: &[&str], kubeconfig: &Path) -> Value {
    let output = everynode().args(arguments).arg("--kubeconfig").arg(kubeconfig).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the page was told of each daemon.
const TOLD: &str =
    "import('/data.js').then(({ fleet }) => fleet.value.columns.map(({ summary }) => summary))";

/// What `status` and the page say alike: all numbers, and the groups by cause.
fn essence(rows: &Value) -> Vec<Value> {
    let of = |row: &Value| {
        let groups = row["groups"].as_array().unwrap().iter().map(|group| {
            let count =
                group["count"].as_u64().unwrap_or_else(|| group["nodes"].as_array().unwrap().len() as u64);
            json!([group["class"], group["kind"], group["text"], count])
        });
        let numbers =
            ["name", "state", "desired", "current", "ready", "updated", "available", "done", "misscheduled"];
        let numbers: Vec<&Value> = numbers.iter().map(|key| &row[*key]).collect();
        json!([numbers, row["budget"]["allowed"], row["budget"]["used"], groups.collect::<Vec<_>>()])
    };
    rows.as_array().unwrap().iter().map(of).collect()
}

/// Waits until two looks at a moving world are of the same moment.
fn until_equal(what: &str, mut looks: impl FnMut() -> (Value, Value)) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (page, command) = looks();
        if page == command {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: the page has {page}, the command {command}");
    }
}

#[test]
fn the_page_shows_what_status_and_why_say_of_a_fleet_of_200_with_faults() {
    if !have_chromium() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (manifest, kubeconfig) = (directory.path().join("m.yaml"), directory.path().join("kubeconfig"));
    std::fs::write(&manifest, MANIFEST).unwrap();
    let mut up = everynode();
    up.args(["up", "--ephemeral", "--listen", "127.0.0.1:0", "--nodes", "200", "--dashboard", "--plain"]);
    let served = Served::start(up.arg("-f").arg(&manifest).arg("--kubeconfig").arg(&kubeconfig));
    let mut browser = Browser::start(1280, 900);
    browser.open(&served.url);
    browser.until("document.querySelectorAll('tbody tr').length === 2");
    browser.until("document.querySelector('.link').className === 'link live'");
    let status = |browser: &mut Browser| {
        let told = browser.eval(TOLD);
        let said = said(&["status", "-A", "-o", "json"], &kubeconfig);
        (json!(essence(&told)), json!(essence(&said["daemonsets"])))
    };
    until_equal("status", || status(&mut browser));
    let shown = "[...document.querySelectorAll('tbody tr')].map((row) => row.innerText).join()";
    browser.until(&format!("{shown}.includes('not available') && {shown}.includes('complete')"));
    // Every cell of the matrix is that of status, and the number leads to the list of the same nodes.
    browser.eval(
        "[...document.querySelectorAll('a.daemon')].find((link) => link.textContent === 'sensor').click()",
    );
    browser
        .until("document.querySelector('h1').textContent === 'sensor' && document.querySelector('.causes')");
    until_equal("the list", || {
        browser.eval("location.hash = '#/nodes?d=default%2Fsensor&class=notAvailable'");
        browser.until("document.querySelector('tbody tr')");
        let listed =
            browser.eval("[...document.querySelectorAll('tbody .daemon')].map((link) => link.textContent)");
        let said = said(&["status", "-A", "-o", "json"], &kubeconfig);
        let groups = said["daemonsets"][0]["groups"].as_array().unwrap();
        let bad = groups.iter().filter(|group| group["class"] == "notAvailable");
        let mut nodes: Vec<&Value> = bad.flat_map(|group| group["nodes"].as_array().unwrap()).collect();
        nodes.sort_by_key(|name| name.as_str().unwrap());
        (listed, json!(nodes))
    });
    let node = browser.eval("document.querySelector('tbody .daemon').textContent");
    let node = node.as_str().unwrap();
    until_equal("why", || {
        let path = format!("/api/why?namespace=default&name=sensor&node={node}");
        let page = browser.eval(&format!("fetch('{path}').then((answer) => answer.json())"));
        let why = said(&["why", "daemonset/sensor", &format!("node/{node}"), "-o", "json"], &kubeconfig);
        let part = |why: &Value| {
            json!([
                why["class"],
                why["reason"]["kind"],
                why["reason"]["text"],
                why["shouldRun"],
                why["predicates"],
                why["pods"][0]["name"],
                why["rollOut"]["used"],
                why["reason"]["wouldChange"]
            ])
        };
        (part(&page), part(&why))
    });
    browser.eval(&format!("location.hash = '#/node/{node}?d=default%2Fsensor'"));
    browser.until("document.querySelector('details dl')?.innerText.includes('crashes')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let base = served.base();
    let strange = |url: &String| !url.starts_with(base) && url != "about:blank";
    assert_eq!(browser.requests().into_iter().filter(strange).collect::<Vec<_>>(), Vec::<String>::new());
    // The token was used: another browser is told so, and gets nothing else.
    let mut other = Browser::start(800, 600);
    other.open(&served.url);
    other.until("document.body.innerText.includes('This browser is not known here')");
}

#[test]
fn a_cluster_that_goes_away_is_said_to_be_gone_until_it_is_back() {
    if !have_chromium() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (data, kubeconfig) = (directory.path().join("data"), directory.path().join("kubeconfig"));
    let manifest = directory.path().join("m.yaml");
    std::fs::write(&manifest, MANIFEST).unwrap();
    let up = |listen: &str| {
        let mut up = everynode();
        up.args(["up", "--nodes", "5", "--dashboard", "--plain", "--listen", listen]);
        up.arg("-f").arg(&manifest).arg("--data-dir").arg(&data).arg("--kubeconfig").arg(&kubeconfig);
        Served::start(&mut up)
    };
    let first = up("127.0.0.1:0");
    let address = std::fs::read_to_string(&kubeconfig).unwrap();
    let address = address.split("https://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let served = Served::start(everynode().args(["dashboard", "--kubeconfig"]).arg(&kubeconfig));
    let mut browser = Browser::start(1280, 900);
    browser.open(&served.url);
    browser.until("document.querySelectorAll('tbody tr').length === 2");
    drop(first);
    browser.until("document.querySelector('.link').className === 'link interrupted'");
    browser.until("document.querySelector('.notice.bad').innerText.includes('what is shown was last')");
    browser.until("document.querySelectorAll('tbody tr').length === 2");
    let again = up(&address);
    browser.until("document.querySelector('.link').className === 'link live'");
    browser
        .until("fetch('/api/moments').then((answer) => answer.json()).then(({ gaps }) => gaps.length === 1)");
    drop(again);
    drop(served);
    browser.until("document.querySelector('.link').className === 'link lost'");
}

#[test]
fn what_cannot_be_shown_is_said_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&["--nodes", "1"]);
    let check = |arguments: &[&str], sentence: &str| {
        let output = everynode().arg("dashboard").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(sentence), "{said}");
    };
    let foreign = directory.path().join("foreign");
    std::fs::write(&foreign, "this is something else").unwrap();
    check(&["--snapshot", foreign.to_str().unwrap()], "foreign: this is no snapshot");
    check(&["--snapshot", "/nowhere"], "snapshot /nowhere: No such file");
    let newer = directory.path().join("newer");
    let mut file = flate2::write::GzEncoder::new(std::fs::File::create(&newer).unwrap(), Default::default());
    file.write_all(b"{\"everynodeSnapshot\":{\"format\":99,\"later\":1}}\n").unwrap();
    file.finish().unwrap();
    check(&["--snapshot", newer.to_str().unwrap()], "use a newer everynode");
    let kubeconfig = cluster.kubeconfig.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check(&["--kubeconfig", kubeconfig, "--port", &port], "cannot listen on loopback");
}

//! The page in a real browser: every screen, by keyboard, for who sees it otherwise, with odd names, at any size.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panic"
)]

mod fleet;
mod shots;

use std::path::PathBuf;
use std::sync::Arc;

use everynode_dashboard::{Column, Dashboard, Labels, Picture, Source};
use everynode_testkit::browser::Browser;
use everynode_testkit::have_chromium;
use fleet::Made;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// A dashboard of snapshots, and a browser that has opened it.
async fn with_page(fleets: Vec<Made>, test: impl FnOnce(&mut Browser, &str) + Send + 'static) {
    if !have_chromium() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |(number, made): (usize, &Made)| {
        let path = folder.path().join(format!("{number}.gz"));
        made.write(&path);
        path
    };
    let files: Vec<PathBuf> = fleets.iter().enumerate().map(write).collect();
    with_source(Source::Snapshots(files), test).await;
}

async fn with_source(source: Source, test: impl FnOnce(&mut Browser, &str) + Send + 'static) {
    let dashboard = Dashboard::start(source, 0, CancellationToken::new()).await.unwrap();
    let url = dashboard.url().to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start(1280, 900);
        browser.open(&url);
        browser.until("document.querySelector('main h1')");
        let base = url.split("/?").next().unwrap().to_owned();
        test(&mut browser, &base);
        assert_eq!(browser.complaints(), Vec::<String>::new());
        let strange =
            |url: &String| !url.starts_with(&base) && !url.starts_with("data:") && url != "about:blank";
        assert_eq!(browser.requests().into_iter().filter(strange).collect::<Vec<_>>(), Vec::<String>::new());
    });
    done.await.unwrap();
    dashboard.stop().await;
}

/// The screens, and when each is there.
const SCREENS: [(&str, &str); 9] = [
    ("/", "document.querySelector('tbody tr')"),
    ("/matrix?by2=node.kubernetes.io/instance-type", "document.querySelector('.stage canvas')"),
    ("/matrix?as=table", "document.querySelector('tbody tr')"),
    ("/daemon/logging/log-collector", "document.querySelector('.stage canvas')"),
    ("/daemon/security/runtime-sensor?show=wave", "document.querySelector('.waves li:nth-child(3)')"),
    ("/node/worker-000009", "document.querySelector('details dl')"),
    ("/nodes?class=notAvailable", "document.querySelector('tbody tr')"),
    (
        "/outliers",
        "document.querySelectorAll('section').length > 2 && !document.body.innerText.includes('Counting')",
    ),
    ("/plan", "document.querySelector('textarea')"),
];

fn go(browser: &mut Browser, path: &str, ready: &str) {
    browser.eval(&format!("location.hash = '#{path}'"));
    browser.until(ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_screen_opens_and_is_accessible_in_both_schemes() {
    with_page(vec![Made::new(150)], |browser, _| {
        browser.eval(include_str!("axe/axe.min.js"));
        for scheme in ["light", "dark"] {
            browser.scheme(scheme);
            for (path, ready) in SCREENS {
                go(browser, path, ready);
                assert_accessible(browser, &format!("{scheme} {path}"));
            }
        }
        browser.resize(360, 800);
        for (path, ready) in SCREENS {
            go(browser, path, ready);
            assert_accessible(browser, &format!("narrow {path}"));
            let is_within = browser.eval("document.documentElement.scrollWidth <= 360");
            assert_eq!(is_within, true, "{path} scrolls sideways");
        }
    })
    .await;
}

fn assert_accessible(browser: &mut Browser, place: &str) {
    let found = browser.eval("axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => html + ' ' + failureSummary).join(' | ')}`))");
    assert_eq!(found, json!([]), "{place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_reached_by_the_keyboard() {
    with_page(vec![Made::plain(300)], |browser, _| {
        by_keyboard(browser, "logging/log-collector", "kube-system/network-plugin");
    })
    .await;
}

/// From a search to a daemon, over the matrix to a node, and back; `second` is the daemon in the second row.
fn by_keyboard(browser: &mut Browser, daemon: &str, second: &str) {
    let name = daemon.split_once('/').unwrap().1;
    // A screen takes the focus when it is drawn.
    browser.until("document.activeElement === document.querySelector('main')");
    browser.press("/");
    browser.type_text(name);
    browser.until("document.querySelector('.found li')");
    browser.press("Enter");
    browser.until(&format!("document.querySelector('h1').textContent === '{name}'"));
    browser.press("2");
    browser.until("document.querySelector('.stage canvas')");
    browser.eval("document.querySelector('.stage').focus()");
    for _ in 0..9 {
        browser.press("ArrowRight");
    }
    browser.press("ArrowDown");
    browser.until(&format!("document.querySelector('#matrix-line').textContent.includes('{second}')"));
    // Where a column stands for many nodes, Enter comes nearer.
    let is_near = "!document.querySelector('#matrix-line').textContent.includes(' from ')";
    for _ in 0..4 {
        if browser.eval(is_near) == true {
            break;
        }
        browser.press("Enter");
    }
    browser.press("Enter");
    browser.until("location.hash.startsWith('#/node/')");
    browser.until("document.querySelector('details')");
    browser.press("Escape");
    browser.until("document.querySelector('h1').textContent === 'Matrix'");
    browser.press("Escape");
    browser.until("document.querySelector('h1').textContent === 'Daemons'");
    browser.press("?");
    browser.until("document.querySelector('dialog').open");
    browser.press("Escape");
    browser.until("!document.querySelector('dialog').open");
    browser.eval("document.querySelector('.scroll').focus()");
    browser.press("ArrowDown");
    browser.press("Enter");
    browser.until("location.hash.startsWith('#/daemon/')");
}

/// All screens of a large fleet: accessible, by keyboard, and as they were recorded.
fn tour(browser: &mut Browser, screens: &[(&str, &str)], daemon: &str, second: &str, shot: &str) {
    browser.eval(include_str!("axe/axe.min.js"));
    for (path, ready) in screens {
        go(browser, path, ready);
        assert_accessible(browser, path);
    }
    go(browser, "/", "document.querySelector('h1').textContent === 'Daemons'");
    by_keyboard(browser, daemon, second);
    let matrix = "/matrix?by2=node.kubernetes.io/instance-type";
    go(browser, matrix, "document.querySelector('#matrix-line')?.textContent.includes('nodes')");
    shots::compare(browser, shot);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_5000_nodes_is_shown_on_all_screens() {
    with_page(vec![Made::plain(5_000)], |browser, _| {
        let screens = SCREENS.map(|(path, ready)| match path.contains("runtime-sensor") {
            // The engine looks at itself in debug builds, which takes long with a policy.
            true => ("/daemon/monitoring/profiler?show=revision", "document.querySelector('.stage canvas')"),
            false => (path, ready),
        });
        tour(browser, &screens, "logging/log-collector", "kube-system/network-plugin", "matrix-5000");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_stay_apart_for_colour_blind_eyes() {
    with_page(vec![Made::plain(9)], |browser, _| {
        for scheme in ["light", "dark"] {
            browser.scheme(scheme);
            for deficiency in ["none", "protanopia", "deuteranopia", "tritanopia"] {
                browser.call("Emulation.setEmulatedVisionDeficiency", json!({"type": deficiency}));
                let drawn = shots::colours(browser, &["available", "old", "bad", "warn", "ground"]);
                for (place, one) in drawn.iter().enumerate() {
                    for other in &drawn[place + 1..] {
                        let apart = shots::difference(one.1, other.1);
                        assert!(
                            apart > 18.0,
                            "{scheme} {deficiency}: {} and {} are {apart:.0} apart",
                            one.0,
                            other.0
                        );
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_told_and_taken_up_again_and_two_tabs_live_beside_each_other() {
    with_page(vec![Made::plain(40)], |browser, base| {
        let word = |word: &str| format!("document.querySelector('.link').className === 'link {word}'");
        // Nothing breaks a connection of loopback but what a browser says when one has: that is said in its place.
        let keep = "globalThis.sources = []; globalThis.EventSource = class extends EventSource {
            constructor(path) { super(path); globalThis.sources.push(this); } };";
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": keep}));
        browser.open(base);
        browser.until(&word("snapshot"));
        browser.eval("sources[0].dispatchEvent(new Event('error'))");
        browser.until(&word("lost"));
        browser.until("document.querySelectorAll('tbody tr').length === 8");
        browser.eval("sources[0].dispatchEvent(new Event('open'))");
        browser.until(&word("snapshot"));
        go(browser, "/matrix", "document.querySelector('.stage canvas')");
        let first = browser.new_tab(1280, 900);
        browser.open(base);
        browser.until("document.querySelectorAll('tbody tr').length === 8");
        go(browser, "/outliers", "document.querySelector('h1').textContent === 'What stands out'");
        browser.switch(first);
        browser.until("document.querySelector('h1').textContent === 'Matrix'");
        browser.until(&word("snapshot"));
    })
    .await;
}

/// So many daemons on a few nodes, drawn by numbers.
fn many(daemons: usize) -> Picture {
    let nodes = 40;
    let column = |number: usize| {
        let lists = || vec![0; nodes];
        let name = format!("daemon-{number:04}");
        let summary = json!({
            "namespace": "fleet", "name": name, "state": "complete", "desired": nodes, "updated": nodes, "available": nodes,
            "done": nodes, "misscheduled": 0, "coverage": {"nodes": nodes, "served": nodes, "causes": {}}, "groups": [],
        });
        Arc::new(Column {
            namespace: "fleet".into(),
            name,
            classes: lists(),
            kinds: lists(),
            waves: lists(),
            restarts: lists(),
            revisions: lists(),
            flags: lists(),
            hashes: vec!["old".into()],
            summary,
        })
    };
    Picture {
        taken_at_millis: fleet::NOW * 1000,
        nodes: (0..nodes).map(|node| format!("worker-{node}").into()).collect(),
        node_states: vec![0; nodes],
        columns: (0..daemons).map(column).collect(),
        kinds: [(0, "available".to_owned())].into(),
        ..Picture::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_daemonsets_are_shown_part_by_part_and_found() {
    with_source_if_browser(
        || Source::Picture(Box::new(many(1_000))),
        |browser, _| {
            browser.eval(include_str!("axe/axe.min.js"));
            go(browser, "/", "document.querySelectorAll('tbody tr').length === 100");
            assert_accessible(browser, "daemons");
            browser.until("document.querySelector('.more').innerText === 'Show 400 more of 1,000'");
            go(browser, "/matrix", "document.querySelectorAll('.rows li').length === 60");
            assert_accessible(browser, "matrix");
            go(browser, "/matrix?p=16", "document.querySelectorAll('.rows li').length === 40");
            browser.press("/");
            browser.type_text("daemon-0777");
            browser.until("document.querySelectorAll('.found li').length === 1");
            browser.press("Enter");
            browser.until("document.querySelector('h1').textContent === 'daemon-0777'");
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_messages_are_text_and_never_markup() {
    let long = "n".repeat(253);
    let odd = Made {
        is_odd: true,
        daemons: vec![
            ("a".into(), long, fleet::Story::Rolling(50)),
            ("<b>b</b>".into(), "x<script>alert(3)</script>".into(), fleet::Story::Missing),
        ],
        ..Made::new(60)
    };
    with_page(vec![odd], |browser, _| {
        let name = urlencode(fleet::ODD_NODE);
        for (path, ready) in [
            ("/".to_owned(), "document.querySelector('tbody tr')"),
            ("/matrix?by=note".to_owned(), "document.querySelector('.stage canvas')"),
            ("/matrix?as=table&by=note".to_owned(), "document.querySelector('tbody tr')"),
            (format!("/node/{name}"), "document.querySelector('.chips li')"),
            ("/nodes".to_owned(), "document.querySelector('tbody tr')"),
            ("/outliers".to_owned(), "document.querySelector('h1')"),
        ] {
            go(browser, &path, ready);
            let strange = "[...document.querySelectorAll('#app script, #app b:not(.name), #app img:not([src=\"/icon.svg\"]), #app [onerror]')].length";
            assert_eq!(browser.eval(strange), 0, "{path}");
            assert_eq!(browser.eval("/[\\u202a-\\u202e]/.test(document.body.innerText)"), false, "{path}");
        }
        go(browser, &format!("/node/{name}"), "document.querySelector('h1')");
        assert_eq!(browser.eval("document.querySelector('h1').textContent.startsWith('<img src=x')"), true);
        assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true);
    })
    .await;
}

fn urlencode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slider_goes_over_several_snapshots_and_the_address_keeps_the_moment() {
    let later =
        |minutes: i64, further: usize| Made { now: fleet::NOW + minutes * 60, further, ..Made::plain(200) };
    with_page(vec![later(10, 8), later(0, 0), later(5, 4)], |browser, base| {
        let updated = "document.querySelector('tbody tr .num').textContent";
        let now = browser.eval(updated);
        browser.until("document.querySelector('[role=slider]')");
        assert_eq!(browser.eval("document.querySelector('[role=slider]').ariaValueMax"), "2");
        browser.eval("document.querySelector('[role=slider]').focus()");
        browser.press("ArrowLeft");
        browser.press("ArrowLeft");
        browser.until("document.querySelector('[role=slider]').ariaValueNow === '0'");
        browser.until(&format!("{updated} !== {now}"));
        let hash = browser.eval("location.hash");
        browser.open(&format!("{base}/{}", hash.as_str().unwrap()));
        browser.until("document.querySelector('[role=slider]')?.ariaValueNow === '0'");
        browser.press("2");
        browser
            .until("document.querySelector('h1').textContent === 'Matrix' && location.hash.includes('at=')");
        go(browser, "/node/worker-000009?at=1", "document.querySelector('details dl')");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_planned_and_played_forward() {
    with_page(vec![Made::plain(120)], |browser, _| {
        drop_manifest(browser, include_str!("fleet/csi-node-3.yaml"));
        browser.until("document.querySelector('.play input[type=range]')");
        assert_eq!(browser.eval("document.querySelector('section h2').textContent"), "storage/csi-node: safe");
        let done = "Number([...document.querySelectorAll('.legend li')].find((item) => item.textContent.includes('new revision')).querySelector('.faint').textContent)";
        assert_eq!(browser.eval(done), 0);
        play_to(browser, 1.0);
        browser.until(&format!("{done} === 120"));
        drop_manifest(browser, "kind: Nothing");
        browser.until("document.querySelector('.finding.unsafe')");
    })
    .await;
}

/// Drops a file there.
fn drop_manifest(browser: &mut Browser, manifest: &str) {
    go(browser, "/plan", "document.querySelector('textarea')");
    let manifest = json!(manifest);
    browser.eval(&format!(
        "(() => {{ const dropped = new DataTransfer(); dropped.items.add(new File([{manifest}], 'manifest.yaml'));
          document.querySelector('textarea').dispatchEvent(new DragEvent('drop', {{ dataTransfer: dropped, bubbles: true, cancelable: true }})); }})()"
    ));
}

/// A fleet of so many nodes that is looked at twice, ten minutes and some updated nodes apart, with what pods use.
fn measured_twice(nodes: usize) -> Vec<Made> {
    let later = |minutes: i64, further: usize| Made {
        now: fleet::NOW + minutes * 60,
        further,
        has_usage: true,
        ..Made::new(nodes)
    };
    vec![later(0, 0), later(10, 8)]
}

/// Goes to a part of the time of the plan.
fn play_to(browser: &mut Browser, part: f64) {
    browser.eval(&format!("(() => {{ const range = document.querySelector('.play input[type=range]'); range.value = range.max * {part}; range.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screens_are_as_they_were_recorded() {
    with_page(measured_twice(600), |browser, _| {
        for (name, path, ready) in shots::SHOTS {
            go(browser, path, ready);
            browser.until("!/Asking|Counting|Comparing|Grouping/.test(document.body.innerText)");
            shots::compare(browser, name);
        }
        drop_manifest(browser, include_str!("fleet/csi-node-3.yaml"));
        browser.until("document.querySelector('.play input[type=range]')");
        play_to(browser, 0.4);
        shots::compare(browser, "plan");
        browser.scheme("dark");
        go(
            browser,
            "/matrix?by2=node.kubernetes.io/instance-type",
            "document.querySelector('.stage canvas')",
        );
        shots::compare(browser, "matrix-dark");
    })
    .await;
}

/// Twenty daemons on 100,000 nodes, as somebody who watches them would have them, drawn by numbers.
fn huge() -> Picture {
    let nodes = 100_000;
    let column = |number: usize| {
        let state = |node: usize| match (number, node) {
            (3, node) if node > 40_000 => 1,
            (_, node) if node % 997 == 5 => 2,
            (11, node) if node % 211 == 7 => 3,
            _ => 0,
        };
        let classes: Vec<u8> = (0..nodes).map(state).collect();
        let name = format!("daemon-{number:02}");
        let bad = classes.iter().filter(|class| **class >= 2).count();
        let summary = json!({
            "namespace": "fleet", "name": name, "state": if bad > 0 { "notAvailable" } else { "complete" },
            "desired": nodes, "updated": nodes, "available": nodes - bad, "done": nodes - bad, "misscheduled": 0,
            "coverage": {"nodes": nodes, "served": nodes - bad, "causes": {"crashing": bad}},
            "groups": [{"class": "notAvailable", "kind": "crashing", "text": "crashes", "count": bad, "nodes": []}],
        });
        let lists = || vec![0; nodes];
        Arc::new(Column {
            namespace: "fleet".into(),
            name,
            kinds: lists(),
            waves: lists(),
            restarts: lists(),
            revisions: lists(),
            flags: lists(),
            hashes: vec!["old".into()],
            classes,
            summary,
        })
    };
    let zone = (0..nodes).map(|node| (node % 3) as u16).collect();
    let zones = ["eu-1a", "eu-1b", "eu-1c"].map(str::to_owned).to_vec();
    Picture {
        taken_at_millis: fleet::NOW * 1000,
        nodes: (0..nodes)
            .map(|node| {
                format!("ip-10-{}-{}-{}.eu.internal", node / 65_536, node / 256 % 256, node % 256).into()
            })
            .collect(),
        node_states: vec![0; nodes],
        labels: Labels([("topology.kubernetes.io/zone".to_owned(), (zones, zone))].into()),
        columns: (0..20).map(column).collect(),
        kinds: [(0, "available".to_owned())].into(),
        ..Picture::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_nodes_by_twenty_daemons_are_shown_and_come_in_less_than_a_megabyte() {
    with_source_if_browser(
        || Source::Picture(Box::new(huge())),
        |browser, _| {
            let bytes = browser.eval(
                "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.encodedBodySize, 0)",
            );
            assert!(bytes.as_u64().unwrap() < 1_000_000, "{bytes}");
            let screens = [
                ("/", "document.querySelectorAll('tbody tr').length === 20"),
                ("/matrix", "document.querySelector('.stage canvas')"),
                ("/matrix?as=table", "document.querySelector('tbody tr')"),
                ("/matrix?z=40000-40040", "document.querySelector('.stage canvas')"),
                ("/daemon/fleet/daemon-03", "document.querySelector('.stage canvas')"),
                ("/node/ip-10-0-3-233.eu.internal", "document.querySelector('details')"),
                ("/nodes?class=notAvailable", "document.querySelectorAll('tbody tr').length === 100"),
                ("/outliers", "document.querySelectorAll('section').length > 2 && !document.body.innerText.includes('Counting')"),
                ("/plan", "document.querySelector('textarea')"),
            ];
            tour(browser, &screens, "fleet/daemon-03", "fleet/daemon-01", "matrix-100000");
            browser.until("document.querySelector('#matrix-line').textContent.includes('100,000 nodes')");
        },
    )
    .await;
}

async fn with_source_if_browser(
    source: impl FnOnce() -> Source,
    test: impl FnOnce(&mut Browser, &str) + Send + 'static,
) {
    if have_chromium() {
        with_source(source(), test).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_daemons_use_is_shown_against_peers_before_and_after_and_against_what_makes_it_worse() {
    with_page(measured_twice(200), |browser, _| {
        browser.eval(include_str!("axe/axe.min.js"));
        let shown = "Number([...document.querySelectorAll('.legend li')].find((item) => item.textContent.includes('4 times')).querySelector('.faint').textContent)";
        go(browser, "/matrix?show=peers", &format!("document.querySelector('.stage canvas') && {shown} > 0"));
        assert_accessible(browser, "peers");
        go(browser, "/outliers", "document.body.innerText.includes('out of level')");
        let page = browser.eval("fetch('/api/outliers').then((answer) => answer.json())");
        let told = page["signals"][0]["pairs"].as_array().unwrap();
        assert!(told.iter().any(|pair| pair["daemonset"] == "monitoring/node-exporter"), "{page}");
        go(browser, "/daemon/security/runtime-sensor", "document.querySelectorAll('.points circle').length === 16");
        browser.until("document.querySelector('[aria-label^=\"Evidence by signal\"]').ariaLabel.includes('worse from 1 in 100')");
        browser.until("/1\\.3\\d times in the middle/.test(document.body.innerText)");
        assert_accessible(browser, "a roll-out with an analysis");
    })
    .await;
    // Without samples that is said.
    with_page(vec![Made::plain(20)], |browser, _| {
        go(
            browser,
            "/matrix?show=peers",
            "document.querySelector('.finding')?.innerText.includes('no samples')",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_named_above_the_page() {
    let client = || {
        everynode_testkit::server::client(|target| {
            let refused = |what: &str| {
                (403, json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": format!("{what} is forbidden")}).to_string())
            };
            match target {
                target if target.contains("watch=") => (400, String::new()),
                target if target.contains("/nodes") => refused("nodes"),
                target if target.contains("/apis/apps/v1/daemonsets") => {
                    let mut items = Vec::new();
                    Made::plain(3).each(&mut |record| {
                        if let everynode_plan::record::Record::DaemonSet(value) = record {
                            items.push(value);
                        }
                    });
                    (200, json!({"metadata": {"resourceVersion": "5"}, "items": items}).to_string())
                }
                _ => (200, json!({"metadata": {"resourceVersion": "5"}, "items": []}).to_string()),
            }
        })
    };
    let source =
        move || Source::Cluster { client: Box::new(client()), namespace: None, fallback: "default".into() };
    with_source_if_browser(source, |browser, _| {
        browser.until("document.querySelectorAll('tbody tr').length === 8");
        browser.until("[...document.querySelectorAll('.notice')].some((one) => one.innerText.startsWith('nodes could not be seen'))");
    })
    .await;
}

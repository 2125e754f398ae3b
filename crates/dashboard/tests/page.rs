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
        go(browser, "/", "document.querySelector('tbody tr')");
        assert_accessible(browser, "narrow");
        assert_eq!(browser.eval("document.documentElement.scrollWidth <= 360"), true, "it scrolls sideways");
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
        browser.press("/");
        browser.type_text("log-coll");
        browser.until("document.querySelector('.found li')");
        browser.press("Enter");
        browser.until("document.querySelector('h1').textContent === 'log-collector'");
        browser.press("2");
        browser.until("document.querySelector('.stage canvas')");
        browser.eval("document.querySelector('.stage').focus()");
        for _ in 0..9 {
            browser.press("ArrowRight");
        }
        browser.press("ArrowDown");
        browser.until(
            "document.querySelector('#matrix-line').textContent.includes('kube-system/network-plugin')",
        );
        browser.press("Enter");
        browser.until("location.hash.startsWith('#/node/worker-')");
        browser.until("document.querySelector('details dl')");
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
    })
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
        go(browser, "/plan", "document.querySelector('textarea')");
        let manifest = include_str!("fleet/csi-node-3.yaml");
        let type_in = format!("(() => {{ const area = document.querySelector('textarea'); area.value = {}; area.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()", json!(manifest));
        browser.eval(&type_in);
        browser.eval("document.querySelector('.primary').click()");
        browser.until("document.querySelector('.play input[type=range]')");
        assert_eq!(browser.eval("document.querySelector('section h2').textContent"), "storage/csi-node: safe");
        let done = "Number([...document.querySelectorAll('.legend li')].find((item) => item.textContent.includes('new revision')).querySelector('.faint').textContent)";
        assert_eq!(browser.eval(done), 0);
        browser.eval("(() => { const range = document.querySelector('.play input[type=range]'); range.value = range.max; range.dispatchEvent(new Event('input', { bubbles: true })); })()");
        browser.until(&format!("{done} === 120"));
        browser.eval(&type_in.replace("kind: DaemonSet", "kind: Nothing"));
        browser.eval("document.querySelector('.primary').click()");
        browser.until("document.querySelector('.finding.unsafe')");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screens_are_as_they_were_recorded() {
    let later =
        |minutes: i64, further: usize| Made { now: fleet::NOW + minutes * 60, further, ..Made::new(600) };
    with_page(vec![later(0, 0), later(10, 8)], |browser, _| {
        for (name, path, ready) in shots::SHOTS {
            go(browser, path, ready);
            browser.until("!document.body.innerText.includes('Asking') && !document.body.innerText.includes('Counting')");
            shots::compare(browser, name);
        }
        browser.scheme("dark");
        go(browser, "/matrix?by2=node.kubernetes.io/instance-type", "document.querySelector('.stage canvas')");
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
            .map(|node| format!("ip-10-{}-{}-{}.eu.internal", node / 65_536, node / 256 % 256, node % 256))
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
            for (path, ready) in [
                ("/", "document.querySelectorAll('tbody tr').length === 20"),
                ("/matrix", "document.querySelector('.stage canvas')"),
                ("/matrix?z=40000-40040", "document.querySelector('.stage canvas')"),
                ("/daemon/fleet/daemon-03", "document.querySelector('.stage canvas')"),
                ("/nodes?class=notAvailable", "document.querySelectorAll('tbody tr').length === 100"),
            ] {
                go(browser, path, ready);
            }
            go(
                browser,
                "/matrix",
                "document.querySelector('#matrix-line')?.textContent.includes('100,000 nodes')",
            );
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

//! Real requests, changed at random: the server answers each, and none is answered by a panic.
//!
//! `EVERYNODE_MUTATIONS` sets how many requests are sent (default 2,000), `EVERYNODE_SEED` the first seed; without it
//! every run has seeds of its own, which it prints.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panic, and says which seeds there were"
)]

mod support;

use std::fmt::Write as _;

use everynode_apiserver::Config;
use everynode_testkit::{number, set_number};
use support::{Client, start};

const PATHS: &[&str] = &[
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/pods",
    "/apis/apps/v1/namespaces/default/daemonsets/a",
    "/api/v1/namespaces/default/configmaps/a",
    "/api/v1/nodes/a/status",
];
const QUERIES: &[&str] = &[
    "watch=1&timeoutSeconds=9223372036854775807&allowWatchBookmarks=true",
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0",
    "limit=500&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ&resourceVersionMatch=Exact",
    "labelSelector=a=b,c!=d,e in (f,g),!h&fieldSelector=metadata.name=a,spec.nodeName!=b",
    "fieldManager=m&fieldValidation=Strict&dryRun=All&force=true&pretty=true",
    "gracePeriodSeconds=-1&propagationPolicy=Foreground&orphanDependents=false&includeObject=Object",
];
const ACCEPTS: &[&str] = &[
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "application/vnd.kubernetes.protobuf;q=0.9, */*;q=0.1",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
];
const BODIES: &[(&str, &str)] = &[
    (
        "application/json",
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"k":"v"}}"#,
    ),
    ("application/yaml", "kind: ConfigMap\nmetadata: {name: &a a, labels: {a: *a}}\n"),
    (
        "application/vnd.kubernetes.protobuf",
        "k8s\0\n\u{f}\n\u{2}v1\u{12}\tConfigMap\u{12}\u{5}\n\u{3}\n\u{1}a",
    ),
    ("application/merge-patch+json", r#"{"metadata":{"labels":{"a":null,"b":"c"}},"data":{"k":{"x":[1]}}}"#),
    (
        "application/strategic-merge-patch+json",
        r#"{"spec":{"$retainKeys":["a"],"template":{"spec":{"containers":[{"name":"c","$patch":"delete"}]}}}}"#,
    ),
    (
        "application/json-patch+json",
        r#"[{"op":"copy","from":"/metadata","path":"/data/k"},{"op":"move","from":"/data","path":"/metadata/x"},{"op":"test","path":"/~0~1","value":1}]"#,
    ),
    (
        "application/json",
        r#"{"kind":"DeleteOptions","gracePeriodSeconds":9223372036854775807,"preconditions":{"uid":"u"}}"#,
    ),
];
const WORDS: &[&str] = &[
    "%",
    "%zz",
    "%00",
    "&",
    "=",
    "+",
    ",",
    ";",
    "-1",
    "9223372036854775808",
    "1e999",
    "true",
    "(",
    ")",
    "!",
    "\"",
    "null",
    "{}",
    "[[[[",
    "$patch",
    "/metadata",
    "~",
    "\u{202e}",
    "\0",
];

fn mutate(random: &mut fastrand::Rng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.usize(0..5) {
        let at = random.usize(0..=bytes.len());
        let end = (at + random.usize(0..12)).min(bytes.len());
        match random.u32(0..4) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.splice(at..at, bytes[at..end].to_vec()).for_each(drop),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
            _ => bytes.splice(at..end, WORDS[random.usize(0..WORDS.len())].bytes()).for_each(drop),
        }
    }
    bytes
}

fn changed(random: &mut fastrand::Rng, texts: &[&str]) -> Vec<u8> {
    let text = texts[random.usize(0..texts.len())];
    mutate(random, text)
}

/// What may stand in a URL stays as it is, malformed escapes too; the rest is escaped.
fn for_url(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'='
            | b'&'
            | b'%'
            | b'+'
            | b'/' => {
                out.push(char::from(*byte));
            }
            _ => write!(out, "%{byte:02X}").unwrap(),
        }
    }
    out
}

/// What may stand in a header.
fn for_header(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' }).collect()
}

async fn ask(client: &Client, seed: u64) {
    let random = &mut fastrand::Rng::with_seed(seed);
    let method = ["GET", "GET", "POST", "PUT", "PATCH", "PATCH", "PATCH", "DELETE"][random.usize(0..8)];
    let path = for_url(&changed(random, PATHS));
    let query = for_url(&changed(random, QUERIES));
    let accept = for_header(&changed(random, ACCEPTS));
    let (content_type, body) = BODIES[random.usize(0..BODIES.len())];
    let body = if method == "GET" { Vec::new() } else { mutate(random, body) };
    let url = format!("/{}?{query}", path.trim_start_matches('/'));
    let headers = [("Accept", accept.as_str()), ("Content-Type", content_type)];
    let response = client.send(method, &url, &headers, body).await;
    if response.status() == 500 {
        let whole = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&whole);
        assert!(!text.contains("the server made a mistake"), "EVERYNODE_SEED={seed}: {method} {url}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_requests_are_all_answered() {
    let (server, client) = start(Config::default()).await;
    let map = r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#;
    assert_eq!(client.post(PATHS[0], map).await.status, 201);
    let first: u64 = set_number("EVERYNODE_SEED").unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    let count: u64 = number("EVERYNODE_MUTATIONS", 2_000);
    println!("again with EVERYNODE_SEED={first} EVERYNODE_MUTATIONS={count}");
    for query in QUERIES {
        client.send("GET", &format!("{}?{}", PATHS[0], for_url(query.as_bytes())), &[], "").await;
    }
    for seed in first..first + count {
        ask(&client, seed).await;
    }
    assert_eq!(client.get("/livez").await.status, 200);
    server.shutdown().await;
}

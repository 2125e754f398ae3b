//! What the store costs: creates per second, durable and not, from one writer and from many, and memory per
//! object. Prints one line per figure; `cargo bench -p everynode-apiserver` runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark may stop and speak"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use everynode_apiserver::store::{
    Action, Backend, Draft, Durable, Expect, Facts, Limits, Memory, OnDamage, REVISION_PLACEHOLDER,
    RingLimits, Store, TableId, TableSpec, Write,
};

/// How long each rate is measured.
const SPAN: Duration = Duration::from_secs(3);

/// Objects for the measure of memory.
const OBJECTS: usize = 100_000;

/// The size of an encoded daemon pod with its status, in bytes.
const POD_BYTES: usize = 5_000;

fn open(backend: Box<dyn Backend>, limits: Limits) -> Store {
    let spec = TableSpec { prefix: "//pods".into() };
    Store::open(backend, vec![spec], limits, &|_, _| Some(Facts::default())).expect("a store")
}

fn pod(name: &str) -> Write {
    let padding = "x".repeat(POD_BYTES);
    let object = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"default","resourceVersion":"{REVISION_PLACEHOLDER}"}},"padding":"{padding}"}}"#
    );
    let facts = Facts { namespace: "default".into(), name: name.into(), ..Facts::default() };
    let draft = Draft::new(object.into_bytes(), facts).expect("a draft");
    Write {
        table: TableId(0),
        namespace: "default".into(),
        name: name.into(),
        expect: Expect::Absent,
        action: Action::Put(draft),
    }
}

async fn rate(store: &Store, writers: usize) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut written = 0_u64;
                while start.elapsed() < SPAN {
                    store.write(pod(&format!("w{writers}-{writer}-{written}"))).await.expect("a write");
                    written += 1;
                }
                written
            })
        })
        .collect();
    let mut written = 0;
    for task in tasks {
        written += task.await.expect("a writer");
    }
    written as f64 / start.elapsed().as_secs_f64()
}

/// Resident memory of this process in bytes, where the system tells.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let durable = Durable::open(directory.path(), OnDamage::Refuse).expect("a store");
    for (name, store) in [
        ("memory", open(Box::new(Memory), Limits::default())),
        ("durable", open(Box::new(durable), Limits::default())),
    ] {
        for writers in [1, 64] {
            println!("{name} store, {writers} writers: {:.0} creates/s", rate(&store, writers).await);
        }
        store.close().await;
    }
    // Without history, so that only the objects count.
    let limits = Limits { ring: RingLimits { events: 1, bytes: 1 }, ..Limits::default() };
    let store = open(Box::new(Memory), limits);
    let before = resident_bytes();
    let shared = Arc::new(store);
    for number in 0..OBJECTS {
        shared.write(pod(&format!("p{number}"))).await.expect("a write");
    }
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let per_object = after.saturating_sub(before) / OBJECTS;
        println!("memory per object of {POD_BYTES} bytes: {per_object} bytes");
    }
}

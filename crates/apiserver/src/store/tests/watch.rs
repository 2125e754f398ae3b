use super::*;

async fn next(watcher: &mut Watcher) -> Vec<(Change, String, u64)> {
    watcher.ready().await;
    let events = watcher.take().unwrap();
    events.iter().map(|e| (e.change, e.object.facts.name.to_string(), e.revision())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_every_write_of_their_resource_once_and_in_order() {
    const WRITES: u64 = 300;
    let store = memory();
    let mut watcher = store.watch(TABLE, store.revision()).unwrap();
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..WRITES / 3 {
                    create(&store, &format!("{writer}-{number}"), number).await.unwrap();
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < WRITES as usize {
        seen.extend(next(&mut watcher).await.into_iter().map(|(_, _, revision)| revision));
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert_eq!(seen.len(), WRITES as usize);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_watch_starts_after_any_revision_that_is_still_known() {
    let store = memory();
    let a = create(&store, "a", 1).await.unwrap();
    let a = update(&store, &a, 2).await.unwrap();
    remove(&store, &a).await.unwrap();
    let check = async |after: u64, expected: &[(Change, u64)]| {
        let mut watcher = store.watch(TABLE, after).unwrap();
        let found: Vec<_> = watcher.take().unwrap().iter().map(|e| (e.change, e.revision())).collect();
        assert_eq!(found, expected, "after {after}");
    };
    check(1, &[(Change::Added, 2), (Change::Modified, 3), (Change::Deleted, 4)]).await;
    check(2, &[(Change::Modified, 3), (Change::Deleted, 4)]).await;
    check(4, &[]).await;
    assert_eq!(store.watch(TABLE, 0).unwrap_err(), TooOld { asked: 0, oldest: 1 });
}

#[tokio::test]
async fn a_watcher_that_falls_off_the_ring_is_told_so() {
    let limits = Limits { ring: RingLimits { events: 4, bytes: usize::MAX }, ..Limits::default() };
    let store = open(Memory, limits);
    let mut slow = store.watch(TABLE, store.revision()).unwrap();
    for number in 0..6 {
        create(&store, &format!("{number}"), 0).await.unwrap();
    }
    assert!(slow.take().is_err());
    assert_eq!(store.watch(TABLE, 2).unwrap_err(), TooOld { asked: 2, oldest: 3 });
    assert_eq!(store.watch(TABLE, 3).unwrap().take().unwrap().len(), 4);
}

#[tokio::test]
async fn the_ring_holds_no_more_bytes_than_it_may() {
    let limits = Limits { ring: RingLimits { events: 1_000, bytes: 2_000 }, ..Limits::default() };
    let store = open(Memory, limits);
    for number in 0..50 {
        create(&store, &format!("{number}"), 0).await.unwrap();
    }
    let oldest = store.watch(TABLE, 1).unwrap_err().oldest;
    let kept = store.watch(TABLE, oldest).unwrap().take().unwrap();
    assert!(!kept.is_empty() && kept.len() < 10, "{}", kept.len());
}

#[tokio::test]
async fn a_bookmark_may_name_the_revision_of_other_resources() {
    let store = memory();
    let mut watcher = store.watch(OTHER, store.revision()).unwrap();
    create(&store, "a", 0).await.unwrap();
    assert_eq!(watcher.caught_up_revision(), 2);
    let mut behind = store.watch(TABLE, 1).unwrap();
    assert_eq!(behind.caught_up_revision(), 1);
    behind.take().unwrap();
    assert_eq!(behind.caught_up_revision(), 2);
}

#[tokio::test]
async fn events_are_lines_with_the_type_that_the_watcher_sees() {
    let store = memory();
    let mut watcher = store.watch(TABLE, 1).unwrap();
    let a = create(&store, "a", 1).await.unwrap();
    update(&store, &a, 2).await.unwrap();
    let events = watcher.take().unwrap();
    let line = |event: usize, seen_as| String::from_utf8(events[event].line(seen_as).to_vec()).unwrap();
    let check = |line: String, kind: &str, revision: &str, content: u64| {
        assert!(line.ends_with("}\n"), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["type"], kind);
        assert_eq!(value["object"]["metadata"]["resourceVersion"], revision);
        assert_eq!(value["object"]["content"], content);
    };
    check(line(0, Change::Added), "ADDED", "2", 1);
    check(line(1, Change::Modified), "MODIFIED", "3", 2);
    check(line(1, Change::Added), "ADDED", "3", 2);
    check(line(1, Change::Deleted), "DELETED", "3", 1);
}

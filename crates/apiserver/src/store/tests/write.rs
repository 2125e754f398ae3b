use super::*;

#[tokio::test]
async fn writes_get_the_next_revision_and_hold_to_their_condition() {
    let store = memory();
    assert_eq!(store.revision(), 1);
    let first = create(&store, "a", 1).await.unwrap();
    assert_eq!(first.revision, 2);
    assert!(matches!(create(&store, "a", 2).await, Err(WriteError::Exists)));
    let second = update(&store, &first, 3).await.unwrap();
    assert!(matches!(update(&store, &first, 4).await, Err(WriteError::Changed)));
    assert!(matches!(remove(&store, &first).await, Err(WriteError::Changed)));
    assert_eq!(content(&store.get(TABLE, "n", "a").unwrap()), 3);
    remove(&store, &second).await.unwrap();
    assert!(store.get(TABLE, "n", "a").is_none());
    assert!(matches!(update(&store, &second, 5).await, Err(WriteError::Missing)));
    assert_eq!(store.revision(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_when_many_count_at_once() {
    const WRITERS: u64 = 16;
    const ROUNDS: u64 = 20;
    let store = memory();
    create(&store, "counter", 0).await.unwrap();
    let tasks: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    loop {
                        let old = store.get(TABLE, "n", "counter").unwrap();
                        match update(&store, &old, content(&old) + 1).await {
                            Ok(_) => break,
                            Err(WriteError::Changed) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(content(&store.get(TABLE, "n", "counter").unwrap()), WRITERS * ROUNDS);
}

#[tokio::test]
async fn a_list_shows_one_namespace_or_all_in_the_order_of_names() {
    let store = memory();
    for name in ["b", "a", "c"] {
        create(&store, name, 0).await.unwrap();
    }
    let elsewhere =
        Write { namespace: "m".into(), ..write("z", Expect::Absent, Action::Put(draft_in("m", "z", 0))) };
    store.write(elsewhere).await.unwrap();
    let names = |namespace| {
        let listing = store.list(TABLE, namespace);
        assert_eq!(listing.revision, store.revision());
        listing.items.iter().map(|(key, _)| key.1.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(None), ["z", "a", "b", "c"]);
    assert_eq!(names(Some("n")), ["a", "b", "c"]);
    assert_eq!(names(Some("none")), Vec::<String>::new());
}

#[tokio::test]
async fn an_object_is_the_same_but_for_its_revision() {
    let store = memory();
    let stored = create(&store, "a", 7).await.unwrap();
    assert!(draft("a", 7).same_as(&stored));
    assert!(!draft("a", 8).same_as(&stored));
}

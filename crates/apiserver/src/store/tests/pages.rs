use super::*;

async fn filled(limits: Limits) -> Store {
    let store = open(Memory, limits);
    for name in ["a", "b", "c", "d", "e"] {
        create(&store, name, 0).await.unwrap();
    }
    store
}

fn start(page: &Page) -> PageStart {
    PageStart { revision: Some(page.revision), after: page.items.last().unwrap().0.clone() }
}

fn names(page: &Page) -> String {
    page.items.iter().map(|(key, _)| &*key.1).collect()
}

fn page(store: &Store, start: Option<&PageStart>) -> Result<Page, PageError> {
    store.page(TABLE, Some("n"), start, 2, &|_| true)
}

#[tokio::test]
async fn all_pages_show_the_state_of_the_first_one() {
    let store = filled(Limits::default()).await;
    let first = page(&store, None).unwrap();
    assert_eq!((names(&first).as_str(), first.remaining), ("ab", 3));
    for name in ["c", "d"] {
        let old = store.get(TABLE, "n", name).unwrap();
        remove(&store, &old).await.unwrap();
    }
    create(&store, "bb", 0).await.unwrap();
    let second = page(&store, Some(&start(&first))).unwrap();
    assert_eq!((names(&second).as_str(), second.remaining, second.revision), ("cd", 1, first.revision));
    let third = page(&store, Some(&start(&second))).unwrap();
    assert_eq!((names(&third).as_str(), third.remaining), ("e", 0));
}

#[tokio::test]
async fn a_list_expires_when_its_state_is_gone_and_can_go_on_inconsistently() {
    let store = filled(Limits { snapshots: 0, ..Limits::default() }).await;
    let first = page(&store, None).unwrap();
    // Nothing has changed, so no snapshot is needed.
    assert_eq!(names(&page(&store, Some(&start(&first))).unwrap()), "cd");
    create(&store, "bb", 0).await.unwrap();
    let expired = page(&store, Some(&start(&first))).unwrap_err();
    assert_eq!(expired, PageError::Expired { asked: 6, current: 7 });
    let anyway = PageStart { revision: None, ..start(&first) };
    assert_eq!(names(&page(&store, Some(&anyway)).unwrap()), "bbc");
}

#[tokio::test]
async fn a_page_counts_what_its_filter_lets_through() {
    let store = filled(Limits::default()).await;
    let odd = |stored: &Stored| matches!(&*stored.facts.name, "a" | "c" | "e");
    let first = store.page(TABLE, None, None, 2, &odd).unwrap();
    assert_eq!((names(&first).as_str(), first.remaining), ("ac", 1));
}

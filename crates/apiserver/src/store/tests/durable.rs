use std::sync::atomic::AtomicBool;

use super::*;

#[tokio::test]
async fn objects_and_revisions_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(Durable::open(directory.path(), OnDamage::Refuse).unwrap(), Limits::default());
    let a = create(&store, "a", 1).await.unwrap();
    update(&store, &a, 2).await.unwrap();
    let b = create(&store, "b", 3).await.unwrap();
    remove(&store, &b).await.unwrap();
    store.close().await;

    let store = open(Durable::open(directory.path(), OnDamage::Refuse).unwrap(), Limits::default());
    assert_eq!(store.revision(), 5);
    assert_eq!(content(&store.get(TABLE, "n", "a").unwrap()), 2);
    assert!(store.get(TABLE, "n", "b").is_none());
    assert_eq!(store.watch(TABLE, 4).unwrap_err(), TooOld { asked: 4, oldest: 5 });
    assert_eq!(create(&store, "c", 4).await.unwrap().revision, 6);
    store.close().await;
}

#[tokio::test]
async fn a_directory_in_use_is_refused_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Durable::open(directory.path(), OnDamage::Refuse).unwrap();
    let error = Durable::open(directory.path(), OnDamage::Refuse).unwrap_err();
    assert!(
        matches!(&error, BackendError::InUse(path) if *path == directory.path().display().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn damaged_and_foreign_files_are_refused_and_left_as_they_are() {
    let check = |content: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.redb");
        std::fs::write(&path, content).unwrap();
        let error = Durable::open(directory.path(), OnDamage::Refuse).unwrap_err();
        assert!(matches!(error, BackendError::Foreign { .. } | BackendError::Damaged { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    };
    check(b"not a store at all");
    check(&[7; 100_000]);
}

#[tokio::test]
async fn closing_does_not_wait_for_those_who_still_hold_the_store() {
    let store = memory();
    let other = store.clone();
    create(&store, "a", 1).await.unwrap();
    store.close().await;
    assert!(matches!(create(&other, "b", 2).await, Err(WriteError::Closed)));
    assert!(other.get(TABLE, "n", "a").is_some());
}

/// Fails from a moment on, like a disk that is full.
struct Failing {
    fails: Arc<AtomicBool>,
}

impl Backend for Failing {
    fn place(&self) -> String {
        "nowhere".into()
    }

    fn load(&mut self) -> Result<Loaded, BackendError> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, _: &[Record], _: u64) -> Result<(), BackendError> {
        if self.fails.load(Ordering::SeqCst) { Err(BackendError::Full) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_store_that_cannot_write_says_so_and_goes_on_reading() {
    let fails = Arc::new(AtomicBool::new(false));
    let store = open(Failing { fails: fails.clone() }, Limits::default());
    create(&store, "a", 1).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    let refused = create(&store, "b", 2).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store takes no more writes: no space is left on the disk");
    fails.store(false, Ordering::SeqCst);
    assert!(matches!(create(&store, "c", 3).await, Err(WriteError::ReadOnly(_))));
    assert_eq!(store.list(TABLE, None).items.len(), 1);
    assert_eq!(store.revision(), 2);
    assert!(store.write_failure().is_some());
}

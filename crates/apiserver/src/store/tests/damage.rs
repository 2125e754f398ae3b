//! Damaged files: nothing that was not written is ever served, and a file that is refused is left as it is.
//!
//! `EVERYNODE_DAMAGES` sets how many files are damaged; `EVERYNODE_SEED` replays one run.

use everynode_testkit::{number, set_number};
use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// What a store holds: keys with the encoded objects.
type Objects = BTreeMap<String, String>;

fn held(store: &Store) -> Objects {
    let items = [TABLE, OTHER].into_iter().flat_map(|table| store.list(table, None).items);
    items.map(|(key, stored)| (key.1.to_string(), String::from_utf8_lossy(stored.bytes()).into())).collect()
}

/// A file as it is in the middle of its life, as if the process were killed, and after it was closed.
async fn files(random: &mut fastrand::Rng) -> ([Vec<u8>; 2], Objects, u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = open(Durable::open(directory.path(), OnDamage::Refuse).unwrap(), Limits::default());
    for number in 0..150 {
        let name = format!("{}", random.u8(0..60));
        let _ = match store.get(TABLE, "n", &name) {
            None => create(&store, &name, number).await.unwrap(),
            Some(old) if random.u8(0..4) == 0 => remove(&store, &old).await.unwrap(),
            Some(old) => update(&store, &old, number).await.unwrap(),
        };
    }
    let killed = std::fs::read(&path).unwrap();
    let (objects, revision) = (held(&store), store.revision());
    store.close().await;
    ([std::fs::read(&path).unwrap(), killed], objects, revision)
}

/// Spoils some bits, mostly where something is; a sector; or the end.
fn spoil(file: &mut Vec<u8>, random: &mut fastrand::Rng) {
    const SECTOR_BYTES: usize = 512;
    const HEADER_BYTES: usize = 320;
    let sector = random.usize(0..file.len() / SECTOR_BYTES) * SECTOR_BYTES;
    match random.u8(0..8) {
        0 => file[sector..sector + SECTOR_BYTES].fill(random.u8(..)),
        1 => file.truncate(sector),
        2 => file[random.usize(0..HEADER_BYTES)] ^= 1 << random.u8(0..8),
        _ => {
            let used: Vec<usize> = (0..file.len()).filter(|at| file[*at] != 0).collect();
            for _ in 0..random.u8(1..4) {
                file[used[random.usize(0..used.len())]] ^= 1 << random.u8(0..8);
            }
        }
    }
}

fn try_open(directory: &Path, on_damage: OnDamage) -> Result<(Store, Option<LeftOut>), BackendError> {
    let durable = Durable::open(directory, on_damage)?;
    let left_out = durable.left_out().cloned();
    Ok((Store::open(Box::new(durable), specs(), Limits::default(), &read_facts)?, left_out))
}

#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    harmless: u64,
    went_on: u64,
}

async fn check(damaged: &[u8], objects: &Objects, revision: u64, tally: &mut Tally) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    // Beside the secrets an empty file is a damaged one.
    std::fs::write(directory.path().join("pki.json"), "{}").unwrap();
    std::fs::write(&path, damaged).unwrap();
    match try_open(directory.path(), OnDamage::Refuse) {
        Ok((store, _)) => {
            assert_eq!(held(&store), *objects, "served, and not what was written");
            assert_eq!(store.revision(), revision);
            store.close().await;
            tally.harmless += 1;
            return;
        }
        Err(error) => {
            assert!(error.to_string().contains("store.redb"), "{error}");
            assert!(std::fs::read(&path).unwrap() == damaged, "refused, and not left as it was: {error}");
        }
    }
    tally.refused += 1;
    let Ok((store, left_out)) = try_open(directory.path(), OnDamage::LeaveOut) else {
        assert!(std::fs::read(&path).unwrap() == damaged, "refused twice, and not left as it was");
        return;
    };
    let left_out = left_out.expect("it says what it left out");
    let rest = held(&store);
    assert!(
        rest.iter().all(|(key, object)| objects.get(key) == Some(object)),
        "served by skipping: {rest:?}"
    );
    assert_eq!(objects.len() - rest.len(), left_out.objects.len(), "{left_out:?}");
    assert!(std::fs::read(&left_out.kept).unwrap() == damaged, "the damaged file is kept as it was");
    store.close().await;
    let (again, left_out) = try_open(directory.path(), OnDamage::Refuse).expect("it is whole again");
    assert_eq!((held(&again), left_out), (rest, None));
    again.close().await;
    tally.went_on += 1;
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_served_as_it_was_written() {
    let damages: u64 = number("EVERYNODE_DAMAGES", 60);
    let seed: u64 = set_number("EVERYNODE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("EVERYNODE_SEED={seed} EVERYNODE_DAMAGES={damages} replays this");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tally = Tally::default();
    let (files, objects, revision) = files(&mut random).await;
    for damage in 0..damages {
        println!("damage {damage}");
        let mut file = files[damage as usize % 2].clone();
        spoil(&mut file, &mut random);
        check(&file, &objects, revision, &mut tally).await;
    }
    println!("{tally:?}");
    assert!(tally.refused > 0 && tally.went_on > 0, "the damages harm nothing: {tally:?}");
}

#[tokio::test]
async fn the_message_names_the_damaged_object_and_the_others_can_be_had() {
    let (files, objects, _) = files(&mut fastrand::Rng::with_seed(1)).await;
    let (name, object) = objects.iter().next().unwrap();
    for mut file in files {
        // Every copy of it, as the file has also those of former states.
        let content = object.as_bytes();
        let places: Vec<usize> =
            (0..file.len() - content.len()).filter(|at| file[*at..].starts_with(content)).collect();
        assert!(!places.is_empty());
        for at in places {
            file[at + content.len() - 2] ^= 1;
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("store.redb"), &file).unwrap();
        let error = try_open(directory.path(), OnDamage::Refuse).unwrap_err();
        assert!(error.to_string().ends_with(&format!("things n/{name} is not what was written")), "{error}");
        let (store, left_out) = try_open(directory.path(), OnDamage::LeaveOut).unwrap();
        assert_eq!(left_out.unwrap().objects, [format!("things n/{name}")]);
        assert_eq!(held(&store).len(), objects.len() - 1);
        store.close().await;
    }
}

/// A file as it was written before objects had checksums.
fn former_file(path: &Path) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let facts = redb::TableDefinition::<&str, u64>::new("facts");
        let mut facts = transaction.open_table(facts).unwrap();
        facts.insert("format", 1).unwrap();
        facts.insert("revision", 7).unwrap();
        let objects = redb::TableDefinition::<&str, &[u8]>::new("objects");
        let mut objects = transaction.open_table(objects).unwrap();
        let object = r#"{"metadata":{"name":"a","namespace":"n","resourceVersion":"7"},"content":1}"#;
        objects.insert("//things/n/a", object.as_bytes()).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_the_former_format_is_read_and_changed_by_the_first_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    former_file(&path);
    let before = std::fs::read(&path).unwrap();
    let (store, _) = try_open(directory.path(), OnDamage::Refuse).unwrap();
    assert_eq!((held(&store).len(), store.revision()), (1, 7));
    store.close().await;
    assert!(std::fs::read(&path).unwrap() == before, "reading alone changes nothing");

    let (store, _) = try_open(directory.path(), OnDamage::Refuse).unwrap();
    create(&store, "b", 2).await.unwrap();
    store.close().await;
    let (store, _) = try_open(directory.path(), OnDamage::Refuse).unwrap();
    assert_eq!((held(&store).len(), store.revision()), (2, 8));
    assert_eq!(content(&store.get(TABLE, "n", "a").unwrap()), 1);
    store.close().await;
}

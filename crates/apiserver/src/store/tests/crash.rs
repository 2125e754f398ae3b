//! Power failures: what was acknowledged is there afterwards, whatever the disk did with the rest.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

/// A disk in memory. Writes are certain only once they are synced; at a crash each of the others is kept or
/// lost by chance.
#[derive(Debug, Clone, Default)]
struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    certain: Vec<u8>,
    shown: Vec<u8>,
    pending: Vec<Pending>,
    syncs_left: Option<u64>,
}

#[derive(Debug)]
enum Pending {
    Len(usize),
    Write(usize, Vec<u8>),
}

fn apply(bytes: &mut Vec<u8>, change: &Pending) {
    match change {
        Pending::Len(len) => bytes.resize(*len, 0),
        Pending::Write(offset, data) => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
    }
}

impl Disk {
    /// What is on the disk after a crash at this moment.
    fn crashed(&self, random: &mut fastrand::Rng) -> Disk {
        let state = self.state.lock().unwrap();
        let mut certain = state.certain.clone();
        for change in state.pending.iter().filter(|_| random.bool()) {
            apply(&mut certain, change);
        }
        let state = State { shown: certain.clone(), certain, ..State::default() };
        Disk { state: Arc::new(Mutex::new(state)) }
    }

    fn change(&self, change: Pending) {
        let mut state = self.state.lock().unwrap();
        apply(&mut state.shown, &change);
        state.pending.push(change);
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.state.lock().unwrap().shown.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let offset = usize::try_from(offset).unwrap();
        let state = self.state.lock().unwrap();
        let found = state.shown.get(offset..offset + out.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.change(Pending::Len(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        let mut state = self.state.lock().unwrap();
        match &mut state.syncs_left {
            Some(0) => return Err(std::io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        state.pending.clear();
        state.certain = state.shown.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.change(Pending::Write(usize::try_from(offset).unwrap(), data.to_vec()));
        Ok(())
    }
}

/// More writes than the disk has syncs left.
const WRITES: u64 = 1_000;

/// Writes until the disk fails, crashes, and compares.
async fn crash_once(random: &mut fastrand::Rng) {
    let disk = Disk::default();
    let store = open(Durable::open_on("disk".into(), disk.clone()).unwrap(), Limits::default());
    disk.state.lock().unwrap().syncs_left = Some(random.u64(0..40));
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    // The write that failed may be on the disk or not.
    let mut doubtful = None;
    for number in 0..WRITES {
        let name = format!("{}", random.u8(0..6));
        let found = store.get(TABLE, "n", &name);
        let (result, expected) = match &found {
            None => (create(&store, &name, number).await, Some(number)),
            Some(old) if random.u8(0..4) == 0 => (remove(&store, old).await, None),
            Some(old) => (update(&store, old, number).await, Some(number)),
        };
        match (result, expected) {
            (Ok(_), Some(number)) => drop(acknowledged.insert(name, number)),
            (Ok(_), None) => drop(acknowledged.remove(&name)),
            (Err(_), expected) => {
                doubtful = Some((name, expected));
                break;
            }
        }
    }
    assert!(doubtful.is_some(), "writes were acknowledged without reaching the disk");
    let revision = store.revision();
    let after = disk.crashed(random);
    let store = open(Durable::open_on("disk".into(), after).unwrap(), Limits::default());
    let items = store.list(TABLE, None).items;
    let mut found: BTreeMap<String, u64> =
        items.iter().map(|(key, stored)| (key.1.to_string(), content(stored))).collect();
    if let Some((name, expected)) = doubtful
        && found.get(&name).copied() == expected
    {
        match acknowledged.get(&name) {
            Some(before) => drop(found.insert(name, *before)),
            None => drop(found.remove(&name)),
        }
    }
    assert_eq!(found, acknowledged);
    assert!(store.revision() >= revision);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_at_any_moment() {
    const CRASHES: u64 = 60;
    for seed in 0..CRASHES {
        println!("seed {seed}");
        crash_once(&mut fastrand::Rng::with_seed(seed)).await;
    }
}

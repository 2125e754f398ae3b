//! The objects of one resource, and the ring of its latest events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use super::object::{Event, Stored};

/// Namespace and name; the namespace is empty for objects that live in none.
pub type Key = (Arc<str>, Arc<str>);

/// One resource as the store sees it.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The start of its keys in a backend, `/group/plural`.
    pub prefix: String,
}

/// How much history a ring keeps for watchers.
#[derive(Debug, Clone, Copy)]
pub struct RingLimits {
    /// Events.
    pub events: usize,
    /// Bytes of encoded events.
    pub bytes: usize,
}

#[derive(Debug)]
pub(super) struct Contents {
    pub objects: BTreeMap<Key, Arc<Stored>>,
    /// The revision of the last write to this table.
    pub revision: u64,
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    /// The number of the first event in the ring; the first event of all has number 0.
    first: u64,
    /// Events up to this revision are not in the ring.
    floor_revision: u64,
}

impl Contents {
    /// Adds an event; the oldest ones leave when a limit is reached.
    pub fn push(&mut self, event: Event, limits: RingLimits) {
        self.ring_bytes += event.weight_bytes();
        self.ring.push_back(Arc::new(event));
        while self.ring.len() > limits.events || (self.ring_bytes > limits.bytes && self.ring.len() > 1) {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.ring_bytes -= oldest.weight_bytes();
            self.floor_revision = oldest.revision();
            self.first += 1;
        }
    }

    /// The number that the next event will have.
    pub fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// Events from number `from` on, at most `limit`; `None` when some of them have left the ring.
    pub fn events(&self, from: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        let skip = from.checked_sub(self.first)?;
        Some(self.ring.iter().skip(skip as usize).take(limit).cloned().collect())
    }

    /// The number of the first event after a revision, or the oldest revision that can still be asked for.
    pub fn number_after(&self, revision: u64) -> Result<u64, u64> {
        if revision < self.floor_revision {
            return Err(self.floor_revision);
        }
        let before = self.ring.partition_point(|event| event.revision() <= revision);
        Ok(self.first + before as u64)
    }
}

/// The objects of one resource behind a lock, with a bell for its watchers.
#[derive(Debug)]
pub(super) struct ObjectTable {
    pub spec: TableSpec,
    contents: RwLock<Contents>,
    /// The number that the next event will have, or [`OVER`].
    bell: watch::Sender<u64>,
}

/// What the bell says when the resource is gone.
const OVER: u64 = u64::MAX;

impl ObjectTable {
    pub fn new(spec: TableSpec, objects: BTreeMap<Key, Arc<Stored>>, revision: u64) -> ObjectTable {
        let contents = Contents {
            objects,
            revision,
            ring: VecDeque::new(),
            ring_bytes: 0,
            first: 0,
            floor_revision: revision,
        };
        ObjectTable { spec, contents: RwLock::new(contents), bell: watch::Sender::new(0) }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the watchers.
    pub fn ring_bell(&self) {
        let end = self.read().end();
        self.bell.send_replace(end);
    }

    /// Ends all watches.
    pub fn end(&self) {
        self.bell.send_replace(OVER);
    }

    /// Whether the resource is gone.
    pub fn is_over(&self) -> bool {
        *self.bell.borrow() == OVER
    }

    pub fn listen(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// The key of an object in a backend.
    pub fn backend_key(&self, key: &Key) -> String {
        format!("{}/{}/{}", self.spec.prefix, key.0, key.1)
    }
}

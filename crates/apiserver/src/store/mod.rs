//! One revisioned log of all writes, the objects that it leaves, and the watchers of its end.
//!
//! Every write gets the next revision. A single thread decides, makes durable and publishes writes in that
//! order, so an object that anybody can see is safe, and watchers see revisions in order. Readers take a
//! short read lock on one resource and leave with shared pointers.

mod backend;
mod durable;
mod object;
mod object_table;
mod pages;
mod scan;
#[cfg(test)]
mod tests;
mod watcher;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

pub use backend::{Backend, BackendError, Loaded, Memory, Record};
pub use durable::{Durable, LeftOut, OnDamage};
pub use object::{Change, Draft, Event, Facts, REVISION_PLACEHOLDER, Stored};
pub use object_table::{Key, RingLimits, TableSpec};
pub use pages::{Page, PageError, PageStart};
pub use watcher::{TooOld, Watcher};
pub use writer::{Action, Expect, Write, WriteError};

use object_table::ObjectTable;
use pages::Snapshots;

/// A resource of the store: its place in the list given to [`Store::open`], or the number that [`Store::add_table`]
/// gave it. No number is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// The limits of a store.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// History for watchers, per resource.
    pub ring: RingLimits,
    /// Writes that may wait for the writer thread.
    pub queued_writes: usize,
    /// Snapshots that are kept for lists that are read in pages.
    pub snapshots: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { ring: RingLimits { events: 10_000, bytes: 16 << 20 }, queued_writes: 4_096, snapshots: 16 }
    }
}

/// All objects of one resource, or of one namespace of it, at one revision.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Objects in the order of their keys.
    pub items: Vec<(Key, Arc<Stored>)>,
    /// The revision at which this was the state.
    pub revision: u64,
}

/// Encoded objects by the start of their keys.
type Encoded = HashMap<String, Vec<(Key, Vec<u8>)>>;

#[derive(Debug)]
struct Inner {
    tables: RwLock<Tables>,
    /// What stands for a table that is gone: it holds nothing, and nobody watches it for long.
    gone: Arc<ObjectTable>,
    /// Where the backend is, for messages.
    place: String,
    /// Objects of the backend that no table has asked for yet, by the start of their keys.
    unclaimed: Mutex<Encoded>,
    revision: AtomicU64,
    revision_bell: watch::Sender<u64>,
    limits: Limits,
    broken: Mutex<Option<String>>,
    snapshots: Snapshots,
}

#[derive(Debug, Default)]
struct Tables {
    by_id: HashMap<TableId, Arc<ObjectTable>>,
    next: u32,
}

impl Tables {
    fn add(&mut self, table: ObjectTable) -> TableId {
        let id = TableId(self.next);
        self.next += 1;
        self.by_id.insert(id, Arc::new(table));
        id
    }
}

impl Inner {
    fn table(&self, id: TableId) -> Arc<ObjectTable> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.by_id.get(&id).unwrap_or(&self.gone).clone()
    }

    /// Takes a table away when it is empty. Only the writer's thread may do that, so that no write is on its way.
    fn retire(&self, id: TableId) -> bool {
        let table = self.table(id);
        if !table.read().objects.is_empty() {
            return false;
        }
        self.tables.write().unwrap_or_else(PoisonError::into_inner).by_id.remove(&id);
        table.end();
        true
    }

    fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_broken(&self, reason: String) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

/// The store. Cheap to clone; the writer thread ends when the last clone is gone or [`Store::close`] ran.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
    queue: mpsc::Sender<writer::Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Reads what selectors need out of an encoded object, when it is loaded.
pub type ReadFacts<'a> = &'a dyn Fn(TableId, &[u8]) -> Option<Facts>;

impl Store {
    /// Loads everything from a backend and starts the writer thread.
    pub fn open(
        mut backend: Box<dyn Backend>,
        specs: Vec<TableSpec>,
        limits: Limits,
        read_facts: ReadFacts<'_>,
    ) -> Result<Store, BackendError> {
        let place = backend.place();
        let loaded = backend.load()?;
        // Revision 0 means "any" in the API, so the first state is at 1.
        let revision = loaded.revision.max(1);
        let mut unclaimed = by_prefix(loaded, &place)?;
        let mut tables = Tables::default();
        for spec in specs {
            let objects = unclaimed.remove(&spec.prefix).unwrap_or_default();
            let id = TableId(tables.next);
            tables.add(table_of(spec, objects, &place, revision, &|bytes| read_facts(id, bytes))?);
        }
        let gone = ObjectTable::new(TableSpec { prefix: String::new() }, BTreeMap::new(), revision);
        gone.end();
        let inner = Arc::new(Inner {
            tables: RwLock::new(tables),
            gone: Arc::new(gone),
            place,
            unclaimed: Mutex::new(unclaimed),
            revision: AtomicU64::new(revision),
            revision_bell: watch::Sender::new(revision),
            limits,
            broken: Mutex::new(None),
            snapshots: Snapshots::new(limits.snapshots),
        });
        let (queue, receiver) = mpsc::channel(limits.queued_writes);
        let for_thread = inner.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer::run(&for_thread, backend, receiver))
            .map_err(|error| BackendError::Io(error.to_string()))?;
        Ok(Store { inner, queue, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Adds a resource, with the objects of it that the backend has. A resource that is there already keeps its
    /// table.
    ///
    /// # Errors
    /// An object of the backend cannot be read.
    pub fn add_table(
        &self,
        spec: TableSpec,
        read_facts: &dyn Fn(&[u8]) -> Option<Facts>,
    ) -> Result<TableId, BackendError> {
        let mut tables = self.inner.tables.write().unwrap_or_else(PoisonError::into_inner);
        let known = tables.by_id.iter().find(|(_, table)| table.spec.prefix == spec.prefix);
        if let Some((id, _)) = known {
            return Ok(*id);
        }
        let mut unclaimed = self.inner.unclaimed.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = unclaimed.remove(&spec.prefix).unwrap_or_default();
        Ok(tables.add(table_of(spec, objects, &self.inner.place, self.revision(), read_facts)?))
    }

    /// Takes a resource away, if it has no objects, and ends its watches; false when it has some.
    pub async fn retire_table(&self, table: TableId) -> bool {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(writer::Message::Retire(table, reply)).await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// One object.
    pub fn get(&self, table: TableId, namespace: &str, name: &str) -> Option<Arc<Stored>> {
        let key: Key = (namespace.into(), name.into());
        self.inner.table(table).read().objects.get(&key).cloned()
    }

    /// All objects of a resource, or of one of its namespaces.
    pub fn list(&self, table: TableId, namespace: Option<&str>) -> Listing {
        let table = self.inner.table(table);
        let contents = table.read();
        let items = match namespace {
            None => contents.objects.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            Some(namespace) => contents
                .objects
                .range((namespace.into(), "".into())..)
                .take_while(|((found, _), _)| &**found == namespace)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        };
        // Under the lock the table cannot change, so everything up to this revision is in the list.
        let revision = self.revision().max(contents.revision);
        Listing { items, revision }
    }

    /// The number of objects of a resource.
    pub fn count(&self, table: TableId) -> usize {
        self.inner.table(table).read().objects.len()
    }

    /// Queues a write and waits until it is durable and visible, or refused.
    pub async fn write(&self, write: Write) -> Result<Arc<Stored>, WriteError> {
        let (reply, answer) = oneshot::channel();
        let message = writer::Message::Write(writer::Request { write, reply });
        self.queue.send(message).await.map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Follows a resource from after a revision on.
    pub fn watch(&self, table: TableId, after_revision: u64) -> Result<Watcher, TooOld> {
        Watcher::new(self.inner.clone(), table, after_revision)
    }

    /// The last revision that is durable and visible.
    pub fn revision(&self) -> u64 {
        self.inner.revision.load(Ordering::Acquire)
    }

    /// Waits until a revision is visible. Can be cancelled.
    pub async fn reach(&self, revision: u64) {
        let mut bell = self.inner.revision_bell.subscribe();
        let _ = bell.wait_for(|current| *current >= revision).await;
    }

    /// Whether a resource is now as it was at a revision.
    pub fn unchanged_since(&self, table: TableId, revision: u64) -> bool {
        self.inner.table(table).read().revision <= revision
    }

    /// Why the store takes no more writes, when it does not.
    pub fn write_failure(&self) -> Option<String> {
        self.inner.broken()
    }

    /// Waits until all queued writes are done and the backend is closed. Writes through other clones fail
    /// from now on; reads go on.
    pub async fn close(self) {
        // When the thread has ended already there is nothing to tell it.
        let _ = self.queue.send(writer::Message::Close).await;
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            let _ = tokio::task::spawn_blocking(move || handle.join()).await;
        }
    }
}

/// The objects of a backend by the start of their keys.
fn by_prefix(loaded: Loaded, place: &str) -> Result<Encoded, BackendError> {
    let mut found = Encoded::new();
    for (key, bytes) in loaded.objects {
        let mut parts = key.rsplitn(3, '/');
        let (Some(name), Some(namespace), Some(prefix)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(unreadable(place, key));
        };
        found.entry(prefix.to_owned()).or_default().push(((namespace.into(), name.into()), bytes));
    }
    Ok(found)
}

fn table_of(
    spec: TableSpec,
    objects: Vec<(Key, Vec<u8>)>,
    place: &str,
    revision: u64,
    read_facts: &dyn Fn(&[u8]) -> Option<Facts>,
) -> Result<ObjectTable, BackendError> {
    let mut read = BTreeMap::new();
    for (key, bytes) in objects {
        let refused = || unreadable(place, format!("{}/{}/{}", spec.prefix, key.0, key.1));
        let facts = read_facts(&bytes).ok_or_else(refused)?;
        let stored_revision = object::revision_of(&bytes).ok_or_else(refused)?;
        let stored = Stored::loaded(&bytes, stored_revision, facts).ok_or_else(refused)?;
        read.insert(key, Arc::new(stored));
    }
    Ok(ObjectTable::new(spec, read, revision))
}

fn unreadable(place: &str, object: String) -> BackendError {
    BackendError::UnreadableObject { path: place.to_owned(), object }
}

//! The one thread that writes: it takes what is queued, makes it last, and only then shows it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};

use super::backend::{Backend, BackendError, Record};
use super::object::{Change, Draft, Event, Stored};
use super::object_table::Key;
use super::{Inner, TableId};

/// Writes that one transaction takes at most.
const BATCH_WRITES: usize = 512;

/// What must be true of the stored object for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such object.
    Absent,
    /// The object is at this revision.
    Revision(u64),
}

/// What a write does.
#[derive(Debug)]
pub enum Action {
    /// Stores a new state.
    Put(Draft),
    /// Removes the object. The draft is the last state that watchers are shown, where it differs from the
    /// stored one.
    Remove(Option<Draft>),
}

/// A write of one object.
#[derive(Debug)]
pub struct Write {
    /// The resource.
    pub table: TableId,
    /// Namespace, empty for objects that live in none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The condition.
    pub expect: Expect,
    /// The change.
    pub action: Action,
}

/// Why a write did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The object exists already, with this revision.
    #[error("the object exists already")]
    Exists,
    /// The object is not, or no longer, at the expected revision.
    #[error("the object has been modified")]
    Changed,
    /// The object is gone.
    #[error("the object does not exist")]
    Missing,
    /// The backend cannot write any more; reads go on.
    #[error("the store takes no more writes: {0}")]
    ReadOnly(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// What the queue carries.
pub(super) enum Message {
    /// A write that waits for its answer.
    Write(Request),
    /// A resource is to go, if it is empty.
    Retire(TableId, oneshot::Sender<bool>),
    /// The end: what is queued before it is done, what comes after it is not.
    Close,
}

pub(super) struct Request {
    pub write: Write,
    pub reply: oneshot::Sender<Result<Arc<Stored>, WriteError>>,
}

struct Accepted {
    table: TableId,
    key: Key,
    change: Change,
    object: Arc<Stored>,
    previous: Option<Arc<Stored>>,
    reply: oneshot::Sender<Result<Arc<Stored>, WriteError>>,
}

type Refused = (oneshot::Sender<Result<Arc<Stored>, WriteError>>, WriteError);

/// Runs until it is told to close, or until nobody can write any more.
pub(super) fn run(inner: &Inner, mut backend: Box<dyn Backend>, mut queue: mpsc::Receiver<Message>) {
    let mut batch = Vec::with_capacity(BATCH_WRITES);
    let mut closing = false;
    while !closing && queue.blocking_recv_many(&mut batch, BATCH_WRITES) > 0 {
        closing = batch.iter().any(|message| matches!(message, Message::Close));
        let mut retired = Vec::new();
        let mut writes = Vec::with_capacity(batch.len());
        for message in batch.drain(..) {
            match message {
                Message::Write(request) => writes.push(request),
                Message::Retire(table, reply) => retired.push((table, reply)),
                Message::Close => break,
            }
        }
        let (accepted, refused) = judge(inner, writes.into_iter());
        match commit(inner, backend.as_mut(), &accepted) {
            Ok(()) => publish(inner, accepted),
            Err(error) => refuse_all(inner, accepted, &error),
        }
        // Refusals are answered after the commit, so that who reads again sees what stood in the way.
        for (reply, error) in refused {
            let _ = reply.send(Err(error));
        }
        for (table, reply) in retired {
            let _ = reply.send(inner.retire(table));
        }
    }
}

/// Checks each write against what is stored and what the same batch has decided before it.
fn judge(inner: &Inner, batch: impl Iterator<Item = Request>) -> (Vec<Accepted>, Vec<Refused>) {
    let mut accepted: Vec<Accepted> = Vec::new();
    let mut refused = Vec::new();
    let mut ahead: HashMap<(TableId, Key), Option<Arc<Stored>>> = HashMap::new();
    let mut revision = inner.revision.load(Ordering::Acquire);
    for Request { write, reply } in batch {
        if let Some(reason) = inner.broken() {
            refused.push((reply, WriteError::ReadOnly(reason)));
            continue;
        }
        if inner.table(write.table).is_over() {
            refused.push((reply, WriteError::Missing));
            continue;
        }
        let key: Key = (write.namespace.into(), write.name.into());
        let current = match ahead.get(&(write.table, key.clone())) {
            Some(state) => state.clone(),
            None => inner.table(write.table).read().objects.get(&key).cloned(),
        };
        match decide(write.expect, write.action, current.as_ref(), revision + 1) {
            Err(error) => refused.push((reply, error)),
            Ok((change, object)) => {
                revision += 1;
                let object = Arc::new(object);
                let next = (change != Change::Deleted).then(|| object.clone());
                ahead.insert((write.table, key.clone()), next);
                accepted.push(Accepted { table: write.table, key, change, object, previous: current, reply });
            }
        }
    }
    (accepted, refused)
}

fn decide(
    expect: Expect,
    action: Action,
    current: Option<&Arc<Stored>>,
    revision: u64,
) -> Result<(Change, Stored), WriteError> {
    match (expect, current) {
        (Expect::Absent, Some(_)) => return Err(WriteError::Exists),
        (Expect::Revision(_), None) => return Err(WriteError::Missing),
        (Expect::Revision(expected), Some(found)) if expected != found.revision => {
            return Err(WriteError::Changed);
        }
        _ => {}
    }
    match (action, current) {
        (Action::Put(draft), None) => Ok((Change::Added, draft.seal(revision, Change::Added))),
        (Action::Put(draft), Some(_)) => Ok((Change::Modified, draft.seal(revision, Change::Modified))),
        (Action::Remove(None), Some(found)) => {
            Ok((Change::Deleted, found.at_revision(revision, Change::Deleted)))
        }
        (Action::Remove(Some(last)), Some(_)) => Ok((Change::Deleted, last.seal(revision, Change::Deleted))),
        (Action::Remove(_), None) => Err(WriteError::Missing),
    }
}

fn commit(inner: &Inner, backend: &mut dyn Backend, accepted: &[Accepted]) -> Result<(), BackendError> {
    let Some(last) = accepted.last() else { return Ok(()) };
    let records: Vec<Record> = accepted
        .iter()
        .map(|write| Record {
            key: inner.table(write.table).backend_key(&write.key),
            bytes: (write.change != Change::Deleted).then(|| write.object.bytes().clone()),
        })
        .collect();
    backend.commit(&records, last.object.revision)
}

/// Shows durable writes to readers and watchers in the order of their revisions, then answers.
fn publish(inner: &Inner, accepted: Vec<Accepted>) {
    let Some(last) = accepted.last().map(|write| write.object.revision) else { return };
    let mut rung: Vec<TableId> = Vec::new();
    for write in &accepted {
        let table = inner.table(write.table);
        let mut contents = table.write();
        match write.change {
            Change::Deleted => contents.objects.remove(&write.key),
            _ => contents.objects.insert(write.object.key(), write.object.clone()),
        };
        contents.revision = write.object.revision;
        let event = Event::new(write.change, write.object.clone(), write.previous.clone());
        contents.push(event, inner.limits.ring);
        if !rung.contains(&write.table) {
            rung.push(write.table);
        }
    }
    inner.revision.store(last, Ordering::Release);
    inner.revision_bell.send_replace(last);
    for table in rung {
        inner.table(table).ring_bell();
    }
    for write in accepted {
        let _ = write.reply.send(Ok(write.object));
    }
}

/// A failed commit may or may not be on disk, so nothing may be decided on top of it: no more writes.
fn refuse_all(inner: &Inner, accepted: Vec<Accepted>, error: &BackendError) {
    tracing::error!(%error, "the store cannot write; it serves reads only until the process starts again");
    inner.set_broken(error.to_string());
    for write in accepted {
        let _ = write.reply.send(Err(WriteError::ReadOnly(error.to_string())));
    }
}

//! A reader of one resource's events.

use std::sync::Arc;

use tokio::sync::watch;

use super::object::Event;
use super::object_table::ObjectTable;
use super::{Inner, TableId};

/// Events that a watcher takes at a time.
const BATCH_EVENTS: usize = 256;

/// The watcher asked for, or came to need, events that are no longer kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct TooOld {
    /// The revision from which events were wanted.
    pub asked: u64,
    /// The oldest revision from which they can be had.
    pub oldest: u64,
}

/// A cursor on the ring of one resource. It holds no events itself, so a slow watcher costs nothing; one
/// that falls off the ring is told so.
#[derive(Debug)]
pub struct Watcher {
    inner: Arc<Inner>,
    table: Arc<ObjectTable>,
    next: u64,
    seen_revision: u64,
    bell: watch::Receiver<u64>,
}

impl Watcher {
    pub(super) fn new(inner: Arc<Inner>, table: TableId, after_revision: u64) -> Result<Watcher, TooOld> {
        let table = inner.table(table);
        let bell = table.listen();
        let next = table
            .read()
            .number_after(after_revision)
            .map_err(|oldest| TooOld { asked: after_revision, oldest })?;
        Ok(Watcher { inner, table, next, seen_revision: after_revision, bell })
    }

    /// Events that are there already, oldest first; empty when there are none.
    pub fn take(&mut self) -> Result<Vec<Arc<Event>>, TooOld> {
        let contents = self.table.read();
        let Some(events) = contents.events(self.next, BATCH_EVENTS) else {
            let oldest = contents.number_after(u64::MAX).map_or(0, |_| contents.revision);
            return Err(TooOld { asked: self.seen_revision, oldest });
        };
        drop(contents);
        self.next += events.len() as u64;
        if let Some(last) = events.last() {
            self.seen_revision = last.revision();
        }
        Ok(events)
    }

    /// Waits until there may be events to take. Returns at once when there are. Can be cancelled.
    pub async fn ready(&mut self) {
        let next = self.next;
        // The sender lives as long as the table, which this watcher keeps alive.
        let _ = self.bell.wait_for(|end| *end > next).await;
    }

    /// Whether the resource is gone, so that no more events come.
    pub fn is_over(&self) -> bool {
        self.table.is_over()
    }

    /// A revision up to which this watcher has seen everything: the one for a bookmark.
    pub fn caught_up_revision(&mut self) -> u64 {
        let contents = self.table.read();
        if contents.end() == self.next {
            let global = self.inner.revision.load(std::sync::atomic::Ordering::Acquire);
            self.seen_revision = self.seen_revision.max(contents.revision).max(global);
        }
        self.seen_revision
    }
}

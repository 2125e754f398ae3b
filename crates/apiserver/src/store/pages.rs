//! Lists in pages: all pages of one list show the state at one revision.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use super::object::Stored;
use super::object_table::Key;
use super::{Listing, Store, TableId};

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageStart {
    /// The revision of the list's first page; none to go on with the current state, inconsistently.
    pub revision: Option<u64>,
    /// The last key of the page before.
    pub after: Key,
}

/// One page.
#[derive(Debug)]
pub struct Page {
    /// Its objects.
    pub items: Vec<(Key, Arc<Stored>)>,
    /// The revision of the whole list.
    pub revision: u64,
    /// How many objects come after it, unfiltered; 0 when this is the last page.
    pub remaining: usize,
}

/// Why a page cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The state of that revision is no longer kept. `current` is where a list could go on inconsistently.
    #[error("the list at revision {asked} is no longer kept")]
    Expired {
        /// The revision of the continue token.
        asked: u64,
        /// The current revision.
        current: u64,
    },
}

/// Objects with their keys, in order.
type Items = Arc<Vec<(Key, Arc<Stored>)>>;

#[derive(Debug)]
struct Snapshot {
    table: TableId,
    namespace: Option<Box<str>>,
    revision: u64,
    items: Items,
}

/// The latest lists that were read in pages.
#[derive(Debug)]
pub(super) struct Snapshots {
    limit: usize,
    kept: Mutex<VecDeque<Snapshot>>,
}

impl Snapshots {
    pub fn new(limit: usize) -> Snapshots {
        Snapshots { limit, kept: Mutex::new(VecDeque::new()) }
    }

    fn find(&self, table: TableId, namespace: Option<&str>, revision: u64) -> Option<Items> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|s| s.table == table && s.namespace.as_deref() == namespace && s.revision == revision)
            .map(|s| s.items.clone())
    }

    fn keep(&self, snapshot: Snapshot) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(snapshot);
        while kept.len() > self.limit {
            kept.pop_front();
        }
    }
}

impl Store {
    /// The next page of a list. `matches` filters; `limit` counts what it lets through.
    pub fn page(
        &self,
        table: TableId,
        namespace: Option<&str>,
        start: Option<&PageStart>,
        limit: usize,
        matches: &dyn Fn(&Stored) -> bool,
    ) -> Result<Page, PageError> {
        let (items, revision) = self.page_source(table, namespace, start)?;
        let first = match start {
            None => 0,
            Some(start) => items.partition_point(|(key, _)| *key <= start.after),
        };
        let mut page = Vec::new();
        let mut taken = first;
        while taken < items.len() && page.len() < limit {
            if matches(&items[taken].1) {
                page.push(items[taken].clone());
            }
            taken += 1;
        }
        let remaining = items[taken..].iter().filter(|(_, object)| matches(object)).count();
        if start.is_none() && remaining > 0 {
            let namespace = namespace.map(Into::into);
            self.inner.snapshots.keep(Snapshot { table, namespace, revision, items });
        }
        Ok(Page { items: page, revision, remaining })
    }

    fn page_source(
        &self,
        table: TableId,
        namespace: Option<&str>,
        start: Option<&PageStart>,
    ) -> Result<(Items, u64), PageError> {
        let Some(start) = start else {
            let Listing { items, revision } = self.list(table, namespace);
            return Ok((Arc::new(items), revision));
        };
        let kept = start.revision.and_then(|at| Some((self.inner.snapshots.find(table, namespace, at)?, at)));
        if let Some(found) = kept {
            return Ok(found);
        }
        let table = self.inner.table(table);
        let contents = table.read();
        let current = self.revision().max(contents.revision);
        let revision = start.revision.unwrap_or(current);
        if start.revision.is_some() && contents.revision > revision || revision > current {
            return Err(PageError::Expired { asked: revision, current });
        }
        let from = (Bound::Excluded(start.after.clone()), Bound::Unbounded);
        let items = contents
            .objects
            .range::<Key, _>(from)
            .filter(|((found, _), _)| namespace.is_none_or(|wanted| &**found == wanted))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        Ok((Arc::new(items), revision))
    }
}

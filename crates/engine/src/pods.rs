//! Pods as rows: what decisions read, and no more. Under 256 bytes with everything that belongs to a row.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::base::{Time, Uid};
use crate::facts::{Phase, PodFact, Trouble};
use crate::ids::{DaemonSetId, LabelSetId, NamespaceId, NodeId, PodId};

/// Where a pod belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: an orphan that no DaemonSet wants.
    Orphan,
    /// In an assignment of the DaemonSet that controls it.
    Member(DaemonSetId),
    /// In an assignment of the DaemonSet that is about to adopt it ([G3](crate::spec#g3)).
    Adopting(DaemonSetId),
    /// With the DaemonSet that controls it but does not select it ([G2](crate::spec#g2)).
    Unselected(DaemonSetId),
}

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct PodRow {
    pub uid: Uid,
    pub name: Box<str>,
    pub resource_version: u64,
    pub created: Time,
    /// When it became ready; [`NEVER`] when the condition carries no time.
    pub ready_since: Time,
    pub labels: LabelSetId,
    pub namespace: NamespaceId,
    pub node: NodeId,
    pub next: PodId,
    pub place: Place,
    pub phase: Phase,
    pub bound: bool,
    pub ready: bool,
    pub deleting: bool,
    /// A deletion was asked for, and is not yet visible.
    pub delete_sent: bool,
    /// A patch is in flight.
    pub patching: bool,
    /// Why a container does not start or stay up.
    pub trouble: Option<Trouble>,
    pub stamp: u8,
    /// How often its containers were started again, when that was read last; [`UNREAD`].
    pub restarts: u16,
    /// How long it took to get ready; [`UNREAD`].
    pub seconds_to_ready: u16,
}

/// Nobody has read it.
pub(crate) const UNREAD: u16 = u16::MAX;

/// No time at all.
pub(crate) const NEVER: Time = Time(i64::MIN);

impl PodRow {
    /// Terminating, or about to be.
    pub fn is_leaving(&self) -> bool {
        self.deleting || self.delete_sent
    }

    /// Terminating and ended: not there any more for placement ([D2](crate::spec#d2)).
    pub fn is_ignored(&self) -> bool {
        self.deleting && self.phase.is_terminal()
    }

    /// How long it took from the start of its last container until it was ready, where that is known.
    pub fn ready_seconds(&self) -> Option<u16> {
        Some(self.seconds_to_ready).filter(|seconds| *seconds != UNREAD)
    }

    /// Takes over what a fact says and can change in place.
    pub fn update(&mut self, fact: &PodFact<'_>) {
        self.resource_version = fact.resource_version;
        self.ready_since = fact.ready_since.unwrap_or(NEVER);
        (self.phase, self.bound, self.ready) = (fact.phase, fact.bound, fact.ready);
        self.deleting = fact.deleting;
        self.trouble = fact.trouble;
        self.delete_sent &= !fact.deleting;
    }
}

/// Rows per chunk: the table grows by chunks, so that it never holds twice what it needs.
const CHUNK: usize = 1024;

/// All pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pods {
    chunks: Vec<Vec<Option<PodRow>>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    pub stamp: u8,
}

impl Pods {
    /// The row of a uid.
    pub fn find(&self, uid: Uid) -> Option<PodId> {
        let hash = self.hasher.hash_one(uid);
        self.index
            .find(hash, |&id| self.get(PodId(id)).is_some_and(|row| row.uid == uid))
            .map(|&id| PodId(id))
    }

    /// The row of a number, when it is in use.
    pub fn get(&self, id: PodId) -> Option<&PodRow> {
        self.chunks.get(id.0 as usize / CHUNK)?.get(id.0 as usize % CHUNK)?.as_ref()
    }

    /// The row of a number, to change it.
    pub fn get_mut(&mut self, id: PodId) -> Option<&mut PodRow> {
        self.chunks.get_mut(id.0 as usize / CHUNK)?.get_mut(id.0 as usize % CHUNK)?.as_mut()
    }

    /// A new row.
    pub fn insert(&mut self, row: PodRow) -> PodId {
        let hash = self.hasher.hash_one(row.uid);
        let id = self.free.pop().unwrap_or_else(|| self.grow());
        self.chunks[id as usize / CHUNK][id as usize % CHUNK] = Some(row);
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        self.index.insert_unique(hash, id, |&id| {
            chunks[id as usize / CHUNK][id as usize % CHUNK]
                .as_ref()
                .map_or(0, |row| hasher.hash_one(row.uid))
        });
        PodId(id)
    }

    /// Takes a row out.
    pub fn remove(&mut self, id: PodId) -> Option<PodRow> {
        let row = self.chunks.get_mut(id.0 as usize / CHUNK)?.get_mut(id.0 as usize % CHUNK)?.take()?;
        let hash = self.hasher.hash_one(row.uid);
        if let Ok(found) = self.index.find_entry(hash, |&one| one == id.0) {
            found.remove();
        }
        self.free.push(id.0);
        Some(row)
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = (PodId, &PodRow)> {
        let rows = self.chunks.iter().flatten().enumerate();
        rows.filter_map(|(index, row)| Some((PodId(index as u32), row.as_ref()?)))
    }

    /// How many pods there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    fn grow(&mut self) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = self.chunks.len() - 1;
        let chunk = &mut self.chunks[full];
        chunk.push(None);
        (full * CHUNK + chunk.len() - 1) as u32
    }
}

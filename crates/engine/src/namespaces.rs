//! Namespaces by number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::base::Uid;
use crate::facts::RevisionFact;
use crate::ids::{DaemonSetId, NamespaceId, PodId};
use crate::timers::Retry;

/// What a namespace holds beside its DaemonSets' pods.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    pub name: Arc<str>,
    pub daemonsets: Vec<DaemonSetId>,
    pub orphans: BTreeSet<PodId>,
    pub revisions: BTreeMap<Uid, RevisionRow>,
}

/// A ControllerRevision and what is under way with it.
#[derive(Clone, Debug)]
pub(crate) struct RevisionRow {
    pub fact: RevisionFact,
    /// A write is in flight.
    pub writing: bool,
    /// Its deletion was asked for.
    pub delete_sent: bool,
    /// Adoptions or releases of it that failed.
    pub claims: Retry,
    pub stamp: u8,
}

impl RevisionRow {
    /// One that the API server has shown.
    pub fn new(fact: RevisionFact, stamp: u8) -> RevisionRow {
        RevisionRow { fact, writing: false, delete_sent: false, claims: Retry::default(), stamp }
    }
}

/// All namespaces that hold something the engine knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    rows: Vec<Option<Namespace>>,
    free: Vec<u32>,
    by_name: HashMap<Arc<str>, NamespaceId>,
}

impl Namespaces {
    /// The namespace of a name, made when there is none.
    pub fn acquire(&mut self, name: &str) -> NamespaceId {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        let name: Arc<str> = Arc::from(name);
        let row = Namespace {
            name: name.clone(),
            daemonsets: Vec::new(),
            orphans: BTreeSet::new(),
            revisions: BTreeMap::new(),
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            (self.rows.len() - 1) as u32
        });
        self.rows[id as usize] = Some(row);
        self.by_name.insert(name, NamespaceId(id));
        NamespaceId(id)
    }

    /// The namespace of a name.
    pub fn find(&self, name: &str) -> Option<NamespaceId> {
        self.by_name.get(name).copied()
    }

    /// The namespace of a number.
    pub fn get(&self, id: NamespaceId) -> Option<&Namespace> {
        self.rows.get(id.0 as usize)?.as_ref()
    }

    /// The namespace of a number, to change it.
    pub fn get_mut(&mut self, id: NamespaceId) -> Option<&mut Namespace> {
        self.rows.get_mut(id.0 as usize)?.as_mut()
    }

    /// Frees a namespace that holds nothing.
    pub fn free_if_empty(&mut self, id: NamespaceId) {
        let Some(row) = self.get(id) else { return };
        if row.daemonsets.is_empty() && row.orphans.is_empty() && row.revisions.is_empty() {
            let name = row.name.clone();
            self.by_name.remove(&name);
            self.rows[id.0 as usize] = None;
            self.free.push(id.0);
        }
    }

    /// All namespaces.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (NamespaceId, &mut Namespace)> {
        let rows = self.rows.iter_mut().enumerate();
        rows.filter_map(|(index, row)| Some((NamespaceId(index as u32), row.as_mut()?)))
    }

    /// How many namespaces there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }
}

//! Namespaces and DaemonSets by number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::actions::DaemonSetRef;
use crate::base::Uid;
use crate::slot::{Namespace, NamespaceId, Slot, SlotId};

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
            slots: Vec::new(),
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
        if row.slots.is_empty() && row.orphans.is_empty() && row.revisions.is_empty() {
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

/// All DaemonSets that are known or that some pod names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    rows: Vec<Option<Box<Slot>>>,
    free: Vec<u32>,
    by_uid: HashMap<(NamespaceId, Uid), SlotId>,
}

impl Slots {
    /// The slot of a uid, made when there is none.
    pub fn acquire(&mut self, namespaces: &mut Namespaces, namespace: NamespaceId, uid: Uid) -> SlotId {
        if let Some(&id) = self.by_uid.get(&(namespace, uid)) {
            return id;
        }
        let name = namespaces.get(namespace).map(|row| row.name.to_string()).unwrap_or_default();
        let key = Arc::new(DaemonSetRef { namespace: name, name: String::new(), uid });
        let id = SlotId(self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            (self.rows.len() - 1) as u32
        }));
        self.rows[id.0 as usize] = Some(Box::new(Slot::new(id, key, namespace)));
        self.by_uid.insert((namespace, uid), id);
        if let Some(row) = namespaces.get_mut(namespace) {
            row.slots.push(id);
        }
        id
    }

    /// The slot of a uid.
    pub fn find(&self, namespace: NamespaceId, uid: Uid) -> Option<SlotId> {
        self.by_uid.get(&(namespace, uid)).copied()
    }

    /// The slot of a number.
    pub fn get(&self, id: SlotId) -> Option<&Slot> {
        self.rows.get(id.0 as usize)?.as_deref()
    }

    /// The slot of a number, to change it.
    pub fn get_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.rows.get_mut(id.0 as usize)?.as_deref_mut()
    }

    /// Takes a slot out for a while, to work on it and on the rest of the engine at once.
    pub fn take(&mut self, id: SlotId) -> Option<Box<Slot>> {
        self.rows.get_mut(id.0 as usize)?.take()
    }

    /// Puts a slot back that was taken out.
    pub fn put_back(&mut self, slot: Box<Slot>) {
        let index = slot.id.0 as usize;
        self.rows[index] = Some(slot);
    }

    /// Frees the place of a slot that was taken out for good.
    pub fn forget(&mut self, namespaces: &mut Namespaces, slot: &Slot) {
        self.by_uid.remove(&(slot.namespace, slot.key.uid));
        self.free.push(slot.id.0);
        if let Some(row) = namespaces.get_mut(slot.namespace) {
            row.slots.retain(|id| *id != slot.id);
        }
        namespaces.free_if_empty(slot.namespace);
    }

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.rows.iter().filter_map(Option::as_deref)
    }

    /// All slots, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.rows.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }
}

//! DaemonSets by number.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::actions::DaemonSetRef;
use crate::base::Uid;
use crate::ids::{NamespaceId, NodeId, SlotId};
use crate::namespaces::Namespaces;
use crate::nodes::Nodes;
use crate::slot::Slot;

/// All DaemonSets that are known or that some pod names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    rows: Vec<Option<Box<Slot>>>,
    free: Vec<u32>,
    by_uid: HashMap<(NamespaceId, Uid), SlotId>,
    /// Those that the next decision looks at.
    active: Vec<SlotId>,
}

/// All slots but the one that is worked on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others<'a> {
    before: &'a [Option<Box<Slot>>],
    after: &'a [Option<Box<Slot>>],
}

impl Others<'_> {
    /// The slot of a number; `None` for the one that is worked on.
    pub fn get(&self, id: SlotId) -> Option<&Slot> {
        let index = id.0 as usize;
        match index.checked_sub(self.before.len()) {
            None => self.before[index].as_deref(),
            Some(past) => self.after.get(past.checked_sub(1)?)?.as_deref(),
        }
    }
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

    /// A slot to work on, and all others to look at meanwhile.
    pub fn split(&mut self, id: SlotId) -> Option<(&mut Slot, Others<'_>)> {
        let (before, rest) = self.rows.split_at_mut_checked(id.0 as usize)?;
        let (slot, after) = rest.split_first_mut()?;
        Some((slot.as_deref_mut()?, Others { before, after }))
    }

    /// Has a DaemonSet looked at by the next decision.
    pub fn activate(&mut self, id: SlotId) {
        if let Some(slot) = self.get_mut(id)
            && !slot.active
        {
            slot.active = true;
            self.active.push(id);
        }
    }

    /// Has a cell and its DaemonSet looked at by the next decision.
    pub fn touch(&mut self, nodes: &mut Nodes, id: SlotId, node: NodeId) {
        if let Some(slot) = self.get_mut(id) {
            slot.touch(nodes, node);
            self.activate(id);
        }
    }

    /// Takes the DaemonSets that are to be looked at.
    pub fn take_active(&mut self) -> Vec<SlotId> {
        std::mem::take(&mut self.active)
    }

    /// Forgets a slot.
    pub fn remove(&mut self, namespaces: &mut Namespaces, id: SlotId) {
        let Some(slot) = self.rows.get_mut(id.0 as usize).and_then(Option::take) else { return };
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

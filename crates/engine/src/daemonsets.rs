//! DaemonSets by number.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::actions::DaemonSetRef;
use crate::base::Uid;
use crate::daemonset::DaemonSetState;
use crate::ids::{DaemonSetId, NamespaceId, NodeId};
use crate::namespaces::Namespaces;
use crate::nodes::Nodes;

/// All DaemonSets that are known or that some pod names.
#[derive(Clone, Debug, Default)]
pub(crate) struct DaemonSets {
    rows: Vec<Option<Box<DaemonSetState>>>,
    free: Vec<u32>,
    by_uid: HashMap<(NamespaceId, Uid), DaemonSetId>,
    /// Those that the next decision looks at.
    active: Vec<DaemonSetId>,
}

/// All DaemonSets but the one that is worked on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others<'a> {
    before: &'a [Option<Box<DaemonSetState>>],
    after: &'a [Option<Box<DaemonSetState>>],
}

impl Others<'_> {
    /// The DaemonSet of a number; `None` for the one that is worked on.
    pub fn get(&self, id: DaemonSetId) -> Option<&DaemonSetState> {
        let index = id.0 as usize;
        match index.checked_sub(self.before.len()) {
            None => self.before[index].as_deref(),
            Some(past) => self.after.get(past.checked_sub(1)?)?.as_deref(),
        }
    }
}

impl DaemonSets {
    /// The DaemonSet of a uid, made when there is none.
    pub fn acquire(&mut self, namespaces: &mut Namespaces, namespace: NamespaceId, uid: Uid) -> DaemonSetId {
        if let Some(&id) = self.by_uid.get(&(namespace, uid)) {
            return id;
        }
        let name = namespaces.get(namespace).map(|row| row.name.to_string()).unwrap_or_default();
        let key = Arc::new(DaemonSetRef { namespace: name, name: String::new(), uid });
        let id = DaemonSetId(self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            (self.rows.len() - 1) as u32
        }));
        self.rows[id.0 as usize] = Some(Box::new(DaemonSetState::new(id, key, namespace)));
        self.by_uid.insert((namespace, uid), id);
        if let Some(row) = namespaces.get_mut(namespace) {
            row.daemonsets.push(id);
        }
        id
    }

    /// The DaemonSet of a uid.
    pub fn find(&self, namespace: NamespaceId, uid: Uid) -> Option<DaemonSetId> {
        self.by_uid.get(&(namespace, uid)).copied()
    }

    /// The DaemonSet of a number.
    pub fn get(&self, id: DaemonSetId) -> Option<&DaemonSetState> {
        self.rows.get(id.0 as usize)?.as_deref()
    }

    /// The DaemonSet of a number, to change it.
    pub fn get_mut(&mut self, id: DaemonSetId) -> Option<&mut DaemonSetState> {
        self.rows.get_mut(id.0 as usize)?.as_deref_mut()
    }

    /// A DaemonSet to work on, and all others to look at meanwhile.
    pub fn split(&mut self, id: DaemonSetId) -> Option<(&mut DaemonSetState, Others<'_>)> {
        let (before, rest) = self.rows.split_at_mut_checked(id.0 as usize)?;
        let (daemonset, after) = rest.split_first_mut()?;
        Some((daemonset.as_deref_mut()?, Others { before, after }))
    }

    /// Marks a DaemonSet for the next decision.
    pub fn activate(&mut self, id: DaemonSetId) {
        if let Some(daemonset) = self.get_mut(id)
            && !daemonset.active
        {
            daemonset.active = true;
            self.active.push(id);
        }
    }

    /// Marks an assignment and its DaemonSet for the next decision.
    pub fn touch(&mut self, nodes: &mut Nodes, id: DaemonSetId, node: NodeId) {
        if let Some(daemonset) = self.get_mut(id) {
            daemonset.touch(nodes, node);
            self.activate(id);
        }
    }

    /// Takes the DaemonSets that are to be looked at.
    pub fn take_active(&mut self) -> Vec<DaemonSetId> {
        std::mem::take(&mut self.active)
    }

    /// Gives the empty list back, whose memory the next decision needs.
    pub fn reuse(&mut self, emptied: Vec<DaemonSetId>) {
        if self.active.is_empty() {
            self.active = emptied;
        }
    }

    /// Forgets a DaemonSet.
    pub fn remove(&mut self, namespaces: &mut Namespaces, id: DaemonSetId) {
        let Some(daemonset) = self.rows.get_mut(id.0 as usize).and_then(Option::take) else { return };
        self.by_uid.remove(&(daemonset.namespace, daemonset.key.uid));
        self.free.push(daemonset.id.0);
        if let Some(row) = namespaces.get_mut(daemonset.namespace) {
            row.daemonsets.retain(|id| *id != daemonset.id);
        }
        namespaces.free_if_empty(daemonset.namespace);
    }

    /// All DaemonSets.
    pub fn iter(&self) -> impl Iterator<Item = &DaemonSetState> {
        self.rows.iter().filter_map(Option::as_deref)
    }

    /// All DaemonSets, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut DaemonSetState> {
        self.rows.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }
}

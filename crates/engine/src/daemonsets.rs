//! DaemonSets by number.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::actions::DaemonSetRef;
use crate::base::Uid;
use crate::daemonset::DaemonSetState;
use crate::ids::{DaemonSetId, NamespaceId, NodeId};
use crate::namespaces::Namespaces;
use crate::nodes::Nodes;
use crate::policy::RolloutState;

/// All DaemonSets that are known or that some pod names.
#[derive(Clone, Debug, Default)]
pub(crate) struct DaemonSets {
    rows: Vec<Option<Box<Row>>>,
    free: Vec<u32>,
    by_uid: HashMap<(NamespaceId, Uid), DaemonSetId>,
    /// Those that the next decision looks at.
    active: VecDeque<DaemonSetId>,
}

/// A DaemonSet and its roll-outs, if a policy conducts them. What works on both is given each by itself.
#[derive(Clone, Debug)]
struct Row {
    own: DaemonSetState,
    rollout: Option<Box<RolloutState>>,
}

/// All DaemonSets but the one that is worked on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others<'a> {
    before: &'a [Option<Box<Row>>],
    after: &'a [Option<Box<Row>>],
}

impl Others<'_> {
    /// The DaemonSet of a number; `None` for the one that is worked on.
    pub fn get(&self, id: DaemonSetId) -> Option<&DaemonSetState> {
        let index = id.0 as usize;
        let row = match index.checked_sub(self.before.len()) {
            None => self.before.get(index)?,
            Some(past) => self.after.get(past.checked_sub(1)?)?,
        };
        Some(&row.as_deref()?.own)
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
        let own = DaemonSetState::new(id, key, namespace);
        self.rows[id.0 as usize] = Some(Box::new(Row { own, rollout: None }));
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
        Some(&self.rows.get(id.0 as usize)?.as_deref()?.own)
    }

    /// The DaemonSet of a number, to change it.
    pub fn get_mut(&mut self, id: DaemonSetId) -> Option<&mut DaemonSetState> {
        Some(&mut self.rows.get_mut(id.0 as usize)?.as_deref_mut()?.own)
    }

    /// The roll-outs of a DaemonSet, if a policy conducts them.
    pub fn rollout(&self, id: DaemonSetId) -> Option<&RolloutState> {
        self.rows.get(id.0 as usize)?.as_deref()?.rollout.as_deref()
    }

    /// A DaemonSet and its roll-outs, to change them.
    pub fn with_rollout(
        &mut self,
        id: DaemonSetId,
    ) -> Option<(&mut DaemonSetState, &mut Option<Box<RolloutState>>)> {
        let row = self.rows.get_mut(id.0 as usize)?.as_deref_mut()?;
        Some((&mut row.own, &mut row.rollout))
    }

    /// A DaemonSet to work on with its roll-outs, and all others to look at meanwhile.
    pub fn split(
        &mut self,
        id: DaemonSetId,
    ) -> Option<(&mut DaemonSetState, Option<&mut RolloutState>, Others<'_>)> {
        let (before, rest) = self.rows.split_at_mut_checked(id.0 as usize)?;
        let (row, after) = rest.split_first_mut()?;
        let row = row.as_deref_mut()?;
        Some((&mut row.own, row.rollout.as_deref_mut(), Others { before, after }))
    }

    /// Marks a DaemonSet for the next decision.
    pub fn activate(&mut self, id: DaemonSetId) {
        if let Some(daemonset) = self.get_mut(id)
            && !daemonset.active
        {
            daemonset.active = true;
            self.active.push_back(id);
        }
    }

    /// Marks an assignment and its DaemonSet for the next decision.
    pub fn touch(&mut self, nodes: &mut Nodes, id: DaemonSetId, node: NodeId) {
        if let Some(daemonset) = self.get_mut(id) {
            daemonset.touch(nodes, node);
            self.activate(id);
        }
    }

    /// The next DaemonSet that is to be looked at; it is not marked any more.
    pub fn next_active(&mut self) -> Option<DaemonSetId> {
        let id = self.active.pop_front()?;
        if let Some(daemonset) = self.get_mut(id) {
            daemonset.active = false;
        }
        Some(id)
    }

    /// Forgets a DaemonSet.
    pub fn remove(&mut self, namespaces: &mut Namespaces, id: DaemonSetId) {
        let Some(row) = self.rows.get_mut(id.0 as usize).and_then(Option::take) else { return };
        let daemonset = row.own;
        self.by_uid.remove(&(daemonset.namespace, daemonset.key.uid));
        self.free.push(daemonset.id.0);
        if let Some(row) = namespaces.get_mut(daemonset.namespace) {
            row.daemonsets.retain(|id| *id != daemonset.id);
        }
        namespaces.free_if_empty(daemonset.namespace);
    }

    /// All DaemonSets.
    pub fn iter(&self) -> impl Iterator<Item = &DaemonSetState> {
        self.rows.iter().filter_map(|row| Some(&row.as_deref()?.own))
    }

    /// All DaemonSets, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut DaemonSetState> {
        self.rows.iter_mut().filter_map(|row| Some(&mut row.as_deref_mut()?.own))
    }

    /// The DaemonSets whose roll-outs policies conduct, with these.
    pub fn rollouts(&self) -> impl Iterator<Item = (&DaemonSetState, &RolloutState)> {
        self.rows.iter().filter_map(|row| {
            let row = row.as_deref()?;
            Some((&row.own, row.rollout.as_deref()?))
        })
    }

    /// The same, to change the roll-outs.
    pub fn rollouts_mut(&mut self) -> impl Iterator<Item = (&DaemonSetState, &mut RolloutState)> {
        self.rows.iter_mut().filter_map(|row| {
            let row = row.as_deref_mut()?;
            Some((&row.own, row.rollout.as_deref_mut()?))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }
}

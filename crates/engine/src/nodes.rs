//! Nodes as rows, and their shapes.
//!
//! Placement reads few label keys and no more of a taint than its key, effect and sometimes value. Reduced to what
//! some DaemonSet reads, most nodes of a fleet are alike: they have the same *shape*. Eligibility is computed once
//! per DaemonSet and shape.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::base::Time;
use crate::facts::NodeFact;
use crate::ids::NodeId;
use crate::intern::{Interner, Name};
use crate::placement::{Effect, NodeView, Taint};

/// Names a shape, for as long as some node has it. `generation` tells it from earlier users of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShapeId {
    pub index: u32,
    pub generation: u32,
}

type NameTaint = (Name, Name, Effect);

#[derive(Clone, Debug)]
struct Row {
    name: Arc<str>,
    labels: Box<[(Name, Name)]>,
    taints: Box<[NameTaint]>,
    fingerprint: u64,
    users: u32,
    shape: u32,
    not_ready_since: Option<Time>,
    present: bool,
    stamp: u8,
}

#[derive(Debug, PartialEq, Eq, Hash, Default, Clone)]
struct Shape {
    labels: Vec<(Name, Name)>,
    taints: Vec<NameTaint>,
}

#[derive(Clone, Debug, Default)]
struct ShapeEntry {
    shape: Shape,
    users: u32,
    generation: u32,
}

/// What became of a node fact.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that matters.
    None,
    /// Something that placement does not read.
    Unplaced(NodeId),
    /// Placement may see the node differently.
    Changed(NodeId),
}

/// All nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    rows: Vec<Row>,
    free: Vec<u32>,
    by_name: HashMap<Arc<str>, NodeId>,
    names: Interner,
    shapes: Vec<ShapeEntry>,
    free_shapes: Vec<u32>,
    shape_index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    read_labels: Vec<Name>,
    read_taint_values: Vec<Name>,
    reads_all_taint_values: bool,
    stamp: u8,
}

/// A row as the placement predicates see it.
pub(crate) struct RowView<'a> {
    row: &'a Row,
    names: &'a Interner,
}

impl NodeView for RowView<'_> {
    fn name(&self) -> &str {
        &self.row.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        let key = self.names.find(key)?;
        self.row.labels.iter().find(|(one, _)| *one == key).map(|(_, value)| self.names.text(*value))
    }

    fn taints(&self) -> impl Iterator<Item = Taint<'_>> {
        self.row.taints.iter().map(|&(key, value, effect)| Taint {
            key: self.names.text(key),
            value: self.names.text(value),
            effect,
        })
    }
}

impl Nodes {
    /// Takes a node's state in.
    pub fn apply(&mut self, fact: &NodeFact<'_>) -> Change {
        let fingerprint = self.hasher.hash_one((
            fact.labels,
            fact.not_ready_since,
            fact.taints.len(),
            // Hashing pair by pair keeps this free of allocations.
            fact.taints.iter().fold(0_u64, |sum, taint| sum.rotate_left(7) ^ self.hasher.hash_one(taint)),
        ));
        if let Some(&id) = self.by_name.get(fact.name) {
            let row = &mut self.rows[id.0 as usize];
            row.stamp = self.stamp;
            if row.present && row.fingerprint == fingerprint {
                return Change::None;
            }
        }
        let id = self.find_or_insert(fact.name);
        let labels: Box<[(Name, Name)]> = fact
            .labels
            .iter()
            .map(|(key, value)| (self.names.acquire(key), self.names.acquire(value)))
            .collect();
        let taints: Box<[NameTaint]> = fact
            .taints
            .iter()
            .filter(|taint| taint.effect.keeps_pods_away())
            .map(|taint| (self.names.acquire(taint.key), self.names.acquire(taint.value), taint.effect))
            .collect();
        let stamp = self.stamp;
        let row = &mut self.rows[id.0 as usize];
        let (was_present, old_shape) = (row.present, row.shape);
        row.not_ready_since = fact.not_ready_since;
        let old_labels = std::mem::replace(&mut row.labels, labels);
        let old_taints = std::mem::replace(&mut row.taints, taints);
        (row.fingerprint, row.present, row.stamp) = (fingerprint, true, stamp);
        self.take_shape(id);
        self.release_names(&old_labels, &old_taints);
        if was_present {
            let is_same = self.rows[id.0 as usize].shape == old_shape;
            self.drop_shape(old_shape);
            if is_same {
                return Change::Unplaced(id);
            }
        }
        Change::Changed(id)
    }

    /// The node is gone; its row stays while something refers to it.
    pub fn remove(&mut self, name: &str) -> Change {
        match self.by_name.get(name) {
            Some(&id) if self.rows[id.0 as usize].present => {
                self.drop_content(id);
                Change::Changed(id)
            }
            _ => Change::None,
        }
    }

    /// A row for this name, present or not, with one more user.
    pub fn acquire(&mut self, name: &str) -> NodeId {
        let id = self.find_or_insert(name);
        self.rows[id.0 as usize].users += 1;
        id
    }

    /// One more user of a row.
    pub fn retain(&mut self, id: NodeId) {
        if id != NodeId::NONE {
            let row = &mut self.rows[id.0 as usize];
            debug_assert!(row.present || row.users > 0, "a row that was freed is used");
            row.users += 1;
        }
    }

    /// One user less.
    pub fn release(&mut self, id: NodeId) {
        if id != NodeId::NONE {
            self.rows[id.0 as usize].users -= 1;
            self.free_if_unused(id);
        }
    }

    /// Frees the row of a node that is gone and that nothing refers to.
    pub fn free_if_unused(&mut self, id: NodeId) {
        let row = &mut self.rows[id.0 as usize];
        if row.present || row.users > 0 {
            return;
        }
        let name = std::mem::replace(&mut row.name, Arc::from(""));
        self.by_name.remove(&*name);
        self.free.push(id.0);
    }

    /// The row of a name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// metadata.name.
    pub fn name(&self, id: NodeId) -> &Arc<str> {
        &self.rows[id.0 as usize].name
    }

    /// The node exists.
    pub fn is_present(&self, id: NodeId) -> bool {
        id != NodeId::NONE && self.rows[id.0 as usize].present
    }

    /// Since when the node is not ready.
    pub fn not_ready_since(&self, id: NodeId) -> Option<Time> {
        self.rows[id.0 as usize].not_ready_since
    }

    /// The node's shape.
    pub fn shape(&self, id: NodeId) -> ShapeId {
        let index = self.rows[id.0 as usize].shape;
        ShapeId { index, generation: self.shapes[index as usize].generation }
    }

    /// The node for the placement predicates.
    pub fn view(&self, id: NodeId) -> RowView<'_> {
        RowView { row: &self.rows[id.0 as usize], names: &self.names }
    }

    /// The labels of a node.
    pub fn labels(&self, id: NodeId) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.rows[id.0 as usize].labels.iter();
        labels.map(|(key, value)| (self.names.text(*key), self.names.text(*value)))
    }

    /// All nodes that exist.
    pub fn present(&self) -> impl Iterator<Item = NodeId> {
        let rows = self.rows.iter().enumerate();
        rows.filter(|(_, row)| row.present).map(|(index, _)| NodeId(index as u32))
    }

    /// Begins a complete list.
    pub fn begin_relist(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
    }

    /// The nodes that the complete list did not name.
    pub fn not_listed(&self) -> Vec<Arc<str>> {
        let rows = self.rows.iter().filter(|row| row.present && row.stamp != self.stamp);
        rows.map(|row| row.name.clone()).collect()
    }

    /// How many texts, rows and shapes are in use: what must come back to nothing when the world is empty.
    pub fn footprint(&self) -> (usize, usize, usize) {
        (self.names.len(), self.by_name.len(), self.shape_index.len())
    }

    /// Tells which label keys and taint values are read; shapes are computed anew when a new one is among them.
    pub fn set_read_keys<'a>(
        &mut self,
        labels: impl Iterator<Item = &'a str>,
        taint_values: impl Iterator<Item = &'a str>,
    ) {
        let (labels, _) = self.acquire_all(labels);
        let (taint_values, reads_all) = self.acquire_all(taint_values);
        let known = |new: &[Name], old: &[Name]| new.iter().all(|name| old.contains(name));
        let unchanged = known(&labels, &self.read_labels)
            && known(&taint_values, &self.read_taint_values)
            && (self.reads_all_taint_values || !reads_all);
        let (old_labels, old_taints) = if unchanged {
            (labels, taint_values)
        } else {
            self.reads_all_taint_values = reads_all;
            let old_labels = std::mem::replace(&mut self.read_labels, labels);
            (old_labels, std::mem::replace(&mut self.read_taint_values, taint_values))
        };
        for name in old_labels.into_iter().chain(old_taints) {
            self.names.release(name);
        }
        if !unchanged {
            let present: Vec<NodeId> = self.present().collect();
            present.into_iter().for_each(|id| self.change_shape(id));
        }
    }

    /// The names of some texts, each once and in order, and whether the empty text is among them.
    fn acquire_all<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> (Vec<Name>, bool) {
        let mut found: Vec<Name> = Vec::new();
        let mut has_empty = false;
        for text in texts {
            has_empty |= text.is_empty();
            let name = self.names.acquire(text);
            if found.contains(&name) {
                self.names.release(name);
            } else {
                found.push(name);
            }
        }
        found.sort_unstable();
        (found, has_empty)
    }

    fn find_or_insert(&mut self, name: &str) -> NodeId {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        let row = Row {
            name: Arc::from(name),
            labels: Box::default(),
            taints: Box::default(),
            fingerprint: 0,
            users: 0,
            shape: 0,
            not_ready_since: None,
            present: false,
            stamp: self.stamp,
        };
        let name = row.name.clone();
        let id = match self.free.pop() {
            Some(id) => {
                self.rows[id as usize] = row;
                NodeId(id)
            }
            None => {
                self.rows.push(row);
                NodeId((self.rows.len() - 1) as u32)
            }
        };
        self.by_name.insert(name, id);
        id
    }

    fn drop_content(&mut self, id: NodeId) {
        if !self.rows[id.0 as usize].present {
            return;
        }
        self.drop_shape(self.rows[id.0 as usize].shape);
        let row = &mut self.rows[id.0 as usize];
        row.present = false;
        let (labels, taints) = (std::mem::take(&mut row.labels), std::mem::take(&mut row.taints));
        self.release_names(&labels, &taints);
    }

    fn release_names(&mut self, labels: &[(Name, Name)], taints: &[NameTaint]) {
        let label_names = labels.iter().flat_map(|&(key, value)| [key, value]);
        let taint_names = taints.iter().flat_map(|&(key, value, _)| [key, value]);
        label_names.chain(taint_names).for_each(|name| self.names.release(name));
    }

    fn project(&self, id: NodeId) -> Shape {
        let row = &self.rows[id.0 as usize];
        let read = |name: &Name, keys: &[Name]| keys.binary_search(name).is_ok();
        let mut labels: Vec<(Name, Name)> =
            row.labels.iter().filter(|(key, _)| read(key, &self.read_labels)).copied().collect();
        labels.sort_unstable();
        let mut taints: Vec<NameTaint> = row
            .taints
            .iter()
            .map(|&(key, value, effect)| {
                let value_matters = self.reads_all_taint_values || read(&key, &self.read_taint_values);
                // A key is no value of itself in practice; it stands for "some value".
                (key, if value_matters { value } else { key }, effect)
            })
            .collect();
        taints.sort_unstable();
        Shape { labels, taints }
    }

    fn take_shape(&mut self, id: NodeId) {
        let shape = self.project(id);
        let hash = self.hasher.hash_one(&shape);
        let found = self.shape_index.find(hash, |&index| self.shapes[index as usize].shape == shape).copied();
        let index = found.unwrap_or_else(|| self.insert_shape(hash, shape));
        self.shapes[index as usize].users += 1;
        self.rows[id.0 as usize].shape = index;
    }

    fn insert_shape(&mut self, hash: u64, shape: Shape) -> u32 {
        let index = self.free_shapes.pop().unwrap_or_else(|| {
            self.shapes.push(ShapeEntry::default());
            (self.shapes.len() - 1) as u32
        });
        let entry = &mut self.shapes[index as usize];
        *entry = ShapeEntry { shape, users: 0, generation: entry.generation.wrapping_add(1) };
        let (shapes, hasher) = (&self.shapes, &self.hasher);
        self.shape_index.insert_unique(hash, index, |&index| hasher.hash_one(&shapes[index as usize].shape));
        index
    }

    fn drop_shape(&mut self, index: u32) {
        let entry = &mut self.shapes[index as usize];
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&entry.shape);
        if let Ok(found) = self.shape_index.find_entry(hash, |&one| one == index) {
            found.remove();
        }
        self.shapes[index as usize].shape = Shape::default();
        self.free_shapes.push(index);
    }

    fn change_shape(&mut self, id: NodeId) {
        let old = self.rows[id.0 as usize].shape;
        self.take_shape(id);
        self.drop_shape(old);
    }
}

//! A fleet as columns: names once, and for each daemon a byte of each kind for each node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use everynode_api::AnalysisStatus;
use everynode_inspect::status::Row;
use everynode_inspect::{Cell, Class};
use everynode_plan::Fleet;
use everynode_plan::record::{Node, Text};
use serde_json::{Value, json};

use crate::summary;

/// Values of a label by which nodes can be grouped, at most: more of them name nodes.
const VALUES: usize = 1_000;
/// Labels at most.
const LABELS: usize = 100;
/// Nothing is known of the DaemonSet on the node, or there is no value.
pub const NOTHING: u8 = u8::MAX;

/// Bits of a node's state.
const NOT_READY: u8 = 1;
const DOWN: u8 = 2;
const CORDONED: u8 = 4;
const NO_NODE: u8 = 8;

/// Bits of a cell's flags.
/// Failed under its policy.
pub const HAS_FAILED: u8 = 1;
const USES_BUDGET: u8 = 2;

/// A fleet at one time.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// When it was so, in Unix milliseconds.
    pub taken_at_millis: i64,
    /// The nodes: those that there are by name, then those that pods name only.
    pub nodes: Vec<Text>,
    /// Bits: 1 not ready, 2 does not answer, 4 cordoned, 8 there is no Node object.
    pub node_states: Vec<u8>,
    /// The labels by which nodes can be grouped.
    pub labels: Labels,
    /// The DaemonSets, by namespace and name.
    pub columns: Vec<Arc<Column>>,
    /// The causes by their numbers in columns.
    pub kinds: BTreeMap<u8, String>,
    /// What could not be read, and what that may change.
    pub not_seen: Vec<String>,
}

/// The labels of nodes: for each key its values, and which of them each node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<String, (Vec<String>, Vec<u16>)>);

/// One DaemonSet: a byte for each node in each list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// The class, by its place in [`Class`].
    pub classes: Vec<u8>,
    /// The cause, by [`Picture::kinds`].
    pub kinds: Vec<u8>,
    /// The wave, from 1.
    pub waves: Vec<u8>,
    /// Restarts, 254 and more as 254.
    pub restarts: Vec<u8>,
    /// The revision, by its place in `hashes`.
    pub revisions: Vec<u8>,
    /// Bits: 1 failed under its policy, 2 uses the budget.
    pub flags: Vec<u8>,
    /// Values of controller-revision-hash.
    pub hashes: Vec<String>,
    /// What `status` says of it, with numbers of nodes instead of their names.
    pub summary: Value,
}

/// The lists of a column that can be had one by one.
pub const LAYERS: [&str; 4] = ["wave", "restarts", "revision", "flags"];

impl Column {
    /// A list by its name in `LAYERS`.
    pub fn layer(&self, name: &str) -> Option<&[u8]> {
        match name {
            "wave" => Some(&self.waves),
            "restarts" => Some(&self.restarts),
            "revision" => Some(&self.revisions),
            "flags" => Some(&self.flags),
            _ => None,
        }
    }

    /// Everything of one node.
    pub fn cell(&self, node: usize) -> [u8; 6] {
        let lists = [&self.classes, &self.kinds, &self.waves, &self.restarts, &self.revisions, &self.flags];
        lists.map(|list| list.get(node).copied().unwrap_or(NOTHING))
    }

    /// The nodes of which something differs, when both are of the same nodes.
    pub fn changed(&self, before: &Column) -> Vec<usize> {
        (0..self.classes.len()).filter(|node| self.cell(*node) != before.cell(*node)).collect()
    }
}

impl Picture {
    /// The nodes of a fleet, without a DaemonSet.
    pub fn of_nodes(fleet: &Fleet) -> Picture {
        Picture {
            taken_at_millis: fleet.taken_at_millis,
            nodes: fleet.nodes.iter().map(|node| node.name.clone()).collect(),
            node_states: fleet.nodes.iter().map(state).collect(),
            labels: Labels::of(&fleet.nodes),
            ..Picture::default()
        }
    }

    /// Both are of the same nodes and DaemonSets, so that one follows from the other by deltas.
    pub fn is_alike(&self, other: &Picture) -> bool {
        let names = |picture: &Picture| {
            let name = |column: &Arc<Column>| (column.namespace.clone(), column.name.clone());
            picture.columns.iter().map(name).collect::<Vec<_>>()
        };
        self.nodes == other.nodes
            && self.node_states == other.node_states
            && self.labels == other.labels
            && self.not_seen == other.not_seen
            && names(self) == names(other)
    }

    /// Makes the column of a DaemonSet. `places` are those of the nodes; one that only a pod names is added. The
    /// revisions keep the numbers that they had `before`.
    pub fn column(&mut self, places: &mut Places, seen: Seen, before: Option<&Column>) -> Column {
        let Seen { row, analysis } = seen;
        let mut column = Column {
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            hashes: before.map(|before| before.hashes.clone()).unwrap_or_default(),
            ..Column::default()
        };
        for cell in &row.cells {
            let node = self.place(places, &cell.node);
            column.reach(self.nodes.len());
            column.set(node, cell);
            self.kinds.entry(cell.kind as u8).or_insert_with(|| summary::word(&cell.kind));
        }
        column.reach(self.nodes.len());
        column.summary = summary::of_row(row, analysis.as_ref());
        column
    }

    fn place(&mut self, places: &mut Places, node: &Text) -> usize {
        if let Some(place) = places.0.get(node) {
            return *place;
        }
        let place = self.nodes.len();
        self.nodes.push(node.clone());
        self.node_states.push(NO_NODE);
        places.0.insert(node.clone(), place);
        place
    }

    /// Has all lists as long as there are nodes.
    pub fn settle(&mut self) {
        let count = self.nodes.len();
        let short = self.columns.iter_mut().filter(|column| column.classes.len() < count);
        short.for_each(|column| Arc::make_mut(column).reach(count));
        self.labels.0.values_mut().for_each(|(_, values)| values.resize(count, u16::MAX));
    }

    /// What the page is told beside columns.
    pub fn summaries(&self) -> Value {
        let rows: Vec<&Value> = self.columns.iter().map(|column| &column.summary).collect();
        json!({"daemonsets": rows, "notSeen": self.not_seen})
    }
}

/// What was seen of a DaemonSet.
pub struct Seen {
    /// What `status` says.
    pub row: Row,
    /// What the status of its policy says of the analysis, and how rare by chance evidence must be to make it worse: once in
    /// so many roll-outs.
    pub analysis: Option<(AnalysisStatus, u64)>,
}

/// Where each node stands in a picture, by its name.
#[derive(Clone, Debug, Default)]
pub struct Places(HashMap<Text, usize>);

impl Places {
    /// Those of a picture.
    pub fn of(picture: &Picture) -> Places {
        Places(picture.nodes.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect())
    }

    /// That of a node.
    pub fn get(&self, node: &str) -> Option<usize> {
        self.0.get(node).copied()
    }
}

impl Column {
    fn reach(&mut self, nodes: usize) {
        let lists = [
            &mut self.classes,
            &mut self.kinds,
            &mut self.waves,
            &mut self.restarts,
            &mut self.revisions,
            &mut self.flags,
        ];
        for (number, list) in lists.into_iter().enumerate() {
            // Of waves, restarts and flags none is nothing.
            let none = if matches!(number, 2 | 3 | 5) { 0 } else { NOTHING };
            list.resize(list.len().max(nodes), none);
        }
    }

    fn set(&mut self, node: usize, cell: &Cell) {
        let small = |number: i64| u8::try_from(number.clamp(0, 254)).unwrap_or(NOTHING);
        self.classes[node] = class_number(cell.class);
        self.kinds[node] = cell.kind as u8;
        self.waves[node] = cell.wave.map_or(0, |wave| small(i64::try_from(wave).unwrap_or(254)));
        self.restarts[node] = small(cell.restarts);
        self.revisions[node] = cell.revision.as_deref().map_or(NOTHING, |hash| self.hash(hash));
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        self.flags[node] = flag(cell.has_failed, HAS_FAILED) | flag(cell.uses_budget, USES_BUDGET);
    }

    fn hash(&mut self, hash: &str) -> u8 {
        let place = self.hashes.iter().position(|one| one == hash).unwrap_or_else(|| {
            self.hashes.push(hash.to_owned());
            self.hashes.len() - 1
        });
        u8::try_from(place).unwrap_or(NOTHING)
    }
}

/// The number of a class in columns.
pub fn class_number(class: Class) -> u8 {
    class as u8
}

fn state(node: &Node) -> u8 {
    let ready = match &*node.ready {
        "True" => 0,
        "Unknown" => DOWN,
        _ => NOT_READY,
    };
    ready | if node.unschedulable { CORDONED } else { 0 }
}

impl Labels {
    fn of(nodes: &[Node]) -> Labels {
        let mut found: BTreeMap<&str, (HashMap<&str, u16>, Vec<u16>)> = BTreeMap::new();
        for (place, node) in nodes.iter().enumerate() {
            for (key, value) in node.labels.iter().chain(node.system.iter()) {
                if found.len() == LABELS && !found.contains_key(key) {
                    continue;
                }
                let (values, column) = found.entry(key).or_default();
                if values.len() <= VALUES {
                    column.resize(nodes.len(), u16::MAX);
                    let next = u16::try_from(values.len()).unwrap_or(u16::MAX);
                    column[place] = *values.entry(value).or_insert(next);
                }
            }
        }
        let grouping = found.into_iter().filter(|(_, (values, _))| values.len() <= VALUES);
        Labels(grouping.map(|(key, (values, column))| (key.to_owned(), sorted(&values, column))).collect())
    }
}

impl Labels {
    /// The labels of a node, and their values.
    pub fn of_node(&self, node: usize) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |(key, (values, nodes))| {
            Some((key.as_str(), values.get(usize::from(*nodes.get(node)?))?.as_str()))
        })
    }
}

/// Values by name.
fn sorted(values: &HashMap<&str, u16>, mut column: Vec<u16>) -> (Vec<String>, Vec<u16>) {
    let mut names: Vec<(&str, u16)> = values.iter().map(|(name, number)| (*name, *number)).collect();
    names.sort_unstable();
    let mut moved = vec![u16::MAX; names.len()];
    for (place, (_, number)) in (0u16..).zip(&names) {
        moved[usize::from(*number)] = place;
    }
    for value in &mut column {
        *value = moved.get(usize::from(*value)).copied().unwrap_or(u16::MAX);
    }
    (names.into_iter().map(|(name, _)| name.to_owned()).collect(), column)
}

//! Pods in little memory: what all pods of a template share is kept once, what is a pod's own in a
//! row of 40 bytes. A pod that is not ready tells more, and is kept whole.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use everynode_engine::Uid;
use everynode_plan::record::{Pod, Taken, Text};
use hashbrown::{DefaultHashBuilder, HashTable};

/// Shapes of one DaemonSet's pods at most; pods of more are kept whole.
const SHAPES: usize = 64;
/// Bytes of a name after what all pods of a shape have.
const SUFFIX: usize = 7;
/// Stands in the name of a shape for the name of the node. No name has it.
const NODE: char = '\0';
/// Of no shape: the row is free.
const FREE: u16 = u16::MAX;
/// Rows per chunk: the table grows by chunks, so that it never holds twice what it needs.
const CHUNK: usize = 4096;

/// What is a pod's own.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// In halves: a row is then no longer than its parts.
    uid: [u64; 2],
    /// In Unix seconds.
    created: u32,
    /// In Unix seconds.
    ready_since: u32,
    /// By its place in `nodes`.
    node: u32,
    /// By its place in `shapes`.
    shape: u16,
    restarts: u16,
    suffix: [u8; SUFFIX],
    /// The list that has shown it last.
    stamp: u8,
}

impl Row {
    fn uid(&self) -> Uid {
        Uid(u128::from(self.uid[0]) << 64 | u128::from(self.uid[1]))
    }
}

/// The halves of a uid.
fn halves(Uid(bits): Uid) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

/// The pods.
#[derive(Debug, Default)]
pub struct Book {
    chunks: Vec<Vec<Row>>,
    free: Vec<u32>,
    by_uid: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// A pod of each shape, without what is a pod's own; its name ends where the pods' own begins, and has [`NODE`] for
    /// the name of the node.
    shapes: Vec<Pod>,
    /// The shapes of a DaemonSet, by its uid; of pods that nobody controls by no uid.
    by_daemonset: HashMap<Text, Vec<u16>>,
    nodes: Vec<Text>,
    by_node: HashMap<Text, u32>,
    /// Pods that are kept whole, with the list that has shown them last.
    whole: BTreeMap<Uid, (u8, Pod)>,
    stamp: u8,
}

impl Book {
    /// A list of all pods begins.
    pub fn begin_list(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
    }

    /// The list ended: what it has not shown is gone. Returns the uids of the DaemonSets that have lost pods.
    pub fn end_list(&mut self) -> Vec<Text> {
        let stamp = self.stamp;
        let stale = self.rows().filter(|(_, row)| row.stamp != stamp).map(|(_, row)| row.uid());
        let stale_whole = self.whole.iter().filter(|(_, (seen, _))| *seen != stamp).map(|(uid, _)| *uid);
        let stale: Vec<Uid> = stale.chain(stale_whole).collect();
        let mut owners: Vec<Text> = stale.into_iter().filter_map(|uid| self.remove(uid)).collect();
        owners.sort();
        owners.dedup();
        owners
    }

    /// Takes a pod in, or puts it in the place of what was known of it.
    pub fn put(&mut self, pod: Pod) {
        let Some(uid) = Uid::parse(&pod.uid) else { return };
        self.remove(uid);
        match self.row(&pod, uid) {
            Some(row) => self.insert(row),
            None => drop(self.whole.insert(uid, (self.stamp, pod))),
        }
    }

    /// Takes a pod out, and tells the uid of its DaemonSet; no uid when nobody controlled it.
    pub fn remove(&mut self, uid: Uid) -> Option<Text> {
        if let Some((_, pod)) = self.whole.remove(&uid) {
            return Some(pod.daemon_set.unwrap_or_default());
        }
        let (chunks, hash) = (&self.chunks, self.hasher.hash_one(uid));
        let entry = self.by_uid.find_entry(hash, |id| row_of(chunks, *id).uid() == uid).ok()?;
        let (id, _) = entry.remove();
        let row = &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK];
        let shape = std::mem::replace(&mut row.shape, FREE);
        self.free.push(id);
        Some(self.shapes[shape as usize].daemon_set.clone().unwrap_or_default())
    }

    /// The pods of a DaemonSet, by its uid; those that nobody controls, by no uid.
    pub fn pods_of(&self, daemonset: &str) -> Vec<Pod> {
        let mut pods = Vec::new();
        self.each_of(daemonset, &mut |pod| pods.push(pod.clone()));
        pods
    }

    /// Shows the same pods, one after the other.
    pub fn each_of(&self, daemonset: &str, see: &mut dyn FnMut(&Pod)) {
        let shapes = self.by_daemonset.get(daemonset).map(Vec::as_slice).unwrap_or_default();
        let is_own = |row: &Row| shapes.contains(&row.shape);
        self.rows().filter(|(_, row)| is_own(row)).for_each(|(_, row)| see(&self.pod(row)));
        let whole = self.whole.values().map(|(_, pod)| pod);
        whole.filter(|pod| owner(pod) == daemonset).for_each(see);
    }

    /// The pod of a uid.
    pub fn find(&self, uid: Uid) -> Option<Pod> {
        if let Some((_, pod)) = self.whole.get(&uid) {
            return Some(pod.clone());
        }
        let hash = self.hasher.hash_one(uid);
        let id = self.by_uid.find(hash, |id| row_of(&self.chunks, *id).uid() == uid)?;
        Some(self.pod(row_of(&self.chunks, *id)))
    }

    /// How many pods there are.
    pub fn count(&self) -> usize {
        self.by_uid.len() + self.whole.len()
    }

    /// Whether all pods of a DaemonSet are ready, alike and so many.
    pub fn is_even(&self, daemonset: &str, count: usize) -> bool {
        let Some([shape]) = self.by_daemonset.get(daemonset).map(Vec::as_slice) else { return false };
        let is_whole = self.whole.values().any(|(_, pod)| owner(pod) == daemonset);
        !is_whole && self.rows().filter(|(_, row)| row.shape == *shape).count() == count
    }

    /// All pods.
    pub fn pods(&self) -> impl Iterator<Item = Pod> {
        self.rows().map(|(_, row)| self.pod(row)).chain(self.whole.values().map(|(_, pod)| pod.clone()))
    }

    /// What the pods of all other DaemonSets take of their nodes.
    pub fn taken_by_others(&self, daemonset: &str) -> Vec<Taken> {
        let shapes = |uid: &str| self.by_daemonset.get(uid).into_iter().flatten();
        let left_out: Vec<u16> = shapes(daemonset).chain(shapes("")).copied().collect();
        let mut sums: HashMap<(&str, i32), Taken> = HashMap::new();
        for (_, row) in self.rows().filter(|(_, row)| !left_out.contains(&row.shape)) {
            take(&mut sums, &self.nodes[row.node as usize], &self.shapes[row.shape as usize]);
        }
        for (_, pod) in self.whole.values() {
            let is_other = !["", daemonset].contains(&owner(pod)) && !pod.phase().is_terminal();
            if let Some(node) = pod.node.as_deref().filter(|_| is_other && pod.bound) {
                take(&mut sums, node, pod);
            }
        }
        let mut all: Vec<Taken> = sums.into_values().collect();
        all.sort_by(|a, b| (&a.node, a.priority).cmp(&(&b.node, b.priority)));
        all
    }

    fn rows(&self) -> impl Iterator<Item = (u32, &Row)> {
        let rows = (0u32..).zip(self.chunks.iter().flatten());
        rows.filter(|(_, row)| row.shape != FREE)
    }

    fn insert(&mut self, row: Row) {
        let id = match self.free.pop() {
            Some(id) => {
                self.chunks[id as usize / CHUNK][id as usize % CHUNK] = row;
                id
            }
            None => self.push(row),
        };
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let hash = hasher.hash_one(row.uid());
        self.by_uid.insert_unique(hash, id, |id| hasher.hash_one(row_of(chunks, *id).uid()));
    }

    fn push(&mut self, row: Row) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = self.chunks.len() - 1;
        self.chunks[full].push(row);
        u32::try_from(full * CHUNK + self.chunks[full].len() - 1).unwrap_or(u32::MAX)
    }

    /// The row of a pod that fits into one.
    fn row(&mut self, pod: &Pod, uid: Uid) -> Option<Row> {
        let tells_more = !pod.ready || pod.detail.is_some() || pod.deleting || !pod.waiting.is_empty();
        if tells_more || pod.delete_by.is_some() || pod.grace_seconds.is_some() {
            return None;
        }
        let (created, ready_since) =
            (u32::try_from(pod.created).ok()?, u32::try_from(pod.ready_since?).ok()?);
        let restarts = u16::try_from(pod.restarts).ok()?;
        let cut = pod.name.rfind('-').map_or(0, |dash| dash + 1);
        let own = pod.name.as_bytes().get(cut..).filter(|own| own.len() <= SUFFIX && !own.contains(&0))?;
        let mut suffix = [0; SUFFIX];
        suffix[..own.len()].copy_from_slice(own);
        let node = pod.node.as_ref()?;
        let shape = self.shape_of(pod, &head(&pod.name[..cut], node)?)?;
        let (uid, node, stamp) = (halves(uid), self.node_of(node), self.stamp);
        Some(Row { uid, created, ready_since, node, shape, restarts, suffix, stamp })
    }

    fn node_of(&mut self, name: &Text) -> u32 {
        if let Some(index) = self.by_node.get(name) {
            return *index;
        }
        let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(name.clone());
        self.by_node.insert(name.clone(), index);
        index
    }

    fn shape_of(&mut self, pod: &Pod, head: &str) -> Option<u16> {
        let shapes = self.by_daemonset.entry(pod.daemon_set.clone().unwrap_or_default()).or_default();
        let known = shapes.iter().find(|shape| is_of(&self.shapes[**shape as usize], pod, head));
        if let Some(shape) = known {
            return Some(*shape);
        }
        if shapes.len() == SHAPES {
            return None;
        }
        let shape = u16::try_from(self.shapes.len()).ok().filter(|shape| *shape != FREE)?;
        shapes.push(shape);
        let name = head.to_owned();
        let bare = Pod { name, uid: String::new(), node: None, created: 0, ready_since: None, ..pod.clone() };
        self.shapes.push(Pod { restarts: 0, ..bare });
        Some(shape)
    }

    fn pod(&self, row: &Row) -> Pod {
        let shape = &self.shapes[row.shape as usize];
        let length = row.suffix.iter().position(|byte| *byte == 0).unwrap_or(SUFFIX);
        let node = &self.nodes[row.node as usize];
        let mut name = shape.name.replace(NODE, node);
        name.push_str(&String::from_utf8_lossy(&row.suffix[..length]));
        Pod {
            name,
            uid: row.uid().to_string(),
            node: Some(node.clone()),
            created: i64::from(row.created),
            ready_since: Some(i64::from(row.ready_since)),
            restarts: i64::from(row.restarts),
            ..shape.clone()
        }
    }
}

fn owner(pod: &Pod) -> &str {
    pod.daemon_set.as_deref().unwrap_or_default()
}

fn row_of(chunks: &[Vec<Row>], id: u32) -> &Row {
    &chunks[id as usize / CHUNK][id as usize % CHUNK]
}

fn take<'a>(sums: &mut HashMap<(&'a str, i32), Taken>, node: &'a str, pod: &Pod) {
    let new = || Taken { node: node.to_owned(), priority: pod.priority, ..Taken::default() };
    sums.entry((node, pod.priority)).or_insert_with(new).add(1, &pod.need);
}

/// What a name begins with, with the name of the node taken out; `None` when nothing could tell that.
fn head<'a>(name: &'a str, node: &str) -> Option<Cow<'a, str>> {
    let place = name.find(&format!("-{node}-")).map(|dash| dash + 1);
    match place {
        _ if name.contains(NODE) => None,
        Some(place) if !node.is_empty() => {
            Some(format!("{}{NODE}{}", &name[..place], &name[place + node.len()..]).into())
        }
        _ => Some(name.into()),
    }
}

/// A pod differs from those of a shape only in what is its own.
fn is_of(shape: &Pod, pod: &Pod, head: &str) -> bool {
    shape.name == head
        && shape.namespace == pod.namespace
        && shape.labels == pod.labels
        && (&shape.phase, shape.bound) == (&pod.phase, pod.bound)
        && (shape.priority, &shape.scheduler, &shape.need) == (pod.priority, &pod.scheduler, &pod.need)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panic")]
mod tests {
    use super::*;
    use everynode_testkit::fleets::{self, UID};

    fn json(pods: impl IntoIterator<Item = Pod>) -> Vec<String> {
        let mut all: Vec<String> = pods.into_iter().map(|pod| serde_json::to_string(&pod).unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn pods_come_back_as_they_went_in() {
        let mut pods: Vec<Pod> =
            (0..200).map(|index| fleets::pod(index, &fleets::node_name(index))).collect();
        pods[3].restarts = 70_000;
        pods[4].restarts = 7;
        fleets::fail(&mut pods[5], "Evicted");
        fleets::unbind(&mut pods[6], None);
        pods[7].name = "a-name-that-ends-in-something-long".into();
        pods[8].name = "bare".into();
        pods[9].labels.insert("controller-revision-hash", "other");
        pods[10].name = "agent-ünï".into();
        (pods[11].deleting, pods[11].delete_by) = (true, Some(5));
        pods[13].name = format!("agent-{}-84cw7", fleets::node_name(13));
        pods[14].name = format!("agent-{}-abc-pcdbg", fleets::node_name(14));
        pods[12].created = -1;
        let mut book = Book::default();
        pods.iter().cloned().for_each(|pod| book.put(pod));
        assert_eq!(json(book.pods()), json(pods.clone()));
        assert_eq!(json(book.pods_of(UID)), json(pods.clone()));
        assert!(book.pods_of("another").is_empty());
        assert!(pods.iter().all(|pod| book.find(Uid::parse(&pod.uid).unwrap()).unwrap().name == pod.name));
    }

    #[test]
    fn pods_that_are_named_by_their_nodes_are_of_one_shape() {
        let mut book = Book::default();
        for index in 0..100 {
            let node = fleets::node_name(index);
            book.put(Pod { name: format!("agent-{node}-84cw7"), ..fleets::pod(index, &node) });
        }
        assert_eq!((book.shapes.len(), book.whole.len()), (1, 0));
        assert_eq!(size_of::<Row>(), 40);
    }

    #[test]
    fn a_pod_takes_the_place_of_what_was_known_of_it_and_a_list_ends_what_it_does_not_show() {
        let pods: Vec<Pod> = (0..9).map(|index| fleets::pod(index, &fleets::node_name(index))).collect();
        let mut book = Book::default();
        pods.iter().cloned().for_each(|pod| book.put(pod));
        let mut failed = pods[0].clone();
        fleets::fail(&mut failed, "Evicted");
        book.put(failed);
        assert_eq!(book.pods().count(), 9);
        book.put(pods[0].clone());
        assert!(book.is_even(UID, 9));
        book.begin_list();
        pods[..4].iter().cloned().for_each(|pod| book.put(pod));
        assert_eq!(book.end_list(), [Text::from(UID)]);
        assert_eq!(json(book.pods()), json(pods[..4].to_vec()));
        assert!(book.is_even(UID, 4) && !book.is_even(UID, 9));
    }
}

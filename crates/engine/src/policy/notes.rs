//! What a roll-out has noted of nodes, and how that survives a leader: in the policy's status, whole at any size.
//!
//! Three lists name the nodes, for people, and are cut where they are long. A list that is shorter than its count is
//! cut; then `nodeHashes` has one record for each noted node, so that what the next leader knows does not depend on how
//! many names fit. A status that is cut and has no such records is known to be incomplete, and read so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use everynode_api::{FailedNode, RolloutStatus};

use crate::base::Time;

use super::NodeFailure;

/// What was noted of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub is_disrupted: bool,
    pub is_exempt: bool,
    pub has_failed: bool,
}

/// What was noted of all nodes. A node has failed or is exempt, never both: whoever has failed stays so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeNotes {
    failed: BTreeMap<Arc<str>, NodeFailure>,
    exempt: BTreeSet<Arc<str>>,
    disrupted: BTreeSet<Arc<str>>,
}

/// How much of the notes a status takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Names in each list.
    pub names: usize,
    /// Records in `nodeHashes`.
    pub hashes: usize,
}

/// The reason of a failure whose own did not fit into the status.
const REASON_CUT: &str = "Failed";

impl NodeNotes {
    /// What was noted of one node.
    pub fn of(&self, name: &str) -> Noted {
        Noted {
            is_disrupted: self.disrupted.contains(name),
            is_exempt: self.exempt.contains(name),
            has_failed: self.failed.contains_key(name),
        }
    }

    /// Nodes that failed with the revision.
    pub fn failed(&self) -> &BTreeMap<Arc<str>, NodeFailure> {
        &self.failed
    }

    /// Nodes that were broken before their turn came.
    pub fn exempt(&self) -> &BTreeSet<Arc<str>> {
        &self.exempt
    }

    /// Nodes from which a pod was taken and where none serves yet.
    pub fn disrupted(&self) -> &BTreeSet<Arc<str>> {
        &self.disrupted
    }

    /// A node has failed with the revision.
    pub fn fail(&mut self, name: Arc<str>, failure: NodeFailure) {
        self.exempt.remove(&name);
        self.failed.insert(name, failure);
    }

    /// A node was broken before its turn came.
    pub fn exempt_node(&mut self, name: Arc<str>) {
        if !self.failed.contains_key(&name) {
            self.exempt.insert(name);
        }
    }

    /// A pod that serves was taken from a node; so it was not broken.
    pub fn disrupt(&mut self, name: Arc<str>) {
        self.exempt.remove(&name);
        self.disrupted.insert(name);
    }

    /// Nothing serves on a node, and who took its pod away is not known.
    pub fn count_as_disrupted(&mut self, name: Arc<str>) {
        self.disrupted.insert(name);
    }

    /// A pod serves on a node again.
    pub fn give_back(&mut self, name: &str) {
        self.disrupted.remove(name);
    }

    /// A node is not broken any more.
    pub fn end_exemption(&mut self, name: &str) {
        self.exempt.remove(name);
    }

    /// A node can neither fail nor be excused any more; one that is disrupted stays so.
    pub fn forget_excuse(&mut self, name: &str) {
        self.exempt.remove(name);
        self.failed.remove(name);
    }

    /// Another revision begins: only what is disrupted stays so.
    pub fn begin(&mut self) {
        self.failed.clear();
        self.exempt.clear();
    }

    /// The nodes that had failed, who get another chance.
    pub fn forgive(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.failed).into_keys().collect()
    }

    /// All nodes of which something was noted.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.disrupted.iter().chain(&self.exempt).chain(self.failed.keys())
    }

    /// Writes the notes into what a status says of a DaemonSet; how many records that took. `first` are named first:
    /// nodes that the next leader may not know.
    pub fn write(&self, status: &mut RolloutStatus, first: &BTreeSet<Arc<str>>, room: Room) -> usize {
        let failed = self.failed.iter().take(room.names).map(|(node, failure)| FailedNode {
            node: node.to_string(),
            reason: failure.reason.clone(),
            at: Some(failure.at.seconds()),
        });
        status.failed_nodes = failed.collect();
        let names = |nodes: &BTreeSet<Arc<str>>| {
            let others = nodes.iter().filter(|name| !first.contains(*name));
            let named = first.iter().filter(|name| nodes.contains(*name)).chain(others);
            named.take(room.names).map(ToString::to_string).collect()
        };
        (status.exempt_nodes, status.unavailable_nodes) = (names(&self.exempt), names(&self.disrupted));
        (status.failed, status.exempt, status.unavailable) =
            (self.failed.len(), self.exempt.len(), self.disrupted.len());
        let is_cut = self.failed.len().max(self.exempt.len()).max(self.disrupted.len()) > room.names;
        let hashes = if is_cut { self.records() } else { Vec::new() };
        let fits = !hashes.is_empty() && hashes.len() <= room.hashes;
        status.node_hashes = fits.then(|| encode(&hashes));
        if fits { hashes.len() } else { 0 }
    }

    fn records(&self) -> Vec<u64> {
        let names: BTreeSet<&Arc<str>> = self.names().collect();
        names.into_iter().map(|name| record(name, self.of(name))).collect()
    }
}

/// The notes as a status has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredNotes {
    notes: NodeNotes,
    hashes: HashMap<u64, Noted>,
    is_incomplete: bool,
}

impl StoredNotes {
    /// Reads what a policy's status says of a DaemonSet.
    pub fn read(status: &RolloutStatus) -> Self {
        let failed = status.failed_nodes.iter().map(|one| {
            let at = one.at.map(Time::from_seconds).unwrap_or_default();
            (one.node.as_str().into(), NodeFailure { reason: one.reason.clone(), at })
        });
        let names = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        let failed: BTreeMap<Arc<str>, NodeFailure> = failed.collect();
        let mut exempt: BTreeSet<Arc<str>> = names(&status.exempt_nodes);
        exempt.retain(|name| !failed.contains_key(name));
        let notes = NodeNotes { failed, exempt, disrupted: names(&status.unavailable_nodes) };
        let is_cut = status.failed > notes.failed.len()
            || status.exempt > notes.exempt.len()
            || status.unavailable > notes.disrupted.len();
        let hashes = status.node_hashes.as_deref().filter(|_| is_cut).and_then(decode);
        StoredNotes { notes, is_incomplete: is_cut && hashes.is_none(), hashes: hashes.unwrap_or_default() }
    }

    /// Nodes are noted of which the status does not tell.
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// The node has failed with the revision, or was broken before its turn came.
    pub fn is_excused(&self, name: &str) -> bool {
        let noted = self.of(name);
        noted.is_exempt || noted.has_failed
    }

    fn of(&self, name: &str) -> Noted {
        match self.hashes.is_empty() {
            true => self.notes.of(name),
            false => self.hashes.get(&name_hash(name)).copied().unwrap_or_default(),
        }
    }

    /// The notes, told which nodes there are.
    pub(crate) fn resolve<'a>(self, nodes: impl Iterator<Item = &'a Arc<str>>, now: Time) -> NodeNotes {
        let StoredNotes { mut notes, hashes, .. } = self;
        if hashes.is_empty() {
            return notes;
        }
        for name in nodes {
            let Some(noted) = hashes.get(&name_hash(name)) else { continue };
            if noted.has_failed && !notes.failed.contains_key(name) {
                let failure = NodeFailure { reason: REASON_CUT.to_owned(), at: now };
                notes.failed.insert(name.clone(), failure);
            }
            if noted.is_exempt {
                notes.exempt.insert(name.clone());
            }
            if noted.is_disrupted {
                notes.disrupted.insert(name.clone());
            }
        }
        notes
    }
}

/// A record is 48 bits: 45 of the name's hash, then one each for failed, exempt and disrupted. Among 100,000 nodes two have
/// the same 45 bits with a probability of 1 in 7,000.
const RECORD_BYTES: usize = 6;

fn record(name: &str, noted: Noted) -> u64 {
    let bits =
        u64::from(noted.has_failed) << 2 | u64::from(noted.is_exempt) << 1 | u64::from(noted.is_disrupted);
    name_hash(name) << 3 | bits
}

/// FNV-1a of 64 bits, mixed, of which 45 are used. It stands in statuses: it must not change.
fn name_hash(name: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let sum = name.bytes().fold(OFFSET, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(PRIME));
    (sum ^ sum >> 32).wrapping_mul(MIX) >> 19
}

fn encode(records: &[u64]) -> String {
    let bytes: Vec<u8> =
        records.iter().flat_map(|record| record.to_be_bytes().into_iter().skip(8 - RECORD_BYTES)).collect();
    STANDARD_NO_PAD.encode(bytes)
}

/// `None` when these are no records.
fn decode(text: &str) -> Option<HashMap<u64, Noted>> {
    let bytes = STANDARD_NO_PAD.decode(text).ok()?;
    let records = bytes.chunks_exact(RECORD_BYTES);
    if !records.remainder().is_empty() {
        return None;
    }
    let records = records.map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    let noted = |record: u64| Noted {
        has_failed: record & 4 != 0,
        // One that has failed is not exempt, whoever wrote this.
        is_exempt: record & 6 == 2,
        is_disrupted: record & 1 != 0,
    };
    Some(records.map(|record| (record >> 3, noted(record))).collect())
}

#[cfg(test)]
mod tests {
    use everynode_api::PolicyStatus;
    use serde_json::json;

    use super::*;

    fn name(index: usize) -> Arc<str> {
        format!("node-{index:05}").into()
    }

    /// `failed` nodes, then `exempt` ones; every second one is disrupted.
    fn notes(failed: usize, exempt: usize) -> NodeNotes {
        let mut notes = NodeNotes::default();
        for index in 0..failed + exempt {
            if index % 2 == 0 {
                notes.disrupt(name(index));
            }
            match index < failed {
                true => notes.fail(name(index), NodeFailure { reason: "PodFailed".into(), at: Time(1000) }),
                false => notes.exempt_node(name(index)),
            }
        }
        notes
    }

    fn written(notes: &NodeNotes, room: Room) -> RolloutStatus {
        let mut status = RolloutStatus::default();
        notes.write(&mut status, &BTreeSet::new(), room);
        status
    }

    fn read(entry: serde_json::Value) -> RolloutStatus {
        RolloutStatus::from_json(&entry)
    }

    #[test]
    fn notes_are_read_as_they_were_written_at_any_size() {
        for (failed, exempt) in [(0, 0), (3, 4), (499, 501), (501, 1), (0, 20_000), (40_000, 60_000)] {
            let notes = notes(failed, exempt);
            let entry = written(&notes, Room { names: 500, hashes: 100_000 });
            let all: Vec<Arc<str>> = (0..120_000).map(name).collect();
            let stored = StoredNotes::read(&entry);
            assert!(!stored.is_incomplete());
            let read = stored.resolve(all.iter(), Time(0));
            assert_eq!(
                (&read.exempt, &read.disrupted),
                (&notes.exempt, &notes.disrupted),
                "{failed} {exempt}"
            );
            assert!(read.failed.keys().eq(notes.failed.keys()), "{failed} {exempt}");
            let status = PolicyStatus { rollouts: [("ds".into(), entry)].into(), ..PolicyStatus::default() };
            let text = status.to_json().to_string();
            assert!(text.len() < 1_000_000, "{}", text.len());
        }
    }

    #[test]
    fn what_does_not_fit_is_known_to_be_incomplete() {
        let check = |entry: RolloutStatus, is_incomplete: bool| {
            assert_eq!(StoredNotes::read(&entry).is_incomplete(), is_incomplete, "{entry:?}");
        };
        check(written(&notes(3, 4), Room { names: 4, hashes: 0 }), false);
        check(written(&notes(3, 4), Room { names: 3, hashes: 0 }), true);
        check(written(&notes(3, 4), Room { names: 3, hashes: 7 }), false);
        check(read(json!({"exempt": 2, "exemptNodes": ["a"], "nodeHashes": "no records"})), true);
        check(read(json!({"exempt": 2, "exemptNodes": ["a"], "nodeHashes": "AAAAAAAAAA"})), true);
        check(read(json!({"exemptNodes": ["a"]})), false);
        check(read(json!(null)), false);
    }

    #[test]
    fn a_node_that_failed_is_never_exempt() {
        let mut notes = NodeNotes::default();
        let failure = NodeFailure { reason: "PodFailed".into(), at: Time(1000) };
        notes.exempt_node(name(1));
        notes.fail(name(1), failure.clone());
        notes.exempt_node(name(1));
        assert_eq!(notes.of(&name(1)), Noted { has_failed: true, ..Noted::default() });
        let entry = read(json!({"failedNodes": [{"node": "a", "reason": "x"}], "exemptNodes": ["a"]}));
        assert_eq!(StoredNotes::read(&entry).of("a"), Noted { has_failed: true, ..Noted::default() });
    }

    #[test]
    fn the_hash_of_a_name_stays_what_it_is() {
        assert_eq!(name_hash("node-1"), 8_536_129_941_089);
    }
}

//! Which revisions pods may be made from. A ControllerRevision can be written by people who may not write DaemonSets, so
//! nothing is made of one that was not shown to be the DaemonSet's own template: by the leader, who has seen the DaemonSet
//! say it, and by the policy's status, which only controllers write and which keeps a SHA-256 of its data.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::engine::Engine;
use crate::facts::PodController;
use crate::history::label;
use crate::pod_body::HASH_LABEL;
use crate::slot::{RevisionRow, Slot};

use super::conduct::Conduct;

/// The SHA-256 of a revision's data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataDigest([u8; 32]);

impl DataDigest {
    pub fn of(data: &[u8]) -> Self {
        DataDigest(Sha256::digest(data).into())
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let pairs = text.as_bytes().chunks_exact(2);
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(DataDigest(bytes))
    }
}

impl fmt::Display for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The SHA-256 of a revision's data as `lastGoodData` in a policy's status has it: for those who change the data of
/// revisions knowingly, as snapshots without secrets do.
pub fn data_digest(data: &[u8]) -> String {
    DataDigest::of(data).to_string()
}

/// So many templates of a DaemonSet are known at a time.
const TEMPLATES_LIMIT: usize = 16;

impl Slot {
    /// The DaemonSet has another template, of this data.
    pub(crate) fn remember_template(&mut self, data: &[u8]) {
        let digest = DataDigest::of(data);
        self.templates.retain(|known| *known != digest);
        if self.templates.len() == TEMPLATES_LIMIT {
            self.templates.remove(0);
        }
        self.templates.push(digest);
    }
}

impl Engine {
    /// The digest of the DaemonSet's own template as it is.
    pub(super) fn own_digest(slot: &Slot) -> Option<DataDigest> {
        slot.templates.last().copied()
    }

    /// The ControllerRevision that says what the last good one is known to have said; whoever has made it, and when.
    pub(super) fn last_good_revision<'a>(
        &'a self,
        slot: &Slot,
        conduct: &'a Conduct,
    ) -> Option<&'a RevisionRow> {
        let (good, digest) = (conduct.last_good.as_deref()?, conduct.last_good_digest?);
        self.revisions_of(slot, good).find(|row| DataDigest::of(&row.fact.data) == digest)
    }

    /// The digest of a revision of this hash that says what the DaemonSet itself was seen to say. That it is old, or older
    /// than its pods, would show nothing: whoever has put it there may delete pods until they are younger.
    pub(super) fn seen_digest(&self, slot: &Slot, hash: &str) -> Option<DataDigest> {
        let mut digests = self.revisions_of(slot, hash).map(|row| DataDigest::of(&row.fact.data));
        digests.find(|digest| slot.templates.contains(digest))
    }

    /// The ControllerRevisions of a hash that the DaemonSet has.
    fn revisions_of<'a>(&'a self, slot: &Slot, hash: &'a str) -> impl Iterator<Item = &'a RevisionRow> {
        let rows = self.namespaces.get(slot.namespace).into_iter().flat_map(|one| one.revisions.values());
        let owner = PodController::DaemonSet(slot.key.uid);
        rows.filter(move |row| row.fact.controller == owner && label(row, HASH_LABEL) == Some(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_was_written_and_nothing_else_is() {
        let digest = DataDigest::of(b"data");
        let text = digest.to_string();
        assert_eq!(text, "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7");
        assert_eq!(DataDigest::parse(&text), Some(digest));
        for bad in ["", "3a6e", &text[1..], &format!("{}zz", &text[2..]), &format!("+{}", &text[1..])] {
            assert_eq!(DataDigest::parse(bad), None, "{bad}");
        }
    }
}

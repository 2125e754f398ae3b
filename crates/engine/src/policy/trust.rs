//! Which revisions pods may be made from. A ControllerRevision can be written by people who may not write DaemonSets, so
//! nothing is made of one that was not shown to be the DaemonSet's own template: by the leader, who has seen the DaemonSet
//! say it, and by the policy's status, which only controllers write and which keeps a SHA-256 of its data.

use crate::facts::PodController;
use crate::history::label;
use crate::namespaces::RevisionRow;
use crate::pod_body::HASH_LABEL;
use crate::policy::DataDigest;
use crate::slot::Slot;
use crate::tables::Tables;

use super::conduct::Conduct;

impl Tables {
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

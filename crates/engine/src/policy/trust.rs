//! Which revisions pods may be made from. A ControllerRevision can be written by people who may not write DaemonSets, so
//! nothing is made of one that was not shown to be the DaemonSet's own template: by the leader, who has seen the DaemonSet
//! say it, and by the policy's status, which only controllers write and which keeps a SHA-256 of its data.

use crate::daemonset::DaemonSetState;
use crate::facts::PodController;
use crate::history::label;
use crate::namespaces::RevisionRow;
use crate::pod_body::HASH_LABEL;
use crate::policy::DataDigest;
use crate::tables::Tables;

use super::rollout::RolloutState;

impl Tables {
    /// The digest of the DaemonSet's own template as it is.
    pub(super) fn own_digest(daemonset: &DaemonSetState) -> Option<DataDigest> {
        daemonset.templates.last().copied()
    }

    /// The ControllerRevision that says what the last good one is known to have said; whoever has made it, and when.
    pub(super) fn last_good_revision<'a>(
        &'a self,
        daemonset: &DaemonSetState,
        rollout: &'a RolloutState,
    ) -> Option<&'a RevisionRow> {
        let (good, digest) = (rollout.last_good.as_deref()?, rollout.last_good_digest?);
        self.revisions_of(daemonset, good).find(|row| DataDigest::of(&row.fact.data) == digest)
    }

    /// The digest of a revision of this hash that says what the DaemonSet itself was seen to say. That it is old, or older
    /// than its pods, would show nothing: whoever has put it there may delete pods until they are younger.
    pub(super) fn seen_digest(&self, daemonset: &DaemonSetState, hash: &str) -> Option<DataDigest> {
        let mut digests = self.revisions_of(daemonset, hash).map(|row| DataDigest::of(&row.fact.data));
        digests.find(|digest| daemonset.templates.contains(digest))
    }

    /// The ControllerRevisions of a hash that the DaemonSet has.
    fn revisions_of<'a>(
        &'a self,
        daemonset: &DaemonSetState,
        hash: &'a str,
    ) -> impl Iterator<Item = &'a RevisionRow> {
        let rows =
            self.namespaces.get(daemonset.namespace).into_iter().flat_map(|one| one.revisions.values());
        let owner = PodController::DaemonSet(daemonset.key.uid);
        rows.filter(move |row| row.fact.controller == owner && label(row, HASH_LABEL) == Some(hash))
    }
}

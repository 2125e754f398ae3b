//! The numbers by which rows are named.

/// Names one action of one engine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionId(pub u64);

/// Names one DaemonSet, by its uid: one that is deleted and created again is another one
/// ([A7](crate::spec#a7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DaemonSetId(pub u32);

/// Names one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NamespaceId(pub u32);

/// Names one pod row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PodId(pub u32);

impl PodId {
    /// No pod: the end of a list.
    pub const NONE: PodId = PodId(u32::MAX);
}

/// Names one node row. A number is used again after its node is gone and nothing refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub u32);

impl NodeId {
    /// No node: the place of pods whose target node cannot be told.
    pub const NONE: NodeId = NodeId(u32::MAX);
}

/// Names one set of one [`crate::labels::LabelSets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LabelSetId(pub u32);

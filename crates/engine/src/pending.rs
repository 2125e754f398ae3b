//! Writes whose outcome is awaited.

use std::sync::Arc;

use crate::actions::PodRef;
use crate::base::Uid;
use crate::facts::Status;
use crate::ids::{DaemonSetId, NodeId};

/// A write of one DaemonSet whose outcome is awaited.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// The DaemonSet that asked for it.
    pub daemonset: DaemonSetId,
    pub write: Write,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Create(Creation),
    Delete {
        pod: PodRef,
        /// It is refused when the pod has changed, which is no trouble.
        as_known: bool,
    },
    Patch {
        pod: Uid,
        patch: Patch,
    },
    Revision(RevisionWrite),
    /// The deletion of a revision that is not needed any more.
    Cleanup(Uid),
    Status(Status),
    /// The template is given back what was good before.
    Rewrite,
}

/// A pod that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Creation {
    pub node: NodeId,
    /// The name that the pod is given.
    pub name: Option<Arc<str>>,
    /// How an earlier write of the same name ended is not known.
    pub is_repeated: bool,
}

impl Write {
    /// The pod that it changes.
    pub fn pod(&self) -> Option<Uid> {
        match self {
            Write::Delete { pod, .. } => Some(pod.uid),
            Write::Patch { pod, .. } => Some(*pod),
            _ => None,
        }
    }

    /// The revision that it changes.
    pub fn revision(&self) -> Option<Uid> {
        match self {
            Write::Revision(write) => write.uid(),
            Write::Cleanup(revision) => Some(*revision),
            _ => None,
        }
    }
}

/// A change of a pod's metadata.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    Adopt,
    Release,
    Label(Arc<str>),
}

/// A write to the history.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RevisionWrite {
    Create,
    Collision,
    Update(Uid),
    Adopt(Uid),
    Release(Uid),
    Delete(Uid),
}

impl RevisionWrite {
    /// The revision that it changes.
    pub fn uid(self) -> Option<Uid> {
        match self {
            RevisionWrite::Create | RevisionWrite::Collision => None,
            RevisionWrite::Update(uid)
            | RevisionWrite::Adopt(uid)
            | RevisionWrite::Release(uid)
            | RevisionWrite::Delete(uid) => Some(uid),
        }
    }
}

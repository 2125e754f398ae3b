//! Why and by when a pod stops.

use everynode_model::Phase;

use crate::pod_spec::ShownStatus;

/// How a pod stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) end: End,
    /// When its containers are killed, in milliseconds.
    pub(super) deadline_millis: u64,
}

/// Why a pod stops, which says what is shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Its containers are done, or it is deleted: how they ended says how the pod did.
    Containers,
    /// It has failed, whatever its containers say.
    Failed { cause: FailCause, message: String },
    /// It was shown to be over before the agent was started: that stays.
    Shown,
}

/// Why a pod has failed, whatever its containers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailCause {
    /// It was active for as long as it may be.
    DeadlineExceeded,
    /// The node ran short of something.
    Evicted,
}

impl FailCause {
    /// The word for programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            FailCause::DeadlineExceeded => "DeadlineExceeded",
            FailCause::Evicted => "Evicted",
        }
    }
}

impl End {
    /// A pod that was over stays so.
    pub(super) fn shown(status: &ShownStatus) -> Option<End> {
        Phase::parse(&status.phase).is_terminal().then_some(End::Shown)
    }
}

impl Stop {
    pub(super) fn new(end: End, deadline_millis: u64) -> Stop {
        Stop { end, deadline_millis }
    }
}

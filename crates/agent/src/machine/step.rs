//! What is to be done next for a pod, and how it went.

use super::probe::ProbeKind;
use super::view::ContainerView;
use crate::pod_spec::Resources;

/// One thing to do. A pod has one under way at most; stopping comes before whatever is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the pod's folders, its cgroup and its volumes.
    Prepare,
    /// Make and start a sandbox.
    RunSandbox {
        /// Counts the sandboxes of the pod.
        attempt: u32,
    },
    /// See that the image of a container is there, by its pull policy.
    EnsureImage {
        /// The container's name.
        container: String,
    },
    /// Make a container.
    CreateContainer {
        /// The container's name.
        container: String,
        /// Counts the containers of that name.
        attempt: u32,
        /// The sandbox to make it in.
        sandbox_id: String,
        /// The image, as [`StepOutcome::Image`] named it.
        image_ref: String,
        /// What it gets.
        resources: Resources,
    },
    /// Start a container that was made.
    StartContainer {
        /// The container's name.
        container: String,
        /// The runtime's identifier.
        id: String,
    },
    /// Do what is to be done after a container has started.
    PostStart {
        /// The container's name.
        container: String,
        /// The runtime's identifier.
        id: String,
    },
    /// Give containers that run other resources.
    Resize(Vec<ResizeContainer>),
    /// End containers, all at once, each with what is to be done before.
    StopContainers(Vec<StopContainer>),
    /// End a sandbox and whatever is in it.
    StopSandbox {
        /// The runtime's identifier.
        id: String,
    },
    /// Take away what is left of a container.
    RemoveContainer {
        /// The runtime's identifier.
        id: String,
    },
    /// Take away what is left of a sandbox and its containers.
    RemoveSandbox {
        /// The runtime's identifier.
        id: String,
    },
    /// Take the pod's volumes, cgroup and folders away.
    CleanUp,
}

/// A container to give other resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizeContainer {
    /// The container's name.
    pub container: String,
    /// The runtime's identifier.
    pub id: String,
    /// What it has, where that is known.
    pub from: Option<Resources>,
    /// What it is to have.
    pub to: Resources,
}

/// A container to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopContainer {
    /// The container's name.
    pub container: String,
    /// The runtime's identifier.
    pub id: String,
    /// When it is killed, in milliseconds of the clock that only goes forward.
    pub deadline_millis: u64,
    /// Why.
    pub cause: StopCause,
}

/// Why a container is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// The pod is to go.
    PodStops,
    /// A probe says that it is not well.
    Probe(ProbeKind),
    /// What is to be done after its start failed.
    PostStartFailed,
    /// The pod names another image now.
    ImageChanged,
    /// It has to be started anew to get other resources.
    Resized,
    /// It belongs to a sandbox that is gone.
    SandboxGone,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// It is done.
    Done,
    /// The image is there.
    Image {
        /// What the runtime is to be told.
        image_ref: String,
    },
    /// It is not done.
    Failed {
        /// The kubelet's word for why a container waits, such as `ErrImagePull`.
        reason: FailureReason,
        /// A sentence.
        message: String,
    },
}

/// Why a step failed, in the kubelet's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// A volume could not be made.
    FailedMount,
    /// The cgroup could not be made.
    FailedCreatePodContainer,
    /// The sandbox could not be made.
    FailedCreatePodSandBox,
    /// The image could not be pulled.
    ErrImagePull,
    /// The image must not be pulled and is not there.
    ErrImageNeverPull,
    /// The image has no proper name.
    InvalidImageName,
    /// The runtime could not say whether the image is there.
    ImageInspectError,
    /// Something that the container refers to is missing, or it may not be who it is.
    CreateContainerConfigError,
    /// The runtime could not make the container.
    CreateContainerError,
    /// The runtime could not start the container.
    RunContainerError,
    /// What is to be done after the start failed.
    PostStartHookError,
    /// The runtime could not give a container other resources.
    ResizeError,
    /// A container did not end.
    KillContainerError,
    /// The sandbox did not end, or is not gone.
    KillPodSandboxError,
    /// Something was left behind.
    CleanUpError,
}

impl FailureReason {
    /// The image is not there.
    pub fn is_about_image(self) -> bool {
        matches!(
            self,
            FailureReason::ErrImagePull
                | FailureReason::ErrImageNeverPull
                | FailureReason::InvalidImageName
                | FailureReason::ImageInspectError
        )
    }

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            FailureReason::FailedMount => "FailedMount",
            FailureReason::FailedCreatePodContainer => "FailedCreatePodContainer",
            FailureReason::FailedCreatePodSandBox => "FailedCreatePodSandBox",
            FailureReason::ErrImagePull => "ErrImagePull",
            FailureReason::ErrImageNeverPull => "ErrImageNeverPull",
            FailureReason::InvalidImageName => "InvalidImageName",
            FailureReason::ImageInspectError => "ImageInspectError",
            FailureReason::CreateContainerConfigError => "CreateContainerConfigError",
            FailureReason::CreateContainerError => "CreateContainerError",
            FailureReason::RunContainerError => "RunContainerError",
            FailureReason::PostStartHookError => "PostStartHookError",
            FailureReason::ResizeError => "ResizeError",
            FailureReason::KillContainerError => "KillContainerError",
            FailureReason::KillPodSandboxError => "KillPodSandboxError",
            FailureReason::CleanUpError => "CleanUpError",
        }
    }
}

/// What a driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This.
    Do(Step),
    /// Nothing before this time (in milliseconds), or before something happens.
    Wait(Option<u64>),
    /// The pod is over and nothing of it is left: its object may be deleted if that was asked for.
    Gone,
}

impl Next {
    /// This step, unless it has to wait.
    pub(super) fn after(wait_until: Option<u64>, step: impl FnOnce() -> Step) -> Next {
        match wait_until {
            Some(at) => Next::Wait(Some(at)),
            None => Next::Do(step()),
        }
    }
}

impl StopContainer {
    pub(super) fn new(seen: &ContainerView, cause: StopCause, deadline_millis: u64) -> StopContainer {
        StopContainer { container: seen.name.clone(), id: seen.id.clone(), deadline_millis, cause }
    }
}

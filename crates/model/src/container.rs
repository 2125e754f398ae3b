//! How the containers of a pod stand.

use serde::Deserialize;

use crate::{Text, time};

/// What the kubelet says of one container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus<'a> {
    /// The container's name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// How often it was started again.
    pub restart_count: u32,
    /// It serves; an init container: it is done.
    pub ready: bool,
    /// Its startup probe has succeeded.
    pub started: Option<bool>,
    /// What it does now.
    #[serde(borrow)]
    pub state: Option<ContainerState<'a>>,
    /// What it did before it was started again.
    #[serde(borrow)]
    pub last_state: Option<ContainerState<'a>>,
}

/// What a container does: one of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContainerState<'a> {
    /// It does not run yet, or not again yet.
    #[serde(borrow)]
    pub waiting: Option<Waiting<'a>>,
    /// It runs.
    #[serde(borrow)]
    pub running: Option<Running<'a>>,
    /// It has ended.
    #[serde(borrow)]
    pub terminated: Option<Terminated<'a>>,
}

/// Why a container does not run.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Waiting<'a> {
    /// A word for programs, such as `CrashLoopBackOff`.
    #[serde(borrow)]
    pub reason: Text<'a>,
    /// A sentence for people.
    #[serde(borrow)]
    pub message: Text<'a>,
}

/// Since when a container runs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Running<'a> {
    /// Since when.
    #[serde(borrow)]
    pub started_at: Option<Text<'a>>,
}

/// How a container ended. Its message is what the container wrote, so it is not read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated<'a> {
    /// The exit code.
    pub exit_code: i64,
    /// A word for programs, such as `OOMKilled`.
    #[serde(borrow)]
    pub reason: Text<'a>,
    /// What it left in its termination message.
    #[serde(borrow)]
    pub message: Text<'a>,
    /// When.
    #[serde(borrow)]
    pub finished_at: Option<Text<'a>>,
}

impl Terminated<'_> {
    /// When it ended, in Unix seconds.
    pub fn at_seconds(&self) -> Option<i64> {
        time::seconds(self.finished_at.as_ref())
    }

    /// The last line of what it left, if it left any.
    pub fn last_words(&self) -> Option<&str> {
        self.message.lines().map(str::trim).rfind(|line| !line.is_empty())
    }
}

impl<'a> ContainerStatus<'a> {
    /// Why it does not run, if it does not.
    pub fn waiting(&self) -> Option<&Waiting<'a>> {
        self.state.as_ref()?.waiting.as_ref()
    }

    /// Since when it runs, in Unix seconds.
    pub fn running_since_seconds(&self) -> Option<i64> {
        time::seconds(self.state.as_ref()?.running.as_ref()?.started_at.as_ref())
    }

    /// How it ended, if it has not been started again.
    pub fn ended(&self) -> Option<&Terminated<'a>> {
        self.state.as_ref()?.terminated.as_ref()
    }

    /// How it ended the last time.
    pub fn ended_last(&self) -> Option<&Terminated<'a>> {
        self.ended().or_else(|| self.last_state.as_ref()?.terminated.as_ref())
    }
}

/// Reasons of containers whose turn is yet to come, or that are being made.
const STARTING: [&str; 2] = ["PodInitializing", "ContainerCreating"];

/// Whether a container that waits for this reason is only being started.
pub fn is_being_started(reason: &str) -> bool {
    STARTING.contains(&reason)
}

/// What the kubelet says of a container that does not start or does not stay up: the reasons of its waiting that do
/// not pass by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Trouble {
    /// It ends again and again.
    CrashLoopBackOff,
    /// Its image could not be pulled, and the kubelet waits before it tries again.
    ImagePullBackOff,
    /// Its image could not be pulled.
    ErrImagePull,
    /// Its image has no proper name.
    InvalidImageName,
    /// Its image is not there and must not be pulled.
    ErrImageNeverPull,
    /// Something that it refers to is missing.
    CreateContainerConfigError,
    /// The runtime could not make it.
    CreateContainerError,
    /// The runtime could not run it.
    RunContainerError,
}

impl Trouble {
    const ALL: [Trouble; 8] = [
        Trouble::CrashLoopBackOff,
        Trouble::ImagePullBackOff,
        Trouble::ErrImagePull,
        Trouble::InvalidImageName,
        Trouble::ErrImageNeverPull,
        Trouble::CreateContainerConfigError,
        Trouble::CreateContainerError,
        Trouble::RunContainerError,
    ];

    /// The kubelet's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::CrashLoopBackOff => "CrashLoopBackOff",
            Trouble::ImagePullBackOff => "ImagePullBackOff",
            Trouble::ErrImagePull => "ErrImagePull",
            Trouble::InvalidImageName => "InvalidImageName",
            Trouble::ErrImageNeverPull => "ErrImageNeverPull",
            Trouble::CreateContainerConfigError => "CreateContainerConfigError",
            Trouble::CreateContainerError => "CreateContainerError",
            Trouble::RunContainerError => "RunContainerError",
        }
    }

    /// Reads the kubelet's word; other reasons, such as ContainerCreating, are none.
    pub fn parse(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.name() == reason)
    }
}

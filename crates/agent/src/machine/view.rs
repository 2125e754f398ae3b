//! What the runtime has of one pod.

/// What the runtime has of one pod, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodView {
    sandboxes: Vec<SandboxView>,
    containers: Vec<ContainerView>,
}

/// A sandbox: what the containers of a pod share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxView {
    /// The runtime's identifier.
    pub id: String,
    /// Counts the sandboxes of the pod, from 0.
    pub attempt: u32,
    /// It holds namespaces in which containers can run.
    pub is_ready: bool,
    /// When it was made, in nanoseconds since 1970.
    pub created_nanos: i64,
    /// Its addresses; none on the node's network.
    pub ips: Vec<String>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// The runtime's identifier.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// Counts the containers of that name, from 0: how often it was started again.
    pub attempt: u32,
    /// Its sandbox.
    pub sandbox_id: String,
    /// The image as the pod named it when the container was made.
    pub image: String,
    /// The image as the runtime names it.
    pub image_ref: String,
    /// When it was made, in nanoseconds since 1970.
    pub created_nanos: i64,
    /// What it does.
    pub state: ContainerState,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// It was made, and has not been started.
    Created,
    /// It runs.
    Running {
        /// Since when, in nanoseconds since 1970.
        started_nanos: i64,
    },
    /// It has ended.
    Exited(Exit),
    /// The runtime does not know.
    Unknown,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; 128 and the signal's number where a signal ended it.
    pub code: i32,
    /// The runtime's word, such as `OOMKilled`.
    pub reason: String,
    /// Its last words.
    pub message: String,
    /// When it was started, in nanoseconds since 1970.
    pub started_nanos: i64,
    /// When it ended.
    pub finished_nanos: i64,
}

impl PodView {
    /// What a list of the runtime shows, in any order.
    pub fn new(mut sandboxes: Vec<SandboxView>, mut containers: Vec<ContainerView>) -> PodView {
        sandboxes.sort_by_key(|one| std::cmp::Reverse((one.attempt, one.created_nanos)));
        containers.sort_by_key(|one| std::cmp::Reverse((one.attempt, one.created_nanos)));
        PodView { sandboxes, containers }
    }

    /// All sandboxes, newest first.
    pub fn sandboxes(&self) -> &[SandboxView] {
        &self.sandboxes
    }

    /// All containers, newest first.
    pub fn containers(&self) -> &[ContainerView] {
        &self.containers
    }

    /// The newest sandbox, if it is ready.
    pub fn sandbox(&self) -> Option<&SandboxView> {
        self.sandboxes.first().filter(|sandbox| sandbox.is_ready)
    }

    /// The newest container of a name in the sandbox of now.
    pub fn current(&self, name: &str) -> Option<&ContainerView> {
        let sandbox = self.sandbox()?;
        self.containers.iter().find(|one| one.name == name && one.sandbox_id == sandbox.id)
    }

    /// The containers of a name, newest first.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ContainerView> {
        self.containers.iter().filter(move |one| one.name == name)
    }

    /// The containers that run, or may run.
    pub fn running(&self) -> impl Iterator<Item = &ContainerView> {
        self.containers.iter().filter(|one| one.may_run())
    }
}

impl ContainerView {
    /// It runs, or nobody knows.
    pub fn may_run(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. } | ContainerState::Unknown)
    }

    /// It surely runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            ContainerState::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}

//! How containers behave.

use std::time::Duration;

use crate::messages::ExecSyncResponse;

/// How a container of a runtime in memory behaves. The default runs until it is asked to stop, and then exits at once.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// It ends by itself, so long after its start.
    pub ends: Option<(Duration, End)>,
    /// What it does when it is asked to stop.
    pub on_stop: OnStop,
    /// What programs do that are run in it by `ExecSync`.
    pub exec: Exec,
}

/// How a container ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself or by a signal, with this exit code.
    Exited(i32),
    /// Killed by the kernel because it took too much memory.
    OutOfMemory,
}

impl End {
    /// The exit code of a process that was killed.
    const KILLED: i32 = 128 + 9;

    /// A container that is killed.
    pub(super) const KILL: End = End::Exited(End::KILLED);

    pub(super) fn exit_code(self) -> i32 {
        match self {
            End::Exited(code) => code,
            End::OutOfMemory => End::KILLED,
        }
    }

    /// As containerd and CRI-O name it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            End::Exited(0) => "Completed",
            End::Exited(_) => "Error",
            End::OutOfMemory => "OOMKilled",
        }
    }
}

/// What a container does when it is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// It exits after so long, with this code.
    Exits(Duration, i32),
    /// Nothing: it must be killed.
    Ignores,
}

impl Default for OnStop {
    fn default() -> OnStop {
        OnStop::Exits(Duration::ZERO, 0)
    }
}

/// What a program does that is run in a container.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// How long it takes.
    pub takes: Duration,
    /// How it ends.
    pub answer: ExecSyncResponse,
}

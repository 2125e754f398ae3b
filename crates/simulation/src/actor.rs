//! Who talks to the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Whether a process is cut off: nothing goes or comes while it is. Who waits goes on in the order of coming, which
/// tokio's own `watch` leaves to chance.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    is_held: AtomicBool,
    changed: Notify,
}

impl Hold {
    /// Holds or lets go; gives what it was.
    pub(crate) fn set(&self, held: bool) -> bool {
        let was = self.is_held.swap(held, Ordering::SeqCst);
        self.changed.notify_waiters();
        was
    }

    async fn let_go(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.is_held.load(Ordering::SeqCst) {
                return;
            }
            changed.await;
        }
    }
}

/// What a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A controller; one that takes part in an election has an identity.
    Controller { identity: Option<String> },
    /// The local loops.
    Loops,
    /// The kubelets.
    Nodes,
    /// People, and everybody else.
    User,
}

/// What a controller is responsible for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything.
    #[default]
    All,
    /// What the built-in controller does: it knows no policies.
    Placement,
    /// The roll-outs of DaemonSets with OnDelete and a policy, beside the built-in controller.
    Rollouts,
}

/// One life of a client.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) role: Role,
    /// For the trace.
    pub(crate) name: String,
    /// Cancelled when it crashes: nothing of it goes to the server any more, and nothing comes back.
    pub(crate) dead: CancellationToken,
    /// Whether its process is cut off.
    pub(crate) hold: Arc<Hold>,
    /// What it has sent is not made once it is dead, however late it was to be made.
    pub(crate) takes_writes_along: bool,
    /// Of a controller.
    pub(crate) part: Part,
}

impl Actor {
    /// An actor that is never held.
    pub(crate) fn new(role: Role, name: impl Into<String>) -> Actor {
        Actor {
            role,
            name: name.into(),
            dead: CancellationToken::new(),
            hold: Arc::default(),
            takes_writes_along: true,
            part: Part::default(),
        }
    }

    pub(crate) fn is_controller(&self) -> bool {
        matches!(self.role, Role::Controller { .. })
    }

    /// Waits while it is held.
    pub(crate) async fn let_go(&self) {
        self.hold.let_go().await;
    }
}

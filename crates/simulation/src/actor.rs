//! Who talks to the model.

use tokio_util::sync::CancellationToken;

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

/// One life of a client.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) role: Role,
    /// For the trace.
    pub(crate) name: String,
    /// Cancelled when it crashes: nothing of it goes to the server any more, and nothing comes back.
    pub(crate) dead: CancellationToken,
    /// True while its process is cut off: nothing goes or comes, until it is false again.
    pub(crate) held: tokio::sync::watch::Receiver<bool>,
    /// What it has sent is not made once it is dead, however late it was to be made.
    pub(crate) takes_writes_along: bool,
}

impl Actor {
    /// An actor that is never held.
    pub(crate) fn new(role: Role, name: impl Into<String>) -> Actor {
        let (_, held) = tokio::sync::watch::channel(false);
        Actor { role, name: name.into(), dead: CancellationToken::new(), held, takes_writes_along: true }
    }

    pub(crate) fn is_controller(&self) -> bool {
        matches!(self.role, Role::Controller { .. })
    }

    /// Waits while it is held.
    pub(crate) async fn let_go(&self) {
        let mut held = self.held.clone();
        // An error means that nobody can hold it any more.
        let _ = held.wait_for(|held| !held).await;
    }
}

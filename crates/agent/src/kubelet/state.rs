//! What all requests share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Access;
use super::summary::Memory;
use super::user::User;
use crate::context::Context;
use crate::runtime::Listing;

/// What requests are answered from.
#[derive(Debug)]
pub struct Kubelet {
    /// What everything that an agent does has at hand.
    pub(super) context: Arc<Context>,
    /// What the runtime has.
    pub(super) listings: watch::Receiver<Arc<Listing>>,
    /// Who may do what.
    pub(super) access: Access,
    /// What is remembered between two summaries.
    pub(super) summaries: Memory,
    /// The agent ends.
    pub(super) cancelled: CancellationToken,
    /// Connections, and streams that they turned into.
    pub(super) tasks: TaskTracker,
}

/// The connection by which a request came.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Whom the client's certificate stands for.
    pub(super) user: Option<Arc<User>>,
    /// Its place among the connections that may be open; a stream that goes on without the connection has it too.
    pub(super) place: Arc<OwnedSemaphorePermit>,
}

impl Kubelet {
    /// Of a node; `listings` are what its runtime has.
    pub fn new(
        context: Arc<Context>,
        listings: watch::Receiver<Arc<Listing>>,
        cancelled: CancellationToken,
    ) -> Kubelet {
        let access = Access::new(context.api.clone(), &context.node.name);
        Kubelet {
            context,
            listings,
            access,
            summaries: Memory::default(),
            cancelled,
            tasks: TaskTracker::new(),
        }
    }
}

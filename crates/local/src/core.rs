//! What the loops have in common: each is a core without I/O that is told facts and asked for requests.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use everynode_client::{Backoff, Error, Method};
use everynode_model::{Metadata, Node, Pod};

use crate::facts::{Budget, Claim, Lease};
use crate::kinds::ResourceKind;

/// The present: for durations, and for time stamps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Since the loops started, never going back.
    pub millis: u64,
    /// The wall clock, in seconds since 1970.
    pub wall_seconds: i64,
}

impl Now {
    /// The wall clock as the API writes it.
    pub(crate) fn text(self) -> String {
        everynode_model::time::format(self.wall_seconds)
    }
}

/// Something that the API shows.
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    Pod(&'a Pod<'a>),
    PodGone(&'a Metadata<'a>),
    Node(&'a Node<'a>),
    NodeGone(&'a Metadata<'a>),
    Lease(&'a Lease<'a>),
    Budget(&'a Budget<'a>),
    BudgetGone(&'a Metadata<'a>),
    Claim(&'a Claim<'a>),
    ClaimGone(&'a Metadata<'a>),
    /// An object of any kind, those above included; `source` is its place in the list of kinds.
    Object {
        source: usize,
        metadata: &'a Metadata<'a>,
    },
    ObjectGone(&'a Metadata<'a>),
    /// All kinds that the server offers and that can be followed; told anew when they may have changed.
    Kinds(&'a [ResourceKind]),
    /// A kind is followed from now on; `source` is its place in the list of kinds.
    KindAdded {
        source: usize,
        resource: &'a ResourceKind,
    },
    /// A kind is not served any more, and its objects are gone.
    KindGone {
        source: usize,
    },
    /// All objects of a kind have been told.
    Listed {
        source: usize,
        kind: Kind,
    },
}

/// The kinds that some loop treats on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pods,
    Nodes,
    Leases,
    Budgets,
    /// Claims to volumes.
    Claims,
    /// Definitions of custom resources: kinds come and go with them.
    Definitions,
    Other,
}

/// One request to send.
#[derive(Debug)]
pub(crate) struct Write {
    /// Given back with the answer; each core has its own numbers.
    pub ticket: u64,
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// A loop without I/O.
pub(crate) trait Core: Send {
    /// Takes a fact.
    fn observe(&mut self, fact: &Fact<'_>, now: Now);

    /// When [`wake`](Self::wake) has something to do, in milliseconds of [`Now`].
    fn next_wake(&self) -> Option<u64>;

    /// Does what is due.
    fn wake(&mut self, now: Now);

    /// The next request to send, if there is one.
    fn next_write(&mut self, now: Now) -> Option<Write>;

    /// Takes the answer to a request.
    fn done(&mut self, ticket: u64, result: Result<Bytes, Error>, now: Now);
}

/// The pauses before repetitions.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));

/// When to try again what has failed this often in a row, in milliseconds of [`Now`].
pub(crate) fn retry_at(now: Now, failures: u32, random: &mut fastrand::Rng) -> u64 {
    let pause = BACKOFF.jittered(failures, random).as_millis();
    now.millis.saturating_add(u64::try_from(pause).unwrap_or(u64::MAX))
}

/// Requests that wait to be sent, with what each is for.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    writes: VecDeque<Write>,
    tickets: HashMap<u64, T>,
    next_ticket: u64,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox { writes: VecDeque::new(), tickets: HashMap::new(), next_ticket: 0 }
    }
}

impl<T> Outbox<T> {
    pub(crate) fn push(
        &mut self,
        what_for: T,
        method: Method,
        path: String,
        content_type: &'static str,
        body: impl Into<Vec<u8>>,
    ) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(ticket, what_for);
        self.writes.push_back(Write { ticket, method, path, content_type, body: body.into() });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    /// What an answered request was for.
    pub(crate) fn answered(&mut self, ticket: u64) -> Option<T> {
        self.tickets.remove(&ticket)
    }
}

/// The body that deletes exactly the object with this uid; `grace_seconds` of 0 removes a pod at once.
pub(crate) fn delete_options(uid: &str, grace_seconds: Option<u32>) -> String {
    let mut options = serde_json::json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": { "uid": uid },
    });
    if let Some(seconds) = grace_seconds {
        options["gracePeriodSeconds"] = seconds.into();
    }
    options.to_string()
}

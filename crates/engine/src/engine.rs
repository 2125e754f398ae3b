//! The state machine itself.

use crate::actions::Action;
use crate::base::Time;
use crate::explain::Explanation;
use crate::facts::Fact;

/// The bounds of an engine. The defaults are the built-in controller's where it has the same bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pod creations in flight per DaemonSet (A2).
    pub creates_in_flight: usize,
    /// Pod deletions in flight per DaemonSet (A2).
    pub deletes_in_flight: usize,
    /// Other writes in flight per DaemonSet: adoptions, releases, labels.
    pub patches_in_flight: usize,
    /// The first delay after a failed write; it doubles with each further failure (A3).
    pub retry_first_millis: i64,
    /// The longest delay after a failed write.
    pub retry_last_millis: i64,
    /// How long a write without a visible effect is waited for (A2, ExpectationsTimeout).
    pub expectation_millis: i64,
    /// How long a creation without an answer is waited for.
    pub unknown_outcome_millis: i64,
    /// The shortest time between two status writes of one DaemonSet.
    pub status_interval_millis: i64,
    /// The first window in which no further failed pod is deleted on a node (D6).
    pub failed_pod_first_millis: i64,
    /// The longest such window.
    pub failed_pod_last_millis: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            creates_in_flight: 250,
            deletes_in_flight: 250,
            patches_in_flight: 250,
            retry_first_millis: 5,
            retry_last_millis: 60_000,
            expectation_millis: 300_000,
            unknown_outcome_millis: 30_000,
            status_interval_millis: 100,
            failed_pod_first_millis: 1_000,
            failed_pod_last_millis: 900_000,
        }
    }
}

/// The state machine. One owner calls it; it never blocks.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(limits: Limits) -> Self {
        Engine { limits }
    }

    /// The bounds it works under.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a fact in. A fact that changes nothing costs next to nothing.
    pub fn observe(&mut self, _fact: Fact<'_>, _now: Time) {}

    /// Everything that is to be done now and has not been asked for before. Nothing until all four kinds have been
    /// listed once (A5).
    pub fn decide(&mut self, _now: Time) -> Vec<Action> {
        Vec::new()
    }

    /// When `decide` has something to do next without a further fact.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// Why the DaemonSet is, or is not, on the node; `None` when there is no such DaemonSet.
    pub fn explain(
        &self,
        _namespace: &str,
        _daemonset: &str,
        _node: &str,
        _now: Time,
    ) -> Option<Explanation> {
        None
    }
}

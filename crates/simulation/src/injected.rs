//! Single faults that are put in on purpose, for the systematic suites.

use crate::model::Kind;

/// The fault that is to happen, and what was counted on the way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Injected {
    pub(crate) fault: Option<Fault>,
    /// Writes of the controller that were made.
    pub(crate) writes: u64,
    /// Events of watches that were shown to the controller after its lists.
    pub(crate) events: u64,
    /// What kind of object the event was about that was withheld.
    pub(crate) hidden: Option<Kind>,
    /// The controller is to crash now.
    pub(crate) crash: bool,
    /// Until then its next life is shown its first lists, and nothing that happens after them.
    pub(crate) stale_until_millis: Option<u64>,
}

/// One fault. Numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The controller crashes when this write has been made, before the answer comes.
    CrashBeforeAnswer(u64),
    /// The controller crashes when it is about to send the write after this one.
    CrashAfterWrite(u64),
    /// As `CrashBeforeAnswer`; the next life gets its first lists, and sees nothing new for this many seconds.
    StaleRestart(u64, u64),
    /// From this event on the watch is silent for this many seconds; then it has to be listed anew.
    Hide(u64, u64),
    /// This event alone is not shown; after this many seconds the watch breaks and has to be listed anew. A real API
    /// server does not do this.
    Drop(u64, u64),
}

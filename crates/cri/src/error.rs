//! What can go wrong with a call, for programs to decide by and for people to read.

use std::fmt;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};

use crate::endpoint::Endpoint;

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriError {
    /// Name of the call, such as `CreateContainer`.
    pub call: &'static str,
    /// What went wrong.
    pub kind: ErrorKind,
    /// What became of the request.
    pub fate: Fate,
    /// The runtime's own words, or what broke: for people only.
    words: String,
}

/// What went wrong. Runtimes say [`Failed`](ErrorKind::Failed) of much that has a kind of its own: where a state must
/// be known, ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no runtime, or the connection to it broke.
    Unavailable,
    /// No answer in time. When the runtime itself says so ([`Fate::Answered`]), something within it took too long: the
    /// program of an `ExecSync` its `timeout`, or any other call its deadline.
    DeadlineExceeded,
    /// The runtime does not know the call.
    Unimplemented,
    /// The sandbox, container or image is not there. containerd 1.6 says it too when a container is to be made in a
    /// sandbox that has stopped.
    NotFound,
    /// The name is taken. containerd says `Failed` of the name of a sandbox or container.
    AlreadyExists,
    /// The request makes no sense to the runtime.
    InvalidArgument,
    /// The state that the call needs is another one.
    FailedPrecondition,
    /// The runtime, or a registry, does not allow it.
    PermissionDenied,
    /// Some room is used up, within the runtime or of the machine.
    ResourceExhausted,
    /// The answer is longer than [`ANSWER_LIMIT_BYTES`](crate::ANSWER_LIMIT_BYTES).
    AnswerTooLarge,
    /// Everything else.
    Failed,
}

/// What became of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It never left: nothing has changed, and it may be sent again as it is.
    NeverSent,
    /// It left, and no answer came: it may have been carried out, or still be.
    Unknown,
    /// The runtime answered.
    Answered,
}

impl CriError {
    /// The runtime's own words, or what broke. They differ between runtimes and versions: show them, decide nothing by
    /// them.
    pub fn words(&self) -> &str {
        &self.words
    }

    pub(crate) fn late(call: &'static str, deadline: Duration, was_sent: bool) -> CriError {
        let fate = if was_sent { Fate::Unknown } else { Fate::NeverSent };
        CriError {
            call,
            kind: ErrorKind::DeadlineExceeded,
            fate,
            words: format!("no answer within {deadline:?}"),
        }
    }

    /// Reads what the client of gRPC made of a failure: a status of the runtime, or what [`Broken`] says.
    pub(crate) fn read(call: &'static str, status: &Status) -> CriError {
        let source = std::error::Error::source(status);
        if let Some(broken) = source.and_then(|source| source.downcast_ref::<Broken>()) {
            let fate = if broken.was_sent { Fate::Unknown } else { Fate::NeverSent };
            return CriError { call, kind: ErrorKind::Unavailable, fate, words: broken.words.clone() };
        }
        CriError { call, kind: kind(status.code()), fate: Fate::Answered, words: status.message().to_owned() }
    }
}

/// The kind of a status.
fn kind(code: Code) -> ErrorKind {
    match code {
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Unimplemented => ErrorKind::Unimplemented,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::InvalidArgument => ErrorKind::InvalidArgument,
        Code::FailedPrecondition => ErrorKind::FailedPrecondition,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::PermissionDenied,
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        // No call has a range. The decoder says it of an answer above its limit.
        Code::OutOfRange => ErrorKind::AnswerTooLarge,
        Code::Ok | Code::Cancelled | Code::Unknown | Code::Aborted | Code::Internal | Code::DataLoss => {
            ErrorKind::Failed
        }
    }
}

impl ErrorKind {
    fn phrase(self) -> &'static str {
        match self {
            ErrorKind::Unavailable => "did not reach the runtime",
            ErrorKind::DeadlineExceeded => "took too long",
            ErrorKind::Unimplemented => "is not known to this runtime",
            ErrorKind::NotFound => "found nothing by that name",
            ErrorKind::AlreadyExists => "found the name taken",
            ErrorKind::InvalidArgument => "was not understood",
            ErrorKind::FailedPrecondition => "needs another state",
            ErrorKind::PermissionDenied => "is not allowed",
            ErrorKind::ResourceExhausted => "found no room",
            ErrorKind::AnswerTooLarge => "has too long an answer",
            ErrorKind::Failed => "failed",
        }
    }
}

impl fmt::Display for CriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phrase = match (self.kind, self.fate) {
            (ErrorKind::Unavailable, Fate::Unknown) => "got no answer",
            (ErrorKind::Unavailable, Fate::Answered) => "came while the runtime could not serve it",
            (kind, _) => kind.phrase(),
        };
        write!(f, "{} {phrase}: {}", self.call, self.words)
    }
}

impl std::error::Error for CriError {}

/// The connection does not come about, or broke.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{words}")]
pub(crate) struct Broken {
    /// Whether the request may have left.
    pub(crate) was_sent: bool,
    pub(crate) words: String,
}

impl Broken {
    /// No connection to the endpoint.
    pub(crate) fn unreachable(endpoint: &Endpoint, error: &io::Error) -> Broken {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => {
                " (no runtime has made this socket: start containerd or CRI-O, or name its socket)"
            }
            io::ErrorKind::ConnectionRefused => " (nobody listens there any more: start the runtime again)",
            io::ErrorKind::PermissionDenied => " (the sockets of runtimes are root's)",
            _ => "",
        };
        Broken { was_sent: false, words: format!("{endpoint}: {error}{hint}") }
    }

    /// What HTTP says of a connection, with its causes.
    pub(crate) fn by(was_sent: bool, error: &hyper::Error) -> Broken {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            words = format!("{words}: {error}");
            cause = error.source();
        }
        Broken { was_sent, words }
    }
}

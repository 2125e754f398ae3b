//! How a command ends when it cannot do its work: one sentence, and a hint.

use std::process::ExitCode;

use everynode_apiserver::private::PrivateError;
use everynode_apiserver::{BackendError, Error as ServerError};
use everynode_dashboard::StartError;
use everynode_inspect::rollout::{PoliciesError, Refused};
use everynode_local::up::{RealNodesError, UpError};

use crate::plain;

/// Why a command ends with status 1.
#[derive(Debug)]
pub struct Failure {
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with advice.
    pub fn with_hint(message: impl std::fmt::Display, hint: impl Into<String>) -> Failure {
        Failure { message: message.to_string(), hint: Some(hint.into()) }
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let hint = hint(&error).map(str::to_owned);
        Failure { message: error.to_string(), hint }
    }
}

/// What to do about errors that users meet.
fn hint<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    if let Some(UpError::Server(error)) = error.downcast_ref() {
        return hint_of_server(error);
    }
    if let Some(UpError::RealNodes(error)) = error.downcast_ref() {
        return Some(hint_of_real_nodes(error));
    }
    if let Some(UpError::Kubeconfig { .. }) = error.downcast_ref() {
        return Some("make its directory, make room, or name another file with --kubeconfig");
    }
    if let Some(error) = error.downcast_ref() {
        return hint_of_dashboard(error);
    }
    if let Some(Refused { hint, .. }) = error.downcast_ref() {
        return Some(hint);
    }
    if let Some(PoliciesError::NotServed) = error.downcast_ref() {
        return Some("`everynode install` defines it; see docs/rollouts.md");
    }
    match error.downcast_ref()? {
        everynode_client::Error::Config(_) => Some(
            "name a kubeconfig with --kubeconfig FILE or the variable KUBECONFIG, and a context with --context",
        ),
        _ => None,
    }
}

fn hint_of_dashboard(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::Listen(_) => Some("leave --port away: any free one is taken then"),
        StartError::Snapshot { .. } => Some("everynode snapshot FILE writes one"),
        StartError::Cluster(_) => Some("DaemonSets must be listed, in a namespace at least: -n names it"),
        StartError::Random => None,
    }
}

fn hint_of_real_nodes(error: &RealNodesError) -> &'static str {
    match error {
        RealNodesError::NotRoot => {
            "run it with sudo, or leave --real-nodes out: simulated nodes need no rights"
        }
        RealNodesError::Missing { .. } => {
            "Debian and Ubuntu: apt-get install containerd runc iproute2; or leave --real-nodes out: simulated nodes \
             need none of it"
        }
        RealNodesError::Network(_) => {
            "the kernel needs network namespaces, veth and bridge, and we the right to use them; simulated nodes need \
             none of it"
        }
        RealNodesError::Folder { .. } | RealNodesError::Start { .. } => {
            "make room or mend it, and start again; simulated nodes need no disk"
        }
    }
}

fn hint_of_server(error: &ServerError) -> Option<&'static str> {
    Some(match error {
        ServerError::AddressInUse(_) => {
            "choose another port with --listen 127.0.0.1:PORT; port 0 takes any free one"
        }
        ServerError::Directory(PrivateError::NotOurs { .. } | PrivateError::OthersWrite { .. }) => {
            "another user could have put something there: look at it, make it yours alone with chown and chmod go-w, or \
             name another directory with --data-dir"
        }
        ServerError::Directory(_) => {
            "name another directory with --data-dir, or keep nothing with --ephemeral"
        }
        ServerError::AuditLog(..) => "make its directory, or name another file with --audit-log",
        ServerError::Pki(_) => {
            "restore pki.json from a copy, or delete it: it is made anew, and older kubeconfigs are void then"
        }
        ServerError::Store(BackendError::InUse(_)) => {
            "stop the other `everynode up`, or name another directory with --data-dir"
        }
        ServerError::Store(BackendError::Damaged { .. }) => {
            "the file is left as it is: restore it from a copy, or start with an empty --data-dir"
        }
        ServerError::Store(BackendError::DamagedObjects { .. }) => {
            "the file is left as it is: restore it from a copy, or go on without what is damaged by --skip-damaged"
        }
        ServerError::Store(BackendError::UnreadableObject { .. }) => {
            "the file is left as it is: use the version that wrote it, or restore it from a copy"
        }
        ServerError::Store(BackendError::Foreign { .. }) => {
            "the file is left as it is: use the version that wrote it, or another --data-dir"
        }
        ServerError::Store(BackendError::Full) => "make room, and start again: nothing acknowledged is lost",
        _ => return None,
    })
}

/// Prints the failure on standard error. The status is 1.
#[expect(clippy::print_stderr, reason = "this is where the command speaks to its user")]
pub fn report(message: &str, hint: Option<&str>) -> ExitCode {
    eprintln!("error: {}", plain::text(message));
    if let Some(hint) = hint {
        eprintln!("hint: {}", plain::text(hint));
    }
    ExitCode::FAILURE
}

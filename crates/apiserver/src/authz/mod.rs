//! Who may do what: everybody in `system:masters` everything, kubelets what their own nodes and pods need, and all what
//! the roles that are bound to them allow.

pub mod node;
mod policy;
mod rbac;
mod rule;

use everynode_apimachinery::status::Status;
use everynode_model::go_quote;

pub use rbac::{Decision, GROUP, Rbac};
pub use rule::Rule;

use crate::authn::{MASTERS, User};
use crate::http::attributes::Attributes;
use crate::state::State;

/// Decides whether a user may do what is asked.
pub fn decide(state: &State, user: &User, asked: &Attributes) -> Decision {
    let is_allowed =
        user.is_in(MASTERS) || node::of(user).is_some_and(|node| node::allows(state, node, asked));
    if is_allowed { Decision::Allowed(String::new()) } else { state.rbac.decide(user, asked) }
}

/// Lets a user do what a request asks for.
///
/// # Errors
/// The refusal, in the words of the API.
pub fn authorize(state: &State, user: &User, asked: &Attributes) -> Result<(), Status> {
    for asked in [Some(asked.clone()), as_creation(asked)].into_iter().flatten() {
        if let Decision::Denied(reason) = decide(state, user, &asked) {
            return Err(refusal(user, &asked, &reason));
        }
    }
    Ok(())
}

/// A stream into a pod is a creation, whichever method the protocol begins with: a WebSocket begins with GET, which
/// roles that only let read would let pass.
fn as_creation(asked: &Attributes) -> Option<Attributes> {
    let resource = asked.resource.as_ref()?;
    let is_stream = matches!(resource.subresource.as_str(), "exec" | "attach" | "portforward");
    let is_read = asked.verb == "get" && resource.resource == "pods" && is_stream;
    is_read.then(|| Attributes { verb: "create".into(), ..asked.clone() })
}

fn refusal(user: &User, attributes: &Attributes, reason: &str) -> Status {
    let (who, verb) = (go_quote(&user.name), &attributes.verb);
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let Some(asked) = &attributes.resource else {
        let why = format!("User {who} cannot {verb} path {}{because}", go_quote(&attributes.path));
        return Status::forbidden("", "", "", &why);
    };
    let resource = go_quote(&asked.whole_name());
    let group = go_quote(&asked.group);
    let place = match asked.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {}", go_quote(namespace)),
    };
    let why = format!("User {who} cannot {verb} resource {resource} in API group {group} {place}{because}");
    Status::forbidden(&asked.group, &asked.resource, &asked.name, &why)
}

//! Who may do what.

use everynode_apimachinery::status::Status;
use everynode_model::go_quote;

use crate::authn::{MASTERS, User};
use crate::http::attributes::Attributes;

/// Lets a user do what a request asks for.
///
/// # Errors
/// The refusal, in the words of the API.
pub fn authorize(user: &User, attributes: &Attributes) -> Result<(), Status> {
    if user.is_in(MASTERS) { Ok(()) } else { Err(refusal(user, attributes)) }
}

fn refusal(user: &User, attributes: &Attributes) -> Status {
    let (who, verb) = (go_quote(&user.name), &attributes.verb);
    let Some(asked) = &attributes.resource else {
        let why = format!("User {who} cannot {verb} path {}", go_quote(&attributes.path));
        return Status::forbidden("", "", "", &why);
    };
    let slash = if asked.subresource.is_empty() { "" } else { "/" };
    let resource = go_quote(&format!("{}{slash}{}", asked.resource, asked.subresource));
    let place = match asked.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {}", go_quote(namespace)),
    };
    let why = format!(
        "User {who} cannot {verb} resource {resource} in API group {} {place}",
        go_quote(&asked.group)
    );
    Status::forbidden(&asked.group, &asked.resource, &asked.name, &why)
}

//! Acting as somebody else (`kubectl --as`): whoever may `impersonate` a user, and each of the groups, is taken for them.

use std::sync::Arc;

use everynode_apimachinery::status::Status;
use http::{HeaderMap, HeaderName};

use super::{AUTHENTICATED, User, split_service_account};
use crate::authz;
use crate::http::attributes::{Attributes, Resource};
use crate::state::State;

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");

/// What all headers of this kind begin with.
const PREFIX: &str = "impersonate-";

/// Groups that a request may name.
const GROUPS: usize = 1_000;

/// The user that a request is to be taken for: the one that its headers name, or the one that sent it.
///
/// # Errors
/// The refusal: the sender may not act as that user, or the headers ask for what is not served.
pub fn impersonated(state: &State, user: Arc<User>, headers: &HeaderMap) -> Result<Arc<User>, Status> {
    let is_other = |name: &HeaderName| name.as_str().starts_with(PREFIX) && *name != USER && *name != GROUP;
    if let Some(other) = headers.keys().find(|name| is_other(name)) {
        return Err(Status::bad_request(format!("the header {other} is not served")));
    }
    let texts = |name: &HeaderName| -> Vec<String> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.map(str::to_owned).take(GROUPS).collect()
    };
    let (names, groups) = (texts(&USER), texts(&GROUP));
    let Some(name) = names.first().filter(|name| !name.is_empty()) else {
        return match groups.is_empty() {
            true => Ok(user),
            false => Err(Status::bad_request("groups can be impersonated only with a user")),
        };
    };
    let check = |resource: &str, namespace: &str, name: &str| {
        let resource = Resource {
            version: "v1".into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Resource::default()
        };
        let asked = Attributes { verb: "impersonate".into(), path: String::new(), resource: Some(resource) };
        authz::authorize(state, &user, &asked)
    };
    let account = split_service_account(name);
    match account {
        Some((namespace, name)) => check("serviceaccounts", namespace, name)?,
        None => check("users", "", name)?,
    }
    groups.iter().try_for_each(|group| check("groups", "", group))?;
    let mut taken_for = match account {
        Some((namespace, name)) if groups.is_empty() => User::service_account(namespace, name, ""),
        _ => User::recognised(name, groups.into_iter().filter(|group| group != AUTHENTICATED)),
    };
    taken_for.uid.clear();
    Ok(Arc::new(taken_for))
}

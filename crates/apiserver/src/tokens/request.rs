//! Tokens on request (`authentication.k8s.io/v1`, TokenRequest).

use everynode_apimachinery::status::{FieldError, Status};
use everynode_model::access::Read as _;
use everynode_model::{Value, encode, time};
use serde_json::json;

use super::claims::{Bound, Claims, ISSUER, Reference};
use super::key::TOKEN_BYTES;
use super::{Kind, find};
use crate::authn::service_account_name;
use crate::meta;
use crate::state::State;

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";

/// How long a token lives where nothing is said, and the bounds of what may be said, in seconds.
const DEFAULT_SECONDS: i64 = 3_600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;

/// Answers a request for a token of a service account: the request with its defaults, and the token in the status.
///
/// # Errors
/// The refusal.
pub fn request(state: &State, namespace: &str, name: &str, mut request: Value) -> Result<Value, Status> {
    let invalid = |name: &str, error: FieldError| Status::invalid(GROUP, KIND, name, &[error]);
    let own = meta::text(&request, "name");
    if !own.is_empty() && own != name {
        let why = "must match the service account name if specified";
        return Err(invalid(name, FieldError::invalid("metadata.name", own, why)));
    }
    let account = find(state, Kind::ServiceAccount, namespace, name)
        .ok_or_else(|| Status::not_found("", "serviceaccounts", name))?;
    let uid = meta::text(&account, "uid");
    let wanted = meta::text(&request, "uid");
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the token request ({wanted}) does not match the UID of the service account ({uid})"
        );
        return Err(Status::conflict(GROUP, KIND, name, &why));
    }
    let now = state.now();
    let seconds = life_seconds(&request).map_err(|error| invalid("", error))?;
    let reference = request.at("spec.boundObjectRef");
    let bound =
        reference.map_or(Ok(Bound::default()), |reference| bind(state, namespace, name, reference))?;
    let account = Reference { name: name.to_owned(), uid: uid.to_owned() };
    let bound = Bound { namespace: namespace.to_owned(), serviceaccount: account, ..bound };
    let audiences = match request.items("spec.audiences") {
        [] => vec![ISSUER.to_owned()],
        named => named.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    let claims = Claims {
        aud: audiences.clone(),
        exp: now + seconds,
        iat: now,
        iss: ISSUER.to_owned(),
        jti: meta::random_uid(),
        bound,
        nbf: now,
        sub: service_account_name(namespace, name),
    };
    let token = sign(state, &claims)?;
    meta::set(&mut request, "name", name);
    meta::set(&mut request, "namespace", namespace);
    meta::set(&mut request, "uid", uid);
    meta::set(&mut request, "creationTimestamp", time::format(now));
    request["spec"]["audiences"] = audiences.into();
    request["spec"]["expirationSeconds"] = seconds.into();
    request["status"] = json!({ "token": token, "expirationTimestamp": time::format(now + seconds) });
    Ok(request)
}

fn life_seconds(request: &Value) -> Result<i64, FieldError> {
    let seconds = request.number_opt("spec.expirationSeconds").unwrap_or(DEFAULT_SECONDS);
    let refused = |why| Err(FieldError::invalid("spec.expirationSeconds", seconds, why));
    match seconds {
        ..LEAST_SECONDS => refused("may not specify a duration less than 10 minutes"),
        LEAST_SECONDS..=MOST_SECONDS => Ok(seconds),
        _ => refused("may not specify a duration larger than 2^32 seconds"),
    }
}

fn sign(state: &State, claims: &Claims) -> Result<String, Status> {
    let content = serde_json::to_value(claims).map_err(Status::internal)?;
    let token = state.credentials.key.sign(&encode::to_vec(&content)).map_err(Status::internal)?;
    if token.len() > TOKEN_BYTES {
        let why = format!("the token would be longer than {TOKEN_BYTES} bytes: ask for fewer audiences");
        return Err(Status::bad_request(why));
    }
    Ok(token)
}

/// What a token is bound to by a reference, which names an object that the account may be bound to.
fn bind(state: &State, namespace: &str, account: &str, reference: &Value) -> Result<Bound, Status> {
    let (api_version, kind) = (reference.text("apiVersion"), reference.text("kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = match (group, kind) {
        ("", "Pod") => Kind::Pod,
        ("", "Secret") => Kind::Secret,
        ("", "Node") => Kind::Node,
        _ => {
            let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(why));
        }
    };
    let (name, wanted) = (reference.text("name"), reference.text("uid"));
    let place = if kind == Kind::Node { "" } else { namespace };
    let object = find(state, kind, place, name).ok_or_else(|| Status::not_found("", kind.plural(), name))?;
    if kind == Kind::Pod && object.text("spec.serviceAccountName") != account {
        let account = everynode_model::go_quote(account);
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {account} to pod running with different serviceaccount name."
        )));
    }
    let uid = meta::text(&object, "uid");
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object \
             might have been deleted and then recreated"
        );
        return Err(Status::conflict("", reference.text("kind"), name, &why));
    }
    let found = Some(Reference { name: name.to_owned(), uid: uid.to_owned() });
    Ok(match kind {
        Kind::Pod => Bound { pod: found, node: node_of(state, &object), ..Bound::default() },
        Kind::Secret => Bound { secret: found, ..Bound::default() },
        Kind::Node | Kind::ServiceAccount => Bound { node: found, ..Bound::default() },
    })
}

/// The node of a pod; without a UID when there is no such node.
fn node_of(state: &State, pod: &Value) -> Option<Reference> {
    let name = Some(pod.text("spec.nodeName")).filter(|name| !name.is_empty())?;
    let node = find(state, Kind::Node, "", name);
    let uid = node.map_or_else(String::new, |node| meta::text(&node, "uid").to_owned());
    Some(Reference { name: name.to_owned(), uid })
}

//! The tokens of service accounts: what they say, how they are signed, and when they hold.

mod claims;
mod key;
mod request;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_model::access::Read as _;
use everynode_model::{Value, time};
use serde_json::json;

pub use claims::{Bound, Claims, ISSUER, Reference, SECRET_ISSUER, SecretClaims};
pub use key::Key;
pub use request::request;

use claims::Content;

use crate::authn::{CREDENTIAL_ID, User, service_account_name};
use crate::credentials::same;
use crate::meta;
use crate::state::State;

/// The type of secrets that hold a token.
pub const SECRET_TYPE: &str = "kubernetes.io/service-account-token";

/// How far clocks may differ, and how long a token outlives what it is bound to, in seconds.
const LEEWAY_SECONDS: i64 = 60;

/// Where the keys of the issuer are published.
pub const KEYS_PATH: &str = "/openid/v1/jwks";

/// Why a token stands for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of this cluster.
    #[error("it is no token of this cluster")]
    Unknown,
    /// Its time is over.
    #[error("service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("service account token is not valid yet")]
    NotYet,
    /// It is meant for others.
    #[error("token audiences {given:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        /// For whom it is meant.
        given: Vec<String>,
        /// Who asks.
        wanted: Vec<String>,
    },
    /// What it is bound to is gone, or there is another one of that name. Holds kind and name.
    #[error("service account token has been invalidated: {0} is gone")]
    Gone(String),
}

/// Checks a token of a service account that is meant for one of these audiences; says whom it stands for, and for
/// which of the audiences it is meant.
///
/// # Errors
/// Why it stands for nobody.
pub fn verify(state: &State, token: &str, audiences: &[&str]) -> Result<(User, Vec<String>), TokenError> {
    let content = state.credentials.key.read(token).ok_or(TokenError::Unknown)?;
    let (user, given) = match Content::read(&content).ok_or(TokenError::Unknown)? {
        Content::Requested(claims) => (user_of(state, &claims, state.now())?, claims.aud),
        Content::Kept(claims) => (user_of_secret(state, &claims, token)?, vec![ISSUER.to_owned()]),
    };
    meant_for(given, audiences).map(|meant| (user, meant))
}

/// Which of the audiences that ask a credential is meant for.
pub fn meant_for(given: Vec<String>, wanted: &[&str]) -> Result<Vec<String>, TokenError> {
    let meant: Vec<String> = wanted
        .iter()
        .filter(|one| given.iter().any(|own| own == *one))
        .map(|one| (*one).to_owned())
        .collect();
    let wanted = || wanted.iter().map(|one| (*one).to_owned()).collect();
    if meant.is_empty() { Err(TokenError::Audience { given, wanted: wanted() }) } else { Ok(meant) }
}

fn user_of(state: &State, claims: &Claims, now: i64) -> Result<User, TokenError> {
    if claims.exp.saturating_add(LEEWAY_SECONDS) < now {
        return Err(TokenError::Expired);
    }
    if claims.nbf.max(claims.iat) > now + LEEWAY_SECONDS {
        return Err(TokenError::NotYet);
    }
    let Bound { namespace, node, pod, secret, serviceaccount: account } = &claims.bound;
    if claims.sub != service_account_name(namespace, &account.name) {
        return Err(TokenError::Unknown);
    }
    let holds = |kind, namespace, reference| check_alive(state, kind, namespace, reference, now);
    holds(Kind::ServiceAccount, namespace, account)?;
    if let Some(secret) = secret {
        holds(Kind::Secret, namespace, secret)?;
    }
    let mut user = User::service_account(namespace, &account.name, &account.uid);
    user.note(CREDENTIAL_ID, format!("JTI={}", claims.jti));
    match (pod, node) {
        (Some(pod), _) => holds(Kind::Pod, namespace, pod)?,
        (None, Some(node)) => holds(Kind::Node, "", node)?,
        (None, None) => {}
    }
    for (kind, reference) in [("node", node), ("pod", pod)] {
        if let Some(Reference { name, uid }) = reference {
            user.note(&format!("authentication.kubernetes.io/{kind}-name"), name);
            if !uid.is_empty() {
                user.note(&format!("authentication.kubernetes.io/{kind}-uid"), uid);
            }
        }
    }
    Ok(user)
}

fn user_of_secret(state: &State, claims: &SecretClaims, token: &str) -> Result<User, TokenError> {
    let SecretClaims { namespace, secret, account, account_uid, sub, .. } = claims;
    if *sub != service_account_name(namespace, account) {
        return Err(TokenError::Unknown);
    }
    let secret_gone = || TokenError::Gone(format!("Secret {namespace}/{secret}"));
    let found = find(state, Kind::Secret, namespace, secret).ok_or_else(secret_gone)?;
    let kept = STANDARD.decode(found.text("data.token")).unwrap_or_default();
    if meta::has(&found, "deletionTimestamp") || !same(&kept, token.as_bytes()) {
        return Err(secret_gone());
    }
    let found = find(state, Kind::ServiceAccount, namespace, account);
    let is_it =
        |found: &Value| meta::text(found, "uid") == account_uid && !meta::has(found, "deletionTimestamp");
    if !found.is_some_and(|found| is_it(&found)) {
        return Err(TokenError::Gone(format!("ServiceAccount {namespace}/{account}")));
    }
    Ok(User::service_account(namespace, account, account_uid))
}

/// The kinds of objects that tokens are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The account itself.
    ServiceAccount,
    /// A pod that runs under it.
    Pod,
    /// A secret of its namespace.
    Secret,
    /// A node.
    Node,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Kind::ServiceAccount => "serviceaccounts",
            Kind::Pod => "pods",
            Kind::Secret => "secrets",
            Kind::Node => "nodes",
        }
    }
}

/// An object that a token may be bound to.
pub fn find(state: &State, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
    let table = state.catalog.table_named("", "v1", kind.plural())?;
    Some(state.store.get(table, namespace, name)?.value())
}

/// Checks that what a token is bound to is still there, and has not long been deleted.
fn check_alive(
    state: &State,
    kind: Kind,
    namespace: &str,
    reference: &Reference,
    now: i64,
) -> Result<(), TokenError> {
    let is_alive = |object: &Value| {
        let deleted = time::parse(meta::text(object, "deletionTimestamp")).ok();
        meta::text(object, "uid") == reference.uid && deleted.is_none_or(|then| then >= now - LEEWAY_SECONDS)
    };
    let found = find(state, kind, namespace, &reference.name);
    let gone = || TokenError::Gone(format!("{kind:?} {namespace}/{}", reference.name));
    if found.is_some_and(|object| is_alive(&object)) { Ok(()) } else { Err(gone()) }
}

/// Reads a token as the server does, and what it would say if it was signed. For fuzzing.
pub fn read_token(token: &str) {
    static KEY: LazyLock<Option<Key>> =
        LazyLock::new(|| Key::from_pem(&rcgen::KeyPair::generate().ok()?.serialize_pem()).ok());
    if let Some(key) = &*KEY {
        key.read(token);
    }
    Content::read(token.as_bytes());
}

/// What others need to check tokens by themselves (OpenID Connect Discovery 1.0). `url` is the base of the server's
/// URLs.
pub fn discovery(url: &str) -> Value {
    json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{url}{KEYS_PATH}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The keys of the issuer (RFC 7517).
pub fn keys(key: &Key) -> Value {
    json!({ "keys": [key.public()] })
}

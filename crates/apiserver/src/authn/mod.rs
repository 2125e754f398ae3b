//! Who asks: by a client certificate of the cluster's own authority, by the admin's token, or by the token of a
//! service account.

mod impersonation;
mod user;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

pub use impersonation::impersonated;
pub use user::{
    ANONYMOUS, AUTHENTICATED, CREDENTIAL_ID, MASTERS, NODE_PREFIX, NODES, User, service_account_name,
    split_service_account,
};

use crate::credentials::same;
use crate::pki::ADMIN_USER;
use crate::state::State;
use crate::tokens::{self, TokenError};

/// What the transport says about the other end.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Whom its client certificate stands for, which the cluster's own authority has signed.
    pub user: Option<Arc<User>>,
    /// Whether it is this process itself.
    pub own: bool,
    /// Its address.
    pub peer: IpAddr,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The user.
    pub user: Arc<User>,
    /// Whether it is this process itself.
    pub own: bool,
}

/// Whom a certificate in DER stands for that the cluster's authority has signed: its common name, in the groups of its
/// organizations. Nobody when it has no common name.
pub fn user_of_certificate(der: &[u8]) -> Option<User> {
    let subject = everynode_x509::subject_of_certificate(der).ok()?;
    if subject.common_name.is_empty() {
        return None;
    }
    let mut user = User::recognised(subject.common_name, subject.organizations);
    let fingerprint: String = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    user.note(CREDENTIAL_ID, format!("X509SHA256={fingerprint}"));
    Some(user)
}

/// Recognises a client by its certificate or, where it has none, its bearer token.
pub fn authenticate(state: &State, connection: &Connection, headers: &HeaderMap) -> Option<Arc<User>> {
    if let Some(user) = &connection.user {
        return Some(user.clone());
    }
    let token = bearer_token(headers)?;
    let recognised = user_of_token(state, token, &[tokens::ISSUER]);
    match recognised {
        Ok((user, _)) => Some(Arc::new(user)),
        Err(error) => {
            tracing::debug!(%error, "a token was refused");
            None
        }
    }
}

/// Whom a token stands for that is meant for one of these audiences, and for which of them.
///
/// # Errors
/// Why it stands for nobody.
pub fn user_of_token(
    state: &State,
    token: &str,
    audiences: &[&str],
) -> Result<(User, Vec<String>), TokenError> {
    if same(token.as_bytes(), state.credentials.admin_token.as_bytes()) {
        let meant = tokens::meant_for(vec![tokens::ISSUER.to_owned()], audiences)?;
        return Ok((User::recognised(ADMIN_USER, [MASTERS.to_owned()]), meant));
    }
    tokens::verify(state, token, audiences)
}

/// The bearer token of a request.
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Whether a path may be read by anybody.
pub fn is_public(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or("");
    matches!(first, "livez" | "readyz" | "healthz" | "version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_from_the_header_and_from_nothing_else() {
        let check = |header: Option<&str>, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().unwrap());
            }
            assert_eq!(bearer_token(&headers), expected, "{header:?}");
        };
        check(None, None);
        check(Some("Bearer secret"), Some("secret"));
        check(Some("bearer  secret "), Some("secret"));
        check(Some("Bearer "), None);
        check(Some("Bearer"), None);
        check(Some("Basic secret"), None);
    }

    #[test]
    fn a_certificate_stands_for_its_common_name_in_the_groups_of_its_organizations() {
        use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
        let check = |parts: &[(DnType, &str)], expected: Option<(&str, &[&str])>| {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            for (kind, text) in parts {
                params.distinguished_name.push(kind.clone(), *text);
            }
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let user = user_of_certificate(certificate.der());
            let found = user.as_ref().map(|user| (user.name.as_str(), user.groups.clone()));
            let expected = expected.map(|(name, groups)| {
                (name, groups.iter().chain(&["system:authenticated"]).map(|g| (*g).to_owned()).collect())
            });
            assert_eq!(found, expected, "{parts:?}");
        };
        let (name, group) = (DnType::CommonName, DnType::OrganizationName);
        check(&[(name.clone(), "system:node:n")], Some(("system:node:n", &[])));
        check(
            &[(group.clone(), "system:nodes"), (name, "system:node:n")],
            Some(("system:node:n", &["system:nodes"])),
        );
        check(&[(group, "system:masters")], None);
        check(&[], None);
        assert_eq!(user_of_certificate(b"no certificate"), None);
        assert_eq!(user_of_certificate(&[0x30, 0x80, 0, 0]), None);
    }
}

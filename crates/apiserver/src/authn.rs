//! Who asks. Every identity that is recognised is the admin; there is no finer authorisation.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::pki::{ADMIN_GROUP, ADMIN_USER};

/// What the transport says about the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Whether it showed a client certificate of the cluster's own authority.
    pub certified: bool,
    /// Whether that was the one of this process itself.
    pub own: bool,
    /// Its address.
    pub peer: IpAddr,
}

/// A recognised client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: &'static str,
    /// Groups.
    pub groups: &'static [&'static str],
}

const ADMIN: User = User { name: ADMIN_USER, groups: &[ADMIN_GROUP, "system:authenticated"] };

/// Recognises a client by its certificate or its bearer token.
pub fn authenticate(connection: Connection, headers: &HeaderMap, token: &str) -> Option<User> {
    if connection.certified {
        return Some(ADMIN);
    }
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, given) = header.split_once(' ')?;
    let valid = scheme.eq_ignore_ascii_case("bearer") && same(given.trim().as_bytes(), token.as_bytes());
    valid.then_some(ADMIN)
}

/// Whether a path may be read by anybody.
pub fn is_public(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or("");
    matches!(first, "livez" | "readyz" | "healthz" | "version")
}

/// Compares in a time that depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0_u8, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_recognised_by_certificate_or_token_and_by_nothing_else() {
        let peer = IpAddr::from([127, 0, 0, 1]);
        let check = |certified, header: Option<&str>, expected: bool| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().unwrap());
            }
            let user = authenticate(Connection { certified, own: false, peer }, &headers, "secret");
            assert_eq!(user.is_some(), expected, "{certified} {header:?}");
        };
        check(true, None, true);
        check(false, None, false);
        check(false, Some("Bearer secret"), true);
        check(false, Some("bearer secret"), true);
        check(false, Some("Bearer secres"), false);
        check(false, Some("Bearer secret2"), false);
        check(false, Some("Bearer "), false);
        check(false, Some("Basic secret"), false);
    }
}

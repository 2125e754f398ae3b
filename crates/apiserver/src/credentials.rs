//! What clients are known by.

use crate::pki::Pair;
use crate::tokens::Key;

/// What clients are known by.
#[derive(Debug)]
pub struct Credentials {
    /// The admin's bearer token.
    pub admin_token: String,
    /// The key that signs the tokens of service accounts.
    pub key: Key,
    /// The cluster's authority.
    pub authority: Pair,
}

/// Compares in a time that depends on the lengths only.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0_u8, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_only_as_a_whole() {
        let check =
            |given: &str, expected| assert_eq!(same(given.as_bytes(), b"secret"), expected, "{given}");
        check("secret", true);
        check("secres", false);
        check("secret2", false);
        check("", false);
    }
}

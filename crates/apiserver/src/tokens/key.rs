//! JSON Web Signatures in their compact form (RFC 7515), by the one algorithm and the one key of this cluster.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use everynode_model::{Value, encode};
use rcgen::PublicKeyData as _;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::pki::PkiError;

/// ECDSA over P-256 with SHA-256 (RFC 7518, section 3.4).
const ALGORITHM: &str = "ES256";

/// Bytes of a token at most, of its own ones and of those that it reads.
pub const TOKEN_BYTES: usize = 16 << 10;

/// The key that signs.
#[derive(Debug)]
pub struct Key {
    pair: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
}

/// What stands before the content.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions that a reader has to know; none are known here.
    crit: Option<serde::de::IgnoredAny>,
}

impl Key {
    /// Reads the private key (PKCS #8, PEM).
    ///
    /// # Errors
    /// It is no key for the algorithm.
    pub fn from_pem(pem: &str) -> Result<Key, PkiError> {
        let failed =
            |error: &dyn std::fmt::Display| PkiError::Certificate(format!("the key of tokens: {error}"));
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| failed(&error))?;
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random)
                .map_err(|error| failed(&error))?;
        let public = rcgen::KeyPair::from_pem(pem)?.subject_public_key_info();
        Ok(Key { pair, id: URL_SAFE_NO_PAD.encode(Sha256::digest(public)), random })
    }

    /// Signs a content.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn sign(&self, content: &[u8]) -> Result<String, PkiError> {
        let header = encode::to_vec(&json!({ "alg": ALGORITHM, "kid": self.id }));
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(content));
        let signature = self.pair.sign(&self.random, signed.as_bytes());
        let signature = signature.map_err(|_| PkiError::Certificate("no randomness".into()))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The content of a token that this key has signed; nothing for any other text.
    pub fn read(&self, token: &str) -> Option<Vec<u8>> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, content) = signed.split_once('.')?;
        let Header { alg, kid, crit } = serde_json::from_slice(&decode(header)?).ok()?;
        if alg != ALGORITHM || kid != self.id || crit.is_some() {
            return None;
        }
        let content = decode(content)?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key());
        public.verify(signed.as_bytes(), &decode(signature)?).ok()?;
        Some(content)
    }

    /// The public half (RFC 7517), by which others check tokens.
    pub fn public(&self) -> Value {
        // An uncompressed point: a byte that says so, and the coordinates (SEC 1, section 2.3.3).
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
        json!({
            "use": "sig",
            "kty": "EC",
            "kid": self.id,
            "crv": "P-256",
            "alg": ALGORITHM,
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_pem(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap()
    }

    fn part(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn a_token_is_read_by_the_key_that_signed_it_and_by_no_other() {
        let key = key();
        let token = key.sign(b"content").unwrap();
        assert_eq!(key.read(&token).unwrap(), b"content");
        assert_eq!(self::key().read(&token), None);
        // Anybody can check it by what is published.
        let public = key.public();
        let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(public[name].as_str().unwrap()).unwrap();
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let published = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        published.verify(signed.as_bytes(), &signature).unwrap();
    }

    /// `EVERYNODE_SEED` sets the first seed.
    #[test]
    fn no_changed_token_is_read() {
        let key = key();
        let token = key.sign(br#"{"iss":"x"}"#).unwrap();
        let first =
            everynode_testkit::set_number("EVERYNODE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 60));
        println!("again with EVERYNODE_SEED={first}");
        for seed in first..first + 2_000 {
            let random = &mut fastrand::Rng::with_seed(seed);
            let mut changed = token.clone().into_bytes();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..=changed.len());
                match random.u32(0..4) {
                    0 => drop(changed.drain(at..(at + 1).min(changed.len()))),
                    1 => changed.insert(at, random.u8(b' '..=b'~')),
                    2 => changed.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(b' '..=b'~')),
                    _ => changed.truncate(at),
                }
            }
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == token || key.read(&changed).is_none(), "seed {seed}: {changed}");
        }
    }

    #[test]
    fn forged_tokens_are_refused() {
        let key = key();
        let token = key.sign(b"content").unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let signed = |header: &str| {
            let signed = format!("{}.{}", part(header), parts[1]);
            let signature = key.pair.sign(&key.random, signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let id = &key.id;
        assert!(key.read(&signed(&format!(r#"{{"alg":"ES256","kid":"{id}"}}"#))).is_some());
        // HMAC by the public key, which everybody knows.
        let mac = {
            let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.pair.public_key().as_ref());
            let signed = format!("{}.{}", part(&format!(r#"{{"alg":"HS256","kid":"{id}"}}"#)), parts[1]);
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, signed.as_bytes())))
        };
        let check = |token: String, why: &str| assert_eq!(key.read(&token), None, "{why}: {token}");
        check(mac, "another algorithm");
        check(signed(&format!(r#"{{"alg":"none","kid":"{id}"}}"#)), "no algorithm");
        check(signed(&format!(r#"{{"alg":"es256","kid":"{id}"}}"#)), "an algorithm in other letters");
        check(signed(r#"{"alg":"ES256","kid":"other"}"#), "another key");
        check(signed(r#"{"alg":"ES256"}"#), "no key");
        check(signed(&format!(r#"{{"alg":"ES256","kid":"{id}","crit":["exp"]}}"#)), "an extension");
        check(signed(&format!(r#"{{"alg":"ES256","alg":"none","kid":"{id}"}}"#)), "two algorithms");
        check(signed("[]"), "no header");
        check(format!("{}.{}.", parts[0], parts[1]), "no signature");
        check(format!("{}.{}", parts[0], parts[1]), "two parts");
        check(format!("{token}.{}", parts[2]), "four parts");
        check(format!("{}.{}.{}", parts[0], part("other"), parts[2]), "another content");
        check(format!("{}.{}.{}=", parts[0], parts[1], parts[2]), "padding");
        check(format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 64])), "zeroes");
        check(key.sign(&vec![b'x'; TOKEN_BYTES]).unwrap(), "too long");
        check(String::new(), "nothing");
        check("..".into(), "empty parts");
    }
}

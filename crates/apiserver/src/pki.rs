//! The cluster's own certificate authority, the certificates that it signs, and the admin token.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use serde::{Deserialize, Serialize};

use crate::authn::{MASTERS, NODE_PREFIX, NODES};
use crate::private;

const DAY_SECONDS: i64 = 86_400;
const AUTHORITY_DAYS: i64 = 3_650;
const LEAF_DAYS: i64 = 365;

/// Certificates with less than this left are made anew at start.
const RENEW_BEFORE_DAYS: i64 = 30;

/// How far back certificates are valid, against clocks that differ.
const BACKDATE_SECONDS: i64 = 3_600;

/// The name of the user that the client certificate stands for.
pub const ADMIN_USER: &str = "kubernetes-admin";

/// The name of the server towards kubelets.
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";

/// The names by which the server is reached.
const SERVING_NAMES: &[&str] = &[
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// The address by which it is reached in the cluster: that of the service `kubernetes`.
pub const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The addresses by which the server is reached.
const SERVING_ADDRESSES: &[IpAddr] =
    &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(SERVICE_ADDRESS)];

/// Why certificates could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A key or certificate could not be made or read.
    #[error("certificates: {0}")]
    Certificate(String),
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> PkiError {
        PkiError::Certificate(error.to_string())
    }
}

/// A certificate and its key, in PEM, with the end of its life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
    /// Unix time in seconds after which the certificate is not valid.
    pub not_after: i64,
}

/// Everything secret of a cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pki {
    /// The authority that signs the others.
    pub authority: Pair,
    /// What the server shows.
    pub serving: Pair,
    /// What the admin shows.
    pub admin: Pair,
    /// The admin's bearer token.
    pub token: String,
    /// The private key that signs the tokens of service accounts, in PEM.
    #[serde(default)]
    pub account_key: String,
}

impl Pki {
    /// Makes everything anew. `now` is Unix time in seconds.
    pub fn generate(now: i64) -> Result<Pki, PkiError> {
        let authority = make_authority(now)?;
        let serving = make_serving(&authority, now)?;
        let admin = make_admin(&authority, now)?;
        let account_key = KeyPair::generate()?.serialize_pem();
        Ok(Pki { authority, serving, admin, token: random_token()?, account_key })
    }

    /// Reads the cluster's secrets from a directory, makes what is missing, and renews what ends soon. The
    /// files are readable by their owner only.
    pub fn load_or_generate(directory: &Path, now: i64) -> Result<Pki, PkiError> {
        let path = directory.join("pki.json");
        let found = match fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice::<Pki>(&bytes).map_err(|error| {
                PkiError::Certificate(format!("{} cannot be read: {error}", path.display()))
            })?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(PkiError::File { path: path.display().to_string(), source }),
        };
        let (pki, changed) = match found {
            Some(pki) => pki.renewed(now)?,
            None => (Pki::generate(now)?, true),
        };
        if changed {
            let text = serde_json::to_vec_pretty(&pki).map_err(|e| PkiError::Certificate(e.to_string()))?;
            let failed = |source| PkiError::File { path: path.display().to_string(), source };
            private::replace(&path, &text).map_err(failed)?;
        }
        Ok(pki)
    }

    /// Replaces what ends within [`RENEW_BEFORE_DAYS`]; says whether anything was replaced.
    fn renewed(mut self, now: i64) -> Result<(Pki, bool), PkiError> {
        let soon = now + RENEW_BEFORE_DAYS * DAY_SECONDS;
        let mut changed = false;
        if self.authority.not_after < soon {
            self = Pki { token: self.token, account_key: self.account_key, ..Pki::generate(now)? };
            changed = true;
        }
        if self.serving.not_after < soon || !names_all(&self.serving)? {
            self.serving = make_serving(&self.authority, now)?;
            changed = true;
        }
        if self.account_key.is_empty() {
            self.account_key = KeyPair::generate()?.serialize_pem();
            changed = true;
        }
        if self.admin.not_after < soon {
            self.admin = make_admin(&self.authority, now)?;
            changed = true;
        }
        Ok((self, changed))
    }

    /// A certificate of the admin for this process itself, which is known by it.
    pub fn own(&self, now: i64) -> Result<Pair, PkiError> {
        make_admin(&self.authority, now)
    }

    /// What the server shows to kubelets.
    pub fn kubelet_client(&self, now: i64) -> Result<Pair, PkiError> {
        make_client(&self.authority, KUBELET_CLIENT, MASTERS, now)
    }

    /// What the kubelet of a node shows to the server.
    pub fn node_client(&self, node: &str, now: i64) -> Result<Pair, PkiError> {
        make_client(&self.authority, &format!("{NODE_PREFIX}{node}"), NODES, now)
    }

    /// What the endpoint of a node shows, which is reached by the node's name and at these addresses.
    pub fn node_serving(&self, node: &str, addresses: &[IpAddr], now: i64) -> Result<Pair, PkiError> {
        let mut params = CertificateParams::new(vec![node.to_owned()])?;
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.distinguished_name = name(&format!("{NODE_PREFIX}{node}"), Some(NODES));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        sign(params, &self.authority, now)
    }

    /// A kubeconfig with a client certificate, and the server's address.
    pub fn kubeconfig(&self, server: &str, client: &Pair) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: everynode\n  cluster:\n    server: {server}\n    \
             certificate-authority-data: {ca}\nusers:\n- name: {ADMIN_USER}\n  user:\n    \
             client-certificate-data: {certificate}\n    client-key-data: {key}\ncontexts:\n- name: everynode\n  \
             context:\n    cluster: everynode\n    user: {ADMIN_USER}\ncurrent-context: everynode\n",
            ca = STANDARD.encode(&self.authority.certificate),
            certificate = STANDARD.encode(&client.certificate),
            key = STANDARD.encode(&client.key),
        )
    }
}

fn authority_params(now: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("everynode-ca", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    set_life(&mut params, now, AUTHORITY_DAYS);
    params
}

fn make_authority(now: i64) -> Result<Pair, PkiError> {
    let key = KeyPair::generate()?;
    let certificate = authority_params(now).self_signed(&key)?;
    Ok(pair(certificate.pem(), &key, now, AUTHORITY_DAYS))
}

fn make_serving(authority: &Pair, now: i64) -> Result<Pair, PkiError> {
    let names: Vec<String> = SERVING_NAMES.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.subject_alt_names.extend(SERVING_ADDRESSES.iter().map(|address| SanType::IpAddress(*address)));
    params.distinguished_name = name("kube-apiserver", None);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(params, authority, now)
}

/// Whether a certificate holds for everything by which the server is reached.
fn names_all(serving: &Pair) -> Result<bool, PkiError> {
    let failed = |error: &dyn std::fmt::Display| PkiError::Certificate(error.to_string());
    let der = CertificateDer::from_pem_slice(serving.certificate.as_bytes()).map_err(|e| failed(&e))?;
    let parsed = ParsedCertificate::try_from(&der).map_err(|error| failed(&error))?;
    let names = SERVING_NAMES.iter().filter_map(|name| ServerName::try_from(*name).ok());
    let mut names = names.chain(SERVING_ADDRESSES.iter().map(|address| ServerName::from(*address)));
    Ok(names.all(|name| verify_server_name(&parsed, &name).is_ok()))
}

fn make_admin(authority: &Pair, now: i64) -> Result<Pair, PkiError> {
    make_client(authority, ADMIN_USER, MASTERS, now)
}

fn make_client(authority: &Pair, user: &str, group: &str, now: i64) -> Result<Pair, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(user, Some(group));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(params, authority, now)
}

fn sign(mut params: CertificateParams, authority: &Pair, now: i64) -> Result<Pair, PkiError> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    set_life(&mut params, now, LEAF_DAYS);
    // The issuer is named by the same parameters with which the authority was made.
    let issuer = Issuer::new(authority_params(now), KeyPair::from_pem(&authority.key)?);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(pair(certificate.pem(), &key, now, LEAF_DAYS))
}

fn pair(certificate: String, key: &KeyPair, now: i64, days: i64) -> Pair {
    Pair { certificate, key: key.serialize_pem(), not_after: now + days * DAY_SECONDS }
}

fn name(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common);
    name
}

fn set_life(params: &mut CertificateParams, now: i64, days: i64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |seconds: i64| epoch + std::time::Duration::from_secs(seconds.max(0).unsigned_abs());
    params.not_before = at(now - BACKDATE_SECONDS);
    params.not_after = at(now + days * DAY_SECONDS);
}

fn random_token() -> Result<String, PkiError> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes::<32>()?))
}

/// Bytes that nobody can guess.
///
/// # Errors
/// There is no randomness.
pub fn random_bytes<const COUNT: usize>() -> Result<[u8; COUNT], PkiError> {
    let mut bytes = [0; COUNT];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| PkiError::Certificate("no randomness".into()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn secrets_survive_a_restart_and_are_for_the_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let first = Pki::load_or_generate(directory.path(), NOW).unwrap();
        let again = Pki::load_or_generate(directory.path(), NOW + 60).unwrap();
        assert_eq!(first.token, again.token);
        assert_eq!(first.serving.certificate, again.serving.certificate);
        let mode = fs::metadata(directory.path().join("pki.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// As a version before this one left them: without the service's address, without a key for tokens.
    #[test]
    fn what_an_older_version_did_not_make_is_made_at_start() {
        let directory = tempfile::tempdir().unwrap();
        let mut old = Pki::generate(NOW).unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        old.serving = sign(params, &old.authority, NOW).unwrap();
        let mut file = serde_json::to_value(&old).unwrap();
        file.as_object_mut().unwrap().remove("account_key");
        private::replace(&directory.path().join("pki.json"), file.to_string().as_bytes()).unwrap();
        let new = Pki::load_or_generate(directory.path(), NOW).unwrap();
        assert!(names_all(&new.serving).unwrap() && !names_all(&old.serving).unwrap());
        assert_eq!((&new.authority.certificate, &new.token), (&old.authority.certificate, &old.token));
        let again = Pki::load_or_generate(directory.path(), NOW).unwrap();
        assert_eq!(new.account_key, again.account_key);
        assert!(new.account_key.contains("PRIVATE KEY"), "a key is made");
    }

    #[test]
    fn certificates_near_their_end_are_renewed_by_the_same_authority() {
        let directory = tempfile::tempdir().unwrap();
        let first = Pki::load_or_generate(directory.path(), NOW).unwrap();
        let later = Pki::load_or_generate(directory.path(), NOW + 350 * DAY_SECONDS).unwrap();
        assert_eq!(first.authority.certificate, later.authority.certificate);
        assert_ne!(first.serving.certificate, later.serving.certificate);
        assert_ne!(first.admin.certificate, later.admin.certificate);
        assert_eq!(first.token, later.token);
    }
}

//! TLS as the endpoint speaks it: a certificate that it has signed itself, made anew at each start as long as nobody
//! gives it one, and clients' certificates of the cluster's authority.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// How far back the certificate is valid, against clocks that differ.
const BACKDATE: Duration = Duration::from_secs(3_600);
/// How long it is valid. Nobody checks it who does not know it.
const LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The TLS of the endpoint of a node, which is reached by its name and at these addresses. Clients may show
/// certificates of these authorities (in DER), and nothing else.
///
/// # Errors
/// A sentence about what cannot be made or read.
pub fn server_config(
    node: &str,
    ips: &[IpAddr],
    authorities: Vec<Vec<u8>>,
    now_seconds: i64,
) -> Result<Arc<ServerConfig>, String> {
    let (certificate, key) =
        serving_certificate(node, ips, now_seconds).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.into_iter().map(CertificateDer::from));
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match roots.is_empty() {
        true => builder.with_no_client_auth(),
        false => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| error.to_string())?,
        ),
    };
    let mut config = builder.with_single_cert(vec![certificate], key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn serving_certificate(
    node: &str,
    ips: &[IpAddr],
    now_seconds: i64,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let mut params = CertificateParams::new(vec![node.to_owned()])?;
    params.subject_alt_names.extend(ips.iter().map(|ip| SanType::IpAddress(*ip)));
    // As the kubelet names its own.
    params.distinguished_name.push(DnType::CommonName, format!("{node}@{now_seconds}"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = Duration::from_secs(now_seconds.max(0).unsigned_abs());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATE);
    params.not_after = epoch + (now + LIFE);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}

//! Certificates that the cluster's authority signs on request (X.509, RFC 5280).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_model::time;
use everynode_x509 as x509;
use rcgen::{KeyPair, SigningKey as _};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Error, DERWriter, DERWriterSeq, Tag, construct_der};

use super::request::Request;
use crate::pki::{Pair, PkiError, random_bytes};

/// How far back certificates are valid, against clocks that differ.
const BACKDATE_SECONDS: i64 = 300;

/// ECDSA with SHA-256, by which the authority signs.
const ECDSA_SHA256: &[u64] = &[1, 2, 840, 10_045, 4, 3, 2];

const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];

/// Bytes of a serial number.
const SERIAL_BYTES: usize = 16;

/// Signs what a request asks for, for these usages and so many seconds from now; gives the certificate in PEM.
///
/// # Errors
/// The authority cannot be read.
pub fn sign(
    authority: &Pair,
    request: &Request,
    usages: &[&str],
    now: i64,
    seconds: i64,
) -> Result<String, PkiError> {
    let failed = |error: ASN1Error| PkiError::Certificate(error.to_string());
    let key = KeyPair::from_pem(&authority.key)?;
    let issuer = x509::subject_der(&crate::tls::certificate(&authority.certificate)?).map_err(failed)?;
    let serial = random_bytes::<SERIAL_BYTES>()?;
    let body = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
            writer.next().write_bigint_bytes(&serial, true);
            algorithm(writer.next());
            writer.next().write_der(&issuer);
            writer.next().write_sequence(|writer| {
                writer.next().write_der(&moment(now - BACKDATE_SECONDS));
                writer.next().write_der(&moment(now + seconds));
            });
            writer.next().write_der(&request.subject_der);
            writer.next().write_der(&request.key_der);
            writer.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|writer| extensions(writer, request, usages));
            });
        });
    });
    let signature = key.sign(&body)?;
    let certificate = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&body);
            algorithm(writer.next());
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    });
    Ok(pem(&certificate))
}

fn extensions(writer: &mut DERWriterSeq<'_>, request: &Request, usages: &[&str]) {
    extension(writer, BASIC_CONSTRAINTS, true, &construct_der(|writer| writer.write_sequence(|_| {})));
    // The bits of a digital signature and of key encipherment; zeroes at the end are not written.
    let (bits, length) = match usages.contains(&"key encipherment") {
        true => (0b1010_0000, 3),
        false => (0b1000_0000, 1),
    };
    if usages.contains(&"digital signature") {
        extension(
            writer,
            KEY_USAGE,
            true,
            &construct_der(|writer| writer.write_bitvec_bytes(&[bits], length)),
        );
    }
    let extended: Vec<&[u64]> = [("server auth", SERVER_AUTH), ("client auth", CLIENT_AUTH)]
        .into_iter()
        .filter(|(usage, _)| usages.contains(usage))
        .map(|(_, kind)| kind)
        .collect();
    let extended = construct_der(|writer| {
        writer.write_sequence(|writer| extended.iter().for_each(|kind| oid(writer.next(), kind)));
    });
    extension(writer, EXTENDED_KEY_USAGE, false, &extended);
    if let Some(names) = &request.names.der {
        extension(writer, ALTERNATIVE_NAMES, false, names);
    }
}

fn extension(writer: &mut DERWriterSeq<'_>, kind: &[u64], is_critical: bool, value: &[u8]) {
    writer.next().write_sequence(|writer| {
        oid(writer.next(), kind);
        if is_critical {
            writer.next().write_bool(true);
        }
        writer.next().write_bytes(value);
    });
}

fn oid(writer: DERWriter<'_>, numbers: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(numbers));
}

fn algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| oid(writer.next(), ECDSA_SHA256));
}

/// A time, Unix time in seconds: with two digits of the year until 2049, with four from then on.
fn moment(seconds: i64) -> Vec<u8> {
    let digits: String = time::format(seconds).chars().filter(|c| c.is_ascii_digit() || *c == 'Z').collect();
    let (tag, text) = match digits.as_str() < "2050" {
        true => (23, &digits[2..]),
        false => (24, digits.as_str()),
    };
    let length = u8::try_from(text.len()).unwrap_or_default();
    [&[tag, length], text.as_bytes()].concat()
}

/// A certificate as a text, in lines of 64 letters.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

#[cfg(test)]
mod tests {
    use everynode_x509::elements;
    use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::authn::user_of_certificate;
    use crate::pki::Pki;

    const NOW: i64 = 1_800_000_000;

    fn request(subject: &[(DnType, &str)], key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["n".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 1].into()));
        params.distinguished_name = DistinguishedName::new();
        for (kind, text) in subject {
            params.distinguished_name.push(kind.clone(), *text);
        }
        params.serialize_request(key).unwrap().pem().unwrap().into_bytes()
    }

    #[test]
    fn a_certificate_says_what_was_asked_and_is_signed_by_the_authority() {
        let pki = Pki::generate(NOW).unwrap();
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let subject = [(DnType::OrganizationName, "system:nodes"), (DnType::CommonName, "system:node:n")];
            let request = Request::read(&request(&subject, &key)).unwrap();
            assert_eq!((request.names.dns.len(), request.names.addresses, request.names.others), (1, 1, 0));
            let usages = ["digital signature", "server auth", "client auth"];
            let signed = sign(&pki.authority, &request, &usages, NOW, 600).unwrap();
            let certificate = crate::tls::certificate(&signed).unwrap();
            let user = user_of_certificate(&certificate).unwrap();
            assert_eq!((user.name.as_str(), user.groups[0].as_str()), ("system:node:n", "system:nodes"));
            let parsed = rustls::server::ParsedCertificate::try_from(&certificate).unwrap();
            let mut roots = rustls::RootCertStore::empty();
            roots.add(crate::tls::certificate(&pki.authority.certificate).unwrap()).unwrap();
            let all = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
            let check = |seconds: i64| {
                let at = std::time::Duration::from_secs(u64::try_from(NOW + seconds).unwrap());
                let at = rustls::pki_types::UnixTime::since_unix_epoch(at);
                rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], at, all)
            };
            check(0).unwrap();
            check(600).unwrap();
            check(-BACKDATE_SECONDS).unwrap();
            check(601).unwrap_err();
            check(-BACKDATE_SECONDS - 1).unwrap_err();
            let name = rustls::pki_types::ServerName::from(std::net::IpAddr::from([10, 0, 0, 1]));
            rustls::client::verify_server_name(&parsed, &name).unwrap();
        }
    }

    #[test]
    fn what_is_no_request_or_is_signed_by_another_key_is_refused() {
        let key = KeyPair::generate().unwrap();
        let pem_text = request(&[(DnType::CommonName, "a")], &key);
        Request::read(&pem_text).unwrap();
        let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(&pem_text).unwrap();
        let as_pem = |der: &[u8]| pem(der).replace("CERTIFICATE", "CERTIFICATE REQUEST").into_bytes();
        Request::read(&as_pem(&der)).unwrap();
        for at in 0..der.len() {
            let mut changed = der.to_vec();
            changed[at] ^= 1;
            assert!(Request::read(&as_pem(&changed)).is_err(), "byte {at}");
            assert!(Request::read(&as_pem(&der[..at])).is_err(), "cut at {at}");
        }
        let pki = Pki::generate(NOW).unwrap();
        assert!(Request::read(pki.authority.certificate.as_bytes()).is_err(), "a certificate");
        assert!(Request::read(b"").is_err());
        assert!(Request::read(&as_pem(b"")).is_err());
        assert_eq!(elements(&[0x30, 0]).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn times_are_written_as_certificates_write_them() {
        let check = |seconds, expected: &[u8]| assert_eq!(moment(seconds), expected, "{seconds}");
        check(0, b"\x17\x0d700101000000Z");
        check(2_524_607_999, b"\x17\x0d491231235959Z");
        check(2_524_608_000, b"\x18\x0f20500101000000Z");
    }
}

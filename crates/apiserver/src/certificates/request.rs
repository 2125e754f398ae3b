//! Requests for certificates as they are sent (PKCS #10, RFC 2986).

use everynode_x509::{Subject, elements, missing, read, subject};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use yasna::models::{ObjectIdentifier, TaggedDerValue};
use yasna::tags::TAG_SEQUENCE;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, Tag, TagClass};

/// The attribute that asks for extensions, and the extension of further names.
const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];
const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];

/// What a request says, after its signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whom the certificate is to name.
    pub subject: Subject,
    /// The same, in DER.
    pub subject_der: Vec<u8>,
    /// The public key with its algorithm, in DER.
    pub key_der: Vec<u8>,
    /// Further names.
    pub names: Names,
}

/// Further names that a certificate is to hold for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Names of hosts.
    pub dns: Vec<String>,
    /// How many addresses.
    pub addresses: usize,
    /// How many of any other kind.
    pub others: usize,
    /// All of them, in DER.
    pub der: Option<Vec<u8>>,
}

impl Names {
    /// Whether there is one.
    pub fn has_any(&self) -> bool {
        !self.dns.is_empty() || self.addresses + self.others > 0
    }
}

/// Why a request cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is no PEM text of the right kind.
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    Pem,
    /// It is no request.
    #[error("asn1: structure error: {0}")]
    Form(#[from] ASN1Error),
    /// Its key or signature is of a kind that the cluster's TLS does not take.
    #[error("x509: unsupported key or signature algorithm")]
    Algorithm,
    /// Its key has not signed it.
    #[error("x509: the request was not signed by its key")]
    Signature,
}

impl Request {
    /// Reads a request in PEM, and checks that the key that it is about has signed it.
    ///
    /// # Errors
    /// It is none, or was signed by another key.
    pub fn read(pem: &[u8]) -> Result<Request, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| RequestError::Pem)?;
        Request::read_der(&der)
    }

    /// The same in DER.
    ///
    /// # Errors
    /// It is none, or was signed by another key.
    pub fn read_der(der: &[u8]) -> Result<Request, RequestError> {
        let whole = elements(der)?;
        let [info, algorithm, signature] = whole.as_slice() else { return Err(missing().into()) };
        let parts = elements(info)?;
        let [_version, subject_der, key_der, attributes @ ..] = parts.as_slice() else {
            return Err(missing().into());
        };
        check_signature(info, key_der, algorithm, signature)?;
        let names = match attributes {
            [] => Names::default(),
            [attributes, ..] => names(attributes)?,
        };
        Ok(Request {
            subject: subject(subject_der)?,
            subject_der: subject_der.clone(),
            key_der: key_der.clone(),
            names,
        })
    }
}

fn check_signature(info: &[u8], key: &[u8], algorithm: &[u8], signature: &[u8]) -> Result<(), RequestError> {
    let key = elements(key)?;
    let [key_algorithm, key] = key.as_slice() else { return Err(missing().into()) };
    let (key_algorithm, algorithm) = (content(key_algorithm)?, content(algorithm)?);
    let (key, signature) = (bits(key)?, bits(signature)?);
    let provider = rustls::crypto::ring::default_provider();
    let known = provider.signature_verification_algorithms.all.iter().find(|one| {
        one.public_key_alg_id().as_ref() == key_algorithm && one.signature_alg_id().as_ref() == algorithm
    });
    let known = known.ok_or(RequestError::Algorithm)?;
    known.verify_signature(&key, info, &signature).map_err(|_| RequestError::Signature)
}

/// What is in a sequence.
fn content(der: &[u8]) -> ASN1Result<Vec<u8>> {
    let value = read(der, |reader| reader.read_tagged_der())?;
    if value.tag() == TAG_SEQUENCE {
        Ok(value.value().to_vec())
    } else {
        Err(ASN1Error::new(ASN1ErrorKind::Invalid))
    }
}

/// A string of bits that are whole bytes.
fn bits(der: &[u8]) -> ASN1Result<Vec<u8>> {
    let (bytes, count) = read(der, |reader| reader.read_bitvec_bytes())?;
    if count == bytes.len() * 8 { Ok(bytes) } else { Err(ASN1Error::new(ASN1ErrorKind::Invalid)) }
}

/// The further names among the attributes of a request.
fn names(attributes: &[u8]) -> ASN1Result<Names> {
    let mut found = Names::default();
    let all = |reader: BERReader<'_, '_>| reader.collect_set_of(|reader| reader.read_der());
    let attributes = read(attributes, |reader| reader.read_tagged_implicit(Tag::context(0), all))?;
    for attribute in attributes {
        let attribute = elements(&attribute)?;
        let [kind, values] = attribute.as_slice() else { return Err(missing()) };
        if oid(kind)? != EXTENSION_REQUEST {
            continue;
        }
        for extensions in read(values, all)? {
            for extension in elements(&extensions)? {
                let extension = elements(&extension)?;
                let (Some(kind), Some(value)) = (extension.first(), extension.last()) else {
                    return Err(missing());
                };
                if oid(kind)? == ALTERNATIVE_NAMES {
                    let value = read(value, |reader| reader.read_bytes())?;
                    found = general_names(&value)?;
                }
            }
        }
    }
    Ok(found)
}

fn general_names(der: &[u8]) -> ASN1Result<Names> {
    let mut names = Names { der: Some(der.to_vec()), ..Names::default() };
    let all: Vec<TaggedDerValue> =
        read(der, |reader| reader.collect_sequence_of(|reader| reader.read_tagged_der()))?;
    for name in all {
        let tag = name.tag();
        match (tag.tag_class, tag.tag_number, std::str::from_utf8(name.value())) {
            (TagClass::ContextSpecific, 2, Ok(dns)) => names.dns.push(dns.to_owned()),
            (TagClass::ContextSpecific, 7, _) => names.addresses += 1,
            _ => names.others += 1,
        }
    }
    Ok(names)
}

fn oid(der: &[u8]) -> ASN1Result<Vec<u64>> {
    read(der, |reader| reader.read_oid()).map(ObjectIdentifier::into_components)
}

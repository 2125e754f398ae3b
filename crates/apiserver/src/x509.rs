//! What X.509 structures say, as far as the server asks: who a certificate stands for.

use yasna::models::ObjectIdentifier;
use yasna::tags::{TAG_IA5STRING, TAG_PRINTABLESTRING, TAG_UTF8STRING};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, parse_der};

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];

/// Elements of a certificate's body that stand between the version and the subject: serial number, algorithm, issuer
/// and validity (RFC 5280, section 4.1).
const BEFORE_SUBJECT: usize = 4;

/// The first byte of the version, which certificates of version 1 leave out.
const VERSION_TAG: u8 = 0xa0;

/// Whom a certificate, or a request for one, names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The common name; the last one where there are several.
    pub common_name: String,
    /// The organizations, in their order.
    pub organizations: Vec<String>,
}

/// The subject of a certificate in DER.
///
/// # Errors
/// The bytes are no certificate.
pub fn subject_of_certificate(der: &[u8]) -> ASN1Result<Subject> {
    subject(&subject_der(der)?)
}

/// The same, in DER.
///
/// # Errors
/// The bytes are no certificate.
pub fn subject_der(der: &[u8]) -> ASN1Result<Vec<u8>> {
    let certificate = elements(der)?;
    let body = elements(certificate.first().ok_or_else(missing)?)?;
    let has_version = body.first().is_some_and(|first| first.first() == Some(&VERSION_TAG));
    body.into_iter().nth(BEFORE_SUBJECT + usize::from(has_version)).ok_or_else(missing)
}

/// Whom a name in DER means.
///
/// # Errors
/// The bytes are no name.
pub fn subject(der: &[u8]) -> ASN1Result<Subject> {
    let parts = parse_der(der, |reader| {
        reader.collect_sequence_of(|reader| {
            reader.collect_set_of(|reader| {
                reader
                    .read_sequence(|reader| Ok((reader.next().read_oid()?, reader.next().read_tagged_der()?)))
            })
        })
    })?;
    let mut subject = Subject::default();
    for (kind, value) in parts.into_iter().flatten() {
        let is_text = [TAG_UTF8STRING, TAG_PRINTABLESTRING, TAG_IA5STRING].contains(&value.tag());
        let Some(text) = std::str::from_utf8(value.value()).ok().filter(|_| is_text) else { continue };
        if is(&kind, COMMON_NAME) {
            text.clone_into(&mut subject.common_name);
        } else if is(&kind, ORGANIZATION) {
            subject.organizations.push(text.to_owned());
        }
    }
    Ok(subject)
}

fn is(kind: &ObjectIdentifier, numbers: &[u64]) -> bool {
    kind.components().as_slice() == numbers
}

/// The elements of a sequence, each in DER.
///
/// # Errors
/// The bytes are no sequence.
pub fn elements(der: &[u8]) -> ASN1Result<Vec<Vec<u8>>> {
    parse_der(der, |reader| reader.collect_sequence_of(|reader| reader.read_der()))
}

/// Something that should be there is not.
pub fn missing() -> ASN1Error {
    ASN1Error::new(ASN1ErrorKind::Eof)
}

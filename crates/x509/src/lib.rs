//! What X.509 structures say, as far as those ask who know clients by certificates: whom one names.

use yasna::models::ObjectIdentifier;
use yasna::tags::{TAG_IA5STRING, TAG_PRINTABLESTRING, TAG_UTF8STRING};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader};

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
    let parts = read(der, |reader| {
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
    read(der, |reader| reader.collect_sequence_of(|reader| reader.read_der()))
}

/// Reads a structure in DER. The library adds lengths up before it compares them with what is there, so lengths are
/// looked at first.
///
/// # Errors
/// The bytes are no such structure.
pub fn read<T>(der: &[u8], parse: impl FnOnce(BERReader<'_, '_>) -> ASN1Result<T>) -> ASN1Result<T> {
    check_lengths(der, DEPTH_LIMIT)?;
    yasna::parse_der(der, parse)
}

/// No structure that is read here is nested deeper.
const DEPTH_LIMIT: u32 = 32;
/// Bits of an element's first byte: its tag goes on in the next ones; its content is elements again.
const LONG_TAG: u8 = 0x1f;
const CONSTRUCTED: u8 = 0x20;
/// A length of at least 128 is in so many bytes that follow.
const LONG_LENGTH: u8 = 0x80;
const LENGTH_LIMIT_BYTES: usize = 4;

/// Sees that every element ends within the one that it is in. Tags above 30 are in no certificate.
fn check_lengths(mut der: &[u8], depth: u32) -> ASN1Result<()> {
    let invalid = || ASN1Error::new(ASN1ErrorKind::Invalid);
    let depth = depth.checked_sub(1).ok_or_else(invalid)?;
    while let Some((tag, rest)) = der.split_first() {
        let (first, rest) = rest.split_first().ok_or_else(missing)?;
        let (length, rest) = match usize::from(first & !LONG_LENGTH) {
            length if first & LONG_LENGTH == 0 => (length, rest),
            count if (1..=LENGTH_LIMIT_BYTES).contains(&count) => {
                let (bytes, rest) = rest.split_at_checked(count).ok_or_else(missing)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return Err(invalid()),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or_else(missing)?;
        if tag & LONG_TAG == LONG_TAG {
            return Err(invalid());
        }
        if tag & CONSTRUCTED != 0 {
            check_lengths(content, depth)?;
        }
        der = rest;
    }
    Ok(())
}

/// Something that should be there is not.
pub fn missing() -> ASN1Error {
    ASN1Error::new(ASN1ErrorKind::Eof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lead_out_of_their_element_are_refused() {
        let check = |der: &[u8], is_read: bool| assert_eq!(elements(der).is_ok(), is_read, "{der:x?}");
        check(&[0x30, 0x03, 0x02, 0x01, 0x05], true);
        check(&[0x30, 0x81, 0x03, 0x02, 0x01, 0x05], false);
        check(&[0x30, 0x03, 0x02, 0x02, 0x05], false);
        check(&[0x30, 0x04, 0x02, 0x01, 0x05], false);
        check(&[0x30, 0x80, 0x02, 0x01, 0x05, 0, 0], false);
        // Found by fuzzing: a length of almost 2^64.
        let length = [0x30, 13, 9, 0x88, 255, 255, 255, 255, 255, 255, 255, 255, 25, 29, 29, 118];
        check(&length, false);
        let nested = [0x30, 0x80 | 0x02, 0xff, 0xff].repeat(100);
        check(&nested, false);
    }
}

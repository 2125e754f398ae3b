//! An object as it lies in the file: a checksum, then its bytes.
//!
//! The pages of the file have checksums of their own, which say that something is damaged. These say which
//! object, so that the others need not be lost with it.

use sha2::{Digest, Sha256};

const CHECKSUM_BYTES: usize = 8;

/// The record of an object.
pub fn seal(key: &str, object: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(CHECKSUM_BYTES + object.len());
    record.extend_from_slice(&checksum(key, object));
    record.extend_from_slice(object);
    record
}

/// The object in a record; none when the record is not the one that was sealed under this key.
pub fn open<'a>(key: &str, record: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, object) = record.split_first_chunk::<CHECKSUM_BYTES>()?;
    (*sum == checksum(key, object)).then_some(object)
}

/// The start of a SHA-256 over key and object; of damage, one case in 2^64 passes.
fn checksum(key: &str, object: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(object);
    let hash = hash.finalize();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hash[..CHECKSUM_BYTES]);
    sum
}

/// How people name the object of a key `/group/plural/namespace/name`, such as `daemonsets.apps default/agent`.
pub fn spoken(key: &str) -> String {
    let mut parts = key.splitn(4, '/').skip(1);
    let mut part = || parts.next().unwrap_or_default();
    let (group, plural, rest) = (part(), part(), part());
    let (dot, rest) = (if group.is_empty() { "" } else { "." }, rest.trim_start_matches('/'));
    format!("{plural}{dot}{group} {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_under_its_key_and_with_every_bit_in_place() {
        let record = seal("//configmaps/n/a", b"{}");
        assert_eq!(open("//configmaps/n/a", &record), Some(&b"{}"[..]));
        assert_eq!(open("//configmaps/n/b", &record), None);
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open("//configmaps/n/a", &damaged), None, "bit {bit}");
        }
        assert_eq!(open("//configmaps/n/a", b"short"), None);
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        assert_eq!(spoken("//configmaps/default/a"), "configmaps default/a");
        assert_eq!(spoken("/apps/daemonsets/default/agent"), "daemonsets.apps default/agent");
        assert_eq!(spoken("//nodes//node-1"), "nodes node-1");
    }
}

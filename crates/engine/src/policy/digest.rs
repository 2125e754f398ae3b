//! What tells one revision's data from another's.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a revision's data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataDigest([u8; 32]);

impl DataDigest {
    pub fn of(data: &[u8]) -> Self {
        DataDigest(Sha256::digest(data).into())
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let pairs = text.as_bytes().chunks_exact(2);
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(DataDigest(bytes))
    }
}

impl fmt::Display for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The SHA-256 of a revision's data as `lastGoodData` in a policy's status has it: for those who change the data of
/// revisions knowingly, as snapshots without secrets do.
pub fn data_digest(data: &[u8]) -> String {
    DataDigest::of(data).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_was_written_and_nothing_else_is() {
        let digest = DataDigest::of(b"data");
        let text = digest.to_string();
        assert_eq!(text, "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7");
        assert_eq!(DataDigest::parse(&text), Some(digest));
        for bad in ["", "3a6e", &text[1..], &format!("{}zz", &text[2..]), &format!("+{}", &text[1..])] {
            assert_eq!(DataDigest::parse(bad), None, "{bad}");
        }
    }
}

//! Finding a part of an encoded object without reading the rest.

use std::ops::Range;

/// The member as it is written, behind other metadata.
const MANAGED: &[u8] = b",\"managedFields\":";

/// Where the value of `metadata.managedFields` lies in an object as it is stored: with its metadata behind its kind and
/// version, and what manages its fields behind all other metadata.
pub fn managed_fields(bytes: &[u8]) -> Option<Range<usize>> {
    let mut scan = Scan { bytes, at: 0 };
    scan.take(b'{')?;
    while scan.key()? != b"metadata" {
        scan.value()?;
        scan.take(b',')?;
    }
    scan.take(b'{')?;
    loop {
        let key = scan.key()?;
        let start = scan.at;
        scan.value()?;
        if key == b"managedFields" {
            return Some(start..scan.at);
        }
        scan.take(b',')?;
    }
}

/// An object without a part of its metadata that was found in it.
pub fn without(bytes: &[u8], part: &Range<usize>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..part.start - MANAGED.len()]);
    out.extend_from_slice(&bytes[part.end..]);
    out
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        self.string()?;
        let key = self.bytes.get(start..self.at - 1);
        self.take(b':')?;
        key
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.bytes.get(self.at..)?)?;
            match self.bytes[self.at] {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 2,
            }
        }
    }

    /// Passes over a value: to the end of its brackets, or to what comes behind a scalar.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b'}' | b']' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
            if depth == 0 && matches!(self.bytes.get(self.at), Some(b',' | b'}' | b']')) {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(object: &str, managed: &str, rest: &str) {
        let found = managed_fields(object.as_bytes());
        assert_eq!(found.clone().map_or("", |part| &object[part]), managed, "{object}");
        if let Some(part) = found {
            assert_eq!(String::from_utf8(without(object.as_bytes(), &part)).unwrap(), rest);
        }
    }

    #[test]
    fn what_manages_an_object_is_found_in_its_metadata_only() {
        let tail = r#""spec":{"metadata":{"name":"x","managedFields":[2]}}}"#;
        let front = r#"{"kind":"A","apiVersion":"v1","metadata":{"name":"a\"}","annotations":{"managedFields":"[]","x\\":"\","}"#;
        check(
            &format!("{front},\"managedFields\":[{{\"a\":\"]}}\"}}]}},{tail}"),
            r#"[{"a":"]}"}]"#,
            &format!("{front}}},{tail}"),
        );
        check(&format!("{front}}},{tail}"), "", "");
        check("{}", "", "");
        check("", "", "");
        check(r#"{"kind":"A","metadata"#, "", "");
    }
}

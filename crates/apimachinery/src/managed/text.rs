//! Field sets in JSON, as `fieldsV1` has them.

use std::borrow::Cow;

use everynode_model::encode;

use super::element::{NoElement, PathElement};
use super::set::{FieldSet, Node};

/// Nesting of field sets that is read: more than any object has.
const MAX_DEPTH: usize = 600;

/// Why a text is no field set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoFieldSet {
    /// It is no JSON of objects in objects.
    #[error("fieldsV1 is not made of objects")]
    Form,
    /// It is nested too deeply.
    #[error("fieldsV1 is nested too deeply")]
    Depth,
    /// A key says nothing.
    #[error("a key of fieldsV1 is {0}")]
    Element(#[from] NoElement),
}

/// Reads a field set.
///
/// # Errors
/// The text is none.
pub fn read(text: &str) -> Result<FieldSet, NoFieldSet> {
    let mut reader = Reader { text, at: 0 };
    let (set, _) = reader.set(MAX_DEPTH)?;
    reader.space();
    if reader.at == text.len() { Ok(set) } else { Err(NoFieldSet::Form) }
}

/// Writes a field set, as short as can be.
pub fn write(set: &FieldSet, out: &mut Vec<u8>) {
    let mut key = String::new();
    write_set(set, false, out, &mut key);
}

fn write_set(set: &FieldSet, with_self: bool, out: &mut Vec<u8>, key: &mut String) {
    out.push(b'{');
    if with_self {
        out.extend_from_slice(b"\".\":{}");
    }
    for (index, node) in set.nodes().iter().enumerate() {
        if index > 0 || with_self {
            out.push(b',');
        }
        key.clear();
        node.element.write(key);
        encode::write_string(out, key);
        out.push(b':');
        write_set(&node.children, node.is_member && !node.children.is_empty(), out, key);
    }
    out.push(b'}');
}

/// Whether the outermost keys of a field set are among those of another one. The text need not be read for that.
pub fn may_meet(text: &str, other: &FieldSet) -> bool {
    let mut reader = Reader { text, at: 0 };
    let found = reader.each_key(|reader, key| {
        reader.skip(MAX_DEPTH)?;
        // What cannot be told apart here is told apart by reading.
        Ok(!key.starts_with("f:") || other.get(&PathElement::field(&key[2..])).is_some())
    });
    found.unwrap_or(true)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Result<(), NoFieldSet> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(NoFieldSet::Form)
    }

    /// The paths behind a key, and whether the key itself ends one.
    fn set(&mut self, depth: usize) -> Result<(FieldSet, bool), NoFieldSet> {
        let depth = depth.checked_sub(1).ok_or(NoFieldSet::Depth)?;
        self.space();
        if self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(b"null")) {
            self.at += 4;
            return Ok((FieldSet::new(), true));
        }
        let (mut set, mut is_member) = (FieldSet::new(), false);
        self.each_key(|reader, key| {
            if key == "." {
                is_member = true;
                reader.skip(depth)?;
                return Ok(false);
            }
            let Some(element) = PathElement::read(&key)? else {
                reader.skip(depth)?;
                return Ok(false);
            };
            let (children, own) = reader.set(depth)?;
            if let Some(node) = Node::of(element, own, children) {
                set.push(node);
            }
            Ok(false)
        })?;
        let ends = is_member || set.is_empty();
        Ok((set, ends))
    }

    /// Calls with every key of an object, which then reads the value; ends early when that says so.
    fn each_key(
        &mut self,
        mut visit: impl FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<bool, NoFieldSet>,
    ) -> Result<bool, NoFieldSet> {
        self.space();
        self.take(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.take(b':')?;
            if visit(self, key)? {
                return Ok(true);
            }
            self.space();
            if self.take(b',').is_err() {
                return self.take(b'}').map(|()| false);
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, NoFieldSet> {
        let start = self.at;
        self.take(b'"')?;
        let mut is_plain = true;
        loop {
            match self.peek().ok_or(NoFieldSet::Form)? {
                b'"' => break,
                b'\\' => {
                    is_plain = false;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        self.at += 1;
        if is_plain {
            return Ok(Cow::Borrowed(&self.text[start + 1..self.at - 1]));
        }
        let quoted = self.text.get(start..self.at).ok_or(NoFieldSet::Form)?;
        serde_json::from_str::<String>(quoted).map(Cow::Owned).map_err(|_| NoFieldSet::Form)
    }

    /// Passes over any value.
    fn skip(&mut self, depth: usize) -> Result<(), NoFieldSet> {
        let limit = depth;
        let mut depth = 0_usize;
        loop {
            match self.peek().ok_or(NoFieldSet::Form)? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b'}' | b']' if depth == 0 => return Ok(()),
                _ => self.at += 1,
            }
            if depth > limit {
                return Err(NoFieldSet::Depth);
            }
            if depth == 0 && matches!(self.peek(), None | Some(b',' | b'}' | b']')) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, canonical: &str) {
        let mut out = Vec::new();
        write(&read(text).unwrap(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), canonical, "{text}");
    }

    #[test]
    fn a_field_set_is_written_as_it_was_read() {
        let own = r#"{"f:metadata":{"f:labels":{".":{},"f:a.b/c":{}}},"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"v:\"x\"":{}}}}"#;
        check(own, own);
        check("{}", "{}");
        check(" { \"f:b\" : { } , \"f:a\":{\".\":{\"x\":[1]}} } ", r#"{"f:a":{},"f:b":{}}"#);
        check(r#"{"f:a":{"f:b":{},"f:b":{"f:c":{}}}}"#, r#"{"f:a":{"f:b":{".":{},"f:c":{}}}}"#);
        check(r#"{"f:a":{},"x:later":{"f:b":{}},"i:3":{}}"#, r#"{"f:a":{},"i:3":{}}"#);
        check(r#"{"f:a":null}"#, r#"{"f:a":{}}"#);
    }

    #[test]
    fn what_is_no_field_set_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{\"f:a\":1}",
            "{\"f:a\":{}",
            "{\"a\":{}}",
            "{\"k:1\":{}}",
            "{\"f:a\":{}}x",
            "{\"f:\\",
            "{\"v:[1]\":{}}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let deep = format!("{}{{}}{}", "{\"f:a\":".repeat(700), "}".repeat(700));
        assert_eq!(read(&deep), Err(NoFieldSet::Depth));
    }

    #[test]
    fn the_outermost_keys_say_whether_sets_may_meet() {
        let text = r#"{"f:metadata":{"f:status":{}},"f:spec":{}}"#;
        assert!(!may_meet(text, &FieldSet::of_names(&[&["status", "phase"]])));
        assert!(may_meet(text, &FieldSet::of_names(&[&["spec", "a"]])));
    }
}

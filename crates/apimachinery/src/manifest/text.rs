//! Bytes of a manifest to text.

/// Why bytes are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not UTF-8 text (byte {at}); save it as UTF-8")]
pub struct TextError {
    /// Bytes before the first that is none.
    pub at: usize,
}

/// The text of a file: UTF-8, or UTF-16 with a byte order mark, as some editors write it.
///
/// # Errors
/// It is neither.
pub fn text_of(bytes: Vec<u8>) -> Result<String, TextError> {
    let decode = |read: fn([u8; 2]) -> u16| {
        let units =
            bytes[2..].chunks(2).map(|pair| read([pair[0], pair.get(1).copied().unwrap_or_default()]));
        let lossy = |unit: Result<char, _>| unit.unwrap_or(char::REPLACEMENT_CHARACTER);
        Ok(char::decode_utf16(units).map(lossy).collect())
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => decode(u16::from_le_bytes),
        [0xfe, 0xff, ..] => decode(u16::from_be_bytes),
        _ => String::from_utf8(bytes).map_err(|error| TextError { at: error.utf8_error().valid_up_to() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_is_read_by_its_mark() {
        let check = |bytes: &[u8], expected: Result<&str, TextError>| {
            assert_eq!(text_of(bytes.to_vec()), expected.map(str::to_owned), "{bytes:?}");
        };
        check(b"a: \xc3\xa9", Ok("a: \u{e9}"));
        check(b"\xff\xfea\0:\0\xe9\0", Ok("a:\u{e9}"));
        check(b"\xfe\xff\0a\0:\0\xe9", Ok("a:\u{e9}"));
        check(b"\xff\xfe\x00\xd8", Ok("\u{fffd}"));
        check(b"\xff\xfe", Ok(""));
        check(b"a\xff", Err(TextError { at: 1 }));
    }
}

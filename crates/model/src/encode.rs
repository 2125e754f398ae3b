//! JSON as the API server writes it: compact, and with the characters escaped that are special in HTML.

use crate::Value;

/// Compact JSON with fields in their order. `<`, `>`, `&`, U+2028 and U+2029 are escaped, as in the API's
/// own output, so that bytes that pass through a client stay equal.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write(&mut out, value, false);
    out
}

/// As [`to_vec`], with the fields of every object sorted: one text per value, whatever its field order.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write(&mut out, value, true);
    out
}

/// The text of [`to_vec`].
pub fn to_text(value: &Value) -> String {
    String::from_utf8_lossy(&to_vec(value)).into_owned()
}

fn write(out: &mut Vec<u8>, value: &Value, sorted: bool) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.as_str().as_bytes()),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, item, sorted);
            }
            out.push(b']');
        }
        Value::Object(object) if sorted => {
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            write_fields(out, fields.into_iter(), sorted);
        }
        Value::Object(object) => write_fields(out, object.iter(), sorted),
    }
}

fn write_fields<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'a String, &'a Value)>, sorted: bool) {
    out.push(b'{');
    for (index, (name, value)) in fields.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write(out, value, sorted);
    }
    out.push(b'}');
}

/// Writes a quoted JSON string, copying the stretches that need no escape.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut copied = 0;
    out.push(b'"');
    for (index, &byte) in bytes.iter().enumerate() {
        let separator = byte == 0xE2 && matches!(bytes.get(index + 1..index + 3), Some([0x80, 0xA8 | 0xA9]));
        if !separator && byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&') {
            continue;
        }
        out.extend_from_slice(&bytes[copied..index]);
        copied = index + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            0xE2 => {
                out.extend_from_slice(b"\\u202");
                out.push(HEX[usize::from(bytes[index + 2] & 0xF)]);
                copied = index + 3;
            }
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(to_text(&Value::String(text.into())), expected);
    }

    #[test]
    fn strings_are_escaped_as_the_api_server_escapes_them() {
        check("plain", r#""plain""#);
        check("a\"b\\c", r#""a\"b\\c""#);
        check("<a&b>", r#""\u003ca\u0026b\u003e""#);
        check("\n\r\t\u{8}\u{c}\u{1}\u{1f}", r#""\n\r\t\b\f\u0001\u001f""#);
        check("\u{2028}x\u{2029}\u{2027}ü", "\"\\u2028x\\u2029\u{2027}ü\"");
    }

    #[test]
    fn numbers_keep_the_digits_they_came_with() {
        let text = r#"{"b":1.50,"a":[12345678901234567890,-0]}"#;
        let value: Value = serde_json::from_str(text).expect("valid JSON");
        assert_eq!(to_text(&value), text);
        assert_eq!(canonical(&value), br#"{"a":[12345678901234567890,-0],"b":1.50}"#);
    }
}

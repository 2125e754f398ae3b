use std::fmt::Write as _;

/// A text in double quotes as the API's messages show it: quotes, backslashes and what cannot be printed are
/// escaped, everything else stands as it is.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let written = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\u{7}' => out.write_str("\\a"),
            '\u{8}' => out.write_str("\\b"),
            '\u{c}' => out.write_str("\\f"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\u{b}' => out.write_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => write!(out, "\\x{:02x}", c as u32),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{a0}') => {
                write!(out, "\\u{:04x}", c as u32)
            }
            c => out.write_char(c),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_escapes_what_cannot_be_printed() {
        assert_eq!(go_quote("a\"b\\\n\u{1}é<"), r#""a\"b\\\n\x01é<""#);
    }
}

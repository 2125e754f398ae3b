//! The words of an expression.

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Name(String),
    Sign(&'static str),
    End,
}

/// A mistake: the byte where it is, and what it is.
pub type Mistake = (usize, String);

const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "!", "<", ">", "+",
    "-", "*", "/", "%",
];

/// The words of a text, each with the byte where it begins.
///
/// # Errors
/// Something is no word.
pub fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Mistake> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        while let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, behind)| behind).trim_start();
        }
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            tokens.push((at, Token::End));
            return Ok(tokens);
        };
        let unknown = |shown: &str| (at, format!("Syntax error: token recognition error at: '{shown}'"));
        let is_number =
            first.is_ascii_digit() || first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        let (token, length) = if is_number {
            number(rest).map_err(|why| (at, why))?
        } else if let Some(found) = quoted(rest) {
            found.ok_or_else(|| unknown(rest.lines().next().unwrap_or_default()))?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let name = &rest[..end];
            let token = if name == "in" { Token::Sign("in") } else { Token::Name(name.to_owned()) };
            (token, end)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| unknown(&first.to_string()))?;
            (Token::Sign(sign), sign.len())
        };
        tokens.push((at, token));
        rest = &rest[length..];
    }
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let (digits, radix, prefix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16, 2),
        None => (text, 10, 0),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let rest = &digits[end..];
    let whole = &digits[..end];
    if rest.starts_with(['u', 'U']) {
        let number = u64::from_str_radix(whole, radix).map_err(|_| "invalid uint literal".to_owned())?;
        return Ok((Token::Uint(number), prefix + end + 1));
    }
    let has_fraction = rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit());
    if radix == 16 || !has_fraction && !rest.starts_with(['e', 'E']) {
        // One more than the greatest number is one with a sign before it.
        let number = u64::from_str_radix(whole, radix).ok().filter(|number| *number <= 1 << 63);
        let number = number.ok_or("invalid int literal")?;
        return Ok((Token::Int(number as i64), prefix + end));
    }
    let bytes = text.as_bytes();
    let mut end = 0;
    while let Some(byte) = bytes.get(end) {
        let is_sign = matches!(byte, b'+' | b'-') && end > 0 && matches!(bytes[end - 1], b'e' | b'E');
        let is_dot = *byte == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !(byte.is_ascii_digit() || is_dot || matches!(byte, b'e' | b'E') || is_sign) {
            break;
        }
        end += 1;
    }
    let double = text[..end].parse().map_err(|_| "invalid double literal".to_owned())?;
    Ok((Token::Double(double), end))
}

/// A text or bytes with their length, where one begins here; the inner none is a broken one.
fn quoted(text: &str) -> Option<Option<(Token, usize)>> {
    let prefix = text.find(['\'', '"']).filter(|at| *at <= 2)?;
    let kinds = text[..prefix].to_ascii_lowercase();
    let (is_raw, is_bytes) = match kinds.as_str() {
        "" => (false, false),
        "r" => (true, false),
        "b" => (false, true),
        "rb" | "br" => (true, true),
        _ => return None,
    };
    let body = &text[prefix..];
    let quote = &body[..1];
    let triple = quote.repeat(3);
    let mark = if body.starts_with(&triple) { triple.as_str() } else { quote };
    let mut out = Vec::new();
    let mut rest = &body[mark.len()..];
    loop {
        if let Some(behind) = rest.strip_prefix(mark) {
            let length = text.len() - behind.len();
            return Some(match is_bytes {
                true => Some((Token::Bytes(out), length)),
                false => String::from_utf8(out).ok().map(|text| (Token::Text(text), length)),
            });
        }
        let Some(c) = rest.chars().next() else { return Some(None) };
        if c == '\n' && mark.len() == 1 {
            return Some(None);
        }
        rest = &rest[c.len_utf8()..];
        if c != '\\' || is_raw {
            out.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match escaped(rest, is_bytes, &mut out) {
            Some(length) => rest = &rest[length..],
            None => return Some(None),
        }
    }
}

/// Reads what stands behind a backslash; gives its length.
fn escaped(rest: &str, is_bytes: bool, out: &mut Vec<u8>) -> Option<usize> {
    let first = rest.chars().next()?;
    let code = |from: usize, length: usize, radix: u32| {
        u32::from_str_radix(rest.get(from..from + length)?, radix).ok()
    };
    let (value, length) = match first {
        'a' => (7, 1),
        'b' => (8, 1),
        'f' => (12, 1),
        'n' => (10, 1),
        'r' => (13, 1),
        't' => (9, 1),
        'v' => (11, 1),
        '\\' | '\'' | '"' | '`' | '?' => (first as u32, 1),
        'x' | 'X' => (code(1, 2, 16)?, 3),
        'u' if !is_bytes => (code(1, 4, 16)?, 5),
        'U' if !is_bytes => (code(1, 8, 16)?, 9),
        '0'..='3' => (code(0, 3, 8)?, 3),
        _ => return None,
    };
    if is_bytes && !matches!(first, '\\' | '\'' | '"' | '`' | '?') {
        out.push(u8::try_from(value).ok()?);
    } else {
        out.extend(char::from_u32(value)?.encode_utf8(&mut [0; 4]).bytes());
    }
    Some(length)
}

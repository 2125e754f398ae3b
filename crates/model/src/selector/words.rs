//! The words of a label selector.

/// A word of a label selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    End,
    Close,
    Open,
    Comma,
    Not,
    Equals,
    NotEquals,
    Greater,
    Less,
    In,
    NotIn,
    Identifier,
    /// Marks that form no operator.
    Error,
}

/// A word with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub token: Token,
    pub text: String,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_mark(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

/// Splits a selector into words; the last one is always [`Token::End`].
pub fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let length = if rest.starts_with(is_mark) {
            let (token, length) = mark(rest);
            words.push(Word { token, text: mark_text(token, &rest[..length]) });
            length
        } else {
            let length = rest.find(|c| is_space(c) || is_mark(c)).unwrap_or(rest.len());
            let token = match &rest[..length] {
                "in" => Token::In,
                "notin" => Token::NotIn,
                _ => Token::Identifier,
            };
            words.push(Word { token, text: rest[..length].into() });
            length
        };
        rest = rest[length..].trim_start_matches(is_space);
    }
    words.push(Word { token: Token::End, text: String::new() });
    words
}

/// The operator at the beginning of the text, and its length.
fn mark(text: &str) -> (Token, usize) {
    let longest = ["==", "!="].into_iter().find(|operator| text.starts_with(operator));
    match longest {
        Some("==") => (Token::Equals, 2),
        Some(_) => (Token::NotEquals, 2),
        None => match text.as_bytes()[0] {
            b')' => (Token::Close, 1),
            b'(' => (Token::Open, 1),
            b',' => (Token::Comma, 1),
            b'!' => (Token::Not, 1),
            b'=' => (Token::Equals, 1),
            b'>' => (Token::Greater, 1),
            b'<' => (Token::Less, 1),
            _ => (Token::Error, 1),
        },
    }
}

fn mark_text(token: Token, text: &str) -> String {
    match token {
        Token::Error => format!("error expected: keyword found '{text}'"),
        _ => text.into(),
    }
}

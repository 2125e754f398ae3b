//! A JSON reader whose complaints are worded as the API server's.

use std::borrow::Cow;

use everynode_model::{Object, Value, go_quote};

/// Nesting that is read; deeper input is refused before it can exhaust the stack.
pub const MAX_DEPTH: usize = 250;

/// What a value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// `-` or a digit.
    Number,
    /// `t` or `f`
    Bool,
    /// `n`
    Null,
}

impl Token {
    /// What a value would begin with.
    pub fn of(value: &Value) -> Token {
        match value {
            Value::Object(_) => Token::Object,
            Value::Array(_) => Token::Array,
            Value::String(_) => Token::String,
            Value::Number(_) => Token::Number,
            Value::Bool(_) => Token::Bool,
            Value::Null => Token::Null,
        }
    }

    /// The name of the JSON type in messages.
    pub fn name(self) -> &'static str {
        match self {
            Token::Object => "object",
            Token::Array => "array",
            Token::String => "string",
            Token::Number => "number",
            Token::Bool => "bool",
            Token::Null => "null",
        }
    }
}

/// A cursor over JSON text. Errors are the API's messages.
pub struct Parser<'a> {
    bytes: &'a [u8],
    position: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub fn new(bytes: &'a [u8]) -> Parser<'a> {
        Parser { bytes, position: 0, depth: 0 }
    }

    /// Bytes before the cursor.
    pub fn position(&self) -> usize {
        self.position
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.position += 1;
        }
    }

    /// The complaint about the byte at the cursor.
    fn unexpected(&self, context: &str) -> String {
        match self.peek() {
            None => "unexpected end of JSON input".into(),
            Some(b'\'') => format!("invalid character '\\'' {context}"),
            Some(b'"') => format!("invalid character '\"' {context}"),
            Some(byte) => {
                let quoted = go_quote(&char::from(byte).to_string());
                format!("invalid character '{}' {context}", quoted.trim_matches('"'))
            }
        }
    }

    /// What the next value begins with; the cursor stands at its first byte.
    pub fn token(&mut self) -> Result<Token, String> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => Ok(Token::Object),
            Some(b'[') => Ok(Token::Array),
            Some(b'"') => Ok(Token::String),
            Some(b'-' | b'0'..=b'9') => Ok(Token::Number),
            Some(b't' | b'f') => Ok(Token::Bool),
            Some(b'n') => Ok(Token::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// Checks that nothing but white space follows.
    pub fn end(&mut self) -> Result<(), String> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("after top-level value")),
        }
    }

    fn enter(&mut self) -> Result<(), String> {
        self.position += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err("exceeded max depth".into()) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.position += 1;
        self.depth -= 1;
    }

    /// Steps over `{`. Gives the first key, its colon read, or none when the object is empty.
    pub fn first_key(&mut self) -> Result<Option<Cow<'a, str>>, String> {
        self.enter()?;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.leave();
            return Ok(None);
        }
        self.key().map(Some)
    }

    /// After a value of an object: the next key, or none at its end.
    pub fn next_key(&mut self) -> Result<Option<Cow<'a, str>>, String> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.position += 1;
                self.skip_space();
                self.key().map(Some)
            }
            Some(b'}') => {
                self.leave();
                Ok(None)
            }
            _ => Err(self.unexpected("after object key:value pair")),
        }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, String> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("after object key"));
        }
        self.position += 1;
        Ok(key)
    }

    /// Steps over `[`. Whether there is a first element.
    pub fn first_element(&mut self) -> Result<bool, String> {
        self.enter()?;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.leave();
            return Ok(false);
        }
        Ok(true)
    }

    /// After an element of an array: whether another one follows.
    pub fn next_element(&mut self) -> Result<bool, String> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.position += 1;
                Ok(true)
            }
            Some(b']') => {
                self.leave();
                Ok(false)
            }
            _ => Err(self.unexpected("after array element")),
        }
    }

    /// Reads `true`, `false` or `null`; gives the first byte.
    pub fn literal(&mut self) -> Result<u8, String> {
        let first = self.peek().unwrap_or(b'n');
        let word = match first {
            b't' => "true",
            b'f' => "false",
            _ => "null",
        };
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(self.unexpected(&context));
            }
            self.position += 1;
        }
        Ok(first)
    }

    /// Reads a number; gives its text.
    pub fn number(&mut self) -> Result<&'a str, String> {
        let start = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        match self.peek() {
            Some(b'0') => self.position += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(std::str::from_utf8(&self.bytes[start..self.position]).unwrap_or_default())
    }

    fn digits(&mut self, context: &str) -> Result<(), String> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected(context));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        Ok(())
    }

    /// Reads a string. What is not UTF-8 becomes U+FFFD.
    pub fn string(&mut self) -> Result<Cow<'a, str>, String> {
        self.position += 1;
        let start = self.position;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = String::from_utf8_lossy(&self.bytes[start..self.position]);
                    self.position += 1;
                    return Ok(text);
                }
                Some(b'\\') => return self.escaped_string(start).map(Cow::Owned),
                Some(0x20..) => self.position += 1,
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// The rest of a string from its first escape on.
    fn escaped_string(&mut self, start: usize) -> Result<String, String> {
        let mut out = String::from_utf8_lossy(&self.bytes[start..self.position]).into_owned();
        let mut copied = self.position;
        loop {
            match self.peek() {
                Some(b'"') => {
                    out.push_str(&String::from_utf8_lossy(&self.bytes[copied..self.position]));
                    self.position += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    out.push_str(&String::from_utf8_lossy(&self.bytes[copied..self.position]));
                    self.position += 1;
                    let c = self.escape()?;
                    out.push(c);
                    copied = self.position;
                }
                Some(0x20..) => self.position += 1,
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.position += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.position += 1;
        Ok(c)
    }

    /// Four hexadecimal digits, and the second half of a surrogate pair. A lone half becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, String> {
        let first = self.hex4()?;
        if !(0xD800..0xDC00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let after_first = self.position;
        if self.bytes[self.position..].starts_with(b"\\u") {
            self.position += 2;
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.position = after_first;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            code = code * 16 + digit;
            self.position += 1;
        }
        Ok(code)
    }

    /// Steps over a value of any kind; gives its bytes.
    pub fn skip(&mut self) -> Result<&'a [u8], String> {
        let token = self.token()?;
        let start = self.position;
        match token {
            Token::String => drop(self.string()?),
            Token::Number => drop(self.number()?),
            Token::Bool | Token::Null => drop(self.literal()?),
            Token::Object => {
                let mut more = self.first_key()?.is_some();
                while more {
                    self.skip()?;
                    more = self.next_key()?.is_some();
                }
            }
            Token::Array => {
                let mut more = self.first_element()?;
                while more {
                    self.skip()?;
                    more = self.next_element()?;
                }
            }
        }
        Ok(&self.bytes[start..self.position])
    }

    /// Reads a value of any kind as it is.
    pub fn value(&mut self) -> Result<Value, String> {
        Ok(match self.token()? {
            Token::Object => {
                let mut object = Object::new();
                let mut key = self.first_key()?;
                while let Some(name) = key {
                    object.insert(name.into_owned(), self.value()?);
                    key = self.next_key()?;
                }
                Value::Object(object)
            }
            Token::Array => {
                let mut items = Vec::new();
                let mut more = self.first_element()?;
                while more {
                    items.push(self.value()?);
                    more = self.next_element()?;
                }
                Value::Array(items)
            }
            Token::String => Value::String(self.string()?.into_owned()),
            Token::Number => number_value(self.number()?),
            Token::Bool => Value::Bool(self.literal()? == b't'),
            Token::Null => {
                self.literal()?;
                Value::Null
            }
        })
    }
}

/// A JSON number with its digits kept.
fn number_value(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) if text != "-0" => number.into(),
        _ => serde_json::from_str(text).unwrap_or(Value::Null),
    }
}

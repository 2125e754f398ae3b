//! Expressions as trees.

/// Nesting of an expression.
const MAX_DEPTH: usize = 48;

/// Operators, fields and indices of an expression: a chain of them is as deep a tree as it is long.
const MAX_LINKS: usize = 400;

/// Bytes of one expression.
pub const MAX_BYTES: usize = 16 << 10;

/// One expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Name(String),
    Field(Box<Expr>, String),
    /// `has(a.b)`
    Has(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    Method(Box<Expr>, String, Vec<Expr>),
    /// `all`, `exists`, `exists_one`, `filter` and `map` over a list or the keys of a map.
    Loop {
        kind: String,
        range: Box<Expr>,
        variable: String,
        filter: Option<Box<Expr>>,
        body: Box<Expr>,
    },
    Not(Box<Expr>),
    Minus(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
}

/// Loops over lists and maps.
const LOOPS: &[&str] = &["all", "exists", "exists_one", "filter", "map"];

/// Operators by their strength, the weakest first.
const OPERATORS: &[&[&str]] = &[&["==", "!=", "<=", ">=", "<", ">", "in"], &["+", "-"], &["*", "/", "%"]];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Int(i64),
    Double(f64),
    Text(String),
    Name(String),
    Sign(&'static str),
    End,
}

const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "!", "<", ">", "+",
    "-", "*", "/", "%",
];

/// Reads an expression.
///
/// # Errors
/// It is none; the place is a column that counts from 1.
pub fn parse(text: &str) -> Result<Expr, (usize, String)> {
    if text.len() > MAX_BYTES {
        return Err((1, format!("expression exceeds {MAX_BYTES} bytes")));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, links: 0 };
    let expr = parser.expr(MAX_DEPTH)?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected()),
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, (usize, String)> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        while let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, behind)| behind).trim_start();
        }
        let at = text.len() - rest.len() + 1;
        let fail = |why: &str| (at, format!("Syntax error: {why}"));
        let Some(first) = rest.chars().next() else {
            tokens.push((at, Token::End));
            return Ok(tokens);
        };
        let raw = rest.starts_with("r'") || rest.starts_with("r\"");
        let (token, length) = if first.is_ascii_digit() {
            number(rest).ok_or_else(|| fail("invalid number"))?
        } else if raw || matches!(first, '\'' | '"') {
            text_literal(rest).ok_or_else(|| fail("token recognition error"))?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let name = &rest[..end];
            let token = if name == "in" { Token::Sign("in") } else { Token::Name(name.to_owned()) };
            (token, end)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| fail(&format!("token recognition error at: '{first}'")))?;
            (Token::Sign(sign), sign.len())
        };
        tokens.push((at, token));
        rest = &rest[length..];
    }
}

fn number(text: &str) -> Option<(Token, usize)> {
    if let Some(digits) = text.strip_prefix("0x") {
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        return Some((Token::Int(i64::from_str_radix(&digits[..end], 16).ok()?), end + 2));
    }
    let mut end = 0;
    let bytes = text.as_bytes();
    while end < bytes.len() {
        let sign = matches!(bytes[end], b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E');
        let dot = bytes[end] == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        let exponent = matches!(bytes[end], b'e' | b'E');
        if !(bytes[end].is_ascii_digit() || dot || exponent || sign) {
            break;
        }
        end += 1;
    }
    let digits = &text[..end];
    let token = match digits.parse::<i64>() {
        Ok(int) => Token::Int(int),
        Err(_) => Token::Double(digits.parse().ok()?),
    };
    let unsigned = text[end..].starts_with(['u', 'U']);
    Some((token, end + usize::from(unsigned)))
}

fn text_literal(text: &str) -> Option<(Token, usize)> {
    let raw = text.starts_with('r');
    let body = &text[usize::from(raw)..];
    let quote = body.chars().next()?;
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let end_mark = if body.starts_with(&triple) { triple } else { quote.to_string() };
    let start = end_mark.len();
    let mut out = String::new();
    let mut rest = &body[start..];
    loop {
        if let Some(behind) = rest.strip_prefix(&end_mark) {
            return Some((Token::Text(out), text.len() - behind.len()));
        }
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        if c != '\\' || raw {
            out.push(c);
            continue;
        }
        let escaped = rest.chars().next()?;
        rest = &rest[escaped.len_utf8()..];
        out.push(match escaped {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '\\' | '\'' | '"' | '`' | '?' => escaped,
            'u' | 'x' => {
                let length = if escaped == 'u' { 4 } else { 2 };
                let code = u32::from_str_radix(rest.get(..length)?, 16).ok()?;
                rest = &rest[length..];
                char::from_u32(code)?
            }
            _ => return None,
        });
    }
}

type Parsed = Result<Expr, (usize, String)>;

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    links: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn unexpected(&self) -> (usize, String) {
        let place = self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(place, _)| *place);
        let shown = match self.peek() {
            Token::End => "<EOF>".to_owned(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Name(name) => name.clone(),
            Token::Text(text) => everynode_model::go_quote(text),
            Token::Int(int) => int.to_string(),
            Token::Double(double) => double.to_string(),
        };
        (place, format!("Syntax error: unexpected '{shown}'"))
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(one) if *one == sign);
        self.at += usize::from(found);
        found
    }

    fn needs(&mut self, sign: &str) -> Result<(), (usize, String)> {
        if self.takes(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn deeper(&self, depth: usize) -> Result<usize, (usize, String)> {
        let place = self.tokens.get(self.at).map_or(1, |(place, _)| *place);
        depth.checked_sub(1).ok_or_else(|| (place, "expression recursion limit exceeded".to_owned()))
    }

    fn link(&mut self) -> Result<(), (usize, String)> {
        self.links += 1;
        let place = self.tokens.get(self.at).map_or(1, |(place, _)| *place);
        if self.links > MAX_LINKS { Err((place, "expression is too long".to_owned())) } else { Ok(()) }
    }

    fn expr(&mut self, depth: usize) -> Parsed {
        let depth = self.deeper(depth)?;
        let condition = self.or(depth)?;
        if !self.takes("?") {
            return Ok(condition);
        }
        let yes = self.or(depth)?;
        self.needs(":")?;
        let no = self.expr(depth)?;
        Ok(Expr::If(condition.into(), yes.into(), no.into()))
    }

    fn or(&mut self, depth: usize) -> Parsed {
        let mut left = self.and(depth)?;
        while self.takes("||") {
            self.link()?;
            left = Expr::Or(left.into(), self.and(depth)?.into());
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Parsed {
        let mut left = self.operation(0, depth)?;
        while self.takes("&&") {
            self.link()?;
            left = Expr::And(left.into(), self.operation(0, depth)?.into());
        }
        Ok(left)
    }

    fn operation(&mut self, level: usize, depth: usize) -> Parsed {
        let Some(operators) = OPERATORS.get(level) else { return self.unary(depth) };
        let mut left = self.operation(level + 1, depth)?;
        while let Some(operator) = operators.iter().find(|one| self.takes(one)) {
            self.link()?;
            let right = self.operation(level + 1, depth)?;
            left = Expr::Binary(operator, left.into(), right.into());
        }
        Ok(left)
    }

    fn unary(&mut self, depth: usize) -> Parsed {
        let depth = self.deeper(depth)?;
        if self.takes("!") {
            return Ok(Expr::Not(self.unary(depth)?.into()));
        }
        if self.takes("-") {
            return Ok(match self.unary(depth)? {
                Expr::Int(int) => Expr::Int(int.wrapping_neg()),
                Expr::Double(double) => Expr::Double(-double),
                other => Expr::Minus(other.into()),
            });
        }
        self.member(depth)
    }

    fn member(&mut self, depth: usize) -> Parsed {
        let mut value = self.primary(depth)?;
        loop {
            if self.takes(".") {
                self.link()?;
                let Token::Name(name) = self.next() else {
                    self.at -= 1;
                    return Err(self.unexpected());
                };
                value = match self.takes("(") {
                    false => Expr::Field(value.into(), name),
                    true => {
                        let arguments = self.list(")", depth)?;
                        self.method(value, name, arguments)?
                    }
                };
            } else if self.takes("[") {
                self.link()?;
                let index = self.expr(depth)?;
                self.needs("]")?;
                value = Expr::Index(value.into(), index.into());
            } else {
                return Ok(value);
            }
        }
    }

    fn method(&self, target: Expr, name: String, mut arguments: Vec<Expr>) -> Parsed {
        let is_loop = LOOPS.contains(&name.as_str()) && (2..=3).contains(&arguments.len());
        let has_filter = arguments.len() == 3;
        if !is_loop || has_filter && name != "map" {
            return Ok(Expr::Method(target.into(), name, arguments));
        }
        let body = arguments.pop().unwrap_or(Expr::Null);
        let filter = if has_filter { arguments.pop().map(Box::new) } else { None };
        let Some(Expr::Name(variable)) = arguments.pop() else {
            return Err((1, format!("the first argument of {name} must be a name")));
        };
        Ok(Expr::Loop { kind: name, range: target.into(), variable, filter, body: body.into() })
    }

    fn list(&mut self, end: &str, depth: usize) -> Result<Vec<Expr>, (usize, String)> {
        let mut items = Vec::new();
        while !self.takes(end) {
            if !items.is_empty() {
                self.needs(",")?;
                if self.takes(end) {
                    break;
                }
            }
            items.push(self.expr(depth)?);
        }
        Ok(items)
    }

    fn primary(&mut self, depth: usize) -> Parsed {
        match self.next() {
            Token::Int(int) => Ok(Expr::Int(int)),
            Token::Double(double) => Ok(Expr::Double(double)),
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Sign("(") => {
                let inner = self.expr(depth)?;
                self.needs(")")?;
                Ok(inner)
            }
            Token::Sign("[") => Ok(Expr::List(self.list("]", depth)?)),
            Token::Sign("{") => self.map(depth),
            Token::Name(name) => match name.as_str() {
                "true" => Ok(Expr::Bool(true)),
                "false" => Ok(Expr::Bool(false)),
                "null" => Ok(Expr::Null),
                _ if self.takes("(") => {
                    let arguments = self.list(")", depth)?;
                    self.call(name, arguments)
                }
                _ => Ok(Expr::Name(name)),
            },
            _ => {
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    fn call(&self, name: String, mut arguments: Vec<Expr>) -> Parsed {
        if name != "has" {
            return Ok(Expr::Call(name, arguments));
        }
        match (arguments.pop(), arguments.is_empty()) {
            (Some(Expr::Field(target, field)), true) => Ok(Expr::Has(target, field)),
            _ => Err((1, "invalid argument to has() macro".into())),
        }
    }

    fn map(&mut self, depth: usize) -> Parsed {
        let mut entries = Vec::new();
        while !self.takes("}") {
            if !entries.is_empty() {
                self.needs(",")?;
                if self.takes("}") {
                    break;
                }
            }
            let key = self.expr(depth)?;
            self.needs(":")?;
            entries.push((key, self.expr(depth)?));
        }
        Ok(Expr::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_is_refused_with_its_place() {
        let check = |text: &str, column: usize| {
            let (found, why) = parse(text).expect_err(text);
            assert_eq!(found, column, "{text}: {why}");
        };
        check("self.", 6);
        check("a &&", 5);
        check("a b", 3);
        check("'open", 1);
        check("a # b", 3);
        check("has(a)", 1);
        check(&"(".repeat(2_000), 25);
        let long = format!("a{}", ".b".repeat(2_000));
        assert!(parse(&long).is_err());
        assert!(parse(&"-".repeat(15_000)).is_err());
    }

    #[test]
    fn operators_bind_as_they_should() {
        let check = |text: &str, same: &str| assert_eq!(parse(text).unwrap(), parse(same).unwrap(), "{text}");
        check("1 + 2 * 3 == 7 && !a || b", "(((1 + (2 * 3)) == 7) && (!a)) || b");
        check("a ? b : c ? d : e", "a ? b : (c ? d : e)");
        check("a.b(c)[0].d", "((a.b(c))[0]).d");
        check("1 // a comment\n + 2", "1 + 2");
        check("r'\\d' + \"\\n\"", "'\\\\d' + '\\n'");
    }
}
